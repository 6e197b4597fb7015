//! The one table of commands: name, keys, one line of help, and on which screens.
//!
//! Keymap, footer, help, palette and the key table in `docs/keys.md` all come from it, so that they cannot disagree. Why a
//! command cannot be used right now is a pure function of the model, shown when somebody tries all the same.
//!
//! The table is put together from the orders (`orders.rs`), the navigation that all screens share (`navigation.rs`) and the
//! rows of the screens' own commands (`screen/`).

mod navigation;
mod orders;
mod reasons;

use std::fmt::Write as _;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

pub(super) use orders::possible;
pub(super) use reasons::why_not;

use super::screen::{Ability, SCREENS, ScreenId, Section};
use knightwatch_core::control::Command;
use navigation::{FRAME, LEAVE, MOVEMENT, TOOLS};

/// A key or key combination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chord {
    code: KeyCode,
    control: bool,
}

pub(super) const fn key(code: KeyCode) -> Chord {
    Chord { code, control: false }
}

pub(super) const fn letter(letter: char) -> Chord {
    Chord { code: KeyCode::Char(letter), control: false }
}

pub(super) const fn control(letter: char) -> Chord {
    Chord { code: KeyCode::Char(letter), control: true }
}

impl Chord {
    /// Whether `event` is this key. Capital letters come with or without Shift, depending on the terminal.
    #[must_use]
    pub fn matches(&self, event: &KeyEvent) -> bool {
        if event.modifiers.contains(KeyModifiers::ALT)
            || event.modifiers.contains(KeyModifiers::CONTROL) != self.control
        {
            return false;
        }
        match (self.code, event.code) {
            (KeyCode::Char(mine), KeyCode::Char(theirs)) if self.control => {
                mine == theirs.to_ascii_lowercase()
            }
            (mine, theirs) => mine == theirs,
        }
    }

    /// What people call it: `Ctrl-K`, `PgUp`, `g`.
    #[must_use]
    pub fn label(&self) -> String {
        let name = match self.code {
            KeyCode::Char(' ') => "Space".to_owned(),
            KeyCode::Char(letter) if self.control => letter.to_ascii_uppercase().to_string(),
            KeyCode::Char(letter) => letter.to_string(),
            KeyCode::F(number) => format!("F{number}"),
            KeyCode::PageUp => "PgUp".to_owned(),
            KeyCode::PageDown => "PgDn".to_owned(),
            KeyCode::BackTab => "Shift-Tab".to_owned(),
            other => format!("{other:?}"),
        };
        if self.control { format!("Ctrl-{name}") } else { name }
    }
}

/// Every command there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CommandId {
    /// Gives an order, by its name in the table of orders.
    Order(&'static str),
    /// Speeds controller time up.
    Faster,
    /// Slows controller time down.
    Slower,
    /// Opens the flag.
    Open,
    /// One line down.
    Down,
    /// One line up.
    Up,
    /// To the top.
    Top,
    /// To the end.
    Bottom,
    /// A page down.
    PageDown,
    /// A page up.
    PageUp,
    /// The next screen, or the next flag.
    Next,
    /// The previous screen, or the previous flag.
    Previous,
    /// Copies what is selected.
    Copy,
    /// Opens a screen.
    OpenScreen(ScreenId),
    /// A command that exists on one screen alone, by the screen's own number for it.
    Own(ScreenId, u8),
    /// Opens the palette.
    Palette,
    /// Redraws the screen.
    Redraw,
    /// One level back.
    Back,
    /// Back, and out at the top.
    Quit,
}

impl CommandId {
    /// Arms kill-all.
    pub const KILL_ALL: Self = Self::Order("kill_all");
    /// Opens the form that re-arms.
    pub const REARM: Self = Self::Order("rearm");
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Which command.
    pub id: CommandId,
    /// What the palette calls it; empty for what only moves about.
    pub name: &'static str,
    /// One or two words for the footer; empty where it is not in the footer.
    pub short: &'static str,
    /// The keys that do it.
    pub keys: &'static [Chord],
    /// One line of help.
    pub help: &'static str,
    /// On which screens.
    pub screens: Scope,
}

/// On which screens a command works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// On every screen.
    Every,
    /// On screens that offer this.
    With(Ability),
    /// On one screen.
    Only(ScreenId),
    /// On every screen but one.
    Except(ScreenId),
}

impl Scope {
    /// Whether `screen` is one of them.
    #[must_use]
    pub fn includes(self, screen: ScreenId) -> bool {
        match self {
            Self::Every => true,
            Self::With(ability) => screen.row().is_some_and(|row| row.offers.contains(&ability)),
            Self::Only(only) => only == screen,
            Self::Except(except) => except != screen,
        }
    }
}

/// The table.
pub const COMMANDS: &[Spec] = &TABLE.rows;

/// Rows of the table.
const LENGTH: usize = {
    let mut rows = orders::ROWS.len() + MOVEMENT.len() + TOOLS.len() + FRAME.len() + LEAVE.len();
    let mut place = 0;
    while place < SCREENS.len() {
        rows += SCREENS[place].commands.len() + SCREENS[place].opener.is_some() as usize;
        place += 1;
    }
    rows
};

const TABLE: Table = {
    let mut table = Table { rows: [orders::ROWS[0]; LENGTH], end: 0 };
    table.add(orders::ROWS);
    table.add(MOVEMENT);
    table.add_screens(Section::Daily);
    table.add(TOOLS);
    table.add_screens(Section::Background);
    table.add(FRAME);
    table.add_screens(Section::Help);
    table.add(LEAVE);
    table
};

/// The table while it is put together.
struct Table {
    rows: [Spec; LENGTH],
    end: usize,
}

impl Table {
    const fn add(&mut self, specs: &[Spec]) {
        let mut place = 0;
        while place < specs.len() {
            self.rows[self.end] = specs[place];
            self.end += 1;
            place += 1;
        }
    }

    /// Adds the own commands and the opener of every screen in a section.
    const fn add_screens(&mut self, section: Section) {
        let mut place = 0;
        while place < SCREENS.len() {
            let row = SCREENS[place];
            if row.section as u8 == section as u8 {
                self.add(row.commands);
                if let Some(opener) = &row.opener {
                    self.add(&[opener.command]);
                }
            }
            place += 1;
        }
    }
}

impl Spec {
    /// The keys as people call them, joined by spaces.
    #[must_use]
    pub fn key_labels(&self) -> String {
        self.keys.iter().map(Chord::label).collect::<Vec<_>>().join(" ")
    }
}

/// The row of a command.
pub(super) fn spec(id: CommandId) -> Option<&'static Spec> {
    COMMANDS.iter().find(|spec| spec.id == id)
}

/// The command that a key does on a screen.
pub(super) fn find(screen: ScreenId, event: &KeyEvent) -> Option<&'static Spec> {
    COMMANDS
        .iter()
        .find(|spec| spec.screens.includes(screen) && spec.keys.iter().any(|chord| chord.matches(event)))
}

/// The key table in `docs/keys.md`, as Markdown.
#[must_use]
pub fn key_table_markdown() -> String {
    let mut out = String::from("| keys | where | what |\n| --- | --- | --- |\n");
    for spec in COMMANDS.iter().filter(|spec| !spec.keys.is_empty()) {
        let keys: Vec<_> = spec.keys.iter().map(|chord| format!("`{}`", chord.label())).collect();
        let (on, off): (Vec<_>, Vec<_>) = ScreenId::all().partition(|screen| spec.screens.includes(*screen));
        let place = match off[..] {
            [] => "everywhere".to_owned(),
            [off] => format!("everywhere but {}", off.name()),
            _ => on.iter().map(|screen| screen.name()).collect::<Vec<_>>().join(", "),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "| {} | {place} | {} |", keys.join(" "), spec.help);
    }
    out
}

/// The command of the table that an order came from.
pub(super) fn of_order(command: &Command) -> Option<CommandId> {
    command.spec().map(|spec| CommandId::Order(spec.entry()))
}
