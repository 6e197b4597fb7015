//! Evidence: what the windows say, with their uncertainty, and the settings by which they say it.

use serde::{Deserialize, Serialize};

use super::{Counts, HarmTest, HealthTest, Millis, difference_interval, spend};

/// How telemetry becomes a verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvidenceConfig {
    /// Left out of the evidence after each change of rollout: caches are cold. 30 s.
    pub warmup: Millis,
    /// Probability of ever calling a harmless flag `regressed` in one ramp, over all metrics, rungs and looks. 0.01.
    pub alpha: f64,
    /// Probability of calling a metric healthy at one rung when it is worse by the margin. 0.05.
    pub health_alpha: f64,
    /// Times control's error rate that treatment may have before it counts as harm. 1.1.
    pub tolerated_errors: f64,
    /// Times control's share of slow requests that treatment may have; 1.3 is about 8 % more P99 at sigma 0.8. 1.3.
    pub tolerated_slow: f64,
    /// Failed requests of the whole service, as a share, that the next rung may cost at most. 0.001.
    pub error_budget: f64,
    /// Slow requests of the whole service, as a share, that the next rung may cost at most. 0.005.
    pub slow_budget: f64,
    /// The error margin is never below this share. 0.001.
    pub min_error_margin: f64,
    /// The slow margin is never below this share. 0.005.
    pub min_slow_margin: f64,
    /// No margin is below this part of control's own share. 0.25.
    pub relative_margin: f64,
    /// No margin is above this share. 0.1.
    pub max_margin: f64,
    /// What is kept of the baseline at each interval: 0.97 is a memory of about 33 intervals. 0.97.
    pub baseline_decay: f64,
}

impl Default for EvidenceConfig {
    fn default() -> Self {
        Self {
            warmup: Millis::from_secs(30),
            alpha: 0.01,
            health_alpha: 0.05,
            tolerated_errors: 1.1,
            tolerated_slow: 1.3,
            error_budget: 0.001,
            slow_budget: 0.005,
            min_error_margin: 0.001,
            min_slow_margin: 0.005,
            relative_margin: 0.25,
            max_margin: 0.1,
            baseline_decay: 0.97,
        }
    }
}

/// Metrics that alpha is split over: errors and P99.
const METRICS: f64 = 2.0;

/// Alpha is split once more between what was gathered since the last change and the last six intervals.
const MODES: f64 = 2.0;

impl EvidenceConfig {
    /// Nats of evidence of harm needed, for the `index`-th rung visited or the `index`-th interval of the ramp.
    #[must_use]
    pub(super) fn harm_needed(&self, index: u32) -> f64 {
        libm::log(METRICS * MODES / self.alpha) + spend(index)
    }

    /// The margin of a metric: what the next rung may cost at most, per treatment request.
    #[must_use]
    pub(super) fn margin(&self, budget: f64, least: f64, reference: f64, next_share: f64) -> f64 {
        (budget / next_share.max(1e-4)).max(least).max(self.relative_margin * reference).min(self.max_margin)
    }
}

/// Evidence on one metric, treatment against control.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricEvidence {
    /// Share of bad requests in treatment, 0 to 1.
    pub treatment: f64,
    /// Share of bad requests in control, 0 to 1.
    pub control: f64,
    /// Lower end of the anytime-valid 95 % interval of treatment minus control.
    pub low: f64,
    /// Upper end of it.
    pub high: f64,
    /// Evidence that treatment is worse, in nats; the larger of since the last change and the last six intervals.
    pub harm: f64,
    /// From how many nats of `harm` on the verdict is `regressed`.
    pub harm_needed: f64,
    /// Evidence that treatment is not worse by more than `margin`, in nats.
    pub health: f64,
    /// From how many nats of `health` on this metric is healthy.
    pub health_needed: f64,
    /// The margin, as a share of requests.
    pub margin: f64,
}

impl MetricEvidence {
    /// Whether treatment is shown to be worse.
    #[must_use]
    pub fn regressed(&self) -> bool {
        self.harm_needed > 0.0 && self.harm >= self.harm_needed
    }

    /// Whether treatment is shown to be no worse than the margin.
    #[must_use]
    pub fn healthy(&self) -> bool {
        self.health_needed > 0.0 && self.health >= self.health_needed
    }
}

/// One metric since the last change of rollout.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Accumulated {
    pub(super) counts: Counts,
    pub(super) harm: HarmTest,
    pub(super) health: HealthTest,
}

impl Accumulated {
    pub(super) fn add_counts(&mut self, counts: Counts) {
        self.counts.treatment += counts.treatment;
        self.counts.treatment_bad += counts.treatment_bad;
        self.counts.control += counts.control;
        self.counts.control_bad += counts.control_bad;
    }

    /// The evidence, given that of the last six intervals and what each of the two needs.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub(super) fn report(
        &self,
        recent: &HarmTest,
        (needed, recent_needed): (f64, f64),
        health_needed: f64,
        margin: f64,
    ) -> MetricEvidence {
        let share = |bad: u64, n: u64| if n == 0 { 0.0 } else { bad as f64 / n as f64 };
        let (low, high) = difference_interval(self.counts, 0.05);
        let behind = recent_needed - needed;
        let mut harm = self.harm.evidence();
        if recent.bound() - behind > harm {
            harm = harm.max(recent.evidence() - behind);
        }
        MetricEvidence {
            treatment: share(self.counts.treatment_bad, self.counts.treatment),
            control: share(self.counts.control_bad, self.counts.control),
            low,
            high,
            harm,
            harm_needed: needed,
            health: self.health.evidence(),
            health_needed,
            margin,
        }
    }
}
