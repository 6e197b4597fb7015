//! Gathering: batches of several senders in any order become one sample a flag, arm and interval, by adding.
//!
//! A batch has an id, so that one that is sent again counts once; what is remembered of ids lasts as long as the interval
//! they were for is open, because after that everything is late. Whatever the order of arrival, the feed of an interval is the
//! same. Time is an argument here. Memory is bounded by the flags there are and by the batches of the open intervals.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use knightwatch_core::{
    flag::FlagId,
    telemetry::{Arm, Feed, Histogram, MAX_REQUESTS, Millis, Reading, Rejection, Sample},
};

/// Intervals that may be open at once.
const MAX_OPEN: usize = 8;

/// Batches remembered for one interval; more than these are refused.
const MAX_BATCHES: usize = 200_000;

/// How often one rejection of one flag is told to the engine at each interval, and all of them together. [`Totals`] has
/// the true numbers.
const TOLD_EACH: u32 = 100;
const TOLD: usize = 20_000;

/// Whose batch it is, and which of theirs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BatchId {
    /// Who sent it: a name of their own for each instance of an application.
    pub sender: Arc<str>,
    /// Its number; a sender uses no number twice while an interval is open.
    pub sequence: u64,
}

/// What has come since the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Readings taken.
    pub accepted: u64,
    /// Readings not taken, in the order of [`Rejection::ALL`].
    pub rejected: [u64; Rejection::ALL.len()],
}

/// One arm of one flag in one interval, so far.
#[derive(Clone, Debug, Default)]
struct Sum {
    requests: u64,
    errors: u64,
    latency: Histogram,
    assumed: bool,
}

/// An interval that is open.
#[derive(Debug, Default)]
struct Open {
    sums: BTreeMap<(FlagId, Arm), Sum>,
    batches: HashSet<BatchId>,
}

/// What has come of the intervals that are open.
#[derive(Debug)]
pub(super) struct Intake {
    interval: Millis,
    max_clock_skew: Millis,
    /// End of the interval closed last.
    closed: Millis,
    /// By the beginning of the interval.
    open: BTreeMap<Millis, Open>,
    /// Intervals that the batch now being taken has added to.
    touched: Vec<Millis>,
    rejected: BTreeMap<(FlagId, Rejection), u32>,
    totals: Totals,
}

impl Intake {
    /// Nothing has come; everything up to `closed`, which is on the grid of intervals, is over.
    pub(super) fn new(interval: Millis, max_clock_skew: Millis, closed: Millis) -> Self {
        Self {
            interval,
            max_clock_skew,
            closed,
            open: BTreeMap::new(),
            touched: Vec::new(),
            rejected: BTreeMap::new(),
            totals: Totals::default(),
        }
    }

    pub(super) const fn closed(&self) -> Millis {
        self.closed
    }

    pub(super) const fn totals(&self) -> Totals {
        self.totals
    }

    /// Adds one reading of a batch. After the batch's last one comes [`Self::seal`].
    pub(super) fn take(&mut self, now: Millis, batch: &BatchId, reading: &Reading) -> Result<(), Rejection> {
        let taken = self.added(now, batch, reading);
        match taken {
            Ok(()) => self.totals.accepted += 1,
            Err(why) => self.reject(reading.flag, why),
        }
        taken
    }

    /// From here on the batch is one that has come.
    pub(super) fn seal(&mut self, batch: &BatchId) {
        for start in self.touched.drain(..) {
            if let Some(open) = self.open.get_mut(&start) {
                open.batches.insert(batch.clone());
            }
        }
    }

    /// Counts readings that are for no flag.
    pub(super) fn refused(&mut self, why: Rejection, count: u64) {
        self.totals.rejected[why as usize] += count;
    }

    fn added(&mut self, now: Millis, batch: &BatchId, reading: &Reading) -> Result<(), Rejection> {
        let sample = Sample::try_from(reading)?;
        let step = self.interval.0;
        let start = Millis(sample.start.0 / step * step);
        let end = start + self.interval;
        // It may be a part of an interval, but not of two.
        if sample.span.0 == 0 || sample.span > self.interval || sample.end() > end {
            return Err(Rejection::Misaligned);
        }
        if end <= self.closed {
            return Err(Rejection::Late);
        }
        if sample.end() > now + self.max_clock_skew {
            return Err(Rejection::Skewed);
        }
        if !self.open.contains_key(&start) && self.open.len() >= MAX_OPEN {
            // The engine is held up; it lets go of the oldest too.
            self.let_go();
        }
        let open = self.open.entry(start).or_default();
        if open.batches.contains(batch) {
            return Err(Rejection::Duplicate);
        }
        if open.batches.len() >= MAX_BATCHES {
            return Err(Rejection::Absurd);
        }
        if !self.touched.contains(&start) {
            self.touched.push(start);
        }
        let sum = open.sums.entry((sample.flag, sample.arm)).or_default();
        sum.requests += u64::from(sample.requests);
        sum.errors += u64::from(sample.errors);
        sum.assumed |= sample.assumed;
        for (bucket, count) in sample.latency.counts().iter().enumerate() {
            sum.latency.add_to_bucket(bucket, *count);
        }
        Ok(())
    }

    /// Closes the interval that ends at `end`, and all before it; puts what came of it into `feed`, in the order of flags.
    pub(super) fn close(&mut self, end: Millis, feed: &mut Feed) {
        feed.clear();
        let start = end - self.interval;
        while self.open.first_key_value().is_some_and(|(oldest, _)| *oldest < start) {
            self.let_go();
        }
        let open = self.open.remove(&start).unwrap_or_default();
        for ((flag, arm), sum) in open.sums {
            match to_counts(&sum) {
                Some((requests, errors)) => feed.samples.push(Sample {
                    flag,
                    arm,
                    start,
                    span: self.interval,
                    requests,
                    errors,
                    latency: sum.latency,
                    assumed: sum.assumed,
                }),
                None => self.reject(flag, Rejection::Absurd),
            }
        }
        self.closed = end;
        let told = std::mem::take(&mut self.rejected)
            .into_iter()
            .flat_map(|((flag, why), count)| std::iter::repeat_n((flag, why), count.min(TOLD_EACH) as usize));
        feed.rejected.extend(told.take(TOLD));
    }

    /// Gives up the oldest open interval: it will not be closed in time.
    fn let_go(&mut self) {
        let Some((start, open)) = self.open.pop_first() else { return };
        self.closed = self.closed.max(start + self.interval);
        for (flag, _) in open.sums.into_keys() {
            self.reject(flag, Rejection::Late);
        }
    }

    fn reject(&mut self, flag: FlagId, why: Rejection) {
        self.totals.rejected[why as usize] += 1;
        let count = self.rejected.entry((flag, why)).or_default();
        *count = count.saturating_add(1);
    }
}

/// Requests and errors, where they are as few as are believed of one arm in one interval.
fn to_counts(sum: &Sum) -> Option<(u32, u32)> {
    let believed = |count: u64| u32::try_from(count).ok().filter(|count| f64::from(*count) <= MAX_REQUESTS);
    Some((believed(sum.requests)?, believed(sum.errors)?))
}

#[cfg(test)]
mod tests;
