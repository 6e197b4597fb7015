//! Kayenta: automated canary analysis as Netflix and Google have it (spinnaker/kayenta, `NetflixACAJudge`,
//! `MannWhitneyClassifier`, `WeightedSumScorer`). At each stage the values of a metric in the canary are compared with
//! those of the baseline by a Mann-Whitney test: it is `High` where the lower end of a 98 % interval of the shift is
//! above a quarter of the Hodges-Lehmann estimate's size. The score is the share of metrics that pass, in percent; half
//! the metrics without data make it 0. Below the marginal score (50) at any judgement the canary has failed, and at the
//! end of a stage below the pass score (75).
//!
//! The metrics are the error rate and P99, of equal weight; only `High` is bad of either. Liberties: a value is a control
//! interval and not a minute, for five minutes would give too few; values since the last change of rollout are judged
//! (Kayenta's growing analysis), at most the last [`MAX_POINTS`], warm-up left out; stages and dwell are the fixed
//! schedule's, as Kayenta leaves them to the pipeline.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::ranks::shift;
use knightwatch_agent::tunable::{
    Knob, Method, Range,
    ramp::{Climb, Ramp},
};
use knightwatch_core::{
    control::{Action, Observation},
    flag::Rollout,
    telemetry::Millis,
};

/// Values that are judged at most: ten minutes.
const MAX_POINTS: usize = 60;

/// Kayenta with its settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Kayenta {
    /// The pipeline's stages.
    ramp: Ramp,
    /// Time at each stage, in seconds.
    dwell_secs: u64,
    /// Time between judgements, in seconds.
    interval_secs: u64,
    /// The part of the estimate that the interval has to leave free.
    fraction: f64,
    /// The interval's confidence, 0 to 1.
    confidence: f64,
    /// Score that ends a stage, 0 to 100.
    pass: f64,
    /// Score below which the canary has failed, 0 to 100.
    marginal: f64,
}

impl Default for Kayenta {
    fn default() -> Self {
        Self {
            ramp: Ramp::Standard,
            dwell_secs: 300,
            interval_secs: 60,
            fraction: 0.25,
            confidence: 0.98,
            pass: 75.0,
            marginal: 50.0,
        }
    }
}

/// What it remembers of one stage.
#[derive(Clone, Debug, Default)]
pub(super) struct CanaryStage {
    climb: Climb,
    rollout: Rollout,
    judged_at: Millis,
    /// Of errors and P99: canary and baseline.
    metrics: [[VecDeque<f64>; 2]; 2],
}

impl Method for Kayenta {
    const NAME: &'static str = "kayenta";
    const KNOBS: &'static [Knob] = &[
        Knob { key: "ramp", range: Range::OneOf(Ramp::NAMES) },
        Knob { key: "dwell_secs", range: Range::WholeLog(60, 900) },
        Knob { key: "interval_secs", range: Range::WholeLog(10, 300) },
        Knob { key: "fraction", range: Range::Even(0.0, 1.0) },
        Knob { key: "confidence", range: Range::Even(0.8, 0.9999) },
        Knob { key: "pass", range: Range::Even(1.0, 100.0) },
        Knob { key: "marginal", range: Range::Even(0.0, 100.0) },
    ];
    type Memory = CanaryStage;

    fn act(&self, stage: &mut CanaryStage, seen: &Observation<'_>) -> Action {
        if stage.rollout != seen.rollout {
            *stage = CanaryStage {
                climb: stage.climb,
                rollout: seen.rollout,
                judged_at: seen.now.since(seen.since_change),
                ..CanaryStage::default()
            };
        }
        stage.note(seen);
        let due = stage.climb.due(self.ramp, Millis::from_secs(self.dwell_secs), seen);
        if let Some(to) = due.filter(|_| !stage.climb.at_stage(self.ramp, seen)) {
            return stage.climb.go(to);
        }
        if due.is_none() && seen.now.since(stage.judged_at) < Millis::from_secs(self.interval_secs) {
            return Action::Hold;
        }
        stage.judged_at = seen.now;
        let score = self.score(stage);
        match due {
            _ if score < self.marginal => Action::RollBack,
            Some(_) if score < self.pass => Action::RollBack,
            Some(to) => stage.climb.go(to),
            None => Action::Hold,
        }
    }
}

impl CanaryStage {
    fn note(&mut self, seen: &Observation<'_>) {
        if seen.report.warming_up {
            return;
        }
        for (arm, slot) in [(0, 1), (1, 0)] {
            let Some(stats) = seen.latest[slot] else { continue };
            for (metric, value) in self.metrics.iter_mut().zip([stats.error_rate(), stats.p99_ms]) {
                metric[arm].extend(value);
                if metric[arm].len() > MAX_POINTS {
                    metric[arm].pop_front();
                }
            }
        }
    }
}

impl Kayenta {
    /// 0 to 100.
    fn score(&self, stage: &mut CanaryStage) -> f64 {
        let (mut passed, mut judged) = (0.0, 0.0);
        let metrics = stage.metrics.len();
        for [canary, baseline] in &mut stage.metrics {
            let Some(shift) = shift(canary.make_contiguous(), baseline.make_contiguous(), self.confidence)
            else {
                continue;
            };
            judged += 1.0;
            passed += if shift.low > self.fraction * shift.estimate.abs() { 0.0 } else { 1.0 };
        }
        #[expect(clippy::cast_precision_loss, reason = "two metrics")]
        let half = metrics as f64 / 2.0;
        if judged <= half { 0.0 } else { 100.0 * passed / judged }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use knightwatch_agent::tunable::rehearsal::{ArmInterval, Rehearsal, raise};

    /// Five minutes of values that wander around these errors and this P99, in both arms; what was done, from 1 %.
    fn stage(kayenta: Kayenta, errors: [u64; 2], p99_ms: [f64; 2]) -> Vec<(usize, Action)> {
        let mut canary = Rehearsal::of(kayenta);
        let mut done = Vec::new();
        for (interval, wander) in (1..=30).zip([0_u32, 3, 1, 4, 2].into_iter().cycle()) {
            let arm = |arm: usize| -> ArmInterval {
                (1_000, errors[arm] + u64::from(wander), 0, p99_ms[arm] + f64::from(wander))
            };
            let action = canary.see(Some([arm(0), arm(1)]));
            if action != Action::Hold {
                done.push((interval, action));
            }
        }
        done
    }

    #[test]
    fn two_metrics_that_pass_end_the_stage() {
        assert_eq!(stage(Kayenta::default(), [10, 10], [200.0, 200.0]), [(30, raise(5.0))]);
        // Better is not worse.
        assert_eq!(stage(Kayenta::default(), [1, 10], [100.0, 200.0]), [(30, raise(5.0))]);
    }

    #[test]
    fn one_metric_that_is_high_is_marginal_and_fails_at_the_stages_end() {
        assert_eq!(stage(Kayenta::default(), [40, 10], [200.0, 200.0]), [(30, Action::RollBack)]);
        assert_eq!(stage(Kayenta::default(), [10, 10], [260.0, 200.0]), [(30, Action::RollBack)]);
        let lenient = Kayenta { pass: 50.0, ..Kayenta::default() };
        assert_eq!(stage(lenient, [40, 10], [200.0, 200.0]), [(30, raise(5.0))]);
    }

    #[test]
    fn two_metrics_that_are_high_fail_at_the_next_judgement() {
        let done = stage(Kayenta::default(), [40, 10], [260.0, 200.0]);
        assert_eq!(done.first(), Some(&(6, Action::RollBack)), "six values of each are enough for 98 %");
    }

    #[test]
    fn a_shift_that_is_small_beside_its_own_spread_passes() {
        // The estimate is 1 and the lower end 0: not above a quarter of it.
        assert_eq!(stage(Kayenta::default(), [11, 10], [201.0, 200.0]), [(30, raise(5.0))]);
    }

    #[test]
    fn without_data_the_score_is_nothing() {
        assert_eq!(Rehearsal::of(Kayenta::default()).minutes(1, None), [(6, Action::RollBack)]);
    }
}
