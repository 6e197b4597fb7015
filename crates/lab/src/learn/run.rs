//! A training run: worlds give rollouts, PPO learns from them, validation chooses which weights are kept.
//!
//! A run is a value that is iterated and can be put into a checkpoint and taken out again; what is done with its lines,
//! files and screens is decided outside. Time is read here for the budget alone: apart from it, the same configuration
//! gives the same weights.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Instant};

use serde::{Deserialize, Serialize};

use super::{
    ActorWeights, LearnError, Ppo, Rollout, Shape, TrainingConfig,
    price::Prices,
    rollouts::{Episodes, PRIVILEGED, Saved, Setting, Worlds},
    survey::survey,
    validation::{Score, Validation},
};
use knightwatch_agent::{
    CHOICES, Choice, FEATURE_COUNT, HarmWeight, Normaliser, Parameters, PolicyName, PpoMaster, Weights,
    WeightsError,
    training::{TrainingPoint, Validation as Validated},
};
use knightwatch_core::control::{ControlConfig, Policy};
use knightwatch_sim::{Cost, Curriculum, Generator, Split};

/// See the module.
pub struct Run {
    config: TrainingConfig,
    ppo: Ppo,
    normaliser: Normaliser,
    workers: Vec<Worlds>,
    validation: Validation,
    prices: Prices,
    best: Option<Best>,
    /// Steps at the next validation.
    validate_at: u64,
    /// The least harm of an opponent that was measured.
    best_opponent_harm: Option<f64>,
    /// What this process has done: decisions, seconds in the worlds, seconds of learning.
    pace: Pace,
    /// Seconds spent before this process took the run up.
    seconds_before: f64,
    since: Instant,
}

/// How a process's time was spent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pace {
    /// Decisions learned from.
    pub steps: u64,
    /// Seconds in which worlds ran, on all threads at once.
    pub gathering: f64,
    /// Seconds of updates.
    pub learning: f64,
}

/// The best weights so far.
#[derive(Clone, Debug)]
pub struct Best {
    /// After which iteration.
    pub iteration: u64,
    /// What validation said of them.
    pub score: Score,
    /// They.
    pub weights: Weights,
    /// Validations since then that were no better.
    pub since: u32,
}

/// A run as a checkpoint keeps it, beside the learner.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedRun {
    best: Option<SavedBest>,
    normaliser: Normaliser,
    workers: Vec<Saved>,
    prices: Prices,
    validate_at: u64,
    seconds: f64,
}

/// The best weights as a checkpoint keeps them.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SavedBest {
    iteration: u64,
    score: Score,
    weights: Vec<u8>,
    since: u32,
}

impl Run {
    /// A run from nothing.
    ///
    /// # Errors
    /// A setting out of its range.
    pub fn new(config: TrainingConfig) -> Result<Self, LearnError> {
        config.check()?;
        let mut ppo = Ppo::new(config.ppo.clone(), SHAPE, config.seed)?;
        lean_towards_raising(&mut ppo, Choice::RaiseMedium)?;
        let normaliser = survey(&config)?;
        let workers = workers(&config);
        let validation = validation(&config);
        Ok(Self {
            validate_at: config.validate_every,
            config,
            ppo,
            normaliser,
            workers,
            validation,
            prices: Prices::default(),
            best: None,
            best_opponent_harm: None,
            pace: Pace::default(),
            seconds_before: 0.0,
            since: Instant::now(),
        })
    }

    /// One iteration.
    ///
    /// # Errors
    /// When the optimisation runs off. The learner is then as it was; the worlds have gone on.
    pub fn iterate(&mut self) -> Result<TrainingPoint, LearnError> {
        let begun = Instant::now();
        let difficulty = self.difficulty();
        let network =
            weights_of(&self.ppo.actor(), self.config.reward_scale, &self.normaliser, BTreeMap::new())
                .network;
        let (rollout, episodes) = self.gather(&network, difficulty);
        self.prices.follow(&episodes.good, self.config.false_rollbacks);
        let gathered = begun.elapsed().as_secs_f64();
        let stats = self.ppo.update(&rollout)?;
        let took = begun.elapsed().as_secs_f64();
        self.pace.steps += rollout.len() as u64;
        self.pace.gathering += gathered;
        self.pace.learning += took - gathered;
        let mean = |sum: f64| (episodes.count > 0).then(|| sum / real(episodes.count));
        let mut point = TrainingPoint {
            iteration: stats.iteration,
            steps: stats.steps,
            seconds: self.seconds(),
            reward: mean(episodes.reward),
            episode_length: mean(real(episodes.length)),
            entropy: Some(stats.entropy),
            approx_kl: Some(stats.approx_kl),
            clip_fraction: Some(stats.clip_fraction),
            explained_variance: Some(stats.explained_variance),
            value_loss: Some(stats.value_loss),
            policy_loss: Some(stats.policy_loss),
            learning_rate: Some(stats.learning_rate),
            steps_per_second: Some(real(rollout.len() as u64) / took),
            difficulty: Some(difficulty),
            validation: None,
        };
        if stats.steps >= self.validate_at {
            self.validate_at += self.config.validate_every;
            point.validation = Some(self.validate(stats.iteration));
            point.seconds = self.seconds();
        }
        Ok(point)
    }

    /// Validates the present weights.
    pub fn validate_now(&mut self) -> Validated {
        self.validate(self.ppo.iteration())
    }

    fn gather(&mut self, network: &knightwatch_agent::Network, difficulty: f64) -> (Rollout, Episodes) {
        let steps = self.config.steps_an_iteration / self.workers.len();
        let (normaliser, prices) = (&self.normaliser, self.prices);
        let parts: Vec<(Rollout, Episodes)> = std::thread::scope(|scope| {
            let threads: Vec<_> = self
                .workers
                .iter_mut()
                .map(|worlds| {
                    worlds.set_difficulty(difficulty);
                    worlds.set_prices(prices);
                    scope.spawn(move || worlds.gather(network, normaliser, steps))
                })
                .collect();
            // A panic in a worker is a fault of the program, and goes on here.
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        let (mut all, mut episodes) = (Rollout::default(), Episodes::default());
        for (rollout, ended) in parts {
            all.append(&rollout, SHAPE);
            episodes.add(ended);
        }
        (all, episodes)
    }

    fn validate(&mut self, iteration: u64) -> Validated {
        let weights = self.weights();
        let shared = Arc::new(weights.clone());
        let score = self.validation.score(&|| {
            Box::new(PpoMaster::new(Ok(Arc::clone(&shared))).with_harm_weight(HarmWeight::JUDGES))
                as Box<dyn Policy>
        });
        let better = self.best.as_ref().is_none_or(|best| score.is_better_than(&best.score));
        if better {
            self.best = Some(Best { iteration, score, weights, since: 0 });
        } else if let Some(best) = &mut self.best {
            best.since += 1;
        }
        Validated {
            harm: score.harm,
            cost: score.cost,
            minutes_to_full: score.minutes_to_full,
            false_rollbacks_percent: Some(score.false_rollbacks_percent),
            best_opponent_harm: self.best_opponent_harm,
            best: better,
        }
    }

    /// Writes all that going on exactly needs to `path`, in place of what was there.
    ///
    /// # Errors
    /// What the operating system refused; what was there still is.
    pub fn save(&self, path: &Path) -> Result<(), LearnError> {
        let best = self.best.as_ref().map(|best| {
            let Best { iteration, score, weights, since } = best;
            Ok::<_, WeightsError>(SavedBest {
                iteration: *iteration,
                score: *score,
                weights: weights.to_bytes()?,
                since: *since,
            })
        });
        let saved = SavedRun {
            best: best.transpose().map_err(|error| LearnError::Weights { detail: error.to_string() })?,
            normaliser: self.normaliser.clone(),
            workers: self.workers.iter().map(Worlds::save).collect(),
            prices: self.prices,
            validate_at: self.validate_at,
            seconds: self.seconds(),
        };
        let environment = serde_json::to_vec(&saved)
            .map_err(|error| LearnError::Checkpoint { path: path.to_owned(), detail: error.to_string() })?;
        self.ppo.save(path, &self.config.scope(), &environment)
    }

    /// Goes on from the checkpoint at `path`, with the settings that it was begun with; the budget may differ.
    ///
    /// # Errors
    /// A file that cannot be read, is no whole checkpoint of this version, or is one of other settings or features.
    pub fn resume(config: TrainingConfig, path: &Path) -> Result<Self, LearnError> {
        config.check()?;
        let (ppo, environment) = Ppo::load(path, &config.ppo, SHAPE, &config.scope())?;
        let broken = |detail: String| LearnError::Checkpoint { path: path.to_owned(), detail };
        let saved: SavedRun =
            serde_json::from_slice(&environment).map_err(|error| broken(error.to_string()))?;
        let best = saved.best.map(|best| {
            let weights = Weights::parse(&best.weights).map_err(|error| broken(error.to_string()))?;
            let SavedBest { iteration, score, since, .. } = best;
            Ok::<_, LearnError>(Best { iteration, score, weights, since })
        });
        let normaliser = saved.normaliser;
        let mut workers = workers(&config);
        let known = workers.len() == saved.workers.len();
        let mut pairs = workers.iter_mut().zip(&saved.workers);
        if !known || !pairs.all(|(worlds, saved)| worlds.restore(saved, &normaliser)) {
            let detail = "its worlds do not come out as they were: it was made by a program with another simulator or shield";
            return Err(broken(detail.to_owned()));
        }
        Ok(Self {
            validation: validation(&config),
            prices: saved.prices,
            ppo,
            normaliser,
            workers,
            best: best.transpose()?,
            validate_at: saved.validate_at,
            best_opponent_harm: None,
            pace: Pace::default(),
            seconds_before: saved.seconds,
            since: Instant::now(),
            config,
        })
    }

    /// What an opponent comes to on the scenarios that weights are chosen by.
    pub fn opponent(&mut self, name: PolicyName) -> Score {
        let score = self.validation.score(&|| name.build(0));
        self.compare_with(score.harm);
        score
    }

    /// Takes note of an opponent's harm, for the curves.
    pub fn compare_with(&mut self, harm: f64) {
        self.best_opponent_harm = Some(self.best_opponent_harm.map_or(harm, |best| best.min(harm)));
    }

    /// The present weights, with how they came to be.
    #[must_use]
    pub fn weights(&self) -> Weights {
        let training = BTreeMap::from([
            ("seed".to_owned(), self.config.seed.to_string()),
            ("steps".to_owned(), self.ppo.steps().to_string()),
            ("iterations".to_owned(), self.ppo.iteration().to_string()),
            ("seconds".to_owned(), format!("{:.0}", self.seconds())),
            ("false_rollback_prices".to_owned(), self.prices.to_string()),
        ]);
        weights_of(&self.ppo.actor(), self.config.reward_scale, &self.normaliser, training)
    }

    /// The best weights so far, once there was a validation.
    #[must_use]
    pub const fn best(&self) -> Option<&Best> {
        self.best.as_ref()
    }

    /// Seconds of training, those before a checkpoint included.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.seconds_before + self.since.elapsed().as_secs_f64()
    }

    /// How this process's time was spent.
    #[must_use]
    pub const fn pace(&self) -> Pace {
        self.pace
    }

    /// The settings.
    #[must_use]
    pub const fn config(&self) -> &TrainingConfig {
        &self.config
    }

    /// Iterations so far.
    #[must_use]
    pub fn iteration(&self) -> u64 {
        self.ppo.iteration()
    }

    /// Steps so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.ppo.steps()
    }

    /// How hard the scenarios are now: rises linearly over the first part of the training.
    fn difficulty(&self) -> f64 {
        let progress = real(self.ppo.steps()) / real(self.config.ppo.total_steps);
        let TrainingConfig { easiest, curriculum, .. } = self.config;
        if curriculum <= 0.0 { 1.0 } else { (easiest + (1.0 - easiest) * progress / curriculum).min(1.0) }
    }
}

/// The sizes of the product's network.
const SHAPE: Shape = Shape { observations: FEATURE_COUNT, privileged: PRIVILEGED, actions: CHOICES };

/// What is added to the first biases of rolling back and stepping down. A policy that begins by moving at random rolls
/// nearly every flag back within seconds, and never sees what lies above the first rung.
const RELUCTANCE: f32 = -5.0;

/// What is added to the first bias of the largest raise that the shield usually allows: where it may go up, it does.
const EAGERNESS: f32 = 2.0;

pub(super) fn lean_towards_raising(ppo: &mut Ppo, raise: Choice) -> Result<(), LearnError> {
    let mut actor = ppo.actor();
    if let Some((_, bias)) = actor.layers.last_mut() {
        bias[Choice::RollBack as usize] = RELUCTANCE;
        bias[Choice::StepDown as usize] = RELUCTANCE;
        bias[raise as usize] = EAGERNESS;
    }
    ppo.set_actor(&actor)
}

/// The worlds of a training, those of each thread.
pub(super) fn workers(config: &TrainingConfig) -> Vec<Worlds> {
    let setting = Setting {
        control: ControlConfig::default(),
        cost: Cost::default(),
        gamma: config.ppo.gamma,
        harm_weights: config.harm_weights,
        reward_scale: config.reward_scale,
        seed: config.seed,
    };
    let threads = config.threads as u64;
    let curriculum = Curriculum::new(if config.curriculum > 0.0 { config.easiest } else { 1.0 });
    let generator = Generator { curriculum, ..Generator::new(Split::Training) };
    (0..threads)
        .map(|thread| Worlds::new(setting.clone(), generator.clone(), config.worlds, thread, threads))
        .collect()
}

fn validation(config: &TrainingConfig) -> Validation {
    let generator = Generator::new(Split::Validation);
    Validation::new(&generator, config.validation_worlds, ControlConfig::default(), config.threads)
}

/// The actor as the product has it. The value is in points there, not in scaled reward.
pub(super) fn weights_of(
    actor: &ActorWeights,
    scale: f64,
    normaliser: &Normaliser,
    training: BTreeMap<String, String>,
) -> Weights {
    #[expect(clippy::cast_possible_truncation, reason = "the network calculates in f32")]
    let points = |value: &f32| (f64::from(*value) / scale) as f32;
    let layer = |index: usize| actor.layers.get(index).cloned().unwrap_or_default();
    let parameters = Parameters {
        first: layer(0),
        second: layer(1),
        policy: layer(2),
        value: (actor.readout.0.iter().map(points).collect(), vec![points(&actor.readout.1)]),
    };
    Weights::new(parameters, normaliser.clone(), training)
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn real(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use tch::{Tensor, no_grad};

    use super::{
        super::{
            PpoConfig,
            net::{Part, numbers, size},
        },
        *,
    };
    use knightwatch_agent::probabilities;

    fn small() -> TrainingConfig {
        TrainingConfig {
            worlds: 4,
            steps_an_iteration: 1_024,
            survey: 2_000,
            validation_worlds: 4,
            validate_every: 2_000,
            ..TrainingConfig::shipped().unwrap()
        }
    }

    #[test]
    fn plain_rust_and_libtorch_say_the_same_of_ten_thousand_observations() {
        let weights = PpoMaster::shipped().weights().as_ref().unwrap().clone();
        let Parameters { first, second, policy, value } = weights.parameters.clone();
        let mut ppo = Ppo::new(PpoConfig::default(), SHAPE, 1).unwrap();
        let readout = (value.0, value.1[0]);
        ppo.set_actor(&ActorWeights { layers: vec![first, second, policy], readout }).unwrap();
        let mut inputs = Vec::new();
        workers(&small())[0].survey(10_000, |seen| inputs.push(weights.normaliser.apply(seen)));
        assert!(inputs.len() >= 10_000);
        let rows = Tensor::from_slice(inputs.as_flattened()).view([-1, size(FEATURE_COUNT)]);
        let (logits, values) = no_grad(|| {
            let blocks = ppo.net.blocks();
            let pass = blocks.forward(Part::Actor, &rows);
            (numbers(&pass.outputs), numbers(&blocks.readout(&pass.last)))
        });
        let all = [true; CHOICES];
        #[expect(clippy::cast_possible_truncation, reason = "a hundred")]
        let unit = (1.0 / small().reward_scale) as f32;
        for (index, input) in inputs.iter().enumerate() {
            let answer = weights.network.answer(input);
            let theirs: [f32; CHOICES] = logits[index * CHOICES..][..CHOICES].try_into().unwrap();
            // As probabilities, which is what is decided by; logits of tens are compared relatively.
            let (ours, theirs_p) = (probabilities(&answer.logits, &all), probabilities(&theirs, &all));
            for choice in 0..CHOICES {
                assert!((ours[choice] - theirs_p[choice]).abs() < 1e-5, "{index}: {ours:?} {theirs_p:?}");
                let size = theirs[choice].abs().max(1.0);
                assert!((answer.logits[choice] - theirs[choice]).abs() < 1e-5 * size, "{index}");
            }
            // In points: one unit of the network's own scale, in which it was trained, is so many of them.
            let off = (answer.value - values[index]).abs();
            assert!(
                off < 1e-5 * values[index].abs().max(unit),
                "{index}: {} {}",
                answer.value,
                values[index]
            );
            assert_eq!(Choice::likeliest(&ours), Choice::likeliest(&theirs_p), "{index}");
        }
    }

    #[test]
    fn a_run_that_was_stopped_resumes_as_if_it_had_not_been() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        let mut whole = Run::new(small()).unwrap();
        let mut stopped = Run::new(small()).unwrap();
        for _ in 0..2 {
            whole.iterate().unwrap();
            stopped.iterate().unwrap();
        }
        stopped.save(&path).unwrap();
        let mut resumed = Run::resume(small(), &path).unwrap();
        for _ in 0..2 {
            whole.iterate().unwrap();
            resumed.iterate().unwrap();
        }
        assert_eq!(whole.ppo.parameters(), resumed.ppo.parameters());
        assert_eq!(whole.best().map(|best| best.iteration), resumed.best().map(|best| best.iteration));
        assert_eq!(whole.best().map(|best| best.score), resumed.best().map(|best| best.score));
    }

    #[test]
    fn a_checkpoint_of_other_settings_is_refused_and_one_with_more_time_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoint");
        Run::new(small()).unwrap().save(&path).unwrap();
        let fault = Run::resume(TrainingConfig { harm_weights: 2.0, ..small() }, &path).err().unwrap();
        assert!(matches!(fault, LearnError::Mismatch { .. }), "{fault}");
        assert!(fault.to_string().contains("harm_weights"), "{fault}");
        assert!(Run::resume(TrainingConfig { seconds: 7.0, ..small() }, &path).is_ok());
    }

    #[test]
    fn training_and_validation_worlds_are_not_the_same() {
        let [training, validation] = [Split::Training, Split::Validation].map(Generator::new);
        for number in 0..200 {
            assert_ne!(training.scenario(number).1, validation.scenario(number).1);
        }
    }
}
