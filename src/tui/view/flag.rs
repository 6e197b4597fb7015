//! One flag.

use ratatui::layout::Rect;

use crate::{
    flag::FlagKey,
    tui::{Model, pen::Pen},
};

/// Rows for the flag's history.
pub(super) fn history_rows(body: Rect) -> u16 {
    body.height.saturating_sub(3).max(1)
}

pub(super) fn draw(model: &Model, key: &FlagKey, area: Rect, pen: &mut Pen<'_>) {
    let theme = pen.theme;
    let Some(flag) = model.world.as_ref().and_then(|world| world.flag(key)) else {
        pen.text(area.x, area.y, area.width, "the backend does not know this flag", theme.dim());
        return;
    };
    pen.text(
        area.x,
        area.y,
        area.width,
        &format!("{key} {} at {}", flag.phase, flag.rollout),
        theme.strong(),
    );
    pen.text(area.x, area.y + 1, area.width, &super::fleet::why(flag), theme.plain());
    for (y, entry) in (area.y + 3..area.bottom()).zip(model.entries_of(Some(key)).skip(model.scroll)) {
        super::log::draw_entry(entry, false, false, Rect { y, height: 1, ..area }, pen);
    }
}
