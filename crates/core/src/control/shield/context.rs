//! What all rules of the shield share: its settings and the time.
//!
//! It answers the questions about a flag that several rules ask. It must not know telemetry or what a policy proposes.

use crate::{
    control::{FlagState, Phase, Reason, ShieldConfig},
    telemetry::Millis,
};

/// Settings and time of one tick.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) config: &'a ShieldConfig,
    /// The control interval.
    pub(super) interval: Millis,
    /// Controller time.
    pub(super) now: Millis,
    /// When this controller began to observe.
    pub(super) begun: Millis,
}

impl Context<'_> {
    /// Whether the hard limits guard this flag: it has traffic, and no person has switched them off.
    pub(super) fn guards(&self, flag: &FlagState) -> bool {
        matches!(flag.phase, Phase::Ramping | Phase::Paused | Phase::Complete)
            && !flag.rollout.is_zero()
            && flag.guard_off_until.is_none_or(|until| until <= self.now)
    }

    /// Changes of direction within the reversal window.
    pub(super) fn reversals(&self, flag: &FlagState) -> usize {
        let recent = |at: &&Millis| self.now.since(**at) < self.config.reversal_window;
        flag.reversals.iter().filter(recent).count()
    }

    /// The freeze window that is open now.
    pub(super) fn freeze_window(&self) -> Option<Reason> {
        let window = self.config.freeze.iter().find(|window| window.contains(self.now))?;
        Some(Reason::Frozen { window: window.name.clone() })
    }
}
