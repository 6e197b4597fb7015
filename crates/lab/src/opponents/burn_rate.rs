//! Burn rates, as Google's SRE workbook has them (chapter 5, *Alerting on SLOs*, multiwindow, multi-burn-rate alerts): how
//! many times faster than the objective allows the error budget is being spent. A page at 14.4 over both 1 h and 5 min, or
//! at 6 over both 6 h and 30 min; here a page on the canary rolls it back. Otherwise it climbs the fixed schedule.
//!
//! Scaled to the horizon: the longest window, 6 h, is half an hour here and the others are in proportion (5 min and 30
//! s; 30 min and 150 s). The objectives are 99.9 % of requests without an error and 99 % below the former P99, or what
//! is usual, doubled, where that is more ([`knightwatch_agent::tunable::typical_errors`]). Liberty: a window that is
//! not yet full counts with what it has.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use knightwatch_agent::{
    real,
    tunable::{
        Knob, Method, Range,
        default_limits::LENIENCY,
        ramp::{Climb, Ramp},
    },
};
use knightwatch_core::{
    control::{Action, Observation},
    telemetry::Millis,
};

/// The share of requests beyond their own former P99 when nothing is wrong.
const SLOW_SHARE: f64 = 0.01;

/// Burn-rate alerts with their settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct BurnRate {
    /// The stages.
    ramp: Ramp,
    /// Time at each stage, in seconds.
    dwell_secs: u64,
    /// The share of requests that may fail.
    budget: f64,
    /// How many times what is usual a budget is at least.
    leniency: f64,
    /// Burn rate of the quick alert.
    fast_burn: f64,
    /// Its long window, in seconds; the short one is a twelfth.
    fast_secs: u64,
    /// Burn rate of the slow alert.
    slow_burn: f64,
    /// Its long window, in seconds; the short one is a twelfth.
    slow_secs: u64,
}

impl Default for BurnRate {
    fn default() -> Self {
        Self {
            ramp: Ramp::Standard,
            dwell_secs: 300,
            budget: 0.001,
            leniency: LENIENCY,
            fast_burn: 14.4,
            fast_secs: 300,
            slow_burn: 6.0,
            slow_secs: 1_800,
        }
    }
}

/// What is remembered of one canary.
#[derive(Clone, Debug, Default)]
pub(super) struct Burned {
    climb: Climb,
    /// The share of control's requests that failed when it was first seen.
    typical_errors: Option<f64>,
    /// Treatment's requests and bad ones, of errors and of latency, interval by interval, the newest first.
    past: VecDeque<[(u64, u64); 2]>,
}

impl Method for BurnRate {
    const NAME: &'static str = "burn-rate";
    const KNOBS: &'static [Knob] = &[
        Knob { key: "ramp", range: Range::OneOf(Ramp::NAMES) },
        Knob { key: "dwell_secs", range: Range::WholeLog(60, 900) },
        Knob { key: "budget", range: Range::Log(1e-4, 0.02) },
        Knob { key: "leniency", range: Range::Log(1.05, 5.0) },
        Knob { key: "fast_burn", range: Range::Log(1.5, 50.0) },
        Knob { key: "fast_secs", range: Range::WholeLog(60, 900) },
        Knob { key: "slow_burn", range: Range::Log(1.1, 20.0) },
        Knob { key: "slow_secs", range: Range::WholeLog(300, 3_600) },
    ];
    type Memory = Burned;

    fn act(&self, memory: &mut Burned, seen: &Observation<'_>) -> Action {
        memory.typical_errors = memory.typical_errors.or(seen.report.control.error_rate());
        let errors = seen.latest[1].map_or((0, 0), |treatment| (treatment.requests, treatment.errors));
        let slow = seen.slower.map_or((0, 0), |slower| (slower.treatment, slower.treatment_bad));
        memory.past.push_front([errors, slow]);
        let kept = intervals(self.slow_secs.max(self.fast_secs), seen.interval);
        memory.past.truncate(kept);
        let typical_errors = memory.typical_errors.unwrap_or(0.0);
        let budgets = [self.budget.max(self.leniency * typical_errors), self.leniency * SLOW_SHARE];
        let alerts = [(self.fast_burn, self.fast_secs), (self.slow_burn, self.slow_secs)];
        let pages = alerts.iter().any(|(burn, secs)| {
            (0..2).any(|metric| {
                let burns = |intervals| memory.share(metric, intervals) > burn * budgets[metric];
                burns(intervals(*secs, seen.interval)) && burns(intervals(secs / 12, seen.interval))
            })
        });
        if pages {
            return Action::RollBack;
        }
        memory.climb.on(self.ramp, Millis::from_secs(self.dwell_secs), seen)
    }
}

impl Burned {
    /// The share of bad requests over the last so many intervals.
    fn share(&self, metric: usize, intervals: usize) -> f64 {
        let past = self.past.iter().take(intervals).map(|interval| interval[metric]);
        let (n, bad) = past.fold((0, 0), |sum, (n, bad)| (sum.0 + n, sum.1 + bad));
        if n == 0 { 0.0 } else { real(bad) / real(n) }
    }
}

/// How many control intervals a window has; at least one.
fn intervals(secs: u64, interval: Millis) -> usize {
    usize::try_from(Millis::from_secs(secs).0.div_ceil(interval.0.max(1))).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use knightwatch_agent::tunable::rehearsal::{ArmInterval, Rehearsal, raise};

    const CALM: ArmInterval = (1_000, 0, 10, 200.0);

    /// The first interval in which it rolls back, at so many failed requests of a thousand after five quiet minutes.
    fn pages_after(errors: u64) -> Option<usize> {
        let mut canary = Rehearsal::of(BurnRate::default());
        assert_eq!(canary.minutes(5, Some([CALM; 2])), [(30, raise(5.0))]);
        let done = canary.minutes(5, Some([(1_000, errors, 10, 200.0), CALM]));
        done.iter().find(|done| done.1 == Action::RollBack).map(|done| done.0)
    }

    #[test]
    fn the_quick_alert_needs_its_long_window_too() {
        // 50 of 1 000 burn 50 times the budget. The long window has 30 intervals: k * 50 / 30 000 exceeds 1.44 % from the
        // ninth on; but the slow alert has 30 quiet ones: k * 50 / ((30 + k) * 1 000) exceeds 0.6 % from the fifth on.
        assert_eq!(pages_after(50), Some(5));
        // 1 %: never 1.44 %, and k * 10 / (30 + k) exceeds 6 only beyond 45 intervals.
        assert_eq!(pages_after(10), None);
    }

    #[test]
    fn a_service_that_usually_fails_more_has_a_larger_budget() {
        let typical_errors = (1_000, 20, 10, 200.0);
        let mut canary = Rehearsal::of(BurnRate::default());
        let done = canary.minutes(10, Some([typical_errors, typical_errors]));
        assert_eq!(done, [(30, raise(5.0)), (60, raise(10.0))], "2 % is usual, so that 4 % is the budget");
    }

    #[test]
    fn a_longer_tail_burns_too_and_silence_does_not() {
        let mut canary = Rehearsal::of(BurnRate::default());
        // 13 % beyond the former P99: over six times the budget of 2 %.
        assert_eq!(canary.see(Some([(1_000, 0, 130, 900.0), CALM])), Action::RollBack);
        let mut silent = Rehearsal::of(BurnRate::default());
        assert_eq!(silent.minutes(4, None), []);
    }
}
