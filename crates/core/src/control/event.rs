//! What has happened. Events are the only thing that changes state, and what the journal keeps.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    Action, AlarmId, AlarmKind, DeployKind, Explanation, Outcome, PolicySettings, Reason, SpecChange,
};
use crate::{
    flag::{Deployment, FlagId, FlagKey, FlagSpec, Rollout},
    telemetry::Millis,
};

/// An entry's number in the journal: from 1, without gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Seq(pub u64);

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("#{}", self.0))
    }
}

/// Who acted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Actor {
    /// The policy in charge.
    Agent,
    /// The deterministic rules around it.
    Shield,
    /// A person, by name.
    Person(String),
    /// knightwatch itself.
    System,
}

impl Actor {
    /// The actor that people call so.
    #[must_use]
    pub fn named(name: &str) -> Self {
        match name {
            "agent" => Self::Agent,
            "shield" => Self::Shield,
            "system" => Self::System,
            person => Self::Person(person.to_owned()),
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Agent => "agent",
            Self::Shield => "shield",
            Self::Person(name) => name,
            Self::System => "system",
        })
    }
}

/// Something that happened, and who did it.
pub type Happened = (Actor, Event);

/// What became of a proposal, or what the shield did by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Which flag.
    pub flag: FlagId,
    /// What the policy wanted.
    pub proposed: Action,
    /// What the shield made of it.
    pub outcome: Outcome,
    /// What is done.
    pub action: Action,
    /// The rollout before.
    pub from: Rollout,
    /// The rollout after.
    pub to: Rollout,
    /// Why.
    pub reason: Reason,
    /// What the evidence was, in one clause: both arms' numbers with their sample sizes.
    pub evidence: String,
    /// How many holds went unrecorded before this on the flag.
    pub holds: u32,
    /// Why the policy proposed it, where it explains itself. Absent in older journals, whose hashes stay as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explanation: Option<Box<Explanation>>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A session began: where, on what, under which policy.
    SessionStarted {
        /// The environment's name.
        environment: String,
        /// What is being steered, for people: a scenario, a recording.
        source: String,
        /// The policy in charge.
        policy: String,
        /// The seed, where there is one.
        seed: Option<u64>,
        /// How the policy is set. Absent where it cannot be, and in older journals, whose hashes stay as they are.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        settings: Option<PolicySettings>,
    },
    /// A session goes on after it was left, under which policy.
    SessionResumed {
        /// The policy in charge.
        policy: String,
        /// How the policy is set, where it can be.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        settings: Option<PolicySettings>,
    },
    /// A flag was declared.
    Created {
        /// The declaration.
        spec: FlagSpec,
    },
    /// What is declared of a flag was changed.
    Changed {
        /// Which flag.
        flag: FlagId,
        /// What became different.
        change: SpecChange,
    },
    /// A flag was put away for good.
    Archived {
        /// Which flag.
        flag: FlagId,
        /// The rollout before: nobody gets `on` from here on.
        from: Rollout,
    },
    /// A flag was put on its first rung.
    Started {
        /// Which flag.
        flag: FlagId,
        /// The first rung.
        to: Rollout,
    },
    /// A flag's start was ordered, and waits for its deployment.
    Waiting {
        /// Which flag.
        flag: FlagId,
    },
    /// A pipeline said what runs now.
    Deployed {
        /// How it came about.
        kind: DeployKind,
        /// What runs.
        what: Deployment,
    },
    /// A proposal was ruled on.
    Decided(Decision),
    /// No raises from here on.
    Paused {
        /// Which flag.
        flag: FlagId,
        /// Why, where the program paused it by itself.
        reason: Option<Reason>,
    },
    /// The agent goes on.
    Resumed {
        /// Which flag.
        flag: FlagId,
    },
    /// A person rolled a flag back.
    RolledBack {
        /// Which flag.
        flag: FlagId,
        /// The rollout before.
        from: Rollout,
    },
    /// A person set the share.
    Set {
        /// Which flag.
        flag: FlagId,
        /// The rollout before.
        from: Rollout,
        /// The rollout after.
        to: Rollout,
        /// Until when the agent keeps off.
        until: Millis,
        /// Whether the shield's hard limits are off until then.
        guard_off: bool,
        /// Which of the agent's rules this went over.
        overrode: Vec<Reason>,
    },
    /// A person went straight to 100 %.
    Promoted {
        /// Which flag.
        flag: FlagId,
        /// The rollout before.
        from: Rollout,
        /// Which of the agent's rules this went over.
        overrode: Vec<Reason>,
    },
    /// A person handed a flag back to the agent.
    Released {
        /// Which flag.
        flag: FlagId,
    },
    /// A hold ran out and the agent may act again.
    HoldExpired {
        /// Which flag.
        flag: FlagId,
    },
    /// Kill-all: latched, everything at 0 %, every phase `killed`. One event, however many flags.
    KilledAll {
        /// How many flags had treatment traffic.
        exposed: u32,
    },
    /// A person asked for re-arming; another one has to agree.
    RearmAsked {
        /// Who they authenticated as: the one who agrees must be another.
        who: String,
        /// Until when.
        until: Millis,
    },
    /// The latch is open; every flag stays `killed`.
    Rearmed,
    /// An alarm began.
    AlarmRaised {
        /// Its number.
        id: AlarmId,
        /// What it is about.
        kind: AlarmKind,
        /// One plain sentence.
        text: String,
    },
    /// An alarm's cause is over.
    AlarmCleared {
        /// Its number.
        id: AlarmId,
    },
    /// Somebody has seen an alarm.
    AlarmAcknowledged {
        /// Its number.
        id: AlarmId,
    },
    /// Somebody took an alarm out of sight for a time.
    AlarmShelved {
        /// Its number.
        id: AlarmId,
        /// Until when.
        until: Millis,
        /// Why, in the person's words.
        why: String,
    },
    /// The time on the shelf is over: the alarm is in sight again.
    AlarmUnshelved {
        /// Its number.
        id: AlarmId,
    },
    /// Somebody has read the briefing.
    BriefingAcknowledged,
    /// What a shadow would have done begins to differ from what was done, differs in another way, or, where both are the
    /// same, agrees again.
    Shadow {
        /// Which flag.
        flag: FlagId,
        /// The shadow's policy.
        policy: String,
        /// What it would have done, behind the same shield.
        would: Action,
        /// What was done.
        did: Action,
        /// The rollout before.
        from: Rollout,
        /// What the shield's ruling on it went by; the policy's own grounds are not known.
        reason: Reason,
        /// What the evidence was, as in [`Decision`].
        evidence: String,
    },
    /// A shadow gave no usable answer: nothing else is touched by it. Said once.
    ShadowFaulty {
        /// The shadow's policy.
        policy: String,
        /// What it did.
        fault: String,
    },
}

impl Event {
    /// Every kind that [`Self::kind`] gives.
    pub const KINDS: [&'static str; 30] = [
        "session",
        "session-resumed",
        "create",
        "change",
        "archive",
        "start",
        "wait",
        "deployment",
        "raise",
        "hold",
        "step-down",
        "rollback",
        "veto",
        "pause",
        "resume",
        "set",
        "promote",
        "release",
        "hold-expired",
        "kill-all",
        "re-arm-asked",
        "re-arm",
        "alarm",
        "alarm-cleared",
        "alarm-acknowledged",
        "alarm-shelved",
        "alarm-unshelved",
        "briefing",
        "shadow",
        "shadow-fault",
    ];

    /// The flag it is about, where it is about one that exists already.
    #[must_use]
    pub const fn flag(&self) -> Option<FlagId> {
        match self {
            Self::Changed { flag, .. }
            | Self::Archived { flag, .. }
            | Self::Started { flag, .. }
            | Self::Waiting { flag }
            | Self::Decided(Decision { flag, .. })
            | Self::Paused { flag, .. }
            | Self::Resumed { flag }
            | Self::RolledBack { flag, .. }
            | Self::Set { flag, .. }
            | Self::Promoted { flag, .. }
            | Self::Released { flag }
            | Self::HoldExpired { flag }
            | Self::Shadow { flag, .. } => Some(*flag),
            Self::SessionStarted { .. }
            | Self::SessionResumed { .. }
            | Self::Created { .. }
            | Self::Deployed { .. }
            | Self::KilledAll { .. }
            | Self::RearmAsked { .. }
            | Self::Rearmed
            | Self::AlarmRaised { .. }
            | Self::AlarmCleared { .. }
            | Self::AlarmAcknowledged { .. }
            | Self::AlarmShelved { .. }
            | Self::AlarmUnshelved { .. }
            | Self::BriefingAcknowledged
            | Self::ShadowFaulty { .. } => None,
        }
    }

    /// The kind of event in one word, as filters and machines use it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::SessionStarted { .. } => "session",
            Self::SessionResumed { .. } => "session-resumed",
            Self::Created { .. } => "create",
            Self::Changed { .. } => "change",
            Self::Archived { .. } => "archive",
            Self::Started { .. } => "start",
            Self::Waiting { .. } => "wait",
            Self::Deployed { .. } => "deployment",
            Self::Decided(decision) => match (decision.outcome, decision.action) {
                (Outcome::Vetoed, _) => "veto",
                (_, Action::RollBack) => "rollback",
                (_, Action::StepDown) => "step-down",
                (_, Action::Hold) => "hold",
                (_, Action::RaiseTo(_)) => "raise",
            },
            Self::Paused { .. } => "pause",
            Self::Resumed { .. } => "resume",
            Self::RolledBack { .. } => "rollback",
            Self::Set { .. } => "set",
            Self::Promoted { .. } => "promote",
            Self::Released { .. } => "release",
            Self::HoldExpired { .. } => "hold-expired",
            Self::KilledAll { .. } => "kill-all",
            Self::RearmAsked { .. } => "re-arm-asked",
            Self::Rearmed => "re-arm",
            Self::AlarmRaised { .. } => "alarm",
            Self::AlarmCleared { .. } => "alarm-cleared",
            Self::AlarmAcknowledged { .. } => "alarm-acknowledged",
            Self::AlarmShelved { .. } => "alarm-shelved",
            Self::AlarmUnshelved { .. } => "alarm-unshelved",
            Self::BriefingAcknowledged => "briefing",
            Self::Shadow { .. } => "shadow",
            Self::ShadowFaulty { .. } => "shadow-fault",
        }
    }

    /// Whether it raises somebody's exposure: what must not happen while kill-all is in force.
    #[must_use]
    pub fn is_raise(&self) -> bool {
        match self {
            Self::Started { .. } => true,
            Self::Promoted { from, .. } => !from.is_full(),
            Self::Set { from, to, .. } | Self::Decided(Decision { from, to, .. }) => to > from,
            _ => false,
        }
    }
}

/// One line of the journal: an event with its number, time and actor, and the sentence that people read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number.
    pub seq: Seq,
    /// Controller time.
    pub at: Millis,
    /// Who acted.
    pub actor: Actor,
    /// The flag it is about, where it is about one.
    pub flag: Option<FlagKey>,
    /// What happened.
    pub event: Event,
    /// The same as one plain sentence, with the person's reason where one was given.
    pub sentence: String,
}
