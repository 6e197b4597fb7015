//! The learned policy of the small world: PPO-Master's network with weights that were trained there.
//!
//! It is the network that steers flags, its inputs filled with what there is to see in the small world and its choices
//! cut down to the four moves there are. Like the best policy it is told the world's numbers, so that what it believes of
//! a flag follows from counts; what to do about it is learned.

use std::sync::Arc;

use super::{Move, SHARES, Seen, SmallPolicy, SmallWorld};
use knightwatch_agent::{CHOICES, Choice, FEATURE_COUNT, Features, Weights, WeightsError, probabilities};

/// The weights that the program ships with, trained by `knightwatch-lab small-world` (feature `train`).
static SHIPPED: &[u8] = include_bytes!("../../../../../assets/small-world.safetensors");

/// See the module.
#[derive(Clone, Debug)]
pub struct Learnt {
    weights: Arc<Weights>,
    world: SmallWorld,
}

/// The choices that the small world has.
pub const LEGAL: [bool; CHOICES] = [true, true, true, true, false, false];

/// What the network sees.
#[must_use]
pub fn inputs(world: &SmallWorld, seen: &Seen) -> Features {
    #[expect(clippy::cast_precision_loss, reason = "some hundred ticks")]
    let left = (world.ticks.saturating_sub(seen.tick)) as f64 / world.ticks.max(1) as f64;
    let mut values = [0.0; FEATURE_COUNT];
    let believed = [
        // The belief at two scales: near even odds, and far from them.
        (seen.log_odds / 2.0).clamp(-6.0, 6.0),
        (seen.log_odds / 8.0).clamp(-6.0, 6.0),
        left,
        // Little time is told apart from none.
        libm::exp(-16.0 * left),
        libm::log(world.effect / 0.02),
    ];
    let at = SHARES.iter().enumerate().map(|(step, _)| if step == seen.step { 1.0 } else { 0.0 });
    for (value, input) in values.iter_mut().zip(believed.into_iter().chain(at)) {
        #[expect(clippy::cast_possible_truncation, reason = "of order one")]
        let input = input as f32;
        *value = input;
    }
    values
}

/// What a choice of the network is in the small world.
#[must_use]
pub const fn moved(choice: Choice) -> Move {
    match choice {
        Choice::RollBack => Move::RollBack,
        Choice::StepDown => Move::Down,
        Choice::Hold => Move::Hold,
        Choice::RaiseSmall | Choice::RaiseMedium | Choice::RaiseLarge => Move::Up,
    }
}

impl Learnt {
    /// With these weights, in this world.
    #[must_use]
    pub const fn new(weights: Arc<Weights>, world: SmallWorld) -> Self {
        Self { weights, world }
    }

    /// With the weights that the program ships with.
    ///
    /// # Errors
    /// Weights of another feature schema, whose network has other inputs.
    pub fn shipped(world: SmallWorld) -> Result<Self, WeightsError> {
        Ok(Self::new(Arc::new(Weights::of_any_world(SHIPPED)?), world))
    }
}

impl SmallPolicy for Learnt {
    fn name(&self) -> &'static str {
        "ppo, trained here"
    }

    fn choose(&mut self, seen: &Seen) -> Move {
        let answer = self.weights.network.answer(&inputs(&self.world, seen));
        moved(Choice::likeliest(&probabilities(&answer.logits, &LEGAL)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::small_world::{Best, EFFECTS, FlaggerLike};

    /// The design's bar: with weights trained there, 85 % of the way from the Flagger-like rule to the best policy.
    #[test]
    fn trained_there_it_goes_85_percent_of_the_way_to_the_best_policy() {
        for effect in EFFECTS {
            let world = SmallWorld::new(effect);
            let best = Best::of(&world).cost();
            let cost = |policy: &mut dyn SmallPolicy| world.play(policy, 6_000, 7).cost(world.prior);
            let rule = cost(&mut FlaggerLike::default());
            let learnt = cost(&mut Learnt::shipped(world).unwrap());
            let closed = SmallWorld::closed(rule, learnt, best);
            assert!(closed >= 0.85, "{closed} of the gap at an effect of {effect}: {learnt}");
        }
    }

    #[test]
    fn the_step_and_the_belief_are_what_is_seen() {
        let seen = Seen { tick: 60, step: 2, requests: 200.0, failed: 1, log_odds: -4.0 };
        let inputs = inputs(&SmallWorld::new(0.02), &seen);
        assert_eq!(
            inputs[..4].iter().map(|x| (x * 1e3).round()).collect::<Vec<_>>(),
            [-2e3, -500.0, 750.0, 0.0]
        );
        assert_eq!(inputs[5..11], [0.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
    }
}
