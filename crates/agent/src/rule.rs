//! The rule policy: a rung up when the evidence is healthy, back to 0 % when it has regressed.
//!
//! It steers honestly until PPO-Master is trained. Dwell, samples and step size are the shield's; what it adds is one
//! judgement of its own: a P99 or error interval that lies entirely above zero, short of being proof, is no reason to
//! go on, whatever the margin says.

use knightwatch_core::control::{Action, Observation, Policy, PolicyFault, Proposal};
use knightwatch_core::telemetry::Verdict;

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rule;

impl Policy for Rule {
    fn name(&self) -> &'static str {
        "rule"
    }

    fn propose(
        &mut self,
        observations: &[Observation<'_>],
        proposals: &mut Vec<Proposal>,
    ) -> Result<(), PolicyFault> {
        proposals.extend(observations.iter().map(|seen| Proposal::to(Self::judge(seen))));
        Ok(())
    }
}

impl Rule {
    fn judge(seen: &Observation<'_>) -> Action {
        let worse = seen.report.errors.low > 0.0 || seen.report.p99.low > 0.0;
        match seen.report.verdict {
            Verdict::Regressed => Action::RollBack,
            Verdict::Healthy if !worse => match seen.mask.raise_to {
                Some(most) => Action::RaiseTo(seen.ladder.above(seen.rollout, 1).min(most)),
                None => Action::Hold,
            },
            Verdict::Healthy | Verdict::Insufficient | Verdict::Lost => Action::Hold,
        }
    }
}
