//! Sparklines that sweep like an ECG.
//!
//! A point's column is its interval's number modulo the width, with a gap after the newest: a new point changes two
//! cells instead of shifting the whole line, which is what a slow link needs. The scales are fixed for the same
//! reason, so a bar's height means the same in every row and at all times.

use std::collections::VecDeque;

use super::theme::LEVELS;
use crate::{backend::Point, telemetry::Millis};

/// Treatment's P99 as a multiple of control's from which on a bar is one level higher: level 4 is "the same".
const P99_STEPS: [f32; LEVELS - 1] = [0.6, 0.75, 0.9, 1.12, 1.35, 1.8, 3.0];
/// Share of failed requests from which on a bar is one level higher: 0.1, 0.2, 0.5, 1, 2, 5 and 10 %.
const ERROR_STEPS: [f32; LEVELS - 1] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1];
/// Empty columns after the newest point.
const GAP: u64 = 1;

/// What is drawn in one column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// The gap after the newest point, or a time before the first.
    Empty,
    /// An interval without a value.
    Missing,
    /// A bar, 1 to [`LEVELS`].
    Bar(usize),
}

/// Which metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Metric {
    /// Treatment's P99 against control's.
    P99,
    /// Treatment's share of failed requests.
    Errors,
}

fn level(value: f32, steps: &[f32; LEVELS - 1]) -> usize {
    1 + steps.iter().filter(|step| value >= **step).count()
}

fn mark(point: &Point, metric: Metric) -> Mark {
    match metric {
        Metric::P99 => match (point.treatment.p99_ms, point.control.p99_ms) {
            (Some(treatment), Some(control)) if control > 0.0 => {
                Mark::Bar(level(treatment / control, &P99_STEPS))
            }
            _ => Mark::Missing,
        },
        Metric::Errors => {
            point.treatment.error_rate.map_or(Mark::Missing, |rate| Mark::Bar(level(rate, &ERROR_STEPS)))
        }
    }
}

/// The marks of `width` columns, the newest point at its interval's number modulo `width`.
pub(super) fn sweep(history: &VecDeque<Point>, interval: Millis, width: u16, metric: Metric) -> Vec<Mark> {
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
        marks[column] = mark(point, metric);
    }
    marks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::ArmPoint;

    fn point(number: u64, treatment: Option<f32>) -> Point {
        let arm = |p99_ms| ArmPoint { requests: Some(10), error_rate: Some(0.0), p99_ms };
        Point {
            at: Millis::from_secs(10 * number),
            control: arm(Some(100.0)),
            treatment: arm(treatment),
            ..Point::default()
        }
    }

    #[test]
    fn a_new_point_changes_two_cells_at_most() {
        let interval = Millis::from_secs(10);
        let mut history = VecDeque::new();
        let mut before = sweep(&history, interval, 12, Metric::P99);
        for number in 1_000..1_100 {
            history.push_back(point(number, Some(60.0 + f32::from(u8::try_from(number % 97).unwrap()))));
            let after = sweep(&history, interval, 12, Metric::P99);
            let changed = before.iter().zip(&after).filter(|(a, b)| a != b).count();
            assert!(changed <= 2, "{changed} cells changed at point {number}");
            before = after;
        }
    }

    #[test]
    fn a_missing_value_is_a_mark_of_its_own_and_the_same_as_control_is_in_the_middle() {
        let history = VecDeque::from([point(24, None), point(25, Some(100.0)), point(26, Some(900.0))]);
        let marks = sweep(&history, Millis::from_secs(10), 12, Metric::P99);
        assert_eq!(marks[0], Mark::Missing);
        assert_eq!(marks[1], Mark::Bar(4));
        assert_eq!(marks[2], Mark::Bar(8));
        assert_eq!(marks[3], Mark::Empty);
    }
}
