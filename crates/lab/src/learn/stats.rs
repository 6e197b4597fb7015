//! What is told of an iteration, to the training screen and to files. Knows nothing of how it came about.

use serde::Serialize;

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
