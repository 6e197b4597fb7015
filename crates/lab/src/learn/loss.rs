//! PPO's losses and their gradients with respect to what the networks give out, row by row in plain Rust.
//!
//! A row has a handful of numbers: libtorch's autograd spends more on its bookkeeping than they are worth (measured: an
//! update took twice as long). That the gradients are those of the losses is tested against autograd. Knows nothing of
//! how the networks come to their outputs.

use super::{MASKED, PpoConfig, ValueLoss};

/// What is in force during one iteration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// How far a ratio may leave 1.
    pub(super) clip: f64,
    /// The entropy's weight.
    pub(super) entropy: f64,
}

/// The columns of a minibatch, a number a row but for `masks`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows<'a> {
    /// Rows × A: 1 where legal.
    pub(super) masks: &'a [u8],
    pub(super) actions: &'a [u8],
    /// Log probabilities of the actions when they were taken.
    pub(super) acted: &'a [f32],
    pub(super) advantages: &'a [f32],
    pub(super) returns: &'a [f32],
    /// The critic's values before the update.
    pub(super) values: &'a [f32],
}

/// Sums over rows; divided by their number they are means.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    pub(super) policy_loss: f64,
    pub(super) value_loss: f64,
    pub(super) readout_loss: f64,
    pub(super) entropy: f64,
    /// (r - 1) - ln r over the ratios r.
    pub(super) divergence: f64,
    /// Rows whose ratio is further than the clip from 1.
    pub(super) outside: f64,
}

impl Sums {
    pub(super) fn add(&mut self, other: &Self) {
        self.policy_loss += other.policy_loss;
        self.value_loss += other.value_loss;
        self.readout_loss += other.readout_loss;
        self.entropy += other.entropy;
        self.divergence += other.divergence;
        self.outside += other.outside;
    }
}

/// The clipped surrogate minus the weighted entropy, mean over the rows. Turns `logits` (rows × A) into its gradient.
///
/// With the ratio r and the advantage a, the loss of a row is -min(r a, clip(r) a): its gradient with respect to ln p is
/// -r a, or 0 where the clip holds. That of ln p with respect to logit j is `[j taken] - p_j`, that of the entropy H is
/// `-p_j (ln p_j + H)`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "the network calculates in f32"
)]
pub(super) fn policy(logits: &mut [f32], rows: Rows<'_>, terms: Terms, sums: &mut Sums) {
    let count = rows.actions.len() as f64;
    let width = logits.len() / rows.actions.len().max(1);
    let mut probabilities = vec![0.0_f32; width];
    for (row, (logits, masks)) in
        logits.chunks_exact_mut(width).zip(rows.masks.chunks_exact(width)).enumerate()
    {
        logits.iter_mut().zip(masks).filter(|(_, legal)| **legal == 0).for_each(|(logit, _)| *logit = MASKED);
        let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut sum = 0.0;
        for (probability, logit) in probabilities.iter_mut().zip(logits.iter_mut()) {
            *logit -= most;
            *probability = libm::expf(*logit);
            sum += *probability;
        }
        let log_sum = libm::logf(sum);
        let mut entropy = 0.0;
        for (probability, logit) in probabilities.iter_mut().zip(logits.iter_mut()) {
            *probability /= sum;
            *logit -= log_sum;
            entropy -= f64::from(*probability * *logit);
        }

        let taken = usize::from(rows.actions[row]);
        let advantage = f64::from(rows.advantages[row]);
        let log_ratio = f64::from(logits[taken]) - f64::from(rows.acted[row]);
        let off = libm::expm1(log_ratio);
        let ratio = off + 1.0;
        let free = ratio * advantage;
        let bound = ratio.clamp(1.0 - terms.clip, 1.0 + terms.clip) * advantage;
        let pull = if free <= bound { free / count } else { 0.0 };
        let spread = terms.entropy / count;
        // Not `min`, which would hide what is no number.
        sums.policy_loss -= if free > bound { bound } else { free };
        sums.entropy += entropy;
        sums.divergence += off - log_ratio;
        sums.outside += f64::from(u8::from(off.abs() > terms.clip));

        for (logit, probability) in logits.iter_mut().zip(&probabilities) {
            let likely = f64::from(*probability);
            *logit = (likely * (pull + spread * (f64::from(*logit) + entropy))) as f32;
        }
        logits[taken] -= pull as f32;
    }
}

/// The critic's loss, mean over the rows, times its weight. Turns `values` into its gradient.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "the network calculates in f32"
)]
pub(super) fn critic(values: &mut [f32], rows: Rows<'_>, config: &PpoConfig, sums: &mut Sums) {
    let weight = config.value_coefficient / values.len() as f64;
    for (row, value) in values.iter_mut().enumerate() {
        let (now, wanted) = (f64::from(*value), f64::from(rows.returns[row]));
        let (mut loss, mut slope) = distance(now - wanted, config.value_loss);
        if let Some(clip) = config.value_clip {
            let before = f64::from(rows.values[row]);
            let held = before + (now - before).clamp(-clip, clip);
            let (bound, _) = distance(held - wanted, config.value_loss);
            if bound > loss {
                // Only beyond the clip can it be the larger, and there it does not move with the value.
                (loss, slope) = (bound, 0.0);
            }
        }
        sums.value_loss += loss;
        *value = (slope * weight) as f32;
    }
}

/// The readout's loss, mean over the rows. Turns `values` into its gradient.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "the network calculates in f32"
)]
pub(super) fn readout(values: &mut [f32], rows: Rows<'_>, config: &PpoConfig, sums: &mut Sums) {
    let count = values.len() as f64;
    for (value, wanted) in values.iter_mut().zip(rows.returns) {
        let (loss, slope) = distance(f64::from(*value) - f64::from(*wanted), config.value_loss);
        sums.readout_loss += loss;
        *value = (slope / count) as f32;
    }
}

/// The loss of being off by `off`, and its slope.
fn distance(off: f64, kind: ValueLoss) -> (f64, f64) {
    match kind {
        ValueLoss::Mse => (off * off, 2.0 * off),
        ValueLoss::Huber if off.abs() > 1.0 => (off.abs() - 0.5, off.signum()),
        ValueLoss::Huber => (0.5 * off * off, off),
    }
}
