//! PPO-Master: the learned policy, as it steers in production. Features, network, mask, and the likeliest move.

use std::sync::Arc;

use super::{CHOICES, Choice, Memory, Weights, WeightsError, features, legal, probabilities};
use crate::control::{Observation, Policy, PolicyFault, Proposal};

/// The trained weights that the program ships with.
static SHIPPED: &[u8] = include_bytes!("../../assets/ppo-master.safetensors");

/// See the module.
#[derive(Clone, Debug)]
pub struct PpoMaster {
    weights: Result<Arc<Weights>, WeightsError>,
    taste: f32,
    memories: Vec<Memory>,
}

impl PpoMaster {
    /// With the weights of this file. One that cannot be used makes a policy that answers with that fault: everything
    /// holds, an alarm says why, and the shield still rolls back.
    #[must_use]
    pub fn from_file(bytes: &[u8]) -> Self {
        Self::new(Weights::parse(bytes).map(Arc::new))
    }

    /// With the weights that the program ships with.
    #[must_use]
    pub fn shipped() -> Self {
        Self::from_file(SHIPPED)
    }

    /// With these weights.
    #[must_use]
    pub const fn new(weights: Result<Arc<Weights>, WeightsError>) -> Self {
        Self { weights, taste: 0.0, memories: Vec::new() }
    }

    /// The same, weighing harm `factor` times as much against waiting as it is usually weighed.
    #[must_use]
    pub fn with_taste(self, factor: f32) -> Self {
        Self { taste: libm::logf(factor), ..self }
    }

    /// What the weights are, or why there are none.
    #[must_use]
    pub const fn weights(&self) -> &Result<Arc<Weights>, WeightsError> {
        &self.weights
    }
}

impl Policy for PpoMaster {
    fn name(&self) -> &'static str {
        "ppo-master"
    }

    fn propose(
        &mut self,
        observations: &[Observation<'_>],
        proposals: &mut Vec<Proposal>,
    ) -> Result<(), PolicyFault> {
        let weights = self.weights.as_ref().map_err(|error| PolicyFault::Unfit(error.to_string()))?;
        for seen in observations {
            let flag = seen.flag.index();
            if self.memories.len() <= flag {
                self.memories.resize_with(flag + 1, Memory::default);
            }
            let seen_as = features(seen, self.taste, &mut self.memories[flag]);
            let answer = weights.network.answer(&weights.normaliser.apply(&seen_as));
            let legal = legal(seen);
            let probabilities = probabilities(&answer.logits, &legal);
            proposals.push(Proposal {
                action: Choice::ALL[likeliest(&probabilities)].action(seen),
                probabilities: Some(probabilities),
                value: Some(answer.value),
            });
        }
        Ok(())
    }
}

/// The position of the largest; of equals the first, which is the more careful one.
pub(super) fn likeliest(probabilities: &[f32; CHOICES]) -> usize {
    let mut best = 0;
    for (position, p) in probabilities.iter().enumerate() {
        if *p > probabilities[best] {
            best = position;
        }
    }
    best
}
