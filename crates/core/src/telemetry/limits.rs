//! Hard limits: what rolls back whatever the policy says, and the excess of treatment over control that they limit.

use serde::{Deserialize, Serialize};

use super::reference::Slow;

/// Standard errors by which a hard limit has to be exceeded, so that noise alone does not break it.
pub(super) const HARD_ERRORS: f64 = 4.0;

/// More requests than this, as a share, beyond a multiple of the P99 threshold mean a P99 beyond that multiple.
pub(super) const HARD_SLOW: f64 = 0.01;

/// Which of the two things that are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Metric {
    /// The share of failed requests.
    #[serde(rename = "errors")]
    Errors,
    /// The share of requests slower than control's former P99.
    P99,
}

impl Metric {
    /// All of them, each at its place.
    pub const ALL: [Self; 2] = [Self::Errors, Self::P99];

    /// As it stands in sentences.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::P99 => "P99",
        }
    }
}

/// Limits on treatment minus control over the last intervals, each to be exceeded by four standard errors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HardLimits {
    /// More failed requests in treatment than in control, in percentage points. 5.
    pub errors: f64,
    /// P99 of treatment as a multiple of control's. 3.
    pub p99_ratio: f64,
    /// Least treatment requests. 100.
    pub min_samples: u64,
}

impl Default for HardLimits {
    fn default() -> Self {
        Self { errors: 5.0, p99_ratio: 3.0, min_samples: 100 }
    }
}

/// A broken hard limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Breach {
    /// Of what.
    pub metric: Metric,
    /// Share of bad requests, treatment minus control, 0 to 1.
    pub excess: f64,
    /// The limit, as a share, 0 to 1.
    pub limit: f64,
    /// Treatment requests behind it.
    pub n: u64,
    /// Over so many intervals, the last ones.
    pub intervals: u32,
}

/// The first bucket beyond `ratio` times the P99 threshold: a P99 beyond that is the same as more than 1 % of the
/// requests in it and above.
pub(super) fn hard_edge(slow: Slow, limits: &HardLimits, part: f64) -> usize {
    let beyond = super::bucket_of(slow.ms * (1.0 + (limits.p99_ratio - 1.0) * part)) + 1;
    // Beyond the last bucket there is nothing to count: the last one then has to do.
    beyond.min(super::BUCKET_COUNT - 1)
}

/// Bad requests and all requests of an arm.
pub(super) type Tally = (f64, f64);

/// Treatment's share of bad requests minus control's, stratified by interval (Mantel and Haenszel 1959): intervals
/// differ in level and in split, and adding them up first would blame a flag that was raised just before both arms went
/// bad.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Excess {
    weight: f64,
    weighted: f64,
    variance: f64,
    treatment: f64,
}

impl Excess {
    pub(super) fn over(intervals: impl Iterator<Item = (Tally, Tally)>) -> Self {
        let mut sum = Self::default();
        for ((bad_t, n_t), (bad_c, n_c)) in intervals {
            if n_t <= 0.0 || n_c <= 0.0 {
                continue;
            }
            let weight = n_t * n_c / (n_t + n_c);
            let pooled = (bad_t + bad_c + 0.5) / (n_t + n_c + 1.0);
            sum.weight += weight;
            sum.weighted += weight * (bad_t / n_t - bad_c / n_c);
            sum.variance += weight * pooled * (1.0 - pooled).max(0.0);
            sum.treatment += n_t;
        }
        sum
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a sum of counts")]
    pub(super) fn n(&self) -> u64 {
        self.treatment as u64
    }

    /// The excess, where it is beyond `limit` by four standard errors and at least `least` requests say so.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub(super) fn beyond(&self, limit: f64, least: u64) -> Option<f64> {
        if self.treatment < least as f64 || self.weight <= 0.0 {
            return None;
        }
        let excess = self.weighted / self.weight;
        let error = libm::sqrt(self.variance) / self.weight;
        (excess > limit + HARD_ERRORS * error).then_some(excess)
    }
}
