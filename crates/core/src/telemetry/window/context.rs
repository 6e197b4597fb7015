//! What a window has to know of its flag at a tick.
//!
//! The window and its parts see a flag through this alone. It holds plain values. It must not know how they came about.

use crate::{
    flag::Rollout,
    telemetry::{EvidenceConfig, Millis},
};

/// What a window has to know of its flag at a tick.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Settings.
    pub config: &'a EvidenceConfig,
    /// End of the interval.
    pub end: Millis,
    /// Controller time.
    pub now: Millis,
    /// From which age on telemetry is lost.
    pub stale_after: Millis,
    /// The control interval.
    pub interval: Millis,
    /// Which ramp.
    pub ramp: u32,
    /// When the rollout last changed.
    pub changed_at: Millis,
    /// Since when this controller has looked.
    pub begun: Millis,
    /// The rollout.
    pub rollout: Rollout,
    /// The next rung.
    pub next: Rollout,
}
