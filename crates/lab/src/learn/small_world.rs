//! Learning the small world of the judge, where it is known how good a policy can be at best.
//!
//! Flags side by side, of every effect that the design gives numbers for, with the product's network and learner. It is
//! the proof that what the learner finds is near the optimum, and knows nothing of the simulator.

use std::{collections::BTreeMap, sync::Arc};

use rand_pcg::Pcg64Mcg;

use super::{
    LearnError, Ppo, PpoConfig, Purpose, Rollout, Segment, Shape, Tail, ValueLoss, generator,
    run::{lean_towards_raising, weights_of},
    uniform,
};
use crate::judge::small_world::{EFFECTS, Flag, Game, LEGAL, SmallWorld, inputs, moved};
use knightwatch_agent::{CHOICES, Choice, FEATURE_COUNT, Network, Normaliser, WORLD, Weights, probabilities};

/// Flags side by side.
const LANES: usize = 256;

/// Ticks of each in one rollout.
const TICKS: usize = 32;

/// What costs are multiplied by, so that values are of order one.
const SCALE: f64 = 0.05;

/// The critic sees whether the flag is bad.
const SHAPE: Shape = Shape { observations: FEATURE_COUNT, privileged: 1, actions: CHOICES };

/// The learner's settings.
#[must_use]
pub fn settings() -> PpoConfig {
    PpoConfig {
        total_steps: 6_000_000,
        learning_rate: 1.5e-3,
        // The world ends after 240 ticks and counts all of them alike; this is near enough to 1.
        gamma: 0.999,
        lambda: 0.95,
        value_loss: ValueLoss::Mse,
        entropy: 0.01,
        entropy_end: Some(0.0),
        epochs: 6,
        // A whole rollout at a time, and hardly clipped. A false rollback is rare and dear: where the few rows that hold one are
        // made small beside the others of their minibatch, the policy learns to take the chance (with 1 024 rows and a
        // norm of 0.5 it closed 73 % of the gap at an effect of 2 %).
        minibatch: LANES * TICKS,
        max_gradient_norm: 100.0,
        clip_apart: true,
        ..PpoConfig::default()
    }
}

/// A training on the small world.
pub struct SmallRun {
    ppo: Ppo,
    seed: u64,
    games: Vec<Game>,
    lanes: Vec<(usize, Flag)>,
    /// Flags begun: each has its own chances.
    begun: u64,
}

impl SmallRun {
    /// From nothing.
    ///
    /// # Errors
    /// Settings out of their range.
    pub fn new(settings: PpoConfig, seed: u64) -> Result<Self, LearnError> {
        let mut ppo = Ppo::new(settings, SHAPE, seed)?;
        lean_towards_raising(&mut ppo, Choice::RaiseSmall)?;
        let games: Vec<Game> = EFFECTS.iter().map(|effect| Game::of(&SmallWorld::new(*effect))).collect();
        let mut run = Self { ppo, seed, games, lanes: Vec::new(), begun: 0 };
        run.lanes = (0..LANES).map(|_| run.begin()).collect();
        Ok(run)
    }

    fn begin(&mut self) -> (usize, Flag) {
        self.begun += 1;
        let mut chance = generator(self.seed, Purpose::Episode, self.begun);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "three"
        )]
        let game = (uniform(&mut chance) * self.games.len() as f64) as usize;
        let bad = uniform(&mut chance) < self.games[game].world().prior;
        (game, self.games[game].begin(bad))
    }

    /// One rollout and what is learned from it; `false` once all steps are done.
    ///
    /// # Errors
    /// When the optimisation runs off.
    pub fn iterate(&mut self) -> Result<bool, LearnError> {
        let weights = self.weights();
        let mut chance = generator(self.seed, Purpose::Action, self.ppo.iteration());
        let mut rollout = Rollout::default();
        for lane in 0..LANES {
            self.collect(lane, &weights.network, &mut chance, &mut rollout);
        }
        self.ppo.update(&rollout)?;
        Ok(self.ppo.steps() < self.ppo.config().total_steps)
    }

    fn collect(&mut self, lane: usize, network: &Network, chance: &mut Pcg64Mcg, rollout: &mut Rollout) {
        let number = u32::try_from(lane).unwrap_or(u32::MAX);
        let mut start = rollout.actions.len();
        for _ in 0..TICKS {
            let (game, flag) = &mut self.lanes[lane];
            let game = &self.games[*game];
            let input = inputs(game.world(), &flag.seen);
            let likely = probabilities(&network.answer(&input).logits, &LEGAL);
            let choice = drawn(&likely, uniform(chance));
            rollout.observations.extend_from_slice(&input);
            rollout.privileged.push(f32::from(u8::from(flag.bad)));
            rollout.masks.extend(LEGAL.iter().map(|legal| u8::from(*legal)));
            rollout.actions.push(choice as u8);
            rollout.log_probs.push(libm::logf(likely[choice as usize]));
            let cost = game.play(flag, moved(choice), chance);
            #[expect(clippy::cast_possible_truncation, reason = "of order one")]
            rollout.rewards.push((-SCALE * cost) as f32);
            if flag.over {
                let end = rollout.actions.len();
                rollout.segments.push(Segment { start, end, lane: number, tail: Tail::Terminal });
                start = end;
                self.lanes[lane] = self.begin();
            }
        }
        let end = rollout.actions.len();
        if start < end {
            let (game, flag) = &self.lanes[lane];
            rollout.bootstrap_observations.extend_from_slice(&inputs(self.games[*game].world(), &flag.seen));
            rollout.bootstrap_privileged.push(f32::from(u8::from(flag.bad)));
            let tail = Tail::CutOff(rollout.bootstrap_observations.len() / FEATURE_COUNT - 1);
            rollout.segments.push(Segment { start, end, lane: number, tail });
        }
    }

    /// The present weights, with how they came to be.
    #[must_use]
    pub fn weights(&self) -> Arc<Weights> {
        let training = BTreeMap::from([
            (WORLD.to_owned(), "the judge's small world".to_owned()),
            ("seed".to_owned(), self.seed.to_string()),
            ("steps".to_owned(), self.ppo.steps().to_string()),
        ]);
        Arc::new(weights_of(&self.ppo.actor(), SCALE, &Normaliser::default(), training))
    }

    /// Steps so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.ppo.steps()
    }
}

/// The choice at `u`, 0 to below 1, of these probabilities.
fn drawn(likely: &[f32; CHOICES], u: f64) -> Choice {
    let mut below = 0.0;
    for (choice, p) in Choice::ALL.into_iter().zip(likely) {
        below += f64::from(*p);
        if u < below && *p > 0.0 {
            return choice;
        }
    }
    Choice::Hold
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::small_world::{Blind, Learnt, SmallPolicy};

    #[test]
    fn a_short_training_is_better_than_not_looking() {
        let mut run = SmallRun::new(PpoConfig { total_steps: 400_000, ..settings() }, 3).unwrap();
        while run.iterate().unwrap() {}
        let world = SmallWorld::new(0.1);
        let cost = |policy: &mut dyn SmallPolicy| world.play(policy, 300, 1).cost(world.prior);
        assert!(cost(&mut Learnt::new(run.weights(), world)) < 0.5 * cost(&mut Blind));
    }
}
