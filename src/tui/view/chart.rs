//! Charts of both arms over time: treatment as bars, control as a line, one column an interval, the newest at the right.
//!
//! ```text
//! 500 ms          ▂▂ █▇
//!        ──▁▂▃▃▃──██─██──      bars: on (treatment); line: off (control)
//! P99  0   ██████ ██ ██
//! events   ▲      ▼  ◆         decisions and what people did
//!        -2 min          now
//! ```

use ratatui::{layout::Rect, style::Modifier};

use crate::{
    backend::{ArmPoint, FlagView, Point},
    control::{Action, Actor, Decision, Event, Outcome},
    telemetry::Millis,
    tui::{
        Model, figures,
        pen::{Align, Pen},
        spark::Metric,
        theme::LEVELS,
        world::World,
    },
};

/// Columns for the labels of the axis.
const LABEL: u16 = 9;
/// Fewest lines for two charts, the events and the time axis.
pub(super) const LEAST: u16 = 6;

/// Below so many lines the charts stand side by side, where there are columns for it.
const LOW: u16 = 12;
/// Fewest columns for two charts side by side.
const BROAD: u16 = 70;

/// Both charts over each other with the events between them, or side by side where the screen is low.
pub(super) fn draw(model: &Model, world: &World, flag: &FlagView, area: Rect, pen: &mut Pen<'_>) {
    let Some(place) = world.place(&flag.spec.key) else { return };
    if area.height < LOW && area.width >= BROAD {
        let half = area.width / 2;
        let rows = area.height - 2;
        for (metric, part) in [
            (Metric::P99, Rect { width: half - 1, ..area }),
            (Metric::Errors, Rect { x: area.x + half, width: area.width - half, ..area }),
        ] {
            let time = Axis::new(world, place, part.width);
            chart(&time.slots, metric, regressed(flag, metric), Rect { height: rows, ..part }, pen);
            events(model, world, flag, &time, Rect { y: part.y + rows, height: 1, ..part }, pen);
            draw_axis(world, &time, Rect { y: part.y + rows + 1, height: 1, ..part }, pen);
        }
        return;
    }
    let time = Axis::new(world, place, area.width);
    let lines = area.height.saturating_sub(2);
    let p99 = Rect { height: lines - lines / 2, ..area };
    chart(&time.slots, Metric::P99, regressed(flag, Metric::P99), p99, pen);
    events(model, world, flag, &time, Rect { y: p99.bottom(), height: 1, ..area }, pen);
    let errors = Rect { y: p99.bottom() + 1, height: lines / 2, ..area };
    chart(&time.slots, Metric::Errors, regressed(flag, Metric::Errors), errors, pen);
    draw_axis(world, &time, Rect { y: errors.bottom(), height: 1, ..area }, pen);
}

/// The time axis: one column an interval, the newest at the right.
struct Axis<'a> {
    slots: Vec<Option<&'a Point>>,
    newest: u64,
}

impl<'a> Axis<'a> {
    fn new(world: &'a World, place: usize, width: u16) -> Self {
        let columns = usize::from(width.saturating_sub(LABEL));
        let history = &world.history[place];
        let newest = world.interval_number(history.back().map_or(world.now, |point| point.at));
        let mut axis = Self { slots: vec![None; columns], newest };
        for point in history.iter().rev() {
            let Some(slot) = axis.slot(world, point.at) else { break };
            axis.slots[slot] = Some(point);
        }
        axis
    }

    /// The column of a moment; `None` where it is before the first. What came after the last point, with the interval
    /// still open, counts to it.
    fn slot(&self, world: &World, at: Millis) -> Option<usize> {
        let back = usize::try_from(self.newest.saturating_sub(world.interval_number(at))).ok()?;
        self.slots.len().checked_sub(back + 1)
    }
}

fn events(model: &Model, world: &World, flag: &FlagView, time: &Axis<'_>, area: Rect, pen: &mut Pen<'_>) {
    pen.cell(area.x, area.y, LABEL - 1, Align::Right, "events", pen.theme.dim());
    // What people did is drawn last and covers what the agent did in the same interval.
    let mut marks: Vec<_> = model
        .entries_of(Some(&flag.spec.key))
        .filter_map(|entry| Some((rank(&entry.event, &entry.actor)?, time.slot(world, entry.at)?)))
        .collect();
    marks.sort_unstable();
    for (rank, slot) in marks {
        let (symbol, style) = symbol(rank, pen);
        pen.put(area.x + LABEL + u16::try_from(slot).unwrap_or(0), area.y, symbol, style);
    }
}

fn regressed(flag: &FlagView, metric: Metric) -> bool {
    let evidence = if metric == Metric::P99 { &flag.report.p99 } else { &flag.report.errors };
    flag.verdict == crate::telemetry::Verdict::Regressed
        && evidence.harm_needed > 0.0
        && evidence.harm >= evidence.harm_needed
}

fn value(arm: &ArmPoint, metric: Metric) -> Option<f64> {
    match metric {
        Metric::P99 => arm.p99_ms,
        Metric::Errors => arm.error_rate,
    }
    .map(f64::from)
    .filter(|value| value.is_finite() && *value >= 0.0)
}

/// The next of 1, 2, 5, 10, 20, 50 ... at or above the largest value: the axis rarely changes.
fn top(slots: &[Option<&Point>], metric: Metric) -> f64 {
    let least = if metric == Metric::P99 { 10.0 } else { 0.01 };
    let largest = slots
        .iter()
        .flatten()
        .flat_map(|point| [value(&point.treatment, metric), value(&point.control, metric)])
        .flatten()
        .fold(least, f64::max);
    let decade = libm::pow(10.0, libm::floor(libm::log10(largest)));
    let nice =
        [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * decade).find(|step| *step >= largest * 0.999);
    let nice = nice.unwrap_or(largest);
    if metric == Metric::Errors { nice.min(1.0) } else { nice }
}

fn chart(slots: &[Option<&Point>], metric: Metric, regressed: bool, area: Rect, pen: &mut Pen<'_>) {
    if area.height == 0 {
        return;
    }
    let theme = pen.theme;
    let top = top(slots, metric);
    let (high, zero) = match metric {
        Metric::P99 => (format!("{} ms", figures::milliseconds(Some(top))), "P99  0"),
        Metric::Errors => (format!("{} %", figures::percent(Some(top))), "errors 0"),
    };
    let bottom = area.bottom() - 1;
    let bar = if regressed { theme.abnormal() } else { theme.dim() };
    let full = f64::from(area.height) * f64::from(u8::try_from(LEVELS).unwrap_or(8));
    for (x, slot) in (area.x + LABEL..).zip(slots) {
        let Some(point) = slot else { continue };
        let treatment = value(&point.treatment, metric);
        let control = value(&point.control, metric);
        if treatment.is_none() && control.is_none() {
            pen.put(x, bottom, theme.missing(), theme.dim());
            continue;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "within the chart's few lines"
        )]
        let eighths = treatment.map(|value| ((value / top).min(1.0) * full).round().max(1.0) as usize);
        for line in 0..area.height {
            let here = eighths.unwrap_or(0).saturating_sub(usize::from(line) * LEVELS);
            if here > 0 {
                pen.put(x, bottom - line, theme.level(here), bar);
            }
        }
        if let Some(control) = control {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "within the chart's few lines"
            )]
            let line = ((control / top * f64::from(area.height)) as u16).min(area.height - 1);
            let covered = eighths.unwrap_or(0) >= (usize::from(line) + 1) * LEVELS;
            // On a full bar the line is cut out of it; a partly filled cell shows the line.
            let style = if covered { bar.add_modifier(Modifier::REVERSED) } else { theme.strong() };
            pen.put(x, bottom - line, theme.rule(), style);
        }
    }
    if area.height > 1 {
        pen.cell(area.x, area.y, LABEL - 1, Align::Right, &high, theme.dim());
        pen.cell(area.x, bottom, LABEL - 1, Align::Right, zero, theme.dim());
    } else {
        pen.cell(area.x, bottom, LABEL - 1, Align::Right, &high, theme.dim());
    }
}

/// What an entry is on the time axis: 0 veto, 1 raise, 2 lower, 3 a person.
fn rank(event: &Event, actor: &Actor) -> Option<u8> {
    if matches!(actor, Actor::Person(_)) {
        return Some(3);
    }
    match event {
        Event::Decided(Decision { outcome: Outcome::Vetoed, .. }) => Some(0),
        Event::Decided(Decision { action: Action::RaiseTo(_), .. }) | Event::Started { .. } => Some(1),
        Event::Decided(Decision { action: Action::RollBack | Action::StepDown, .. })
        | Event::Paused { .. } => Some(2),
        _ => None,
    }
}

fn symbol(rank: u8, pen: &Pen<'_>) -> (&'static str, ratatui::style::Style) {
    let theme = pen.theme;
    match rank {
        0 => (theme.veto(), theme.dim()),
        1 => (theme.up(), theme.plain()),
        2 => (theme.down(), theme.abnormal()),
        _ => (theme.by_person(), theme.person()),
    }
}

fn draw_axis(world: &World, time: &Axis<'_>, area: Rect, pen: &mut Pen<'_>) {
    let dim = pen.theme.dim();
    let x = area.x + LABEL;
    let room = area.right().saturating_sub(x);
    let span = Millis(world.interval.0.saturating_mul(u64::try_from(time.slots.len()).unwrap_or(0)));
    let start = pen.text(x, area.y, room, &format!("-{}", figures::coarse(span)), dim);
    let (up, down, person, veto) =
        (pen.theme.up(), pen.theme.down(), pen.theme.by_person(), pen.theme.veto());
    let legend = format!("bars on, line off; {up} raise {down} lower {veto} veto {person} person");
    let width = pen.width_of(&legend);
    if width + 10 < area.right().saturating_sub(start) {
        pen.text(start + (area.right() - start - width) / 2, area.y, width, &legend, dim);
    }
    pen.cell(x, area.y, room, Align::Right, "now", dim);
}
