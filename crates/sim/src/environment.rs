//! The environment of an episode: it answers rollouts with telemetry, and knows the truth that telemetry hides.
//!
//! A simulated world is one; a recording that is played is another. It must not know who decides.

use crate::{Scenario, ScheduledStart, Truth, World};
use knightwatch_core::{
    flag::{FlagSpec, Rollout},
    telemetry::{Feed, Millis},
};

/// See the module. Flags are numbered as [`Environment::specs`] lists them.
pub trait Environment {
    /// What it is, as the journal names its source.
    fn source(&self) -> String;
    /// What its chances are drawn by.
    fn seed(&self) -> u64;
    /// When its first interval begins.
    fn start(&self) -> Millis;
    /// The control interval.
    fn interval(&self) -> Millis;
    /// The flags.
    fn specs(&self) -> Vec<FlagSpec>;
    /// Who starts which flag, and how long after the start; in the order of time.
    fn scheduled_starts(&self) -> Vec<ScheduledStart>;
    /// The z-score that an observer could expect of each flag's harm.
    fn detectability(&self) -> Vec<f64>;
    /// The beginning of the next interval.
    fn now(&self) -> Millis;
    /// Whether it is at its end.
    fn done(&self) -> bool;
    /// Lives through one interval under these rollouts and fills `feed` with what telemetry saw.
    fn step(&mut self, rollouts: &[Rollout], feed: &mut Feed);
    /// What was so in the last interval, flag by flag.
    fn truths(&self) -> &[Truth];
}

/// A scenario's world.
pub struct Simulated<'w> {
    scenario: &'w Scenario,
    seed: u64,
    world: World,
}

impl<'w> Simulated<'w> {
    /// The world of `scenario` under this seed.
    #[must_use]
    pub fn new(scenario: &'w Scenario, seed: u64) -> Self {
        Self { scenario, seed, world: World::new(scenario, seed) }
    }
}

impl Environment for Simulated<'_> {
    fn source(&self) -> String {
        format!("scenario {} (seed {})", self.scenario.name, self.seed)
    }

    fn seed(&self) -> u64 {
        self.seed
    }

    fn start(&self) -> Millis {
        self.scenario.start
    }

    fn interval(&self) -> Millis {
        self.scenario.interval
    }

    fn specs(&self) -> Vec<FlagSpec> {
        self.scenario.specs()
    }

    fn scheduled_starts(&self) -> Vec<ScheduledStart> {
        self.scenario.scheduled_starts().to_vec()
    }

    fn detectability(&self) -> Vec<f64> {
        self.scenario.detectability()
    }

    fn now(&self) -> Millis {
        self.world.now()
    }

    fn done(&self) -> bool {
        self.world.done()
    }

    fn step(&mut self, rollouts: &[Rollout], feed: &mut Feed) {
        self.world.step(rollouts, feed);
    }

    fn truths(&self) -> &[Truth] {
        self.world.truths()
    }
}
