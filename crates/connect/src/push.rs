//! Telemetry that applications send: gathered interval by interval, and handed to the engine when an interval is closed.
//!
//! An [`Inlet`] is shared: the server puts batches in, the engine's [`Push`] closes intervals and takes out what came. Real
//! time is read here, once, and turned into controller time. Knows nothing of how batches travel or what they are for.

mod clock;
mod intake;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

pub use clock::Clock;
pub use intake::{BatchId, Totals};

use self::intake::Intake;
use knightwatch_core::{
    Source,
    flag::Rollout,
    telemetry::{Feed, Millis, Reading, Rejection},
};

/// Intervals that are closed one after the other when the engine was held up; older ones are let go.
const CATCH_UP: u64 = 6;

/// How late and how early telemetry may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PushConfig {
    /// How long after its end an interval is closed. 2 s.
    pub lateness: Millis,
    /// How far a sender's clock may be ahead. 2 s.
    pub max_clock_skew: Millis,
}

impl Default for PushConfig {
    fn default() -> Self {
        Self { lateness: Millis::from_secs(2), max_clock_skew: Millis::from_secs(2) }
    }
}

/// Where batches come in.
pub struct Inlet {
    clock: Clock,
    interval: Millis,
    config: PushConfig,
    intake: Mutex<Intake>,
}

impl Inlet {
    /// One that begins now. The first interval that it closes ends after now.
    #[must_use]
    pub fn new(clock: Clock, interval: Millis, config: PushConfig) -> Arc<Self> {
        let interval = Millis(interval.0.max(1));
        let begun = Millis(clock.now().0 / interval.0 * interval.0);
        let intake = Mutex::new(Intake::new(interval, config.max_clock_skew, begun));
        Arc::new(Self { clock, interval, config, intake })
    }

    /// The control interval.
    #[must_use]
    pub const fn interval(&self) -> Millis {
        self.interval
    }

    /// Now, as a sender with a right clock would say it.
    #[must_use]
    pub fn senders_now(&self) -> Millis {
        self.clock.now().since(self.clock.offset())
    }

    /// The end of the interval that was closed last, as a sender would say it.
    #[must_use]
    pub fn senders_closed(&self) -> Millis {
        self.intake().closed().since(self.clock.offset())
    }

    /// Takes a batch, with the times of its sender; says of each reading why it was not taken. The same batch counts once.
    pub fn take(&self, batch: &BatchId, readings: &[Reading]) -> Vec<Option<Rejection>> {
        let offset = self.clock.offset();
        let now = self.clock.now();
        let mut intake = self.intake();
        let taken = readings.iter().map(|reading| {
            let start = reading.start + offset;
            intake.take(now, batch, &Reading { start, ..reading.clone() }).err()
        });
        let taken = taken.collect();
        intake.seal(batch);
        taken
    }

    /// Counts readings that were refused before they came here: for flags that are not known, or not readable.
    pub fn refused(&self, why: Rejection, count: u64) {
        self.intake().refused(why, count);
    }

    /// What has come since the beginning.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.intake().totals()
    }

    fn intake(&self) -> MutexGuard<'_, Intake> {
        // Sums are added up one by one; after a panic they are whole.
        self.intake.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The engine's end of an inlet: closes an interval at a time, some time after its end. It never comes to an end.
pub struct Push {
    inlet: Arc<Inlet>,
}

impl Push {
    /// Takes from `inlet`. There is one of these to an inlet.
    #[must_use]
    pub const fn new(inlet: Arc<Inlet>) -> Self {
        Self { inlet }
    }

    /// Controller time; not before the end of the last closed interval.
    #[must_use]
    pub fn now(&self) -> Millis {
        self.inlet.clock.now().max(self.end())
    }

    /// The end of the last closed interval.
    #[must_use]
    pub fn end(&self) -> Millis {
        self.inlet.intake().closed()
    }

    /// How long until the next interval is to be closed.
    #[must_use]
    pub fn due(&self) -> Duration {
        let at = self.end() + self.inlet.interval + self.inlet.config.lateness;
        Duration::from_millis(at.since(self.inlet.clock.now()).0)
    }

    /// Closes the next interval and returns what arrived in it. Where the engine was held up for long the intervals in
    /// between are let go: what came of them is late.
    pub fn step(&self, feed: &mut Feed) {
        let interval = self.inlet.interval.0;
        let ready = self.inlet.clock.now().since(self.inlet.config.lateness).0 / interval * interval;
        let mut intake = self.inlet.intake();
        let oldest = Millis(ready.saturating_sub((CATCH_UP - 1) * interval));
        let end = (intake.closed() + self.inlet.interval).max(oldest);
        intake.close(end, feed);
    }
}

impl Source for Push {
    fn now(&self) -> Millis {
        self.now()
    }

    fn end(&self) -> Millis {
        self.end()
    }

    fn next_in(&self) -> Option<Duration> {
        Some(self.due())
    }

    fn done(&self) -> bool {
        false
    }

    fn step(&mut self, _: &[Rollout], feed: &mut Feed) {
        Self::step(self, feed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use knightwatch_core::{flag::FlagId, telemetry::Arm};

    /// An inlet whose time is set by hand, in milliseconds since the start.
    fn inlet() -> (Arc<Inlet>, Push, Arc<AtomicU64>) {
        let elapsed = Arc::new(AtomicU64::new(0));
        let hand = Arc::clone(&elapsed);
        let interval = Millis(10_000);
        // The journal is an hour ahead of the wall clock.
        let clock = Clock::driven(Millis(1_000_003_000), Millis(1_003_603_000), interval, move || {
            Duration::from_millis(hand.load(Ordering::SeqCst))
        });
        let inlet = Inlet::new(clock, interval, PushConfig::default());
        (Arc::clone(&inlet), Push::new(inlet), elapsed)
    }

    fn send(inlet: &Inlet, sequence: u64, start: u64) -> Option<Rejection> {
        let batch = BatchId { sender: "web-1".into(), sequence };
        let reading = Reading {
            flag: FlagId(0),
            arm: Arm::Control,
            start: Millis(start),
            span: Millis(1_000),
            requests: 10.0,
            errors: 0.0,
            latency: Vec::new(),
            assumed: false,
        };
        inlet.take(&batch, &[reading])[0]
    }

    #[test]
    fn an_interval_is_closed_when_it_is_over_and_some_time_has_passed() {
        let (inlet, push, elapsed) = inlet();
        let mut feed = Feed::default();
        assert_eq!(push.end(), Millis(1_003_600_000));
        assert_eq!(push.due(), Duration::from_secs(7 + 2), "the interval's end, and what may be late");
        // Senders go by the wall clock, which is an hour behind.
        assert_eq!(inlet.senders_now(), Millis(1_000_003_000));
        assert_eq!(send(&inlet, 1, 1_000_001_000), None);
        elapsed.store(8_500, Ordering::SeqCst);
        assert_eq!(send(&inlet, 2, 1_000_009_000), None, "late, but not too late");
        elapsed.store(9_000, Ordering::SeqCst);
        assert_eq!(push.due(), Duration::ZERO);
        push.step(&mut feed);
        assert_eq!((push.end(), push.now()), (Millis(1_003_610_000), Millis(1_003_612_000)));
        assert_eq!((feed.samples.len(), feed.samples[0].requests), (1, 20));
        assert_eq!(feed.samples[0].end(), push.end());
        assert_eq!(send(&inlet, 3, 1_000_009_000), Some(Rejection::Late));
    }

    #[test]
    fn after_a_long_stall_the_newest_intervals_are_closed_one_by_one() {
        let (inlet, push, elapsed) = inlet();
        let mut feed = Feed::default();
        for minute in 0..20 {
            elapsed.store(minute * 60_000, Ordering::SeqCst);
            assert_eq!(send(&inlet, minute, 1_000_002_000 + minute * 60_000), None);
        }
        let mut closed = 0;
        let mut last = push.end();
        while push.due().is_zero() {
            push.step(&mut feed);
            assert!(push.end() > last && push.end() <= push.now());
            last = push.end();
            closed += 1;
        }
        assert_eq!(closed, CATCH_UP);
        assert!(push.now().since(last) < Millis(10_000 + 2_000));
    }
}
