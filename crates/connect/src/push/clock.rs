//! Controller time of a real world: set by the wall clock once, at the start, and then by a clock that only goes forward.
//!
//! The wall clock may be stepped at any time, by three days or back by an hour; holds and dwells must not notice. It never
//! starts before what the journal has seen; then it runs ahead of the wall clock by whole intervals for as long as the
//! process lives, and the times of senders are moved by as much.

use std::time::{Duration, Instant};

use knightwatch_core::telemetry::Millis;

/// Controller time.
pub struct Clock {
    base: Millis,
    offset: Millis,
    elapsed: Box<dyn Fn() -> Duration + Send + Sync>,
}

impl Clock {
    /// One that starts now, with the wall clock at `wall`, and not before `least`. It is ahead of the wall clock by a whole
    /// number of `interval`s: by none where the wall clock is past `least`.
    #[must_use]
    pub fn starting(wall: Millis, least: Millis, interval: Millis) -> Self {
        let begun = Instant::now();
        Self::driven(wall, least, interval, move || begun.elapsed())
    }

    /// The same, with the time since the start from `elapsed`, which never goes back.
    #[must_use]
    pub fn driven(
        wall: Millis,
        least: Millis,
        interval: Millis,
        elapsed: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> Self {
        let step = interval.0.max(1);
        let offset = Millis(least.since(wall).0.div_ceil(step).saturating_mul(step));
        Self { base: wall + offset, offset, elapsed: Box::new(elapsed) }
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Millis {
        self.base + Millis(u64::try_from((self.elapsed)().as_millis()).unwrap_or(u64::MAX))
    }

    /// By how much it is ahead of what the wall clock said at the start.
    #[must_use]
    pub const fn offset(&self) -> Millis {
        self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_starts_at_the_wall_clock_but_never_before_what_was() {
        let interval = Millis(10_000);
        let at = |wall, least| {
            let clock = Clock::driven(Millis(wall), Millis(least), interval, || Duration::from_millis(5));
            (clock.now().0, clock.offset().0)
        };
        assert_eq!(at(1_000_000, 900_000), (1_000_005, 0));
        assert_eq!(at(1_000_000, 1_000_000), (1_000_005, 0));
        // The wall clock was an hour ahead when the journal was written.
        assert_eq!(at(1_000_003, 4_600_001), (4_600_003 + 5, 3_600_000));
        assert_eq!(at(1_000_000, 1_000_001), (1_010_005, 10_000));
    }
}
