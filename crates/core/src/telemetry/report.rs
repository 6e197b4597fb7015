//! What a window says: plain numbers for policies, the shield and the screen.

use serde::{Deserialize, Serialize};

use super::{MetricEvidence, Millis, Verdict};

/// One arm over some intervals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ArmStats {
    /// Requests.
    pub requests: u64,
    /// How many of them failed.
    pub errors: u64,
    /// P99 in milliseconds; `None` without latencies.
    pub p99_ms: Option<f64>,
}

impl ArmStats {
    /// Share of failed requests, 0 to 1; `None` without requests.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub fn error_rate(&self) -> Option<f64> {
        (self.requests > 0).then(|| self.errors as f64 / self.requests as f64)
    }
}

/// What a window says about a flag at one tick.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WindowReport {
    /// The verdict.
    pub verdict: Verdict,
    /// Treatment over the last six intervals.
    pub treatment: ArmStats,
    /// Control over the last six intervals, or the baseline where the flag is at 100 %.
    pub control: ArmStats,
    /// Whether `control` is the recorded one.
    pub control_is_baseline: bool,
    /// Evidence on errors, since the last change.
    pub errors: MetricEvidence,
    /// Evidence on P99: the share of requests slower than `slow_ms`, since the last change.
    pub p99: MetricEvidence,
    /// The P99 of earlier control windows, in milliseconds: the threshold that both arms are measured by.
    pub slow_ms: Option<f64>,
    /// Treatment requests since the last change, warm-up left out.
    pub treatment_n: u64,
    /// Control requests since the last change, warm-up left out.
    pub control_n: u64,
    /// Intervals behind the evidence.
    pub intervals: u32,
    /// Whether the last interval was still warm-up.
    pub warming_up: bool,
    /// Age of the telemetry of both arms; `None` when there never was any.
    pub age: Option<Millis>,
    /// Whether control itself is bad: a dependency.
    pub dependency: bool,
    /// Samples that were not accepted, by reason, in the order of [`super::Rejection::ALL`].
    pub rejected: [u32; 9],
}
