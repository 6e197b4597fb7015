//! The history of one flag: its journal entries, the newest first, each with the mark it has under the charts.
//!
//! A sentence takes two lines where there is room; the flag's own key is left out of it.

use ratatui::layout::Rect;

use crate::tui::{
    Model,
    pen::{Pen, wrap},
    view::entry::{self, Kind},
};
use knightwatch_core::flag::FlagKey;

/// From so many lines on a sentence may take two of them.
const ROOMY: u16 = 7;
/// Lines of a sentence at most.
const LINES: u16 = 2;

/// Lines of an entry at most, in a history so many lines high.
const fn lines(rows: u16) -> u16 {
    if rows >= ROOMY { LINES } else { 1 }
}

/// Entries that are sure to fit into a history `height` lines high with its title.
pub(super) fn rows(height: u16) -> u16 {
    let rows = height.saturating_sub(1);
    (rows / lines(rows)).max(1)
}

pub(super) fn draw(model: &Model, key: &FlagKey, scroll: usize, area: Rect, pen: &mut Pen<'_>) {
    if area.height == 0 {
        return;
    }
    let theme = pen.theme;
    pen.fill(area.x, area.y, area.width, theme.rule(), theme.dim());
    let end = pen.text(area.x + 2, area.y, area.width, " history ", theme.dim());
    legend(end, area, pen);
    let all = model.entries_of(Some(key)).count();
    if all == 0 {
        pen.text(area.x + 2, area.y + 1, area.width, "nothing has happened to it yet", theme.dim());
    }
    let scroll = scroll.min(all.saturating_sub(usize::from(rows(area.height))));
    let most = usize::from(lines(area.height - 1));
    let mut y = area.y + 1;
    for entry in model.entries_of(Some(key)).skip(scroll) {
        if y >= area.bottom() {
            break;
        }
        let x = entry::draw_head(entry, Rect { y, height: 1, ..area }, pen);
        if let Some(kind) = Kind::of(&entry.event, &entry.actor) {
            let (symbol, style) = kind.symbol(pen);
            pen.put(area.x, y, symbol, style);
        }
        let own = entry.sentence.strip_prefix(key.as_str()).and_then(|rest| rest.strip_prefix(' '));
        let width = area.right().saturating_sub(x);
        let wrapped = wrap(own.unwrap_or(&entry.sentence), usize::from(width));
        for row in 0..wrapped.len().min(most) {
            if y >= area.bottom() {
                break;
            }
            let last = row + 1 == most || y + 1 == area.bottom();
            let line = if last { wrapped[row..].join(" ") } else { wrapped[row].clone() };
            pen.text(x, y, width, &line, theme.plain());
            y += 1;
        }
    }
}

/// What the marks mean, on the title's line.
fn legend(left: u16, area: Rect, pen: &mut Pen<'_>) {
    let dim = pen.theme.dim();
    let marks = [(Kind::Up, "raise"), (Kind::Down, "lower"), (Kind::Veto, "veto"), (Kind::Person, "person")];
    let width: u16 = marks.iter().map(|(_, word)| pen.width_of(word) + 4).sum();
    let Some(start) = area.right().checked_sub(width + 2).filter(|start| *start > left) else { return };
    let mut x = start;
    for (kind, word) in marks {
        let (symbol, style) = kind.symbol(pen);
        x = pen.spans(
            x,
            area.y,
            area.right(),
            &[(" ", dim), (symbol, style), (" ", dim), (word, dim), (" ", dim)],
        );
    }
}
