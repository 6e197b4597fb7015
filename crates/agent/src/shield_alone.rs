//! The shield alone: a policy without judgement, that takes whatever the shield's mask offers.
//!
//! It always proposes the largest raise that is allowed, and never lowers a flag. What comes of it is the
//! shield's own doing: rollbacks on proof, raises on proof of health. Any other policy has to be better than this to
//! have earned its place.

use knightwatch_core::control::{Action, Observation, Policy, PolicyFault, Proposal};

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShieldAlone;

impl Policy for ShieldAlone {
    fn name(&self) -> &'static str {
        "shield-alone"
    }

    fn propose(
        &mut self,
        observations: &[Observation<'_>],
        proposals: &mut Vec<Proposal>,
    ) -> Result<(), PolicyFault> {
        proposals.extend(
            observations
                .iter()
                .map(|seen| Proposal::to(seen.mask.raise_to.map_or(Action::Hold, Action::RaiseTo))),
        );
        Ok(())
    }
}
