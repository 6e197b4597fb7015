//! Alarms: what a person has to know, latched until it is over *and* acknowledged (ISA-18.2).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    flag::{FlagKey, ServiceName},
    telemetry::Millis,
};

/// How much of a hurry there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Look when there is time.
    Low,
    /// Look soon.
    High,
    /// Look now.
    Critical,
}

impl Priority {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What an alarm is about; there is at most one alarm of a kind at a time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlarmKind {
    /// The policy panicked, stalled or answered nonsense: the agent holds everywhere.
    PolicyFault,
    /// The journal cannot be written.
    NotDurable,
    /// The shield rolled a flag back.
    RolledBack(FlagKey),
    /// A complete flag is worse than its recorded control.
    Breach(FlagKey),
    /// Telemetry of a flag is missing beyond its deadline.
    TelemetryLost(FlagKey),
    /// Both arms of a service are bad: a dependency; its raises are frozen.
    Dependency(ServiceName),
    /// A source reports what cannot be true.
    BadTelemetry(FlagKey),
}

impl AlarmKind {
    /// How much of a hurry there is.
    #[must_use]
    pub const fn priority(&self) -> Priority {
        match self {
            Self::PolicyFault | Self::NotDurable => Priority::Critical,
            Self::RolledBack(_) | Self::Breach(_) | Self::TelemetryLost(_) | Self::Dependency(_) => {
                Priority::High
            }
            Self::BadTelemetry(_) => Priority::Low,
        }
    }

    /// The flag it is about, where it is about one.
    #[must_use]
    pub const fn flag(&self) -> Option<&FlagKey> {
        match self {
            Self::RolledBack(key)
            | Self::Breach(key)
            | Self::TelemetryLost(key)
            | Self::BadTelemetry(key) => Some(key),
            Self::PolicyFault | Self::NotDurable | Self::Dependency(_) => None,
        }
    }
}

/// An alarm's number, never reused in a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AlarmId(pub u64);

/// An alarm. It leaves the list when its cause is over and somebody has acknowledged it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// Its number.
    pub id: AlarmId,
    /// What it is about.
    pub kind: AlarmKind,
    /// One plain sentence.
    pub text: String,
    /// Since when.
    pub raised_at: Millis,
    /// Since when its cause is over; `None` while it lasts.
    pub cleared_at: Option<Millis>,
    /// Who acknowledged it.
    pub acknowledged_by: Option<String>,
}

impl Alarm {
    /// How much of a hurry there is.
    #[must_use]
    pub const fn priority(&self) -> Priority {
        self.kind.priority()
    }
}
