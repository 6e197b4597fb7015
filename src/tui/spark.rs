//! Sparklines that sweep like an ECG.
//!
//! A point's column is its interval's number modulo the width, with a gap after the newest: a new point changes two
//! cells instead of shifting the whole line, which is what a slow link needs. The scales are fixed for the same
//! reason, so a bar's height means the same in every row and at all times.

use std::collections::VecDeque;

use super::theme::LEVELS;
use knightwatch_core::telemetry::Millis;
use knightwatch_engine::backend::{ArmPoint, FlagView, Point};

/// The level of a P99 that is the same as control's.
pub(super) const SAME: usize = 4;
/// Treatment's P99 as a multiple of control's from which on a bar is one level higher: [`SAME`] is around 1.
const P99_STEPS: [f32; LEVELS - 1] = [0.6, 0.75, 0.9, 1.12, 1.35, 1.8, 3.0];
/// Share of failed requests from which on a bar is one level higher: 0.1, 0.2, 0.5, 1, 2, 5 and 10 %.
const ERROR_STEPS: [f32; LEVELS - 1] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1];
/// Empty columns after the newest point.
const GAP: u64 = 1;

/// Standard errors beyond which one interval is marked as worse: three, so that noise marks one in a thousand.
const SIGMAS: f32 = 3.0;
/// Standard deviation of ln P99 times the root of n: `sigma * sqrt(p(1-p)) / phi(z_p)` at p = 0.99 and a lognormal
/// sigma of 0.8 (the asymptotic variance of a sample quantile).
const P99_SPREAD: f32 = 2.987;
/// Difference of ln P99 that is never marked: up to 1.35 times control, one level above the middle.
const MIN_SLOWER: f32 = 0.3;
/// Difference of error rates that is never marked, as a share: 0.1 percentage points.
const MIN_MORE_ERRORS: f32 = 0.001;

/// What is drawn in one column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// The gap after the newest point, a time before the first, or an interval in which nobody got `on`.
    Empty,
    /// An interval without a value, though there should have been one.
    Missing,
    /// A bar.
    Bar {
        /// 1 to [`LEVELS`].
        level: usize,
        /// Whether treatment is worse than control by more than noise explains.
        worse: bool,
    },
}

/// Which metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Metric {
    /// Treatment's P99 against control's.
    P99,
    /// Treatment's share of failed requests.
    Errors,
}

/// The control that treatment is held against in intervals without a live one: those at 100 %.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct ChartBaseline {
    /// P99 in milliseconds.
    pub(super) p99_ms: Option<f32>,
    /// Share of failed requests, 0 to 1.
    pub(super) error_rate: Option<f32>,
}

impl ChartBaseline {
    /// What was recorded of a flag's control; the newest live one where the report has none: after a rollback from
    /// 100 % the intervals before it still want a measure.
    #[expect(clippy::cast_possible_truncation, reason = "for drawing; f32 is fine enough")]
    pub(super) fn of(flag: &FlagView, history: &VecDeque<Point>) -> Self {
        if flag.report.control_is_baseline {
            let control = flag.control();
            return Self {
                p99_ms: control.p99_ms.map(|p99| p99 as f32),
                error_rate: control.error_rate().map(|rate| rate as f32),
            };
        }
        let live = history.iter().rev().map(|point| point.control).find(|control| control.p99_ms.is_some());
        live.map_or_else(Self::default, |control| Self {
            p99_ms: control.p99_ms,
            error_rate: control.error_rate,
        })
    }
}

fn level(value: f32, steps: &[f32; LEVELS - 1]) -> usize {
    1 + steps.iter().filter(|step| value >= **step).count()
}

/// Requests assumed where a source does not count them.
const UNCOUNTED: u32 = 100;

/// One over the requests of an arm; a baseline has no noise of its own.
#[expect(clippy::cast_precision_loss, reason = "for drawing; f32 is fine enough")]
fn per_request(arm: &ArmPoint, live: bool) -> f32 {
    if live { 1.0 / arm.requests.unwrap_or(UNCOUNTED).max(1) as f32 } else { 0.0 }
}

/// Whether treatment is worse than control in one interval by more than its noise.
pub(super) fn is_worse(point: &Point, metric: Metric, baseline: ChartBaseline) -> bool {
    let Point { treatment, control, .. } = point;
    match metric {
        Metric::P99 => {
            let Some((on, off)) = treatment.p99_ms.zip(control.p99_ms.or(baseline.p99_ms)) else {
                return false;
            };
            let spread = per_request(treatment, true) + per_request(control, control.p99_ms.is_some());
            off > 0.0 && (on / off).ln() > (SIGMAS * P99_SPREAD * spread.sqrt()).max(MIN_SLOWER)
        }
        Metric::Errors => {
            let Some((on, off)) = treatment.error_rate.zip(control.error_rate.or(baseline.error_rate)) else {
                return false;
            };
            let mean = f32::midpoint(on, off);
            let spread = per_request(treatment, true) + per_request(control, control.error_rate.is_some());
            on - off > (SIGMAS * (mean * (1.0 - mean).max(0.0) * spread).sqrt()).max(MIN_MORE_ERRORS)
        }
    }
}

fn mark(point: &Point, metric: Metric, baseline: ChartBaseline) -> Mark {
    let level = match metric {
        Metric::P99 => match (point.treatment.p99_ms, point.control.p99_ms.or(baseline.p99_ms)) {
            (Some(treatment), Some(control)) if control > 0.0 => Some(level(treatment / control, &P99_STEPS)),
            _ => None,
        },
        Metric::Errors => point.treatment.error_rate.map(|rate| level(rate, &ERROR_STEPS)),
    };
    match level {
        Some(level) => Mark::Bar { level, worse: is_worse(point, metric, baseline) },
        None if point.rollout.is_zero() => Mark::Empty,
        None => Mark::Missing,
    }
}

/// The marks of `width` columns, the newest point at its interval's number modulo `width`.
pub(super) fn sweep(
    history: &VecDeque<Point>,
    interval: Millis,
    width: u16,
    metric: Metric,
    baseline: ChartBaseline,
) -> Vec<Mark> {
    let width = u64::from(width.max(1));
    let number = |at: Millis| at.0 / interval.0.max(1);
    let mut marks = vec![Mark::Empty; usize::try_from(width).unwrap_or(1)];
    let Some(newest) = history.back().map(|point| number(point.at)) else { return marks };
    let oldest = (newest + 1 + GAP).saturating_sub(width);
    for point in history.iter().rev() {
        let at = number(point.at);
        if at < oldest || at > newest {
            break;
        }
        let column = usize::try_from(at % width).unwrap_or(0);
        marks[column] = mark(point, metric, baseline);
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;
    use knightwatch_core::flag::Rollout;

    const INTERVAL: Millis = Millis::from_secs(10);

    fn point(number: u64, treatment: Option<f32>) -> Point {
        let arm = |p99_ms| ArmPoint { requests: Some(1_000), error_rate: Some(0.0), p99_ms };
        Point {
            at: Millis::from_secs(10 * number),
            control: arm(Some(100.0)),
            treatment: arm(treatment),
            rollout: Rollout::from_percent(50.0).unwrap(),
        }
    }

    fn marks(history: &VecDeque<Point>, baseline: ChartBaseline) -> Vec<Mark> {
        sweep(history, INTERVAL, 12, Metric::P99, baseline)
    }

    #[test]
    fn a_new_point_changes_two_cells_at_most() {
        let mut history = VecDeque::new();
        let mut before = marks(&history, ChartBaseline::default());
        for number in 1_000..1_100 {
            history.push_back(point(number, Some(60.0 + f32::from(u8::try_from(number % 97).unwrap()))));
            let after = marks(&history, ChartBaseline::default());
            let changed = before.iter().zip(&after).filter(|(a, b)| a != b).count();
            assert!(changed <= 2, "{changed} cells changed at point {number}");
            before = after;
        }
    }

    #[test]
    fn a_missing_value_is_a_mark_of_its_own_and_the_same_as_control_is_in_the_middle() {
        let history = VecDeque::from([point(24, None), point(25, Some(100.0)), point(26, Some(900.0))]);
        let marks = marks(&history, ChartBaseline::default());
        assert_eq!(marks[0], Mark::Missing);
        assert_eq!(marks[1], Mark::Bar { level: 4, worse: false });
        assert_eq!(marks[2], Mark::Bar { level: 8, worse: true });
        assert_eq!(marks[3], Mark::Empty);
    }

    #[test]
    fn an_interval_in_which_nobody_got_the_flag_misses_nothing() {
        let mut off = point(24, None);
        off.rollout = Rollout::ZERO;
        assert_eq!(marks(&VecDeque::from([off]), ChartBaseline::default())[0], Mark::Empty);
    }

    #[test]
    fn at_100_percent_the_baseline_is_the_measure() {
        let mut full = point(24, Some(100.0));
        full.control = ArmPoint::default();
        full.rollout = Rollout::FULL;
        let history = VecDeque::from([full]);
        assert_eq!(marks(&history, ChartBaseline::default())[0], Mark::Missing);
        let baseline = ChartBaseline { p99_ms: Some(100.0), error_rate: None };
        assert_eq!(marks(&history, baseline)[0], Mark::Bar { level: 4, worse: false });
        let baseline = ChartBaseline { p99_ms: Some(40.0), error_rate: None };
        assert_eq!(marks(&history, baseline)[0], Mark::Bar { level: 7, worse: true });
    }

    #[test]
    fn a_slow_interval_of_few_requests_is_not_marked_as_worse() {
        let mut few = point(24, Some(170.0));
        assert!(is_worse(&few, Metric::P99, ChartBaseline::default()));
        few.treatment.requests = Some(60);
        assert!(!is_worse(&few, Metric::P99, ChartBaseline::default()));
        few.treatment.error_rate = Some(1.0 / 60.0);
        assert!(!is_worse(&few, Metric::Errors, ChartBaseline::default()));
        few.treatment.error_rate = Some(0.2);
        assert!(is_worse(&few, Metric::Errors, ChartBaseline::default()));
    }
}
