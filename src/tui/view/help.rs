//! Help: the keys of the screen below it, made from the command table, and what the marks mean.

use ratatui::layout::Rect;

use crate::tui::{
    Model,
    command::{COMMANDS, why_not},
    model::Screen,
    pen::Pen,
};

/// One line of help.
pub(super) struct Line {
    keys: String,
    text: String,
    /// Why it does not work right now.
    not: Option<String>,
}

/// What the marks on the screens mean.
const LEGEND: &[(&str, &str)] = &[
    ("on, off", "treatment (requests with the flag on) and control (with it off)"),
    ("P99 line", "treatment's P99 against control's: half height is the same, full is three times or more"),
    ("errors line", "treatment's failed requests: higher from 0.1, 0.2, 0.5, 1, 2, 5 and 10 % on"),
    ("orange bar", "treatment is worse than control in that interval, by more than noise explains"),
    ("sweep", "lines are written from left to right and over again, with a gap after the newest interval"),
    ("insuff.", "the evidence is insufficient: too few requests to tell"),
    ("watched", "at 100 %, held against the control that was recorded on the way up"),
    ("◆", "a person holds the flag: the agent keeps off"),
    ("!", "a person switched the shield's hard limits off for a time"),
    ("~", "request counts are assumed, the source has none"),
    ("★", "in a training: the checkpoint with the least harm on the validation scenarios so far"),
    ("–", "no data; never the same as 0"),
    ("grey values", "older than three intervals, or the link is down"),
];

const fn title(screen: &Screen) -> &'static str {
    match screen {
        Screen::Fleet => "fleet",
        Screen::Flag(_) => "flag",
        Screen::Log => "log",
        Screen::Alarms => "alarms",
        Screen::Help => "help",
        Screen::Briefing => "briefing",
        Screen::Training => "training",
    }
}

/// All lines, from top to bottom.
pub(super) fn lines(model: &Model) -> Vec<Line> {
    let bit = model.ground().bit();
    let mut lines: Vec<_> = COMMANDS
        .iter()
        .filter(|spec| spec.screens & bit != 0)
        .map(|spec| Line {
            keys: spec.key_labels(),
            text: spec.help.to_owned(),
            not: why_not(spec.id, model),
        })
        .collect();
    lines.push(Line { keys: String::new(), text: String::new(), not: None });
    lines.extend(LEGEND.iter().map(|(mark, text)| Line {
        keys: (*mark).to_owned(),
        text: (*text).to_owned(),
        not: None,
    }));
    lines
}

pub(super) fn draw(model: &Model, area: Rect, pen: &mut Pen<'_>) {
    let theme = pen.theme;
    let lines = lines(model);
    let most = lines.len().saturating_sub(usize::from(area.height));
    let scroll = model.scroll.min(most);
    let keys = lines.iter().map(|line| pen.width_of(&line.keys)).max().unwrap_or(0) + 2;
    let heading = format!("keys of the {} screen", title(model.ground()));
    let right = area.right();
    for (y, line) in (area.y..area.bottom()).zip(lines.iter().skip(scroll)) {
        pen.text(area.x + 1, y, keys, &line.keys, theme.strong());
        let x = area.x + 1 + keys;
        let style = if line.not.is_some() { theme.dim() } else { theme.plain() };
        let x = pen.text(x, y, right.saturating_sub(x), &line.text, style);
        if let Some(not) = &line.not {
            pen.text(x, y, right.saturating_sub(x), &format!(" (not now: {not})"), theme.dim());
        }
    }
    let width = pen.width_of(&heading);
    let more = if most > scroll { "more below" } else { "" };
    pen.text(right.saturating_sub(width.max(1)), area.y, width, &heading, theme.dim());
    let width = pen.width_of(more);
    pen.text(right.saturating_sub(width), area.bottom() - 1, width, more, theme.dim());
}
