//! The rollout: the share of traffic that gets `on`, and the ladder it climbs.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Share of traffic that gets `on`, in basis points: 0 (nobody) to 10 000 (everybody).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Rollout(u16);

/// A rollout outside 0 % to 100 %.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
#[error("a rollout is between 0 % and 100 %, found {found} %")]
pub struct RolloutError {
    /// What was given, in percent.
    pub found: f64,
}

impl Rollout {
    /// Nobody.
    pub const ZERO: Self = Self(0);
    /// The last rung before everybody: 99 %, where a live control is still left to compare with.
    pub const LAST_RUNG: Self = Self(9_900);
    /// Where a flag at 100 % goes that has become worse than its record: half the harm at once, and a live control as large
    /// as treatment, which says soonest whether it is the flag.
    pub const PROBE: Self = Self(5_000);
    /// Everybody.
    pub const FULL: Self = Self(10_000);

    /// From basis points, 0 to 10 000.
    ///
    /// # Errors
    /// When `basis_points` is above 10 000.
    pub fn from_basis_points(basis_points: u16) -> Result<Self, RolloutError> {
        if basis_points > 10_000 {
            return Err(RolloutError { found: f64::from(basis_points) / 100.0 });
        }
        Ok(Self(basis_points))
    }

    /// From percent, 0 to 100, rounded to the nearest basis point.
    ///
    /// # Errors
    /// When `percent` is not a number or outside 0 to 100.
    pub fn from_percent(percent: f64) -> Result<Self, RolloutError> {
        if !(0.0..=100.0).contains(&percent) {
            return Err(RolloutError { found: percent });
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "within 0 to 10 000, checked above"
        )]
        let basis_points = libm::round(percent * 100.0) as u16;
        Ok(Self(basis_points))
    }

    /// The share in basis points, 0 to 10 000.
    #[must_use]
    pub const fn basis_points(self) -> u16 {
        self.0
    }

    /// The share in percent, 0 to 100.
    #[must_use]
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 100.0
    }

    /// The share as a fraction, 0 to 1.
    #[must_use]
    pub fn share(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }

    /// Whether nobody gets `on`.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Whether everybody gets `on`.
    #[must_use]
    pub const fn is_full(self) -> bool {
        self.0 == 10_000
    }
}

impl TryFrom<u16> for Rollout {
    type Error = RolloutError;

    fn try_from(basis_points: u16) -> Result<Self, RolloutError> {
        Self::from_basis_points(basis_points)
    }
}

impl From<Rollout> for u16 {
    fn from(rollout: Rollout) -> Self {
        rollout.0
    }
}

impl fmt::Display for Rollout {
    /// `25 %`, `12.5 %`, `1.25 %`: no more digits than needed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / 100, self.0 % 100);
        let text = match rest {
            0 => format!("{whole} %"),
            rest if rest % 10 == 0 => format!("{whole}.{} %", rest / 10),
            rest => format!("{whole}.{rest:02} %"),
        };
        f.pad(&text)
    }
}

/// The rungs a rollout climbs, ascending, ending with 99 % and 100 %.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Rollout>", into = "Vec<Rollout>")]
pub struct Ladder(Arc<[Rollout]>);

/// Why some rungs are not a ladder.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LadderError {
    /// Not strictly ascending, or a rung at 0 %.
    #[error("rungs ascend from above 0 %; {0} does not")]
    NotAscending(Rollout),
    /// Does not end with 99 % and 100 %.
    #[error("a ladder ends with 99 % (where a live control is left) and 100 %")]
    Ends,
}

impl Default for Ladder {
    /// 1, 5, 10, 25, 50, 75, 99, 100 %.
    fn default() -> Self {
        Self([100, 500, 1_000, 2_500, 5_000, 7_500, 9_900, 10_000].map(Rollout).into())
    }
}

impl TryFrom<Vec<Rollout>> for Ladder {
    type Error = LadderError;

    fn try_from(rungs: Vec<Rollout>) -> Result<Self, LadderError> {
        let mut below = Rollout::ZERO;
        for rung in &rungs {
            if *rung <= below {
                return Err(LadderError::NotAscending(*rung));
            }
            below = *rung;
        }
        if rungs.ends_with(&[Rollout::LAST_RUNG, Rollout::FULL]) {
            Ok(Self(rungs.into()))
        } else {
            Err(LadderError::Ends)
        }
    }
}

impl From<Ladder> for Vec<Rollout> {
    fn from(ladder: Ladder) -> Self {
        ladder.0.to_vec()
    }
}

impl Ladder {
    /// All rungs, ascending.
    #[must_use]
    pub fn rungs(&self) -> &[Rollout] {
        &self.0
    }

    /// The first rung, from which a flag starts.
    #[must_use]
    pub fn first(&self) -> Rollout {
        self.0.first().copied().unwrap_or(Rollout::LAST_RUNG)
    }

    /// The rung `steps` (at least 1) above `rollout`, at most 100 %.
    #[must_use]
    pub fn above(&self, rollout: Rollout, steps: usize) -> Rollout {
        self.0
            .iter()
            .copied()
            .filter(|rung| *rung > rollout)
            .nth(steps.saturating_sub(1))
            .unwrap_or(Rollout::FULL)
    }

    /// The rung below `rollout`, or 0 % when there is none.
    #[must_use]
    pub fn below(&self, rollout: Rollout) -> Rollout {
        self.0.iter().rev().copied().find(|rung| *rung < rollout).unwrap_or(Rollout::ZERO)
    }

    /// How many rungs lie above `rollout` up to and including `target`.
    #[must_use]
    pub fn steps_between(&self, rollout: Rollout, target: Rollout) -> usize {
        self.0.iter().filter(|rung| **rung > rollout && **rung <= target).count()
    }

    /// How many rungs are at or below `rollout`: 0 at 0 %, the number of rungs at 100 %.
    #[must_use]
    pub fn index(&self, rollout: Rollout) -> usize {
        self.0.iter().filter(|rung| **rung <= rollout).count()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::float_cmp, reason = "whole percentages are exact")]

    use super::*;

    #[test]
    fn percent_is_checked_and_printed_short() {
        assert!(Rollout::from_percent(140.0).is_err());
        assert!(Rollout::from_percent(f64::NAN).is_err());
        assert!(Rollout::from_percent(-0.5).is_err());
        assert_eq!(Rollout::from_percent(12.5).unwrap().to_string(), "12.5 %");
        assert_eq!(Rollout::from_percent(1.25).unwrap().to_string(), "1.25 %");
        assert_eq!(Rollout::from_percent(1.05).unwrap().to_string(), "1.05 %");
        assert_eq!(Rollout::FULL.to_string(), "100 %");
    }

    #[test]
    fn the_ladder_is_climbed_one_rung_at_a_time() {
        let ladder = Ladder::default();
        assert_eq!(ladder.first().percent(), 1.0);
        assert_eq!(ladder.above(Rollout::ZERO, 1).percent(), 1.0);
        assert_eq!(ladder.above(Rollout::from_percent(7.0).unwrap(), 1).percent(), 10.0);
        assert_eq!(ladder.above(Rollout::from_percent(75.0).unwrap(), 3), Rollout::FULL);
        assert_eq!(ladder.below(Rollout::from_percent(1.0).unwrap()), Rollout::ZERO);
        assert_eq!(ladder.below(Rollout::FULL), Rollout::LAST_RUNG);
        assert_eq!(ladder.steps_between(ladder.first(), Rollout::from_percent(25.0).unwrap()), 3);
    }

    #[test]
    fn a_ladder_keeps_a_live_control_before_the_end() {
        assert_eq!(Ladder::try_from(vec![Rollout(5_000), Rollout::FULL]), Err(LadderError::Ends));
        assert_eq!(
            Ladder::try_from(vec![Rollout(5_000), Rollout(100)]),
            Err(LadderError::NotAscending(Rollout(100)))
        );
    }
}
