//! Charts of both arms over time, with the rollout and what happened below them on the same time axis; the newest at
//! the right.
//!
//! ```text
//! P99 ms   █ on 210  ━ off 200
//!      500         ▂▂ █▇
//!        ━━▁▂▃▃▃━━██━██━━        bars: on (treatment), orange where worse; line: off (control)
//!        0   ██████ ██ ██
//! rollout    ▁▁▁▃▃▃▆▆▆      25 % 0 to 100 %
//!  events    ▲      ▼  ◆         decisions and what people did
//!        -4 min   -2 min    now
//! ```

use ratatui::layout::Rect;

use crate::tui::{
    Model, figures,
    fleet_view::FleetView,
    pen::{Align, Pen},
    spark::{self, ChartBaseline, Metric},
    theme::LEVELS,
    view::entry::Kind,
};
use knightwatch_core::telemetry::{Millis, Verdict};
use knightwatch_engine::backend::{ArmPoint, FlagView, Point};

/// Columns for the labels of the axes.
const LABEL: u16 = 8;
/// Fewest lines for both charts side by side, the rollout with the events on it, and the time axis.
pub(super) const MIN: u16 = 5;
/// Below so many lines the charts stand side by side, where there are columns for it.
const LOW: u16 = 12;
/// Fewest columns for two charts side by side.
const BROAD: u16 = 70;
/// From so many lines on the rollout's strip has two.
const TALL: u16 = 20;
/// Columns an interval takes at most, while the history is short.
const WIDEST: usize = 4;
/// Intervals in the recent window of the evidence.
const RECENT: u64 = 6;
/// The charts have room for so many intervals at least: a moving axis would hide what changed.
const MIN_SPAN: usize = 30;

/// Both charts over each other, or side by side where the screen is low.
pub(super) fn draw(model: &Model, fleet: &FleetView, flag: &FlagView, area: Rect, pen: &mut Pen<'_>) {
    let Some(place) = fleet.place(&flag.spec.key) else { return };
    let baseline = ChartBaseline::of(flag, &fleet.history[place]);
    let recent = Millis(fleet.controller.now.0.saturating_sub(RECENT.saturating_mul(fleet.interval.0)));
    if area.height < LOW && area.width >= BROAD {
        let half = area.width / 2;
        let left = Rect { width: half - 1, ..area };
        let right = Rect { x: area.x + half, width: area.width - half, ..area };
        for (metric, part) in [(Metric::P99, left), (Metric::Errors, right)] {
            let time = Axis::new(fleet, place, part.width);
            let [chart, strip, axis] = stack(part, [part.height - 2, 1, 1]);
            Chart { flag, metric, baseline, recent, time: &time }.draw(chart, pen);
            // There is one line for both: what happened is written over the rollout.
            rollout(flag, &time, strip, pen);
            marks(model, fleet, flag, &time, strip, pen);
            draw_axis(fleet, &time, axis, pen);
        }
        return;
    }
    let time = Axis::new(fleet, place, area.width);
    let thickness = if area.height >= TALL { 2 } else { 1 };
    let both = area.height.saturating_sub(2 + thickness);
    let [p99, errors, strip, happened, axis] = stack(area, [both - both / 2, both / 2, thickness, 1, 1]);
    Chart { flag, metric: Metric::P99, baseline, recent, time: &time }.draw(p99, pen);
    Chart { flag, metric: Metric::Errors, baseline, recent, time: &time }.draw(errors, pen);
    rollout(flag, &time, strip, pen);
    pen.cell(area.x, happened.y, LABEL - 1, Align::Right, "events", pen.theme.dim());
    marks(model, fleet, flag, &time, happened, pen);
    draw_axis(fleet, &time, axis, pen);
}

/// Parts of an area one below the other.
fn stack<const N: usize>(area: Rect, heights: [u16; N]) -> [Rect; N] {
    let mut y = area.y;
    heights.map(|height| {
        let part = Rect { y, height, ..area };
        y += height;
        part
    })
}

/// The time axis: the newest interval at the right, each some columns wide.
struct Axis<'a> {
    slots: Vec<Option<&'a Point>>,
    newest: u64,
    /// Columns of an interval.
    wide: u16,
}

impl<'a> Axis<'a> {
    fn new(fleet: &'a FleetView, place: usize, width: u16) -> Self {
        let columns = usize::from(width.saturating_sub(LABEL));
        let history = &fleet.history[place];
        let known = history.len().max(MIN_SPAN);
        let wide = (1..=WIDEST).rev().find(|wide| known * wide <= columns).unwrap_or(1);
        let newest = fleet.interval_number(history.back().map_or(fleet.controller.now, |point| point.at));
        let mut axis =
            Self { slots: vec![None; columns / wide], newest, wide: u16::try_from(wide).unwrap_or(1) };
        for point in history.iter().rev() {
            let Some(slot) = axis.slot(fleet, point.at) else { break };
            axis.slots[slot] = Some(point);
        }
        axis
    }

    /// The slot of a moment; `None` where it is before the first. What came after the last point, with the interval
    /// still open, counts to it.
    fn slot(&self, fleet: &FleetView, at: Millis) -> Option<usize> {
        let back = usize::try_from(self.newest.saturating_sub(fleet.interval_number(at))).ok()?;
        self.slots.len().checked_sub(back + 1)
    }

    /// First column of a slot. The slots end at the area's right.
    fn column(&self, slot: usize, area: Rect) -> u16 {
        let back = u16::try_from(self.slots.len() - slot).unwrap_or(u16::MAX);
        area.right().saturating_sub(back.saturating_mul(self.wide))
    }

    /// What is in each slot, with its columns.
    fn points(&self, area: Rect) -> impl Iterator<Item = (std::ops::Range<u16>, &'a Point)> {
        self.slots.iter().enumerate().filter_map(move |(slot, point)| {
            let x = self.column(slot, area);
            Some((x..x + self.wide, (*point)?))
        })
    }
}

fn value(arm: &ArmPoint, metric: Metric) -> Option<f64> {
    match metric {
        Metric::P99 => arm.p99_ms,
        Metric::Errors => arm.error_rate,
    }
    .map(f64::from)
    .filter(|value| value.is_finite() && *value >= 0.0)
}

/// One metric of both arms.
struct Chart<'a> {
    flag: &'a FlagView,
    metric: Metric,
    baseline: ChartBaseline,
    /// What is after this is in the recent window of the evidence.
    recent: Millis,
    time: &'a Axis<'a>,
}

impl Chart<'_> {
    fn recorded(&self) -> Option<f64> {
        match self.metric {
            Metric::P99 => self.baseline.p99_ms,
            Metric::Errors => self.baseline.error_rate,
        }
        .map(f64::from)
    }

    /// The next of 1, 2, 5, 10, 20, 50 ... at or above the largest value: the axis rarely changes.
    fn top(&self) -> f64 {
        let least = if self.metric == Metric::P99 { 10.0 } else { 0.005 };
        let points = self.time.slots.iter().flatten();
        let largest = points
            .flat_map(|point| [value(&point.treatment, self.metric), value(&point.control, self.metric)])
            .chain([self.recorded()])
            .flatten()
            .fold(least, f64::max);
        let decade = libm::pow(10.0, libm::floor(libm::log10(largest)));
        let nice = [1.0, 2.0, 3.0, 5.0, 7.0, 10.0];
        let nice = nice.into_iter().map(|step| step * decade).find(|step| *step >= largest * 0.999);
        let nice = nice.unwrap_or(largest);
        if self.metric == Metric::Errors { nice.min(1.0) } else { nice }
    }

    /// Whether treatment is worse in an interval: by more than noise, or at all where the evidence on the recent
    /// intervals says so.
    fn is_worse(&self, point: &Point) -> bool {
        let evidence = match self.metric {
            Metric::P99 => &self.flag.report.p99,
            Metric::Errors => &self.flag.report.errors,
        };
        let shown = point.at > self.recent && self.flag.verdict == Verdict::Regressed && evidence.regressed();
        let control = value(&point.control, self.metric).or(self.recorded());
        let higher = value(&point.treatment, self.metric).zip(control).is_some_and(|(on, off)| on > off);
        shown && higher || spark::is_worse(point, self.metric, self.baseline)
    }

    fn text(&self, value: Option<f64>) -> String {
        match self.metric {
            Metric::P99 => figures::milliseconds(value),
            Metric::Errors => figures::percent(value),
        }
    }

    fn draw(&self, area: Rect, pen: &mut Pen<'_>) {
        self.title(area, pen);
        let area = Rect { y: area.y + 1, height: area.height.saturating_sub(1), ..area };
        if area.height == 0 {
            return;
        }
        let top = self.top();
        for (columns, point) in self.time.points(area) {
            self.interval(point, columns, top, area, pen);
        }
        let dim = pen.theme.dim();
        let bottom = area.bottom() - 1;
        pen.cell(area.x, area.y, LABEL - 1, Align::Right, &self.text(Some(top)), dim);
        if area.height > 1 {
            pen.cell(area.x, bottom, LABEL - 1, Align::Right, "0", dim);
        }
        // A label in the middle only where a line stands for exactly half.
        if area.height >= 5 && area.height.is_multiple_of(2) {
            let middle = bottom + 1 - area.height / 2;
            pen.cell(area.x, middle, LABEL - 1, Align::Right, &self.text(Some(top / 2.0)), dim);
        }
    }

    /// What is drawn how, with the current values: the legend.
    fn title(&self, area: Rect, pen: &mut Pen<'_>) {
        let theme = pen.theme;
        let name = if self.metric == Metric::P99 { "P99 ms" } else { "errors %" };
        let (on, off) = (self.flag.treatment(), self.flag.control());
        let (on, off) = match self.metric {
            Metric::P99 => (on.p99_ms, off.p99_ms),
            Metric::Errors => (on.error_rate(), off.error_rate()),
        };
        let recorded = self.flag.report.control_is_baseline;
        let off_name = if recorded { "baseline" } else { "off" };
        let line = theme.control_line(recorded);
        let (on, off) = (self.text(on), self.text(off));
        let (plain, dim) = (theme.plain(), theme.dim());
        let spans = [
            (name, theme.strong()),
            ("  ", dim),
            (theme.level(LEVELS), theme.bar(false)),
            (" on ", dim),
            (&on, plain),
            ("  ", dim),
            (line, theme.strong()),
            (" ", dim),
            (off_name, dim),
            (" ", dim),
            (&off, plain),
        ];
        pen.spans(area.x, area.y, area.right(), &spans);
    }

    fn interval(
        &self,
        point: &Point,
        columns: std::ops::Range<u16>,
        top: f64,
        area: Rect,
        pen: &mut Pen<'_>,
    ) {
        let theme = pen.theme;
        let bottom = area.bottom() - 1;
        let treatment = value(&point.treatment, self.metric);
        let measured = value(&point.control, self.metric);
        let control = measured.or(self.recorded().filter(|_| treatment.is_some()));
        if treatment.is_none() && control.is_none() {
            return pen.put(columns.start, bottom, theme.missing(), theme.dim());
        }
        let worse = self.is_worse(point);
        let eighths = treatment.map_or(0, |value| filled(value / top, area.height));
        for line in 0..area.height {
            let here = eighths.saturating_sub(usize::from(line) * LEVELS);
            if here > 0 {
                pen.fill(columns.start, bottom - line, self.time.wide, theme.level(here), theme.bar(worse));
            }
        }
        let Some(control) = control else { return };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "within the chart's few lines"
        )]
        let line = ((control / top * f64::from(area.height)) as u16).min(area.height - 1);
        let covered = eighths >= (usize::from(line) + 1) * LEVELS;
        let style = if covered { theme.across(worse) } else { theme.line() };
        pen.fill(columns.start, bottom - line, self.time.wide, theme.control_line(measured.is_none()), style);
    }
}

/// Eighths of a line that a share of the height fills; at least one.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within a few lines")]
fn filled(share: f64, height: u16) -> usize {
    let full = f64::from(height) * f64::from(u8::try_from(LEVELS).unwrap_or(8));
    (share.clamp(0.0, 1.0) * full).round().max(1.0) as usize
}

/// The rollout over time, 0 to 100 %.
fn rollout(flag: &FlagView, time: &Axis<'_>, area: Rect, pen: &mut Pen<'_>) {
    let theme = pen.theme;
    let now = flag.rollout.to_string();
    pen.cell(area.x, area.y, LABEL - 1, Align::Right, "rollout", theme.dim());
    if area.height > 1 {
        pen.cell(area.x, area.y + 1, LABEL - 1, Align::Right, &now, theme.plain());
    }
    for (columns, point) in time.points(area) {
        if point.rollout.is_zero() {
            continue;
        }
        let eighths = filled(point.rollout.share(), area.height);
        for line in 0..area.height {
            let here = eighths.saturating_sub(usize::from(line) * LEVELS);
            if here > 0 {
                let y = area.bottom() - 1 - line;
                pen.fill(columns.start, y, time.wide, theme.level(here), theme.plain());
            }
        }
    }
}

/// What happened, on the time axis. What people did covers what the agent did in the same interval.
fn marks(model: &Model, fleet: &FleetView, flag: &FlagView, time: &Axis<'_>, area: Rect, pen: &mut Pen<'_>) {
    let mut marks: Vec<_> = model
        .entries_of(Some(&flag.spec.key))
        .filter_map(|entry| Some((Kind::of(&entry.event, &entry.actor)?, time.slot(fleet, entry.at)?)))
        .collect();
    marks.sort_unstable();
    for (kind, slot) in marks {
        let (symbol, style) = kind.symbol(pen);
        pen.put(time.column(slot, area), area.y, symbol, style);
    }
}

/// Columns from one label of the time axis to the next, at least.
const LABELLED: u16 = 20;

/// The time axis: how long ago, at the left end, in between where there is room, and now.
fn draw_axis(fleet: &FleetView, time: &Axis<'_>, area: Rect, pen: &mut Pen<'_>) {
    let dim = pen.theme.dim();
    let slots = time.slots.len();
    let start = time.column(0, area);
    let parts = [4_usize, 2, 1];
    let room = area.right().saturating_sub(start);
    let parts = parts.into_iter().find(|parts| room / u16::try_from(*parts).unwrap_or(1) >= LABELLED);
    let parts = parts.unwrap_or(1);
    for part in 0..parts {
        let slot = slots * part / parts;
        let span = Millis(fleet.interval.0.saturating_mul(u64::try_from(slots - slot).unwrap_or(0)));
        pen.text(time.column(slot, area), area.y, room, &format!("-{}", brief(span)), dim);
    }
    pen.cell(start, area.y, room, Align::Right, "now", dim);
}

/// A span in minutes and seconds, without parts that are 0.
fn brief(span: Millis) -> String {
    let seconds = span.0 / 1_000;
    match (seconds / 60, seconds % 60) {
        (0, seconds) => format!("{seconds} s"),
        (minutes, 0) => format!("{minutes} min"),
        (minutes, seconds) => format!("{minutes}:{seconds:02} min"),
    }
}
