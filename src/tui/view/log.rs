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

use crate::tui::{
    Model, figures,
    pen::{Align, Pen, wrap},
};
use knightwatch_core::control::{Actor, Entry};

/// Fewest lines below the rows for the selected entry in full, its rule included.
const DETAIL: u16 = 4;
/// From so many lines on there is room for them.
const TALL: u16 = 12;
/// Widths of time and actor.
const TIME: u16 = 8;
const ACTOR: u16 = 10;

/// As many lines as the selected entry takes, up to a third of the screen.
fn detail_rows(model: &Model, body: Rect) -> u16 {
    if body.height < TALL {
        return 0;
    }
    let entry = model.entries_of(None).nth(model.log_row());
    let lines = entry.map_or(0, |entry| wrap(&in_full(entry), usize::from(body.width)).len());
    u16::try_from(lines + 1).unwrap_or(u16::MAX).clamp(DETAIL, (body.height / 3).max(DETAIL))
}

/// Rows for entries.
pub(super) fn rows(model: &Model, body: Rect) -> u16 {
    body.height.saturating_sub(1 + detail_rows(model, body)).max(1)
}

/// All there is to say of an entry.
fn in_full(entry: &Entry) -> String {
    format!(
        "{} {} UTC, {}, {}: {}",
        entry.seq,
        figures::day_and_clock(entry.at),
        entry.actor,
        entry.event.kind(),
        entry.sentence
    )
}

pub(super) fn draw(model: &Model, area: Rect, pen: &mut Pen<'_>) {
    let theme = pen.theme;
    let mut x = area.x + 2;
    x = titles(pen, x, area.y);
    pen.text(x, area.y, area.right().saturating_sub(x), "what", theme.dim());
    let rows = usize::from(rows(model, area));
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
    let detail = detail_rows(model, area);
    if detail > 0
        && let Some(entry) = model.entries_of(None).nth(selected)
    {
        let below = Rect { y: area.bottom() - detail, height: detail, ..area };
        pen.fill(below.x, below.y, below.width, theme.rule(), theme.dim());
        pen.paragraph(Rect { y: below.y + 1, height: detail - 1, ..below }, &in_full(entry), theme.plain());
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
