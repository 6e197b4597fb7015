//! Why an order is refused.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{AlarmId, Phase, Seq};
use crate::{flag::FlagKey, telemetry::Millis};

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
    #[error("{flag} was archived at {} by {by}: no further action is possible, and its key is never reused", at.stamp())]
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
    #[error("needs another person: {by} requested it at {}, valid until {}", at.stamp(), until.stamp())]
    NeedsAnother {
        /// Who asked.
        by: String,
        /// When.
        at: Millis,
        /// Until when another person may agree.
        until: Millis,
    },
    /// The kill latch is set.
    #[error("kill-all is in force, set by {by} (entry {seq}); re-arm first")]
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
