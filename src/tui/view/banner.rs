//! The banners: the kill latch, why there is no contact, and the most urgent alarm nobody has acknowledged, on every screen.

use ratatui::{layout::Rect, style::Modifier};

use crate::tui::{Model, figures, pen::Pen};
use knightwatch_core::control::Priority;
use knightwatch_engine::backend::Link;

/// Banners there are to show: one for the latch, one for a lost link, one for alarms.
pub(super) fn rows(model: &Model) -> u16 {
    let Some(fleet) = &model.fleet else { return 0 };
    u16::from(fleet.controller.latch.is_some())
        + u16::from(lost_text(model).is_some())
        + u16::from(!alarms(model).is_empty())
}

/// Why there is no contact, where that is known: a broken line is waited for, a token that is worth nothing is not.
fn lost_text(model: &Model) -> Option<String> {
    match &model.link {
        Link::Lost { why: Some(why), .. } => Some(format!("NO CONTACT, retrying: {why}")),
        Link::Embedded | Link::Connected | Link::Stale(_) | Link::Lost { why: None, .. } => None,
    }
}

/// Alarms for the banner; the latch has its own.
fn alarms(model: &Model) -> Vec<&knightwatch_core::control::Alarm> {
    model.fleet.as_ref().map(super::super::fleet_view::FleetView::unacknowledged).unwrap_or_default()
}

/// What the latch banner says: since when, by whom and why, and how many flags the backend has at 0 %.
fn latch_text(model: &Model, width: u16) -> Option<String> {
    let fleet = model.fleet.as_ref()?;
    let latch = fleet.controller.latch.as_ref()?;
    let all = fleet.alive().count();
    let off = all - fleet.exposed();
    let flags_off = format!("{off} of {all} flags at 0 %");
    let set = format!("KILL-ALL in force: set by {} at {} UTC", latch.by, figures::clock(latch.at));
    let by = &latch.by;
    let clock = figures::clock(latch.at);
    let clock = clock.get(..5).unwrap_or(&clock);
    // How long ago it is only goes on while there is contact.
    let ago = match super::as_of(model) {
        None => format!(" ({} ago)", figures::ago(fleet.controller.now, latch.at)),
        Some(_) => String::new(),
    };
    let rearms = latch.asked_at(fleet.controller.now).map_or_else(
        || "F12 re-arms".to_owned(),
        |asked| {
            format!(
                "{} requested re-arming until {}; another person confirms with F12",
                asked.who,
                asked.until.stamp()
            )
        },
    );
    // What can be seen elsewhere goes first where there is little room. Why everything was stopped is seen nowhere else.
    let reason = Some(&latch.reason).filter(|reason| !reason.is_empty());
    let with_reason = reason.into_iter().flat_map(|why| {
        [
            format!("{set}{ago}: {why}; {flags_off}; the agent is locked out; {rearms}"),
            format!("{set}: {why}; {flags_off}; the agent is locked out; {rearms}"),
            format!("KILL-ALL by {by} {clock}: {why}; {flags_off}; agent locked out; {rearms}"),
            format!("KILL-ALL by {by} {clock}: {why}; {flags_off}; {rearms}"),
        ]
    });
    let without = [
        format!("{set}{ago}; {flags_off}; the agent is locked out; {rearms}"),
        format!("{set}; {flags_off}; the agent is locked out; {rearms}"),
        format!("KILL-ALL by {by} {clock}; {flags_off}; agent locked out; {rearms}"),
        format!("KILL-ALL by {by}; {flags_off}; agent locked out; {rearms}"),
        format!("KILL-ALL by {by} {clock}; {flags_off}; {rearms}"),
        format!("KILL-ALL by {by}; {flags_off}; {rearms}"),
        // The one instruction stands before whatever is cut.
        format!("KILL-ALL; {rearms}; {flags_off}; by {by}"),
    ];
    let fits = |form: &&String| form.chars().count() <= usize::from(width);
    let forms: Vec<_> = with_reason.chain(without).collect();
    forms.iter().find(fits).or(forms.last()).cloned()
}

pub(super) fn draw(model: &Model, area: Rect, pen: &mut Pen<'_>) {
    let theme = pen.theme;
    let mut y = area.y;
    if let Some(text) = latch_text(model, area.width.saturating_sub(2))
        && y < area.bottom()
    {
        pen.fill(area.x, y, area.width, " ", theme.critical());
        pen.text(area.x + 1, y, area.width.saturating_sub(2), &text, theme.critical());
        y += 1;
    }
    if let Some(text) = lost_text(model)
        && y < area.bottom()
    {
        pen.fill(area.x, y, area.width, " ", theme.warning());
        pen.text(area.x + 1, y, area.width.saturating_sub(2), &text, theme.warning());
        y += 1;
    }
    let alarms = alarms(model);
    let Some(alarm) = alarms.first() else { return };
    if y >= area.bottom() {
        return;
    }
    let critical = alarm.priority() == Priority::Critical;
    let style = if critical { theme.critical() } else { theme.warning() };
    pen.fill(area.x, y, area.width, " ", style);
    let count = match alarms.len() {
        1 => "a acknowledges".to_owned(),
        count => format!("1 of {count}, a acknowledges"),
    };
    let start = area.right().saturating_sub(pen.width_of(&count) + 1);
    // The only thing that ever blinks: the word of a critical alarm that nobody has acknowledged.
    let word = if critical { style.add_modifier(Modifier::SLOW_BLINK) } else { style };
    let x =
        pen.text(area.x + 1, y, area.width.saturating_sub(2), &format!("ALARM {}", alarm.priority()), word);
    pen.text(x, y, start.saturating_sub(x + 1), &format!(": {}", alarm.text), style);
    if start > x {
        pen.text(start, y, area.right().saturating_sub(start), &count, style);
    }
}
