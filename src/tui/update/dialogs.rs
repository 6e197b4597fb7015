//! Keys while a dialog is open.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::Map;

use super::{Effect, Model, close_dialog, commands, send};
use crate::tui::{
    command::{CommandId, why_not},
    dialog::{self, Dialog, PaletteDialog, Subject},
    model::Tone,
};
use knightwatch_core::control::{Command, OrderSpec};

/// What a dialog wants done after a key.
enum Then {
    /// Nothing more.
    Stay,
    /// Close it.
    Close,
    /// Close it and give this order.
    Send(Command, String),
    /// Close it and do this command.
    Run(CommandId),
    /// Stay, and say this.
    Say(String),
    /// Close it and leave.
    Leave,
}

pub(super) fn key(model: &mut Model, event: &KeyEvent, effects: &mut Vec<Effect>) {
    if event.code == KeyCode::Esc {
        return close_dialog(model);
    }
    let environment = model.fleet.as_ref().map(|fleet| fleet.environment.clone()).unwrap_or_default();
    let Some(dialog) = &mut model.dialog else { return };
    let then = match dialog {
        Dialog::Palette(palette) => in_palette(palette, event),
        Dialog::Confirm { spec, subject } => in_confirm(spec, subject, event),
        Dialog::StopTraining => in_stop_training(event),
        Dialog::Order(form) => {
            if form.key(event) {
                match form.order(&environment) {
                    Ok((command, reason)) => Then::Send(command, reason),
                    Err(error) => {
                        form.at = error.0;
                        form.error = Some(error);
                        Then::Stay
                    }
                }
            } else {
                Then::Stay
            }
        }
    };
    match then {
        Then::Stay => {}
        Then::Close => close_dialog(model),
        Then::Leave => {
            close_dialog(model);
            effects.push(Effect::Quit);
        }
        Then::Say(text) => model.say(Tone::Plain, text),
        Then::Send(command, reason) => {
            close_dialog(model);
            send(model, command, reason, effects);
        }
        Then::Run(id) => {
            // The reason is shown beside the command while the palette is open.
            if let Some(why) = why_not(id, model) {
                return model.say(Tone::Bad, why);
            }
            close_dialog(model);
            commands::run(model, id, effects);
        }
    }
}

fn in_palette(palette: &mut PaletteDialog, event: &KeyEvent) -> Then {
    let last = palette.matches.len().saturating_sub(1);
    match event.code {
        KeyCode::Enter => return palette.chosen().map_or(Then::Stay, Then::Run),
        KeyCode::Down | KeyCode::Tab => palette.selected = (palette.selected + 1).min(last),
        KeyCode::Up | KeyCode::BackTab => palette.selected = palette.selected.saturating_sub(1),
        _ => {
            dialog::edit(&mut palette.input, event);
            palette.search();
        }
    }
    Then::Stay
}

/// Keys of the question whether the trainer is to stop.
fn in_stop_training(event: &KeyEvent) -> Then {
    if event.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) {
        return Then::Stay;
    }
    match event.code {
        KeyCode::Char('y') => Then::Leave,
        KeyCode::Char('n' | 'q') => Then::Close,
        KeyCode::Enter => Then::Say(NOT_BY_ENTER.to_owned()),
        _ => Then::Stay,
    }
}

/// Enter is a reflex.
const NOT_BY_ENTER: &str = "Enter does not confirm: press y, or n to cancel";

/// `y` and nothing else confirms.
fn in_confirm(spec: &OrderSpec, subject: &Subject, event: &KeyEvent) -> Then {
    if event.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) {
        return Then::Stay;
    }
    match event.code {
        KeyCode::Char('y') => match spec.command(subject.target(), Map::new()) {
            Ok(command) => Then::Send(command, String::new()),
            Err(why) => Then::Say(why),
        },
        KeyCode::Char('n' | 'q') => Then::Close,
        KeyCode::Enter => Then::Say(NOT_BY_ENTER.to_owned()),
        _ => Then::Stay,
    }
}
