//! Why a command cannot be used right now: pure functions of the model, in sentences for people.
//!
//! They only spare a person a refusal; the backend has the last word, and must not be guessed at where what is on the
//! screen may be old.

use super::CommandId;
use crate::tui::{Model, pace};
use knightwatch_core::control::{Phase, Priority};
use knightwatch_engine::backend::{FlagView, Link};

const READ_ONLY: &str = "read-only: nothing can be changed from here";

const NO_BACKEND: &str = "a training is shown here, no backend: there are no flags to act on";

/// Why a command cannot be used right now; `None` when it can. The backend has the last word either way.
pub(in crate::tui) fn why_not(id: CommandId, model: &Model) -> Option<String> {
    if reach(id) == Reach::Changes && model.settings.read_only {
        return Some(if id == CommandId::KillAll {
            format!("{READ_ONLY}; from another terminal: {}", model.settings.elsewhere)
        } else {
            READ_ONLY.to_owned()
        });
    }
    if model.alone && reach(id) != Reach::Screen {
        return Some(NO_BACKEND.to_owned());
    }
    match id {
        CommandId::Rearm => match &model.world {
            Some(world) if world.latch.is_none() => {
                Some("kill-all is not in force: nothing to re-arm".to_owned())
            }
            Some(_) => None,
            None => Some("no data from the backend yet".to_owned()),
        },
        CommandId::Start
        | CommandId::Promote
        | CommandId::Release
        | CommandId::Pause
        | CommandId::Rollback
        | CommandId::Override => why_not_on_flag(id, model),
        CommandId::Acknowledge => {
            model.alarm_at_hand().is_none().then(|| "no alarm is waiting to be acknowledged".to_owned())
        }
        CommandId::Shelve => match model.alarm_to_shelve() {
            None => Some("no alarm is there to be shelved".to_owned()),
            Some(alarm) if alarm.priority() == Priority::Critical => {
                Some(format!("alarm {} is critical: the highest priority is never hidden", alarm.id.0))
            }
            Some(_) => None,
        },
        CommandId::Comprehend => match &model.world {
            None => Some("no data from the backend yet".to_owned()),
            Some(world) if world.briefed => Some("the briefing has been acknowledged".to_owned()),
            Some(_) => None,
        },
        CommandId::Faster | CommandId::Slower => {
            let world = model.world.as_ref();
            if world.is_some_and(|world| !world.simulated) {
                return Some("controller time is real time: it cannot be sped up".to_owned());
            }
            let next = world.and_then(|world| {
                if id == CommandId::Faster { pace::faster(world.pace) } else { pace::slower(world.pace) }
            });
            next.is_none().then(|| match world {
                None => "no data from the backend yet".to_owned(),
                Some(world) => format!("the pace is {} already", pace::name(world.pace)),
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
        CommandId::KillAll
        | CommandId::Rearm
        | CommandId::Start
        | CommandId::Promote
        | CommandId::Release
        | CommandId::Pause
        | CommandId::Rollback
        | CommandId::Override
        | CommandId::Acknowledge
        | CommandId::Shelve
        | CommandId::Comprehend
        | CommandId::Faster
        | CommandId::Slower => Reach::Changes,
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

/// Why a command cannot be used on the flag at hand.
fn why_not_on_flag(id: CommandId, model: &Model) -> Option<String> {
    let Some(world) = &model.world else { return Some("no data from the backend yet".to_owned()) };
    let Some(flag) = model.flag_at_hand().and_then(|key| world.flag(key)) else {
        return Some("no flag is selected: go to the fleet or to a flag".to_owned());
    };
    if flag.archived.is_some() {
        return Some(format!("{} was archived: nothing is done to it any more", flag.spec.key));
    }
    let raises = matches!(id, CommandId::Start | CommandId::Promote | CommandId::Override);
    if raises && world.latch.is_some() {
        return Some("kill-all is in force: re-arm first".to_owned());
    }
    let key = &flag.spec.key;
    if model.is_waiting_for(id, key) {
        return Some(format!("{key}: the same order is still waiting for its answer"));
    }
    match id {
        CommandId::Start if !flag.phase.needs_start() => {
            Some(format!("{key} is {}: it was started", flag.phase))
        }
        CommandId::Promote if flag.rollout.is_full() => Some(format!("{key} is at 100 %")),
        CommandId::Release if flag.hold.as_ref().is_none_or(|hold| hold.until <= world.now) => {
            Some(format!("nobody holds {key}"))
        }
        CommandId::Pause if !matches!(flag.phase, Phase::Ramping | Phase::Paused) => {
            Some(format!("{key} is {}: nothing to pause", flag.phase))
        }
        // What is on the screen may be old while the link is: then the backend is asked all the same.
        CommandId::Rollback
            if settled_at_zero(flag) && matches!(model.link, Link::Embedded | Link::Connected) =>
        {
            let next = match (flag.phase, &world.latch) {
                (Phase::Killed, Some(_)) => "; F12 re-arms, then F5 starts it",
                _ => "; F5 starts it",
            };
            Some(format!("{key} is {} at 0 %{next}", flag.phase))
        }
        _ => None,
    }
}

fn settled_at_zero(flag: &FlagView) -> bool {
    flag.rollout.is_zero() && flag.phase.is_settled()
}
