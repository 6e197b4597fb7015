//! What a caller may do.

use serde::{Deserialize, Serialize};

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// To read everything.
    Viewer,
    /// To read, and to steer flags and kill everything.
    Operator,
    /// All of that, and to re-arm, create, change and archive.
    Admin,
    /// To steer flags as a program that decides by itself; not to re-arm.
    Agent,
    /// To send telemetry and deployments.
    Ingest,
    /// To evaluate flags.
    Eval,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 6] =
        [Self::Viewer, Self::Operator, Self::Admin, Self::Agent, Self::Ingest, Self::Eval];

    /// Whether whoever has this one has `wanted` too.
    #[must_use]
    pub const fn allows(self, wanted: Self) -> bool {
        match self {
            Self::Admin => true,
            Self::Operator => matches!(wanted, Self::Operator | Self::Viewer | Self::Eval),
            Self::Agent => matches!(wanted, Self::Agent | Self::Operator | Self::Viewer | Self::Eval),
            Self::Viewer => matches!(wanted, Self::Viewer),
            Self::Ingest => matches!(wanted, Self::Ingest),
            Self::Eval => matches!(wanted, Self::Eval),
        }
    }

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
            Self::Agent => "agent",
            Self::Ingest => "ingest",
            Self::Eval => "eval",
        }
    }

    /// What it allows, in one line.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::Viewer => "To read everything",
            Self::Operator => "To read, and to steer flags and kill everything",
            Self::Admin => "All of that, and to re-arm, create, change and archive",
            Self::Agent => "To steer flags as a program that decides by itself; not to re-arm",
            Self::Ingest => "To send telemetry and deployments",
            Self::Eval => "To evaluate flags",
        }
    }
}
