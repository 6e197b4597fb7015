//! The kill-all panel: across the whole width, above everything else.
//!
//! ```text
//!  KILL-ALL  environment demo
//!  Sets all 30 flags to 0 % (12 have treatment traffic now) and locks the agent out until a person re-arms.
//!  K executes; any other key cancels; disarms by itself after 10 s.
//! ```
//!
//! It says what is known and no more: sent, acknowledged, in force; never that something is off before the backend has
//! said so, and nothing about what applications have received.

use ratatui::layout::Rect;

use crate::tui::{Model, kill::Kill, pen::Pen};
use knightwatch_core::control::Seq;
use knightwatch_engine::backend::{Ack, FlagsOff, OrderError};

pub(super) fn draw(model: &Model, area: Rect, pen: &mut Pen<'_>) {
    if !model.kill.is_shown() {
        return;
    }
    let lines = lines(model, area.width.saturating_sub(4));
    let height = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2).min(area.height);
    let panel = Rect { y: area.y + (area.height - height) / 3, height, ..area };
    let style = pen.theme.critical();
    for y in panel.top()..panel.bottom() {
        pen.fill(panel.x, y, panel.width, " ", style);
    }
    for (y, line) in (panel.y + 1..panel.bottom()).zip(&lines) {
        pen.text(panel.x + 2, y, panel.width.saturating_sub(4), line, style);
    }
}

/// What the panel says, in lines of at most `width` columns.
fn lines(model: &Model, width: u16) -> Vec<String> {
    let mut said = vec![title(model)];
    match &model.kill {
        Kill::Idle => {}
        Kill::Armed { too_soon, .. } => {
            said.push(effect(model));
            if *too_soon {
                said.push("Hold on: that K came within 300 ms of another key and did nothing.".to_owned());
            }
            if model.kill.is_ready(model.now) {
                said.push("K executes. Any other key cancels. It disarms by itself after 10 s.".to_owned());
            } else {
                said.push("Wait: K counts after a moment without any key. Any other key cancels.".to_owned());
            }
        }
        Kill::Sent { .. } => {
            said.push("SENT. No acknowledgement yet: nothing is known to be off.".to_owned());
            said.push(format!("If none comes, from another terminal: {}", model.settings.elsewhere));
        }
        Kill::Acknowledged(ack) => acknowledged(ack, &mut said),
        Kill::Failed(error) => failed(error, &model.settings.elsewhere, &mut said),
    }
    said.iter().flat_map(|line| crate::tui::pen::wrap(line, usize::from(width))).collect()
}

fn title(model: &Model) -> String {
    match &model.fleet {
        Some(fleet) => format!("KILL-ALL, environment {}", fleet.environment),
        None => "KILL-ALL, environment not known yet: no data from the backend".to_owned(),
    }
}

fn effect(model: &Model) -> String {
    let Some(fleet) = &model.fleet else {
        return "Sets every flag to 0 % and locks the agent out until a person re-arms.".to_owned();
    };
    let already =
        fleet.controller.latch.as_ref().map(|latch| format!("It is in force already, set by {}. ", latch.by));
    let exposed = fleet.exposed();
    let traffic = match super::as_of(model) {
        None => format!("{exposed} have treatment traffic now"),
        Some(moment) => format!("{exposed} had treatment traffic {moment}"),
    };
    format!(
        "{}Sets all {} flags to 0 % ({traffic}) and locks the agent out until a person re-arms.",
        already.unwrap_or_default(),
        fleet.alive().count(),
    )
}

fn acknowledged(ack: &Ack, said: &mut Vec<String>) {
    said.push(match (ack.durable, ack.seq) {
        (true, Seq(0)) => "ACKNOWLEDGED, in force and on the disk.".to_owned(),
        (true, seq) => format!("ACKNOWLEDGED as {seq}, in force and on the disk."),
        (false, _) => "ACKNOWLEDGED, in force, NOT durable: it could not be written to the disk.".to_owned(),
    });
    if let Some(FlagsOff { off, of }) = ack.flags_off {
        let only = if off < of { "ONLY " } else { "" };
        said.push(format!(
            "{only}{off} of {of} flags are at 0 % in knightwatch; applications are not checked."
        ));
    }
    said.extend(ack.done.iter().cloned());
    said.extend(ack.warnings.iter().cloned());
    said.push("Esc closes this panel; the latch stays until a person re-arms (F12).".to_owned());
}

fn failed(error: &OrderError, elsewhere: &str, said: &mut Vec<String>) {
    match error {
        OrderError::NotSent(why) => {
            said.push(format!("NOT SENT: {why}. Nothing has changed."));
        }
        OrderError::Unknown(why) => {
            said.push(format!("SENT, NO ANSWER: {why}. It may or may not have acted."));
        }
        OrderError::NotPermitted(why) => said
            .push(format!("REFUSED: no permission ({why}). Use `--token-file FILE`. Nothing has changed.")),
        OrderError::NotAccepted(why) => said.push(format!("REFUSED: {why}. Nothing has changed.")),
        OrderError::Refused(refusal) => said.push(format!("REFUSED: {refusal}. Nothing has changed.")),
        OrderError::NotDurable(_) | OrderError::ReadOnly => said.push(format!("NOT DONE: {error}.")),
    }
    said.push(format!("From another terminal: {elsewhere}"));
    said.push("Ctrl-K arms it again. Esc closes this panel.".to_owned());
}
