//! The network's six outputs, and the moves they stand for.

use knightwatch_core::control::{Action, Observation};

/// How many choices there are.
pub const CHOICES: usize = 6;

/// One output of the network. Its position is that of [`knightwatch_core::control::Proposal::probabilities`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Choice {
    /// To 0 %.
    RollBack,
    /// One rung down.
    StepDown,
    /// Nothing.
    Hold,
    /// One rung up.
    RaiseSmall,
    /// Two rungs up.
    RaiseMedium,
    /// Three rungs up.
    RaiseLarge,
}

impl Choice {
    /// All of them, in the network's order.
    pub const ALL: [Self; CHOICES] =
        [Self::RollBack, Self::StepDown, Self::Hold, Self::RaiseSmall, Self::RaiseMedium, Self::RaiseLarge];

    /// The name; the number of a raise is that of its rungs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RollBack => "roll back",
            Self::StepDown => "step down",
            Self::Hold => "hold",
            Self::RaiseSmall => "raise 1",
            Self::RaiseMedium => "raise 2",
            Self::RaiseLarge => "raise 3",
        }
    }

    /// Rungs that a raise goes up; 0 for what is not a raise.
    const fn rungs(self) -> usize {
        match self {
            Self::RollBack | Self::StepDown | Self::Hold => 0,
            Self::RaiseSmall => 1,
            Self::RaiseMedium => 2,
            Self::RaiseLarge => 3,
        }
    }

    /// The move that it stands for at this observation.
    #[must_use]
    pub fn action(self, seen: &Observation<'_>) -> Action {
        match self {
            Self::RollBack => Action::RollBack,
            Self::StepDown => Action::StepDown,
            Self::Hold => Action::Hold,
            Self::RaiseSmall | Self::RaiseMedium | Self::RaiseLarge => {
                Action::RaiseTo(seen.ladder.above(seen.rollout, self.rungs()))
            }
        }
    }
}

/// Which choices the shield would allow as they are, by position. Hold is always among them; a step down from the
/// first rung is a rollback and stands only there.
#[must_use]
pub fn legal(seen: &Observation<'_>) -> [bool; CHOICES] {
    Choice::ALL.map(|choice| match choice {
        Choice::RollBack => seen.mask.lower,
        Choice::StepDown => seen.mask.lower && !seen.ladder.below(seen.rollout).is_zero(),
        Choice::Hold => true,
        Choice::RaiseSmall | Choice::RaiseMedium | Choice::RaiseLarge => {
            let reached = seen.mask.raise_to.map_or(0, |most| seen.ladder.steps_between(seen.rollout, most));
            choice.rungs() <= reached
        }
    })
}
