//! Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347) with the details that matter (Huang et al. 2022,
//! "The 37 implementation details of PPO"), over rollouts from anywhere. Knows nothing of environments or files.

use tch::{Tensor, no_grad};

use super::{
    ActorWeights, LearnError, PpoConfig, RewardScaler, Rollout, Shape, UpdateStats,
    adam::Adam,
    advantage::{estimate, explained_variance, variance},
    loss::{self, Rows, Sums, Terms},
    net::{Blocks, Net, Part, numbers, size},
    random::{Purpose, generator, shuffle},
};

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

/// What an epoch shuffles.
struct Columns<'a> {
    /// M × (O + P).
    inputs: Tensor,
    rows: Rows<'a>,
}

/// The parameters and their gradient by their blocks, for the length of an update.
struct Views {
    parameters: Blocks,
    flat: Tensor,
    gradient: Blocks,
}

impl Ppo {
    /// A learner that knows nothing. Sets libtorch's number of threads for the whole process.
    ///
    /// # Errors
    /// A setting or a size out of its range.
    pub fn new(config: PpoConfig, shape: Shape, seed: u64) -> Result<Self, LearnError> {
        config.check()?;
        shape.check()?;
        let net = Net::new(shape, config.hidden, seed);
        let adam = Adam::new(Net::counts(shape, config.hidden).2, config.adam_epsilon);
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
        let result = no_grad(|| self.learn(rollout, iteration));
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
            rows: Rows {
                masks: &rollout.masks,
                actions: &rollout.actions,
                acted: &rollout.log_probs,
                advantages: &estimates.advantages,
                returns: &estimates.returns,
                values: &values,
            },
        };
        let flat = self.net.parameters.zeros_like();
        let views = Views { parameters: self.net.blocks(), gradient: self.net.blocks_of(&flat), flat };

        let parts = ((rows + self.config.minibatch / 2) / self.config.minibatch).max(1);
        let (mut sums, mut norms) = (Sums::default(), 0.0);
        let mut rate = self.config.rate_at(progress, self.state.adapted_rate);
        let mut epochs = 0;
        while epochs < self.config.epochs {
            let number = iteration * 1_000 + epochs as u64;
            let (epoch, norm) = self.epoch(&columns, &views, parts, number, rate, terms);
            sums.add(&epoch);
            norms += norm;
            epochs += 1;
            let kl = epoch.divergence / rows as f64;
            self.state.adapted_rate = self.config.adapt(self.state.adapted_rate, kl);
            rate = self.config.rate_at(progress, self.state.adapted_rate);
            // A divergence that is not a number stops too; what follows says so.
            if !kl.is_finite() || self.config.target_kl.is_some_and(|target| kl > target) {
                break;
            }
        }
        let minibatches = parts * epochs;
        let gradient_norm = norms / minibatches as f64;
        self.finite([sums.policy_loss, sums.value_loss, sums.readout_loss, gradient_norm], iteration)?;

        self.state.iteration = iteration;
        self.state.steps += rows as u64;
        let mean = |sum: f64| sum / (rows * epochs) as f64;
        let returns = || estimates.returns.iter().map(|value| f64::from(*value));
        Ok(UpdateStats {
            iteration,
            steps: self.state.steps,
            policy_loss: mean(sums.policy_loss),
            value_loss: mean(sums.value_loss),
            readout_loss: mean(sums.readout_loss),
            entropy: mean(sums.entropy),
            approx_kl: mean(sums.divergence),
            clip_fraction: mean(sums.outside),
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
            let values = numbers(&blocks.forward(Part::Critic, inputs).outputs);
            if rollout.bootstrap_observations.is_empty() {
                return (values, Vec::new());
            }
            let rows = self.inputs(&rollout.bootstrap_observations, &rollout.bootstrap_privileged);
            (values, numbers(&blocks.forward(Part::Critic, &rows).outputs))
        })
    }

    /// One pass over all rows in a new order, in `parts` minibatches; the sums of what they showed, and of the norms.
    fn epoch(
        &mut self,
        columns: &Columns<'_>,
        views: &Views,
        parts: usize,
        number: u64,
        rate: f64,
        terms: Terms,
    ) -> (Sums, f64) {
        let rows = columns.rows.actions.len();
        let width = self.shape.actions;
        let mut order: Vec<u32> = (0_u32..).take(rows).collect();
        shuffle(&mut order, &mut generator(self.seed, Purpose::Order, number));
        let index = Tensor::from_slice(&order.iter().map(|row| i64::from(*row)).collect::<Vec<_>>());
        let inputs = columns.inputs.index_select(0, &index);
        let Rows { masks, actions, acted, advantages, returns, values } = columns.rows;
        let mixed = |column: &[f32]| order.iter().map(|row| column[*row as usize]).collect::<Vec<f32>>();
        let (acted, returns, values) = (mixed(acted), mixed(returns), mixed(values));
        let mut advantages = mixed(advantages);
        let actions: Vec<u8> = order.iter().map(|row| actions[*row as usize]).collect();
        let masks: Vec<u8> =
            order.iter().flat_map(|row| &masks[*row as usize * width..][..width]).copied().collect();

        let (mut sums, mut norms) = (Sums::default(), Vec::with_capacity(parts));
        for part in 0..parts {
            let (start, end) = (rows * part / parts, rows * (part + 1) / parts);
            if self.config.normalise_advantages {
                normalise(&mut advantages[start..end]);
            }
            if let Some(most) = self.config.advantage_clip {
                #[expect(clippy::cast_possible_truncation, reason = "the network calculates in f32")]
                let most = most as f32;
                advantages[start..end].iter_mut().for_each(|value| *value = value.clamp(-most, most));
            }
            let rows = Rows {
                masks: &masks[start * width..end * width],
                actions: &actions[start..end],
                acted: &acted[start..end],
                advantages: &advantages[start..end],
                returns: &returns[start..end],
                values: &values[start..end],
            };
            let inputs = inputs.narrow(0, size(start), size(end - start));
            sums.add(&self.gradient(&inputs, rows, views, terms));
            norms.push(self.clip_gradient(&views.flat));
            self.adam.step(&mut self.net.parameters, &views.flat, rate);
        }
        (sums, numbers(&Tensor::stack(&norms, 0)).iter().map(|norm| f64::from(*norm)).sum())
    }

    /// The gradient of a minibatch's loss, into `views`; the sums of what the rows showed.
    ///
    /// Outputs are read back and their gradients sent: some 50 kB a minibatch, on the processor where both are.
    fn gradient(&self, inputs: &Tensor, rows: Rows<'_>, views: &Views, terms: Terms) -> Sums {
        let Views { parameters, gradient, .. } = views;
        let mut sums = Sums::default();
        let observations = match self.shape.privileged {
            0 => inputs.shallow_clone(),
            _ => inputs.narrow(1, 0, size(self.shape.observations)),
        };
        let sent = |outputs: &[f32], width: usize| Tensor::from_slice(outputs).view([-1, size(width)]);

        let actor = parameters.forward(Part::Actor, &observations);
        let mut logits = numbers(&actor.outputs);
        loss::policy(&mut logits, rows, terms, &mut sums);
        let outputs = sent(&logits, self.shape.actions);
        parameters.backward(Part::Actor, &observations, &actor, &outputs, gradient);

        let mut seen = numbers(&parameters.readout(&actor.last));
        loss::readout(&mut seen, rows, &self.config, &mut sums);
        Blocks::readout_backward(&actor.last, &sent(&seen, 1), gradient);

        let critic = parameters.forward(Part::Critic, inputs);
        let mut values = numbers(&critic.outputs);
        loss::critic(&mut values, rows, &self.config, &mut sums);
        parameters.backward(Part::Critic, inputs, &critic, &sent(&values, 1), gradient);
        sums
    }

    /// Clips the gradient to its largest norm, actor and critic as one or apart, the readout by itself: what it learns must not
    /// change what the others do. Gives the norm of the former before.
    fn clip_gradient(&self, gradient: &Tensor) -> Tensor {
        let (actor, main, all) = Net::counts(self.shape, self.config.hidden);
        let most = self.config.max_gradient_norm;
        let clip = |mut part: Tensor| {
            let norm = part.norm();
            let _ = part.g_mul_(&(most / (&norm + 1e-6)).clamp_max(1.0));
            norm
        };
        let norm = if self.config.clip_apart {
            let _ = clip(gradient.narrow(0, size(actor), size(main - actor)));
            clip(gradient.narrow(0, 0, size(actor)))
        } else {
            clip(gradient.narrow(0, 0, size(main)))
        };
        let _ = clip(gradient.narrow(0, size(main), size(all - main)));
        norm
    }
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
