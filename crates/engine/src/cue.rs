//! Who starts which flag, and when.

use knightwatch_core::{flag::FlagId, telemetry::Millis};

/// A person starting a flag at a time that the scenario names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cue {
    /// When, in controller time.
    pub at: Millis,
    /// Which flag.
    pub flag: FlagId,
    /// Who.
    pub operator: String,
}
