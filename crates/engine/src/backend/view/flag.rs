//! One flag as everybody outside the engine sees it.
//!
//! What is shown of a flag is declared and filled in here alone: the fold, the wire and the screens carry whatever
//! [`FlagView`] holds.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Point;
use crate::Engine;
use knightwatch_core::{
    control::{Action, Archived, FlagState, FlagTelemetry, Hold, LastAction, Outcome, Phase, Waiting},
    flag::{FlagId, FlagSpec, Rollout},
    telemetry::{ArmStats, Millis, Verdict, Window, WindowReport},
};

/// What the policy wanted at the last tick.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProposalView {
    /// The move.
    pub action: Action,
    /// Probabilities of roll back, step down, hold, raise small, medium, large, where it has any.
    pub probabilities: Option<[f32; 6]>,
    /// Its estimate of what is still to come, where it has one.
    pub value: Option<f32>,
}

/// What the shield made of it at the last tick.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RulingView {
    /// Allowed, clipped, vetoed or enforced.
    pub outcome: Outcome,
    /// Why, in one plain sentence.
    pub reason: Arc<str>,
    /// Ticks in a row that ended like this.
    pub repeated: u32,
}

/// One flag, as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FlagView {
    /// Its place in the fleet.
    pub id: FlagId,
    /// Its declaration.
    pub spec: Arc<FlagSpec>,
    /// Its phase.
    pub phase: Phase,
    /// Since when.
    pub phase_since: Millis,
    /// The share of traffic that gets `on`.
    pub rollout: Rollout,
    /// When the rollout last changed.
    pub changed_at: Millis,
    /// A person's hold.
    pub hold: Option<Hold>,
    /// Until when the shield's hard limits are off.
    pub guard_off_until: Option<Millis>,
    /// The last thing done to it.
    pub last: Option<LastAction>,
    /// The start that waits for the flag's deployment.
    #[serde(default)]
    pub waiting: Option<Waiting>,
    /// That it was archived; its place in the fleet stays its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived: Option<Archived>,
    /// The verdict.
    pub verdict: Verdict,
    /// The evidence in numbers, with both arms over the last intervals.
    pub report: WindowReport,
    /// The last interval.
    pub point: Point,
    /// Whether request counts are assumed.
    pub assumed: bool,
    /// What the policy wanted at the last tick.
    pub proposal: Option<ProposalView>,
    /// What the shield made of it.
    pub ruling: Option<RulingView>,
}

impl FlagView {
    /// What `engine` knows of a flag. `spec` is the flag's declaration, shared by all its views; `point` its last interval.
    pub(crate) fn of(engine: &Engine, flag: &FlagState, spec: &Arc<FlagSpec>, point: Point) -> Self {
        let telemetry_state = engine.telemetry_state();
        let nothing = FlagTelemetry::default();
        let flag_telemetry = telemetry_state.flag_telemetry(flag.id).unwrap_or(&nothing);
        Self {
            id: flag.id,
            spec: Arc::clone(spec),
            phase: flag.phase,
            phase_since: flag.phase_since,
            rollout: flag.rollout,
            changed_at: flag.changed_at,
            hold: flag.hold.clone(),
            guard_off_until: flag.guard_off_until,
            last: flag.last.clone(),
            waiting: flag.waiting.clone(),
            archived: flag.archived.clone(),
            verdict: flag_telemetry.report.verdict,
            report: flag_telemetry.report.clone(),
            point,
            assumed: telemetry_state.window(flag.id).is_some_and(Window::assumed),
            proposal: flag_telemetry.proposal.as_ref().map(|proposal| ProposalView {
                action: proposal.action,
                probabilities: proposal.probabilities,
                value: proposal.value,
            }),
            ruling: flag_telemetry.ruling.as_ref().map(|ruling| RulingView {
                outcome: ruling.outcome,
                reason: ruling.reason.to_string().into(),
                repeated: flag_telemetry.repeated,
            }),
        }
    }

    /// Treatment over the last intervals.
    #[must_use]
    pub const fn treatment(&self) -> &ArmStats {
        &self.report.treatment
    }

    /// Control over the last intervals.
    #[must_use]
    pub const fn control(&self) -> &ArmStats {
        &self.report.control
    }
}
