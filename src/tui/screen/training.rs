//! The training: cost on the validation scenarios against every baseline, and every metric of PPO below it.
//!
//! ```text
//! iteration 412  6.29 M steps  seed 7                        recorded  120×  playing   where it stands
//! 22:58 min  ━━━━━━━━╸─────────────  38 %  37:02 min left                              the budget
//! cost on validation  █ agent 151  ━ rule 174, flagger 253  ★ least 150 at iteration 380   the one that counts
//!     60 ██▇
//!      0 ███▆▅▅▄▃▃▃▃▃▃▃▃▂▂
//! reward                   entropy                  KL                                 panels, as many as fit
//! ...
//!         0   6.29 M steps         0   6.29 M steps
//! ```
//! Where there is no room for panels each metric is one line with its curve. It reads the log and the cursor, nothing else.

mod chart;
mod list;
mod playback;
mod validation;

use std::fmt::Write as _;

use crossterm::event::KeyCode;
use ratatui::layout::Rect;
use serde_json::Value;

use chart::{Chart, Curve};
pub(in crate::tui) use playback::Training;

use super::{Ability, Opener, Screen, ScreenId, ScreenRow, Section, Step};
use crate::tui::{
    Model, Real,
    command::{Chord, CommandId, Scope, Spec, key, letter},
    fleet_view::FleetView,
    pen::Pen,
};
use knightwatch_agent::training::{
    COST, EndReason, METRICS, TrainingHeader, TrainingLog, TrainingPoint, Validation, compact, count,
    percent, span,
};

const ID: ScreenId = ScreenId("training");

/// Plays, or stands still.
const PLAY: u8 = 0;
/// One iteration back.
const EARLIER: u8 = 1;
/// One iteration on.
const LATER: u8 = 2;
/// Plays faster.
const FASTER: u8 = 3;
/// Plays slower.
const SLOWER: u8 = 4;

/// A command of this screen.
const fn own(command: u8, short: &'static str, keys: &'static [Chord], help: &'static str) -> Spec {
    Spec { id: CommandId::Own(ID, command), name: "", short, keys, screens: Scope::Only(ID), help }
}

pub(super) const ROW: ScreenRow = ScreenRow {
    offers: &[Ability::Alarms],
    own_keys_first: true,
    commands: &[
        own(
            PLAY,
            "play/stop",
            &[letter(' ')],
            "play or pause the training; a live one: pause it or follow again",
        ),
        own(
            EARLIER,
            "back",
            &[letter('['), key(KeyCode::Left)],
            "one iteration back; PgUp goes a tenth of the training",
        ),
        own(
            LATER,
            "on",
            &[letter(']'), key(KeyCode::Right)],
            "one iteration on; PgDn goes a tenth of the training",
        ),
        own(FASTER, "faster", &[letter('+'), letter('=')], "play the recorded training faster"),
        own(SLOWER, "slower", &[letter('-')], "play it slower"),
    ],
    opener: Some(Opener {
        command: Spec {
            id: CommandId::OpenScreen(ID),
            name: "training",
            short: "",
            keys: &[letter('T')],
            screens: Scope::Except(ID),
            help: "the agent's training: its curves, replayed",
        },
        needs_backend: false,
        open: |model| match TrainingLog::shipped() {
            Ok(log) => Ok(Box::new(TrainingScreen::new(Training::recorded(log, model.now)))),
            Err(error) => Err(format!("the agent's training log: {error}")),
        },
    }),
    ..ScreenRow::new(ID, Section::Background)
};

/// A training: one that is under way, or one that is over.
#[derive(Debug)]
pub(in crate::tui) struct TrainingScreen {
    training: Training,
}

impl TrainingScreen {
    pub(in crate::tui) const fn new(training: Training) -> Self {
        Self { training }
    }
}

impl Screen for TrainingScreen {
    fn row(&self) -> &'static ScreenRow {
        &ROW
    }

    /// Iterations: a tenth of the training.
    fn page(&self, _model: &Model, _body: Rect) -> usize {
        (self.training.log().points.len() / 10).max(1)
    }

    fn step(&mut self, step: Step, _world: Option<&FleetView>, _last_scroll: usize) {
        let (shown, all) = (self.training.points().len(), self.training.log().points.len());
        self.training.scrub(step.from(shown.saturating_sub(1), all));
    }

    fn run(&mut self, command: u8, fleet: Option<&FleetView>) -> Option<String> {
        match command {
            PLAY => self.training.toggle(),
            EARLIER => self.step(Step::By(-1), fleet, 0),
            LATER => self.step(Step::By(1), fleet, 0),
            _ => {
                let by = if command == FASTER { 1 } else { -1 };
                if let Some(speed) = self.training.changed_speed(by) {
                    self.training.set_speed(speed);
                }
            }
        }
        None
    }

    fn why_not(&self, id: CommandId) -> Option<String> {
        let by = match id {
            CommandId::OpenScreen(ID) => return Some("the training is on the screen".to_owned()),
            CommandId::Own(ID, FASTER) => 1,
            CommandId::Own(ID, SLOWER) => -1,
            _ => return None,
        };
        if self.training.is_live() {
            return Some("the training is under way: it is as fast as it is".to_owned());
        }
        let none = self.training.changed_speed(by).is_none();
        none.then(|| format!("it is played at {}× already", self.training.times()))
    }

    /// A recording is played from its beginning again.
    fn opened(&mut self, now: Real) {
        self.training.restart(now);
    }

    fn training(&self) -> Option<&Training> {
        Some(&self.training)
    }

    fn training_mut(&mut self) -> Option<&mut Training> {
        Some(&mut self.training)
    }

    fn draw(&self, model: &Model, body: Rect, pen: &mut Pen<'_>) {
        let training = &self.training;
        let mut area = body;
        if let (false, Some(note)) = (model.alone, &training.log().header.note) {
            pen.text(area.x, area.y, area.width, note, pen.theme.abnormal());
            area = below(area, 1);
        }
        let lines = HEAD.min(area.height);
        standing(training, Rect { height: lines, ..area }, pen);
        let area = below(area, lines);
        if area.width >= PANELS.0 && area.height + HEAD >= PANELS.1 {
            panels(training, area, pen);
        } else {
            list::draw(training, area, pen);
        }
    }
}

/// Lines above the charts: where it stands, and the budget.
const HEAD: u16 = 2;
/// The line of the axis below the panels.
const AXIS: u16 = 1;
/// Fewest lines and columns for panels; below that there is a line for each metric.
const PANELS: (u16, u16) = (60, 16);
/// Fewest columns and lines of a panel, its title included, and lines that are comfortable.
const PANEL: (u16, u16) = (26, 4);
const COMFORTABLE: u16 = 7;
/// Most panels beside each other.
const BESIDE: u16 = 4;
/// Panels that are shown wherever panels are.
const FIRST: u16 = 6;
/// Fewest lines of the chart of cost, its title included.
const HERO: u16 = 6;

/// The header where there is no backend: what is shown, and how.
pub(in crate::tui) fn header(training: &Training, area: Rect, pen: &mut Pen<'_>) {
    let theme = pen.theme;
    let header = &training.log().header;
    let state = if training.is_live() { "live" } else { "recorded" };
    let start = area.right().saturating_sub(pen.width_of(state)).max(area.x);
    pen.text(start, area.y, area.right() - start, state, theme.strong());
    let when = format!("  begun {}", header.when);
    let spans = [("knightwatch ", theme.dim()), ("training", theme.strong()), (&*when, theme.dim())];
    pen.spans(area.x, area.y, start.saturating_sub(2), &spans);
    if area.height < 2 {
        return;
    }
    let y = area.y + 1;
    match &header.note {
        Some(note) => pen.text(area.x, y, area.width, note, theme.abnormal()),
        None => pen.text(area.x, y, area.width, &about(header), theme.dim()),
    };
}

/// What is trained on what, in one line.
fn about(header: &TrainingHeader) -> String {
    let mut parts = Vec::new();
    if !header.network.is_empty() {
        parts.push(format!("network {}", header.network_name()));
    }
    if !header.families.is_empty() {
        parts.push(format!("{} families of scenarios", header.families.len()));
    }
    if !header.opponents.is_empty() {
        parts.push(format!("{} opponents", header.opponents.len()));
    }
    if !header.schema.is_empty() {
        parts.push(format!("features {}", header.schema));
    }
    parts.join(", ")
}

/// Where a training stands in one line, the most important first: for terminals with room for no more.
pub(in crate::tui) fn summary(training: &Training) -> String {
    let Some(point) = training.points().last() else { return "training: no iteration yet".to_owned() };
    let mut text = format!("iteration {}", point.iteration);
    // Writing to a String cannot fail.
    if let Some(validation) = last_validation(training.points()) {
        let _ = write!(text, ", cost {}", compact(validation.cost));
        if let Some((level, name)) = training.log().header.opponents_by(COST).first() {
            let _ = write!(text, " against {} ({name})", compact(*level));
        }
    }
    if let Some(left) = left(training, point) {
        let _ = write!(text, ", {} left", span(left));
    }
    text
}

/// What is left of the budget of a training that is still under way.
fn left(training: &Training, point: &TrainingPoint) -> Option<f64> {
    let log = training.log();
    log.header.seconds_left(point).filter(|_| training.is_live() && log.end.is_none())
}

fn last_validation(points: &[TrainingPoint]) -> Option<Validation> {
    points.iter().rev().find_map(|point| point.validation)
}

/// What is left of an area below its first lines.
fn below(area: Rect, lines: u16) -> Rect {
    let lines = lines.min(area.height);
    Rect { y: area.y + lines, height: area.height - lines, ..area }
}

/// How far it is, and how it is shown.
fn standing(training: &Training, area: Rect, pen: &mut Pen<'_>) {
    let theme = pen.theme;
    if area.height == 0 {
        return;
    }
    let state = state(training);
    let start = area.right().saturating_sub(pen.width_of(&state)).max(area.x);
    let header = &training.log().header;
    let point = training.points().last();
    let value = |value: Option<String>| value.unwrap_or_else(|| "–".to_owned());
    let (iteration, steps) =
        (value(point.map(|point| point.iteration.to_string())), value(point.map(|point| count(point.steps))));
    let seed = header.seed.to_string();
    let (dim, plain) = (theme.dim(), theme.plain());
    let spans = [
        ("iteration ", dim),
        (&*iteration, theme.strong()),
        ("  ", dim),
        (&*steps, plain),
        (" steps  seed ", dim),
        (&*seed, plain),
    ];
    let end = pen.spans(area.x, area.y, area.right(), &spans);
    if end + 2 <= start {
        pen.text(start, area.y, area.right() - start, &state, plain);
    }
    if area.height > 1 {
        budget(training, Rect { y: area.y + 1, height: 1, ..area }, pen);
    }
}

/// How it is shown: following a trainer, played, or standing still.
fn state(training: &Training) -> String {
    let ended = training.end().map(|end| end.reason);
    if training.is_live() {
        let state = if training.is_at_end() { "" } else { "STANDS STILL: Space follows" };
        return ended.map_or(state, EndReason::as_str).to_owned();
    }
    let moves = match (training.is_playing(), ended) {
        (true, _) => "playing",
        (false, Some(reason)) => reason.as_str(),
        (false, None) if training.is_at_end() => "broke off here",
        (false, None) => "stands still",
    };
    if training.is_at_end() { moves.to_owned() } else { format!("{moves}  {}×", training.times()) }
}

/// The time it took, the budget as a gauge, and what is left of it.
fn budget(training: &Training, area: Rect, pen: &mut Pen<'_>) {
    let theme = pen.theme;
    let header = &training.log().header;
    let Some(point) = training.points().last() else {
        pen.text(area.x, area.y, area.width, "no iteration yet", theme.dim());
        return;
    };
    let x = pen.text(area.x, area.y, area.width, &span(point.seconds), theme.strong()) + 2;
    let pace = point.steps_per_second.map(|pace| format!("{} steps/s", compact(pace)));
    let Some(share) = header.progress(point) else {
        let pace = pace.map_or_else(|| "no budget".to_owned(), |pace| format!("{pace}, no budget"));
        pen.text(x, area.y, area.right().saturating_sub(x), &pace, theme.dim());
        return;
    };
    let left = left(training, point).map_or_else(String::new, |left| format!("  {} left", span(left)));
    let pace = pace.map_or_else(String::new, |pace| format!("  {pace}"));
    let mut told = format!("{}{left}{pace}", percent(share));
    if x + 8 + pen.width_of(&told) > area.right() {
        told = format!("{}{left}", percent(share));
    }
    let room = area.right().saturating_sub(x + pen.width_of(&told) + 2);
    let x = if room >= 4 {
        pen.gauge(x, area.y, room, share, theme.plain());
        x + room + 2
    } else {
        x
    };
    pen.text(x, area.y, area.right().saturating_sub(x), &told, theme.plain());
}

/// Panels beside and below each other.
struct Grid {
    columns: u16,
    rows: u16,
    hero: u16,
}

impl Grid {
    fn of(area: Rect) -> Self {
        let all = u16::try_from(METRICS.len()).unwrap_or(FIRST);
        let columns = (area.width / PANEL.0).clamp(1, BESIDE);
        let room = area.height.saturating_sub(AXIS);
        let least = (room / 3).max(HERO).min(room);
        let small = room - least;
        // All that are told first, even if low; more of them where they are comfortable.
        let rows = (small / COMFORTABLE).max(FIRST.div_ceil(columns)).min(small / PANEL.1);
        let rows = rows.min(all.div_ceil(columns)).max(1);
        // What the rows leave over is the chart's of cost.
        Self { columns, rows, hero: least + small % rows }
    }
}

fn panels(training: &Training, area: Rect, pen: &mut Pen<'_>) {
    let grid = Grid::of(area);
    let hero_area = Rect { height: grid.hero, ..area };
    validation::draw(training, hero_area, pen);
    let small = below(area, grid.hero);
    let height = small.height.saturating_sub(AXIS) / grid.rows;
    let width = small.width / grid.columns;
    let slots = (0..grid.rows).flat_map(|row| (0..grid.columns).map(move |column| (row, column)));
    let place = |(row, column): (u16, u16)| Rect {
        x: small.x + column * width,
        y: small.y + row * height,
        width: width - 1,
        height,
    };
    let extent = extent(training);
    let mut slots = slots.map(place);
    for (metric, place) in METRICS.iter().zip(slots.by_ref()) {
        let values = training.points().iter().map(metric.value).collect();
        let all = training.log().points.iter().filter_map(metric.value);
        let known = all.clone().next().is_some();
        let curve = Curve { steps: training.points(), values, extent };
        let (ends, beyond) = metric.scale.robust_ends(all);
        let chart = Chart { curve, ends, known, lines: &[], judged: false, gaps: true, beyond };
        let now = training.points().iter().rev().find_map(metric.value);
        title(metric.name, now, metric.unit, place, pen);
        chart.draw(below(place, 1), pen);
    }
    if let Some(place) = slots.next() {
        settings(training, place, pen);
    }
    if training.log().points.is_empty() {
        return;
    }
    let axis = Rect { y: small.bottom() - AXIS, height: AXIS, ..small };
    // Below what is no chart there is no axis.
    let above =
        u16::try_from(METRICS.len()).unwrap_or(u16::MAX).saturating_sub((grid.rows - 1) * grid.columns);
    for column in 0..grid.columns.min(above) {
        let part = Rect { x: axis.x + column * width, width: width - 1, ..axis };
        chart::axis(extent, part, pen);
    }
}

/// Steps that the axes end at: a recording's axes stand still while it is played.
fn extent(training: &Training) -> u64 {
    training.log().points.last().map_or(1, |point| point.steps.max(1))
}

/// Name, current value, unit. Where there is little room the name is cut, never the value.
fn title(name: &str, now: Option<f64>, unit: &str, area: Rect, pen: &mut Pen<'_>) {
    let theme = pen.theme;
    let value = format!(" {}", now.map_or_else(|| "–".to_owned(), compact));
    let style = if now.is_some() { theme.plain() } else { theme.dim() };
    let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
    let told = pen.width_of(&value) + pen.width_of(&unit);
    let x = pen.text(area.x, area.y, area.width.saturating_sub(told), name, theme.strong());
    pen.spans(x, area.y, area.right(), &[(&*value, style), (&*unit, theme.dim())]);
}

/// A setting as people read it; those of a group one by one.
fn setting(name: &str, value: &Value, lines: &mut Vec<(String, String)>) {
    let text = match value {
        Value::Object(group) => {
            for (name, value) in group {
                setting(name, value, lines);
            }
            return;
        }
        Value::Null => "none".to_owned(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::Number(number) => number.as_f64().map_or_else(|| number.to_string(), compact),
        Value::String(text) => text.clone(),
        Value::Array(_) => value.to_string(),
    };
    lines.push((name.replace('_', " "), text));
}

/// The settings of PPO, as many as there is room for.
fn settings(training: &Training, area: Rect, pen: &mut Pen<'_>) {
    let theme = pen.theme;
    let header = &training.log().header;
    pen.text(area.x, area.y, area.width, "settings", theme.strong());
    let area = below(area, 1);
    let network = (!header.network.is_empty()).then(|| ("network".to_owned(), header.network_name()));
    let mut lines: Vec<(String, String)> = network.into_iter().collect();
    for (name, value) in &header.settings {
        setting(name, value, &mut lines);
    }
    // What is too long for the panel is left to the log: half a value says nothing.
    let all = lines.len();
    lines.retain(|(name, value)| pen.width_of(name) + 1 + pen.width_of(value) <= area.width);
    let room = usize::from(area.height);
    if lines.len() < all || lines.len() > room {
        lines.truncate(room.saturating_sub(1));
        lines.push((format!("and {} more, in the log", all - lines.len()), String::new()));
    }
    for (y, (name, value)) in (area.y..area.bottom()).zip(&lines) {
        pen.spans(
            area.x,
            y,
            area.right(),
            &[(name, theme.dim()), (" ", theme.dim()), (value, theme.plain())],
        );
    }
}
