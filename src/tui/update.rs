//! `update`: one message in, the model changed, effects out. Pure: no clock, no terminal, no connection.
//!
//! Keys go, in this order, to an armed kill-all, to what arms it, to its panel, to Ctrl-C, to the open dialog, and
//! last to the screen's keymap. Nothing stands before kill-all.

mod commands;
mod dialogs;
mod orders;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{
    Effect, Message, Model, Real,
    command::{self, CommandId},
    dialog,
    fleet_view::FleetView,
    kill::{self, Kill, Pressed},
    model::Tone,
    screen::briefing,
};
use knightwatch_core::control::{Actor, Command, Entry, Order, OrderId};
use knightwatch_engine::backend::{Ack, OrderError, Update};

/// Ctrl-C twice within this time quits.
const QUIT_AGAIN_MS: u64 = 3_000;
/// Older entries asked for at once.
const FETCH: usize = 200;

/// Takes one message at real time `now`.
pub fn update(model: &mut Model, now: Real, message: Message) -> Vec<Effect> {
    // Real time never goes back, whatever order messages come in.
    model.now = model.now.max(now);
    let now = model.now;
    let mut effects = Vec::new();
    expire(model, now);
    match message {
        Message::Update(update) => take_update(model, update, &mut effects),
        Message::Key(event) => {
            if event.kind != KeyEventKind::Release {
                model.touch();
                press(model, now, event, &mut effects);
            }
        }
        Message::Paste(text) => {
            model.touch();
            paste(model, &text);
        }
        Message::Resize(columns, rows) => {
            model.size = (columns, rows);
            model.touch();
        }
        Message::OrderAnswered { order, result } => {
            model.touch();
            answer(model, &order, result);
        }
        Message::Entries(result) => {
            model.touch();
            take_entries(model, result);
        }
        Message::PaceRefused(why) => {
            model.touch();
            model.say(Tone::Bad, why);
        }
        Message::Training(line) => {
            model.touch();
            let pushed = model.screens.training_mut().map(|training| training.push(line));
            if let Some(Err(why)) = pushed {
                model.say(Tone::Bad, format!("the trainer sent a line out of place: {why}"));
            }
        }
        Message::Wake => model.touch(),
        Message::Interrupt => {
            model.touch();
            let event = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
            press(model, now, event, &mut effects);
        }
    }
    effects
}

/// Lets what has run out go, and plays on.
fn expire(model: &mut Model, now: Real) {
    let in_sight = model.screens.top().training().is_some();
    let training = model.screens.training_mut();
    if training.is_some_and(|training| training.advance(now, in_sight)) {
        model.touch();
    }
    if model.kill.expire(now) {
        model.say(Tone::Plain, "kill-all disarmed: nothing was sent");
        model.refresh_screens();
        model.touch();
    }
    if model.notice.as_ref().is_some_and(|notice| notice.until <= now) {
        model.notice = None;
        model.touch();
    }
    if model.quit_until.is_some_and(|until| until <= now) {
        model.quit_until = None;
        model.touch();
    }
}

fn take_update(model: &mut Model, update: Update, effects: &mut Vec<Effect>) {
    model.touch();
    match update {
        Update::Snapshot(snapshot) => {
            let briefed = snapshot.controller.briefed;
            let fleet = FleetView::new(snapshot);
            model.all_fetched = fleet.oldest().is_none_or(|oldest| oldest.0 <= 1);
            model.fetching = false;
            if model.settings.briefing && !briefed && !model.briefing_shown {
                model.briefing_shown = true;
                commands::open_screen(model, briefing::ID);
            }
            model.fleet = Some(fleet);
            for screen in model.screens.iter_mut() {
                screen.forget_positions();
            }
        }
        Update::Change(change) => {
            let Some(fleet) = &mut model.fleet else { return };
            let was_latched = fleet.controller.latch.is_some();
            fleet.apply(&change);
            // Re-armed: what the panel says of the old order is over.
            if was_latched && change.controller.latch.is_none() && matches!(model.kill, Kill::Acknowledged(_))
            {
                model.kill = Kill::Idle;
            }
        }
        Update::Link(link) => {
            model.link = link;
            return;
        }
    }
    model.refresh_screens();
    ring(model, effects);
}

/// Rings once for each critical alarm.
fn ring(model: &mut Model, effects: &mut Vec<Effect>) {
    let Some(fleet) = &model.fleet else { return };
    let critical = fleet.critical();
    if model.settings.bell && critical.iter().any(|id| !model.rung.contains(id)) {
        effects.push(Effect::Bell);
    }
    model.rung.extend(critical);
}

fn take_entries(model: &mut Model, result: Result<Vec<Entry>, OrderError>) {
    model.fetching = false;
    match result {
        Ok(entries) => {
            let Some(fleet) = &mut model.fleet else { return };
            let added = fleet.add_older(entries);
            model.all_fetched = added == 0 || fleet.oldest().is_some_and(|oldest| oldest.0 <= 1);
        }
        Err(error) => model.say(Tone::Bad, format!("older entries: {error}")),
    }
}

fn answer(model: &mut Model, order: &OrderId, result: Result<Ack, OrderError>) {
    let waiting = model.waiting.remove(order);
    if let Kill::Sent { order: sent, .. } = &model.kill
        && sent == order
    {
        model.kill = match result {
            Ok(ack) => Kill::Acknowledged(ack),
            Err(error) => Kill::Failed(error),
        };
        return;
    }
    // An answer to nothing that was asked, or a second one: it says nothing new.
    let Some(waiting) = waiting else { return };
    match result {
        Ok(ack) => {
            let mut text =
                if ack.done.is_empty() { format!("{}: done", waiting.what) } else { ack.done.join("; ") };
            for warning in &ack.warnings {
                text.push_str("; ");
                text.push_str(warning);
            }
            if !ack.durable {
                text.push_str("; in force, NOT durable");
            }
            let tone = if ack.durable && ack.warnings.is_empty() { Tone::Plain } else { Tone::Bad };
            model.say(tone, text);
        }
        Err(OrderError::Refused(refusal)) => model.say(Tone::Bad, format!("refused: {refusal}")),
        Err(error) => model.say(Tone::Bad, format!("{}: {error}", waiting.what)),
    }
}

fn press(model: &mut Model, now: Real, event: KeyEvent, effects: &mut Vec<Effect>) {
    match model.kill.key(now, &event) {
        Pressed::Execute => return send_kill(model, now, effects),
        Pressed::Taken => return,
        Pressed::Cancelled => {
            model.say(Tone::Plain, "kill-all disarmed: nothing was sent");
            return model.refresh_screens();
        }
        Pressed::NotMine => {}
    }
    if kill::arms(&event) {
        return commands::run(model, CommandId::KILL_ALL, effects);
    }
    let interrupts = event.code == KeyCode::Char('c') && event.modifiers.contains(KeyModifiers::CONTROL);
    if model.kill.is_shown() {
        if interrupts || matches!(event.code, KeyCode::Esc | KeyCode::Enter | KeyCode::Char('q')) {
            model.kill.close();
            model.refresh_screens();
        } else if matches!(model.kill, Kill::Acknowledged(_))
            && command::find(model.screens.top().row().id, &event)
                .is_some_and(|spec| spec.id == CommandId::REARM)
        {
            // The panel names this key: it closes the panel and opens the form.
            model.kill.close();
            commands::run(model, CommandId::REARM, effects);
        }
        return;
    }
    if interrupts {
        // A trainer is stopped by Ctrl-C twice, as everything else is: the second one is the answer.
        if matches!(model.dialog, Some(dialog::Dialog::StopTraining)) {
            effects.push(Effect::Quit);
        } else if model.dialog.is_some() {
            close_dialog(model);
        } else if model.is_live_training() {
            model.dialog = Some(dialog::Dialog::StopTraining);
        } else if model.quit_until.is_some() {
            effects.push(Effect::Quit);
        } else {
            model.quit_until = Some(now.plus(QUIT_AGAIN_MS));
            model.say(Tone::Plain, "Ctrl-C again to quit");
        }
        return;
    }
    model.quit_until = None;
    if model.dialog.is_some() {
        return dialogs::key(model, &event, effects);
    }
    if let Some(spec) = command::find(model.screens.top().row().id, &event) {
        commands::run(model, spec.id, effects);
    }
}

fn paste(model: &mut Model, text: &str) {
    if matches!(model.kill, Kill::Armed { .. }) {
        model.kill.close();
        model.say(Tone::Plain, "kill-all disarmed: nothing was sent");
        return;
    }
    if model.kill.is_shown() {
        return;
    }
    let Some(input) = model.dialog.as_mut().and_then(dialog::Dialog::focussed) else {
        return model.say(Tone::Plain, "pasted text is not read as keys");
    };
    dialog::paste(input, text);
    if let Some(dialog::Dialog::Palette(palette)) = &mut model.dialog {
        palette.search();
    }
}

/// Closes the dialog; what was held still may move again.
fn close_dialog(model: &mut Model) {
    model.dialog = None;
    model.refresh_screens();
}

fn new_order(model: &mut Model, command: Command, reason: String) -> Order {
    model.orders += 1;
    let id = OrderId(format!("{}-{}", model.settings.order_prefix, model.orders));
    model.note_order(id.clone(), &command);
    let actor = Actor::Person(model.settings.operator.clone());
    Order { id, actor, authenticated: None, reason, expected: None, command }
}

/// Gives an order and says that it is out, no more.
fn send(model: &mut Model, command: Command, reason: String, effects: &mut Vec<Effect>) {
    let order = new_order(model, command, reason);
    let what = order.command.in_words();
    model.say(Tone::Plain, format!("sent: {what}; no answer yet"));
    effects.push(Effect::Send(order));
}

fn send_kill(model: &mut Model, now: Real, effects: &mut Vec<Effect>) {
    let order = new_order(model, Command::KillAll, String::new());
    model.kill = Kill::Sent { order: order.id.clone(), at: now, hidden: false };
    effects.push(Effect::Send(order));
}

/// Asks for older entries when the end of those here comes near.
fn fetch_older(model: &mut Model, effects: &mut Vec<Effect>) {
    if model.fetching || model.all_fetched {
        return;
    }
    let Some(fleet) = &model.fleet else { return };
    model.fetching = true;
    effects.push(Effect::FetchEntries { before: fleet.oldest(), limit: FETCH });
}
