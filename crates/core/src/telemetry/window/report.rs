//! The report: what the parts of a window come to, as plain numbers and one verdict.
//!
//! Policies, the shield and the screens read the report and nothing else of a window. Making it changes nothing. It must
//! not know how its parts are computed.

use super::{
    baseline::LearnedBaseline,
    context::Context,
    evidence::{Margins, RampEvidence},
    ring::Ring,
};
use crate::telemetry::{MetricEvidence, Millis, Rejection, Verdict, WindowReport, reference::Slow};

/// The parts that a report is made of.
pub(super) struct Parts<'a> {
    pub(super) ring: &'a Ring,
    pub(super) baseline: &'a LearnedBaseline,
    pub(super) evidence: &'a RampEvidence,
    pub(super) margins: Margins<'a>,
    /// The P99 threshold.
    pub(super) slow: Option<Slow>,
    pub(super) age: Option<Millis>,
    pub(super) warming_up: bool,
    /// Whether a dependency is in trouble.
    pub(super) dependency: bool,
    pub(super) rejected: [u32; Rejection::ALL.len()],
}

impl Parts<'_> {
    /// The report at a tick.
    pub(super) fn report(&self, context: &Context<'_>) -> WindowReport {
        let [errors, p99] = self.evidence.metrics(self.margins, self.slow);
        let live = !context.rollout.is_full();
        let counts = self.evidence.counts();
        WindowReport {
            verdict: verdict(context, self.age, &errors, &p99),
            treatment: self.ring.treatment().stats(),
            control: if live { self.ring.control().stats() } else { self.baseline.reference().stats() },
            control_is_baseline: !live,
            errors,
            p99,
            slow_ms: self.slow.map(|slow| slow.ms),
            treatment_n: counts.treatment,
            control_n: counts.control,
            intervals: self.evidence.intervals_since_change(),
            warming_up: self.warming_up,
            age: self.age,
            dependency: self.dependency,
            rejected: self.rejected,
        }
    }
}

/// What telemetry of this age and this evidence come to. At 0 % and at 100 % there are not two live arms to compare.
fn verdict(
    context: &Context<'_>,
    age: Option<Millis>,
    errors: &MetricEvidence,
    p99: &MetricEvidence,
) -> Verdict {
    let lost = age.is_none_or(|age| age > context.stale_after);
    if context.rollout.is_zero() {
        Verdict::Insufficient
    } else if lost {
        Verdict::Lost
    } else if context.rollout.is_full() {
        Verdict::Insufficient
    } else if errors.regressed() || p99.regressed() {
        Verdict::Regressed
    } else if errors.healthy() && p99.healthy() {
        Verdict::Healthy
    } else {
        Verdict::Insufficient
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{flag::Rollout, telemetry::EvidenceConfig};

    const FRESH: Option<Millis> = Some(Millis::ZERO);

    fn evidence(harm: f64, health: f64) -> MetricEvidence {
        MetricEvidence { harm, harm_needed: 6.0, health, health_needed: 3.0, ..MetricEvidence::default() }
    }

    fn verdict_at(
        percent: f64,
        age: Option<Millis>,
        errors: &MetricEvidence,
        p99: &MetricEvidence,
    ) -> Verdict {
        let config = EvidenceConfig::default();
        let context = Context {
            config: &config,
            end: Millis::from_secs(60),
            now: Millis::from_secs(60),
            stale_after: Millis::from_secs(30),
            interval: Millis::from_secs(10),
            ramp: 1,
            changed_at: Millis::ZERO,
            begun: Millis::ZERO,
            rollout: Rollout::from_percent(percent).unwrap(),
            next: Rollout::LAST_RUNG,
        };
        verdict(&context, age, errors, p99)
    }

    #[test]
    fn one_metric_is_enough_to_regress_and_both_are_needed_to_be_healthy() {
        let (good, bad, open) = (evidence(0.0, 3.0), evidence(6.0, 3.0), evidence(5.9, 2.9));
        assert_eq!(verdict_at(50.0, FRESH, &good, &good), Verdict::Healthy);
        assert_eq!(verdict_at(50.0, FRESH, &good, &open), Verdict::Insufficient);
        assert_eq!(verdict_at(50.0, FRESH, &open, &good), Verdict::Insufficient);
        assert_eq!(verdict_at(50.0, FRESH, &good, &bad), Verdict::Regressed);
        assert_eq!(verdict_at(50.0, FRESH, &bad, &good), Verdict::Regressed);
    }

    #[test]
    fn old_or_missing_telemetry_is_lost_whatever_the_evidence() {
        let (good, bad) = (evidence(0.0, 3.0), evidence(6.0, 0.0));
        for evidence in [good, bad] {
            for percent in [50.0, 100.0] {
                let at = |age| verdict_at(percent, age, &evidence, &evidence);
                assert_eq!(at(None), Verdict::Lost);
                assert_eq!(at(Some(Millis(30_001))), Verdict::Lost);
                assert_ne!(at(Some(Millis(30_000))), Verdict::Lost);
            }
        }
    }

    #[test]
    fn without_two_live_arms_nothing_is_decided() {
        let (good, bad) = (evidence(0.0, 3.0), evidence(6.0, 0.0));
        for evidence in [good, bad] {
            assert_eq!(verdict_at(100.0, FRESH, &evidence, &evidence), Verdict::Insufficient);
            assert_eq!(verdict_at(0.0, None, &evidence, &evidence), Verdict::Insufficient);
        }
    }
}
