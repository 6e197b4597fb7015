//! One flag: where it is and why, both arms over time, the evidence in numbers, what the policy wanted, its history.
//!
//! ```text
//! new-checkout-ui  ramping  ━━━╸────  25 %  for 4 min           checkout, requests
//! shield: vetoed 12 times in a row: holding: needs more evidence, ...
//!  charts (P99, events, errors)        | EVIDENCE healthy
//!                                      |          on    off   difference [95 % interval] pp
//!                                      | errors   ...
//!                                      | PROPOSAL raise to 25 %
//! history: every journal entry on this flag, newest first
//! ```
//! On narrow screens evidence and proposal stand side by side below the charts; charts go first when it gets too low.

mod chart;
mod history;
mod proposal;

use std::fmt::Write as _;

use ratatui::layout::Rect;

use super::{Ability, Next, Screen, ScreenId, ScreenRow, Section, Step};
use crate::tui::{
    Model, figures,
    fleet_view::{FleetView, unit},
    pen::{Align, Pen, wrap},
    view::{as_of, is_stale, standing},
};
use knightwatch_core::{
    control::Phase,
    flag::FlagKey,
    telemetry::{MetricEvidence, Verdict},
};
use knightwatch_engine::backend::FlagView;

const ID: ScreenId = ScreenId("flag");

pub(super) const ROW: ScreenRow = ScreenRow {
    offers: &[Ability::Flag, Ability::Alarms, Ability::Next, Ability::Copy, Ability::Pace],
    ..ScreenRow::new(ID, Section::Daily)
};

/// One flag.
#[derive(Debug)]
pub(in crate::tui) struct FlagScreen {
    key: FlagKey,
    /// Entries of its history scrolled down.
    scroll: usize,
}

impl FlagScreen {
    pub(in crate::tui) const fn new(key: FlagKey) -> Self {
        Self { key, scroll: 0 }
    }

    /// Whether `screen` is the one of this flag.
    pub(in crate::tui) fn is_of(screen: &dyn Screen, key: &FlagKey) -> bool {
        screen.row().id == ID && screen.flag() == Some(key)
    }
}

impl Screen for FlagScreen {
    fn row(&self) -> &'static ScreenRow {
        &ROW
    }

    /// Entries of the flag's history that fit.
    fn page(&self, model: &Model, body: Rect) -> usize {
        let fleet = model.fleet.as_ref();
        let reason = fleet.and_then(|fleet| Some(line_count(fleet, fleet.flag(&self.key)?, body.width)));
        usize::from(history::rows(parts(body, reason.unwrap_or(1)).history.height))
    }

    fn last_scroll(&self, model: &Model, body: Rect) -> usize {
        model.entries_of(Some(&self.key)).count().saturating_sub(self.page(model, body))
    }

    fn step(&mut self, step: Step, _world: Option<&FleetView>, last_scroll: usize) {
        self.scroll = step.from(self.scroll.min(last_scroll), last_scroll + 1);
    }

    fn wants_older(&self, model: &Model, body: Rect) -> bool {
        self.scroll >= self.last_scroll(model, body)
    }

    fn flag(&self) -> Option<&FlagKey> {
        Some(&self.key)
    }

    fn copy(&self, _model: &Model) -> Option<String> {
        Some(self.key.to_string())
    }

    fn next(&self, model: &Model, by: isize) -> Next {
        model.neighbour(&self.key, by).map_or(Next::Stay, Next::Flag)
    }

    fn shown(&mut self) {
        self.scroll = 0;
    }

    fn draw(&self, model: &Model, area: Rect, pen: &mut Pen<'_>) {
        let theme = pen.theme;
        let Some(fleet) = &model.fleet else { return };
        let Some(flag) = fleet.flag(&self.key) else {
            pen.text(area.x, area.y, area.width, "the backend does not know this flag", theme.dim());
            return;
        };
        let parts = parts(area, line_count(fleet, flag, area.width));
        draw_head(fleet, flag, parts.head, pen);
        if parts.charts.height >= chart::MIN {
            chart::draw(model, fleet, flag, parts.charts, pen);
        }
        draw_evidence(model, fleet, flag, parts.evidence, pen);
        proposal::draw(model, fleet, flag, parts.proposal, pen);
        history::draw(model, &self.key, self.scroll, parts.history, pen);
    }
}

/// Lines of the head: what it is, and why it is where it is, which may take two.
const HEAD: u16 = 2;
const LONG_HEAD: u16 = 3;
/// Lines of the evidence.
const EVIDENCE: u16 = 9;
/// Columns of the evidence.
const EVIDENCE_WIDTH: u16 = 48;
/// Lines of the proposal and of the rungs.
const PROPOSAL: u16 = 10;
/// From so many columns on, the numbers stand to the right of the charts.
const WIDE: u16 = 110;
/// Fewest lines of history before the charts give way.
const HISTORY: u16 = 3;
/// Below so many lines the charts get the last line of the evidence: the age of the telemetry.
const ROOMY: u16 = 20;
/// From so many lines on the head may take one more.
const TALL: u16 = 24;

/// Where the parts are.
struct Parts {
    head: Rect,
    charts: Rect,
    evidence: Rect,
    proposal: Rect,
    history: Rect,
}

/// `said`: lines that the reason takes.
fn parts(body: Rect, said: usize) -> Parts {
    let head = if said > 1 && body.height >= TALL { LONG_HEAD } else { HEAD };
    let head = Rect { height: head.min(body.height), ..body };
    let left = body.height - head.height;
    if body.width >= WIDE && left >= EVIDENCE + PROPOSAL + HISTORY {
        // Two thirds for charts and numbers, one for the history.
        let height = (left * 2 / 3).max(EVIDENCE + PROPOSAL);
        let width = body.width - EVIDENCE_WIDTH - 3;
        let x = body.x + width + 3;
        let charts = Rect::new(body.x, head.bottom(), width, height);
        let evidence = Rect::new(x, head.bottom(), EVIDENCE_WIDTH, EVIDENCE);
        let proposal =
            Rect::new(x, evidence.bottom() + 1, EVIDENCE_WIDTH, charts.height.saturating_sub(EVIDENCE + 1));
        let history = Rect { y: charts.bottom(), height: body.bottom() - charts.bottom(), ..body };
        return Parts { head, charts, evidence, proposal, history };
    }
    let numbers = if left < ROOMY { EVIDENCE - 1 } else { EVIDENCE }.min(left);
    let spare = left.saturating_sub(numbers + HISTORY);
    let charts = if spare >= chart::MIN { spare.min(16) } else { 0 };
    let charts = Rect { y: head.bottom(), height: charts, ..body };
    let evidence = Rect::new(body.x, charts.bottom(), EVIDENCE_WIDTH.min(body.width), numbers);
    let x = evidence.right() + 2;
    let proposal = Rect::new(x.min(body.right()), charts.bottom(), body.right().saturating_sub(x), numbers);
    let history = Rect { y: evidence.bottom(), height: body.bottom() - evidence.bottom(), ..body };
    Parts { head, charts, evidence, proposal, history }
}

/// Lines that the reason why the flag is where it is takes.
fn line_count(fleet: &FleetView, flag: &FlagView, width: u16) -> usize {
    wrap(&standing::why(flag, fleet), usize::from(width)).len()
}

fn draw_head(fleet: &FleetView, flag: &FlagView, area: Rect, pen: &mut Pen<'_>) {
    let theme = pen.theme;
    let mut x = pen.text(area.x, area.y, area.width / 2, flag.spec.key.as_str(), theme.strong()) + 2;
    let unseen = fleet.unseen().contains(&flag.spec.key);
    let (phase, style) = standing::phase(flag, unseen, pen);
    x = pen.text(x, area.y, area.right().saturating_sub(x), phase, style) + 1;
    if let Some((mark, style)) = standing::mark(flag, fleet, pen) {
        x = pen.text(x, area.y, 1, mark, style);
    }
    x += 1;
    if area.width >= 70 {
        pen.gauge(x, area.y, 12, flag.rollout.share(), theme.plain());
        x += 13;
    }
    let text = format!("{} for {}", flag.rollout, fleet.controller.now.since(flag.changed_at));
    x = pen.text(x, area.y, area.right().saturating_sub(x), &text, theme.strong()) + 2;
    let mut about = format!("{}, {}", flag.spec.service, unit(flag));
    if !flag.spec.description.is_empty() {
        about = format!("{about}: {}", flag.spec.description);
    }
    pen.cell(x, area.y, area.right().saturating_sub(x), Align::Right, &about, theme.dim());
    if area.height > 1 {
        let lines = wrap(&standing::why(flag, fleet), usize::from(area.width));
        for (row, y) in (area.y + 1..area.bottom()).enumerate().take(lines.len()) {
            let last = y + 1 == area.bottom();
            let line = if last { lines[row..].join(" ") } else { lines[row].clone() };
            pen.text(area.x, y, area.width, &line, theme.plain());
        }
    }
}

/// Columns of the evidence's table.
const LABEL: u16 = 9;
const NUMBER: u16 = 6;

fn draw_evidence(model: &Model, fleet: &FleetView, flag: &FlagView, area: Rect, pen: &mut Pen<'_>) {
    let theme = pen.theme;
    let report = &flag.report;
    let (verdict, style) = standing::verdict(flag, pen);
    let old = is_stale(model) || fleet.is_old(flag);
    let value = if old { theme.dim() } else { theme.plain() };
    let mut lines = (area.y..area.bottom()).map(|y| Rect { y, height: 1, ..area });

    if let Some(line) = lines.next() {
        let x = pen.text(line.x, line.y, line.width, "EVIDENCE", theme.strong()) + 1;
        let x = pen.text(x, line.y, line.right().saturating_sub(x), &verdict, style) + 1;
        let text = if flag.rollout.is_zero() && report.treatment_n == 0 {
            "no treatment traffic to judge by".to_owned()
        } else if flag.phase == Phase::Complete && report.control_is_baseline {
            "against its baseline".to_owned()
        } else {
            let warm = if report.warming_up { ", warming up" } else { "" };
            let plural = if report.intervals == 1 { "" } else { "s" };
            format!("{} interval{plural}{warm}", report.intervals)
        };
        pen.text(x, line.y, line.right().saturating_sub(x), &text, theme.dim());
    }
    if let Some(line) = lines.next() {
        let x = line.x + LABEL;
        pen.cell(x, line.y, NUMBER, Align::Right, "on", theme.dim());
        let off = if report.control_is_baseline { "base" } else { "off" };
        pen.cell(x + NUMBER + 1, line.y, NUMBER, Align::Right, off, theme.dim());
        let x = x + 2 * NUMBER + 3;
        pen.text(x, line.y, line.right().saturating_sub(x), "difference [95 %] pp", theme.dim());
    }
    let known = report.treatment_n > 0 && report.control_n > 0;
    for (label, evidence) in [("errors %", &report.errors), ("slow   %", &report.p99)] {
        if let Some(line) = lines.next() {
            draw_difference(label, evidence, known, old, line, pen);
        }
        if let Some(line) = lines.next() {
            draw_nats(evidence, known, flag.verdict, line, pen);
        }
    }
    if let Some(line) = lines.next() {
        pen.text(line.x, line.y, LABEL, "P99 ms", theme.dim());
        let x = line.x + LABEL;
        pen.cell(x, line.y, NUMBER, Align::Right, &figures::milliseconds(report.treatment.p99_ms), value);
        let x = x + NUMBER + 1;
        pen.cell(x, line.y, NUMBER, Align::Right, &figures::milliseconds(report.control.p99_ms), value);
        let x = x + NUMBER + 2;
        let slow = report.slow_ms.map_or_else(
            || "no threshold yet".to_owned(),
            |slow| format!("slow: over {} ms", figures::milliseconds(Some(slow))),
        );
        pen.text(x, line.y, line.right().saturating_sub(x), &slow, theme.dim());
    }
    if let Some(line) = lines.next() {
        let assumed = if flag.assumed { "~" } else { "" };
        let text = if report.control_is_baseline {
            let n = figures::grouped(report.treatment.requests);
            format!("n      {assumed}{n} on, six intervals")
        } else if report.treatment_n == 0 && report.control_n == 0 {
            format!("n      no {} counted since the change", unit(flag))
        } else {
            format!(
                "n      {assumed}{} on, {assumed}{} off {}",
                figures::grouped(report.treatment_n),
                figures::grouped(report.control_n),
                unit(flag),
            )
        };
        pen.text(line.x, line.y, line.width, &text, value);
    }
    if let Some(line) = lines.next() {
        let age =
            report.age.map_or_else(|| "no telemetry yet".to_owned(), |age| format!("telemetry {age} old"));
        let age = as_of(model).map_or_else(|| age.clone(), |moment| format!("{age} {moment}"));
        let rejected: u64 = report.rejected.iter().copied().map(u64::from).sum();
        let mut text = format!(
            "{age}; margins {} and {} pp",
            figures::percent(Some(report.errors.margin)),
            figures::percent(Some(report.p99.margin))
        );
        if rejected > 0 {
            // Writing to a String cannot fail.
            let _ = write!(text, ", {} samples rejected", figures::grouped(rejected));
        }
        if report.dependency {
            text.push_str(", fails with the flag on and off: a dependency");
        }
        let bad = old || report.dependency;
        let style = if bad { theme.abnormal() } else { theme.dim() };
        pen.text(line.x, line.y, line.width, &text, style);
    }
}

fn draw_difference(
    label: &str,
    evidence: &MetricEvidence,
    known: bool,
    old: bool,
    line: Rect,
    pen: &mut Pen<'_>,
) {
    let theme = pen.theme;
    let value = if old { theme.dim() } else { theme.plain() };
    pen.text(line.x, line.y, LABEL, label, theme.dim());
    let x = line.x + LABEL;
    let share = |share| figures::percent(known.then_some(share));
    pen.cell(x, line.y, NUMBER, Align::Right, &share(evidence.treatment), value);
    pen.cell(x + NUMBER + 1, line.y, NUMBER, Align::Right, &share(evidence.control), value);
    let x = x + 2 * NUMBER + 3;
    let text = if known {
        let difference = evidence.treatment - evidence.control;
        format!(
            "{} [{}, {}]",
            figures::points(difference),
            figures::points(evidence.low),
            figures::points(evidence.high)
        )
    } else {
        figures::NONE.to_owned()
    };
    pen.text(x, line.y, line.right().saturating_sub(x), &text, value);
}

/// Harm and health against what is needed, in nats.
fn draw_nats(evidence: &MetricEvidence, known: bool, verdict: Verdict, line: Rect, pen: &mut Pen<'_>) {
    const GAUGE: u16 = 4;
    let theme = pen.theme;
    let mut x = line.x + 2;
    for (label, nats, needed) in
        [("harm", evidence.harm, evidence.harm_needed), ("health", evidence.health, evidence.health_needed)]
    {
        x = pen.text(x, line.y, line.right().saturating_sub(x), label, theme.dim()) + 1;
        if !known || needed <= 0.0 || !nats.is_finite() {
            x = pen.text(x, line.y, line.right().saturating_sub(x), figures::NONE, theme.dim()) + 2;
            continue;
        }
        let harmful = label == "harm" && verdict == Verdict::Regressed && nats >= needed;
        let style = if harmful { theme.abnormal() } else { theme.plain() };
        if x + GAUGE < line.right() {
            pen.gauge(x, line.y, GAUGE, nats.max(0.0) / needed, style);
            x += GAUGE + 1;
        }
        let shown = nats.max(0.0);
        let text = if nats >= needed {
            let text = format!("proven ({shown:.1}, needed {needed:.1})");
            if pen.width_of(&text) <= line.right().saturating_sub(x) { text } else { "proven".to_owned() }
        } else {
            format!("{shown:.1}, needed {needed:.1}")
        };
        x = pen.text(x, line.y, line.right().saturating_sub(x), &text, style) + 2;
    }
    if x + pen.width_of("nats") <= line.right() + 1 {
        pen.text(x - 1, line.y, line.right() + 1 - x, "nats", theme.dim());
    }
}
