//! Randomness of training: named streams of a seed.
//!
//! A generator depends on the seed, on what it is for and on a number (an iteration, an episode), never on what was
//! drawn before. So nothing of it has to be kept in a checkpoint: the same iteration draws the same again. Knows nothing
//! of tensors.

use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use knightwatch_sim::mix;

/// What a generator is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The first weights.
    Weights = 1,
    /// The order of rows within an epoch.
    Order,
    /// Which action is taken.
    Action,
    /// How an episode begins.
    Episode,
    /// Whatever a caller needs beside.
    Other,
}

/// The generator for the `number`-th use of `purpose` under `seed`.
#[must_use]
pub fn generator(seed: u64, purpose: Purpose, number: u64) -> Pcg64Mcg {
    Pcg64Mcg::seed_from_u64(mix(mix(seed) ^ mix(number ^ ((purpose as u64) << 56))))
}

/// Uniform from 0 to below 1.
pub fn uniform(generator: &mut impl Rng) -> f64 {
    /// 2^-53.
    const STEP: f64 = 1.0 / 9_007_199_254_740_992.0;
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit an f64 exactly")]
    let whole = (generator.next_u64() >> 11) as f64;
    whole * STEP
}

/// Standard normal, by Box and Muller (1958).
pub(super) fn normal(generator: &mut impl Rng) -> f64 {
    let radius = (-2.0 * libm::log(1.0 - uniform(generator))).sqrt();
    radius * libm::cos(std::f64::consts::TAU * uniform(generator))
}

/// Puts `rows` into a uniformly random order (Fisher and Yates).
pub(super) fn shuffle(rows: &mut [u32], generator: &mut impl Rng) {
    for last in (1..rows.len()).rev() {
        rows.swap(last, generator.random_range(0..=last));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shuffled_order_is_a_permutation_and_repeats_with_its_seed() {
        let order = |seed| {
            let mut rows: Vec<u32> = (0..1_000).collect();
            shuffle(&mut rows, &mut generator(seed, Purpose::Order, 3));
            rows
        };
        let mut sorted = order(1);
        assert_ne!(sorted, (0..1_000).collect::<Vec<_>>());
        assert_eq!(sorted, order(1));
        assert_ne!(sorted, order(2));
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1_000).collect::<Vec<_>>());
    }

    #[test]
    fn normal_draws_have_mean_0_and_variance_1() {
        let mut draws = generator(5, Purpose::Other, 0);
        let values: Vec<f64> = (0..100_000).map(|_| normal(&mut draws)).collect();
        let mean = values.iter().sum::<f64>() / 1e5;
        let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.03, "{mean} {variance}");
    }
}
