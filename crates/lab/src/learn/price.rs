//! What a false rollback costs in training: as much as the judge says, and more for as long as the agent makes more of
//! them than it may.
//!
//! Training has a constraint beside its cost: of the good flags, the agent itself rolls at most so many back. It is
//! kept by a Lagrange multiplier that rises while it is broken and falls while it is not (dual ascent; Altman,
//! Constrained Markov Decision Processes, 1999; as in PPO-Lagrangian, Ray, Achiam and Amodei 2019), on a logarithmic
//! scale. Who weighs harm more sees a reason to roll back sooner: each range of harm weights has a multiplier of its
//! own. It knows nothing of worlds.

use serde::{Deserialize, Serialize};

/// Ranges of harm weight: up to 2, up to 8, and above.
const RANGES: usize = 3;

/// The largest multiplier: beyond it single mistakes would drown all else that there is to learn.
const MAX: f64 = 8.0;

/// How fast a multiplier follows, in its logarithm for an iteration with twice as many false rollbacks as it may have.
const PACE: f64 = 0.01;

/// Largest step, in multiples of what is allowed too much: an iteration has few good flags, and chance makes leaps.
const MAX_EXCESS: f64 = 4.0;

/// What became of good flags, by range of harm weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Good {
    /// Flags that never did harm.
    flags: [u64; RANGES],
    /// Of them those that the agent rolled back.
    rolled_back: [u64; RANGES],
}

impl Good {
    /// Takes note of a good flag in a world where harm is weighed by `harm weight`.
    pub(super) fn note(&mut self, harm_weight: f64, rolled_back: bool) {
        let range = range(harm_weight);
        self.flags[range] += 1;
        self.rolled_back[range] += u64::from(rolled_back);
    }

    pub(super) fn add(&mut self, other: Self) {
        for range in 0..RANGES {
            self.flags[range] += other.flags[range];
            self.rolled_back[range] += other.rolled_back[range];
        }
    }
}

/// By how much more than the judge's a false rollback is charged, 1 to 8, by range of harm weight.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Prices([f64; RANGES]);

impl Default for Prices {
    fn default() -> Self {
        Self([1.0; RANGES])
    }
}

impl Prices {
    pub(super) fn of(self, harm_weight: f64) -> f64 {
        self.0[range(harm_weight)]
    }

    /// Follows what was seen of good flags; `allowed` is the share that may be rolled back, 1 for any.
    pub(super) fn follow(&mut self, seen: &Good, allowed: f64) {
        for (range, price) in self.0.iter_mut().enumerate() {
            if seen.flags[range] == 0 {
                continue;
            }
            let share = real(seen.rolled_back[range]) / real(seen.flags[range]);
            let excess = (share / allowed - 1.0).min(MAX_EXCESS);
            *price = (*price * libm::exp(PACE * excess)).clamp(1.0, MAX);
        }
    }
}

impl std::fmt::Display for Prices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [low, middle, high] = self.0;
        write!(f, "{low:.2} {middle:.2} {high:.2}")
    }
}

const fn range(harm_weight: f64) -> usize {
    if harm_weight <= 2.0 {
        0
    } else if harm_weight <= 8.0 {
        1
    } else {
        2
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn real(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(harm_weight: f64, rolled_back: u64, kept: u64) -> Good {
        let mut good = Good::default();
        (0..rolled_back).for_each(|_| good.note(harm_weight, true));
        (0..kept).for_each(|_| good.note(harm_weight, false));
        good
    }

    #[test]
    fn the_price_rises_while_too_many_are_rolled_back_and_falls_to_the_judges_again() {
        let mut prices = Prices::default();
        (0..100).for_each(|_| prices.follow(&seen(16.0, 3, 97), 0.01));
        assert!((prices.of(32.0) - libm::exp(2.0)).abs() < 1e-9, "{prices}");
        assert!((prices.of(1.0) - 1.0).abs() < 1e-9, "nothing was seen of the others");
        (0..1_000).for_each(|_| prices.follow(&seen(16.0, 100, 0), 0.01));
        assert!((prices.of(16.0) - MAX).abs() < 1e-9);
        (0..1_000).for_each(|_| prices.follow(&seen(16.0, 0, 100), 0.01));
        assert!((prices.of(16.0) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn where_any_share_is_allowed_the_price_stays() {
        let mut prices = Prices::default();
        prices.follow(&seen(1.0, 10, 0), 1.0);
        assert_eq!(prices, Prices::default());
    }
}
