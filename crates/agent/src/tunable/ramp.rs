//! Ramps: the stages that opponents climb, and when the next one is due.

use serde::{Deserialize, Serialize};

use knightwatch_core::{
    control::{Action, Observation},
    flag::Rollout,
    telemetry::Millis,
};

/// Stages as products and their examples have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ramp {
    /// 1, 5, 10, 25, 50, 100 %: what most teams write down.
    Standard,
    /// 20, 40, 60, 80, 100 %: Argo's example.
    Even,
    /// 1, 10, 50, 100 %: `LaunchDarkly`'s.
    Tenfold,
    /// 2, 10, 50, 100 %: Statsig's.
    Fivefold,
    /// 5, 12.5, 25, 37.5, 50, 100 %: `GrowthBook`'s coverage of 10, 25, 50, 75, 100 %, half of it treatment.
    Halves,
    /// 10, 100 %: a canary, then everybody.
    Canary,
}

impl Ramp {
    /// Their names, for tuning.
    pub const NAMES: &'static [&'static str] =
        &["standard", "even", "tenfold", "fivefold", "halves", "canary"];

    /// The stages in basis points; the last one is 100 %.
    #[must_use]
    pub const fn stages(self) -> &'static [u16] {
        match self {
            Self::Standard => &[100, 500, 1_000, 2_500, 5_000, 10_000],
            Self::Even => &[2_000, 4_000, 6_000, 8_000, 10_000],
            Self::Tenfold => &[100, 1_000, 5_000, 10_000],
            Self::Fivefold => &[200, 1_000, 5_000, 10_000],
            Self::Halves => &[500, 1_250, 2_500, 3_750, 5_000, 10_000],
            Self::Canary => &[1_000, 10_000],
        }
    }

    /// The lowest stage above a rollout.
    fn above(self, rollout: Rollout) -> Option<Rollout> {
        let next = self.stages().iter().find(|stage| **stage > rollout.basis_points());
        next.and_then(|stage| Rollout::from_basis_points(*stage).ok())
    }
}

/// How far a flag has come on its ramp. The shield may allow less than a whole stage at once: the rest is then asked for at
/// once, and the time at a stage counts from when it was reached.
#[derive(Clone, Copy, Debug, Default)]
pub struct Climb {
    target: Option<Rollout>,
}

impl Climb {
    /// Where the flag goes next, when the time for it has come; `dwell` is the time at each stage.
    #[must_use]
    pub fn due(self, ramp: Ramp, dwell: Millis, seen: &Observation<'_>) -> Option<Rollout> {
        // A flag starts at its own first rung, which may be below the ramp's first stage.
        let target = self.target.or_else(|| Rollout::from_basis_points(*ramp.stages().first()?).ok());
        match target {
            Some(target) if seen.rollout < target => Some(target),
            _ => ramp.above(seen.rollout).filter(|_| seen.since_change >= dwell),
        }
    }

    /// Whether the flag is at the stage that it was last meant for.
    pub fn at_stage(self, ramp: Ramp, seen: &Observation<'_>) -> bool {
        let first = ramp.stages().first().copied().unwrap_or_default();
        seen.rollout.basis_points() >= self.target.map_or(first, Rollout::basis_points)
    }

    /// Goes there.
    pub fn go(&mut self, to: Rollout) -> Action {
        self.target = Some(to);
        Action::RaiseTo(to)
    }

    /// Goes on where it is time to, and holds where not.
    pub fn on(&mut self, ramp: Ramp, dwell: Millis, seen: &Observation<'_>) -> Action {
        self.due(ramp, dwell, seen).map_or(Action::Hold, |to| self.go(to))
    }
}
