//! Where a flag stands, in words: its phase, its verdict, and why it is where it is.
//!
//! The fleet, the flag's screen and the panel below the fleet say it with the same words; how much room there is, they
//! know.

use ratatui::style::Style;

use crate::tui::{figures, fleet_view::FleetView, pen::Pen};
use knightwatch_core::{
    control::{Action, Actor, Event, Outcome, Phase},
    telemetry::Verdict,
};
use knightwatch_engine::backend::{FlagView, RulingView};

/// Whether a person holds the flag.
fn is_held(flag: &FlagView, fleet: &FleetView) -> bool {
    flag.hold.as_ref().is_some_and(|hold| hold.until > fleet.controller.now)
}

/// Whether the hard limits are off.
fn is_unguarded(flag: &FlagView, fleet: &FleetView) -> bool {
    flag.guard_off_until.is_some_and(|until| until > fleet.controller.now)
}

/// The mark of a guard that is off or of a person's hold; the guard is the more urgent.
pub(in crate::tui) fn mark(
    flag: &FlagView,
    fleet: &FleetView,
    pen: &Pen<'_>,
) -> Option<(&'static str, Style)> {
    if is_unguarded(flag, fleet) {
        return Some(("!", pen.theme.abnormal()));
    }
    is_held(flag, fleet).then(|| (pen.theme.by_person(), pen.theme.person()))
}

/// The phase. Colour is for what nobody has said to have seen.
pub(in crate::tui) fn phase(flag: &FlagView, unseen: bool, pen: &Pen<'_>) -> (&'static str, Style) {
    let theme = pen.theme;
    let style = match flag.phase {
        Phase::RolledBack if unseen => theme.abnormal(),
        Phase::RolledBack | Phase::Killed | Phase::Paused => theme.strong(),
        Phase::Ramping | Phase::Complete => theme.plain(),
        Phase::Idle => theme.dim(),
    };
    (flag.phase.as_str(), style)
}

/// The verdict in a word; without treatment there is nothing to judge. At 100 % there is no live control to judge by:
/// the flag is watched against the recorded one.
pub(in crate::tui) fn verdict(flag: &FlagView, pen: &Pen<'_>) -> (String, Style) {
    let theme = pen.theme;
    let assumed = if flag.assumed { "~" } else { "" };
    match flag.verdict {
        // In the interval of a rollback the verdict that led to it still stands.
        verdict if flag.rollout.is_zero() && verdict != Verdict::Regressed => {
            (figures::NONE.to_owned(), theme.dim())
        }
        Verdict::Lost => {
            let age = flag.report.age.map_or_else(|| "no data".to_owned(), figures::coarse);
            (format!("lost {age}"), theme.abnormal())
        }
        Verdict::Regressed => (format!("{assumed}regressed"), theme.abnormal()),
        _ if flag.phase == Phase::Complete => (format!("{assumed}watched"), theme.dim()),
        Verdict::Healthy => (format!("{assumed}healthy"), theme.plain()),
        Verdict::Insufficient => (format!("{assumed}collecting data"), theme.dim()),
    }
}

/// Draws phase and verdict in one column. Where both do not fit the verdict is shortened, then the less telling of the
/// two is left out.
pub(in crate::tui) fn draw(flag: &FlagView, unseen: bool, (x, y, width): (u16, u16, u16), pen: &mut Pen<'_>) {
    let (phase, phase_style) = phase(flag, unseen, pen);
    let (verdict, style) = verdict(flag, pen);
    if flag.rollout.is_zero() {
        pen.text(x, y, width, phase, phase_style);
        return;
    }
    let short = match flag.verdict {
        Verdict::Lost => flag
            .report
            .age
            .map_or_else(|| "no data".to_owned(), |age| format!("lost {}", figures::short(age))),
        Verdict::Insufficient if flag.phase != Phase::Complete => {
            verdict.replace("collecting data", "collecting")
        }
        _ => verdict.clone(),
    };
    let room = width.saturating_sub(pen.width_of(phase) + 1);
    let fits = |text: &str| pen.width_of(text) <= room;
    let told = if fits(&verdict) {
        verdict
    } else if fits(&short) {
        short
    } else if flag.verdict == Verdict::Insufficient
        || flag.phase == Phase::Complete && flag.verdict == Verdict::Healthy
    {
        pen.text(x, y, width, phase, phase_style);
        return;
    } else {
        pen.text(x, y, width, &verdict, style);
        return;
    };
    let x = pen.text(x, y, width, phase, phase_style) + 1;
    pen.text(x, y, room, &told, style);
}

/// Why the flag is where it is: what was proposed and ruled at the last tick where the agent moves it, otherwise what
/// was last done, by whom, and why.
pub(in crate::tui) fn why(flag: &FlagView, fleet: &FleetView) -> String {
    match (flag.phase, &flag.ruling) {
        (Phase::Ramping, Some(ruling)) => ruled(flag, ruling, fleet),
        _ => done(flag, fleet),
    }
}

fn ruled(flag: &FlagView, ruling: &RulingView, fleet: &FleetView) -> String {
    let times = match ruling.repeated {
        0 | 1 => String::new(),
        times => format!(" {times} times in a row"),
    };
    let allowed = matches!(ruling.outcome, Outcome::Allowed | Outcome::Clipped);
    match (&flag.proposal, ruling.outcome) {
        (None, _) if allowed && fleet.controller.policy.fault.is_some() => {
            "the policy has failed and gives no answer: the flag holds, the shield still guards".to_owned()
        }
        // A move that went through is one move, whatever was allowed before it.
        (Some(proposal), _) if allowed && proposal.action != Action::Hold => {
            format!("agent: {}, {} by the shield: {}", proposal.action, ruling.outcome, ruling.reason)
        }
        (Some(proposal), Outcome::Allowed | Outcome::Clipped | Outcome::Vetoed) => {
            format!("agent: {}, {}{times} by the shield: {}", proposal.action, ruling.outcome, ruling.reason)
        }
        _ => format!("shield: {}{times}: {}", ruling.outcome, ruling.reason),
    }
}

fn done(flag: &FlagView, fleet: &FleetView) -> String {
    let Some(last) = &flag.last else {
        return "nothing was done to it yet; a person starts it".to_owned();
    };
    let mut text =
        format!("{} by {} {} ago", last.what, last.by, figures::ago(fleet.controller.now, last.at));
    let entry = fleet.entry(last.seq);
    let because = entry.and_then(|entry| match &entry.event {
        Event::Decided(decision) if decision.evidence.is_empty() => Some(decision.reason.to_string()),
        Event::Decided(decision) => Some(format!("{} ({})", decision.reason, decision.evidence)),
        Event::Paused { reason: Some(reason), .. } => Some(reason.to_string()),
        _ => entry.reason_given().map(str::to_owned),
    });
    match because {
        Some(because) => {
            text.push_str(": ");
            text.push_str(&because);
        }
        None if matches!(last.by, Actor::Person(_)) => text.push_str(", no reason given"),
        None => {}
    }
    if flag.phase == Phase::Complete && flag.report.control_is_baseline {
        text.push_str("; now compared with its baseline");
    }
    text
}
