//! What each command of the table does to the model.

use super::{Effect, Model, close_dialog, fetch_older, orders};
use crate::tui::{
    command::{self, CommandId},
    dialog::{Dialog, PaletteDialog},
    model::Tone,
    pace,
    screen::{Next, SCREENS, ScreenId, Step, flag::FlagScreen},
    view,
};
use knightwatch_core::flag::FlagKey;

/// Does a command, or says why not.
pub(super) fn run(model: &mut Model, id: CommandId, effects: &mut Vec<Effect>) {
    if let Some(why) = command::why_not(id, model) {
        return model.say(Tone::Bad, why);
    }
    match id {
        CommandId::Order(name) => orders::begin(model, name, effects),
        CommandId::Faster | CommandId::Slower => {
            let step = if id == CommandId::Faster { pace::faster } else { pace::slower };
            if let Some(next) = model.fleet.as_ref().and_then(|fleet| step(fleet.controller.pace)) {
                effects.push(Effect::SetPace(next));
            }
        }
        CommandId::Open => open_flag(model),
        CommandId::Down => step(model, Step::By(1), effects),
        CommandId::Up => step(model, Step::By(-1), effects),
        CommandId::Top => step(model, Step::First, effects),
        CommandId::Bottom => step(model, Step::Last, effects),
        CommandId::PageDown => step(model, Step::By(page(model)), effects),
        CommandId::PageUp => step(model, Step::By(-page(model)), effects),
        CommandId::Next => next(model, 1),
        CommandId::Previous => next(model, -1),
        CommandId::Copy => copy(model, effects),
        CommandId::OpenScreen(screen) => open_screen(model, screen),
        CommandId::Own(_, command) => {
            let told = model.screens.top_mut().run(command, model.fleet.as_ref());
            if let Some(text) = told {
                model.say(Tone::Plain, text);
            }
        }
        CommandId::Palette => model.dialog = Some(Dialog::Palette(PaletteDialog::new())),
        CommandId::Redraw => effects.push(Effect::Redraw),
        CommandId::Back => model.screens.back(),
        CommandId::Quit => {
            if model.dialog.is_some() {
                close_dialog(model);
            } else if !model.screens.is_at_base() {
                model.screens.back();
            } else if model.is_live_training() {
                model.dialog = Some(Dialog::StopTraining);
            } else {
                effects.push(Effect::Quit);
            }
        }
    }
}

/// Opens a screen by its command. Goes back to it where it is open below; one that was closed keeps its cursor.
pub(super) fn open_screen(model: &mut Model, id: ScreenId) {
    let Some(opener) = id.row().and_then(|row| row.opener.as_ref()) else { return };
    if !model.screens.back_to(|screen| screen.row().id == id) {
        let screen = match model.screens.take_closed(id) {
            Some(screen) => screen,
            None => match (opener.open)(model) {
                Ok(screen) => screen,
                Err(why) => return model.say(Tone::Bad, why),
            },
        };
        model.screens.push(screen);
    }
    model.screens.top_mut().opened(model.now);
}

fn open_flag(model: &mut Model) {
    let Some(flag) = model.screens.top().enter(model) else {
        return model.say(Tone::Plain, "this is not about one flag: nothing to open");
    };
    select(model, &flag);
    if !model.screens.back_to(|screen| FlagScreen::is_of(screen, &flag)) {
        model.screens.push(Box::new(FlagScreen::new(flag)));
    }
}

/// Lets the cursors of lists follow to a flag that is opened.
fn select(model: &mut Model, flag: &FlagKey) {
    for screen in model.screens.iter_mut() {
        screen.select(flag);
    }
}

/// Rows of a page on the screen shown.
fn page(model: &Model) -> isize {
    let rows = model.screens.top().page(model, view::body(model));
    isize::try_from(rows).unwrap_or(1).max(1)
}

fn step(model: &mut Model, step: Step, effects: &mut Vec<Effect>) {
    let body = view::body(model);
    let last_scroll = model.screens.top().last_scroll(model, body);
    model.screens.top_mut().step(step, model.fleet.as_ref(), last_scroll);
    if model.screens.top().wants_older(model, body) {
        fetch_older(model, effects);
    }
}

/// Tab: to the next flag, or to the next screen of the cycle. `by` is 1 or -1.
fn next(model: &mut Model, by: isize) {
    match model.screens.top().next(model, by) {
        Next::Stay => {}
        Next::Flag(flag) => {
            select(model, &flag);
            model.screens.replace(Box::new(FlagScreen::new(flag)));
        }
        Next::Screen => {
            let shown = model.screens.top().row().id;
            let cycle: Vec<_> = SCREENS.iter().filter(|row| row.in_cycle).map(|row| row.id).collect();
            let place = cycle.iter().position(|id| *id == shown).unwrap_or(0);
            let place = if by > 0 { place + 1 } else { place + cycle.len().saturating_sub(1) };
            model.screens.back_to_base();
            if let Some(id) = cycle.get(place % cycle.len().max(1)) {
                open_screen(model, *id);
            }
        }
    }
}

fn copy(model: &mut Model, effects: &mut Vec<Effect>) {
    let Some(text) = model.screens.top().copy(model) else {
        return model.say(Tone::Plain, "nothing to copy");
    };
    // A copied text ends up in a shell or a chat: as harmless there as here.
    let text = knightwatch_core::flag::clean_line(&text);
    model.say(Tone::Plain, format!("copied: {text}"));
    effects.push(Effect::Copy(text));
}
