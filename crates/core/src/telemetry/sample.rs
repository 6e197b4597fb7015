//! Samples: one arm, one interval. What comes from outside is a [`Reading`] until it has been checked.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{BUCKET_COUNT, Histogram, Millis};
use crate::flag::FlagId;

/// Which side of the flag a request was on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arm {
    /// Requests with the flag off.
    Control,
    /// Requests with the flag on.
    Treatment,
}

/// What one arm of one flag did in one interval. Its numbers have been checked: errors and histogram fit the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Whose.
    pub flag: FlagId,
    /// Which arm.
    pub arm: Arm,
    /// When the interval began.
    pub start: Millis,
    /// How long it was.
    pub span: Millis,
    /// Requests (or finished jobs) in it.
    pub requests: u32,
    /// How many of them failed; at most `requests`.
    pub errors: u32,
    /// Those of them whose latency was measured, by latency: all or none, unless several senders were added up.
    pub latency: Histogram,
    /// Whether `requests` was assumed because the source has no counts.
    #[serde(default)]
    pub assumed: bool,
}

impl Sample {
    /// When the interval ended.
    #[must_use]
    pub fn end(&self) -> Millis {
        self.start + self.span
    }
}

/// What a source reports, unchecked.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// Whose.
    pub flag: FlagId,
    /// Which arm.
    pub arm: Arm,
    /// When the interval began.
    pub start: Millis,
    /// How long it was.
    pub span: Millis,
    /// Requests in it; sources may say anything.
    pub requests: f64,
    /// How many of them failed.
    pub errors: f64,
    /// Requests by latency, as `(milliseconds, count)`.
    pub latency: Vec<(f64, f64)>,
    /// Whether `requests` was assumed because the source has no counts.
    pub assumed: bool,
}

/// Why a reading did not become a sample. Rejected readings are counted by reason and never reach a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rejection {
    /// NaN or infinite.
    #[error("not a finite number")]
    NotFinite,
    /// Below zero.
    #[error("negative")]
    Negative,
    /// More than half a billion requests in one interval.
    #[error("absurdly large")]
    Absurd,
    /// More errors than requests, or a histogram that does not add up.
    #[error("does not add up")]
    Inconsistent,
    /// Not on the grid of control intervals.
    #[error("not aligned to the control interval")]
    Misaligned,
    /// From the future: the source's clock is ahead.
    #[error("clock ahead")]
    Skewed,
    /// Came after its interval was closed; the past is not rewritten.
    #[error("too late")]
    Late,
    /// The same sample again.
    #[error("duplicate")]
    Duplicate,
    /// For no flag that is known.
    #[error("unknown flag")]
    UnknownFlag,
}

impl Rejection {
    /// Every reason, in the order in which they are counted.
    pub const ALL: [Self; 9] = [
        Self::NotFinite,
        Self::Negative,
        Self::Absurd,
        Self::Inconsistent,
        Self::Misaligned,
        Self::Skewed,
        Self::Late,
        Self::Duplicate,
        Self::UnknownFlag,
    ];
}

/// Most requests believed of one arm in one interval: eight such samples can be added up in 32 bits.
pub const MAX_REQUESTS: f64 = 5e8;

impl TryFrom<&Reading> for Sample {
    type Error = Rejection;

    fn try_from(reading: &Reading) -> Result<Self, Rejection> {
        let requests = count(reading.requests)?;
        let errors = count(reading.errors)?;
        if errors > requests {
            return Err(Rejection::Inconsistent);
        }
        let mut latency = Histogram::default();
        for (milliseconds, requests) in &reading.latency {
            if !milliseconds.is_finite() {
                return Err(Rejection::NotFinite);
            }
            if *milliseconds < 0.0 {
                return Err(Rejection::Negative);
            }
            latency.record(*milliseconds, count(*requests)?);
        }
        let measured = latency.total();
        if measured != 0 && measured.abs_diff(u64::from(requests)) > BUCKET_COUNT as u64 {
            return Err(Rejection::Inconsistent);
        }
        let Reading { flag, arm, start, span, assumed, .. } = *reading;
        Ok(Self { flag, arm, start, span, requests, errors, latency, assumed })
    }
}

/// A count of requests from a number that may be anything.
fn count(number: f64) -> Result<u32, Rejection> {
    if !number.is_finite() {
        return Err(Rejection::NotFinite);
    }
    if number < 0.0 {
        return Err(Rejection::Negative);
    }
    if number > MAX_REQUESTS {
        return Err(Rejection::Absurd);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within 0 to half a billion, checked above"
    )]
    let count = libm::round(number) as u32;
    Ok(count)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reading(requests: f64, errors: f64, latency: Vec<(f64, f64)>) -> Reading {
        let (flag, arm) = (FlagId(0), Arm::Treatment);
        let (start, span) = (Millis::ZERO, Millis::from_secs(10));
        Reading { flag, arm, start, span, requests, errors, latency, assumed: false }
    }

    #[test]
    fn absurd_readings_are_rejected_by_reason() {
        let reject = |r: Reading| Sample::try_from(&r).unwrap_err();
        assert_eq!(reject(reading(f64::NAN, 0.0, vec![])), Rejection::NotFinite);
        assert_eq!(reject(reading(f64::INFINITY, 0.0, vec![])), Rejection::NotFinite);
        assert_eq!(reject(reading(10.0, -1.0, vec![])), Rejection::Negative);
        assert_eq!(reject(reading(1e308, 0.0, vec![])), Rejection::Absurd);
        assert_eq!(reject(reading(10.0, 11.0, vec![])), Rejection::Inconsistent);
        assert_eq!(reject(reading(1000.0, 0.0, vec![(20.0, 1.0)])), Rejection::Inconsistent);
        assert_eq!(reject(reading(1.0, 0.0, vec![(f64::NAN, 1.0)])), Rejection::NotFinite);
        assert_eq!(reject(reading(1.0, 0.0, vec![(-4.0, 1.0)])), Rejection::Negative);
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_adds_up(requests in prop::num::f64::ANY, errors in prop::num::f64::ANY) {
            if let Ok(sample) = Sample::try_from(&reading(requests, errors, vec![])) {
                prop_assert!(sample.errors <= sample.requests);
                prop_assert!(f64::from(sample.requests) <= MAX_REQUESTS);
            }
        }
    }
}
