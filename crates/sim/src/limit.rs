//! Limits: what a policy could do at best behind the same shield if it knew the truth of the world.
//!
//! The *oracle* knows what is to come: a flag that does harm, now or later, is rolled back the first time that the shield allows
//! it, and any other is raised as fast as may be. *Hindsight* knows what has been, at once and without noise: it goes a policy's
//! own pace, and rolls a flag back after the first interval in which it did harm and for no other reason. What lies between
//! the two cannot be had by watching, however well; what lies between hindsight and its policy is what telemetry hides and
//! what the policy makes of it.
//!
//! Like every policy they are asked below 100 % only, and the shield has the last word. They are limits in the mean and not in
//! every world: raising as fast as may be runs into the shield now and then, where somebody slower would not. And they are no
//! opponents: no [`Observation`] holds what they know, so that only the episode, which has the world, can let them play.

use crate::Truth;
use knightwatch_core::control::{Action, Observation, Policy, PolicyFault, Proposal};

/// Who knows the truth, and how much of it.
pub enum Limit<'p> {
    /// What was, is and will be.
    Oracle,
    /// What was; it goes this policy's pace.
    Hindsight(&'p mut dyn Policy),
}

/// A limit at play.
pub struct Knowing<'p> {
    limit: Limit<'p>,
    /// By flag, as of the last interval: whether it has to go.
    guilty: Vec<bool>,
}

impl<'p> Knowing<'p> {
    /// Before the first interval.
    #[must_use]
    pub const fn new(limit: Limit<'p>) -> Self {
        Self { limit, guilty: Vec::new() }
    }

    /// Tells it the truth of the interval just lived through.
    pub fn learn(&mut self, truths: &[Truth]) {
        self.guilty.resize(truths.len(), false);
        for (guilty, truth) in self.guilty.iter_mut().zip(truths) {
            *guilty = match self.limit {
                Limit::Oracle => truth.harmful,
                Limit::Hindsight(_) => *guilty || truth.does_harm(),
            };
        }
    }
}

impl Policy for Knowing<'_> {
    fn name(&self) -> &'static str {
        match self.limit {
            Limit::Oracle => "oracle",
            Limit::Hindsight(_) => "hindsight",
        }
    }

    fn propose(
        &mut self,
        observations: &[Observation<'_>],
        proposals: &mut Vec<Proposal>,
    ) -> Result<(), PolicyFault> {
        match &mut self.limit {
            Limit::Oracle => proposals.extend(
                observations
                    .iter()
                    .map(|seen| Proposal::to(seen.mask.raise_to.map_or(Action::Hold, Action::RaiseTo))),
            ),
            Limit::Hindsight(policy) => policy.propose(observations, proposals)?,
        }
        for (seen, proposal) in observations.iter().zip(proposals) {
            if self.guilty.get(seen.flag.index()).copied().unwrap_or(false) {
                *proposal = Proposal::to(Action::RollBack);
            } else if proposal.action == Action::RollBack {
                *proposal = Proposal::to(Action::Hold);
            }
        }
        Ok(())
    }
}
