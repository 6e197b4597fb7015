//! Screens: one trait, one registry.
//!
//! A screen is a type in a file of its own under `screen/`. The type holds what belongs to that screen alone (cursor,
//! sorting, scrolling), draws it, and handles the commands that move about on it. The file's [`ScreenRow`] names the
//! screen, the commands it offers, its own commands, and the command that opens it. Everything else follows from the
//! rows in [`SCREENS`]: keys, footer, help, palette, and the key table in `docs/keys.md`.
//!
//! ```text
//! key -> command table -> update -> the screen shown (step, run, copy, enter)
//! Model + the screen shown -> draw -> the body between banners and footer
//! ```
//!
//! A screen sees the model only while it draws or answers a question. It changes nothing but itself: orders, dialogs
//! and notices are the business of `update`.

pub(super) mod alarms;
pub(super) mod briefing;
pub(super) mod flag;
pub(super) mod fleet;
pub(super) mod help;
pub(super) mod log;
mod stack;
pub(super) mod training;

use std::fmt;

use ratatui::layout::Rect;

pub(super) use stack::Screens;

use super::{
    Model, Real,
    command::{CommandId, Spec},
    fleet_view::FleetView,
    pen::Pen,
};
use knightwatch_core::{control::Alarm, flag::FlagKey};
use training::Training;

/// Every screen, in the order of the key table. The place to register a new one.
pub(super) const SCREENS: &[&ScreenRow] =
    &[&fleet::ROW, &flag::ROW, &log::ROW, &alarms::ROW, &training::ROW, &briefing::ROW, &help::ROW];

/// Identifies a screen: its name, as help and the key table print it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScreenId(&'static str);

impl ScreenId {
    /// Every registered screen, in the order of the key table.
    pub fn all() -> impl Iterator<Item = Self> {
        SCREENS.iter().map(|row| row.id)
    }

    /// The name: one word in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.0
    }

    /// The row in the registry.
    pub(super) fn row(self) -> Option<&'static ScreenRow> {
        SCREENS.iter().find(|row| row.id == self).copied()
    }
}

/// What a screen can do with the commands of the common table. A command that needs an ability appears only on screens
/// that offer it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ability {
    /// There is one flag that orders act on: `Screen::flag`.
    Flag,
    /// Alarms are acknowledged and shelved.
    Alarms,
    /// Enter opens a flag: `Screen::enter`.
    Enter,
    /// Tab moves on: `Screen::next`.
    Next,
    /// There is something to copy: `Screen::copy`.
    Copy,
    /// The pace of simulated time can be changed.
    Pace,
}

/// Where the commands of a screen stand in the command table, and thus in help, footer and palette.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// After the commands that move the cursor: the screens of everyday work.
    Daily,
    /// After copying and the pace of time: what is opened now and then.
    Background,
    /// Next to last.
    Help,
}

/// One row of the registry: everything that is known of a screen before it is open.
#[derive(Debug)]
pub(super) struct ScreenRow {
    /// Its identity and name.
    pub(super) id: ScreenId,
    /// Which commands of the common table it offers, besides those that work everywhere.
    pub(super) offers: &'static [Ability],
    /// The commands that exist on this screen alone; [`Screen::run`] runs them.
    pub(super) commands: &'static [Spec],
    /// The command that opens it; `None` where it opens in another way.
    pub(super) opener: Option<Opener>,
    /// Where its commands stand in the table.
    pub(super) section: Section,
    /// Whether Tab passes through it.
    pub(super) in_cycle: bool,
    /// Whether it lies over another screen and speaks of that one.
    pub(super) is_overlay: bool,
    /// Whether its own commands come first in the footer.
    pub(super) own_keys_first: bool,
}

impl ScreenRow {
    /// A screen with no commands of its own, outside the Tab cycle. Rows start from this and say what differs.
    pub(super) const fn new(id: ScreenId, section: Section) -> Self {
        Self {
            id,
            offers: &[],
            commands: &[],
            opener: None,
            section,
            in_cycle: false,
            is_overlay: false,
            own_keys_first: false,
        }
    }
}

/// How a screen is opened.
#[derive(Debug)]
pub(super) struct Opener {
    /// The command, with its keys. Its id is [`CommandId::OpenScreen`] of the screen.
    pub(super) command: Spec,
    /// Whether the screen is empty without a backend.
    pub(super) needs_backend: bool,
    /// Makes the screen, or says what is missing.
    pub(super) open: fn(&Model) -> Result<Box<dyn Screen>, String>,
}

/// A movement of the cursor.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// So many rows down; negative is up.
    By(isize),
    /// To the first row.
    First,
    /// To the last row.
    Last,
}

impl Step {
    /// Where it leads from `row` of `rows`.
    pub(super) fn from(self, row: usize, rows: usize) -> usize {
        let last = rows.saturating_sub(1);
        match self {
            Self::By(by) => row.saturating_add_signed(by).min(last),
            Self::First => 0,
            Self::Last => last,
        }
    }
}

/// How far a screen of text is scrolled.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scroll(usize);

impl Scroll {
    /// Moves, but not past `last`.
    pub(super) fn step(&mut self, step: Step, last: usize) {
        self.0 = step.from(self.0.min(last), last + 1);
    }

    /// The first line that is shown where `last` is the furthest.
    pub(super) fn at(self, last: usize) -> usize {
        self.0.min(last)
    }
}

/// Rows below a list for the selected item in full: as many as `lines`, within `least` and a part of the screen.
pub(super) fn detail_rows(lines: usize, least: u16, most: u16) -> u16 {
    u16::try_from(lines + 1).unwrap_or(u16::MAX).clamp(least, most.max(least))
}

/// Where Tab leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// To the next screen of the cycle.
    Screen,
    /// To another flag on the same screen.
    Flag(FlagKey),
    /// Nowhere.
    Stay,
}

/// A screen that is open. Only `row`, `draw` and `page` have no default.
pub(super) trait Screen: fmt::Debug + Send {
    /// Its row in the registry.
    fn row(&self) -> &'static ScreenRow;

    /// Draws the body: everything between banners and footer.
    fn draw(&self, model: &Model, area: Rect, pen: &mut Pen<'_>);

    /// How many rows `PgUp` and `PgDn` move by.
    fn page(&self, model: &Model, body: Rect) -> usize;

    /// How many lines the text can be scrolled down; `0` for a screen with a cursor.
    fn last_scroll(&self, _model: &Model, _body: Rect) -> usize {
        0
    }

    /// Moves the cursor, or scrolls at most to `last_scroll`.
    fn step(&mut self, _step: Step, _world: Option<&FleetView>, _last_scroll: usize) {}

    /// Whether older journal entries are needed to go on from here.
    fn wants_older(&self, _model: &Model, _body: Rect) -> bool {
        false
    }

    /// Runs one of its own commands, by the number in [`CommandId::Own`]; returns what to tell the person.
    fn run(&mut self, _command: u8, _world: Option<&FleetView>) -> Option<String> {
        None
    }

    /// Why a command cannot be used while this screen is shown: asked for its own commands and those that open screens.
    fn why_not(&self, _id: CommandId) -> Option<String> {
        None
    }

    /// The flag that orders act on.
    fn flag(&self) -> Option<&FlagKey> {
        None
    }

    /// The alarm under the cursor.
    fn alarm<'a>(&self, _world: &'a FleetView) -> Option<&'a Alarm> {
        None
    }

    /// The flag that Enter opens.
    fn enter(&self, _model: &Model) -> Option<FlagKey> {
        None
    }

    /// What `y` copies.
    fn copy(&self, _model: &Model) -> Option<String> {
        None
    }

    /// Where Tab leads: `by` is 1, or -1 for Shift-Tab.
    fn next(&self, _model: &Model, _by: isize) -> Next {
        Next::Screen
    }

    /// It is shown from now on: text starts at its top.
    fn shown(&mut self) {}

    /// Its own command opened it, whether it is new or was open before.
    fn opened(&mut self, _now: Real) {}

    /// The world has changed. While `held` is true no row may move.
    fn refresh(&mut self, _world: &FleetView, _held: bool) {}

    /// A new snapshot replaces the world: positions in the old one mean nothing.
    fn forget_positions(&mut self) {}

    /// This flag is opened on another screen: the cursor follows.
    fn select(&mut self, _flag: &FlagKey) {}

    /// The flag `by` rows after `flag`, where this screen lists flags.
    fn neighbour(&self, _world: &FleetView, _flag: &FlagKey, _by: isize) -> Option<FlagKey> {
        None
    }

    /// The training it shows.
    fn training(&self) -> Option<&Training> {
        None
    }

    /// The training it shows, to be played on.
    fn training_mut(&mut self) -> Option<&mut Training> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::{
        Settings,
        command::{COMMANDS, Scope},
    };

    #[test]
    fn a_row_is_about_its_own_screen() {
        let model = Model::new(Settings::default());
        for row in SCREENS {
            assert_eq!(SCREENS.iter().filter(|other| other.id == row.id).count(), 1, "{:?} twice", row.id);
            for command in row.commands {
                assert!(matches!(command.id, CommandId::Own(id, _) if id == row.id), "{command:?}");
                assert_eq!(command.screens, Scope::Only(row.id));
            }
            if let Some(opener) = &row.opener {
                assert_eq!(opener.command.id, CommandId::OpenScreen(row.id));
                assert_eq!(opener.command.screens, Scope::Except(row.id));
                assert!(!opener.command.name.is_empty(), "the palette finds {:?} by name", row.id);
                assert_eq!((opener.open)(&model).unwrap().row().id, row.id);
            }
        }
    }

    #[test]
    fn the_command_table_has_the_rows_of_every_screen_once() {
        for row in SCREENS {
            for command in row.commands.iter().chain(row.opener.as_ref().map(|opener| &opener.command)) {
                let rows = COMMANDS.iter().filter(|spec| spec.id == command.id);
                assert_eq!(rows.map(|spec| spec.help).collect::<Vec<_>>(), [command.help]);
            }
        }
    }
}
