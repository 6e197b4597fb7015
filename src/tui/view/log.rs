//! The log: every journal entry as one sentence, the newest at the top, the selected one in full below.
//!
//! ```text
//!   time UTC  actor      what
//! ▸ 16:04:12  agent      new-checkout-ui raised from 10 % to 25 %: the evidence is healthy ...
//!   16:03:52  maria      power-peg paused.
//! ──────────────────────────────────────────────────────────────────────────────────
//! #128, 2026-03-06 16:04:12 UTC, agent, raise: raised to 25 %: ...
//! ```

use ratatui::layout::Rect;

use crate::{
    control::{Actor, Entry},
    tui::{
        Model, figures,
        pen::{Align, Pen},
    },
};

/// Lines below the rows for the selected entry in full.
const DETAIL: u16 = 4;
/// From so many lines on there is room for them.
const TALL: u16 = 12;
/// Widths of time and actor.
const TIME: u16 = 8;
const ACTOR: u16 = 10;

fn detail_rows(body: Rect) -> u16 {
    if body.height >= TALL { DETAIL } else { 0 }
}

/// Rows for entries.
pub(super) fn rows(body: Rect) -> u16 {
    body.height.saturating_sub(1 + detail_rows(body)).max(1)
}

pub(super) fn draw(model: &Model, area: Rect, pen: &mut Pen<'_>) {
    let theme = pen.theme;
    let mut x = area.x + 2;
    x = titles(pen, x, area.y);
    pen.text(x, area.y, area.right().saturating_sub(x), "what", theme.dim());
    let rows = usize::from(rows(area));
    let selected = model.log_row();
    let first = super::first_page_row(selected, rows);
    let mut y = area.y + 1;
    for (row, entry) in model.entries_of(None).enumerate().skip(first).take(rows) {
        draw_entry(entry, row == selected, Rect { y, height: 1, ..area }, pen);
        y += 1;
    }
    let end = area.y + 1 + u16::try_from(rows).unwrap_or(0);
    if y < end {
        let text = if model.fetching {
            "fetching older entries ..."
        } else if model.all_fetched {
            "the journal begins here"
        } else {
            "older entries are fetched as you go down"
        };
        pen.text(area.x + 2, y, area.width, text, theme.dim());
    }
    if detail_rows(area) > 0
        && let Some(entry) = model.entries_of(None).nth(selected)
    {
        let below = Rect { y: area.bottom() - DETAIL, height: DETAIL, ..area };
        pen.fill(below.x, below.y, below.width, theme.rule(), theme.dim());
        let head = format!(
            "{} {} UTC, {}, {}: {}",
            entry.seq,
            figures::day_and_clock(entry.at),
            entry.actor,
            entry.event.kind(),
            entry.sentence
        );
        pen.paragraph(Rect { y: below.y + 1, height: DETAIL - 1, ..below }, &head, theme.plain());
    }
}

fn titles(pen: &mut Pen<'_>, mut x: u16, y: u16) -> u16 {
    let dim = pen.theme.dim();
    pen.text(x, y, TIME, "time UTC", dim);
    x += TIME + 2;
    pen.text(x, y, ACTOR, "actor", dim);
    x += ACTOR + 1;
    x
}

/// One entry in one line.
pub(super) fn draw_entry(entry: &Entry, chosen: bool, area: Rect, pen: &mut Pen<'_>) {
    let theme = pen.theme;
    if chosen {
        pen.text(area.x, area.y, 1, theme.marker(), theme.strong());
    }
    let x = draw_head(entry, area, pen);
    let style = if chosen { theme.strong() } else { theme.plain() };
    pen.text(x, area.y, area.right().saturating_sub(x), &entry.sentence, style);
}

/// Time and actor; returns the column after them.
pub(super) fn draw_head(entry: &Entry, area: Rect, pen: &mut Pen<'_>) -> u16 {
    let theme = pen.theme;
    let y = area.y;
    let mut x = area.x + 2;
    pen.text(x, y, TIME, &figures::clock(entry.at), theme.dim());
    x += TIME + 2;
    let style = match &entry.actor {
        Actor::Person(_) => theme.person(),
        Actor::Shield => theme.strong(),
        Actor::Agent => theme.plain(),
        Actor::System => theme.dim(),
    };
    pen.cell(x, y, ACTOR, Align::Left, &entry.actor.to_string(), style);
    x + ACTOR + 1
}
