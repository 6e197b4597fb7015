//! The small world: a rollout so simple that the best possible policy can be computed, and any other measured by it.
//!
//! A flag is bad with a known chance; a bad one fails a known share of requests more. Each tick a policy sees how many
//! requests failed in treatment, and moves one step. What is best is found by dynamic programming over beliefs (the
//! design's "The theoretical limit"); the score of a policy is the part of the way from a baseline to there that it goes.
//! It shares nothing with the simulator: no services, no latency, no shield.
//!
//! Where the design's text leaves something open, this is the reading that gives its numbers:
//!
//! - One moves first and then pays for the tick at the new step: the oracle brings a good flag from 1 to 100 % for
//!   0.95 + 0.9 + 0.75 + 0.5 = 3.1, and 0.7 * 3.1 + 0.3 * 2 = 2.77.
//! - An effect is added: a bad flag's requests fail at 0.2 % + effect, and only the effect is charged.
//! - The Flagger-like rule allows 1 % of requests to fail (Flagger's example), looks after each tick, stays where a check
//!   failed, and rolls back at the fifth failed check.
//! - The text's baselines were simulated, with 30.44 % of bad flags where the prior says 30 %: with that share blind ramping
//!   gives 17.5/60.8/292 to the last digit, with 30 % exactly 17.3/59.9/287.

mod learnt;
mod players;
mod solve;

use rand::{Rng, RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::Serialize;

use super::bootstrap::mean_and_error;

pub use learnt::{LEGAL, Learnt, inputs, moved};
pub use players::{Blind, FlaggerLike};
pub use solve::Best;

/// The shares of traffic that a flag may be at.
pub const SHARES: [f64; 6] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0];

/// The effects of a bad flag that the design gives numbers for.
pub const EFFECTS: [f64; 3] = [0.005, 0.02, 0.1];

/// Probabilities below this are left out of sums.
const NEGLIGIBLE: f64 = 1e-12;

/// The small world's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SmallWorld {
    /// Share of requests that a bad flag fails beyond control's, above 0.
    pub effect: f64,
    /// Share of requests that fail anyway.
    pub base: f64,
    /// Requests in a tick, both arms together.
    pub requests: f64,
    /// The chance that a flag is bad, between 0 and 1.
    pub prior: f64,
    /// How many ticks there are.
    pub ticks: usize,
    /// What a request costs that fails because of the flag. The unit is a tick at 0 %.
    pub bad_request: f64,
    /// What a rollback costs.
    pub rollback: f64,
    /// What it costs more where the flag was good.
    pub false_rollback: f64,
}

/// What a policy may do before a tick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Move {
    /// To 0 %, for good.
    RollBack,
    /// To the step below; stays at the first.
    Down,
    /// Stays.
    #[default]
    Hold,
    /// To the step above; stays at the last.
    Up,
}

/// What a policy sees before a tick.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// Ticks so far.
    pub tick: usize,
    /// The step it is at, an index into [`SHARES`].
    pub step: usize,
    /// Treatment requests in the last tick; 0 before the first.
    pub requests: f64,
    /// How many of them failed.
    pub failed: u32,
    /// Natural logarithm of the odds that the flag is bad, by all that was seen: follows from the counts.
    pub log_odds: f64,
}

/// Plays the small world.
pub trait SmallPolicy {
    /// Its name.
    fn name(&self) -> &'static str;

    /// Another flag.
    fn begin(&mut self) {}

    /// What to do before the next tick.
    fn choose(&mut self, seen: &Seen) -> Move;
}

/// What a policy's play came to, over flags that are good and over flags that are bad.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Played {
    /// Mean cost of a good flag.
    pub good: f64,
    /// Mean cost of a bad one.
    pub bad: f64,
    /// Standard error of [`Played::cost`] at the world's own prior.
    pub error: f64,
}

impl Played {
    /// The expected cost where a flag is bad with this chance.
    #[must_use]
    pub fn cost(&self, prior: f64) -> f64 {
        prior * self.bad + (1.0 - prior) * self.good
    }
}

impl SmallWorld {
    /// The design's small world with this effect.
    #[must_use]
    pub const fn new(effect: f64) -> Self {
        Self {
            effect,
            base: 0.002,
            requests: 2_000.0,
            prior: 0.3,
            ticks: 240,
            bad_request: 0.02,
            rollback: 2.0,
            false_rollback: 60.0,
        }
    }

    /// What the oracle pays, who knows what each flag is: it brings the good ones up at once and the bad ones down.
    #[must_use]
    pub fn oracle(&self) -> f64 {
        let up: f64 = SHARES[1..].iter().take(self.ticks).map(|share| 1.0 - share).sum();
        self.prior * self.rollback + (1.0 - self.prior) * up
    }

    /// The part of the way from `baseline`'s cost to the best possible one that `cost` goes: 1 is as good as can be, below 0
    /// is worse than the baseline.
    #[must_use]
    pub fn closed(baseline: f64, cost: f64, best: f64) -> f64 {
        (baseline - cost) / (baseline - best)
    }

    /// Lets a policy play so many good flags and as many bad ones. The same seed gives every policy the same luck.
    pub fn play(&self, policy: &mut dyn SmallPolicy, flags: u32, seed: u64) -> Played {
        let game = Game::of(self);
        let mut costs = [Vec::new(), Vec::new()];
        for flag in 0..u64::from(flags) {
            for (bad, costs) in costs.iter_mut().enumerate() {
                let mut generator = Pcg64Mcg::seed_from_u64(seed ^ (2 * flag + bad as u64));
                policy.begin();
                let (mut flag, mut cost) = (game.begin(bad == 1), 0.0);
                while !flag.over {
                    let chosen = policy.choose(&flag.seen);
                    cost += game.play(&mut flag, chosen, &mut generator);
                }
                costs.push(cost);
            }
        }
        let [good, bad] = costs.map(|costs| mean_and_error(&costs));
        let error = libm::hypot(self.prior * bad.1, (1.0 - self.prior) * good.1);
        Played { good: good.0, bad: bad.0, error }
    }

    /// What it costs more where the flag is bad.
    fn harm(&self, step: usize) -> f64 {
        self.bad_request * self.requests * SHARES[step] * self.effect
    }

    /// How many treatment requests fail in a tick at this share, on average.
    fn mean(&self, share: f64, bad: bool) -> f64 {
        self.requests * share * (self.base + if bad { self.effect } else { 0.0 })
    }

    /// By how much `failed` requests in a tick at this step move the log-odds: the log-likelihood ratio of two Poisson
    /// counts.
    fn evidence(&self, step: usize, failed: u32) -> f64 {
        f64::from(failed) * libm::log1p(self.effect / self.base) - self.requests * SHARES[step] * self.effect
    }
}

/// The small world as it is played, tick by tick.
pub struct Game {
    world: SmallWorld,
    /// Failed requests in a tick, of a good flag and of a bad one, at each step.
    counts: [[Counts; SHARES.len()]; 2],
}

/// One flag in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Flag {
    /// Whether it is bad, which no policy sees.
    pub bad: bool,
    /// What a policy sees.
    pub seen: Seen,
    /// It was rolled back, or all ticks are over.
    pub over: bool,
}

impl Game {
    /// Of this world.
    #[must_use]
    pub fn of(world: &SmallWorld) -> Self {
        let counts = [false, true].map(|bad| SHARES.map(|share| Counts::of(world.mean(share, bad))));
        Self { world: *world, counts }
    }

    /// The world.
    #[must_use]
    pub const fn world(&self) -> &SmallWorld {
        &self.world
    }

    /// A flag before its first tick.
    #[must_use]
    pub fn begin(&self, bad: bool) -> Flag {
        let log_odds = libm::log(self.world.prior / (1.0 - self.world.prior));
        let seen = Seen { tick: 0, step: 0, requests: 0.0, failed: 0, log_odds };
        Flag { bad, seen, over: self.world.ticks == 0 }
    }

    /// Moves a flag that is not over, lives through a tick, and returns what both cost.
    pub fn play(&self, flag: &mut Flag, chosen: Move, generator: &mut impl Rng) -> f64 {
        let world = &self.world;
        let Some(step) = step_after(flag.seen.step, chosen) else {
            flag.over = true;
            return world.rollback + if flag.bad { 0.0 } else { world.false_rollback };
        };
        let failed = self.counts[usize::from(flag.bad)][step].at(generator.random());
        let tick = flag.seen.tick + 1;
        let log_odds = flag.seen.log_odds + world.evidence(step, failed);
        flag.seen = Seen { tick, step, requests: world.requests * SHARES[step], failed, log_odds };
        flag.over = tick >= world.ticks;
        waiting(step) + if flag.bad { world.harm(step) } else { 0.0 }
    }
}

/// What a tick at this step costs, whatever the flag is.
fn waiting(step: usize) -> f64 {
    1.0 - SHARES[step]
}

/// The step after a move; None after a rollback.
fn step_after(step: usize, chosen: Move) -> Option<usize> {
    match chosen {
        Move::RollBack => None,
        Move::Down => Some(step.saturating_sub(1)),
        Move::Hold => Some(step),
        Move::Up => Some((step + 1).min(SHARES.len() - 1)),
    }
}

/// A Poisson distribution, counted out.
struct Counts {
    /// The probability of each count from 0 on.
    probabilities: Vec<f64>,
    /// The probability of each count or a lower one.
    below: Vec<f64>,
}

impl Counts {
    fn of(mean: f64) -> Self {
        let mut probabilities = vec![libm::exp(-mean)];
        let mut last = probabilities[0];
        let mut count = 0.0;
        while count < mean || last > NEGLIGIBLE {
            count += 1.0;
            last *= mean / count;
            probabilities.push(last);
        }
        let below = probabilities.iter().scan(0.0, |sum, probability| {
            *sum += probability;
            Some(*sum)
        });
        Self { below: below.collect(), probabilities }
    }

    /// The quantile at `u`, 0 to 1.
    fn at(&self, u: f64) -> u32 {
        let count = self.below.partition_point(|below| *below < u).min(self.below.len() - 1);
        u32::try_from(count).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The share of bad flags in the design's simulations; see the module.
    const AS_SIMULATED: f64 = 0.3044;

    fn near(found: f64, expected: f64, within: f64) {
        assert!((found - expected).abs() <= within, "{found} instead of {expected}");
    }

    #[test]
    fn the_oracle_pays_what_the_design_says() {
        for effect in EFFECTS {
            near(SmallWorld::new(effect).oracle(), 2.77, 0.005);
        }
    }

    #[test]
    fn the_best_policy_costs_what_the_design_says() {
        // The design's were simulated; the standard error of a simulated one is 0.01 to 0.02.
        for (effect, expected) in EFFECTS.into_iter().zip([3.75, 3.38, 3.12]) {
            near(Best::of(&SmallWorld::new(effect)).cost(), expected, 0.02);
        }
    }

    #[test]
    fn the_best_policy_pays_when_it_plays_what_it_was_computed_to_cost() {
        let world = SmallWorld::new(0.02);
        let mut best = Best::of(&world);
        let played = world.play(&mut best, 4_000, 1);
        near(played.cost(world.prior), best.cost(), 4.0 * played.error);
        assert!(played.error < 0.1, "{played:?}");
        // No worse than the oracle, and near it for what is plain.
        assert!(best.cost() > world.oracle());
    }

    #[test]
    fn blind_ramping_costs_what_the_design_says() {
        for (effect, expected) in EFFECTS.into_iter().zip([17.5, 60.8, 292.0]) {
            let world = SmallWorld::new(effect);
            let played = world.play(&mut Blind, 1, 0);
            near(played.good, 3.1, 1e-9);
            near(played.cost(AS_SIMULATED), expected, 0.002 * expected);
            // With the prior itself: 3.1 + 0.3 * 0.02 * 2000 * effect * (0.05 + 0.1 + 0.25 + 0.5 + 236).
            near(played.cost(world.prior), 3.1 + 12.0 * effect * 236.9, 1e-9);
        }
    }

    #[test]
    fn the_flagger_like_rule_costs_what_the_design_says() {
        for (effect, expected) in EFFECTS.into_iter().zip([10.4, 5.7, 5.3]) {
            let world = SmallWorld::new(effect);
            let played = world.play(&mut FlaggerLike::default(), 6_000, 2);
            near(played.cost(AS_SIMULATED), expected, 0.1 + 3.0 * played.error);
            assert!(played.error < 0.15, "{played:?}");
        }
    }

    #[test]
    fn the_way_closed_is_nothing_for_the_baseline_and_all_for_the_best() {
        near(SmallWorld::closed(10.4, 10.4, 3.75), 0.0, 1e-12);
        near(SmallWorld::closed(10.4, 3.75, 3.75), 1.0, 1e-12);
        near(SmallWorld::closed(10.0, 5.0, 4.0), 5.0 / 6.0, 1e-12);
    }

    #[test]
    fn a_count_is_as_likely_as_poisson_says() {
        let counts = Counts::of(2.0);
        near(counts.probabilities[3], 8.0 / 6.0 * libm::exp(-2.0), 1e-12);
        // P(X <= 1) = 3 e^-2 = 0.406, P(X <= 2) = 5 e^-2 = 0.677.
        assert_eq!([counts.at(0.1), counts.at(0.41), counts.at(0.67), counts.at(0.68)], [0, 2, 2, 3]);
        assert!(counts.at(1.0) > 10);
    }
}
