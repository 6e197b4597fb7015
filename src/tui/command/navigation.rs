//! The commands that screens share: moving about, copying, the pace of time, palette, back and quit.
//!
//! Which screen offers which of them, its row in the registry says.

use crossterm::event::KeyCode;

use super::{CommandId, Scope, Spec, control, key, letter};
use crate::tui::screen::Ability;

/// Moves the cursor, or goes on to what it is on.
pub(super) const MOVEMENT: &[Spec] = &[
    Spec {
        id: CommandId::Open,
        name: "",
        short: "open",
        keys: &[key(KeyCode::Enter)],
        screens: Scope::With(Ability::Enter),
        help: "open the flag",
    },
    Spec {
        id: CommandId::Down,
        name: "",
        short: "",
        keys: &[letter('j'), key(KeyCode::Down)],
        screens: Scope::Every,
        help: "down",
    },
    Spec {
        id: CommandId::Up,
        name: "",
        short: "",
        keys: &[letter('k'), key(KeyCode::Up)],
        screens: Scope::Every,
        help: "up",
    },
    Spec {
        id: CommandId::Top,
        name: "",
        short: "",
        keys: &[letter('g'), key(KeyCode::Home)],
        screens: Scope::Every,
        help: "to the top",
    },
    Spec {
        id: CommandId::Bottom,
        name: "",
        short: "",
        keys: &[letter('G'), key(KeyCode::End)],
        screens: Scope::Every,
        help: "to the end",
    },
    Spec {
        id: CommandId::PageDown,
        name: "",
        short: "",
        keys: &[key(KeyCode::PageDown)],
        screens: Scope::Every,
        help: "a page down",
    },
    Spec {
        id: CommandId::PageUp,
        name: "",
        short: "",
        keys: &[key(KeyCode::PageUp)],
        screens: Scope::Every,
        help: "a page up",
    },
    Spec {
        id: CommandId::Next,
        name: "",
        short: "",
        keys: &[key(KeyCode::Tab)],
        screens: Scope::With(Ability::Next),
        help: "the next of fleet, log and alarms; on a flag, the next flag",
    },
    Spec {
        id: CommandId::Previous,
        name: "",
        short: "",
        keys: &[key(KeyCode::BackTab)],
        screens: Scope::With(Ability::Next),
        help: "the same, backwards",
    },
];

/// What can be done on many screens.
pub(super) const TOOLS: &[Spec] = &[
    Spec {
        id: CommandId::Copy,
        name: "",
        short: "copy",
        keys: &[letter('y')],
        screens: Scope::With(Ability::Copy),
        help: "copy the flag key, or the sentence, to the clipboard",
    },
    Spec {
        id: CommandId::Faster,
        name: "speed up",
        short: "",
        keys: &[letter('+'), letter('=')],
        screens: Scope::With(Ability::Pace),
        help: "controller time faster (simulated time only)",
    },
    Spec {
        id: CommandId::Slower,
        name: "slow down",
        short: "",
        keys: &[letter('-')],
        screens: Scope::With(Ability::Pace),
        help: "controller time slower; below 1x it stops",
    },
];

/// The room itself.
pub(super) const FRAME: &[Spec] = &[
    Spec {
        id: CommandId::Redraw,
        name: "",
        short: "",
        keys: &[control('l')],
        screens: Scope::Every,
        help: "redraw",
    },
    Spec {
        id: CommandId::Back,
        name: "",
        short: "",
        keys: &[key(KeyCode::Esc)],
        screens: Scope::Every,
        help: "one level back; never quits",
    },
    Spec {
        id: CommandId::Palette,
        name: "",
        short: "commands",
        keys: &[letter(':')],
        screens: Scope::Every,
        help: "find a command by its name",
    },
];

/// The last row.
pub(super) const LEAVE: &[Spec] = &[Spec {
    id: CommandId::Quit,
    name: "quit",
    short: "",
    keys: &[letter('q')],
    screens: Scope::Every,
    help: "back; at the top, quit",
}];
