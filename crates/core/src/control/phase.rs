//! The phase of a flag.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a flag is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Created, at 0 %; only a person starts it.
    #[default]
    Idle,
    /// The agent moves it.
    Ramping,
    /// No raises; the shield still guards.
    Paused,
    /// Back at 0 %; for the agent that is final, only a person starts it again.
    RolledBack,
    /// At 100 %, still watched.
    Complete,
    /// Off by kill-all; only a person starts it again, after re-arming.
    Killed,
}

impl Phase {
    /// The word shown to people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Ramping => "ramping",
            Self::Paused => "paused",
            Self::RolledBack => "rolled back",
            Self::Complete => "complete",
            Self::Killed => "killed",
        }
    }

    /// Whether a person has to start the flag before anything moves.
    #[must_use]
    pub const fn needs_start(self) -> bool {
        matches!(self, Self::Idle | Self::RolledBack | Self::Killed)
    }

    /// Whether nothing more will happen to the flag by itself.
    #[must_use]
    pub const fn is_settled(self) -> bool {
        matches!(self, Self::Idle | Self::RolledBack | Self::Complete | Self::Killed)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
