//! The scenarios that come with the program, built in as text.

use super::Scenario;

/// Names and texts of the built-in scenarios: the default one and the Knight Capital scene first.
static BUILTINS: &[(&str, &str)] = &[
    ("default", include_str!("../../../config/scenarios/default.toml")),
    ("power-peg", include_str!("../../../config/scenarios/power-peg.toml")),
    ("good", include_str!("../../../config/scenarios/good.toml")),
    ("error-spike", include_str!("../../../config/scenarios/error-spike.toml")),
    ("slow-leak", include_str!("../../../config/scenarios/slow-leak.toml")),
    ("latency-above-25", include_str!("../../../config/scenarios/latency-above-25.toml")),
    ("dependency-outage", include_str!("../../../config/scenarios/dependency-outage.toml")),
    ("interaction", include_str!("../../../config/scenarios/interaction.toml")),
    ("low-traffic", include_str!("../../../config/scenarios/low-traffic.toml")),
    ("telemetry-gaps", include_str!("../../../config/scenarios/telemetry-gaps.toml")),
    ("late-and-skewed", include_str!("../../../config/scenarios/late-and-skewed.toml")),
    ("sawtooth", include_str!("../../../config/scenarios/sawtooth.toml")),
    ("segment-bug", include_str!("../../../config/scenarios/segment-bug.toml")),
    ("wakes-at-50", include_str!("../../../config/scenarios/wakes-at-50.toml")),
    ("tiny-effect", include_str!("../../../config/scenarios/tiny-effect.toml")),
    ("p99-5-percent", include_str!("../../../config/scenarios/p99-5-percent.toml")),
    ("retry-storm", include_str!("../../../config/scenarios/retry-storm.toml")),
    ("sample-ratio-mismatch", include_str!("../../../config/scenarios/sample-ratio-mismatch.toml")),
    ("frozen-telemetry", include_str!("../../../config/scenarios/frozen-telemetry.toml")),
    ("fleet-1000", include_str!("../../../config/scenarios/fleet-1000.toml")),
];

impl Scenario {
    /// Names and texts of all built-in scenarios.
    #[must_use]
    pub fn builtins() -> &'static [(&'static str, &'static str)] {
        BUILTINS
    }

    /// The text of a built-in scenario.
    #[must_use]
    pub fn builtin(name: &str) -> Option<&'static str> {
        BUILTINS.iter().find(|(builtin, _)| *builtin == name).map(|(_, text)| *text)
    }
}
