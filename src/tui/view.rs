//! `view`: draws the model, and only reads it.
//!
//! ```text
//! knightwatch demo  scenario default (seed 7)           60× 16:04:12 UTC embedded   header
//! policy flagger (rule policy)              30 flags, 12 ramping, 2 paused          header
//! ALARM high: the shield rolled cart-badge back ...                     1 of 2      banners, when there are any
//! ... the screen ...                                                                body
//! p pause/resume  r roll back  o override ...                       Ctrl-K kill all footer, or a notice
//! ```
//!
//! Below 40×10 there is one line: what is wrong, and how many flags do what.

mod banner;
mod bottom;
mod dialogs;
pub(super) mod entry;
mod header;
mod kill;
pub(super) mod standing;
mod tiny;

use ratatui::{Frame, buffer::Buffer, layout::Rect};

use super::{Model, pen::Pen, theme::Theme};

/// Below this there is one summary line.
const MIN: (u16, u16) = (40, 10);
/// From here on there is room for the second line of the header.
const TALL: u16 = 14;

/// Draws the model.
pub fn view(model: &Model, frame: &mut Frame<'_>) {
    let area = frame.area();
    paint(model, area, frame.buffer_mut());
}

/// Where the parts of the screen are.
struct Parts {
    header: Rect,
    banners: Rect,
    body: Rect,
    footer: Rect,
}

fn is_tiny(area: Rect) -> bool {
    area.width < MIN.0 || area.height < MIN.1
}

fn parts(model: &Model, area: Rect) -> Parts {
    let tall = area.height >= TALL;
    let header = Rect { height: if tall { 2 } else { 1 }, ..area };
    let rows = banner::rows(model).min(if tall { 3 } else { 1 });
    let banners = Rect { y: header.bottom(), height: rows, ..area };
    let footer = Rect { y: area.bottom() - 1, height: 1, ..area };
    let body = Rect { y: banners.bottom(), height: footer.y - banners.bottom(), ..area };
    Parts { header, banners, body, footer }
}

fn paint(model: &Model, area: Rect, buffer: &mut Buffer) {
    let theme = Theme { glyphs: model.settings.glyphs, palette: model.settings.palette };
    let mut pen = Pen { buffer, theme };
    if is_tiny(area) {
        return tiny::draw(model, area, &mut pen);
    }
    let parts = parts(model, area);
    header::draw(model, parts.header, &mut pen);
    banner::draw(model, parts.banners, &mut pen);
    model.screens.top().draw(model, parts.body, &mut pen);
    bottom::draw(model, parts.footer, &mut pen);
    dialogs::draw(model, parts.body, &mut pen);
    kill::draw(model, Rect { height: area.height - 1, ..area }, &mut pen);
}

/// Where the screen shown is drawn.
pub(super) fn body(model: &Model) -> Rect {
    let area = Rect::new(0, 0, model.size.0, model.size.1);
    if is_tiny(area) { area } else { parts(model, area).body }
}

/// Whether what is shown may be out of date because the link is not up.
pub(super) fn is_stale(model: &Model) -> bool {
    use knightwatch_engine::backend::Link;
    matches!(model.link, Link::Stale(_) | Link::Lost { .. })
}

/// The moment that what is shown is of, where it may be out of date: ages are as they were then.
pub(super) fn as_of(model: &Model) -> Option<String> {
    let fleet = model.fleet.as_ref().filter(|_| is_stale(model))?;
    Some(format!("as of {}", super::figures::clock(fleet.controller.now)))
}

/// The first row of the page that the cursor is on.
pub(super) fn first_page_row(selected: usize, rows: usize) -> usize {
    let rows = rows.max(1);
    selected / rows * rows
}
