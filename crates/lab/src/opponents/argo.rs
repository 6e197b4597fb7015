//! Argo Rollouts: a canary that climbs by the clock, with an analysis in the background (argo-rollouts.readthedocs.io,
//! *Analysis & Progressive Delivery*). Every interval a measurement is taken; it succeeds, fails, or is an error where there
//! is no data. More than `failureLimit` failed ones, or more than `consecutiveErrorLimit` errors in a row (4 by default), abort
//! the rollout. After an error it measures again after 10 s.
//!
//! The numbers are those of the documentation's example: 20, 40, 60, 80, 100 % with pauses of 10 min, a measurement every
//! 5 min, a success rate of at least 95 %, failureLimit 3 (the default is 0). Liberties: the analysis watches from the first
//! stage and not from 40 %; P99 is watched beside the success rate, over the last six intervals, at 500 ms; limits are the
//! service's where it is slower or fails more ([`knightwatch_agent::tunable::usual`]). Nobody stands by to resume what is inconclusive, so no
//! measurement is.

use serde::{Deserialize, Serialize};

use knightwatch_agent::tunable::{
    Knob, Method, Range,
    default_limits::{DefaultLimits, LENIENCY},
    ramp::{Climb, Ramp},
};
use knightwatch_core::{
    control::{Action, Observation},
    telemetry::{ArmStats, Millis},
};

/// Argo Rollouts with its settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Argo {
    /// Its stages.
    ramp: Ramp,
    /// Pause at each stage, in seconds.
    pause_secs: u64,
    /// Time between measurements, in seconds.
    interval_secs: u64,
    /// Least share of requests that succeed, 0 to 1.
    success_rate: f64,
    /// Most P99, in milliseconds.
    p99_ms: f64,
    /// How many times what is usual a limit is at least.
    leniency: f64,
    /// Failed measurements that are forgiven.
    failure_limit: u32,
    /// Errors in a row that are forgiven.
    consecutive_error_limit: u32,
}

impl Default for Argo {
    fn default() -> Self {
        Self {
            ramp: Ramp::Even,
            pause_secs: 600,
            interval_secs: 300,
            success_rate: 0.95,
            p99_ms: 500.0,
            leniency: LENIENCY,
            failure_limit: 3,
            consecutive_error_limit: 4,
        }
    }
}

/// What it remembers of one analysis run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Run {
    climb: Climb,
    limits: DefaultLimits,
    measured_at: Option<Millis>,
    /// Treatment since the last measurement.
    since: ArmStats,
    failed: u32,
    errors_in_a_row: u32,
}

impl Method for Argo {
    const NAME: &'static str = "argo";
    const KNOBS: &'static [Knob] = &[
        Knob { key: "ramp", range: Range::OneOf(Ramp::NAMES) },
        Knob { key: "pause_secs", range: Range::WholeLog(60, 900) },
        Knob { key: "interval_secs", range: Range::WholeLog(10, 300) },
        Knob { key: "success_rate", range: Range::Even(0.95, 0.9999) },
        Knob { key: "p99_ms", range: Range::Log(50.0, 2_000.0) },
        Knob { key: "leniency", range: Range::Log(1.05, 5.0) },
        Knob { key: "failure_limit", range: Range::Whole(0, 10) },
        Knob { key: "consecutive_error_limit", range: Range::Whole(0, 30) },
    ];
    type Memory = Run;

    fn act(&self, run: &mut Run, seen: &Observation<'_>) -> Action {
        let limits = run.limits.limits(seen, (1.0 - self.success_rate, self.p99_ms), self.leniency);
        if let [_, Some(treatment)] = seen.latest {
            run.since.requests += treatment.requests;
            run.since.errors += treatment.errors;
        }
        let measured_at = *run.measured_at.get_or_insert(seen.now.since(seen.since_change));
        if seen.now.since(measured_at) >= Millis::from_secs(self.interval_secs) {
            run.measure(seen, limits);
        }
        if run.failed > self.failure_limit || run.errors_in_a_row > self.consecutive_error_limit {
            return Action::RollBack;
        }
        run.climb.on(self.ramp, Millis::from_secs(self.pause_secs), seen)
    }
}

impl Run {
    fn measure(&mut self, seen: &Observation<'_>, (errors, p99_ms): (f64, f64)) {
        let (Some(rate), Some(p99)) = (self.since.error_rate(), seen.report.treatment.p99_ms) else {
            // Measured again at the next tick.
            self.errors_in_a_row += 1;
            return;
        };
        self.errors_in_a_row = 0;
        self.failed += u32::from(rate > errors || p99 > p99_ms);
        self.measured_at = Some(seen.now);
        self.since = ArmStats::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use knightwatch_agent::tunable::rehearsal::{Rehearsal, raise};

    #[test]
    fn a_sound_canary_goes_up_every_ten_minutes() {
        let fine = (1_000, 50, 0, 500.0);
        let climbed = Rehearsal::of(Argo::default()).minutes(45, Some([fine, fine]));
        let expected = [(1, 20.0), (61, 40.0), (121, 60.0), (181, 80.0), (241, 100.0)];
        assert_eq!(climbed, expected.map(|(interval, percent)| (interval, raise(percent))));
    }

    #[test]
    fn the_fourth_failed_measurement_aborts() {
        // 5.1 % failed: the fourth of a measurement each five minutes is after twenty.
        let (bad, control) = ((1_000, 51, 0, 200.0), (1_000, 1, 0, 200.0));
        let climbed = Rehearsal::of(Argo::default()).minutes(20, Some([bad, control]));
        assert_eq!(climbed.last(), Some(&(120, Action::RollBack)));
        let mut slow = Rehearsal::of(Argo { failure_limit: 0, ..Argo::default() });
        let climbed = slow.minutes(5, Some([(1_000, 0, 0, 501.0), control]));
        assert_eq!(climbed.last(), Some(&(30, Action::RollBack)), "P99 of 501 ms");
    }

    #[test]
    fn the_fifth_error_in_a_row_aborts_and_data_restarts_the_count() {
        let fine = (1_000, 0, 0, 200.0);
        let mut run = Rehearsal::of(Argo::default());
        assert_eq!(run.minutes(5, None), [(1, raise(20.0))], "the first measurement, and an error");
        assert_eq!([run.see(None), run.see(None), run.see(None)], [Action::Hold; 3]);
        assert_eq!(run.see(Some([fine, fine])), Action::Hold);
        let later = run.minutes(5, None);
        assert_eq!(later, [(27, raise(40.0))], "one error again");
        let mut run = Rehearsal::of(Argo::default());
        run.minutes(5, None);
        let then: Vec<Action> = (0..4).map(|_| run.see(None)).collect();
        assert_eq!(then, [Action::Hold, Action::Hold, Action::Hold, Action::RollBack]);
    }
}
