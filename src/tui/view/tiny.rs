//! Terminals below 40×10: one line that says the most important thing, down to a single cell.

use ratatui::layout::Rect;

use crate::tui::{Model, kill::Kill, pen::Pen, screen::training};
use knightwatch_core::{control::Phase, telemetry::Verdict};
use knightwatch_engine::backend::Link;

pub(super) fn draw(model: &Model, area: Rect, pen: &mut Pen<'_>) {
    if area.is_empty() {
        return;
    }
    let theme = pen.theme;
    let (text, style) = match &model.kill {
        Kill::Armed { too_soon: true, .. } => {
            ("HOLD ON, that K came too soon: K executes after a moment".to_owned(), theme.critical())
        }
        Kill::Armed { .. } => {
            ("KILL-ALL armed: K executes, any other key cancels".to_owned(), theme.critical())
        }
        Kill::Sent { .. } => ("kill-all SENT, no acknowledgement yet".to_owned(), theme.critical()),
        Kill::Failed(error) => (format!("kill-all: {error}; {}", model.settings.elsewhere), theme.critical()),
        Kill::Idle | Kill::Acknowledged(_) => summary(model, pen),
    };
    pen.text(area.x, area.y, area.width, &text, style);
}

fn summary(model: &Model, pen: &Pen<'_>) -> (String, ratatui::style::Style) {
    let theme = pen.theme;
    if let (true, Some(training)) = (model.alone, model.training()) {
        return (training::summary(training), theme.plain());
    }
    let Some(fleet) = &model.fleet else { return ("no data yet".to_owned(), theme.dim()) };
    if let Some(latch) = &fleet.controller.latch {
        return (format!("KILL-ALL by {}", latch.by), theme.critical());
    }
    if let Link::Stale(age) | Link::Lost { age, .. } = &model.link {
        return (format!("STALE {age}"), theme.warning());
    }
    let alarms = fleet.unacknowledged();
    if let Some(alarm) = alarms.first() {
        return (format!("{} alarms: {}", alarms.len(), alarm.text), theme.priority(alarm.priority()));
    }
    let regressed = fleet.alive().filter(|flag| flag.verdict == Verdict::Regressed).count();
    let text = format!(
        "{} ramping, {} paused, {regressed} regressed of {} flags",
        fleet.count(Phase::Ramping),
        fleet.count(Phase::Paused),
        fleet.alive().count()
    );
    (text, theme.plain())
}
