//! `GrowthBook`'s safe rollouts (docs.growthbook.io, *Safe Rollouts*; gbstats). Guardrail metrics are compared by a
//! one-sided asymptotic confidence sequence (Waudby-Smith et al., "Time-uniform central limit theory and asymptotic
//! confidence sequences", 2024, with `GrowthBook`'s tuning): with SE the standard error of the difference, n the units of both arms
//! and s2 = n SE^2,
//!
//! `rho = sqrt((-2 ln 2a + ln(1 - 2 ln 2a)) / N*)`, `half-width = sqrt(s2 2 (n rho^2 + 1)/(n rho)^2 ln(1 + sqrt(n rho^2 + 1)/(2a)))`.
//!
//! A guardrail whose interval lies on the worse side rolls back. Coverage goes 10, 25, 50, 75, 100 % over the first quarter
//! of the monitoring duration, half of it treatment; at the duration's end it is shipped. Defaults: a = 0.05, N* = 5 000.
//! Liberties: the duration, days in the product, is half an hour; control is everybody else, which is more than half; the
//! guardrails are the error rate and the share of requests slower than the former P99, in absolute terms; see
//! [`super::pool`] for how the arms are added up.

use serde::{Deserialize, Serialize};

use super::pool::{Compared, Guardrails};
use knightwatch_agent::tunable::{
    Knob, Method, Range,
    ramp::{Climb, Ramp},
};
use knightwatch_core::{
    control::{Action, Observation},
    telemetry::Millis,
};

/// `GrowthBook` with its settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct GrowthBook {
    /// Its stages.
    ramp: Ramp,
    /// The monitoring duration, in seconds.
    duration_secs: u64,
    /// The part of it in which it is ramped up.
    ramp_part: f64,
    /// The chance of a false alarm, below a half.
    alpha: f64,
    /// `N*`: at how many units the sequence is tightest.
    tuned_for: f64,
}

impl Default for GrowthBook {
    fn default() -> Self {
        Self { ramp: Ramp::Halves, duration_secs: 1_800, ramp_part: 0.25, alpha: 0.05, tuned_for: 5_000.0 }
    }
}

/// What it remembers of one rollout.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Monitored {
    climb: Climb,
    guardrails: Guardrails,
    began: Option<Millis>,
}

impl Method for GrowthBook {
    const NAME: &'static str = "growthbook";
    const KNOBS: &'static [Knob] = &[
        Knob { key: "ramp", range: Range::OneOf(Ramp::NAMES) },
        Knob { key: "duration_secs", range: Range::WholeLog(300, 3_000) },
        Knob { key: "ramp_part", range: Range::Even(0.1, 1.0) },
        Knob { key: "alpha", range: Range::Log(1e-4, 0.3) },
        Knob { key: "tuned_for", range: Range::Log(100.0, 1e6) },
    ];
    type Memory = Monitored;

    #[expect(clippy::cast_precision_loss, reason = "a handful of stages, some thousands of seconds")]
    fn act(&self, memory: &mut Monitored, seen: &Observation<'_>) -> Action {
        memory.guardrails.note(seen);
        if memory.guardrails.worse(|compared| self.half_width(compared)) {
            return Action::RollBack;
        }
        let began = *memory.began.get_or_insert(seen.now.since(seen.since_change));
        let raises = self.ramp.stages().len().saturating_sub(2).max(1);
        let step = self.ramp_part * self.duration_secs as f64 / raises as f64;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "milliseconds of an hour"
        )]
        let dwell = Millis((1_000.0 * step) as u64);
        match memory.climb.due(self.ramp, dwell, seen) {
            // Shipping waits for the end of the monitoring.
            Some(to) if to.is_full() && seen.now.since(began) < Millis::from_secs(self.duration_secs) => {
                Action::Hold
            }
            Some(to) => memory.climb.go(to),
            None => Action::Hold,
        }
    }
}

impl GrowthBook {
    fn half_width(&self, compared: &Compared) -> f64 {
        one_sided(compared.variance(), compared.n(), self.tuned_for, self.alpha)
    }
}

/// See the module; `variance` is the squared standard error, `n` the units.
fn one_sided(variance: f64, n: f64, tuned_for: f64, alpha: f64) -> f64 {
    let ln = libm::log(2.0 * alpha);
    let rho = libm::sqrt((-2.0 * ln + libm::log(1.0 - 2.0 * ln)) / tuned_for);
    let grown = n * rho * rho + 1.0;
    let log = libm::log1p(libm::sqrt(grown) / (2.0 * alpha));
    libm::sqrt(n * variance * 2.0 * grown / (n * rho * n * rho) * log)
}

#[cfg(test)]
mod tests {
    use super::*;
    use knightwatch_agent::tunable::rehearsal::{Rehearsal, raise};

    #[test]
    fn the_half_width_is_that_of_the_formula() {
        // By hand: -2 ln 0.1 = 4.60517, ln(5.60517) = 1.72369, rho^2 = 6.32886 / 5000; at n = 5000: n rho^2 + 1 = 7.32886,
        // (n rho)^2 = 5000 * 6.32886 = 31644.3, ln(1 + 2.70719 / 0.1) = 3.33477; with n SE^2 = 1:
        // sqrt(2 * 7.32886 / 31644.3 * 3.33477) = 0.0393026.
        let found = one_sided(1.0 / 5_000.0, 5_000.0, 5_000.0, 0.05);
        assert!((found - 0.039_302_6).abs() < 1e-6, "{found}");
        // In standard errors: 2.779, the price of looking all the time beside 1.645.
        assert!((found / libm::sqrt(1.0 / 5_000.0) - 2.779).abs() < 1e-3);
    }

    #[test]
    fn it_ramps_up_in_the_first_quarter_and_ships_at_the_end() {
        let fine = (1_000, 5, 10, 200.0);
        let climbed = Rehearsal::of(GrowthBook::default()).minutes(31, Some([fine, fine]));
        // Four raises in 450 s, each after the first interval's end that is due.
        let expected = [(1, 5.0), (13, 12.5), (25, 25.0), (37, 37.5), (49, 50.0), (180, 100.0)];
        assert_eq!(climbed, expected.map(|(interval, percent)| (interval, raise(percent))));
    }

    #[test]
    fn a_worse_guardrail_rolls_back_and_warm_up_is_no_evidence() {
        let (control, failing, slow) = ((1_000, 5, 10, 200.0), (1_000, 40, 10, 200.0), (1_000, 5, 60, 400.0));
        for worse in [failing, slow] {
            let mut rollout = Rehearsal::of(GrowthBook::default());
            rollout.warming_up = true;
            assert_eq!(rollout.minutes(1, Some([worse, control])), [(1, raise(5.0))]);
            rollout.warming_up = false;
            let done = rollout.minutes(1, Some([worse, control]));
            assert_eq!(done.first().map(|done| done.1), Some(Action::RollBack), "{worse:?}");
        }
        let mut better = Rehearsal::of(GrowthBook::default());
        let done = better.minutes(5, Some([control, failing]));
        assert!(!done.is_empty() && done.iter().all(|done| matches!(done.1, Action::RaiseTo(_))), "{done:?}");
    }
}
