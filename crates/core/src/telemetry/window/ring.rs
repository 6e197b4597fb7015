//! The ring of samples: the last six intervals of both arms, and their sums.
//!
//! The sums are kept by adding the newest interval and taking away the oldest, so that an interval costs the same however
//! long a window exists. The ring must not know what the samples mean.

use crate::telemetry::{ArmStats, Histogram, Sample, baseline_monitor::SIX, limits::Tally};

/// Intervals in the ring.
pub(super) const RECENT: usize = SIX as usize;

/// One interval of one arm.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slice {
    pub(super) requests: u64,
    pub(super) errors: u64,
    /// The total of `latency`: 0 where latencies were not measured.
    pub(super) measured: u64,
    pub(super) latency: Histogram,
}

impl Slice {
    /// From a sample. Without one it is empty.
    pub(super) fn of(sample: Option<&Sample>) -> Self {
        sample.map_or_else(Self::default, |sample| Self {
            requests: u64::from(sample.requests),
            errors: u64::from(sample.errors),
            measured: sample.latency.total(),
            latency: sample.latency,
        })
    }

    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.measured += other.measured;
        self.latency.merge(&other.latency);
    }

    fn take(&mut self, other: &Self) {
        self.requests -= other.requests;
        self.errors -= other.errors;
        self.measured -= other.measured;
        self.latency.subtract(&other.latency);
    }

    /// As the statistics of an arm.
    pub(super) fn stats(&self) -> ArmStats {
        let p99_ms = self.latency.quantile_of(self.measured, 0.99);
        ArmStats { requests: self.requests, errors: self.errors, p99_ms }
    }

    /// Failed requests, of all.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub(super) fn errors(&self) -> Tally {
        (self.errors as f64, self.requests as f64)
    }

    /// Requests at or beyond bucket `edge`, of those whose latency was measured.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub(super) fn beyond(&self, edge: usize) -> Tally {
        (self.latency.at_or_above(edge) as f64, self.measured as f64)
    }
}

/// One interval of both arms.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Interval {
    pub(super) treatment: Slice,
    pub(super) control: Slice,
}

/// The last [`RECENT`] intervals of both arms.
#[derive(Clone, Debug, Default)]
pub(super) struct Ring {
    intervals: [Interval; RECENT],
    /// Where the next interval goes, which is where the oldest is.
    next: usize,
    treatment: Slice,
    control: Slice,
}

impl Ring {
    /// Takes in an interval in place of the oldest.
    pub(super) fn push(&mut self, interval: &Interval) {
        let oldest = std::mem::replace(&mut self.intervals[self.next], *interval);
        self.next = (self.next + 1) % RECENT;
        self.treatment.take(&oldest.treatment);
        self.control.take(&oldest.control);
        self.treatment.add(&interval.treatment);
        self.control.add(&interval.control);
    }

    /// All intervals, in no order that matters. Those before the first are empty.
    pub(super) const fn intervals(&self) -> &[Interval] {
        &self.intervals
    }

    /// The newest interval, as a slice of one.
    pub(super) fn newest(&self) -> &[Interval] {
        let newest = (self.next + RECENT - 1) % RECENT;
        &self.intervals[newest..=newest]
    }

    /// The sum of treatment.
    pub(super) const fn treatment(&self) -> &Slice {
        &self.treatment
    }

    /// The sum of control.
    pub(super) const fn control(&self) -> &Slice {
        &self.control
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An interval of so many treatment requests, twice as many of control, at `ms`.
    fn interval(requests: u32, ms: f64) -> Interval {
        let slice = |requests: u32| {
            let mut latency = Histogram::default();
            latency.record(ms, requests);
            Slice {
                requests: u64::from(requests),
                errors: u64::from(requests / 10),
                measured: latency.total(),
                latency,
            }
        };
        Interval { treatment: slice(requests), control: slice(2 * requests) }
    }

    #[test]
    fn the_sums_are_those_of_the_last_six() {
        let mut ring = Ring::default();
        for requests in 1..=20 {
            ring.push(&interval(requests, f64::from(requests)));
            let first = requests.saturating_sub(5).max(1);
            let expected: u64 = (first..=requests).map(u64::from).sum();
            assert_eq!(ring.treatment().requests, expected, "after {requests}");
            assert_eq!(ring.control().requests, 2 * expected);
            assert_eq!(ring.treatment().latency.total(), expected);
        }
        assert_eq!(ring.treatment().errors, 1 + 1 + 1 + 1 + 1 + 2, "15 to 19 give one each, 20 gives two");
    }

    #[test]
    fn the_newest_is_the_one_pushed_last() {
        let mut ring = Ring::default();
        assert_eq!(ring.newest()[0].treatment.requests, 0, "nothing yet");
        for requests in 1..=9 {
            ring.push(&interval(requests, 50.0));
            assert_eq!(ring.newest().len(), 1);
            assert_eq!(ring.newest()[0].treatment.requests, u64::from(requests));
        }
        assert_eq!(ring.intervals().len(), RECENT);
    }

    #[test]
    fn a_missing_sample_is_an_empty_slice() {
        let empty = Slice::of(None);
        assert_eq!((empty.requests, empty.measured), (0, 0));
        assert_eq!(empty.stats(), ArmStats::default());
        assert_eq!((empty.errors(), empty.beyond(0)), ((0.0, 0.0), (0.0, 0.0)));
    }
}
