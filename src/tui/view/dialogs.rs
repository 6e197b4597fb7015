//! Dialogs over the screen: the palette, confirmations and forms.
//!
//! ```text
//! ┌ commands ────────────────────────────────────┐   ┌ override new-checkout-ui ───────────────────────┐
//! │ : roll                                       │   │ share   12.5      percent, 0 to 100             │
//! │ > roll back      r   this flag to 0 %; ...   │   │ for     30        minutes, empty: the default   │
//! │   override       o   set this flag's ...     │   │ ...                                             │
//! └──────────────────────────────────────────────┘   └─────────────────────────────────────────────────┘
//! ```

use ratatui::layout::Rect;
use tui_input::Input;

use crate::tui::{
    Model,
    command::{self, CommandId, why_not},
    dialog::{About, Dialog, Field, OverrideForm, PaletteDialog, ReasonForm},
    pen::{Align, Pen},
};
use knightwatch_core::flag::FlagKey;

/// Widest dialog.
const WIDE: u16 = 76;
/// Widest palette: a line of help has to fit.
const WIDE_PALETTE: u16 = 104;

/// Lines of the palette for the chosen command in full, with the rule above them.
const TOLD: u16 = 3;

/// A box of `height` lines inside, in the middle of `area`.
fn place(area: Rect, height: u16) -> Rect {
    place_wide(area, height, WIDE)
}

fn place_wide(area: Rect, height: u16, widest: u16) -> Rect {
    let width = widest.min(area.width.saturating_sub(2)).max(4);
    let height = (height + 2).min(area.height);
    Rect::new(area.x + (area.width - width) / 2, area.y + (area.height - height) / 3, width, height)
}

pub(super) fn draw(model: &Model, area: Rect, pen: &mut Pen<'_>) {
    match &model.dialog {
        None => {}
        Some(Dialog::Palette(palette)) => draw_palette(model, palette, area, pen),
        Some(Dialog::Confirm { what, flag }) => draw_confirm(model, *what, flag, area, pen),
        Some(Dialog::Override(form)) => draw_override(model, form, area, pen),
        Some(Dialog::StopTraining) => draw_stop_training(area, pen),
        Some(Dialog::Reason(form)) => draw_reason(model, form, area, pen),
    }
}

/// A line of text being typed, with its cursor.
fn draw_input(input: &Input, focussed: bool, (x, y, width): (u16, u16, u16), pen: &mut Pen<'_>) {
    if width == 0 {
        return;
    }
    let theme = pen.theme;
    let room = usize::from(width.saturating_sub(1)).max(1);
    let scroll = input.visual_scroll(room);
    let mut skipped = 0;
    let shown: String = input
        .value()
        .chars()
        .skip_while(|letter| {
            let wide = unicode_width::UnicodeWidthChar::width(*letter).unwrap_or(0);
            let skip = skipped < scroll;
            skipped += if skip { wide } else { 0 };
            skip
        })
        .collect();
    let style = if focussed { theme.strong() } else { theme.plain() };
    pen.text(x, y, width, &shown, style);
    if focussed {
        let at = u16::try_from(input.visual_cursor().saturating_sub(skipped.max(scroll))).unwrap_or(0);
        if let Some(cell) = pen.buffer.cell_mut((x + at.min(width - 1), y)) {
            cell.set_style(theme.cursor());
        }
    }
}

fn draw_palette(model: &Model, palette: &PaletteDialog, area: Rect, pen: &mut Pen<'_>) {
    let theme = pen.theme;
    let rows =
        u16::try_from(command::COMMANDS.iter().filter(|spec| !spec.name.is_empty()).count()).unwrap_or(20);
    let inside = pen.frame(place_wide(area, rows + 2 + TOLD, WIDE_PALETTE), "commands", theme.strong());
    pen.text(inside.x, inside.y, 1, ":", theme.dim());
    draw_input(&palette.input, true, (inside.x + 2, inside.y, inside.width.saturating_sub(2)), pen);
    // Two lines at the bottom for the chosen command in full, and how many there are below.
    let told = if inside.height >= TOLD + 4 { TOLD } else { 0 };
    let rows = usize::from(inside.height.saturating_sub(2 + told)).max(1);
    let first = super::first_page_row(palette.selected, rows);
    if palette.matches.is_empty() {
        let typed = knightwatch_core::flag::clean(palette.input.value()).into_owned();
        let none = format!("no command matches {typed:?}; Esc leaves");
        pen.text(inside.x, inside.y + 2, inside.width, &none, theme.plain());
    }
    let shown = palette.matches.iter().enumerate().skip(first).take(rows);
    for (y, (row, id)) in (inside.y + 2..inside.bottom()).zip(shown) {
        let Some(spec) = command::spec(*id) else { continue };
        let why = why_not(*id, model);
        let chosen = row == palette.selected;
        if chosen {
            pen.text(inside.x, y, 1, theme.marker(), theme.strong());
        }
        let style = match (&why, chosen) {
            (_, true) => theme.cursor(),
            (None, false) => theme.plain(),
            (Some(_), false) => theme.dim(),
        };
        pen.text(inside.x + 2, y, 21, spec.name, style);
        let key = spec.keys.first().map(command::Chord::label).unwrap_or_default();
        pen.text(inside.x + 24, y, 7, &key, theme.strong());
        let text = why.map_or_else(|| spec.help.to_owned(), |why| format!("not now: {why}"));
        pen.text(inside.x + 32, y, inside.width.saturating_sub(32), &text, theme.dim());
    }
    if told > 0 {
        let foot = Rect { y: inside.bottom() - told, height: told, ..inside };
        pen.fill(foot.x, foot.y, foot.width, theme.rule(), theme.dim());
        let below = palette.matches.len().saturating_sub(first + rows);
        if below > 0 {
            let more = format!(" {below} more below ");
            let width = pen.width_of(&more);
            pen.text(foot.right().saturating_sub(width + 2), foot.y, width, &more, theme.person());
        }
        if let Some(spec) = palette.chosen().and_then(command::spec) {
            let text = match why_not(spec.id, model) {
                Some(why) => format!("{}. Not now: {why}", spec.help),
                None => spec.help.to_owned(),
            };
            pen.paragraph(Rect { y: foot.y + 1, height: told - 1, ..foot }, &text, theme.plain());
        }
    }
}

fn draw_stop_training(area: Rect, pen: &mut Pen<'_>) {
    let theme = pen.theme;
    let inside = pen.frame(place(area, 3), "stop training?", theme.strong());
    pen.text(inside.x, inside.y, inside.width, "The last checkpoint is kept.", theme.plain());
    let answer = "y stops, and so does Ctrl-C; n or Esc trains on";
    pen.text(inside.x, inside.y + 2, inside.width, answer, theme.strong());
}

fn draw_confirm(model: &Model, what: CommandId, flag: &FlagKey, area: Rect, pen: &mut Pen<'_>) {
    let theme = pen.theme;
    let now = model.world.as_ref().and_then(|world| world.flag(flag));
    let at = now.map_or_else(|| "unknown".to_owned(), |flag| flag.rollout.to_string());
    let phase = now.map_or("unknown", |flag| flag.phase.as_str());
    let (title, effect) = match what {
        CommandId::Rollback => {
            ("roll back", "It goes to 0 % at once; only a person starts it again.".to_owned())
        }
        CommandId::Start => {
            let first =
                now.map_or_else(|| "its first rung".to_owned(), |flag| flag.spec.ladder.first().to_string());
            ("start", format!("It goes to {first}, and the agent moves it from there."))
        }
        CommandId::Promote => {
            ("promote", "It goes straight to 100 %: the agent's steps are left out.".to_owned())
        }
        _ => ("release", "The agent may move it again at once; a person's hold ends.".to_owned()),
    };
    let inside = pen.frame(place(area, 5), title, theme.strong());
    let name = format!("{title} {flag}?");
    pen.text(inside.x, inside.y, inside.width, &name, theme.strong());
    pen.text(inside.x, inside.y + 1, inside.width, &format!("It is {phase} at {at}."), theme.plain());
    pen.text(inside.x, inside.y + 2, inside.width, &effect, theme.plain());
    keys(inside, &[("y", title), ("n", "leave it")], pen);
}

/// Width of the labels of a form.
const LABEL: u16 = 9;
/// Width of a number in a form.
const NUMBER: u16 = 10;

fn draw_override(model: &Model, form: &OverrideForm, area: Rect, pen: &mut Pen<'_>) {
    let theme = pen.theme;
    let inside = pen.frame(place(area, 8), &format!("override {}", form.flag), theme.strong());
    let now = model.world.as_ref().and_then(|world| world.flag(&form.flag));
    let text = now.map_or_else(
        || "the flag is not known any more".to_owned(),
        |flag| format!("now {} at {}; the agent keeps off until this expires", flag.phase, flag.rollout),
    );
    pen.text(inside.x, inside.y, inside.width, &text, theme.dim());
    for (line, field) in (inside.y + 1..inside.bottom()).zip(Field::ALL) {
        let focussed = form.field == field;
        let label = if focussed { theme.strong() } else { theme.dim() };
        if focussed {
            pen.text(inside.x, line, 1, theme.marker(), theme.strong());
        }
        pen.text(inside.x + 2, line, LABEL - 2, field.label(), label);
        let x = inside.x + LABEL;
        let room = inside.right().saturating_sub(x);
        match field {
            Field::Percent | Field::Minutes => {
                let hint = if field == Field::Percent {
                    "percent, 0 to 100"
                } else {
                    "minutes; empty: the backend's default hold"
                };
                if let Some(input) = form.input(field) {
                    draw_input(input, focussed, (x, line, NUMBER.min(room)), pen);
                }
                pen.text(x + NUMBER + 1, line, room.saturating_sub(NUMBER + 1), hint, theme.dim());
            }
            Field::Reason => draw_input(&form.reason, focussed, (x, line, room), pen),
            Field::Guard => {
                let (text, style) = if form.guard_off {
                    ("[x] hard limits OFF until it expires", theme.abnormal())
                } else {
                    ("[ ] hard limits stay on (Space switches them off)", theme.plain())
                };
                pen.text(x, line, room, text, style);
            }
        }
    }
    let y = inside.y + 6;
    if y < inside.bottom()
        && let Some((field, error)) = &form.error
    {
        pen.text(inside.x, y, inside.width, &format!("{}: {error}", field.label()), theme.abnormal());
    }
    keys(inside, &[("Enter", "set"), ("Tab", "next field"), ("Esc", "leave it")], pen);
}

fn draw_reason(model: &Model, form: &ReasonForm, area: Rect, pen: &mut Pen<'_>) {
    let theme = pen.theme;
    let environment = model.world.as_ref().map_or("", |world| world.environment.as_str());
    let (title, label, does, text, hint) = match &form.about {
        About::Rearm => {
            let text = "This opens the kill latch and starts nothing: every flag stays killed.";
            ("re-arm", "name", "re-arm", text, format!("type {environment}"))
        }
        About::Shelve { text, .. } => {
            ("shelve alarm", "for", "shelve", text.as_str(), "minutes, 1 to 480".to_owned())
        }
    };
    let inside = pen.frame(place(area, 7), title, theme.strong());
    pen.text(inside.x, inside.y, inside.width, text, theme.plain());
    let rows = [(label, &form.what, !form.on_reason), ("reason", &form.reason, form.on_reason)];
    for (line, (label, input, focussed)) in (inside.y + 2..inside.bottom()).zip(rows) {
        let style = if focussed { theme.strong() } else { theme.dim() };
        if focussed {
            pen.text(inside.x, line, 1, theme.marker(), theme.strong());
        }
        pen.text(inside.x + 2, line, LABEL - 2, label, style);
        let x = inside.x + LABEL;
        let mut room = inside.right().saturating_sub(x);
        if label != "reason" {
            let width = pen.width_of(&hint).min(room / 2);
            room -= width;
            pen.cell(x + room, line, width, Align::Right, &hint, theme.dim());
        }
        draw_input(input, focussed, (x, line, room), pen);
    }
    let y = inside.y + 5;
    if y < inside.bottom()
        && let Some(error) = &form.error
    {
        pen.text(inside.x, y, inside.width, error, theme.abnormal());
    }
    keys(inside, &[("Enter", does), ("Tab", "next field"), ("Esc", "leave it")], pen);
}

/// The keys of a dialog, on its last line.
fn keys(inside: Rect, keys: &[(&str, &str)], pen: &mut Pen<'_>) {
    let theme = pen.theme;
    if inside.height == 0 {
        return;
    }
    let y = inside.bottom() - 1;
    let mut x = inside.x;
    for (key, what) in keys {
        x = pen.spans(
            x,
            y,
            inside.right(),
            &[(key, theme.strong()), (" ", theme.dim()), (what, theme.dim())],
        ) + 3;
    }
}
