//! The last line: the keys that work here and now, or a notice in their place.

use ratatui::layout::Rect;

use crate::tui::{
    Model,
    command::{COMMANDS, CommandId, Scope, Spec, why_not},
    model::Tone,
    pen::Pen,
    screen::help,
};

pub(super) fn draw(model: &Model, area: Rect, pen: &mut Pen<'_>) {
    let theme = pen.theme;
    if let Some(notice) = &model.notice {
        let style = if notice.tone == Tone::Bad { theme.abnormal() } else { theme.strong() };
        pen.text(area.x, area.y, area.width, &notice.text, style);
        return;
    }
    // Kill-all is never pushed out by anything else.
    let last = "Ctrl-K kill all";
    let start = area.right().saturating_sub(pen.width_of(last));
    let kills = !model.settings.read_only && !model.alone;
    if kills {
        pen.spans(start, area.y, area.right(), &[("Ctrl-K", theme.strong()), (" kill all", theme.dim())]);
    }
    let end = if kills { start.saturating_sub(2) } else { area.right() };
    let mut x = area.x;
    let screen = model.screens.top().row();
    // Where nothing else on the screen tells its own keys, they come first, and help after them.
    let first = |spec: &&Spec| {
        let own = spec.screens == Scope::Only(screen.id) || spec.id == CommandId::OpenScreen(help::ID);
        screen.own_keys_first && own
    };
    let rest = COMMANDS.iter().filter(|spec| !first(spec));
    for spec in COMMANDS.iter().filter(first).chain(rest) {
        let here =
            spec.screens.includes(screen.id) && !spec.short.is_empty() && spec.id != CommandId::KILL_ALL;
        if !here || why_not(spec.id, model).is_some() {
            continue;
        }
        let Some(key) = spec.keys.first().map(crate::tui::command::Chord::label) else { continue };
        let width = pen.width_of(&key) + 1 + pen.width_of(spec.short);
        if x + width > end {
            continue;
        }
        x = pen.spans(
            x,
            area.y,
            end,
            &[(&key, theme.strong()), (" ", theme.dim()), (spec.short, theme.dim())],
        ) + 2;
    }
}
