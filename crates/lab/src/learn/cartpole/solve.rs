//! Learning `CartPole` until it is solved: carts side by side, rollouts in plain Rust, the report. Knows nothing of how the
//! learning is done.

use std::{collections::VecDeque, time::Instant};

use serde::{Deserialize, Serialize};

use super::pole::{CartPole, End};
use crate::learn::{
    ActorWeights, LearnError, Ppo, PpoConfig, Purpose, RateSchedule, Rollout, Schedule, Segment, Shape, Tail,
    generator, uniform,
};

/// Solved is an average of this over the last 100 episodes.
pub const SOLVED: f64 = 475.0;

/// How many episodes the average is over.
const EPISODES: usize = 100;

const SHAPE: Shape = Shape { observations: 4, privileged: 0, actions: 2 };

/// Named settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// 64 carts, 32 steps, 4 epochs: quick on one core.
    Fast,
    /// What the rl-zoo of Stable-Baselines3 has tuned: 8 carts, 32 steps, 20 epochs in minibatches of 256.
    StableBaselines,
}

/// How `CartPole` is learnt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Carts side by side.
    pub environments: usize,
    /// Steps of each cart in one rollout.
    pub steps: usize,
    /// The learner's.
    pub ppo: PpoConfig,
}

impl Settings {
    /// Those of a preset.
    #[must_use]
    pub fn preset(preset: Preset) -> Self {
        match preset {
            Preset::Fast => Self {
                environments: 64,
                steps: 32,
                ppo: PpoConfig {
                    total_steps: 600_000,
                    learning_rate: 2.5e-3,
                    gamma: 0.98,
                    lambda: 0.9,
                    entropy: 0.0,
                    minibatch: 256,
                    ..PpoConfig::default()
                },
            },
            Preset::StableBaselines => Self {
                environments: 8,
                steps: 32,
                ppo: PpoConfig {
                    total_steps: 100_000,
                    learning_rate: 1e-3,
                    learning_rate_schedule: RateSchedule::Linear,
                    clip_schedule: Schedule::Linear,
                    gamma: 0.98,
                    lambda: 0.8,
                    entropy: 0.0,
                    epochs: 20,
                    minibatch: 256,
                    ..PpoConfig::default()
                },
            },
        }
    }
}

/// How it went.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Steps of all carts together.
    pub steps: u64,
    /// Wall time, from the first step to the last update.
    pub seconds: f64,
    /// Of those, in updates.
    pub update_seconds: f64,
    /// Steps a second.
    pub steps_per_second: f64,
    /// After how many steps the average was reached; absent: never within `total_steps`.
    pub solved_at_step: Option<u64>,
    /// Iterations.
    pub iterations: u64,
    /// Episodes ended.
    pub episodes: u64,
    /// The average length of the last 100 episodes, or of fewer at the beginning; 0 for none.
    pub average: f64,
}

/// Learns until solved, or until `total_steps` are over.
///
/// # Errors
/// Settings out of range, or a learner that ran off.
pub fn solve(settings: &Settings, seed: u64) -> Result<Report, LearnError> {
    let began = Instant::now();
    let mut updating = 0.0;
    let mut ppo = Ppo::new(settings.ppo.clone(), SHAPE, seed)?;
    let mut carts = Carts::new(settings, seed)?;
    let mut rollout = Rollout::default();
    let mut solved_at_step = None;
    while solved_at_step.is_none() && ppo.steps() < settings.ppo.total_steps {
        carts.collect(&ppo.actor(), ppo.iteration(), &mut rollout);
        let update = Instant::now();
        ppo.update(&rollout)?;
        updating += update.elapsed().as_secs_f64();
        if carts.recent.len() == EPISODES && carts.average() >= SOLVED {
            solved_at_step = Some(ppo.steps());
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let steps = ppo.steps() as f64;
    Ok(Report {
        seed,
        steps: ppo.steps(),
        seconds,
        update_seconds: updating,
        steps_per_second: steps / seconds,
        solved_at_step,
        iterations: ppo.iteration(),
        episodes: carts.episodes,
        average: carts.average(),
    })
}

/// Carts side by side, each of which restarts when its episode ends.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::learn) struct Carts {
    seed: u64,
    steps: usize,
    poles: Vec<CartPole>,
    /// Episodes begun: each has its own generator.
    begun: u64,
    episodes: u64,
    recent: VecDeque<u32>,
}

impl Carts {
    pub(in crate::learn) fn new(settings: &Settings, seed: u64) -> Result<Self, LearnError> {
        for (key, value) in [("environments", settings.environments), ("steps", settings.steps)] {
            if !(1..=1_000_000).contains(&value) {
                return Err(LearnError::Setting {
                    key,
                    detail: format!("expected 1 to 1000000, found {value}"),
                });
            }
        }
        let mut carts = Self {
            seed,
            steps: settings.steps,
            poles: Vec::new(),
            begun: 0,
            episodes: 0,
            recent: VecDeque::new(),
        };
        for _ in 0..settings.environments {
            let cart = carts.begin();
            carts.poles.push(cart);
        }
        Ok(carts)
    }

    fn begin(&mut self) -> CartPole {
        self.begun += 1;
        CartPole::begin(&mut generator(self.seed, Purpose::Episode, self.begun))
    }

    fn average(&self) -> f64 {
        let count = u32::try_from(self.recent.len()).unwrap_or(1).max(1);
        self.recent.iter().map(|length| f64::from(*length)).sum::<f64>() / f64::from(count)
    }

    /// Every cart's next steps under `actor`. Rows are cart by cart; carts move side by side, so that episodes count in
    /// the order in which they end.
    pub(in crate::learn) fn collect(&mut self, actor: &ActorWeights, iteration: u64, rollout: &mut Rollout) {
        let mut forward = Forward::new(actor);
        let mut draws = generator(self.seed, Purpose::Action, iteration);
        let (carts, steps) = (self.poles.len(), self.steps);
        let rows = carts * steps;
        rollout.clear();
        rollout.observations.resize(rows * 4, 0.0);
        rollout.masks.resize(rows * 2, 1);
        rollout.actions.resize(rows, 0);
        rollout.log_probs.resize(rows, 0.0);
        rollout.rewards.resize(rows, 1.0);
        let mut ends: Vec<Vec<(usize, End, [f32; 4])>> = vec![Vec::new(); carts];
        for step in 0..steps {
            for (number, ends) in ends.iter_mut().enumerate() {
                let row = number * steps + step;
                let observation = self.poles[number].observation();
                let [left, right] = forward.log_probabilities(&observation);
                let goes_right = uniform(&mut draws) < libm::exp(f64::from(right));
                rollout.observations[row * 4..row * 4 + 4].copy_from_slice(&observation);
                rollout.actions[row] = u8::from(goes_right);
                rollout.log_probs[row] = if goes_right { right } else { left };
                if let Some(end) = self.poles[number].step(goes_right) {
                    ends.push((row + 1, end, self.poles[number].observation()));
                    self.ended(number);
                }
            }
        }
        for (number, (lane, ends)) in (0_u32..).zip(ends).enumerate() {
            let mut start = number * steps;
            for (end, how, last) in ends {
                let tail = match how {
                    End::Fell => Tail::Terminal,
                    End::OutOfTime => Tail::Truncated(bootstrap(rollout, last)),
                };
                rollout.segments.push(Segment { start, end, lane, tail });
                start = end;
            }
            let end = (number + 1) * steps;
            if start < end {
                let tail = Tail::CutOff(bootstrap(rollout, self.poles[number].observation()));
                rollout.segments.push(Segment { start, end, lane, tail });
            }
        }
    }

    fn ended(&mut self, number: usize) {
        self.episodes += 1;
        if self.recent.len() == EPISODES {
            self.recent.pop_front();
        }
        self.recent.push_back(self.poles[number].steps());
        self.poles[number] = self.begin();
    }
}

/// Adds an observation to bootstrap from; its row.
fn bootstrap(rollout: &mut Rollout, observation: [f32; 4]) -> usize {
    let row = rollout.bootstrap_observations.len() / 4;
    rollout.bootstrap_observations.extend(observation);
    row
}

/// The actor in plain Rust, weights turned so that the inner loop runs over outputs. (`agent::Network` has the product's
/// sizes built in.)
struct Forward {
    layers: Vec<(Vec<f32>, Vec<f32>)>,
    values: Vec<f32>,
    sums: Vec<f32>,
}

impl Forward {
    fn new(actor: &ActorWeights) -> Self {
        let layers = actor
            .layers
            .iter()
            .map(|(weight, bias)| {
                let (outputs, inputs) = (bias.len(), weight.len() / bias.len());
                let turned =
                    (0..inputs * outputs).map(|at| weight[(at % outputs) * inputs + at / outputs]).collect();
                (turned, bias.clone())
            })
            .collect();
        Self { layers, values: Vec::new(), sums: Vec::new() }
    }

    /// The logarithms of the probabilities of left and right.
    fn log_probabilities(&mut self, observation: &[f32; 4]) -> [f32; 2] {
        self.values.clear();
        self.values.extend(observation);
        let last = self.layers.len() - 1;
        for (number, (weight, bias)) in self.layers.iter().enumerate() {
            self.sums.clear();
            self.sums.extend(bias);
            for (value, row) in self.values.iter().zip(weight.chunks_exact(bias.len())) {
                for (sum, weight) in self.sums.iter_mut().zip(row) {
                    *sum += value * weight;
                }
            }
            if number < last {
                self.sums.iter_mut().for_each(|sum| *sum = libm::tanhf(*sum));
            }
            std::mem::swap(&mut self.values, &mut self.sums);
        }
        let (left, right) = (self.values[0], self.values[1]);
        let most = left.max(right);
        let all = most + libm::logf(libm::expf(left - most) + libm::expf(right - most));
        [left - all, right - all]
    }
}
