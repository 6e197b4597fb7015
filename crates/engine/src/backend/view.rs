//! What a control room sees: plain data, the same from an engine inside and from afar.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use crate::{Ack, FlagsOff, OrderError, Pace};
use knightwatch_core::{
    control::{Action, Alarm, Archived, Entry, Hold, LastAction, Latch, Outcome, Phase, Seq, Waiting},
    flag::{FlagId, FlagSpec, Rollout},
    telemetry::{ArmStats, Millis, Verdict, WindowReport},
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

/// What the policy wanted at the last tick.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProposalView {
    /// The move.
    pub action: Action,
    /// Probabilities of roll back, step down, hold, raise small, medium, large, where it has any.
    pub probabilities: Option<[f32; 6]>,
    /// Its estimate of what is still to come, where it has one.
    pub value: Option<f32>,
}

/// What the shield made of it at the last tick.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RulingView {
    /// Allowed, clipped, vetoed or obliged.
    pub outcome: Outcome,
    /// Why, in one plain sentence.
    pub reason: Arc<str>,
    /// Ticks in a row that ended like this.
    pub repeated: u32,
}

/// One arm in one interval, as the sparklines need it. A missing value is `None`, never 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ArmPoint {
    /// Requests in the interval; `None` when there was no telemetry.
    pub requests: Option<u32>,
    /// Share of failed requests, 0 to 1; `None` without requests.
    pub error_rate: Option<f32>,
    /// P99 in milliseconds; `None` without latencies.
    pub p99_ms: Option<f32>,
}

/// Both arms in one interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// When the interval ended.
    pub at: Millis,
    /// Requests with the flag off.
    pub control: ArmPoint,
    /// Requests with the flag on.
    pub treatment: ArmPoint,
    /// The rollout in the interval.
    pub rollout: Rollout,
}

/// One flag, as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlagView {
    /// Its place in the fleet.
    pub id: FlagId,
    /// Its declaration.
    pub spec: Arc<FlagSpec>,
    /// Its phase.
    pub phase: Phase,
    /// Since when.
    pub phase_since: Millis,
    /// The share of traffic that gets `on`.
    pub rollout: Rollout,
    /// When the rollout last changed.
    pub changed_at: Millis,
    /// A person's hold.
    pub hold: Option<Hold>,
    /// Until when the shield's hard limits are off.
    pub guard_off_until: Option<Millis>,
    /// The last thing done to it.
    pub last: Option<LastAction>,
    /// The start that waits for the flag's deployment.
    #[serde(default)]
    pub waiting: Option<Waiting>,
    /// That it was archived; its place in the fleet stays its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived: Option<Archived>,
    /// The verdict.
    pub verdict: Verdict,
    /// The evidence in numbers, with both arms over the last intervals.
    pub report: WindowReport,
    /// The last interval.
    pub point: Point,
    /// Whether request counts are assumed.
    pub assumed: bool,
    /// What the policy wanted at the last tick.
    pub proposal: Option<ProposalView>,
    /// What the shield made of it.
    pub ruling: Option<RulingView>,
}

impl FlagView {
    /// Treatment over the last intervals.
    #[must_use]
    pub const fn treatment(&self) -> &ArmStats {
        &self.report.treatment
    }

    /// Control over the last intervals.
    #[must_use]
    pub const fn control(&self) -> &ArmStats {
        &self.report.control
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
    /// The policy in charge.
    pub policy: PolicyView,
    /// Controller time.
    pub now: Millis,
    /// The control interval.
    pub interval: Millis,
    /// How fast controller time goes.
    pub pace: Pace,
    /// Number of the last journal entry.
    pub seq: Seq,
    /// The kill latch.
    pub latch: Option<Latch>,
    /// Standing alarms.
    pub alarms: Vec<Alarm>,
    /// All flags.
    pub flags: Vec<FlagView>,
    /// Recent intervals of each flag, oldest first, in the order of `flags`.
    pub history: Vec<Vec<Point>>,
    /// The newest journal entries, oldest first.
    pub entries: Vec<Entry>,
    /// Whether an operator has acknowledged the briefing.
    pub briefed: bool,
    /// Whether what is steered has come to its end.
    pub done: bool,
}

/// Points kept of each flag: what a sparkline and the charts show.
pub(crate) const HISTORY: usize = 240;

/// Journal entries in a snapshot.
pub(crate) const NEWEST: usize = 200;

impl Snapshot {
    /// The flags that were not archived.
    pub fn alive(&self) -> impl Iterator<Item = &FlagView> {
        self.flags.iter().filter(|flag| flag.archived.is_none())
    }

    /// Folds a change in: what comes out is the snapshot that would be sent now.
    pub fn fold(&mut self, change: &Change) {
        let Change { now, seq, tick, policy, pace, latch, alarms, flags, entries, briefed, done } = change;
        for flag in flags {
            let place = flag.id.index();
            if let Some(known) = self.flags.get_mut(place) {
                known.clone_from(flag);
            } else {
                self.flags.push(flag.clone());
                self.history.push(Vec::new());
            }
            if *tick && let Some(points) = self.history.get_mut(place) {
                // Dropping one by one from the front would move all of them each time.
                if points.len() >= 2 * HISTORY {
                    points.drain(..=points.len() - HISTORY);
                }
                points.push(flag.point);
            }
        }
        self.entries.extend(entries.iter().cloned());
        self.entries.drain(..self.entries.len().saturating_sub(NEWEST));
        if let Some(policy) = policy {
            self.policy.clone_from(policy);
        }
        (self.now, self.seq, self.pace, self.briefed, self.done) = (*now, *seq, *pace, *briefed, *done);
        self.latch.clone_from(latch);
        self.alarms.clone_from(alarms);
    }
}

/// What changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Controller time.
    pub now: Millis,
    /// Number of the last journal entry.
    pub seq: Seq,
    /// Whether an interval was closed: each flag in `flags` then has a new point.
    pub tick: bool,
    /// The policy in charge, when that changed.
    pub policy: Option<PolicyView>,
    /// How fast controller time goes.
    pub pace: Pace,
    /// The kill latch.
    pub latch: Option<Latch>,
    /// Standing alarms.
    pub alarms: Vec<Alarm>,
    /// Flags that changed; all of them after a tick.
    pub flags: Vec<FlagView>,
    /// New journal entries, oldest first.
    pub entries: Vec<Entry>,
    /// Whether an operator has acknowledged the briefing.
    pub briefed: bool,
    /// Whether what is steered has come to its end.
    pub done: bool,
}

/// One message of the stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// Everything anew.
    Snapshot(Arc<Snapshot>),
    /// What changed since the last message.
    Change(Arc<Change>),
    /// How the backend is reached changed.
    Link(Link),
}
