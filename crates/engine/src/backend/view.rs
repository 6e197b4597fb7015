//! What everybody outside the engine sees: a [`Snapshot`], and [`Change`]s that are applied to it. Plain data, the same from
//! an engine inside and from afar.
//!
//! This is the one read model. The stream to other processes is its serialised form, the screens wrap it, and the control
//! API answers from it.

mod flag;
mod history;

use std::{collections::VecDeque, sync::Arc};

use serde::{Deserialize, Serialize};

pub(crate) use self::history::push as push_point;
pub use self::{
    flag::{FlagView, ProposalView, RulingView},
    history::{ArmPoint, Point},
};
use crate::Engine;
pub use crate::{Ack, FlagsOff, OrderError, Pace};
use knightwatch_core::{
    control::{Alarm, AlarmKind, Entry, Latch, Seq},
    telemetry::Millis,
};

/// How the backend is reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// The engine is in this process.
    Embedded,
    /// In contact.
    Connected,
    /// Nothing heard for so long.
    Stale(Millis),
    /// No contact.
    Lost {
        /// For so long.
        age: Millis,
        /// What the last attempt came to, where one failed: the line, the token, the certificate, another environment.
        why: Option<String>,
    },
}

/// The policy in charge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyView {
    /// Its name.
    pub name: String,
    /// One clause for people: what kind of policy it is.
    pub about: String,
    /// The fault that makes the agent hold, as a sentence.
    pub fault: Option<String>,
}

impl PolicyView {
    /// The policy that steers `engine`; `kind` is a clause for people.
    pub(crate) fn of(engine: &Engine, kind: &str) -> Self {
        let non_default = engine.policy_settings().map(|settings| settings.non_default);
        let about =
            non_default.filter(|non_default| !non_default.is_empty()).unwrap_or_else(|| kind.to_owned());
        Self {
            name: engine.policy_name().to_owned(),
            // The shadow comes first, because the end is what a narrow screen cuts off.
            about: match engine.shadow_name() {
                Some(shadow) => format!("shadow {shadow}; {about}"),
                None => about,
            },
            fault: engine.state().alarm(&AlarmKind::PolicyFault).map(|alarm| alarm.text.clone()),
        }
    }
}

/// The controller itself: whatever is of no single flag and small enough to be sent whole with each change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ControllerView {
    /// The policy in charge.
    pub policy: PolicyView,
    /// Controller time.
    pub now: Millis,
    /// How fast controller time goes.
    pub pace: Pace,
    /// Number of the last journal entry.
    pub seq: Seq,
    /// The kill latch.
    pub latch: Option<Latch>,
    /// Standing alarms.
    pub alarms: Vec<Alarm>,
    /// Whether an operator has acknowledged the briefing.
    pub briefed: bool,
    /// Whether what is steered has come to its end.
    pub done: bool,
}

impl ControllerView {
    /// The controller of `engine` at this pace; `kind` is a clause for people on its policy.
    pub(crate) fn of(engine: &Engine, pace: Pace, kind: &str) -> Self {
        let state = engine.state();
        Self {
            policy: PolicyView::of(engine, kind),
            now: engine.now(),
            pace,
            seq: state.seq,
            latch: state.latch.clone(),
            alarms: state.alarms.clone(),
            briefed: state.briefed,
            done: engine.done(),
        }
    }

    /// Alarms out of sight for a time.
    #[must_use]
    pub fn shelved(&self) -> usize {
        self.alarms.iter().filter(|alarm| alarm.shelf.is_some()).count()
    }
}

/// Everything, at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The environment's name.
    pub environment: String,
    /// What is being steered, for people: `scenario default (seed 7)`, `recording nezha ... (semi-real)`.
    pub source: String,
    /// Whether controller time is simulated.
    pub simulated: bool,
    /// The control interval.
    pub interval: Millis,
    /// The controller itself.
    #[serde(flatten)]
    pub controller: ControllerView,
    /// All flags.
    pub flags: Vec<FlagView>,
    /// Recent intervals of each flag, oldest first, in the order of `flags`.
    #[serde(with = "history")]
    pub history: Vec<VecDeque<Point>>,
    /// The newest journal entries, oldest first.
    pub entries: Vec<Entry>,
}

/// Journal entries in a snapshot.
pub(crate) const NEWEST: usize = 200;

impl Snapshot {
    /// The flags that were not archived.
    pub fn alive(&self) -> impl Iterator<Item = &FlagView> {
        self.flags.iter().filter(|flag| flag.archived.is_none())
    }

    /// Applies a change in place: the result equals the snapshot that would be taken now.
    ///
    /// Returns the journal entries that are no longer among the newest, oldest first, for a reader that keeps a longer log.
    pub fn apply(&mut self, change: &Change) -> Vec<Entry> {
        let Change { controller, tick, flags, entries } = change;
        self.controller.clone_from(controller);
        for flag in flags {
            if let Some(known) = self.flags.get_mut(flag.id.index()) {
                known.clone_from(flag);
            } else {
                self.flags.push(flag.clone());
                self.history.push(VecDeque::new());
            }
        }
        if *tick {
            for flag in flags {
                if let Some(points) = self.history.get_mut(flag.id.index()) {
                    push_point(points, flag.point, self.flags.len());
                }
            }
        }
        self.entries.extend_from_slice(entries);
        self.entries.drain(..self.entries.len().saturating_sub(NEWEST)).collect()
    }
}

/// What changed since a snapshot. `F` is the form of a flag: whole, or on the wire what changed of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change<F = FlagView> {
    /// The controller itself.
    #[serde(flatten)]
    pub controller: ControllerView,
    /// Whether an interval was closed: each flag in `flags` then has a new point.
    pub tick: bool,
    /// Flags that changed; all of them after a tick.
    pub flags: Vec<F>,
    /// New journal entries, oldest first.
    pub entries: Vec<Entry>,
}

/// One message of the stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// The whole state: readers start over from it.
    Snapshot(Arc<Snapshot>),
    /// What changed since the last message.
    Change(Arc<Change>),
    /// How the backend is reached changed.
    Link(Link),
}
