//! What a policy sees of one flag at one tick.

use super::{ActionMask, Phase};
use crate::{
    flag::{FlagId, Ladder, Rollout},
    telemetry::{ArmStats, Counts, Millis, WindowReport},
};

/// All that a policy may know of a flag. It holds what was measured, never the simulator's truth.
#[derive(Clone, Debug)]
pub struct Observation<'a> {
    /// Which flag.
    pub flag: FlagId,
    /// Which ramp: policies with a memory restart when it changes.
    pub ramp: u32,
    /// Controller time.
    pub now: Millis,
    /// The control interval.
    pub interval: Millis,
    /// The flag's phase.
    pub phase: Phase,
    /// Its rollout.
    pub rollout: Rollout,
    /// The rungs it climbs.
    pub ladder: &'a Ladder,
    /// Time since the rollout last changed.
    pub since_change: Millis,
    /// The evidence and what lies behind it.
    pub report: &'a WindowReport,
    /// Control and treatment in the interval just closed; `None` where there was no sample.
    pub latest: &'a [Option<ArmStats>; 2],
    /// Requests of that interval that were slower than the P99 of earlier control windows (`report.slow_ms`), by arm; `None`
    /// where an arm had none or there is no such P99 yet.
    pub slower: Option<Counts>,
    /// How many other flags of the same service are ramping.
    pub moving_in_service: u32,
    /// What the shield would allow.
    pub mask: ActionMask,
}
