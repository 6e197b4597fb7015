//! Rollouts: many simulated worlds at once, each flag in them a trajectory, on the very tick that runs in production.
//!
//! A world ends when its flags are through, and the next scenario of the generator takes its place; a step that is cut
//! off when enough are gathered stays open and is finished in the next round. All chance hangs on the scenario's
//! number, so that a world can be rebuilt from what was chosen in it ([`Saved`]). It knows nothing of libtorch.

mod lane;
mod sampler;

use serde::{Deserialize, Serialize};

use self::lane::{Lane, Priced, SavedLane};
use super::{
    Rollout, Segment, Tail,
    price::{Good, Prices},
};
use knightwatch_agent::{CHOICES, FEATURE_COUNT, Features, Network, Normaliser};
use knightwatch_core::control::ControlConfig;
use knightwatch_sim::{Cost, Curriculum, Generator};

/// What only the critic sees, beside the features.
pub(super) const PRIVILEGED: usize = lane::PRIVILEGED;

/// What all worlds have in common.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    /// Evidence and shield, as in production.
    pub(super) control: ControlConfig,
    /// What a rollout costs.
    pub(super) cost: Cost,
    /// Discount of an interval.
    pub(super) gamma: f64,
    /// What rewards are multiplied by.
    pub(super) reward_scale: f64,
    /// Largest factor, and its inverse, by which harm is weighed otherwise than usual.
    pub(super) harm_weights: f64,
    /// Chooses scenarios and chances apart from those of other runs.
    pub(super) seed: u64,
}

/// Worlds that one thread runs.
pub(super) struct Worlds {
    setting: Setting,
    generator: Generator,
    prices: Prices,
    lanes: Vec<Lane>,
    /// The number of the next scenario, and how far the one after it is.
    next: u64,
    stride: u64,
    harvest: Harvest,
    episodes: Episodes,
}

/// What is known of episodes that ended since last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Episodes {
    /// How many.
    pub(super) count: u64,
    /// Sum of their rewards.
    pub(super) reward: f64,
    /// Sum of their decisions.
    pub(super) length: u64,
    /// What became of the good flags of worlds that are over.
    pub(super) good: Good,
}

impl Episodes {
    pub(super) fn add(&mut self, other: Self) {
        self.count += other.count;
        self.reward += other.reward;
        self.length += other.length;
        self.good.add(other.good);
    }
}

/// One decision and what came of it.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) input: Features,
    pub(super) privileged: [f32; PRIVILEGED],
    pub(super) legal: [bool; CHOICES],
    pub(super) choice: u8,
    pub(super) log_probability: f32,
    pub(super) reward: f32,
}

/// How a trajectory was cut off, given the row of what was seen next.
type Cut = fn(usize) -> Tail;

/// Trajectories as they come in.
#[derive(Default)]
struct Harvest {
    /// Whole and cut trajectories, in the order in which they were closed.
    rollout: Rollout,
}

/// Worlds as a checkpoint keeps them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Saved {
    next: u64,
    lanes: Vec<SavedLane>,
}

impl Worlds {
    /// `count` worlds, the `first`-th of `stride` threads.
    pub(super) fn new(setting: Setting, generator: Generator, count: usize, first: u64, stride: u64) -> Self {
        let mut worlds = Self {
            setting,
            generator,
            prices: Prices::default(),
            lanes: Vec::new(),
            next: first,
            stride,
            harvest: Harvest::default(),
            episodes: Episodes::default(),
        };
        for _ in 0..count {
            let lane = worlds.fresh();
            worlds.lanes.push(lane);
        }
        worlds
    }

    /// The next world, from its beginning.
    fn fresh(&mut self) -> Lane {
        let number = self.next;
        self.next += self.stride;
        Lane::new(&self.setting, &self.generator, Priced::Now(self.prices), number)
    }

    /// How hard the scenarios are from now on, 0 to 1.
    pub(super) fn set_difficulty(&mut self, difficulty: f64) {
        self.generator.curriculum = Curriculum::new(difficulty);
    }

    /// What a false rollback costs in worlds that begin from now on.
    pub(super) const fn set_prices(&mut self, prices: Prices) {
        self.prices = prices;
    }

    /// Runs the worlds until at least `steps` decisions are gathered, and returns them.
    pub(super) fn gather(
        &mut self,
        network: &Network,
        normaliser: &Normaliser,
        steps: usize,
    ) -> (Rollout, Episodes) {
        let mut gathered = 0;
        while gathered < steps {
            for index in 0..self.lanes.len() {
                let lane = &mut self.lanes[index];
                gathered += lane.tick(&self.setting, network, normaliser);
                for trajectory in lane.closed.drain(..) {
                    self.episodes.add(trajectory.episode);
                    self.harvest.take(trajectory.lane, &trajectory.steps, None);
                }
                if lane.is_over() {
                    self.episodes.good.add(lane.good());
                    // The scenario's end is not the flag's: what was to come is bootstrapped.
                    lane.cut(&mut |lane, steps, next| {
                        self.harvest.take(lane, steps, Some((next, Tail::Truncated)));
                    });
                    self.lanes[index] = self.fresh();
                }
            }
        }
        for lane in &mut self.lanes {
            lane.cut(&mut |lane, steps, next| self.harvest.take(lane, steps, Some((next, Tail::CutOff))));
        }
        (std::mem::take(&mut self.harvest.rollout), std::mem::take(&mut self.episodes))
    }

    /// Features as a careful climber meets them, for the normaliser: worlds run with random holds and raises.
    pub(super) fn survey(&mut self, steps: usize, mut each: impl FnMut(&Features)) {
        let mut seen = 0;
        while seen < steps {
            for index in 0..self.lanes.len() {
                let lane = &mut self.lanes[index];
                seen += lane.stroll(&self.setting, &mut each);
                lane.closed.clear();
                if lane.is_over() {
                    self.lanes[index] = self.fresh();
                }
            }
        }
    }

    /// What a checkpoint keeps.
    pub(super) fn save(&self) -> Saved {
        Saved { next: self.next, lanes: self.lanes.iter().map(Lane::save).collect() }
    }

    /// Rebuilds the worlds of a checkpoint: each scenario is lived through again with what was chosen in it. `false` where
    /// they do not come out as they were: the program that saved them had other rules.
    #[must_use]
    pub(super) fn restore(&mut self, saved: &Saved, normaliser: &Normaliser) -> bool {
        self.next = saved.next;
        self.lanes = saved
            .lanes
            .iter()
            .map(|lane| Lane::restore(&self.setting, &self.generator, normaliser, lane))
            .collect();
        self.lanes.iter().zip(&saved.lanes).all(|(lane, saved)| lane.save() == *saved)
    }
}

impl Harvest {
    /// Takes in a trajectory; `next` is what was seen after its last step where it was cut off.
    fn take(&mut self, lane: u32, steps: &[Step], next: Option<(&Step, Cut)>) {
        if steps.is_empty() {
            return;
        }
        let rollout = &mut self.rollout;
        let start = rollout.actions.len();
        for step in steps {
            rollout.observations.extend_from_slice(&step.input);
            rollout.privileged.extend_from_slice(&step.privileged);
            rollout.masks.extend(step.legal.iter().map(|legal| u8::from(*legal)));
            rollout.actions.push(step.choice);
            rollout.log_probs.push(step.log_probability);
            rollout.rewards.push(step.reward);
        }
        let tail = match next {
            None => Tail::Terminal,
            Some((next, tail)) => {
                rollout.bootstrap_observations.extend_from_slice(&next.input);
                rollout.bootstrap_privileged.extend_from_slice(&next.privileged);
                tail(rollout.bootstrap_observations.len() / FEATURE_COUNT - 1)
            }
        };
        rollout.segments.push(Segment { start, end: start + steps.len(), lane, tail });
    }
}
