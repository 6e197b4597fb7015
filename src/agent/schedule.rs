//! The fixed schedule: 1, 5, 10, 25, 50, 100 % with a fixed dwell, and no analysis at all. How most rollouts are still
//! done, and what every other policy has to beat.

use crate::{
    control::{Action, Observation, Policy, PolicyFault, Proposal},
    flag::Rollout,
    telemetry::Millis,
};

/// Stages, in basis points.
const STAGES: [u16; 6] = [100, 500, 1_000, 2_500, 5_000, 10_000];

/// The fixed schedule.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// Time at each stage.
    pub dwell: Millis,
}

impl Default for Schedule {
    /// Five minutes a stage.
    fn default() -> Self {
        Self { dwell: Millis::from_secs(300) }
    }
}

impl Policy for Schedule {
    fn name(&self) -> &'static str {
        "schedule"
    }

    fn propose(
        &mut self,
        observations: &[Observation<'_>],
        proposals: &mut Vec<Proposal>,
    ) -> Result<(), PolicyFault> {
        proposals.extend(observations.iter().map(|seen| {
            let next = STAGES.iter().find(|stage| **stage > seen.rollout.basis_points());
            let next = next.and_then(|stage| Rollout::from_basis_points(*stage).ok());
            Proposal::to(match next {
                Some(next) if seen.since_change >= self.dwell => Action::RaiseTo(next),
                _ => Action::Hold,
            })
        }));
        Ok(())
    }
}
