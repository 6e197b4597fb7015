//! A policy that answers at random: what the shield is tested with. Its caps have to hold under anything.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use knightwatch_core::{
    control::{Action, Observation, Policy, PolicyFault, Proposal},
    flag::Rollout,
};

/// See the module.
#[derive(Clone, Debug)]
pub struct Random {
    generator: Pcg64Mcg,
}

impl Random {
    /// With its own seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { generator: Pcg64Mcg::seed_from_u64(seed) }
    }
}

impl Policy for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn propose(
        &mut self,
        observations: &[Observation<'_>],
        proposals: &mut Vec<Proposal>,
    ) -> Result<(), PolicyFault> {
        for _ in observations {
            let action = match self.generator.random_range(0..10_u8) {
                0 => Action::RollBack,
                1 => Action::StepDown,
                2..5 => Action::Hold,
                _ => Rollout::from_basis_points(self.generator.random_range(0..=10_000))
                    .map_or(Action::Hold, Action::RaiseTo),
            };
            proposals.push(Proposal::to(action));
        }
        Ok(())
    }
}
