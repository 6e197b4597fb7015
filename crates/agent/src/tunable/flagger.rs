//! Flagger's canary analysis, as its documentation describes it (docs.flagger.app, *How it works* and *Deployment
//! strategies*): every interval (60 s) the metrics are checked against fixed thresholds on treatment alone; a breach
//! or missing data adds a failed check, which is never taken back, and holds; at `threshold` failed checks it rolls
//! back; otherwise the weight goes up by `stepWeight` until `maxWeight`, then the canary is promoted.
//!
//! The numbers are those of its example: interval 1 m, threshold 10, stepWeight 2, maxWeight 50, request success rate at
//! least 99 %, P99 at most 500 ms; limits are the service's where it is slower or fails more ([`super::default_limits`]).

use serde::{Deserialize, Serialize};

use super::{
    default_limits::{DefaultLimits, LENIENCY},
    method::Method,
    settings::{Knob, Range},
};
use knightwatch_core::{
    control::{Action, Observation},
    flag::Rollout,
    telemetry::Millis,
};

/// Flagger with its settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Flagger {
    /// Time between checks, in seconds.
    interval_secs: u64,
    /// Failed checks that roll back.
    threshold: u32,
    /// Raise at each passed check, in basis points.
    step_weight: u16,
    /// Weight after which the canary is promoted, in basis points.
    max_weight: u16,
    /// Least share of requests that succeed, 0 to 1.
    success_rate: f64,
    /// Most P99, in milliseconds.
    p99_ms: f64,
    /// How many times what is usual a limit is at least.
    leniency: f64,
}

/// What it remembers of one canary.
#[derive(Clone, Copy, Debug, Default)]
pub struct Canary {
    failed_checks: u32,
    checked_at: Option<Millis>,
    limits: DefaultLimits,
}

impl Default for Flagger {
    fn default() -> Self {
        Self {
            interval_secs: 60,
            threshold: 10,
            step_weight: 200,
            max_weight: 5_000,
            success_rate: 0.99,
            p99_ms: 500.0,
            leniency: LENIENCY,
        }
    }
}

impl Method for Flagger {
    const NAME: &'static str = "flagger";
    const KNOBS: &'static [Knob] = &[
        Knob { key: "interval_secs", range: Range::WholeLog(10, 300) },
        Knob { key: "threshold", range: Range::WholeLog(1, 20) },
        Knob { key: "step_weight", range: Range::WholeLog(100, 5_000) },
        Knob { key: "max_weight", range: Range::WholeLog(500, 10_000) },
        Knob { key: "success_rate", range: Range::Even(0.95, 0.9999) },
        Knob { key: "p99_ms", range: Range::Log(50.0, 2_000.0) },
        Knob { key: "leniency", range: Range::Log(1.05, 5.0) },
    ];
    type Memory = Canary;

    fn act(&self, canary: &mut Canary, seen: &Observation<'_>) -> Action {
        let (errors, p99_ms) =
            canary.limits.limits(seen, (1.0 - self.success_rate, self.p99_ms), self.leniency);
        let checked_at = *canary.checked_at.get_or_insert(seen.now);
        if seen.now.since(checked_at) < Millis::from_secs(self.interval_secs) {
            return Action::Hold;
        }
        canary.checked_at = Some(seen.now);
        let treatment = &seen.report.treatment;
        // No data fails the check: what its users complain of most.
        let passed = treatment.error_rate().is_some_and(|rate| rate <= errors)
            && treatment.p99_ms.is_some_and(|p99| p99 <= p99_ms);
        if !passed {
            canary.failed_checks += 1;
            return if canary.failed_checks >= self.threshold { Action::RollBack } else { Action::Hold };
        }
        let weight = seen.rollout.basis_points();
        let next = if weight >= self.max_weight {
            10_000
        } else {
            weight.saturating_add(self.step_weight).min(self.max_weight)
        };
        Rollout::from_basis_points(next).map_or(Action::Hold, Action::RaiseTo)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::rehearsal::{ArmInterval, Rehearsal, raise},
        *,
    };

    /// 1 000 requests with so many failed and this P99.
    fn arm(errors: u64, p99_ms: f64) -> ArmInterval {
        (1_000, errors, 0, p99_ms)
    }

    /// What it does about a new flag that is seen once a minute: one pair of treatment and control after another.
    fn answers(seen: &[Option<[ArmInterval; 2]>]) -> Vec<Action> {
        let mut flagger = Rehearsal::of(Flagger::default());
        let each = seen.iter().map(|seen| {
            flagger.now = flagger.now + Millis::from_secs(50);
            flagger.see(*seen)
        });
        each.collect()
    }

    /// Whether a first check at these numbers passes, where control began with those.
    fn passes(treatment: ArmInterval, control: ArmInterval) -> bool {
        let answers = answers(&[Some([control, control]), Some([treatment, control])]);
        assert_eq!(answers[0], Action::Hold, "the first minute is waited for");
        answers[1] == raise(3.0)
    }

    #[test]
    fn a_usual_service_has_the_limits_of_the_example() {
        let typical = arm(3, 200.0);
        assert!(passes(arm(10, 500.0), typical));
        assert!(!passes(arm(11, 500.0), typical), "1 % of requests may fail");
        assert!(!passes(arm(10, 501.0), typical), "P99 may be 500 ms");
    }

    #[test]
    fn a_slow_or_failing_service_has_limits_of_twice_what_it_began_with() {
        let slow = arm(20, 400.0);
        assert!(passes(arm(40, 800.0), slow));
        assert!(!passes(arm(41, 800.0), slow));
        assert!(!passes(arm(40, 801.0), slow));
    }

    #[test]
    fn limits_are_those_of_the_ramps_start_whatever_control_does_later() {
        let [calm, storm] = [arm(3, 200.0), arm(300, 2_000.0)];
        let seen = [Some([calm, calm]), Some([storm, storm]), Some([calm, calm])];
        assert_eq!(answers(&seen), [Action::Hold, Action::Hold, raise(3.0)]);
        // A ramp that begins in the storm takes that for usual.
        assert_eq!(answers(&[Some([storm, storm]); 2]), [Action::Hold, raise(3.0)]);
    }

    #[test]
    fn limits_wait_for_control_to_be_seen_and_no_data_fails_a_check() {
        let slow = arm(20, 400.0);
        let seen = [None, Some([slow, slow]), Some([arm(40, 800.0), slow])];
        assert_eq!(answers(&seen), [Action::Hold, raise(3.0), raise(5.0)]);
        let blind = answers(&[None; 11]);
        assert_eq!(blind.iter().position(|action| *action == Action::RollBack), Some(10));
    }

    #[test]
    fn it_goes_up_by_two_points_to_a_half_and_then_promotes() {
        let typical = arm(3, 200.0);
        let climbed = answers(&[Some([typical, typical]); 27]);
        assert_eq!(climbed[1..4], [raise(3.0), raise(5.0), raise(7.0)]);
        assert_eq!(climbed[25..], [raise(50.0), raise(100.0)]);
    }
}
