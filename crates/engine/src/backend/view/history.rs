//! Recent intervals of a flag: what the sparklines and the charts show, and how they travel.

use std::collections::VecDeque;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use knightwatch_core::{flag::Rollout, telemetry::Millis};

/// One arm in one interval, as the sparklines need it. A missing value is `None`, never 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ArmPoint {
    /// Requests in the interval; `None` when there was no telemetry.
    pub requests: Option<u32>,
    /// Share of failed requests, 0 to 1; `None` without requests.
    pub error_rate: Option<f32>,
    /// P99 in milliseconds; `None` without latencies.
    pub p99_ms: Option<f32>,
}

/// Both arms in one interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// When the interval ended.
    pub at: Millis,
    /// Requests with the flag off.
    pub control: ArmPoint,
    /// Requests with the flag on.
    pub treatment: ArmPoint,
    /// The rollout in the interval.
    pub rollout: Rollout,
}

/// Points kept of each flag: 40 min at the default interval.
const POINTS: usize = 240;
/// Points kept of each flag in a large fleet, where [`POINTS`] would cost 150 MB.
const POINTS_IN_LARGE_FLEET: usize = 60;
/// A fleet with more flags is large.
const LARGE_FLEET: usize = 2_000;

/// Points in a serialised history, over all flags: about 60 bytes each.
const SERIALISED_POINTS: usize = 60_000;

/// How many points are kept of each flag in a fleet of `flags`.
const fn capacity(flags: usize) -> usize {
    if flags > LARGE_FLEET { POINTS_IN_LARGE_FLEET } else { POINTS }
}

/// Adds a flag's newest point. `flags` is the size of the fleet, which bounds how many older ones are kept.
pub(crate) fn push(points: &mut VecDeque<Point>, point: Point, flags: usize) {
    let surplus = (points.len() + 1).saturating_sub(capacity(flags));
    points.drain(..surplus.min(points.len()));
    points.push_back(point);
}

/// `[at, rollout, control requests, errors, p99, treatment requests, errors, p99]`.
type Row = (Millis, Rollout, Option<u32>, Option<f32>, Option<f32>, Option<u32>, Option<f32>, Option<f32>);

fn row(point: &Point) -> Row {
    let Point { at, control: c, treatment: t, rollout } = *point;
    (at, rollout, c.requests, c.error_rate, c.p99_ms, t.requests, t.error_rate, t.p99_ms)
}

fn point((at, rollout, cn, ce, cp, tn, te, tp): Row) -> Point {
    let arm = |requests, error_rate, p99_ms| ArmPoint { requests, error_rate, p99_ms };
    Point { at, control: arm(cn, ce, cp), treatment: arm(tn, te, tp), rollout }
}

/// Writes each point as a row of numbers, and of a large fleet only the newest points.
pub(super) fn serialize<S: Serializer>(
    history: &[VecDeque<Point>],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let each = (SERIALISED_POINTS / history.len().max(1)).clamp(2, POINTS);
    let newest = |points: &VecDeque<Point>| -> Vec<Row> {
        points.range(points.len().saturating_sub(each)..).map(row).collect()
    };
    serializer.collect_seq(history.iter().map(newest))
}

/// Reads what [`serialize`] wrote.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<VecDeque<Point>>, D::Error> {
    let history = Vec::<Vec<Row>>::deserialize(deserializer)?;
    Ok(history.into_iter().map(|rows| rows.into_iter().map(point).collect()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The points left after `pushes` pushes in a fleet of `flags`.
    fn kept(flags: usize, pushes: u64) -> VecDeque<Point> {
        let mut points = VecDeque::new();
        for number in 0..pushes {
            push(&mut points, Point { at: Millis(number), ..Point::default() }, flags);
        }
        points
    }

    #[test]
    fn only_the_newest_points_are_kept_and_fewer_in_a_large_fleet() {
        assert_eq!(kept(1, 240).len(), 240);
        let points = kept(2_000, 300);
        assert_eq!((points.len(), points[0].at, points[239].at), (240, Millis(60), Millis(299)));
        let mut points = kept(2_001, 300);
        assert_eq!((points.len(), points[0].at), (60, Millis(240)));
        // A fleet that has grown drops what it kept as a small one.
        points = kept(1, 240);
        push(&mut points, Point::default(), 2_001);
        assert_eq!(points.len(), 60);
    }
}
