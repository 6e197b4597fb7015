//! From a few quantiles to a latency distribution, and from there to histograms.
//!
//! Between two recorded quantiles the logarithm of the latency is linear in the normal score of its share: each piece is
//! log-normal, and log-normal data are met exactly. Beyond the ends the nearest piece goes on, as far as a tail is
//! believed. Knows nothing of files or flags.

use std::f64::consts::PI;

use rand::Rng;

use knightwatch_core::telemetry::{BUCKET_COUNT, Histogram, lower_edge_ms, normal_quantile, normal_share};

/// How many times the highest recorded quantile the slowest request takes at most. The recordings do not say; a tail
/// without an end would put single requests at hours.
const TAIL_LIMIT: f64 = 10.0;

/// How many times less than the lowest recorded quantile the fastest request takes at most.
const HEAD_LIMIT: f64 = 100.0;

/// Below so many expected successes a binomial draw is exact, by inversion; above, the normal distribution is closer than the
/// recordings are.
const EXACT_BELOW: f64 = 50.0;

/// The spread (standard deviation of the logarithm) of latencies where only an average was recorded.
pub(super) const ASSUMED_SIGMA: f64 = 0.5;

/// The probabilities that an average is spread to.
pub(super) const ASSUMED_PROBABILITIES: [f64; 4] = [0.5, 0.9, 0.95, 0.99];

/// Quantiles of a log-normal distribution with this average and [`ASSUMED_SIGMA`]: its median is
/// `average * exp(-sigma^2 / 2)`.
pub(super) fn spread_average(average_ms: f64) -> Vec<f64> {
    let median = average_ms * libm::exp(-ASSUMED_SIGMA * ASSUMED_SIGMA / 2.0);
    ASSUMED_PROBABILITIES.iter().map(|p| median * libm::exp(ASSUMED_SIGMA * normal_quantile(*p))).collect()
}

/// A latency distribution: the share of requests in each histogram bucket.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shape {
    shares: [f64; BUCKET_COUNT],
}

impl Shape {
    /// From quantiles (milliseconds, not descending) at normal `scores` (ascending); `None` without any.
    pub(super) fn new(scores: &[f64], quantiles_ms: &[f64]) -> Option<Self> {
        /// Below a microsecond everything is bucket 0 anyway, and a logarithm of zero would not do.
        const MIN_MS: f64 = 1e-3;
        let knots: Vec<(f64, f64)> =
            scores.iter().zip(quantiles_ms).map(|(z, ms)| (*z, libm::log(ms.max(MIN_MS)))).collect();
        if knots.is_empty() {
            return None;
        }
        let mut shares = [0.0; BUCKET_COUNT];
        let mut below = 0.0;
        for (index, share) in shares.iter_mut().enumerate() {
            let up_to = if index + 1 == BUCKET_COUNT {
                1.0
            } else {
                share_below(&knots, libm::log(lower_edge_ms(index + 1)))
            };
            *share = (up_to - below).max(0.0);
            below = up_to.max(below);
        }
        Some(Self { shares })
    }

    /// `requests` drawn from the distribution: bucket by bucket, each a binomial draw of what is left.
    pub(super) fn draw(&self, requests: u32, random: &mut impl Rng) -> Histogram {
        let mut histogram = Histogram::default();
        let (mut left, mut mass) = (requests, 1.0);
        for (index, share) in self.shares.iter().enumerate() {
            if left == 0 {
                break;
            }
            let last = index + 1 == BUCKET_COUNT;
            let drawn = if last || *share >= mass { left } else { binomial(left, share / mass, random) };
            // Rounding may leave a speck of mass with no bucket to hold it: an empty bucket never takes requests.
            if *share > 0.0 || last {
                histogram.add_to_bucket(index, drawn);
                left -= drawn;
            }
            mass -= share;
        }
        histogram
    }
}

/// The share of requests faster than `exp(edge)` ms, between `knots` of (normal score, logarithm of milliseconds).
fn share_below(knots: &[(f64, f64)], edge: f64) -> f64 {
    // From the knot `from` on with this slope, in score per unit of logarithm; a slope without an end is a jump.
    let piece = |from: (f64, f64), to: (f64, f64)| (to.0 - from.0) / (to.1 - from.1);
    let (first, last) = match knots {
        [] => return 1.0,
        [only] => (*only, *only),
        [first, .., last] => (*first, *last),
    };
    let lone = 1.0 / ASSUMED_SIGMA;
    if edge <= first.1 {
        let slope = knots.get(1).map_or(lone, |second| piece(first, *second));
        if !slope.is_finite() || edge < first.1 - libm::log(HEAD_LIMIT) {
            return 0.0;
        }
        return normal_share(first.0 + (edge - first.1) * slope);
    }
    if edge > last.1 {
        let slope = match knots {
            [.., before, last] => piece(*before, *last),
            _ => lone,
        };
        if !slope.is_finite() || edge > last.1 + libm::log(TAIL_LIMIT) {
            return 1.0;
        }
        return normal_share(last.0 + (edge - last.1) * slope);
    }
    for pair in knots.windows(2) {
        if let [from, to] = pair
            && edge <= to.1
        {
            return normal_share(from.0 + (edge - from.1) * piece(*from, *to));
        }
    }
    1.0
}

/// A number in [0, 1) with 53 random bits.
fn uniform(random: &mut impl Rng) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    let bits = (random.next_u64() >> 11) as f64;
    bits / 9_007_199_254_740_992.0
}

/// How many of `n` succeed, each with chance `p`.
pub(super) fn binomial(n: u32, p: f64, random: &mut impl Rng) -> u32 {
    if n == 0 || p.is_nan() || p <= 0.0 {
        return 0;
    }
    if p >= 1.0 {
        return n;
    }
    if p > 0.5 {
        return n - binomial(n, 1.0 - p, random);
    }
    let expected = f64::from(n) * p;
    if expected >= EXACT_BELOW {
        // Box and Muller (1958); one minus keeps the logarithm finite.
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - uniform(random)));
        let z = radius * libm::cos(2.0 * PI * uniform(random));
        let drawn = libm::round(expected + z * libm::sqrt(expected * (1.0 - p)));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0 to n")]
        return drawn.clamp(0.0, f64::from(n)) as u32;
    }
    // Inversion: walk up the probabilities until the random number is used up.
    let (mut left, odds) = (uniform(random), p / (1.0 - p));
    let mut chance = libm::exp(f64::from(n) * libm::log1p(-p));
    for k in 0..n {
        if left < chance || chance <= 0.0 {
            return k;
        }
        left -= chance;
        chance *= odds * f64::from(n - k) / f64::from(k + 1);
    }
    n
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_pcg::Pcg64;

    use super::*;

    #[test]
    fn log_normal_data_are_met_exactly_in_every_bucket() {
        let quantiles = spread_average(50.0);
        let shape = Shape::new(&ASSUMED_PROBABILITIES.map(normal_quantile), &quantiles).unwrap();
        let median = quantiles[0];
        for (index, share) in shape.shares.iter().enumerate().take(BUCKET_COUNT - 1) {
            let below = |edge: usize| {
                if edge == 0 {
                    0.0
                } else {
                    normal_share(libm::log(lower_edge_ms(edge) / median) / ASSUMED_SIGMA)
                }
            };
            assert!((share - (below(index + 1) - below(index))).abs() < 1e-6, "bucket {index}: {share}");
        }
    }

    #[test]
    fn a_tail_ends() {
        // P95 and P99 far apart: without an end the slowest of a billion would take days.
        let shape = Shape::new(&[0.95, 0.99].map(normal_quantile), &[10.0, 100.0]).unwrap();
        let slowest = shape.shares.iter().rposition(|share| *share > 0.0).unwrap();
        assert!(lower_edge_ms(slowest) <= 100.0 * TAIL_LIMIT);
    }

    #[test]
    fn equal_quantiles_are_a_jump() {
        let shape = Shape::new(&[0.5, 0.9, 0.99].map(normal_quantile), &[20.0, 20.0, 20.0]).unwrap();
        let drawn = shape.draw(1_000, &mut Pcg64::seed_from_u64(1));
        assert_eq!(drawn.counts()[knightwatch_core::telemetry::bucket_of(20.0)], 1_000);
    }

    proptest! {
        #[test]
        fn all_requests_are_drawn_whatever_the_quantiles(
            mut quantiles in prop::collection::vec(0.0_f64..1e7, 1..5),
            requests in 0_u32..5_000,
            seed in any::<u64>(),
        ) {
            quantiles.sort_by(f64::total_cmp);
            let shape = Shape::new(&ASSUMED_PROBABILITIES.map(normal_quantile), &quantiles).unwrap();
            prop_assert!((shape.shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            let drawn = shape.draw(requests, &mut Pcg64::seed_from_u64(seed));
            prop_assert_eq!(drawn.total(), u64::from(requests));
        }

        /// Both ways of drawing, exact and approximate: the mean of 400 draws lies within six standard errors.
        #[test]
        fn binomial_draws_have_their_mean(n in 1_u32..20_000, p in 0.0_f64..=1.0, seed in any::<u64>()) {
            let mut random = Pcg64::seed_from_u64(seed);
            let sum: f64 = (0..400).map(|_| f64::from(binomial(n, p, &mut random))).sum();
            let (mean, variance) = (f64::from(n) * p, f64::from(n) * p * (1.0 - p));
            let error = libm::sqrt(variance / 400.0);
            prop_assert!((sum / 400.0 - mean).abs() <= 6.0 * error + 0.05, "{} for {mean}", sum / 400.0);
        }
    }
}
