//! What a policy may propose, and what becomes of it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Explanation;
use crate::flag::Rollout;

/// A move of one flag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// To 0 %.
    RollBack,
    /// To the rung below.
    StepDown,
    /// Nothing.
    #[default]
    Hold,
    /// Up to this rollout.
    RaiseTo(Rollout),
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RollBack => f.write_str("roll back"),
            Self::StepDown => f.write_str("step down"),
            Self::Hold => f.write_str("hold"),
            Self::RaiseTo(rollout) => write!(f, "raise to {rollout}"),
        }
    }
}

/// What a policy wants of one flag, and, where it has them, its own numbers. A tick moves thousands of them: what is
/// large stands behind a pointer, and only where there is something to explain.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// The move.
    pub action: Action,
    /// Probabilities of roll back, step down, hold, raise small, medium, large, exactly 0 where the shield would not
    /// allow it; `None` for a policy without any.
    pub probabilities: Option<[f32; 6]>,
    /// The policy's estimate of what is still to come (higher is better), where it has one.
    pub value: Option<f32>,
    /// Why, from a policy that explains itself; `None` for a hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explanation: Option<Box<Explanation>>,
}

impl Proposal {
    /// To do nothing.
    pub const HOLD: Self = Self::to(Action::Hold);

    /// A bare move.
    #[must_use]
    pub const fn to(action: Action) -> Self {
        Self { action, probabilities: None, value: None, explanation: None }
    }

    /// Whether every number in it is finite.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        self.probabilities.is_none_or(|all| all.iter().all(|p| p.is_finite()))
            && self.value.is_none_or(f32::is_finite)
            && self.explanation.as_ref().is_none_or(|explanation| explanation.is_finite())
    }
}

/// What the shield would allow right now; given to the policy before it proposes. Hold is always allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActionMask {
    /// Roll back and step down.
    pub lower: bool,
    /// The highest rollout a raise may go to; `None` when no raise is allowed.
    pub raise_to: Option<Rollout>,
}

/// What the shield made of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Done as proposed.
    Allowed,
    /// Done, but less of it.
    Clipped,
    /// Not done.
    Vetoed,
    /// The shield acted by itself, whatever was proposed.
    Enforced,
}

impl Outcome {
    /// The word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Clipped => "clipped",
            Self::Vetoed => "vetoed",
            Self::Enforced => "enforced",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
