//! Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347) with the details that matter (Huang et al. 2022,
//! "The 37 implementation details of PPO"), over rollouts from anywhere. Knows nothing of environments or files.

use serde::Serialize;
use tch::{Kind, Reduction, Tensor, no_grad};

use super::{
    ActorWeights, LearnError, MASKED, PpoConfig, RewardScaler, Rollout, Shape, ValueLoss,
    adam::Adam,
    advantage::{estimate, explained_variance, variance},
    net::{Blocks, Net, numbers, size},
    random::{Purpose, generator, shuffle},
};

/// What an iteration did. Losses and the like are means over all its minibatches.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UpdateStats {
    /// Which iteration, from 1.
    pub iteration: u64,
    /// Steps learnt from so far, this iteration's included.
    pub steps: u64,
    /// The clipped surrogate, negated.
    pub policy_loss: f64,
    /// The critic's loss, without its weight.
    pub value_loss: f64,
    /// The readout's loss.
    pub readout_loss: f64,
    /// Of the policy, in nats.
    pub entropy: f64,
    /// KL divergence between the policy that acted and the one learnt, in nats: the mean of (r - 1) - ln r over the
    /// probability ratio r (Schulman 2020, "Approximating KL divergence").
    pub approx_kl: f64,
    /// Share of rows whose ratio was outside the clip, 0 to 1.
    pub clip_fraction: f64,
    /// How much of the returns the critic explained before the update: 1 all, 0 nothing.
    pub explained_variance: f64,
    /// The norm of actor's and critic's gradient before it was clipped.
    pub gradient_norm: f64,
    /// The learning rate at the end.
    pub learning_rate: f64,
    /// The clip that was in force.
    pub clip: f64,
    /// The entropy's weight that was in force.
    pub entropy_coefficient: f64,
    /// Epochs run: fewer than asked for where `target_kl` ended them.
    pub epochs: usize,
    /// Minibatches in all.
    pub minibatches: usize,
    /// What rewards were divided by; 1 without scaling.
    pub reward_deviation: f64,
    /// Mean of the returns that the critic learnt, in scaled reward.
    pub mean_return: f64,
    /// Their deviation.
    pub return_deviation: f64,
}

/// The learner. Its state is what a checkpoint holds.
#[derive(Debug)]
pub struct Ppo {
    pub(super) config: PpoConfig,
    pub(super) shape: Shape,
    pub(super) seed: u64,
    pub(super) net: Net,
    pub(super) adam: Adam,
    pub(super) state: Progress,
}

/// What of the learner's state is not parameters and moments.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Progress {
    /// Iterations done.
    pub(super) iteration: u64,
    /// Steps learnt from.
    pub(super) steps: u64,
    /// Where the divergence has led the adaptive learning rate.
    pub(super) adapted_rate: f64,
    /// Returns seen so far.
    pub(super) scaler: RewardScaler,
}

/// A rollout, or a part of it, as tensors.
struct Batch {
    /// Rows × (O + P).
    inputs: Tensor,
    /// Rows × A: what is added to the logits; absent where every action of every row is legal.
    masks: Option<Tensor>,
    /// Rows × 1.
    actions: Tensor,
    /// Rows: the action's log probability when it was taken.
    acted: Tensor,
    /// Rows.
    advantages: Tensor,
    /// Rows.
    returns: Tensor,
    /// Rows: the critic's values before the update.
    values: Tensor,
}

impl Batch {
    fn narrow(&self, start: usize, rows: usize) -> Self {
        let take = |tensor: &Tensor| tensor.narrow(0, size(start), size(rows));
        Self {
            inputs: take(&self.inputs),
            masks: self.masks.as_ref().map(take),
            actions: take(&self.actions),
            acted: take(&self.acted),
            advantages: take(&self.advantages),
            returns: take(&self.returns),
            values: take(&self.values),
        }
    }
}

/// What an epoch shuffles: wide columns as tensors, narrow ones as they are.
struct Columns<'a> {
    inputs: Tensor,
    masks: Option<Tensor>,
    actions: Tensor,
    acted: &'a [f32],
    advantages: &'a [f32],
    returns: &'a [f32],
    values: &'a [f32],
}

/// What is in force during one iteration.
struct Terms {
    clip: f64,
    entropy: f64,
}

/// What a minibatch showed, not read back yet.
struct Shown {
    /// Policy loss, value loss, readout loss, entropy, gradient norm.
    numbers: Tensor,
    /// Rows: the actions' log probabilities under the policy before this step.
    log_probs: Tensor,
}

/// Sums over minibatches of policy loss, value loss, readout loss, entropy, gradient norm, divergence, clip fraction.
type Sums = [f64; 7];

/// Where in [`Sums`] the divergence is.
const KL: usize = 5;

impl Ppo {
    /// A learner that knows nothing. Sets libtorch's number of threads for the whole process.
    ///
    /// # Errors
    /// A setting or a size out of its range.
    pub fn new(config: PpoConfig, shape: Shape, seed: u64) -> Result<Self, LearnError> {
        config.check()?;
        shape.check()?;
        let net = Net::new(shape, config.hidden, seed);
        let adam = Adam::new(Net::counts(shape, config.hidden).1, config.adam_epsilon);
        let state = Progress {
            iteration: 0,
            steps: 0,
            adapted_rate: config.learning_rate,
            scaler: RewardScaler::default(),
        };
        Ok(Self::assemble(config, shape, seed, net, adam, state))
    }

    pub(super) fn assemble(
        config: PpoConfig,
        shape: Shape,
        seed: u64,
        net: Net,
        adam: Adam,
        state: Progress,
    ) -> Self {
        tch::set_num_threads(i32::try_from(config.threads).unwrap_or(1));
        keep_memory();
        Self { config, shape, seed, net, adam, state }
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &PpoConfig {
        &self.config
    }

    /// The sizes.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The seed of the first weights and of the order of rows.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Iterations done.
    #[must_use]
    pub fn iteration(&self) -> u64 {
        self.state.iteration
    }

    /// Steps learnt from.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.state.steps
    }

    /// What rewards are divided by; 1 without scaling. A readout times this is in units of reward.
    #[must_use]
    pub fn reward_deviation(&self) -> f64 {
        if self.config.scale_rewards { self.state.scaler.deviation() } else { 1.0 }
    }

    /// The actor with its readout, in plain numbers.
    #[must_use]
    pub fn actor(&self) -> ActorWeights {
        self.net.actor()
    }

    /// Goes on from another actor and readout; the critic and the moments stay.
    ///
    /// # Errors
    /// Where the sizes differ or a number is not finite; nothing has changed then.
    pub fn set_actor(&mut self, weights: &ActorWeights) -> Result<(), LearnError> {
        self.net.set_actor(weights)
    }

    /// All parameters, flat: actor, critic, readout. For comparing two learners.
    #[must_use]
    pub fn parameters(&self) -> Vec<f32> {
        self.net.flat()
    }

    /// One iteration: learns from `rollout`, which the present actor has made.
    ///
    /// # Errors
    /// A rollout that does not hold together, or numbers that are no longer finite. The learner is then as it was before.
    pub fn update(&mut self, rollout: &Rollout) -> Result<UpdateStats, LearnError> {
        let iteration = self.state.iteration + 1;
        rollout.check(self.shape).map_err(|detail| LearnError::Rollout { iteration, detail })?;
        let before = (self.net.flat(), self.adam.copy(), self.state.clone());
        let result = self.learn(rollout, iteration);
        if result.is_err() {
            self.net = Net::from_flat(self.shape, self.config.hidden, &before.0);
            (self.adam, self.state) = (before.1, before.2);
        }
        result
    }

    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    fn learn(&mut self, rollout: &Rollout, iteration: u64) -> Result<UpdateStats, LearnError> {
        let rows = rollout.len();
        let progress = (self.state.steps as f64 / self.config.total_steps as f64).min(1.0);
        let terms = Terms { clip: self.config.clip_at(progress), entropy: self.config.entropy_at(progress) };
        let scaled = self.config.scale_rewards.then(|| self.state.scaler.scale(rollout, self.config.gamma));
        let rewards = scaled.as_deref().unwrap_or(&rollout.rewards);

        let inputs = self.inputs(&rollout.observations, &rollout.privileged);
        let (values, bootstrap) = self.values(rollout, &inputs);
        let estimates =
            estimate(rollout, rewards, &values, &bootstrap, self.config.gamma, self.config.lambda);
        let columns = Columns {
            inputs,
            masks: self.masks(&rollout.masks),
            actions: Tensor::from_slice(&rollout.actions).to_kind(Kind::Int64).view([size(rows), 1]),
            acted: &rollout.log_probs,
            advantages: &estimates.advantages,
            returns: &estimates.returns,
            values: &values,
        };

        let parts = ((rows + self.config.minibatch / 2) / self.config.minibatch).max(1);
        let mut sums = Sums::default();
        let mut rate = self.config.rate_at(progress, self.state.adapted_rate);
        let mut epochs = 0;
        while epochs < self.config.epochs {
            let number = iteration * 1_000 + epochs as u64;
            let epoch = self.epoch(&columns, parts, number, rate, &terms);
            sums.iter_mut().zip(epoch).for_each(|(sum, value)| *sum += value);
            epochs += 1;
            let kl = epoch[KL] / parts as f64;
            self.state.adapted_rate = self.config.adapt(self.state.adapted_rate, kl);
            rate = self.config.rate_at(progress, self.state.adapted_rate);
            // A divergence that is not a number stops too; what follows says so.
            if !kl.is_finite() || self.config.target_kl.is_some_and(|target| kl > target) {
                break;
            }
        }
        let minibatches = parts * epochs;
        let [policy_loss, value_loss, readout_loss, entropy, gradient_norm, approx_kl, clip_fraction] =
            sums.map(|sum| sum / minibatches as f64);
        self.finite([policy_loss, value_loss, readout_loss, gradient_norm], iteration)?;

        self.state.iteration = iteration;
        self.state.steps += rows as u64;
        let returns = || estimates.returns.iter().map(|value| f64::from(*value));
        Ok(UpdateStats {
            iteration,
            steps: self.state.steps,
            policy_loss,
            value_loss,
            readout_loss,
            entropy,
            approx_kl,
            clip_fraction,
            explained_variance: explained_variance(&values, &estimates.returns),
            gradient_norm,
            learning_rate: rate,
            clip: terms.clip,
            entropy_coefficient: terms.entropy,
            epochs,
            minibatches,
            reward_deviation: self.reward_deviation(),
            mean_return: returns().sum::<f64>() / rows as f64,
            return_deviation: variance(returns()).sqrt(),
        })
    }

    fn finite(&self, sums: [f64; 4], iteration: u64) -> Result<(), LearnError> {
        let names = ["the policy's loss", "the critic's loss", "the readout's loss", "the gradient"];
        for (value, what) in sums.into_iter().zip(names) {
            if !value.is_finite() {
                return Err(LearnError::NonFinite { iteration, what });
            }
        }
        // The last step has no loss after it that would show it.
        if self.net.flat().iter().any(|value| !value.is_finite()) {
            return Err(LearnError::NonFinite { iteration, what: "a parameter" });
        }
        Ok(())
    }

    /// Rows of observations, each followed by what is privileged.
    fn inputs(&self, observations: &[f32], privileged: &[f32]) -> Tensor {
        let Shape { observations: seen, privileged: hidden, .. } = self.shape;
        let width = seen + hidden;
        if hidden == 0 {
            return Tensor::from_slice(observations).view([-1, size(width)]);
        }
        let mut rows = Vec::with_capacity(observations.len() + privileged.len());
        for (seen, hidden) in observations.chunks_exact(seen).zip(privileged.chunks_exact(hidden)) {
            rows.extend_from_slice(seen);
            rows.extend_from_slice(hidden);
        }
        Tensor::from_slice(&rows).view([-1, size(width)])
    }

    /// The critic's values of all steps and of all bootstrap rows.
    fn values(&self, rollout: &Rollout, inputs: &Tensor) -> (Vec<f32>, Vec<f32>) {
        no_grad(|| {
            let blocks = self.net.blocks();
            let values = numbers(&blocks.critic(inputs));
            if rollout.bootstrap_observations.is_empty() {
                return (values, Vec::new());
            }
            let rows = self.inputs(&rollout.bootstrap_observations, &rollout.bootstrap_privileged);
            (values, numbers(&blocks.critic(&rows)))
        })
    }

    /// What is added to the logits; nothing where everything is legal.
    fn masks(&self, masks: &[u8]) -> Option<Tensor> {
        if masks.iter().all(|legal| *legal == 1) {
            return None;
        }
        let added: Vec<f32> = masks.iter().map(|legal| if *legal == 1 { 0.0 } else { MASKED }).collect();
        Some(Tensor::from_slice(&added).view([-1, size(self.shape.actions)]))
    }

    /// One pass over all rows in a new order, in `parts` minibatches; the sums of what they showed.
    fn epoch(&mut self, columns: &Columns<'_>, parts: usize, number: u64, rate: f64, terms: &Terms) -> Sums {
        let rows = columns.acted.len();
        let mut order: Vec<u32> = (0_u32..).take(rows).collect();
        shuffle(&mut order, &mut generator(self.seed, Purpose::Order, number));
        let mixed = |column: &[f32]| order.iter().map(|row| column[*row as usize]).collect::<Vec<f32>>();
        let cuts: Vec<usize> = (0..=parts).map(|part| rows * part / parts).collect();
        let mut advantages = mixed(columns.advantages);
        if self.config.normalise_advantages {
            cuts.windows(2).for_each(|cut| normalise(&mut advantages[cut[0]..cut[1]]));
        }
        let acted = mixed(columns.acted);
        let index = Tensor::from_slice(&order.iter().map(|row| i64::from(*row)).collect::<Vec<_>>());
        let take = |tensor: &Tensor| tensor.index_select(0, &index);
        let batch = Batch {
            inputs: take(&columns.inputs),
            masks: columns.masks.as_ref().map(take),
            actions: take(&columns.actions),
            acted: Tensor::from_slice(&acted),
            advantages: Tensor::from_slice(&advantages),
            returns: Tensor::from_slice(&mixed(columns.returns)),
            values: Tensor::from_slice(&mixed(columns.values)),
        };
        let (mut shown, mut log_probs) = (Vec::with_capacity(parts), Vec::with_capacity(parts));
        for cut in cuts.windows(2) {
            let minibatch = self.minibatch(&batch.narrow(cut[0], cut[1] - cut[0]), rate, terms);
            shown.push(minibatch.numbers);
            log_probs.push(minibatch.log_probs);
        }
        // The only read-backs: once an epoch.
        let shown = numbers(&Tensor::stack(&shown, 0));
        let log_probs = numbers(&Tensor::cat(&log_probs, 0));
        let mut sums = Sums::default();
        for row in shown.chunks_exact(KL) {
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
        }
        for cut in cuts.windows(2) {
            let part = cut[0]..cut[1];
            let (divergence, outside) = moved(&log_probs[part.clone()], &acted[part], terms.clip);
            sums[KL] += divergence;
            sums[KL + 1] += outside;
        }
        sums
    }

    /// One step of the optimiser.
    fn minibatch(&mut self, batch: &Batch, rate: f64, terms: &Terms) -> Shown {
        let blocks = self.net.blocks();
        let observations = match self.shape.privileged {
            0 => batch.inputs.shallow_clone(),
            _ => batch.inputs.narrow(1, 0, size(self.shape.observations)),
        };
        let (mut logits, hidden) = blocks.actor(&observations);
        if let Some(masks) = &batch.masks {
            logits += masks;
        }
        let all = logits.log_softmax(-1, None::<Kind>);
        let log_probs = all.gather(1, &batch.actions, false).squeeze_dim(1);
        let ratio = (&log_probs - &batch.acted).exp();
        let clipped = ratio.clamp(1.0 - terms.clip, 1.0 + terms.clip) * &batch.advantages;
        let policy_loss = -(ratio * &batch.advantages).minimum(&clipped).mean(None::<Kind>);
        let value_loss = self.value_loss(&blocks, batch);
        let readout_loss = self.distance(&blocks.readout(&hidden), &batch.returns, Reduction::Mean);
        let mut loss = &policy_loss + &value_loss * self.config.value_coefficient + &readout_loss;
        // Without weight the entropy is only looked at.
        let entropy = if terms.entropy > 0.0 {
            let entropy = entropy(&all);
            loss -= &entropy * terms.entropy;
            entropy
        } else {
            no_grad(|| entropy(&all))
        };

        let mut gradient = Tensor::run_backward(&[loss], &[&self.net.parameters], false, false).remove(0);
        no_grad(|| {
            let norm = self.clip_gradient(&mut gradient);
            self.adam.step(&mut self.net.parameters, &gradient, rate);
            let numbers = Tensor::stack(&[policy_loss, value_loss, readout_loss, entropy, norm], 0);
            Shown { numbers, log_probs: log_probs.detach() }
        })
    }

    fn value_loss(&self, blocks: &Blocks, batch: &Batch) -> Tensor {
        let (returns, before) = (&batch.returns, &batch.values);
        let values = blocks.critic(&batch.inputs);
        let Some(clip) = self.config.value_clip else {
            return self.distance(&values, returns, Reduction::Mean);
        };
        let clipped = before + (&values - before).clamp(-clip, clip);
        let (free, bound) = (
            self.distance(&values, returns, Reduction::None),
            self.distance(&clipped, returns, Reduction::None),
        );
        free.maximum(&bound).mean(None::<Kind>)
    }

    fn distance(&self, values: &Tensor, returns: &Tensor, reduction: Reduction) -> Tensor {
        match self.config.value_loss {
            ValueLoss::Mse => values.mse_loss(returns, reduction),
            ValueLoss::Huber => values.huber_loss(returns, reduction, 1.0),
        }
    }

    /// Clips the gradient to its largest norm, actor and critic as one, the readout by itself: what it learns must not
    /// change what the others do. Gives the norm of the former before.
    fn clip_gradient(&self, gradient: &mut Tensor) -> Tensor {
        let (main, all) = Net::counts(self.shape, self.config.hidden);
        let most = self.config.max_gradient_norm;
        let clip = |mut part: Tensor| {
            let norm = part.norm();
            let _ = part.g_mul_(&(most / (&norm + 1e-6)).clamp_max(1.0));
            norm
        };
        let norm = clip(gradient.narrow(0, 0, size(main)));
        let _ = clip(gradient.narrow(0, size(main), size(all - main)));
        norm
    }
}

/// The mean entropy of rows of log probabilities, in nats.
fn entropy(log_probs: &Tensor) -> Tensor {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let rows = log_probs.size()[0] as f64;
    (log_probs.exp() * log_probs).sum(None::<Kind>) * (-1.0 / rows)
}

/// Brings a minibatch's advantages to mean 0 and deviation 1 (with one degree of freedom less, as the original code); one
/// alone stays as it is.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "the network calculates in f32"
)]
fn normalise(advantages: &mut [f32]) {
    if advantages.len() < 2 {
        return;
    }
    let count = advantages.len() as f64;
    let mean = advantages.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
    let spread = variance(advantages.iter().map(|value| f64::from(*value))) * count / (count - 1.0);
    let below = spread.sqrt() + 1e-8;
    for value in advantages {
        *value = ((f64::from(*value) - mean) / below) as f32;
    }
}

/// How far log probabilities have moved from `before` to `after`: the mean of (r - 1) - ln r over their ratios r, and the
/// share of ratios further than `clip` from 1.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn moved(after: &[f32], before: &[f32], clip: f64) -> (f64, f64) {
    let (mut divergence, mut outside) = (0.0, 0_u32);
    for (after, before) in after.iter().zip(before) {
        let log_ratio = f64::from(*after) - f64::from(*before);
        let off = libm::expm1(log_ratio);
        divergence += off - log_ratio;
        outside += u32::from(off.abs() > clip);
    }
    let count = after.len().max(1) as f64;
    (divergence / count, f64::from(outside) / count)
}

/// Has the allocator keep what is freed: glibc gives blocks of a tensor's size back to the kernel each time, and a quarter
/// of an update went into getting them again. It stops doing so for sizes up to that of the largest block it has seen
/// freed, at most 32 MiB. Elsewhere this does nothing.
fn keep_memory() {
    const BLOCK: usize = (32 << 20) - (64 << 10);
    // Not touched, so it costs address space for a moment and no memory.
    drop(std::hint::black_box(Vec::<u8>::with_capacity(BLOCK)));
}

#[cfg(test)]
mod tests;
