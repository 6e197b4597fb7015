//! Who starts which flag, and when.

use knightwatch_core::{flag::FlagId, telemetry::Millis};

/// A start that the scenario has scheduled, by a named person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduledStart {
    /// When, in controller time.
    pub at: Millis,
    /// Which flag.
    pub flag: FlagId,
    /// Who.
    pub operator: String,
}
