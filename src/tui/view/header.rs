//! The header: where one is, on what, under which policy, at what time, and whether the link is up.

use std::fmt::Write as _;

use ratatui::layout::Rect;

use crate::tui::{Model, figures, pace, pen::Pen, screen::training};
use knightwatch_core::control::Phase;
use knightwatch_engine::backend::Link;

pub(super) fn draw(model: &Model, area: Rect, pen: &mut Pen<'_>) {
    let theme = pen.theme;
    let (plain, dim, strong) = (theme.plain(), theme.dim(), theme.strong());
    if let (true, Some(training)) = (model.alone, model.training()) {
        return training::header(training, area, pen);
    }
    let (link, link_style) = match &model.link {
        Link::Embedded => ("embedded".to_owned(), dim),
        Link::Connected => ("connected".to_owned(), dim),
        Link::Stale(age) => (format!("STALE {age}"), theme.warning()),
        Link::Lost { age, .. } => (format!("NO CONTACT {age}"), theme.critical()),
    };
    let Some(fleet) = &model.fleet else {
        let right = area.right() - pen.width_of(&link).min(area.width);
        pen.text(right, area.y, area.width, &link, link_style);
        pen.text(
            area.x,
            area.y,
            right.saturating_sub(area.x + 1),
            "knightwatch  waiting for the backend",
            strong,
        );
        return;
    };

    let clock = if area.width >= 100 {
        format!("{} UTC", figures::day_and_clock(fleet.controller.now))
    } else {
        figures::clock(fleet.controller.now)
    };
    // Without contact no age goes on: what is shown is of that moment.
    let clock = if super::is_stale(model) { format!("as of {clock}") } else { clock };
    let stopped = fleet.controller.pace == knightwatch_engine::backend::Pace::Stopped;
    let mut right = Vec::new();
    if fleet.controller.done {
        right.push(("ended".to_owned(), strong));
    }
    if fleet.simulated {
        let style = if stopped { theme.abnormal() } else { plain };
        right.push((pace::name(fleet.controller.pace), style));
    }
    right.push((clock, plain));
    right.push((link, link_style));
    let width: u16 = right.iter().map(|(text, _)| pen.width_of(text) + 2).sum::<u16>().saturating_sub(2);
    let start = area.right().saturating_sub(width).max(area.x);
    let mut x = start;
    for (text, style) in &right {
        x = pen.text(x, area.y, area.right().saturating_sub(x), text, *style) + 2;
    }

    let end = start.saturating_sub(2);
    let mut x = area.x;
    if area.width >= 70 {
        x = pen.text(x, area.y, end.saturating_sub(x), "knightwatch", dim) + 1;
    }
    x = pen.text(x, area.y, end.saturating_sub(x), &fleet.environment, strong) + 1;
    if model.settings.read_only {
        x = pen.text(x, area.y, end.saturating_sub(x), " READ-ONLY ", theme.cursor()) + 1;
    }
    let simulated = if fleet.simulated && !fleet.source.contains("simulated") { "simulated: " } else { "" };
    pen.text(x + 1, area.y, end.saturating_sub(x + 1), &format!("{simulated}{}", fleet.source), dim);

    if area.height > 1 {
        second_line(model, Rect { y: area.y + 1, height: 1, ..area }, pen);
    }
}

fn second_line(model: &Model, area: Rect, pen: &mut Pen<'_>) {
    let theme = pen.theme;
    let Some(fleet) = &model.fleet else { return };
    let mut counts = format!("{} flags", fleet.alive().count());
    for phase in
        [Phase::Ramping, Phase::Paused, Phase::RolledBack, Phase::Complete, Phase::Idle, Phase::Killed]
    {
        let count = fleet.count(phase);
        if count > 0 {
            // Writing to a String cannot fail.
            let _ = write!(counts, ", {count} {phase}");
        }
    }
    if fleet.controller.shelved() > 0 {
        let _ = write!(counts, ", {} alarms shelved", fleet.controller.shelved());
    }
    // The policy's name comes first, the counts next, what kind of policy it is last.
    let fault = fleet.controller.policy.fault.is_some();
    let name = format!("policy {}", fleet.controller.policy.name);
    let name_style = if fault { theme.abnormal() } else { theme.plain() };
    let x = pen.text(area.x, area.y, area.width, &name, name_style) + 1;
    let start = area.right().saturating_sub(pen.width_of(&counts)).max(x + 1);
    pen.text(start, area.y, area.right().saturating_sub(start), &counts, theme.dim());
    let about = if fault {
        "(FAULT: the agent holds)".to_owned()
    } else {
        format!("({})", fleet.controller.policy.about)
    };
    let style = if fault { theme.abnormal() } else { theme.dim() };
    pen.text(x, area.y, start.saturating_sub(x + 1), &about, style);
}
