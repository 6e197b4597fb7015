//! A method without a world, for tests of methods: the caller says what it sees, interval by interval, and its moves are carried
//! out at once.

use super::method::Method;
use knightwatch_core::{
    control::{Action, ActionMask, Observation, Phase},
    flag::{FlagId, Ladder, Rollout},
    telemetry::{ArmStats, Counts, Millis, WindowReport},
};

/// One arm in one interval: requests, failed ones, slow ones, and P99 in milliseconds.
pub type ArmInterval = (u64, u64, u64, f64);

/// See the module.
pub struct Rehearsal<M: Method> {
    /// The method.
    pub method: M,
    /// What it remembers of the flag.
    pub memory: M::Memory,
    /// Controller time.
    pub now: Millis,
    /// Where the flag is.
    pub rollout: Rollout,
    /// Whether the last raise still warms up.
    pub warming_up: bool,
    changed_at: Millis,
}

impl<M: Method> Rehearsal<M> {
    /// A flag that was just started at 1 %.
    pub fn of(method: M) -> Self {
        let rollout = Rollout::from_basis_points(100).unwrap_or_default();
        let now = Millis::from_secs(1_000);
        Self { method, memory: M::Memory::default(), now, rollout, warming_up: false, changed_at: now }
    }

    /// The next interval of 10 s: treatment and control. The last six intervals are taken to have been like it.
    pub fn see(&mut self, arms: Option<[ArmInterval; 2]>) -> Action {
        self.now = self.now + Millis::from_secs(10);
        let stats =
            |(requests, errors, _, p99_ms): ArmInterval| ArmStats { requests, errors, p99_ms: Some(p99_ms) };
        let latest = [arms.map(|arms| stats(arms[1])), arms.map(|arms| stats(arms[0]))];
        let slower = arms.map(|[treatment, control]| Counts {
            treatment: treatment.0,
            treatment_bad: treatment.2,
            control: control.0,
            control_bad: control.2,
        });
        let report = WindowReport {
            treatment: latest[1].unwrap_or_default(),
            control: latest[0].unwrap_or_default(),
            warming_up: self.warming_up,
            ..WindowReport::default()
        };
        let action = self.method.act(
            &mut self.memory,
            &Observation {
                flag: FlagId(0),
                ramp: 1,
                now: self.now,
                interval: Millis::from_secs(10),
                phase: Phase::Ramping,
                rollout: self.rollout,
                ladder: &Ladder::default(),
                since_change: self.now.since(self.changed_at),
                report: &report,
                latest: &latest,
                slower,
                moving_in_service: 0,
                mask: ActionMask { lower: true, raise_to: Some(Rollout::FULL) },
            },
        );
        let to = match action {
            Action::Hold => return action,
            Action::RaiseTo(to) => to,
            Action::RollBack => Rollout::ZERO,
            Action::StepDown => Ladder::default().below(self.rollout),
        };
        (self.rollout, self.changed_at) = (to, self.now);
        action
    }

    /// So many intervals alike; returns what was not a hold, with the number of the interval from 1.
    pub fn minutes(&mut self, minutes: usize, arms: Option<[ArmInterval; 2]>) -> Vec<(usize, Action)> {
        let all = (1..=6 * minutes).map(|interval| (interval, self.see(arms)));
        all.filter(|(_, action)| *action != Action::Hold).collect()
    }
}

/// A raise to this percentage; a hold where it is none.
pub fn raise(percent: f64) -> Action {
    Rollout::from_percent(percent).map_or(Action::Hold, Action::RaiseTo)
}
