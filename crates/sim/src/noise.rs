//! Randomness: named streams and the few distributions that the world draws from.
//!
//! A draw depends on the seed, on whose it is, on what it is for and on the interval, never on what was drawn before.
//! So two policies on the same seed meet the same noise, whatever they do. Each draw turns one uniform number into one
//! value by the inverse distribution function: where the mean is a little higher, the value is never lower. Knows
//! nothing of flags or services.

use rand::Rng;
use rand_pcg::Pcg64Mcg;

use knightwatch_core::telemetry::normal_quantile;

/// What a draw is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// How much traffic a service has.
    Traffic = 1,
    /// The common shock on a service's latencies.
    Shock,
    /// Whether a dependency burst begins or ends.
    Burst,
    /// Requests of the control arm.
    Control,
    /// Requests of the treatment arm.
    Treatment,
    /// What telemetry does to a control sample.
    ControlWire,
    /// What telemetry does to a treatment sample.
    TreatmentWire,
    /// Whether a telemetry gap begins or ends.
    Gap,
    /// What a generated scenario is made of.
    Scenario,
}

/// The golden ratio's fraction: what `SplitMix64` counts in.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// `SplitMix64`'s finaliser (Steele, Lea, Flood 2014): every bit of the input changes every bit of the output.
#[must_use]
pub const fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(GOLDEN);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// All the randomness of one flag or one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stream(u64);

impl Stream {
    /// The stream of `name` under `seed`: it stays the same when others are added to the scenario.
    pub(super) fn new(seed: u64, name: &str) -> Self {
        // FNV-1a, then mixed: only spreads names over 64 bits.
        let hash = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        Self(mix(mix(seed) ^ hash))
    }

    /// The generator for one purpose in one interval.
    pub(super) fn at(self, purpose: Purpose, step: u64) -> Draws {
        let high = mix(self.0 ^ mix(step ^ ((purpose as u64) << 56)));
        Draws(Pcg64Mcg::new((u128::from(high) << 64) | u128::from(mix(high))))
    }
}

/// A generator of draws.
pub(super) struct Draws(Pcg64Mcg);

impl Draws {
    /// Uniform between 0 and 1, neither of them ever.
    pub(super) fn uniform(&mut self) -> f64 {
        /// 2^-53.
        const STEP: f64 = 1.0 / 9_007_199_254_740_992.0;
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit an f64 exactly")]
        let whole = (self.0.next_u64() >> 11) as f64;
        (whole + 0.5) * STEP
    }

    /// Standard normal.
    pub(super) fn normal(&mut self) -> f64 {
        normal_quantile(self.uniform())
    }

    /// True with probability `p`.
    pub(super) fn chance(&mut self, p: f64) -> bool {
        self.uniform() < p
    }
}

/// The mean from which on counts come from the expansion of the quantile instead of from summing probabilities.
const LARGE_MEAN: f64 = 10.0;

/// The Poisson quantile at `u` for `mean`.
///
/// Below a mean of 10 by summing probabilities; from there by the normal expansion of Giles, "Algorithm 955:
/// approximation of the inverse Poisson cumulative distribution function" (ACM TOMS 42, 2016), formula `Q_N2`, wrong by
/// at most one in the far tails.
pub(super) fn poisson(mean: f64, u: f64) -> u32 {
    if mean >= LARGE_MEAN {
        let w = normal_quantile(u);
        let root = mean.sqrt();
        return to_count(
            mean + root * w + (1.0 / 3.0 + w * w / 6.0) - w * (1.0 / 36.0 + w * w / 72.0) / root,
        );
    }
    // exp(-mean) >= 1 - mean, so this is a zero without asking for the exponential; most buckets end here.
    if u <= 1.0 - mean {
        return 0;
    }
    let mut probability = libm::exp(-mean);
    let mut below = probability;
    let mut count = 0;
    while u > below && count < RECIPROCALS.len() {
        probability *= mean * RECIPROCALS[count];
        below += probability;
        count += 1;
    }
    #[expect(clippy::cast_possible_truncation, reason = "at most the length of the table")]
    let count = count as u32;
    count
}

/// 1/1, 1/2, 1/3 ...: a Poisson count of mean 10 reaches 64 less often than once in 10^28.
const RECIPROCALS: [f64; 64] = {
    let mut table = [0.0; 64];
    let (mut index, mut number) = (0, 1.0);
    while index < table.len() {
        table[index] = 1.0 / number;
        number += 1.0;
        index += 1;
    }
    table
};

/// The binomial quantile at `u`: how many of `n` with probability `p` each.
///
/// Exact by summing probabilities below a mean of 10; from there the Cornish-Fisher expansion to the second term.
pub(super) fn binomial(n: u32, p: f64, u: f64) -> u32 {
    if n == 0 || p <= 0.0 {
        return 0;
    }
    if p >= 1.0 {
        return n;
    }
    if p > 0.5 {
        return n - binomial(n, 1.0 - p, 1.0 - u);
    }
    let trials = f64::from(n);
    let mean = trials * p;
    if mean >= LARGE_MEAN {
        let w = normal_quantile(u);
        let sd = (mean * (1.0 - p)).sqrt();
        return to_count(mean + sd * w + (1.0 - 2.0 * p) * (w * w - 1.0) / 6.0 + 0.5).min(n);
    }
    let odds = p / (1.0 - p);
    let mut probability = libm::exp(trials * libm::log1p(-p));
    let mut below = probability;
    let mut count = 0;
    while u > below && count < n && probability > 0.0 {
        probability *= odds * f64::from(n - count) / f64::from(count + 1);
        below += probability;
        count += 1;
    }
    count
}

/// The whole part of a count, 0 where it is negative.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, which is what is meant"
)]
fn to_count(count: f64) -> u32 {
    count as u32
}

/// A first-order autoregressive series with a given standard deviation: `x' = phi x + sqrt(1 - phi^2) sd z`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Autoregression {
    value: f64,
    phi: f64,
    innovation: f64,
}

impl Autoregression {
    /// A series that begins in its stationary distribution. `per_minute` is its autocorrelation over one minute,
    /// `minutes` the length of one step.
    pub(super) fn new(sd: f64, per_minute: f64, minutes: f64, draws: &mut Draws) -> Self {
        let phi = libm::pow(per_minute.clamp(0.0, 0.999_999), minutes);
        Self { value: sd * draws.normal(), phi, innovation: sd * (1.0 - phi * phi).sqrt() }
    }

    /// Goes on by one step.
    pub(super) fn step(&mut self, draws: &mut Draws) -> f64 {
        self.value = self.phi * self.value + self.innovation * draws.normal();
        self.value
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The exact cumulative Poisson distribution, summed in logarithms.
    fn poisson_below(mean: f64, count: u32) -> f64 {
        (0..=count)
            .map(|k| libm::exp(f64::from(k) * libm::log(mean) - mean - libm::lgamma(f64::from(k) + 1.0)))
            .sum()
    }

    #[test]
    fn counts_are_quantiles_of_the_exact_distribution() {
        for mean in [0.003, 0.4, 3.0, 9.9, 10.0, 15.0, 60.0, 1_000.0] {
            for u in [0.01, 0.1, 0.3, 0.5, 0.77, 0.9, 0.99] {
                let count = poisson(mean, u);
                // A quantile is the first count whose cumulative probability reaches u; the expansion may slip by one
                // where u falls just on a step.
                assert!(poisson_below(mean, count) > u - 0.002, "mean {mean}, u {u}: {count} is too low");
                assert!(
                    count == 0 || poisson_below(mean, count - 1) < u + 0.002,
                    "mean {mean}, u {u}: {count} is too high"
                );
            }
        }
    }

    #[test]
    fn poisson_counts_have_the_mean_and_variance_of_their_name() {
        for mean in [0.05, 2.0, 9.5, 12.0, 300.0] {
            let mut draws = Stream::new(7, "test").at(Purpose::Control, 0);
            let counts: Vec<f64> = (0..200_000).map(|_| f64::from(poisson(mean, draws.uniform()))).collect();
            let found = counts.iter().sum::<f64>() / 2e5;
            let variance = counts.iter().map(|c| (c - found) * (c - found)).sum::<f64>() / 2e5;
            assert!((found - mean).abs() < 5.0 * (mean / 2e5).sqrt(), "mean {found} for {mean}");
            assert!((variance / mean - 1.0).abs() < 0.05, "variance {variance} for {mean}");
        }
    }

    #[test]
    fn binomial_counts_have_the_mean_and_variance_of_their_name() {
        for (n, p) in [(20, 0.02), (400, 0.01), (1_000, 0.2), (1_000, 0.9), (50, 0.5), (3_000, 0.001)] {
            let mut draws = Stream::new(8, "test").at(Purpose::Control, 1);
            let counts: Vec<f64> = (0..100_000).map(|_| f64::from(binomial(n, p, draws.uniform()))).collect();
            let found = counts.iter().sum::<f64>() / 1e5;
            let variance = counts.iter().map(|c| (c - found) * (c - found)).sum::<f64>() / 1e5;
            let (mean, wanted) = (f64::from(n) * p, f64::from(n) * p * (1.0 - p));
            assert!((found - mean).abs() < 5.0 * (wanted / 1e5).sqrt(), "{n} {p}: mean {found} for {mean}");
            assert!((variance / wanted - 1.0).abs() < 0.05, "{n} {p}: variance {variance} for {wanted}");
        }
    }

    #[test]
    fn streams_of_different_purpose_name_seed_or_interval_differ() {
        let first = |seed, name, purpose, step| Stream::new(seed, name).at(purpose, step).uniform().to_bits();
        let base = first(1, "a", Purpose::Control, 5);
        assert_eq!(base, first(1, "a", Purpose::Control, 5));
        assert_ne!(base, first(2, "a", Purpose::Control, 5));
        assert_ne!(base, first(1, "b", Purpose::Control, 5));
        assert_ne!(base, first(1, "a", Purpose::Treatment, 5));
        assert_ne!(base, first(1, "a", Purpose::Control, 6));
    }

    proptest! {
        #[test]
        fn a_higher_mean_never_gives_a_lower_count(low in 0.0_f64..2_000.0, more in 0.0_f64..50.0, u in 0.001_f64..0.999) {
            // Across the seam at 10 the two formulas may differ by one.
            prop_assert!(poisson(low + more, u) + 1 >= poisson(low, u));
        }

        #[test]
        fn a_binomial_count_never_exceeds_its_trials(n in 0_u32..100_000, p in -0.5_f64..1.5, u in 1e-12_f64..1.0) {
            prop_assert!(binomial(n, p, u) <= n);
        }
    }
}
