//! The fleet: a row a flag.
//!
//! ```text
//!   flag            phase, verdict       rollout %  P99 on/off ms P99: ▄ as off ...  last action    by, ago
//! ▸ new-checkout-ui ramping healthy      ━━╸──   25   210   200   ▄▄▅▄▃ ▄▄           raised to 25 %  agent  4 min
//!   power-peg       rolled back          ─────    0     –   180   ▄▄▆██              rolled back ... shield 2 min
//! ────────────────────────────────────────────────────────────────────────────────────────────────────────────────
//! new-checkout-ui, checkout: the new checkout page. At 25 % for 4 min, telemetry 3 s old
//! agent: raise to 50 %, vetoed 3 times in a row by the shield: 40 s at 25 %, 1 min needed
//! ```

mod columns;
mod sort;

use std::{collections::HashSet, fmt::Write as _};

use ratatui::{layout::Rect, style::Style};

use columns::{BY, Column, GAUGED, MARGIN, PAIR_ERRORS, PAIR_P99, Show, columns, gap};
use sort::Sort;

use super::{Ability, Screen, ScreenId, ScreenRow, Section, Step};
use crate::tui::{
    Model,
    command::{CommandId, Scope, Spec, letter},
    figures,
    fleet_view::{FleetView, unit},
    pen::{Align, Pen, wrap},
    spark::{self, ChartBaseline, Mark, Metric},
    view::{as_of, entry, first_page_row, is_stale, standing},
};
use knightwatch_core::{
    control::{Actor, Event},
    flag::{FlagKey, Rollout},
    telemetry::Verdict,
};
use knightwatch_engine::backend::FlagView;

const ID: ScreenId = ScreenId("fleet");

/// The next sort order.
const SORT: u8 = 0;

pub(super) const ROW: ScreenRow = ScreenRow {
    offers: &[Ability::Flag, Ability::Alarms, Ability::Enter, Ability::Next, Ability::Copy, Ability::Pace],
    in_cycle: true,
    commands: &[Spec {
        id: CommandId::Own(ID, SORT),
        name: "",
        short: "sort",
        keys: &[letter('s')],
        screens: Scope::Only(ID),
        help: "sort by attention, name, rollout, phase",
    }],
    ..ScreenRow::new(ID, Section::Daily)
};

/// The fleet.
#[derive(Debug, Default)]
pub(in crate::tui) struct FleetScreen {
    sort: Sort,
    /// Positions in `fleet.flags`, as sorted. Updated on change, left alone while rows are held.
    order: Vec<u32>,
    /// The flag the cursor is on. By key: rows move, a key does not.
    selected: Option<FlagKey>,
}

impl FleetScreen {
    /// The row of the cursor.
    fn cursor(&self, fleet: &FleetView) -> Option<usize> {
        self.position(fleet, self.selected.as_ref()?)
    }

    /// The row of a flag.
    fn position(&self, fleet: &FleetView, flag: &FlagKey) -> Option<usize> {
        let place = fleet.place(flag)?;
        self.order.iter().position(|other| *other as usize == place)
    }

    fn sort_rows(&mut self, fleet: &FleetView) {
        let flags = &fleet.flags;
        let alive = |place: u32| flags.get(place as usize).is_some_and(|flag| flag.archived.is_none());
        // Archiving cannot be undone: as many are the same ones, once those that were archived are out.
        self.order.retain(|place| alive(*place));
        if self.order.len() != fleet.alive().count() {
            let places = 0..u32::try_from(flags.len()).unwrap_or(u32::MAX);
            self.order = places.filter(|place| alive(*place)).collect();
        }
        self.sort.sort(&mut self.order, fleet);
        let known = self
            .selected
            .as_ref()
            .and_then(|key| fleet.flag(key))
            .is_some_and(|flag| flag.archived.is_none());
        if !known {
            self.selected = self.order.first().map(|place| flags[*place as usize].spec.key.clone());
        }
    }
}

impl Screen for FleetScreen {
    fn row(&self) -> &'static ScreenRow {
        &ROW
    }

    fn page(&self, model: &Model, body: Rect) -> usize {
        usize::from(rows(model, body))
    }

    fn step(&mut self, step: Step, fleet: Option<&FleetView>, _last_scroll: usize) {
        let Some(fleet) = fleet else { return };
        let row = step.from(self.cursor(fleet).unwrap_or(0), self.order.len());
        let place = self.order.get(row).map(|place| *place as usize);
        self.selected = place.map(|place| fleet.flags[place].spec.key.clone());
    }

    fn run(&mut self, command: u8, fleet: Option<&FleetView>) -> Option<String> {
        if command != SORT {
            return None;
        }
        self.sort = self.sort.next();
        if let Some(fleet) = fleet {
            self.sort_rows(fleet);
        }
        Some(format!("sorted by {}", self.sort.name()))
    }

    fn flag(&self) -> Option<&FlagKey> {
        self.selected.as_ref()
    }

    fn enter(&self, _model: &Model) -> Option<FlagKey> {
        self.selected.clone()
    }

    fn copy(&self, _model: &Model) -> Option<String> {
        self.selected.as_ref().map(ToString::to_string)
    }

    fn refresh(&mut self, fleet: &FleetView, held: bool) {
        if !held || self.order.is_empty() {
            self.sort_rows(fleet);
        }
    }

    fn forget_positions(&mut self) {
        self.order.clear();
    }

    fn select(&mut self, flag: &FlagKey) {
        self.selected = Some(flag.clone());
    }

    fn neighbour(&self, fleet: &FleetView, flag: &FlagKey, by: isize) -> Option<FlagKey> {
        let rows = self.order.len();
        let row = self.position(fleet, flag)?;
        let row = if by > 0 { (row + 1) % rows } else { (row + rows - 1) % rows };
        Some(fleet.flags[self.order[row] as usize].spec.key.clone())
    }

    fn draw(&self, model: &Model, area: Rect, pen: &mut Pen<'_>) {
        let theme = pen.theme;
        let Some(fleet) = &model.fleet else {
            pen.text(area.x, area.y, area.width, "no data from the backend yet", theme.dim());
            return;
        };
        let columns = columns(area.width);
        let mut x = area.x + MARGIN;
        for (column, width) in &columns {
            let sorted = match self.sort {
                Sort::Name => column.show == Show::Key,
                Sort::Rollout => column.show == Show::Rollout,
                Sort::Phase => column.show == Show::State,
                Sort::Attention => false,
            };
            let style = if sorted { theme.strong() } else { theme.dim() };
            let title = column.title(*width).replace(MIDDLE, theme.level(spark::SAME));
            pen.cell(x, area.y, *width, column.align, &title, style);
            x += width + gap(area.width);
        }
        if self.order.is_empty() {
            pen.text(area.x + MARGIN, area.y + 1, area.width, "no flags", theme.dim());
            return;
        }
        let rows = usize::from(rows(model, area));
        let selected = self.cursor(fleet);
        let first = first_page_row(selected.unwrap_or(0), rows);
        let shown = self.order.iter().skip(first).take(rows);
        let unseen = fleet.unseen();
        for (line, place) in (area.y + 1..).zip(shown) {
            let place = *place as usize;
            let chosen = selected.is_some_and(|row| self.order.get(row).map(|p| *p as usize) == Some(place));
            let row = Row { model, fleet, place, chosen, unseen: &unseen };
            row.draw(&columns, Rect { y: line, height: 1, ..area }, pen);
        }
        let detail_rows = detail_rows(model, area);
        latest(model, fleet, Rect { height: area.height - detail_rows, ..area }, pen);
        if detail_rows > 0
            && let Some(flag) = self.selected.as_ref().and_then(|key| fleet.flag(key))
        {
            detail(
                model,
                fleet,
                flag,
                Rect { y: area.bottom() - detail_rows, height: detail_rows, ..area },
                pen,
            );
        }
    }
}

fn detail_rows(model: &Model, body: Rect) -> u16 {
    if body.height < TALL {
        return 0;
    }
    let flags = model.fleet.as_ref().map_or(0, |fleet| fleet.alive().count());
    let free = body.height.saturating_sub(1).saturating_sub(u16::try_from(flags).unwrap_or(u16::MAX));
    free.clamp(DETAIL, MAX_DETAIL)
}

/// Rows for flags.
fn rows(model: &Model, body: Rect) -> u16 {
    body.height.saturating_sub(1 + detail_rows(model, body)).max(1)
}

/// Fewest lines below the rows that say more of the selected flag: a rule, what it is, why it is where it is.
const DETAIL: u16 = 3;
/// Most lines for them, where no flag needs the room.
const MAX_DETAIL: u16 = 5;
/// From so many lines on there is room for them.
const TALL: u16 = 10;

/// Fewest and most lines for what was done last, with their title, where no flag needs the room.
const LATEST: std::ops::RangeInclusive<u16> = 5..=11;

/// What was done last in the whole fleet, below the rows. Alarms have their banner; vetoes and shadows change nothing.
fn latest(model: &Model, fleet: &FleetView, area: Rect, pen: &mut Pen<'_>) {
    let flags = u16::try_from(fleet.alive().count()).unwrap_or(u16::MAX);
    let free = area.height.saturating_sub(1).saturating_sub(flags).saturating_sub(1);
    if free < *LATEST.start() {
        return;
    }
    let height = free.min(*LATEST.end());
    let top = area.bottom() - height;
    pen.fill(area.x, top, area.width, pen.theme.rule(), pen.theme.dim());
    pen.text(area.x + 2, top, area.width, " latest ", pen.theme.dim());
    let entries = model.entries_of(None).filter(|entry| {
        !matches!(
            &entry.event,
            Event::AlarmRaised { .. }
                | Event::AlarmCleared { .. }
                | Event::Created { .. }
                | Event::Shadow { .. }
        ) && entry.event.kind() != "veto"
    });
    for (y, entry) in (top + 1..area.bottom()).zip(entries) {
        if let Some(kind) = entry::Kind::of(&entry.event, &entry.actor) {
            let (symbol, style) = kind.symbol(pen);
            pen.put(area.x, y, symbol, style);
        }
        entry::draw_entry(entry, false, Rect { y, height: 1, ..area }, pen);
    }
}

/// What stands for a sparkline's middle in a title, whatever the glyphs.
const MIDDLE: &str = "▄";

/// One flag's row.
struct Row<'a> {
    model: &'a Model,
    fleet: &'a FleetView,
    place: usize,
    chosen: bool,
    unseen: &'a HashSet<&'a FlagKey>,
}

impl Row<'_> {
    fn draw(&self, columns: &[(&Column, u16)], area: Rect, pen: &mut Pen<'_>) {
        let theme = pen.theme;
        let (fleet, flag, y) = (self.fleet, &self.fleet.flags[self.place], area.y);
        let old = is_stale(self.model) || fleet.is_old(flag);
        let value = if old { theme.dim() } else { theme.plain() };
        if self.chosen {
            pen.text(area.x, y, 1, theme.marker(), theme.strong());
        }
        if let Some((mark, style)) = standing::mark(flag, fleet, pen) {
            pen.text(area.x + 1, y, 1, mark, style);
        }
        let mut x = area.x + MARGIN;
        for (column, width) in columns {
            let place = (x, y, *width);
            match column.show {
                Show::Key => {
                    let style = if self.chosen { theme.cursor() } else { theme.plain() };
                    pen.text(x, y, *width, flag.spec.key.as_str(), style);
                }
                Show::State => standing::draw(flag, self.unseen.contains(&flag.spec.key), place, pen),
                Show::Rollout => rollout(flag.rollout, place, value, pen),
                Show::P99 => {
                    let on = figures::milliseconds_short(flag.treatment().p99_ms);
                    let off = figures::milliseconds_short(flag.control().p99_ms);
                    let style = worse(flag, flag.report.p99.regressed(), value, pen);
                    pair(place, PAIR_P99, (&on, style), (&off, value), pen);
                }
                Show::Errors => {
                    let on = figures::percent_short(flag.treatment().error_rate());
                    let off = figures::percent_short(flag.control().error_rate());
                    let style = worse(flag, flag.report.errors.regressed(), value, pen);
                    pair(place, PAIR_ERRORS, (&on, style), (&off, value), pen);
                }
                Show::P99Line => self.line(place, Metric::P99, old, pen),
                Show::ErrorLine => self.line(place, Metric::Errors, old, pen),
                Show::Last => match &flag.last {
                    Some(last) => {
                        // `rolled back from 10 %` says in little room what it is: the phase stands beside it.
                        let short =
                            last.what.strip_prefix("rolled ").filter(|_| pen.width_of(&last.what) > *width);
                        pen.text(x, y, *width, short.unwrap_or(&last.what), theme.plain());
                    }
                    None => {
                        pen.text(x, y, *width, figures::NONE, theme.dim());
                    }
                },
                Show::By => by(flag, fleet, place, pen),
            }
            x += width + gap(area.width);
        }
    }

    fn line(&self, (x, y, width): (u16, u16, u16), metric: Metric, old: bool, pen: &mut Pen<'_>) {
        let theme = pen.theme;
        let style = if old { theme.dim() } else { theme.plain() };
        let Some(history) = self.fleet.history.get(self.place) else { return };
        let baseline = ChartBaseline::of(&self.fleet.flags[self.place], history);
        for (column, mark) in (x..).zip(spark::sweep(history, self.fleet.interval, width, metric, baseline)) {
            match mark {
                Mark::Empty => {}
                Mark::Missing => pen.put(column, y, theme.missing(), theme.plain()),
                Mark::Bar { level, worse } => {
                    let style = if worse && !old { theme.abnormal() } else { style };
                    pen.put(column, y, theme.level(level), style);
                }
            }
        }
    }
}

/// Columns of the rollout's number: `12.5`, `100`.
const SHARE: u16 = 5;

/// Gauge and number; the unit stands in the title.
fn rollout(rollout: Rollout, (x, y, width): (u16, u16, u16), style: Style, pen: &mut Pen<'_>) {
    let text = rollout.to_string();
    let number = text.trim_end_matches(" %");
    if width < GAUGED {
        return pen.cell(x, y, width, Align::Right, number, style);
    }
    pen.gauge(x, y, width - SHARE, rollout.share(), style);
    pen.cell(x + width - SHARE, y, SHARE, Align::Right, number, style);
}

/// Treatment's and control's value side by side: `210 200`, or treatment's alone where both do not fit. Both in the
/// same style unless one is abnormal: a change of colour costs a slow link more than the number itself.
fn pair(
    (x, y, width): (u16, u16, u16),
    both: u16,
    (on, style): (&str, Style),
    (off, off_style): (&str, Style),
    pen: &mut Pen<'_>,
) {
    if width < both {
        return pen.cell(x, y, width, Align::Right, on, style);
    }
    let half = width / 2;
    pen.cell(x, y, half, Align::Right, on, style);
    pen.text(x + half + 1, y, width - half - 1, off, off_style);
}

/// A value is abnormal when the evidence on it says so, not when it happens to be high.
fn worse(flag: &FlagView, regressed: bool, value: Style, pen: &Pen<'_>) -> Style {
    if flag.verdict == Verdict::Regressed && regressed { pen.theme.abnormal() } else { value }
}

/// By whom, and how long ago: `agent  4 min`, or `agent   4m` where there is less room.
fn by(flag: &FlagView, fleet: &FleetView, (x, y, width): (u16, u16, u16), pen: &mut Pen<'_>) {
    let theme = pen.theme;
    let Some(last) = &flag.last else {
        pen.text(x, y, width, figures::NONE, theme.dim());
        return;
    };
    let span = fleet.controller.now.since(last.at);
    let ago = if width < BY { figures::short(span) } else { figures::coarse(span) };
    let room = width.saturating_sub(if width < BY { 4 } else { 7 });
    let style = if matches!(last.by, Actor::Person(_)) { theme.person() } else { theme.plain() };
    pen.text(x, y, room, &last.by.to_string(), style);
    pen.cell(x + room, y, width - room, Align::Right, &ago, theme.plain());
}

fn detail(model: &Model, fleet: &FleetView, flag: &FlagView, area: Rect, pen: &mut Pen<'_>) {
    let theme = pen.theme;
    pen.fill(area.x, area.y, area.width, theme.rule(), theme.dim());
    let mut text = format!("{}, {}", flag.spec.key, flag.spec.service);
    if !flag.spec.description.is_empty() {
        text.push_str(": ");
        text.push_str(&flag.spec.description);
    }
    let mut facts = as_of(model).map_or_else(String::new, |moment| moment + ": ");
    let _ = write!(facts, "at {} for {}", flag.rollout, figures::ago(fleet.controller.now, flag.changed_at));
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
    let why = standing::why(flag, fleet);
    let room = usize::from(area.height.saturating_sub(2));
    let lines = wrap(&why, usize::from(area.width));
    if lines.len() <= room {
        for (y, line) in (area.y + 2..).zip(&lines) {
            pen.text(area.x, y, area.width, line, theme.plain());
        }
        return;
    }
    // The last line that fits ends with an ellipsis.
    for (row, y) in (area.y + 2..area.bottom()).enumerate() {
        let line = if row + 1 == room { lines[row..].join(" ") } else { lines[row].clone() };
        pen.text(area.x, y, area.width, &line, theme.plain());
    }
}
