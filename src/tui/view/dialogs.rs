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
    dialog::{Dialog, FormField, OrderForm, PaletteDialog, Subject},
    pen::{Align, Pen},
};
use knightwatch_core::control::{Confirmation, OrderSpec, ValueKind};

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
        Some(Dialog::Confirm { spec, subject }) => draw_confirm(model, spec, subject, area, pen),
        Some(Dialog::Order(form)) => draw_form(model, form, area, pen),
        Some(Dialog::StopTraining) => draw_stop_training(area, pen),
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
        let none = format!("no command matches {typed:?}; Esc closes");
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
    let answer = "y or Ctrl-C stops; n or Esc continues the training";
    pen.text(inside.x, inside.y + 2, inside.width, answer, theme.strong());
}

/// What the palette calls an order.
fn name_of(spec: &OrderSpec) -> &'static str {
    command::spec(CommandId::Order(spec.entry())).map_or(spec.verb, |row| row.name)
}

/// A text of a row of the table of orders, with what is known now of what it is about. `None` for a flag that is gone.
fn filled(text: &str, model: &Model, subject: &Subject) -> Option<String> {
    match subject {
        Subject::Flag(key) => {
            let flag = model.fleet.as_ref().and_then(|fleet| fleet.flag(key))?;
            let text = text.replace("{phase}", flag.phase.as_str());
            let text = text.replace("{rollout}", &flag.rollout.to_string());
            Some(text.replace("{first}", &flag.spec.ladder.first().to_string()))
        }
        Subject::Alarm { text: said, .. } => Some(text.replace("{text}", said)),
        Subject::Backend => {
            let environment = model.fleet.as_ref().map_or("", |fleet| fleet.environment.as_str());
            Some(text.replace("{environment}", environment))
        }
    }
}

fn draw_confirm(model: &Model, spec: &OrderSpec, subject: &Subject, area: Rect, pen: &mut Pen<'_>) {
    let theme = pen.theme;
    let title = name_of(spec);
    let (question, now) = match subject {
        Subject::Flag(flag) => {
            let now = filled("It is {phase} at {rollout}.", model, subject);
            (format!("{title} {flag}?"), now.unwrap_or_else(|| "It is unknown at unknown.".to_owned()))
        }
        Subject::Alarm { id, text } => (format!("{title} {}?", id.0), text.clone()),
        Subject::Backend => (format!("{title}?"), String::new()),
    };
    let effect = match spec.confirmation {
        Confirmation::Ask(effect) | Confirmation::AskForGood(effect) => effect,
        Confirmation::None | Confirmation::Form { .. } | Confirmation::Arm => "",
    };
    let effect =
        filled(effect, model, subject).unwrap_or_else(|| effect.replace("{first}", "its first rung"));
    let inside = pen.frame(place(area, 5), title, theme.strong());
    pen.text(inside.x, inside.y, inside.width, &question, theme.strong());
    pen.text(inside.x, inside.y + 1, inside.width, &now, theme.plain());
    pen.text(inside.x, inside.y + 2, inside.width, &effect, theme.plain());
    keys(inside, &[("y", title), ("n", "cancel")], pen);
}

/// Width of the labels of a form.
const LABEL: u16 = 9;
/// Width of a number in a form.
const NUMBER: u16 = 10;

fn draw_form(model: &Model, form: &OrderForm, area: Rect, pen: &mut Pen<'_>) {
    let theme = pen.theme;
    let Confirmation::Form { does, text } = form.spec.confirmation else { return };
    let (title, style) = match &form.subject {
        Subject::Flag(flag) => (format!("{} {flag}", name_of(form.spec)), theme.dim()),
        Subject::Alarm { .. } | Subject::Backend => (name_of(form.spec).to_owned(), theme.plain()),
    };
    let rows = u16::try_from(form.fields.len()).unwrap_or(u16::MAX - 4);
    let inside = pen.frame(place(area, rows + 4), &title, theme.strong());
    let text =
        filled(text, model, &form.subject).unwrap_or_else(|| "the flag is not known any more".to_owned());
    pen.text(inside.x, inside.y, inside.width, &text, style);
    for ((line, field), row) in (inside.y + 1..inside.bottom()).zip(&form.fields).zip(0..) {
        let focussed = form.at == row;
        let label = if focussed { theme.strong() } else { theme.dim() };
        if focussed {
            pen.text(inside.x, line, 1, theme.marker(), theme.strong());
        }
        pen.text(inside.x + 2, line, LABEL - 2, field.label(), label);
        draw_field(model, form, field, focussed, line, inside, pen);
    }
    let y = inside.y + rows + 2;
    if y < inside.bottom()
        && let Some((place, error)) = &form.error
    {
        let label = form.fields.get(*place).map_or("", FormField::label);
        pen.text(inside.x, y, inside.width, &format!("{label}: {error}"), theme.abnormal());
    }
    keys(inside, &[("Enter", does), ("Tab", "next field"), ("Esc", "cancel")], pen);
}

/// A field of a form, beside its label.
fn draw_field(
    model: &Model,
    form: &OrderForm,
    field: &FormField,
    focussed: bool,
    line: u16,
    inside: Rect,
    pen: &mut Pen<'_>,
) {
    let theme = pen.theme;
    let x = inside.x + LABEL;
    let mut room = inside.right().saturating_sub(x);
    let hint = field.parameter.map_or("", |parameter| parameter.hint);
    match field.parameter.map(|parameter| parameter.kind) {
        Some(ValueKind::KillSwitch { off, on, .. }) => {
            let (mark, text, style) =
                if field.on { ('x', on, theme.abnormal()) } else { (' ', off, theme.plain()) };
            pen.text(x, line, room, &format!("[{mark}] {text}"), style);
        }
        Some(ValueKind::Percent | ValueKind::Span { .. }) => {
            draw_input(&field.input, focussed, (x, line, NUMBER.min(room)), pen);
            pen.text(x + NUMBER + 1, line, room.saturating_sub(NUMBER + 1), hint, theme.dim());
        }
        _ => {
            let hint = filled(hint, model, &form.subject).unwrap_or_default();
            let width = pen.width_of(&hint).min(room / 2);
            room -= width;
            pen.cell(x + room, line, width, Align::Right, &hint, theme.dim());
            draw_input(&field.input, focussed, (x, line, room), pen);
        }
    }
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
