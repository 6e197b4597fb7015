//! Flagger's canary analysis, as its documentation describes it (docs.flagger.app, *How it works* and *Deployment
//! strategies*): every interval (60 s) the metrics are checked against fixed thresholds on treatment alone; a breach
//! or missing data adds a failed check, which is never taken back, and holds; at `threshold` failed checks it rolls
//! back; otherwise the weight goes up by `stepWeight` until `maxWeight`, then the canary is promoted.
//!
//! The numbers are those of its example: interval 1 m, threshold 10, stepWeight 2, maxWeight 50, request success rate at
//! least 99 %, P99 at most 500 ms. Limits on metrics have no default, and an owner whose service is slower or fails more
//! sets others: here twice what control had when the canary began, where that is more.

use std::collections::BTreeMap;

use crate::{
    control::{Action, Observation, Policy, PolicyFault, Proposal},
    flag::{FlagId, Rollout},
    telemetry::Millis,
};

/// How many times what is usual a limit on a metric is, where that is more than the example's.
const LENIENCY: f64 = 2.0;

/// Flagger with its settings.
#[derive(Clone, Debug)]
pub struct Flagger {
    /// Time between checks.
    pub interval: Millis,
    /// Failed checks that roll back.
    pub threshold: u32,
    /// Raise at each passed check, in basis points.
    pub step_weight: u16,
    /// Weight after which the canary is promoted, in basis points.
    pub max_weight: u16,
    /// Least share of requests that succeed, 0 to 1.
    pub success_rate: f64,
    /// Most P99, in milliseconds.
    pub p99_ms: f64,
    canaries: BTreeMap<FlagId, Canary>,
}

/// What it remembers of one canary.
#[derive(Clone, Copy, Debug, Default)]
struct Canary {
    ramp: u32,
    failed_checks: u32,
    checked_at: Millis,
    /// What the service's owner has set: most errors, as a share, and most P99, in milliseconds. Nothing until control
    /// was first seen in this ramp; the example's hold until then.
    limits: Option<(f64, f64)>,
}

impl Default for Flagger {
    fn default() -> Self {
        Self {
            interval: Millis::from_secs(60),
            threshold: 10,
            step_weight: 200,
            max_weight: 5_000,
            success_rate: 0.99,
            p99_ms: 500.0,
            canaries: BTreeMap::new(),
        }
    }
}

impl Policy for Flagger {
    fn name(&self) -> &'static str {
        "flagger"
    }

    fn propose(
        &mut self,
        observations: &[Observation<'_>],
        proposals: &mut Vec<Proposal>,
    ) -> Result<(), PolicyFault> {
        proposals.extend(observations.iter().map(|seen| Proposal::to(self.check(seen))));
        Ok(())
    }
}

impl Flagger {
    fn check(&mut self, seen: &Observation<'_>) -> Action {
        let canary = self.canaries.entry(seen.flag).or_default();
        if canary.ramp != seen.ramp {
            *canary = Canary { ramp: seen.ramp, failed_checks: 0, checked_at: seen.now, limits: None };
        }
        let example = (1.0 - self.success_rate, self.p99_ms);
        let usual = &seen.report.control;
        if let (None, Some(errors), Some(p99_ms)) = (canary.limits, usual.error_rate(), usual.p99_ms) {
            canary.limits = Some(((LENIENCY * errors).max(example.0), (LENIENCY * p99_ms).max(example.1)));
        }
        let (errors, p99_ms) = canary.limits.unwrap_or(example);
        if seen.now.since(canary.checked_at) < self.interval {
            return Action::Hold;
        }
        canary.checked_at = seen.now;
        let treatment = &seen.report.treatment;
        // No data fails the check: what its users complain of most.
        let passed = treatment.error_rate().is_some_and(|rate| rate <= errors)
            && treatment.p99_ms.is_some_and(|p99| p99 <= p99_ms);
        if !passed {
            canary.failed_checks += 1;
            return if canary.failed_checks >= self.threshold { Action::RollBack } else { Action::Hold };
        }
        let weight = seen.rollout.basis_points();
        let next =
            if weight >= self.max_weight { 10_000 } else { (weight + self.step_weight).min(self.max_weight) };
        Rollout::from_basis_points(next).map_or(Action::Hold, Action::RaiseTo)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        control::{ActionMask, Phase},
        flag::Ladder,
        telemetry::{ArmStats, WindowReport},
    };

    /// 1 000 requests with so many failed and this P99.
    fn arm(errors: u64, p99_ms: f64) -> ArmStats {
        ArmStats { requests: 1_000, errors, p99_ms: Some(p99_ms) }
    }

    /// What it does about a flag at 2 %, seen once a minute: one pair of treatment and control after another.
    fn answers(flagger: &mut Flagger, ramp: u32, seen: &[[ArmStats; 2]]) -> Vec<Action> {
        let ladder = Ladder::default();
        let mut answers = Vec::new();
        for (minute, [treatment, control]) in (1..).zip(seen) {
            let report = WindowReport { treatment: *treatment, control: *control, ..WindowReport::default() };
            answers.push(flagger.check(&Observation {
                flag: FlagId(0),
                ramp,
                now: Millis::from_secs(60 * minute),
                interval: Millis::from_secs(10),
                phase: Phase::Ramping,
                rollout: Rollout::from_percent(2.0).unwrap(),
                ladder: &ladder,
                since_change: Millis::from_secs(60),
                report: &report,
                latest: &[None; 2],
                moving_in_service: 0,
                mask: ActionMask::default(),
            }));
        }
        answers
    }

    /// Whether a first check at these numbers passes, where control began with those.
    fn passes(treatment: ArmStats, control: ArmStats) -> bool {
        let first = [control, control];
        let answers = answers(&mut Flagger::default(), 1, &[first, [treatment, control]]);
        assert_eq!(answers[0], Action::Hold, "the first minute is waited for");
        answers[1] == Action::RaiseTo(Rollout::from_percent(4.0).unwrap())
    }

    #[test]
    fn a_usual_service_has_the_limits_of_the_example() {
        let usual = arm(3, 200.0);
        assert!(passes(arm(10, 500.0), usual));
        assert!(!passes(arm(11, 500.0), usual), "1 % of requests may fail");
        assert!(!passes(arm(10, 501.0), usual), "P99 may be 500 ms");
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
        let seen = [[calm, calm], [storm, storm], [calm, calm]];
        let mut flagger = Flagger::default();
        let raised = Action::RaiseTo(Rollout::from_percent(4.0).unwrap());
        assert_eq!(answers(&mut flagger, 1, &seen), [Action::Hold, Action::Hold, raised]);
        // A ramp that begins in the storm takes that for usual.
        let seen = [[storm, storm], [storm, storm]];
        assert_eq!(answers(&mut flagger, 2, &seen), [Action::Hold, raised]);
    }

    #[test]
    fn limits_wait_for_control_to_be_seen_and_no_data_fails_a_check() {
        let (nothing, slow) = (ArmStats::default(), arm(20, 400.0));
        let seen = [[nothing, nothing], [slow, slow], [arm(40, 800.0), slow]];
        let raised = Action::RaiseTo(Rollout::from_percent(4.0).unwrap());
        assert_eq!(answers(&mut Flagger::default(), 1, &seen), [Action::Hold, raised, raised]);
        let blind = vec![[ArmStats::default(), ArmStats::default()]; 11];
        let answers = answers(&mut Flagger::default(), 1, &blind);
        assert_eq!(answers.iter().position(|action| *action == Action::RollBack), Some(10));
    }
}
