//! What each command of the table does to the model.

use super::{Effect, Model, close_dialog, fetch_older, send};
use crate::tui::{
    command::{self, CommandId},
    dialog::{About, Dialog, OverrideForm, PaletteDialog, ReasonForm},
    model::{Screen, Tone},
    pace,
    training::Training,
    view,
};
use knightwatch_agent::training::TrainingLog;
use knightwatch_core::{
    control::{Command, Phase},
    flag::FlagKey,
};

/// Does a command, or says why not.
pub(super) fn run(model: &mut Model, id: CommandId, effects: &mut Vec<Effect>) {
    if let Some(why) = command::why_not(id, model) {
        return model.say(Tone::Bad, why);
    }
    match id {
        CommandId::KillAll => model.kill.arm(model.now),
        CommandId::Rearm => model.dialog = Some(Dialog::Reason(ReasonForm::new(About::Rearm))),
        CommandId::Start | CommandId::Promote | CommandId::Release | CommandId::Rollback => {
            if let Some(flag) = model.flag_at_hand().cloned() {
                model.dialog = Some(Dialog::Confirm { what: id, flag });
            }
        }
        CommandId::Override => {
            if let Some(flag) = model.flag_at_hand().cloned() {
                model.dialog = Some(Dialog::Override(OverrideForm::new(flag)));
            }
        }
        CommandId::Pause => pause(model, effects),
        CommandId::Acknowledge => {
            if let Some(alarm) = model.alarm_at_hand().map(|alarm| alarm.id) {
                send(model, Command::Acknowledge { alarm }, String::new(), effects);
            }
        }
        CommandId::Shelve => {
            if let Some(alarm) = model.alarm_to_shelve() {
                let about = About::Shelve { alarm: alarm.id, text: alarm.text.clone() };
                model.dialog = Some(Dialog::Reason(ReasonForm::new(about)));
            }
        }
        CommandId::Comprehend => {
            send(model, Command::AcknowledgeBriefing, String::new(), effects);
            back(model);
        }
        CommandId::Faster | CommandId::Slower => {
            let step = if id == CommandId::Faster { pace::faster } else { pace::slower };
            if let Some(next) = model.world.as_ref().and_then(|world| step(world.pace)) {
                effects.push(Effect::SetPace(next));
            }
        }
        CommandId::Open => open_selected(model),
        CommandId::Down | CommandId::Later => step(model, Step::By(1), effects),
        CommandId::Up | CommandId::Earlier => step(model, Step::By(-1), effects),
        CommandId::Top => step(model, Step::First, effects),
        CommandId::Bottom => step(model, Step::Last, effects),
        CommandId::PageDown => step(model, Step::By(page(model)), effects),
        CommandId::PageUp => step(model, Step::By(-page(model)), effects),
        CommandId::Next => next(model, 1),
        CommandId::Previous => next(model, -1),
        CommandId::Sort => {
            model.sort = model.sort.next();
            model.sort_fleet();
            model.say(Tone::Plain, format!("sorted by {}", model.sort.name()));
        }
        CommandId::Copy => copy(model, effects),
        CommandId::Log => go(model, Screen::Log),
        CommandId::Alarms => go(model, Screen::Alarms),
        CommandId::Training => open_training(model),
        CommandId::Play => {
            if let Some(training) = &mut model.training {
                training.toggle();
            }
        }
        CommandId::PlayFaster | CommandId::PlaySlower => {
            let by = if id == CommandId::PlayFaster { 1 } else { -1 };
            if let Some(training) = &mut model.training
                && let Some(speed) = training.changed_speed(by)
            {
                training.set_speed(speed);
            }
        }
        CommandId::Briefing => go(model, Screen::Briefing),
        CommandId::Help => go(model, Screen::Help),
        CommandId::Palette => model.dialog = Some(Dialog::Palette(PaletteDialog::new())),
        CommandId::Redraw => effects.push(Effect::Redraw),
        CommandId::Back => back(model),
        CommandId::Quit => {
            if model.dialog.is_some() {
                close_dialog(model);
            } else if model.screens.len() > 1 {
                back(model);
            } else if model.is_live_training() {
                model.dialog = Some(Dialog::StopTraining);
            } else {
                effects.push(Effect::Quit);
            }
        }
    }
}

fn pause(model: &mut Model, effects: &mut Vec<Effect>) {
    let Some(world) = &model.world else { return };
    let Some(flag) = model.flag_at_hand().and_then(|key| world.flag(key)) else { return };
    let key = flag.spec.key.clone();
    let command = if flag.phase == Phase::Paused {
        Command::Resume { flag: key }
    } else {
        Command::Pause { flag: key }
    };
    send(model, command, String::new(), effects);
}

/// Goes to a screen; to one that is open below, back to it.
fn go(model: &mut Model, screen: Screen) {
    match model.screens.iter().position(|open| *open == screen) {
        Some(place) => model.screens.truncate(place + 1),
        None => model.screens.push(screen),
    }
    model.scroll = 0;
}

fn back(model: &mut Model) {
    if model.screens.len() > 1 {
        model.screens.pop();
        model.scroll = 0;
    }
}

/// Opens the training of the agent that comes with the program, and plays it.
fn open_training(model: &mut Model) {
    if !model.alone {
        match TrainingLog::shipped() {
            Ok(log) => model.training = Some(Training::recorded(log, model.now)),
            Err(error) => return model.say(Tone::Bad, format!("the agent's training log: {error}")),
        }
    }
    go(model, Screen::Training);
}

fn open(model: &mut Model, key: FlagKey) {
    model.selected = Some(key.clone());
    go(model, Screen::Flag(key));
}

fn open_selected(model: &mut Model) {
    let key = match model.screen() {
        Screen::Fleet => model.selected.clone(),
        Screen::Log => model.entries_of(None).nth(model.log_row()).and_then(|entry| entry.flag.clone()),
        Screen::Alarms => model.selected_alarm().and_then(|alarm| alarm.kind.flag().cloned()),
        Screen::Flag(_) | Screen::Help | Screen::Briefing | Screen::Training => None,
    };
    match key {
        Some(key) => open(model, key),
        None => model.say(Tone::Plain, "this is not about one flag: nothing to open"),
    }
}

/// Rows of a page on the screen shown.
fn page(model: &Model) -> isize {
    isize::try_from(view::page_rows(model)).unwrap_or(1).max(1)
}

/// A movement of the cursor.
#[derive(Clone, Copy)]
enum Step {
    By(isize),
    First,
    Last,
}

impl Step {
    /// From `row` of `rows`.
    fn from(self, row: usize, rows: usize) -> usize {
        let last = rows.saturating_sub(1);
        match self {
            Self::By(by) => row.saturating_add_signed(by).min(last),
            Self::First => 0,
            Self::Last => last,
        }
    }
}

fn step(model: &mut Model, step: Step, effects: &mut Vec<Effect>) {
    match model.screen() {
        Screen::Fleet => {
            let Some(world) = &model.world else { return };
            let row = step.from(model.selected_row().unwrap_or(0), model.order.len());
            let place = model.order.get(row).map(|place| *place as usize);
            model.selected = place.map(|place| world.flags[place].spec.key.clone());
        }
        Screen::Log => {
            let rows = model.world.as_ref().map_or(0, |world| world.entries.len());
            let row = step.from(model.log_row(), rows);
            let seq = model.entries_of(None).nth(row).map(|entry| entry.seq);
            // At the top the cursor follows what is new.
            model.log_at = if row == 0 { None } else { seq };
            if row + view::page_rows(model) >= rows {
                fetch_older(model, effects);
            }
        }
        Screen::Alarms => {
            let Some(world) = &model.world else { return };
            let alarms: Vec<_> = world.alarms_in_order().iter().map(|alarm| alarm.id).collect();
            let at = model.selected_alarm().and_then(|alarm| alarms.iter().position(|id| *id == alarm.id));
            model.alarm_at = alarms.get(step.from(at.unwrap_or(0), alarms.len())).copied();
        }
        Screen::Training => {
            if let Some(training) = &mut model.training {
                let (shown, all) = (training.points().len(), training.log().points.len());
                training.scrub(step.from(shown.saturating_sub(1), all));
            }
        }
        Screen::Flag(_) | Screen::Help | Screen::Briefing => {
            let most = view::most_scroll(model);
            model.scroll = step.from(model.scroll.min(most), most + 1);
            if matches!(model.screen(), Screen::Flag(_)) && model.scroll >= most {
                fetch_older(model, effects);
            }
        }
    }
}

fn next(model: &mut Model, by: isize) {
    if let Screen::Flag(key) = model.screen() {
        let Some(world) = &model.world else { return };
        let rows = model.order.len();
        let Some(place) = world.place(key) else { return };
        let Some(row) = model.order.iter().position(|other| *other as usize == place) else { return };
        let row = if by > 0 { (row + 1) % rows } else { (row + rows - 1) % rows };
        let key = world.flags[model.order[row] as usize].spec.key.clone();
        model.selected = Some(key.clone());
        if let Some(screen) = model.screens.last_mut() {
            *screen = Screen::Flag(key);
        }
        model.scroll = 0;
        return;
    }
    let forward = by > 0;
    let screen = match (model.screen(), forward) {
        (Screen::Fleet, true) | (Screen::Alarms, false) => Screen::Log,
        (Screen::Log, true) | (Screen::Fleet, false) => Screen::Alarms,
        _ => Screen::Fleet,
    };
    model.screens = vec![Screen::Fleet];
    go(model, screen);
}

fn copy(model: &mut Model, effects: &mut Vec<Effect>) {
    let text = match model.screen() {
        Screen::Fleet | Screen::Flag(_) => model.flag_at_hand().map(ToString::to_string),
        Screen::Log => model.entries_of(None).nth(model.log_row()).map(|entry| entry.sentence.clone()),
        Screen::Alarms => model.selected_alarm().map(|alarm| alarm.text.clone()),
        Screen::Help | Screen::Briefing | Screen::Training => None,
    };
    let Some(text) = text else { return model.say(Tone::Plain, "nothing to copy") };
    // A copied text ends up in a shell or a chat: as harmless there as here.
    let text = knightwatch_core::flag::clean_line(&text);
    model.say(Tone::Plain, format!("copied: {text}"));
    effects.push(Effect::Copy(text));
}
