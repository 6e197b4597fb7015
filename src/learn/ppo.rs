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

/// A rollout as tensors.
struct Batch {
    /// M × (O + P).
    inputs: Tensor,
    /// M × (A + 4): what is added to the logits, then advantage, return, log probability, value.
    columns: Tensor,
    /// M × 1.
    actions: Tensor,
}

/// What is in force during one iteration.
struct Terms {
    clip: f64,
    entropy: f64,
}

/// How many numbers are summed up over the minibatches; the order is that of [`Sums`].
const SUMS: usize = 7;

/// Policy loss, value loss, readout loss, entropy, divergence, clip fraction, gradient norm.
type Sums = [f64; SUMS];

/// Where in [`Sums`] the divergence is.
const KL: usize = 4;

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
        let batch = Batch {
            inputs,
            columns: self.columns(rollout, &values, &estimates.advantages, &estimates.returns),
            actions: Tensor::from_slice(&rollout.actions).to_kind(Kind::Int64).view([size(rows), 1]),
        };

        let parts = ((rows + self.config.minibatch / 2) / self.config.minibatch).max(1);
        let mut sums: Sums = [0.0; SUMS];
        let mut rate = self.config.rate_at(progress, self.state.adapted_rate);
        let mut epochs = 0;
        while epochs < self.config.epochs {
            let number = iteration * 1_000 + epochs as u64;
            let epoch = self.epoch(&batch, parts, number, rate, &terms);
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
        let [policy_loss, value_loss, readout_loss, entropy, approx_kl, clip_fraction, gradient_norm] =
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

    fn columns(&self, rollout: &Rollout, values: &[f32], advantages: &[f32], returns: &[f32]) -> Tensor {
        let actions = self.shape.actions;
        let mut columns = Vec::with_capacity(rollout.len() * (actions + 4));
        for (row, mask) in rollout.masks.chunks_exact(actions).enumerate() {
            columns.extend(mask.iter().map(|legal| if *legal == 1 { 0.0 } else { MASKED }));
            columns.extend([advantages[row], returns[row], rollout.log_probs[row], values[row]]);
        }
        Tensor::from_slice(&columns).view([-1, size(actions + 4)])
    }

    /// One pass over all rows in a new order, in `parts` minibatches; the sums of what they showed.
    fn epoch(&mut self, batch: &Batch, parts: usize, number: u64, rate: f64, terms: &Terms) -> Sums {
        let mut order: Vec<i64> = (0..batch.actions.size()[0]).collect();
        let rows = order.len();
        shuffle(&mut order, &mut generator(self.seed, Purpose::Order, number));
        let order = Tensor::from_slice(&order);
        let mixed = Batch {
            inputs: batch.inputs.index_select(0, &order),
            columns: batch.columns.index_select(0, &order),
            actions: batch.actions.index_select(0, &order),
        };
        let mut sums = Tensor::zeros([size(SUMS)], (Kind::Float, tch::Device::Cpu));
        for part in 0..parts {
            let (start, end) = (rows * part / parts, rows * (part + 1) / parts);
            let take = |tensor: &Tensor| tensor.narrow(0, size(start), size(end - start));
            let minibatch = Batch {
                inputs: take(&mixed.inputs),
                columns: take(&mixed.columns),
                actions: take(&mixed.actions),
            };
            let shown = self.minibatch(&minibatch, end - start, rate, terms);
            let _ = no_grad(|| sums.g_add_(&shown));
        }
        // The only read-back: once an epoch.
        let mut out = [0.0; SUMS];
        out.iter_mut().zip(numbers(&sums)).for_each(|(out, sum)| *out = f64::from(sum));
        out
    }

    /// One step of the optimiser; what it showed, in the order of [`Sums`], still as a tensor.
    fn minibatch(&mut self, batch: &Batch, rows: usize, rate: f64, terms: &Terms) -> Tensor {
        let actions = size(self.shape.actions);
        let column = |at: i64| batch.columns.select(1, actions + at);
        let (mut advantages, returns, acted, before) = (column(0), column(1), column(2), column(3));
        if self.config.normalise_advantages && rows > 1 {
            let (deviation, mean) = advantages.std_mean(true);
            advantages = (advantages - mean) / (deviation + 1e-8);
        }

        let blocks = self.net.blocks();
        let observations = batch.inputs.narrow(1, 0, size(self.shape.observations));
        let (logits, hidden) = blocks.actor(&observations);
        let log_probs = (logits + batch.columns.narrow(1, 0, actions)).log_softmax(-1, None::<Kind>);
        let log_ratio = log_probs.gather(1, &batch.actions, false).squeeze_dim(1) - acted;
        let ratio = log_ratio.exp();
        let clipped = ratio.clamp(1.0 - terms.clip, 1.0 + terms.clip);
        let policy_loss = -(&ratio * &advantages).minimum(&(clipped * &advantages)).mean(None::<Kind>);
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let entropy = (log_probs.exp() * &log_probs).sum(None::<Kind>) * (-1.0 / rows as f64);
        let value_loss = self.value_loss(&blocks, batch, &returns, &before);
        let readout_loss = self.distance(&blocks.readout(&hidden), &returns, Reduction::Mean);
        let loss = &policy_loss + &value_loss * self.config.value_coefficient - &entropy * terms.entropy
            + &readout_loss;

        let mut gradient = Tensor::run_backward(&[loss], &[&self.net.parameters], false, false).remove(0);
        no_grad(|| {
            let norm = self.clip_gradient(&mut gradient);
            self.adam.step(&mut self.net.parameters, &gradient, rate);
            let divergence = (&ratio - 1.0 - log_ratio).mean(None::<Kind>);
            let outside = (&ratio - 1.0).abs().gt(terms.clip).to_kind(Kind::Float).mean(None::<Kind>);
            Tensor::stack(&[policy_loss, value_loss, readout_loss, entropy, divergence, outside, norm], 0)
        })
    }

    fn value_loss(&self, blocks: &Blocks, batch: &Batch, returns: &Tensor, before: &Tensor) -> Tensor {
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
