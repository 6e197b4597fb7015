//! One journal entry in one line: its mark, its time, who acted, and the sentence.

use ratatui::{layout::Rect, style::Style};

use crate::tui::{
    figures,
    pen::{Align, Pen},
};
use knightwatch_core::control::{Action, Actor, Decision, Entry, Event, Outcome};

/// Widths of time and actor.
const TIME: u16 = 8;
const ACTOR: u16 = 10;

/// What an entry is on the time axis. The later ones cover the earlier ones in the same interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::tui) enum Kind {
    /// A veto.
    Veto,
    /// Something was deployed.
    Deployment,
    /// A raise or a start.
    Up,
    /// A step down, a rollback, a pause by the program.
    Down,
    /// What a person did.
    Person,
}

impl Kind {
    /// What `event` by `actor` is; `None` for what has no mark.
    pub(in crate::tui) fn of(event: &Event, actor: &Actor) -> Option<Self> {
        if matches!(event, Event::Deployed { .. }) {
            return Some(Self::Deployment);
        }
        if matches!(actor, Actor::Person(_)) {
            return Some(Self::Person);
        }
        match event {
            Event::Decided(Decision { outcome: Outcome::Vetoed, .. }) => Some(Self::Veto),
            Event::Decided(Decision { action: Action::RaiseTo(_), .. }) | Event::Started { .. } => {
                Some(Self::Up)
            }
            Event::Decided(Decision { action: Action::RollBack | Action::StepDown, .. })
            | Event::Paused { .. } => Some(Self::Down),
            _ => None,
        }
    }

    /// Its mark.
    pub(in crate::tui) fn symbol(self, pen: &Pen<'_>) -> (&'static str, Style) {
        let theme = pen.theme;
        match self {
            Self::Veto => (theme.veto(), theme.dim()),
            Self::Deployment => (theme.deployment(), theme.strong()),
            Self::Up => (theme.up(), theme.plain()),
            Self::Down => (theme.down(), theme.abnormal()),
            Self::Person => (theme.by_person(), theme.person()),
        }
    }
}

/// The titles of time and actor; returns the column after them.
pub(in crate::tui) fn titles(pen: &mut Pen<'_>, mut x: u16, y: u16) -> u16 {
    let dim = pen.theme.dim();
    pen.text(x, y, TIME, "time UTC", dim);
    x += TIME + 2;
    pen.text(x, y, ACTOR, "actor", dim);
    x += ACTOR + 1;
    x
}

/// One entry in one line.
pub(in crate::tui) fn draw_entry(entry: &Entry, chosen: bool, area: Rect, pen: &mut Pen<'_>) {
    let theme = pen.theme;
    if chosen {
        pen.text(area.x, area.y, 1, theme.marker(), theme.strong());
    }
    let x = draw_head(entry, area, pen);
    let style = if chosen { theme.strong() } else { theme.plain() };
    pen.text(x, area.y, area.right().saturating_sub(x), &entry.sentence, style);
}

/// Time and actor; returns the column after them.
pub(in crate::tui) fn draw_head(entry: &Entry, area: Rect, pen: &mut Pen<'_>) -> u16 {
    let theme = pen.theme;
    let y = area.y;
    let mut x = area.x + 2;
    pen.text(x, y, TIME, &figures::clock(entry.at), theme.dim());
    x += TIME + 2;
    let style = match &entry.actor {
        Actor::Person(_) => theme.person(),
        Actor::Shield => theme.strong(),
        Actor::Agent => theme.plain(),
        Actor::System => theme.dim(),
    };
    pen.cell(x, y, ACTOR, Align::Left, &entry.actor.to_string(), style);
    x + ACTOR + 1
}
