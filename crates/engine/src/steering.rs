//! Steering: the state of an engine in which a policy decides.
//!
//! It holds what the other modules work on: its journal and keeping are in `keep.rs`, what people may do in `order.rs`,
//! its step in `step.rs`, how it begins in `begin.rs`. It must not know playback: a recorded session has a type of its own.

use std::{collections::VecDeque, sync::Arc};

use super::{answer::AckStore, meter::Meter, outbox::Outbox, scheduled_start::ScheduledStart};
use knightwatch_core::{
    Source,
    control::{ControlConfig, Entry, Policy, Shadow, State, TelemetryState},
    flag::Rollout,
    telemetry::Feed,
};

/// An engine in which a policy decides. It does one thing at a time and never waits for anything but its journal and its
/// policy's deadline.
pub(super) struct Steering {
    pub(super) state: State,
    pub(super) telemetry_state: TelemetryState,
    pub(super) config: ControlConfig,
    pub(super) policy: Box<dyn Policy>,
    /// Who decides beside it, without acting.
    pub(super) shadow: Option<Shadow>,
    pub(super) source: Box<dyn Source>,
    pub(super) scheduled_starts: VecDeque<ScheduledStart>,
    /// The journal, and what is in force but not yet in it.
    pub(super) outbox: Outbox,
    pub(super) feed: Feed,
    /// Reused by each step.
    pub(super) rollouts: Vec<Rollout>,
    /// Entries found on disk that had been reported as not written: news to everybody.
    pub(super) surfaced: Vec<Entry>,
    pub(super) answers: AckStore,
    pub(super) source_name: String,
    pub(super) meter: Arc<Meter>,
}
