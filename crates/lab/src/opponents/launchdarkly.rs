//! `LaunchDarkly`'s guarded rollouts (launchdarkly.com/docs, *Guarded rollouts*): traffic goes up in stages by the clock while
//! metrics are compared with the original variation; a regression is found when a sequential interval of the difference
//! lies entirely on the worse side, and the rollout is rolled back.
//!
//! Stages 1, 10, 50, 100 %. The product names no formula; here the interval is the normal-mixture confidence sequence at 95 %
//! ([`mixture_half_width`]), whose mixture looks for half a percentage point. Liberties: stages of a day or more are ten
//! minutes here; the metrics are the error rate and the share of requests slower than the former P99; a stage without
//! enough users goes on, where the product would end the rollout; [`super::pool`].

use serde::{Deserialize, Serialize};

use super::pool::Guardrails;
use knightwatch_agent::tunable::{
    Knob, Method, Range,
    ramp::{Climb, Ramp},
};
use knightwatch_core::{
    control::{Action, Observation},
    telemetry::{Millis, mixture_half_width},
};

/// A guarded rollout with its settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct LaunchDarkly {
    /// Its stages.
    ramp: Ramp,
    /// Time at each stage, in seconds.
    dwell_secs: u64,
    /// The chance of a false alarm.
    alpha: f64,
    /// Standard deviation of the differences that are looked for, as a share.
    mixture_sd: f64,
}

impl Default for LaunchDarkly {
    fn default() -> Self {
        Self { ramp: Ramp::Tenfold, dwell_secs: 600, alpha: 0.05, mixture_sd: 0.005 }
    }
}

/// What is remembered of one rollout.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Guarded {
    pub(super) climb: Climb,
    pub(super) guardrails: Guardrails,
}

impl Method for LaunchDarkly {
    const NAME: &'static str = "launchdarkly";
    const KNOBS: &'static [Knob] = &[
        Knob { key: "ramp", range: Range::OneOf(Ramp::NAMES) },
        Knob { key: "dwell_secs", range: Range::WholeLog(60, 1_200) },
        Knob { key: "alpha", range: Range::Log(1e-4, 0.5) },
        Knob { key: "mixture_sd", range: Range::Log(1e-4, 0.1) },
    ];
    type Memory = Guarded;

    fn act(&self, memory: &mut Guarded, seen: &Observation<'_>) -> Action {
        memory.guardrails.note(seen);
        let half_width = |variance| mixture_half_width(variance, self.mixture_sd, self.alpha);
        if memory.guardrails.worse(|compared| half_width(compared.variance())) {
            return Action::RollBack;
        }
        memory.climb.on(self.ramp, Millis::from_secs(self.dwell_secs), seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use knightwatch_agent::tunable::rehearsal::{Rehearsal, raise};

    #[test]
    fn the_interval_is_that_of_the_formula() {
        // V = t: sqrt(V * 2 * (2 ln 20 + ln 2)) = 0.005 * sqrt(2 * 6.684_611_7).
        let found = mixture_half_width(0.005 * 0.005, 0.005, 0.05);
        assert!((found - 0.005 * 3.656_394_0).abs() < 1e-7, "{found}");
    }

    #[test]
    fn stages_go_by_the_clock_and_a_regression_rolls_back() {
        let (control, failing) = ((1_000, 5, 10, 200.0), (1_000, 15, 10, 200.0));
        let climbed = Rehearsal::of(LaunchDarkly::default()).minutes(31, Some([control, control]));
        assert_eq!(climbed, [(60, raise(10.0)), (120, raise(50.0)), (180, raise(100.0))]);
        let done = Rehearsal::of(LaunchDarkly::default()).minutes(3, Some([failing, control]));
        assert_eq!(done.first().map(|done| done.1), Some(Action::RollBack));
        assert!(done[0].0 > 1, "one interval proves nothing: {done:?}");
    }
}
