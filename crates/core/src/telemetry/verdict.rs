//! The verdict: what the evidence comes to.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What the evidence on a flag says, in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Treatment is shown to be no worse than control by more than the margin. Only this may be raised.
    Healthy,
    /// Treatment is shown to be worse than control. This obliges the shield to roll back.
    Regressed,
    /// Too few requests to tell.
    #[default]
    Insufficient,
    /// Telemetry is missing or stale.
    Lost,
}

impl Verdict {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Regressed => "regressed",
            Self::Insufficient => "insufficient",
            Self::Lost => "lost",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
