//! The shape of a service's latencies, and what shifts and mixtures of it look like in buckets.
//!
//! A lognormal body (cache hits and misses), with a small Pareto tail, is tabulated once on a fine logarithmic grid that
//! the histogram's bucket edges are part of. Slower by a factor is then a shift of the table, and filling 64 buckets
//! costs 64 interpolations. Knows nothing of time or flags.

use super::scenario::LatencyModel;
use knightwatch_core::telemetry::BUCKET_COUNT;

/// Grid points to one histogram bucket.
const FINE: usize = 8;
/// Buckets to a doubling: the histogram's own resolution.
const PER_DOUBLING: usize = 4;
/// How far a latency can be shifted either way, in doublings: a factor of 1 024.
const MAX_SHIFT: usize = 10;
/// Grid point of 1 ms, the lower edge of bucket 1.
const ORIGIN: usize = MAX_SHIFT * PER_DOUBLING * FINE;
/// Grid points from the lower edge of bucket 1 to that of the last bucket.
const SPAN: usize = (BUCKET_COUNT - 2) * FINE;
/// Grid points in all; one more than needed, so that interpolation has a neighbour.
const POINTS: usize = ORIGIN + SPAN + MAX_SHIFT * PER_DOUBLING * FINE + 2;
/// Grid points to a factor of e: 4 * 8 / ln 2.
const POINTS_PER_E: f64 = 32.0 / std::f64::consts::LN_2;
/// Where the Pareto tail begins, in standard deviations of the body above its median: the body's P95.
const TAIL_FROM: f64 = 1.645;
/// The share of requests slower than the P99.
pub(super) const SLOW_SHARE: f64 = 0.01;

/// The share of requests that are at least as slow as each bucket's lower edge.
pub(super) type Survival = [f64; BUCKET_COUNT];

/// One part of a mixture: the share of requests, and the natural logarithm of the factor they are slower by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Part {
    pub(super) share: f64,
    pub(super) ln_factor: f64,
}

/// A tabulated latency distribution.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// Share of requests at least as slow as each grid point.
    survival: Vec<f64>,
    /// Its P99 in milliseconds.
    p99_ms: f64,
}

impl Shape {
    /// Tabulates a model.
    pub(super) fn new(model: &LatencyModel) -> Self {
        let slower_than = survival(model);
        #[expect(clippy::cast_precision_loss, reason = "about a thousand grid points")]
        let survival =
            (0..POINTS).map(|point| slower_than((point as f64 - ORIGIN as f64) / POINTS_PER_E)).collect();
        let mut shape = Self { survival, p99_ms: 0.0 };
        shape.p99_ms = shape.solve(&[Part { share: 1.0, ln_factor: 0.0 }]);
        shape
    }

    /// The share of requests at least as slow as each bucket's lower edge, under a mixture.
    pub(super) fn survival(&self, parts: &[Part]) -> Survival {
        let mut total = [0.0; BUCKET_COUNT];
        for part in parts {
            let (first, fraction) = split(position(part.ln_factor));
            let (edges, share) = (&mut total[1..], part.share);
            let points = self.survival[first..first + SPAN + 2].chunks(FINE);
            for (edge, points) in edges.iter_mut().zip(points) {
                *edge += share * (points[0] + fraction * (points[1] - points[0]));
            }
        }
        total[0] = parts.iter().map(|part| part.share).sum();
        total
    }

    /// The P99 of a mixture in milliseconds.
    pub(super) fn p99_ms(&self, parts: &[Part]) -> f64 {
        match parts {
            [only] => self.p99_ms * libm::exp(clamp(only.ln_factor)),
            parts => self.solve(parts),
        }
    }

    /// The share of requests slower than the P99 of all of them together with nothing changed: 1 % of a plain mixture.
    pub(super) fn slower(&self, parts: &[Part]) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "about a thousand grid points")]
        let p99 = ORIGIN as f64 + libm::log(self.p99_ms) * POINTS_PER_E;
        parts.iter().map(|part| part.share * self.at(p99 - clamp(part.ln_factor) * POINTS_PER_E)).sum()
    }

    /// Finds the P99 of a mixture by halving: 40 halvings of about 1 100 grid points.
    fn solve(&self, parts: &[Part]) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "about a thousand grid points")]
        let (mut low, mut high) = (0.0, (POINTS - 2) as f64);
        for _ in 0..40 {
            let middle = 0.5 * (low + high);
            let slower: f64 = parts
                .iter()
                .map(|part| part.share * self.at(middle - clamp(part.ln_factor) * POINTS_PER_E))
                .sum();
            if slower > SLOW_SHARE {
                low = middle;
            } else {
                high = middle;
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "about a thousand grid points")]
        let origin = ORIGIN as f64;
        libm::exp((0.5 * (low + high) - origin) / POINTS_PER_E)
    }

    /// The table at a position between grid points; its ends outside.
    fn at(&self, position: f64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "about a thousand grid points")]
        let (point, fraction) = split(position.clamp(0.0, (POINTS - 2) as f64));
        self.survival[point] + fraction * (self.survival[point + 1] - self.survival[point])
    }
}

/// The factor that the table allows for.
fn clamp(ln_factor: f64) -> f64 {
    /// A little less than the full range, so that rounding cannot leave the table.
    const MAX: f64 = 9.99 * std::f64::consts::LN_2;
    ln_factor.clamp(-MAX, MAX)
}

/// Where 1 ms lies in a table shifted by a factor.
#[expect(clippy::cast_precision_loss, reason = "about a thousand grid points")]
fn position(ln_factor: f64) -> f64 {
    ORIGIN as f64 - clamp(ln_factor) * POINTS_PER_E
}

/// A position as a grid point and what is left to the next one.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positions lie within the table")]
#[expect(clippy::cast_precision_loss, reason = "about a thousand grid points")]
fn split(position: f64) -> (usize, f64) {
    let point = position as usize;
    (point, position - point as f64)
}

/// The share of requests slower than e^`ln_ms` milliseconds, as a function of it. What does not depend on it is worked
/// out once, and parts of the mixture that nobody has are left out: a table has a thousand points, and a training lays a
/// table for each of its worlds.
pub(super) fn survival(model: &LatencyModel) -> impl Fn(f64) -> f64 {
    let (hits, alpha, weight) = (model.cache_hits, model.tail_alpha, model.tail);
    let scale = model.sigma * std::f64::consts::SQRT_2;
    let miss_ln = libm::log(model.p50_ms);
    let hit_ln = miss_ln - libm::log(model.cache_speedup);
    let tail_ln = miss_ln + TAIL_FROM * model.sigma;
    move |ln_ms| {
        let body = |share: f64, median_ln: f64| {
            if share > 0.0 { share * (0.5 * libm::erfc((ln_ms - median_ln) / scale)) } else { 0.0 }
        };
        let whole = body(hits, hit_ln) + body(1.0 - hits, miss_ln);
        let tail = match weight {
            0.0 => 0.0,
            _ if ln_ms <= tail_ln => weight,
            _ => weight * libm::exp(-alpha * (ln_ms - tail_ln)),
        };
        tail + (1.0 - weight) * whole
    }
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "the values are exact")]
mod tests {
    use super::*;
    use knightwatch_core::telemetry::lower_edge_ms;

    fn shape() -> Shape {
        Shape::new(&LatencyModel::default())
    }

    const PLAIN: Part = Part { share: 1.0, ln_factor: 0.0 };

    #[test]
    fn survival_begins_at_one_and_falls() {
        let edges = shape().survival(&[PLAIN]);
        assert_eq!(edges[0], 1.0);
        assert!(edges.windows(2).all(|pair| pair[0] >= pair[1]), "{edges:?}");
        assert!(edges[BUCKET_COUNT - 1] < 1e-3);
    }

    #[test]
    fn slower_by_a_bucket_is_the_same_shape_one_bucket_on() {
        let shape = shape();
        let plain = shape.survival(&[PLAIN]);
        let slower = shape.survival(&[Part { share: 1.0, ln_factor: std::f64::consts::LN_2 / 4.0 }]);
        for bucket in 1..BUCKET_COUNT - 1 {
            assert!((plain[bucket] - slower[bucket + 1]).abs() < 1e-9, "{bucket}");
        }
    }

    #[test]
    fn the_p99_is_where_one_percent_is_slower() {
        let shape = shape();
        let parts = [Part { share: 0.9, ln_factor: 0.2 }, Part { share: 0.1, ln_factor: 2.0 }];
        for parts in [&[PLAIN][..], &parts] {
            let p99 = shape.p99_ms(parts);
            let edges = shape.survival(parts);
            let bucket = (0..BUCKET_COUNT - 1).find(|b| lower_edge_ms(b + 1) > p99).unwrap();
            assert!(edges[bucket] >= SLOW_SHARE && edges[bucket + 1] <= SLOW_SHARE, "{p99}: {edges:?}");
        }
        let doubled = shape.p99_ms(&[Part { share: 1.0, ln_factor: std::f64::consts::LN_2 }]);
        assert!((doubled / shape.p99_ms(&[PLAIN]) - 2.0).abs() < 1e-9);
    }

    #[test]
    fn absurd_factors_stay_on_the_table() {
        let shape = shape();
        for ln_factor in [-1e9, -7.0, 7.0, 1e9] {
            let edges = shape.survival(&[Part { share: 1.0, ln_factor }]);
            assert!(edges.iter().all(|share| (0.0..=1.0).contains(share)));
            assert!(shape.p99_ms(&[Part { share: 1.0, ln_factor }]).is_finite());
        }
    }
}
