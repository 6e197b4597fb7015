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
    /// What the service's owner has set: most errors, as a share, and most P99, in milliseconds.
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
        let usual = &seen.report.control;
        let (errors, p99_ms) = *canary.limits.get_or_insert_with(|| {
            let errors = LENIENCY * usual.error_rate().unwrap_or(0.0);
            let p99_ms = LENIENCY * usual.p99_ms.unwrap_or(0.0);
            (errors.max(1.0 - self.success_rate), p99_ms.max(self.p99_ms))
        });
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
