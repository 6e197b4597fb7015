//! What the tests of the shield's rules share: a flag, a report and the settings at a moment.

use super::context::Context;
use crate::{
    control::{Actor, Event, FlagState, Phase, ShieldConfig, State},
    flag::{FlagKind, FlagSpec, Ladder, Rollout, ServiceName},
    telemetry::{ArmStats, Millis, Verdict, WindowReport},
};

/// Controller time in the tests: a day after the beginning, so that everything before is long ago.
pub(super) const NOW: Millis = Millis::from_secs(24 * 3_600);

/// A flag that has been in this phase, and at this rollout, since the beginning.
pub(super) fn flag(phase: Phase, percent: f64) -> FlagState {
    let spec = FlagSpec {
        key: "new-checkout".parse().unwrap(),
        service: ServiceName("checkout".into()),
        kind: FlagKind::Requests,
        description: String::new(),
        ladder: Ladder::default(),
        deployment: None,
    };
    let mut state = State::default();
    for entry in state.entries(Millis::ZERO, vec![(Actor::System, Event::Created { spec })], "") {
        state.apply(&entry);
    }
    let created = state.flags.remove(0);
    FlagState { phase, rollout: Rollout::from_percent(percent).unwrap(), last: None, ..created }
}

/// Fresh telemetry of 1 000 treatment requests, with this verdict.
pub(super) fn report(verdict: Verdict) -> WindowReport {
    WindowReport {
        verdict,
        treatment: ArmStats { requests: 1_000, ..ArmStats::default() },
        treatment_n: 1_000,
        control_n: 1_000,
        age: Some(Millis::ZERO),
        ..WindowReport::default()
    }
}

pub(super) fn context(config: &ShieldConfig) -> Context<'_> {
    Context { config, interval: Millis::from_secs(10), now: NOW, begun: Millis::ZERO }
}
