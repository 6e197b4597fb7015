//! The fleet: a row a flag.
//!
//! ```text
//!   flag                 phase       rollout       P99 on/off ms  P99 on:off  err on/off %  errors   verdict ...
//! ▸ new-checkout-ui      ramping     ━━━╸──  25 %    210   200    ▄▄▅▄▃ ▄▄     0.41 0.39    ▃▃▂ ▃▃   healthy ...
//!   power-peg            rolled back ──────   0 %      –   180    ▄▄▆██ ··        – 0.20    ▂▃▆▇ ·   –       ...
//! ────────────────────────────────────────────────────────────────────────────────────────────────────────────────
//! new-checkout-ui, checkout: the new checkout page. At 25 % for 4 min, telemetry 3 s old
//! shield: vetoed 12 times: only healthy may be raised, the evidence is insufficient after 82 treatment requests
//! ```

use std::fmt::Write as _;

use ratatui::{layout::Rect, style::Style};

use crate::{
    backend::FlagView,
    control::Phase,
    telemetry::Verdict,
    tui::{
        Model, figures,
        model::Sort,
        pen::{Align, Pen},
        spark::{self, Mark, Metric},
        world::{World, unit},
    },
};

/// What a column shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Show {
    Key,
    Phase,
    Gauge,
    Rollout,
    P99,
    P99Line,
    Errors,
    ErrorLine,
    Verdict,
    Last,
    Ago,
}

/// A column: its narrowest and its widest form, and when it drops out.
struct Column {
    show: Show,
    title: &'static str,
    align: Align,
    narrow: u16,
    wide: u16,
    /// Columns are taken in this order as long as there is room: the highest number drops out first.
    rank: u8,
}

const COLUMNS: [Column; 11] = [
    Column { show: Show::Key, title: "flag", align: Align::Left, narrow: 17, wide: 34, rank: 0 },
    Column { show: Show::Phase, title: "phase", align: Align::Left, narrow: 11, wide: 11, rank: 3 },
    Column { show: Show::Gauge, title: "", align: Align::Left, narrow: 6, wide: 12, rank: 10 },
    Column { show: Show::Rollout, title: "rollout", align: Align::Right, narrow: 7, wide: 7, rank: 1 },
    Column { show: Show::P99, title: "P99 on/off ms", align: Align::Left, narrow: 13, wide: 13, rank: 4 },
    Column { show: Show::P99Line, title: "P99 on:off", align: Align::Left, narrow: 10, wide: 40, rank: 7 },
    Column { show: Show::Errors, title: "err on/off %", align: Align::Left, narrow: 12, wide: 12, rank: 5 },
    Column { show: Show::ErrorLine, title: "errors on", align: Align::Left, narrow: 9, wide: 40, rank: 8 },
    Column { show: Show::Verdict, title: "verdict", align: Align::Left, narrow: 12, wide: 13, rank: 2 },
    Column { show: Show::Last, title: "last action", align: Align::Left, narrow: 18, wide: 34, rank: 9 },
    Column { show: Show::Ago, title: "ago", align: Align::Right, narrow: 7, wide: 7, rank: 6 },
];

/// From so many columns on there are two blanks between them instead of one.
const AIRY: u16 = 110;

fn gap(width: u16) -> u16 {
    if width >= AIRY { 2 } else { 1 }
}

/// Columns before the first: the cursor's mark and a space.
const MARGIN: u16 = 2;
/// Lines below the rows that say more of the selected flag, where there is room.
const DETAIL: u16 = 3;
/// From so many lines on there is room for them.
const TALL: u16 = 10;

fn detail_rows(body: Rect) -> u16 {
    if body.height >= TALL { DETAIL } else { 0 }
}

/// Rows for flags.
pub(super) fn rows(body: Rect) -> u16 {
    body.height.saturating_sub(1 + detail_rows(body)).max(1)
}

/// Which columns there is room for, from left to right, with their widths.
fn columns(width: u16) -> Vec<(&'static Column, u16)> {
    let mut by_rank: Vec<_> = COLUMNS.iter().collect();
    by_rank.sort_by_key(|column| column.rank);
    let mut left = width.saturating_sub(MARGIN);
    let mut taken = Vec::new();
    for column in by_rank {
        let needs = column.narrow + if taken.is_empty() { 0 } else { gap(width) };
        if needs > left {
            break;
        }
        left -= needs;
        taken.push(column.show);
    }
    let mut columns: Vec<_> = COLUMNS
        .iter()
        .filter(|column| taken.contains(&column.show))
        .map(|column| (column, column.narrow))
        .collect();
    // What is left goes to those that can use it, a column at a time and in turn.
    while left > 0 {
        let mut grown = false;
        for (column, width) in &mut columns {
            if left > 0 && *width < column.wide {
                *width += 1;
                left -= 1;
                grown = true;
            }
        }
        if !grown {
            break;
        }
    }
    columns
}

pub(super) fn draw(model: &Model, area: Rect, pen: &mut Pen<'_>) {
    let theme = pen.theme;
    let Some(world) = &model.world else {
        pen.text(area.x, area.y, area.width, "no data from the backend yet", theme.dim());
        return;
    };
    let columns = columns(area.width);
    let mut x = area.x + MARGIN;
    for (column, width) in &columns {
        let sorted = match model.sort {
            Sort::Name => column.show == Show::Key,
            Sort::Rollout => column.show == Show::Rollout,
            Sort::Phase => column.show == Show::Phase,
            Sort::Attention => false,
        };
        let style = if sorted { theme.strong() } else { theme.dim() };
        pen.cell(x, area.y, *width, column.align, column.title, style);
        x += width + gap(area.width);
    }
    if world.flags.is_empty() {
        pen.text(area.x + MARGIN, area.y + 1, area.width, "no flags", theme.dim());
        return;
    }
    let rows = usize::from(rows(area));
    let selected = model.selected_row();
    let first = super::first_page_row(selected.unwrap_or(0), rows);
    let shown = model.order.iter().skip(first).take(rows);
    for (line, place) in (area.y + 1..).zip(shown) {
        let place = *place as usize;
        let chosen = selected.is_some_and(|row| model.order.get(row).map(|p| *p as usize) == Some(place));
        row(model, world, place, chosen, &columns, Rect { y: line, height: 1, ..area }, pen);
    }
    if detail_rows(area) > 0
        && let Some(flag) = model.selected.as_ref().and_then(|key| world.flag(key))
    {
        detail(world, flag, Rect { y: area.bottom() - DETAIL, height: DETAIL, ..area }, pen);
    }
}

fn row(
    model: &Model,
    world: &World,
    place: usize,
    chosen: bool,
    columns: &[(&Column, u16)],
    area: Rect,
    pen: &mut Pen<'_>,
) {
    let theme = pen.theme;
    let flag = &world.flags[place];
    let old = super::is_stale(model) || world.is_old(flag);
    let value = if old { theme.dim() } else { theme.plain() };
    if chosen {
        pen.text(area.x, area.y, 1, theme.marker(), theme.strong());
    }
    let mut x = area.x + MARGIN;
    for (column, width) in columns {
        let width = *width;
        let y = area.y;
        match column.show {
            Show::Key => {
                let style = if chosen { theme.cursor() } else { theme.plain() };
                pen.text(x, y, width, flag.spec.key.as_str(), style);
            }
            Show::Phase => {
                let (text, style) = phase(flag, world, pen);
                pen.text(x, y, width, &text, style);
            }
            Show::Gauge => pen.gauge(x, y, width, flag.rollout.share(), value),
            Show::Rollout => pen.cell(x, y, width, column.align, &flag.rollout.to_string(), value),
            Show::P99 => pair(
                (x, y, width),
                (
                    &figures::milliseconds(flag.treatment().p99_ms),
                    worse(flag, flag.report.p99.harm, flag.report.p99.harm_needed, value, pen),
                ),
                (&figures::milliseconds(flag.control().p99_ms), value),
                pen,
            ),
            Show::Errors => pair(
                (x, y, width),
                (
                    &figures::percent_short(flag.treatment().error_rate()),
                    worse(flag, flag.report.errors.harm, flag.report.errors.harm_needed, value, pen),
                ),
                (&figures::percent_short(flag.control().error_rate()), value),
                pen,
            ),
            Show::P99Line => line(world, place, (x, y, width), Metric::P99, old, pen),
            Show::ErrorLine => line(world, place, (x, y, width), Metric::Errors, old, pen),
            Show::Verdict => {
                let (text, style) = verdict(flag, pen);
                pen.text(x, y, width, &text, style);
            }
            Show::Last => {
                if let Some(last) = &flag.last {
                    let person = matches!(last.by, crate::control::Actor::Person(_));
                    let style = if person { theme.person() } else { theme.dim() };
                    pen.text(x, y, width, &format!("{}: {}", last.by, last.what), style);
                } else {
                    pen.text(x, y, width, figures::NONE, theme.dim());
                }
            }
            Show::Ago => {
                let ago = flag.last.as_ref().map(|last| figures::ago(world.now, last.at));
                pen.cell(x, y, width, column.align, ago.as_deref().unwrap_or(figures::NONE), theme.plain());
            }
        }
        x += width + gap(area.width);
    }
}

/// Treatment's and control's value side by side: `210 200`. Both in the same style unless one is abnormal: a change of
/// colour costs a slow link more than the number itself.
fn pair(
    (x, y, width): (u16, u16, u16),
    (on, style): (&str, Style),
    (off, off_style): (&str, Style),
    pen: &mut Pen<'_>,
) {
    let half = width / 2;
    pen.cell(x, y, half, Align::Right, on, style);
    pen.text(x + half + 1, y, width - half - 1, off, off_style);
}

/// A value is abnormal when the evidence on it says so, not when it happens to be high.
fn worse(flag: &FlagView, harm: f64, needed: f64, value: Style, pen: &Pen<'_>) -> Style {
    let regressed = flag.verdict == Verdict::Regressed && needed > 0.0 && harm >= needed;
    if regressed { pen.theme.abnormal() } else { value }
}

fn line(
    world: &World,
    place: usize,
    (x, y, width): (u16, u16, u16),
    metric: Metric,
    old: bool,
    pen: &mut Pen<'_>,
) {
    let theme = pen.theme;
    let style = if old { theme.dim() } else { theme.plain() };
    let Some(history) = world.history.get(place) else { return };
    for (column, mark) in (x..).zip(spark::sweep(history, world.interval, width, metric)) {
        match mark {
            Mark::Empty => {}
            Mark::Missing => pen.put(column, y, theme.missing(), theme.plain()),
            Mark::Bar(level) => pen.put(column, y, theme.level(level), style),
        }
    }
}

/// The phase, with a mark for a person's hold and one for a guard that is off.
pub(super) fn phase(flag: &FlagView, world: &World, pen: &Pen<'_>) -> (String, Style) {
    let theme = pen.theme;
    let held = flag.hold.as_ref().is_some_and(|hold| hold.until > world.now);
    let unguarded = flag.guard_off_until.is_some_and(|until| until > world.now);
    let mut text = flag.phase.to_string();
    if held {
        text.push(' ');
        text.push_str(theme.by_person());
    }
    if unguarded {
        text.push('!');
    }
    let style = match flag.phase {
        _ if unguarded => theme.abnormal(),
        Phase::RolledBack | Phase::Killed => theme.abnormal(),
        _ if held => theme.person(),
        Phase::Paused => theme.strong(),
        Phase::Ramping | Phase::Complete => theme.plain(),
        Phase::Idle => theme.dim(),
    };
    (text, style)
}

/// The verdict in a word; without treatment there is nothing to judge.
pub(super) fn verdict(flag: &FlagView, pen: &Pen<'_>) -> (String, Style) {
    let theme = pen.theme;
    let assumed = if flag.assumed { "~" } else { "" };
    match flag.verdict {
        Verdict::Lost => {
            let age = flag.report.age.map_or_else(|| "no data".to_owned(), figures::coarse);
            (format!("lost {age}"), theme.abnormal())
        }
        Verdict::Regressed => (format!("{assumed}regressed"), theme.abnormal()),
        _ if flag.rollout.is_zero() => (figures::NONE.to_owned(), theme.dim()),
        Verdict::Healthy => (format!("{assumed}healthy"), theme.plain()),
        Verdict::Insufficient => (format!("{assumed}insufficient"), theme.dim()),
    }
}

fn detail(world: &World, flag: &FlagView, area: Rect, pen: &mut Pen<'_>) {
    let theme = pen.theme;
    pen.fill(area.x, area.y, area.width, theme.rule(), theme.dim());
    let mut text = format!("{}, {}", flag.spec.key, flag.spec.service);
    if !flag.spec.description.is_empty() {
        text.push_str(": ");
        text.push_str(&flag.spec.description);
    }
    let mut facts = format!("at {} for {}", flag.rollout, figures::ago(world.now, flag.changed_at));
    // Writing to a String cannot fail.
    let _ = match flag.report.age {
        Some(age) => write!(facts, ", telemetry {age} old"),
        None => write!(facts, ", no telemetry yet"),
    };
    if flag.assumed {
        let _ = write!(facts, ", ~ {} are assumed", unit(flag));
    }
    let start = area.right().saturating_sub(pen.width_of(&facts)).max(area.x + area.width / 3);
    pen.text(area.x, area.y + 1, start.saturating_sub(area.x + 2), &text, theme.strong());
    pen.text(start, area.y + 1, area.right() - start, &facts, theme.dim());
    let why = why(flag);
    pen.text(area.x, area.y + 2, area.width, &why, theme.plain());
}

/// What the shield last did and why, as a sentence.
pub(super) fn why(flag: &FlagView) -> String {
    let Some(ruling) = &flag.ruling else { return "shield: nothing decided yet".to_owned() };
    let times = match ruling.repeated {
        0 | 1 => String::new(),
        times => format!(" {times} times in a row"),
    };
    format!("shield: {}{times}: {}", ruling.outcome, ruling.reason)
}
