//! What the policy wants of a flag: its move, the six probabilities, what it expects, and what moved its last own
//! decision. Illegal moves stand dimmed, without a number: the shield would not let them pass.
//!
//! ```text
//! PROPOSAL raise to 25 %
//! roll back  ━────────────────────   1.0 %      back ━──  1.0 %  up 1 ━━─   66 %
//! ...                                           (where it gets low, two in a line)
//! value -12.40: reward to come, higher is better
//! raise to 25 % was moved by errors of late (3.2 standard errors) and ...
//! RUNGS 1 5 10 25 50 75 99 100 %
//! ```

use ratatui::layout::Rect;

use crate::{
    backend::FlagView,
    control::{Actor, Decision, Event, Explanation},
    tui::{
        Model, figures,
        pen::{Align, Pen, wrap},
        world::World,
    },
};

/// Names of the six moves, in the order of the probabilities; the short ones where two stand in a line.
const MOVES: [&str; 6] = ["roll back", "step down", "hold", "raise 1", "raise 2", "raise 3"];
const SHORT: [&str; 6] = ["back", "down", "hold", "up 1", "up 2", "up 3"];
/// Columns of a name, with the space behind it.
const NAME: u16 = 10;
const SHORT_NAME: u16 = 5;
/// Columns of a number, with the space before it: ` 0.52 %`, and where two stand in a line ` <1 %`.
const NUMBER: u16 = 7;
const SHORT_NUMBER: u16 = 5;
/// Columns of a bar at most.
const BAR: u16 = 20;
/// From so many columns on it is said what the value means.
const MEANING: u16 = 46;

pub(super) fn draw(model: &Model, world: &World, flag: &FlagView, area: Rect, pen: &mut Pen<'_>) {
    if area.width < 16 {
        return;
    }
    let theme = pen.theme;
    let mut lines = (area.y..area.bottom()).map(|y| Rect { y, height: 1, ..area });
    let Some(line) = lines.next() else { return };
    let x = pen.text(line.x, line.y, line.width, "PROPOSAL", theme.strong()) + 1;
    let own = own_decision(model, flag);
    let mut moved = own.map_or_else(Vec::new, |own| moved_by(own, false, area.width));
    let hold = flag.hold.as_ref().filter(|hold| hold.until > world.now);
    let guard_off = flag.guard_off_until.filter(|until| *until > world.now);
    match &flag.proposal {
        None => {
            let none = if flag.phase.needs_start() { "none: only a person starts it" } else { "none yet" };
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
                    moved = own.map_or_else(Vec::new, |own| moved_by(own, true, area.width));
                }
                draw_probabilities(probabilities, roomy, &mut lines, pen);
            } else {
                let text = format!("{} has no probabilities: {}", world.policy.name, world.policy.about);
                for part in wrap(&text, usize::from(area.width)) {
                    let Some(line) = lines.next() else { return };
                    pen.text(line.x, line.y, line.width, &part, theme.dim());
                }
            }
            if let Some(value) = proposal.value
                && let Some(line) = lines.next()
            {
                let meaning = if line.width < MEANING { "," } else { ": reward to come," };
                let text = format!("value {value:.2}{meaning} higher is better");
                pen.text(line.x, line.y, line.width, &text, theme.dim());
            }
        }
    }
    if let Some(hold) = hold
        && let Some(line) = lines.next()
    {
        let text = format!("{} holds it, {} left", hold.by, hold.until.since(world.now));
        pen.text(line.x, line.y, line.width, &text, theme.person());
    }
    if let Some(until) = guard_off
        && let Some(line) = lines.next()
    {
        let text = format!("guard OFF, {} left", until.since(world.now));
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

/// The agent's last own decision on the flag, where its policy says why.
fn own_decision<'a>(model: &'a Model, flag: &FlagView) -> Option<(&'a Decision, &'a Explanation)> {
    model.entries_of(Some(&flag.spec.key)).find_map(|entry| match (&entry.event, &entry.actor) {
        (Event::Decided(decision), Actor::Agent) => Some((decision, decision.explanation.as_deref()?)),
        _ => None,
    })
}

/// Units in fewer columns.
const SHORTER: [(&str, &str); 4] = [
    (" standard errors", " s.e."),
    (" times control's", "x control's"),
    (" percentage points", " pp"),
    (" of the proof needed", " of proof"),
];

/// What moved a decision, in lines; in as few words as can be where there is little room.
fn moved_by((decision, explanation): (&Decision, &Explanation), short: bool, width: u16) -> Vec<String> {
    let Some(moved) = explanation.moved_most() else { return Vec::new() };
    let text = if short {
        let clauses = explanation.moved_by.join("; ");
        let clauses = SHORTER.iter().fold(clauses, |text, (long, short)| text.replace(long, short));
        format!("{}: {clauses}", decision.to)
    } else {
        format!("{} was moved by {moved}", decision.action)
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
        for (name, share) in MOVES.into_iter().zip(probabilities) {
            let Some(line) = lines.next() else { return };
            let number = format!("{} %", figures::percent(Some(f64::from(*share))));
            draw_one((name, NAME), (&number, NUMBER), *share, line, pen);
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
            draw_one((SHORT[place], SHORT_NAME), (&number, SHORT_NUMBER), share, at, pen);
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
        pen.gauge(x, line.y, room, if share.is_finite() { share } else { 0.0 }, theme.plain());
        pen.cell(x + room, line.y, number_columns, Align::Right, number, theme.plain());
    } else {
        pen.cell(x + room, line.y, number_columns, Align::Right, figures::NONE, theme.dim());
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
