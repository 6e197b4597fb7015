//! What the policy wants of a flag: its move, the six probabilities, what it expects, and what moved its last own
//! decision where that was the last thing done to the flag. Moves that the shield would not let pass are "shut".
//!
//! ```text
//! PROPOSAL raise to 25 %
//! roll back  ━────────────────────   1.0 %      roll back  1 %  raise 1 66 %
//! ...                                           (where it gets low, two in a line)
//! value -12.4: minus the cost it still expects, 0 is best
//! last move, raise to 25 %, by errors of late (3.2 standard errors above control) and ...
//! RUNGS 1 5 10 25 50 75 99 100 %
//! ```

use ratatui::layout::Rect;

use crate::tui::{
    Model, figures,
    fleet_view::FleetView,
    pen::{Align, Pen, wrap},
};
use knightwatch_agent::Choice;
use knightwatch_core::control::{Actor, Decision, Event, Explanation, Phase};
use knightwatch_engine::backend::FlagView;

/// Columns of a name, with the space behind it.
const NAME: u16 = 10;
const SHORT_NAME: u16 = 9;
/// Columns of a number, with the space before it: ` 0.52 %`, and where two stand in a line ` <1 %`.
const NUMBER: u16 = 7;
const SHORT_NUMBER: u16 = 5;
/// What stands for the number of a move that the shield would not let pass: that is no missing value.
const SHUT: &str = "shut";
/// Columns of a bar at most, and at least.
const BAR: u16 = 20;
const MIN_BAR: u16 = 3;
/// Below this share a bar is empty: half a column would be more than it is.
const MIN_SHARE: f64 = 0.01;
/// From so many columns on it is said what the value means.
const MEANING: u16 = 46;

pub(super) fn draw(model: &Model, fleet: &FleetView, flag: &FlagView, area: Rect, pen: &mut Pen<'_>) {
    if area.width < 16 {
        return;
    }
    let theme = pen.theme;
    let mut lines = (area.y..area.bottom()).map(|y| Rect { y, height: 1, ..area });
    let Some(line) = lines.next() else { return };
    let x = pen.text(line.x, line.y, line.width, "PROPOSAL", theme.strong()) + 1;
    let own = own_decision(model, flag);
    let others = || last_by_others(flag).map_or_else(Vec::new, |text| wrap(&text, usize::from(area.width)));
    let mut moved = own.map_or_else(others, |own| moved_by(own, false, area.width));
    let hold = flag.hold.as_ref().filter(|hold| hold.until > fleet.controller.now);
    let guard_off = flag.guard_off_until.filter(|until| *until > fleet.controller.now);
    match &flag.proposal {
        None => {
            let none = none(fleet, flag);
            pen.text(x, line.y, line.right().saturating_sub(x), none, theme.dim());
        }
        Some(proposal) => {
            let action = proposal.action.to_string();
            pen.text(x, line.y, line.right().saturating_sub(x), &action, theme.plain());
            if let Some(probabilities) = &proposal.probabilities {
                // The title, six moves, the value and the rungs; and what else there is to say.
                let else_said = usize::from(hold.is_some()) + usize::from(guard_off.is_some());
                let roomy = usize::from(area.height) >= 9 + moved.len() + else_said;
                if !roomy {
                    moved = own.map_or_else(others, |own| moved_by(own, true, area.width));
                }
                draw_probabilities(probabilities, roomy, &mut lines, pen);
            } else {
                let text = format!(
                    "{} has no probabilities: {}",
                    fleet.controller.policy.name, fleet.controller.policy.about
                );
                for part in wrap(&text, usize::from(area.width)) {
                    let Some(line) = lines.next() else { return };
                    pen.text(line.x, line.y, line.width, &part, theme.dim());
                }
            }
            if let Some(value) = proposal.value
                && let Some(line) = lines.next()
            {
                let text = if line.width < MEANING {
                    format!("value {value:.1}, 0 is best")
                } else {
                    format!("value {value:.1}: minus the cost to come, 0 is best")
                };
                pen.text(line.x, line.y, line.width, &text, theme.dim());
            }
        }
    }
    if let Some(hold) = hold
        && let Some(line) = lines.next()
    {
        let text = format!("{} holds it, {} left", hold.by, hold.until.since(fleet.controller.now));
        pen.text(line.x, line.y, line.width, &text, theme.person());
    }
    if let Some(until) = guard_off
        && let Some(line) = lines.next()
    {
        let text = format!("guard OFF, {} left", until.since(fleet.controller.now));
        pen.text(line.x, line.y, line.width, &text, theme.abnormal());
    }
    for (row, part) in moved.iter().enumerate() {
        let Some(line) = lines.next() else { return };
        // What does not fit is cut with a mark.
        let last = line.y + 1 == area.bottom();
        let text = if last { moved[row..].join(" ") } else { part.clone() };
        pen.text(line.x, line.y, line.width, &text, theme.plain());
    }
    let mut left = lines.collect::<Vec<_>>().into_iter();
    if left.len() > 1 {
        let _ = left.next();
    }
    if let Some(line) = left.next() {
        draw_rungs(flag, line, pen);
    }
}

/// The agent's own decision where it is the last thing done to the flag, and its policy says why. After what somebody else
/// has done an older reason would read as today's.
fn own_decision<'a>(model: &'a Model, flag: &FlagView) -> Option<(&'a Decision, &'a Explanation)> {
    let last = flag.last.as_ref().map(|last| last.seq);
    model.entries_of(Some(&flag.spec.key)).find_map(|entry| match (&entry.event, &entry.actor) {
        (Event::Decided(decision), Actor::Agent) if last == Some(entry.seq) => {
            Some((decision, decision.explanation.as_deref()?))
        }
        _ => None,
    })
}

/// Why the policy wants nothing of the flag.
fn none(fleet: &FleetView, flag: &FlagView) -> &'static str {
    match flag.phase {
        Phase::Idle | Phase::RolledBack | Phase::Killed => "none: only a person starts it",
        Phase::Complete => "not asked at 100 %",
        Phase::Paused => "not asked while paused",
        Phase::Ramping if fleet.controller.policy.fault.is_some() => "none: FAULT, it holds",
        Phase::Ramping => "none yet",
    }
}

/// What was last done to the flag where the agent did not do it.
fn last_by_others(flag: &FlagView) -> Option<String> {
    let last = flag.last.as_ref().filter(|last| last.by != Actor::Agent)?;
    Some(format!("last: {} by {}", last.what, last.by))
}

/// Units in fewer columns.
const SHORTER: [(&str, &str); 4] = [
    (" standard errors", " s.e."),
    (" times control's", "x control's"),
    (" percentage points", " pp"),
    (" or more", "+"),
];

/// What moved a decision, in lines; in as few words as can be where there is little room.
fn moved_by((decision, explanation): (&Decision, &Explanation), short: bool, width: u16) -> Vec<String> {
    let Some(moved) = explanation.moved_most() else { return Vec::new() };
    let text = if short {
        let clauses = explanation.moved_by.join("; ");
        let clauses = SHORTER.iter().fold(clauses, |text, (long, short)| text.replace(long, short));
        format!("last, to {}: {clauses}", decision.to)
    } else {
        format!("last move, {}, by {moved}", decision.action)
    };
    wrap(&text, usize::from(width))
}

/// One in a line where there is room, two otherwise: those that go down or stay to the left, raises to the right.
fn draw_probabilities(
    probabilities: &[f32; 6],
    roomy: bool,
    lines: &mut impl Iterator<Item = Rect>,
    pen: &mut Pen<'_>,
) {
    if roomy {
        for (choice, share) in Choice::ALL.into_iter().zip(probabilities) {
            let Some(line) = lines.next() else { return };
            let number = format!("{} %", figures::percent(Some(f64::from(*share))));
            draw_one((choice.as_str(), NAME), (&number, NUMBER), *share, line, pen);
        }
        return;
    }
    for row in 0..3 {
        let Some(line) = lines.next() else { return };
        let half = line.width / 2;
        let left = Rect { width: half.saturating_sub(1), ..line };
        let right = Rect { x: line.x + half, width: line.width - half, ..line };
        for (place, at) in [(row, left), (row + 3, right)] {
            let share = probabilities[place];
            let number = if share < 0.01 { "<1 %".to_owned() } else { format!("{:.0} %", share * 100.0) };
            draw_one((Choice::ALL[place].as_str(), SHORT_NAME), (&number, SHORT_NUMBER), share, at, pen);
        }
    }
}

/// A name, its bar and its number. A probability of exactly 0 is a move that the shield would not allow.
fn draw_one(
    (name, columns): (&str, u16),
    (number, number_columns): (&str, u16),
    share: f32,
    line: Rect,
    pen: &mut Pen<'_>,
) {
    let theme = pen.theme;
    let legal = share > 0.0;
    pen.text(line.x, line.y, columns, name, if legal { theme.plain() } else { theme.dim() });
    let room = line.width.saturating_sub(columns + number_columns).min(BAR);
    let x = line.x + columns;
    if legal {
        let share = f64::from(share);
        if room >= MIN_BAR {
            pen.gauge(x, line.y, room, if share >= MIN_SHARE { share } else { 0.0 }, theme.plain());
        }
        pen.cell(x + room, line.y, number_columns, Align::Right, number, theme.plain());
    } else {
        pen.cell(x + room, line.y, number_columns, Align::Right, SHUT, theme.dim());
    }
}

/// The rungs it climbs, the one it is on marked.
fn draw_rungs(flag: &FlagView, line: Rect, pen: &mut Pen<'_>) {
    let theme = pen.theme;
    let mut x = pen.text(line.x, line.y, line.width, "RUNGS", theme.strong()) + 1;
    for rung in flag.spec.ladder.rungs() {
        let text = rung.to_string();
        let style = if *rung == flag.rollout { theme.cursor() } else { theme.dim() };
        x = pen.text(x, line.y, line.right().saturating_sub(x), text.trim_end_matches(" %"), style) + 1;
    }
    pen.text(x, line.y, line.right().saturating_sub(x), "%", theme.dim());
}
