//! Where telemetry comes from, and where rollouts go: the trait that the simulator, recordings and applications stand behind.
//!
//! It must not know who decides.

use std::time::Duration;

use crate::{
    flag::Rollout,
    telemetry::{Feed, Millis},
};

/// A world that moves by one control interval at a time.
pub trait Source: Send {
    /// Controller time; where it is simulated, the end of the last interval.
    fn now(&self) -> Millis;

    /// The end of the interval that was closed last; not after [`Source::now`].
    fn end(&self) -> Millis {
        self.now()
    }

    /// In how long the next step is due, where time is real; `None` where it goes at whatever pace is asked for.
    fn next_in(&self) -> Option<Duration> {
        None
    }

    /// Whether it has come to its end.
    fn done(&self) -> bool;

    /// Lives through one interval at these rollouts (by [`FlagId`](crate::flag::FlagId)) and returns the telemetry that arrived in `feed`.
    fn step(&mut self, rollouts: &[Rollout], feed: &mut Feed);
}
