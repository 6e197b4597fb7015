//! Statsig's sequential testing (docs.statsig.com, *Sequential Testing*): the mixture sequential probability ratio test of
//! Johari, Koomen, Pekelis and Walsh (2017), by which the difference of two means, of variance V, is significant when it is
//! more than Z* standard errors from 0:
//!
//! `Z* = sqrt((V + tau)/tau (-2 ln a - ln(V/(V + tau))))`, `tau = z_a^2 (v_t + v_c)/(N_t + N_c)`, a = 0.05,
//!
//! v being the variance of one unit and N the units of an arm, `z_a` the two-sided normal quantile. A feature gate goes 2, 10, 50, 100 %
//! and is rolled back when a metric is significantly worse. Liberties: stages of a day or more are ten minutes here; the metrics
//! are the error rate and the share of requests slower than the former P99; [`super::pool`].

use serde::{Deserialize, Serialize};

use super::{launchdarkly::Guarded, pool::Compared};
use knightwatch_agent::tunable::{Knob, Method, Range, ramp::Ramp};
use knightwatch_core::{
    control::{Action, Observation},
    telemetry::{Millis, normal_quantile},
};

/// Statsig with its settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Statsig {
    /// Its stages.
    ramp: Ramp,
    /// Time at each stage, in seconds.
    dwell_secs: u64,
    /// The chance of a false alarm, on both sides.
    alpha: f64,
}

impl Default for Statsig {
    fn default() -> Self {
        Self { ramp: Ramp::Fivefold, dwell_secs: 600, alpha: 0.05 }
    }
}

impl Method for Statsig {
    const NAME: &'static str = "statsig-msprt";
    const KNOBS: &'static [Knob] = &[
        Knob { key: "ramp", range: Range::OneOf(Ramp::NAMES) },
        Knob { key: "dwell_secs", range: Range::WholeLog(60, 1_200) },
        Knob { key: "alpha", range: Range::Log(1e-4, 0.5) },
    ];
    type Memory = Guarded;

    fn act(&self, memory: &mut Guarded, seen: &Observation<'_>) -> Action {
        memory.guardrails.note(seen);
        if memory.guardrails.worse(|compared| self.half_width(compared)) {
            return Action::RollBack;
        }
        memory.climb.on(self.ramp, Millis::from_secs(self.dwell_secs), seen)
    }
}

impl Statsig {
    fn half_width(&self, compared: &Compared) -> f64 {
        let z = normal_quantile(1.0 - self.alpha / 2.0);
        let variances = compared.variances();
        let tau = z * z * (variances[0] + variances[1]) / compared.n();
        let v = compared.variance();
        libm::sqrt(v * (v + tau) / tau * (-2.0 * libm::log(self.alpha) - libm::log(v / (v + tau))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use knightwatch_agent::tunable::rehearsal::{Rehearsal, raise};

    #[test]
    fn the_threshold_is_that_of_the_formula() {
        // Equal arms: V = 2 v / n and tau = 3.841_459 * 2 v / 2 n = 1.920_729 V; so Z* is
        // sqrt(2.920_729 / 1.920_729 * (5.991_465 + ln 2.920_729)) = sqrt(1.520_636 * 7.063_298) = 3.277_277.
        let compared = Compared { shares: [0.01, 0.01], requests: [1e6, 1e6] };
        let found = Statsig::default().half_width(&compared) / libm::sqrt(compared.variance());
        assert!((found - 3.277_277).abs() < 1e-4, "{found}");
    }

    #[test]
    fn the_gate_goes_up_by_the_clock_and_down_on_significance() {
        let (control, slow) = ((1_000, 5, 10, 200.0), (1_000, 5, 45, 300.0));
        let climbed = Rehearsal::of(Statsig::default()).minutes(31, Some([control, control]));
        assert_eq!(climbed, [(1, raise(2.0)), (61, raise(10.0)), (121, raise(50.0)), (181, raise(100.0))]);
        let done = Rehearsal::of(Statsig::default()).minutes(3, Some([slow, control]));
        assert!(done.iter().any(|done| done.1 == Action::RollBack), "{done:?}");
    }
}
