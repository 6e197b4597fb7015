//! Why a command cannot be used right now: pure functions of the model, in sentences for people.
//!
//! They only spare a person a refusal; the backend has the last word, and must not be guessed at where what is on the
//! screen may be old.

use super::{CommandId, orders};
use crate::tui::{Model, pace};

const READ_ONLY: &str = "read-only: nothing can be changed from here";

const NO_BACKEND: &str = "a training is shown here, no backend: there are no flags to act on";

/// Why a command cannot be used right now; `None` when it can. The backend has the last word either way.
pub(in crate::tui) fn why_not(id: CommandId, model: &Model) -> Option<String> {
    if reach(id) == Reach::Changes && model.settings.read_only {
        return Some(if id == CommandId::KILL_ALL {
            format!("{READ_ONLY}; from another terminal: {}", model.settings.elsewhere)
        } else {
            READ_ONLY.to_owned()
        });
    }
    if model.alone && reach(id) != Reach::Screen {
        return Some(NO_BACKEND.to_owned());
    }
    match id {
        CommandId::Order(name) => orders::why_not(name, model),
        CommandId::Faster | CommandId::Slower => {
            let fleet = model.fleet.as_ref();
            if fleet.is_some_and(|fleet| !fleet.simulated) {
                return Some("controller time is real time: it cannot be sped up".to_owned());
            }
            let next = fleet.and_then(|fleet| {
                if id == CommandId::Faster {
                    pace::faster(fleet.controller.pace)
                } else {
                    pace::slower(fleet.controller.pace)
                }
            });
            next.is_none().then(|| match fleet {
                None => "no data from the backend yet".to_owned(),
                Some(fleet) => format!("the pace is {} already", pace::name(fleet.controller.pace)),
            })
        }
        CommandId::Own(screen, _) if screen != model.screens.ground().row().id => {
            Some(format!("this works on the {} screen only", screen.name()))
        }
        CommandId::Own(..) | CommandId::OpenScreen(_) => model.screens.ground().why_not(id),
        _ => None,
    }
}

/// How far a command reaches.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// It changes something behind the backend.
    Changes,
    /// It is about flags, or about a screen that a backend fills.
    Reads,
    /// It is about the screen alone.
    Screen,
}

fn reach(id: CommandId) -> Reach {
    match id {
        CommandId::Order(_) | CommandId::Faster | CommandId::Slower => Reach::Changes,
        CommandId::Open | CommandId::Next | CommandId::Previous | CommandId::Copy => Reach::Reads,
        CommandId::OpenScreen(screen) => {
            let opener = screen.row().and_then(|row| row.opener.as_ref());
            if opener.is_some_and(|opener| opener.needs_backend) { Reach::Reads } else { Reach::Screen }
        }
        CommandId::Own(..)
        | CommandId::Down
        | CommandId::Up
        | CommandId::Top
        | CommandId::Bottom
        | CommandId::PageDown
        | CommandId::PageUp
        | CommandId::Palette
        | CommandId::Redraw
        | CommandId::Back
        | CommandId::Quit => Reach::Screen,
    }
}
