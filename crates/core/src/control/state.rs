//! The state: the fold of events, nothing else.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::{Actor, Alarm, AlarmKind, Deployed, Phase, Seq, Waiting};
use crate::{
    flag::{FlagId, FlagKey, FlagSpec, Rollout, ServiceName},
    telemetry::{Metric, Millis},
};

/// A person's hold on a flag: until then the agent keeps off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Who.
    pub by: String,
    /// Until when.
    pub until: Millis,
}

/// The last thing done to a flag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastAction {
    /// When.
    pub at: Millis,
    /// By whom.
    pub by: Actor,
    /// What, in a few words: `raised to 25 %`.
    pub what: String,
    /// Its number in the journal.
    pub seq: Seq,
}

/// The kill latch, as the first kill-all set it: another one while it is in force takes nothing of this away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latch {
    /// Who set it.
    pub by: Actor,
    /// When.
    pub at: Millis,
    /// Its number in the journal: no raise has a number above it until re-armed.
    pub seq: Seq,
    /// How many flags had treatment traffic when it was set.
    pub exposed: u32,
    /// Why, in the person's words; empty where nothing was said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Where re-arming takes two people: the first one's asking. Another kill-all voids it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<RearmAsked>,
}

/// One person's asking for re-arming, which another has to agree to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RearmAsked {
    /// Who, as the journal names them.
    pub by: Actor,
    /// Who they authenticated as.
    pub who: String,
    /// When.
    pub at: Millis,
    /// Until when another person may agree.
    pub until: Millis,
}

impl Latch {
    /// The asking that another person may agree to at `now`.
    #[must_use]
    pub fn asked_at(&self, now: Millis) -> Option<&RearmAsked> {
        self.asked.as_ref().filter(|asked| now < asked.until)
    }
}

/// That a flag was put away, and by whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archived {
    /// When.
    pub at: Millis,
    /// By whom.
    pub by: Actor,
}

/// Everything that is true of one flag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlagState {
    /// Its place in the fleet.
    pub id: FlagId,
    /// Its declaration.
    pub spec: FlagSpec,
    /// Its phase.
    pub phase: Phase,
    /// Since when.
    pub phase_since: Millis,
    /// The share of traffic that gets `on`.
    pub rollout: Rollout,
    /// When the rollout last changed: evidence gathered since then decides `healthy`.
    pub changed_at: Millis,
    /// How often it was started; evidence and policies restart with each ramp.
    pub ramp: u32,
    /// A person's hold.
    pub hold: Option<Hold>,
    /// Until when the shield's hard limits are off.
    pub guard_off_until: Option<Millis>,
    /// When it last went down by itself.
    pub lowered_at: Option<Millis>,
    /// When it changed direction, within the reversal window.
    pub reversals: VecDeque<Millis>,
    /// The last thing done to it.
    pub last: Option<LastAction>,
    /// The start that waits for the flag's deployment.
    pub waiting: Option<Waiting>,
    /// When the shield last took it from 100 % to the probe.
    #[serde(default)]
    pub probed_at: Option<Millis>,
    /// That the shield has taken it from 100 % to the probe because it was over its baseline, in this ramp, and in
    /// what: a P99 that was nothing must not hide errors that are something.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rechecks: BTreeMap<Metric, Recheck>,
    /// When the shield, or the policy in charge, rolled it back in its last ramp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_rolled_back_at: Option<Millis>,
    /// That it was put away: from then on nothing happens to it. Its place in the fleet stays its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived: Option<Archived>,
}

impl FlagState {
    /// The number of its last change; 0 where it has only been created.
    #[must_use]
    pub fn version(&self) -> Seq {
        self.last.as_ref().map_or(Seq(0), |last| last.seq)
    }

    /// Whether a hold is in force at `now`.
    #[must_use]
    pub fn held(&self, now: Millis) -> Option<&Hold> {
        self.hold.as_ref().filter(|hold| hold.until > now)
    }
}

/// How often a flag at 100 % was rechecked in this ramp, and when last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recheck {
    /// How often; at least once.
    pub times: u32,
    /// When last.
    pub at: Millis,
}

/// One raise, for the exposure caps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Raise {
    pub(crate) at: Millis,
    pub(crate) basis_points: u16,
}

/// Everything that is true. Made by folding events in order; two folds of the same events are equal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The environment's name.
    pub environment: String,
    /// The number of the last event folded in.
    pub seq: Seq,
    /// The time of the last event folded in.
    pub at: Millis,
    /// All flags, by [`FlagId`].
    pub flags: Vec<FlagState>,
    /// The kill latch.
    pub latch: Option<Latch>,
    /// Alarms not over or not acknowledged, oldest first.
    pub alarms: Vec<Alarm>,
    /// Alarm numbers given out.
    pub alarm_count: u64,
    /// Whether an operator has acknowledged the briefing.
    pub briefed: bool,
    /// What was deployed, oldest first.
    pub deployments: VecDeque<Deployed>,
    pub(crate) by_key: BTreeMap<FlagKey, FlagId>,
    /// Raises within the exposure window, per service, oldest first.
    pub(crate) raises: BTreeMap<ServiceName, VecDeque<Raise>>,
}

impl State {
    /// The flag with this key.
    #[must_use]
    pub fn flag(&self, key: &FlagKey) -> Option<&FlagState> {
        self.by_key.get(key).and_then(|id| self.flags.get(id.index()))
    }

    /// The flags that were not put away.
    pub fn alive(&self) -> impl Iterator<Item = &FlagState> {
        self.flags.iter().filter(|flag| flag.archived.is_none())
    }

    /// The standing alarm of this kind.
    #[must_use]
    pub fn alarm(&self, kind: &AlarmKind) -> Option<&Alarm> {
        self.alarms.iter().find(|alarm| alarm.kind == *kind && alarm.cleared_at.is_none())
    }

    /// How many flags have treatment traffic.
    #[must_use]
    pub fn exposed(&self) -> usize {
        self.flags.iter().filter(|flag| !flag.rollout.is_zero()).count()
    }
}
