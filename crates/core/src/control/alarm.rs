//! Alarms: what a person has to know, latched until it is over *and* acknowledged (ISA-18.2).

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Entry, Event, State};
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
    /// A complete flag is worse than its baseline.
    Breach(FlagKey),
    /// Telemetry of a flag is missing beyond its deadline.
    TelemetryLost(FlagKey),
    /// Both arms of a service are bad: a dependency; its raises are frozen.
    Dependency(ServiceName),
    /// A source reports what cannot be true.
    BadTelemetry(FlagKey),
    /// The deployment that a flag's code came with was taken back, and the flag is still on.
    LeftOn(FlagKey),
    /// Flag definitions that should be in force cannot be; those that were stay.
    Definitions,
}

impl AlarmKind {
    /// How much of a hurry there is.
    #[must_use]
    pub const fn priority(&self) -> Priority {
        match self {
            Self::PolicyFault | Self::NotDurable => Priority::Critical,
            Self::RolledBack(_)
            | Self::Breach(_)
            | Self::TelemetryLost(_)
            | Self::Dependency(_)
            | Self::LeftOn(_)
            | Self::Definitions => Priority::High,
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
            | Self::BadTelemetry(key)
            | Self::LeftOn(key) => Some(key),
            Self::PolicyFault | Self::NotDurable | Self::Dependency(_) | Self::Definitions => None,
        }
    }
}

/// Shortest and longest time on the shelf: long enough to work in peace, and over within a shift.
const SHELVED: std::ops::RangeInclusive<Millis> = Millis::from_secs(60)..=Millis::from_secs(8 * 3_600);

/// An alarm out of sight for a time. It stays counted, and comes back by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shelf {
    /// Who put it there.
    pub by: String,
    /// Until when.
    pub until: Millis,
    /// Why, in the person's words.
    pub why: String,
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
    /// Out of sight until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shelf: Option<Shelf>,
}

impl Alarm {
    /// How much of a hurry there is.
    #[must_use]
    pub const fn priority(&self) -> Priority {
        self.kind.priority()
    }

    /// Whether it asks for a person: nobody has acknowledged it, and it is not on the shelf.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.acknowledged_by.is_none() && self.shelf.is_none()
    }

    /// Why it cannot be shelved for so long.
    pub(super) fn unshelvable(&self, lasts: Millis) -> Option<String> {
        if self.priority() == Priority::Critical {
            return Some(format!("alarm {} is critical: the highest priority is never hidden", self.id.0));
        }
        if SHELVED.contains(&lasts) {
            return None;
        }
        let (least, most) = (SHELVED.start(), SHELVED.end());
        Some(format!("an alarm is shelved for {least} to {most}, found {lasts}"))
    }
}

impl State {
    /// Folds in what happened to an alarm.
    pub(super) fn fold_alarm(&mut self, entry: &Entry) {
        let at = self.at;
        match &entry.event {
            Event::AlarmRaised { id, kind, text } => {
                self.alarm_count = self.alarm_count.max(id.0);
                // A rollback is over as soon as it has happened; the alarm stays until somebody has seen it.
                let cleared_at =
                    matches!(kind, AlarmKind::RolledBack(_) | AlarmKind::LeftOn(_)).then_some(at);
                // What flickers stays on the shelf; a new rollback is new.
                let former = self.alarms.iter().find(|alarm| alarm.id == *id && cleared_at.is_none());
                let kept = former.and_then(|alarm| alarm.shelf.clone());
                self.alarms.retain(|alarm| alarm.id != *id);
                self.alarms.push(Alarm {
                    id: *id,
                    kind: kind.clone(),
                    text: text.clone(),
                    raised_at: at,
                    cleared_at,
                    acknowledged_by: None,
                    shelf: kept,
                });
            }
            Event::AlarmCleared { id } => {
                self.change_alarm(*id, |alarm| alarm.cleared_at = Some(at));
            }
            Event::AlarmAcknowledged { id } => {
                self.change_alarm(*id, |alarm| alarm.acknowledged_by = Some(entry.actor.to_string()));
            }
            Event::AlarmShelved { id, until, why } => {
                let by = entry.actor.to_string();
                self.change_alarm(*id, |alarm| {
                    alarm.shelf = Some(Shelf { by, until: *until, why: why.clone() });
                });
            }
            Event::AlarmUnshelved { id } => self.change_alarm(*id, |alarm| alarm.shelf = None),
            _ => {}
        }
    }

    /// Changes an alarm; one that is over and that somebody has acknowledged leaves the list.
    fn change_alarm(&mut self, id: AlarmId, change: impl FnOnce(&mut Alarm)) {
        if let Some(alarm) = self.alarms.iter_mut().find(|alarm| alarm.id == id) {
            change(alarm);
        }
        self.alarms
            .retain(|alarm| alarm.id != id || alarm.cleared_at.is_none() || alarm.acknowledged_by.is_none());
    }
}
