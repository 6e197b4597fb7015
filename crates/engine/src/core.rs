//! The engine as the loop and its observers see it: one that steers, or the playback of a recorded session.
//!
//! Everything asked of an engine is passed on to the one that it is. This is the only place that knows both, so neither has
//! to ask itself which it is. It must not decide anything.

use std::{sync::Arc, time::Duration};

use super::{
    answer::{Ack, OrderError},
    begin::{EngineError, Setup},
    meter::Meter,
    playback::{Recorded, SessionPlayback},
    steering::Steering,
};
use knightwatch_core::{
    control::{ControlConfig, Entry, Order, PolicySettings, Seq, Shadow, State, TelemetryState},
    telemetry::Millis,
};
use knightwatch_store::StoreError;

/// An engine: one that steers, or a recorded session that is played back.
pub struct Engine(Kind);

enum Kind {
    Steering(Box<Steering>),
    Playback(Box<SessionPlayback>),
}

impl Engine {
    /// A fresh engine: declares the flags and journals that the session has begun.
    ///
    /// # Errors
    /// When the journal cannot be written, or two flags have one key.
    pub fn begin(setup: Setup) -> Result<Self, EngineError> {
        Steering::begin(setup).map(Self::steering)
    }

    /// An engine that goes on where a journal ends, the kill latch included. The world and the policy live through the
    /// same intervals again, up to the last tick at `until` or the last entry, whichever is later.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn resume(setup: Setup, until: Millis) -> Result<Self, EngineError> {
        Steering::resume(setup, until).map(Self::steering)
    }

    /// An engine that goes on where a journal ends, kill latch included, in a world that cannot be lived through again. Flags
    /// among the setup's that the journal does not have are declared; its scheduled starts are not used.
    ///
    /// # Errors
    /// When the journal cannot be read or written.
    pub fn resume_live(setup: Setup) -> Result<Self, EngineError> {
        Steering::resume_live(setup).map(Self::steering)
    }

    /// An engine that plays back a recorded session. Nothing can be changed in it.
    #[must_use]
    pub fn playback(recorded: Recorded, config: ControlConfig, source_name: String) -> Self {
        Self(Kind::Playback(Box::new(SessionPlayback::new(recorded, config, source_name))))
    }

    fn steering(steering: Steering) -> Self {
        Self(Kind::Steering(Box::new(steering)))
    }

    /// Journals that the session goes on, and who steers it from here. A playback has nothing to journal.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn note_resumed(&mut self) -> Result<(), EngineError> {
        match &mut self.0 {
            Kind::Steering(steering) => steering.note_resumed(),
            Kind::Playback(_) => Ok(()),
        }
    }

    /// The state.
    #[must_use]
    pub const fn state(&self) -> &State {
        match &self.0 {
            Kind::Steering(steering) => &steering.state,
            Kind::Playback(playback) => &playback.state,
        }
    }

    /// What its loop measures of itself.
    #[must_use]
    pub const fn meter(&self) -> &Arc<Meter> {
        match &self.0 {
            Kind::Steering(steering) => &steering.meter,
            Kind::Playback(playback) => &playback.meter,
        }
    }

    /// What is remembered of telemetry.
    #[must_use]
    pub const fn telemetry_state(&self) -> &TelemetryState {
        match &self.0 {
            Kind::Steering(steering) => &steering.telemetry_state,
            Kind::Playback(playback) => &playback.telemetry_state,
        }
    }

    /// The settings.
    #[must_use]
    pub const fn config(&self) -> &ControlConfig {
        match &self.0 {
            Kind::Steering(steering) => &steering.config,
            Kind::Playback(playback) => &playback.config,
        }
    }

    /// What is steered, for people.
    #[must_use]
    pub fn source_name(&self) -> &str {
        match &self.0 {
            Kind::Steering(steering) => &steering.source_name,
            Kind::Playback(playback) => &playback.source_name,
        }
    }

    /// The name of the policy in charge.
    #[must_use]
    pub fn policy_name(&self) -> &str {
        match &self.0 {
            Kind::Steering(steering) => steering.policy.name(),
            Kind::Playback(_) => "recorded",
        }
    }

    /// The name of the policy that decides beside it without acting, where one does.
    #[must_use]
    pub fn shadow_name(&self) -> Option<&str> {
        match &self.0 {
            Kind::Steering(steering) => steering.shadow.as_ref().map(Shadow::name),
            Kind::Playback(_) => None,
        }
    }

    /// How the policy in charge is set, where it can be.
    #[must_use]
    pub fn policy_settings(&self) -> Option<PolicySettings> {
        match &self.0 {
            Kind::Steering(steering) => steering.policy.settings(),
            Kind::Playback(_) => None,
        }
    }

    /// Controller time.
    #[must_use]
    pub fn now(&self) -> Millis {
        match &self.0 {
            Kind::Steering(steering) => steering.source.now(),
            Kind::Playback(playback) => playback.now(),
        }
    }

    /// The end of the interval that was closed last.
    #[must_use]
    pub fn interval_end(&self) -> Millis {
        match &self.0 {
            Kind::Steering(steering) => steering.source.end(),
            Kind::Playback(playback) => playback.now(),
        }
    }

    /// In how long the next step is due, where the source's time is real.
    pub(super) fn next_in(&self) -> Option<Duration> {
        match &self.0 {
            Kind::Steering(steering) => steering.source.next_in(),
            Kind::Playback(_) => None,
        }
    }

    /// Whether the source has come to its end.
    #[must_use]
    pub fn done(&self) -> bool {
        match &self.0 {
            Kind::Steering(steering) => steering.source.done(),
            Kind::Playback(playback) => playback.done(),
        }
    }

    /// Entries of the journal below `before` (the newest where `None`), oldest first, at most `limit`; those not yet on
    /// disk among them.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn entries(&self, before: Option<Seq>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        match &self.0 {
            Kind::Steering(steering) => steering.outbox.entries(before, limit),
            Kind::Playback(playback) => Ok(playback.entries(before, limit)),
        }
    }

    /// Lives through one control interval. Returns what happened, which is in force and on disk (or in the outbox, while the
    /// disk fails: only what makes things safer is done then).
    pub fn step(&mut self) -> Vec<Entry> {
        match &mut self.0 {
            Kind::Steering(steering) => steering.step(),
            Kind::Playback(playback) => playback.step(),
        }
    }

    /// Carries out an order. The same order id acts once. Beside the answer comes what is new in the journal.
    ///
    /// # Errors
    /// When it is refused or cannot be made durable; nothing has changed then.
    pub fn order(&mut self, order: &Order) -> Result<(Ack, Vec<Entry>), OrderError> {
        match &mut self.0 {
            Kind::Steering(steering) => steering.order(order),
            Kind::Playback(_) => {
                Err(OrderError::NotSent("this is a recording, nothing can be changed in it".to_owned()))
            }
        }
    }

    /// Whether a write has failed since the disk was last known to work.
    pub(super) fn is_failing(&self) -> bool {
        match &self.0 {
            Kind::Steering(steering) => steering.outbox.is_failing(),
            Kind::Playback(_) => false,
        }
    }

    /// How many entries are in force and not known to be on disk.
    pub(super) fn unwritten(&self) -> u64 {
        match &self.0 {
            Kind::Steering(steering) => steering.state.seq.0.saturating_sub(steering.outbox.durable().0),
            Kind::Playback(_) => 0,
        }
    }

    /// Flushes the outbox without a step or an order. Returns what is new in the journal.
    pub(super) fn flush(&mut self) -> Vec<Entry> {
        match &mut self.0 {
            Kind::Steering(steering) => steering.flush(),
            Kind::Playback(_) => Vec::new(),
        }
    }
}
