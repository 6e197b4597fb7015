//! Giving an order: at once, or after what its row of the table of orders asks first.

use serde_json::Map;

use super::{Effect, Model, send};
use crate::tui::{
    command,
    dialog::{Dialog, OrderForm, Subject},
    model::Tone,
};
use knightwatch_core::control::{Confirmation, OrderTarget};

/// Begins the order of a command of the palette. It is possible, as far as the screen knows.
pub(super) fn begin(model: &mut Model, name: &str, effects: &mut Vec<Effect>) {
    let Some(spec) = command::possible(name, model) else { return };
    let subject = match spec.target {
        OrderTarget::Flag => model.flag_at_hand().cloned().map(Subject::Flag),
        OrderTarget::Alarm => {
            model.alarm_at_hand().map(|alarm| Subject::Alarm { id: alarm.id, text: alarm.text.clone() })
        }
        OrderTarget::Backend | OrderTarget::Briefing => Some(Subject::Backend),
    };
    let Some(subject) = subject else { return };
    match spec.confirmation {
        Confirmation::Arm => model.kill.arm(model.now),
        Confirmation::Ask(_) | Confirmation::AskForGood(_) => {
            model.dialog = Some(Dialog::Confirm { spec, subject });
        }
        Confirmation::Form { .. } => model.dialog = Some(Dialog::Order(OrderForm::new(spec, subject))),
        Confirmation::None => match spec.command(subject.target(), Map::new()) {
            Ok(command) => send(model, command, String::new(), effects),
            Err(why) => model.say(Tone::Bad, why),
        },
    }
    if spec.target == OrderTarget::Briefing {
        model.screens.back();
    }
}
