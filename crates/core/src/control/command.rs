//! What people may ask for, and how they are told no.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Actor, AlarmId, DeployKind, Phase, Seq, SpecChange};
use crate::{
    flag::{Deployment, FlagKey, FlagSpec, Rollout},
    telemetry::Millis,
};

/// The identity of an order: the same id acts once.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OrderId(pub String);

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A command, with who gives it and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// Identity, for retries.
    pub id: OrderId,
    /// Who gives it.
    pub actor: Actor,
    /// Who authenticated, where somebody did: the actor's name may hold beside that what was only claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authenticated: Option<String>,
    /// Why, in the person's words; empty where none was given.
    #[serde(default)]
    pub reason: String,
    /// The number of the flag's last change that whoever gives it has seen: another one refuses it. `None` asks nothing;
    /// rollback, pause and kill-all never ask.
    #[serde(default)]
    pub expected: Option<Seq>,
    /// What is to be done.
    pub command: Command,
}

/// What can be asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Command {
    /// Declare a new flag.
    Create {
        /// The declaration.
        spec: FlagSpec,
    },
    /// Change what is declared of a flag; its rollout stays where it is.
    Change {
        /// Which flag.
        flag: FlagKey,
        /// What becomes different.
        change: SpecChange,
    },
    /// Put a flag that is at rest away for good; its key is never used again.
    Archive {
        /// Which flag.
        flag: FlagKey,
    },
    /// From idle, rolled back or killed: to the first rung, and the agent takes over.
    Start {
        /// Which flag.
        flag: FlagKey,
    },
    /// No raises until resumed.
    Pause {
        /// Which flag.
        flag: FlagKey,
    },
    /// The agent goes on.
    Resume {
        /// Which flag.
        flag: FlagKey,
    },
    /// To 0 %, at once.
    Rollback {
        /// Which flag.
        flag: FlagKey,
    },
    /// To this share, at once; the agent keeps off until the expiry.
    Set {
        /// Which flag.
        flag: FlagKey,
        /// The share.
        rollout: Rollout,
        /// For how long the agent keeps off; the configured human hold where absent.
        expires_in: Option<Millis>,
        /// Also switch the shield's hard limits off for that time.
        #[serde(default)]
        guard_off: bool,
    },
    /// Straight to 100 %.
    Promote {
        /// Which flag.
        flag: FlagKey,
    },
    /// Hand the flag back to the agent before its hold expires.
    Release {
        /// Which flag.
        flag: FlagKey,
    },
    /// Everything off, the agent locked out, until a person re-arms.
    KillAll,
    /// Open the kill latch; starts nothing.
    Rearm {
        /// The environment's name, typed by the person.
        environment: String,
    },
    /// A pipeline says what runs now.
    Deployed {
        /// How it came about.
        kind: DeployKind,
        /// What runs.
        what: Deployment,
    },
    /// The flag definitions that should be in force cannot be, or are again.
    Definitions {
        /// What is wrong with them; `None` where nothing is.
        fault: Option<String>,
    },
    /// An alarm was seen.
    Acknowledge {
        /// Which.
        alarm: AlarmId,
    },
    /// Take an alarm out of sight for a time.
    Shelve {
        /// Which.
        alarm: AlarmId,
        /// For how long.
        lasts: Millis,
    },
    /// The briefing was read and acknowledged.
    AcknowledgeBriefing,
}

impl Command {
    /// The flag it is about, where it is about one.
    #[must_use]
    pub const fn flag(&self) -> Option<&FlagKey> {
        match self {
            Self::Create { spec } => Some(&spec.key),
            Self::Change { flag, .. }
            | Self::Archive { flag }
            | Self::Start { flag }
            | Self::Pause { flag }
            | Self::Resume { flag }
            | Self::Rollback { flag }
            | Self::Set { flag, .. }
            | Self::Promote { flag }
            | Self::Release { flag } => Some(flag),
            Self::KillAll
            | Self::Rearm { .. }
            | Self::Deployed { .. }
            | Self::Definitions { .. }
            | Self::Acknowledge { .. }
            | Self::Shelve { .. }
            | Self::AcknowledgeBriefing => None,
        }
    }
}

/// Why a command was not carried out. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// No such flag.
    #[error("there is no flag {flag}")]
    UnknownFlag {
        /// What was asked for.
        flag: FlagKey,
    },
    /// The key was used before.
    #[error("the flag key {flag} was used before; keys are never reused")]
    KeyUsed {
        /// Which.
        flag: FlagKey,
    },
    /// The flag's phase does not allow it.
    #[error("{flag} is {phase}: {expected}")]
    WrongPhase {
        /// Which flag.
        flag: FlagKey,
        /// Its phase.
        phase: Phase,
        /// What would have to be.
        expected: String,
    },
    /// The flag was put away.
    #[error("{flag} was archived at {} by {by}: nothing is done to it any more, and its key is never used again", at.stamp())]
    Archived {
        /// Which.
        flag: FlagKey,
        /// When.
        at: Millis,
        /// By whom.
        by: String,
    },
    /// The id was used for another command.
    #[error("the order id {id:?} was used for another command; nothing was done, use a new one")]
    IdUsed {
        /// Which.
        id: String,
    },
    /// Re-arming takes two people here.
    #[error("needs another person: {by} asked at {}, and it holds until {}", at.stamp(), until.stamp())]
    NeedsAnother {
        /// Who asked.
        by: String,
        /// When.
        at: Millis,
        /// Until when another person may agree.
        until: Millis,
    },
    /// The kill latch is set.
    #[error("kill-all is in force since {by} set it (number {seq}); re-arm first")]
    Latched {
        /// Who set it.
        by: String,
        /// Its number in the journal.
        seq: Seq,
    },
    /// The latch is not set.
    #[error("nothing to re-arm: kill-all is not in force")]
    NotLatched,
    /// The typed name is not the environment's.
    #[error("re-arming needs the environment's name, {expected:?}; found {found:?}")]
    WrongEnvironment {
        /// What was typed.
        found: String,
        /// What it is.
        expected: String,
    },
    /// Re-arming needs a reason.
    #[error("{what} needs a reason")]
    NeedsReason {
        /// What does.
        what: String,
    },
    /// A limit that binds everyone.
    #[error("{0}")]
    Limit(String),
    /// No such alarm, or nothing to acknowledge.
    #[error("there is no alarm {} to acknowledge", .0.0)]
    UnknownAlarm(AlarmId),
    /// No such alarm stands.
    #[error("there is no alarm {}", .0.0)]
    NoAlarm(AlarmId),
    /// It would change nothing.
    #[error("{0}")]
    Nothing(String),
    /// The flag has changed since it was last seen.
    #[error("{flag} has changed since: its last change is {found}, expected {expected}; look again")]
    Changed {
        /// Which.
        flag: FlagKey,
        /// The change that was seen.
        expected: Seq,
        /// The last change there is.
        found: Seq,
    },
}
