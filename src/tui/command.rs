//! The one table of commands: name, keys, one line of help, and on which screens.
//!
//! Keymap, footer, help, palette and the key table in `docs/keys.md` all come from it, so that they cannot disagree. Why a
//! command cannot be used right now is a pure function of the model, shown when somebody tries all the same.

mod reasons;

use std::fmt::Write as _;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

pub(super) use reasons::why_not;

use knightwatch_core::control::Command;

/// A key or key combination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chord {
    code: KeyCode,
    control: bool,
}

const fn key(code: KeyCode) -> Chord {
    Chord { code, control: false }
}

const fn letter(letter: char) -> Chord {
    Chord { code: KeyCode::Char(letter), control: false }
}

const fn control(letter: char) -> Chord {
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
    /// Arms kill-all.
    KillAll,
    /// Opens the re-arm form.
    Rearm,
    /// Starts a flag.
    Start,
    /// Takes a flag to 100 %.
    Promote,
    /// Hands a flag back to the agent.
    Release,
    /// Pauses or resumes a flag.
    Pause,
    /// Rolls a flag back.
    Rollback,
    /// Opens the override form.
    Override,
    /// Acknowledges an alarm.
    Acknowledge,
    /// Opens the form that shelves an alarm.
    Shelve,
    /// Acknowledges the briefing.
    Comprehend,
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
    /// The next sort order.
    Sort,
    /// Copies what is selected.
    Copy,
    /// Opens the log.
    Log,
    /// Opens the alarms.
    Alarms,
    /// Opens the training.
    Training,
    /// Plays the training, or stands still.
    Play,
    /// Plays the training faster.
    PlayFaster,
    /// Plays the training slower.
    PlaySlower,
    /// One iteration back.
    Earlier,
    /// One iteration on.
    Later,
    /// Opens the briefing.
    Briefing,
    /// Opens help.
    Help,
    /// Opens the palette.
    Palette,
    /// Draws everything anew.
    Redraw,
    /// One level back.
    Back,
    /// Back, and out at the top.
    Quit,
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
    /// On which screens: a sum of the constants in [`on`].
    pub screens: u8,
}

/// Screens, as a set.
pub mod on {
    /// The fleet.
    pub const FLEET: u8 = 1;
    /// One flag.
    pub const FLAG: u8 = 2;
    /// The log.
    pub const LOG: u8 = 4;
    /// The alarms.
    pub const ALARMS: u8 = 8;
    /// Help.
    pub const HELP: u8 = 16;
    /// The briefing.
    pub const BRIEFING: u8 = 32;
    /// The training.
    pub const TRAINING: u8 = 64;
    /// All of them.
    pub const EVERY: u8 = 127;
}

use on::{ALARMS, BRIEFING, EVERY, FLAG, FLEET, HELP, LOG, TRAINING};

const FLAGS: u8 = FLEET | FLAG;

/// The table. Dangerous commands have keys away from the harmless ones, and ask before they act.
pub const COMMANDS: &[Spec] = &[
    Spec {
        id: CommandId::KillAll,
        name: "kill-all",
        short: "kill all",
        keys: &[control('k'), control('x')],
        screens: EVERY,
        help: "every flag to 0 %, the agent locked out: arms it, then K executes",
    },
    Spec {
        id: CommandId::Pause,
        name: "pause or resume",
        short: "pause/resume",
        keys: &[letter('p')],
        screens: FLAGS,
        help: "no raises on this flag until resumed; the shield still guards; acts at once",
    },
    Spec {
        id: CommandId::Rollback,
        name: "roll back",
        short: "roll back",
        keys: &[letter('r')],
        screens: FLAGS,
        help: "this flag to 0 %; asks for y",
    },
    Spec {
        id: CommandId::Override,
        name: "override",
        short: "override",
        keys: &[letter('o')],
        screens: FLAGS,
        help: "set this flag's share by hand, with an expiry; a form",
    },
    Spec {
        id: CommandId::Start,
        name: "start",
        short: "",
        keys: &[key(KeyCode::F(5))],
        screens: FLAGS,
        help: "this flag to its first rung, then the agent moves it; asks for y",
    },
    Spec {
        id: CommandId::Release,
        name: "release",
        short: "",
        keys: &[key(KeyCode::F(6))],
        screens: FLAGS,
        help: "hand this flag back to the agent before a person's hold ends; asks for y",
    },
    Spec {
        id: CommandId::Promote,
        name: "promote",
        short: "",
        keys: &[key(KeyCode::F(8))],
        screens: FLAGS,
        help: "this flag straight to 100 %; asks for y",
    },
    Spec {
        id: CommandId::Rearm,
        name: "re-arm",
        short: "",
        keys: &[key(KeyCode::F(12))],
        screens: EVERY,
        help: "open the kill latch; starts nothing; wants the environment's name and a reason",
    },
    Spec {
        id: CommandId::Acknowledge,
        name: "acknowledge alarm",
        short: "acknowledge",
        keys: &[letter('a')],
        screens: EVERY & !BRIEFING,
        help: "say that you have seen an alarm: the selected one, or the most urgent",
    },
    Spec {
        id: CommandId::Shelve,
        name: "shelve alarm",
        short: "",
        keys: &[letter('z')],
        screens: EVERY & !BRIEFING,
        help: "take an alarm out of sight for a time, with a reason; it comes back by itself; a form",
    },
    Spec {
        id: CommandId::Comprehend,
        name: "acknowledge briefing",
        short: "acknowledge",
        keys: &[letter('a')],
        screens: BRIEFING,
        help: "acknowledge the briefing; it is journalled under your name",
    },
    Spec {
        id: CommandId::Open,
        name: "",
        short: "open",
        keys: &[key(KeyCode::Enter)],
        screens: FLEET | LOG | ALARMS,
        help: "open the flag",
    },
    Spec {
        id: CommandId::Down,
        name: "",
        short: "",
        keys: &[letter('j'), key(KeyCode::Down)],
        screens: EVERY,
        help: "down",
    },
    Spec {
        id: CommandId::Up,
        name: "",
        short: "",
        keys: &[letter('k'), key(KeyCode::Up)],
        screens: EVERY,
        help: "up",
    },
    Spec {
        id: CommandId::Top,
        name: "",
        short: "",
        keys: &[letter('g'), key(KeyCode::Home)],
        screens: EVERY,
        help: "to the top",
    },
    Spec {
        id: CommandId::Bottom,
        name: "",
        short: "",
        keys: &[letter('G'), key(KeyCode::End)],
        screens: EVERY,
        help: "to the end",
    },
    Spec {
        id: CommandId::PageDown,
        name: "",
        short: "",
        keys: &[key(KeyCode::PageDown)],
        screens: EVERY,
        help: "a page down",
    },
    Spec {
        id: CommandId::PageUp,
        name: "",
        short: "",
        keys: &[key(KeyCode::PageUp)],
        screens: EVERY,
        help: "a page up",
    },
    Spec {
        id: CommandId::Next,
        name: "",
        short: "",
        keys: &[key(KeyCode::Tab)],
        screens: FLAGS | LOG | ALARMS,
        help: "the next of fleet, log and alarms; on a flag, the next flag",
    },
    Spec {
        id: CommandId::Previous,
        name: "",
        short: "",
        keys: &[key(KeyCode::BackTab)],
        screens: FLAGS | LOG | ALARMS,
        help: "the same, backwards",
    },
    Spec {
        id: CommandId::Sort,
        name: "",
        short: "sort",
        keys: &[letter('s')],
        screens: FLEET,
        help: "sort by attention, name, rollout, phase",
    },
    Spec {
        id: CommandId::Log,
        name: "log",
        short: "log",
        keys: &[letter('l')],
        screens: EVERY & !LOG,
        help: "the journal, every entry one sentence",
    },
    Spec {
        id: CommandId::Alarms,
        name: "alarms",
        short: "alarms",
        keys: &[letter('A')],
        screens: EVERY & !ALARMS,
        help: "what a person has to know",
    },
    Spec {
        id: CommandId::Copy,
        name: "",
        short: "copy",
        keys: &[letter('y')],
        screens: FLAGS | LOG | ALARMS,
        help: "copy the flag key, or the sentence, to the clipboard",
    },
    Spec {
        id: CommandId::Faster,
        name: "speed up",
        short: "",
        keys: &[letter('+'), letter('=')],
        screens: EVERY & !TRAINING,
        help: "controller time faster (simulated time only)",
    },
    Spec {
        id: CommandId::Slower,
        name: "slow down",
        short: "",
        keys: &[letter('-')],
        screens: EVERY & !TRAINING,
        help: "controller time slower; below 1x it stops",
    },
    Spec {
        id: CommandId::Play,
        name: "",
        short: "play/stop",
        keys: &[letter(' ')],
        screens: TRAINING,
        help: "play the training, or stand still; a live one: stand still, or follow again",
    },
    Spec {
        id: CommandId::Earlier,
        name: "",
        short: "back",
        keys: &[letter('['), key(KeyCode::Left)],
        screens: TRAINING,
        help: "one iteration back; PgUp goes a tenth of the training",
    },
    Spec {
        id: CommandId::Later,
        name: "",
        short: "on",
        keys: &[letter(']'), key(KeyCode::Right)],
        screens: TRAINING,
        help: "one iteration on; PgDn goes a tenth of the training",
    },
    Spec {
        id: CommandId::PlayFaster,
        name: "",
        short: "faster",
        keys: &[letter('+'), letter('=')],
        screens: TRAINING,
        help: "play the recorded training faster",
    },
    Spec {
        id: CommandId::PlaySlower,
        name: "",
        short: "slower",
        keys: &[letter('-')],
        screens: TRAINING,
        help: "play it slower",
    },
    Spec {
        id: CommandId::Training,
        name: "training",
        short: "",
        keys: &[letter('T')],
        screens: EVERY & !TRAINING,
        help: "how the agent came to be: the curves of its training, played",
    },
    Spec {
        id: CommandId::Briefing,
        name: "briefing",
        short: "",
        keys: &[letter('B')],
        screens: EVERY & !BRIEFING,
        help: "what flags are for, and what happens without them",
    },
    Spec {
        id: CommandId::Redraw,
        name: "",
        short: "",
        keys: &[control('l')],
        screens: EVERY,
        help: "draw everything anew",
    },
    Spec {
        id: CommandId::Back,
        name: "",
        short: "",
        keys: &[key(KeyCode::Esc)],
        screens: EVERY,
        help: "one level back; never quits",
    },
    Spec {
        id: CommandId::Palette,
        name: "",
        short: "commands",
        keys: &[letter(':')],
        screens: EVERY,
        help: "find a command by its name",
    },
    Spec {
        id: CommandId::Help,
        name: "help",
        short: "help",
        keys: &[letter('?')],
        screens: EVERY & !HELP,
        help: "the keys of this screen",
    },
    Spec {
        id: CommandId::Quit,
        name: "quit",
        short: "",
        keys: &[letter('q')],
        screens: EVERY,
        help: "back; at the top, quit",
    },
];

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
pub(super) fn find(screen: u8, event: &KeyEvent) -> Option<&'static Spec> {
    COMMANDS
        .iter()
        .find(|spec| spec.screens & screen != 0 && spec.keys.iter().any(|chord| chord.matches(event)))
}

/// The key table in `docs/keys.md`, as Markdown.
#[must_use]
pub fn key_table_markdown() -> String {
    const NAMES: [(u8, &str); 7] = [
        (FLEET, "fleet"),
        (FLAG, "flag"),
        (LOG, "log"),
        (ALARMS, "alarms"),
        (HELP, "help"),
        (BRIEFING, "briefing"),
        (TRAINING, "training"),
    ];
    let mut out = String::from("| keys | where | what |\n| --- | --- | --- |\n");
    for spec in COMMANDS {
        let keys: Vec<_> = spec.keys.iter().map(|chord| format!("`{}`", chord.label())).collect();
        let place = if spec.screens == EVERY {
            "everywhere".to_owned()
        } else {
            let missing: Vec<_> =
                NAMES.iter().filter(|(bit, _)| spec.screens & bit == 0).map(|(_, name)| *name).collect();
            if missing.len() == 1 {
                format!("everywhere but {}", missing[0])
            } else {
                let names: Vec<_> =
                    NAMES.iter().filter(|(bit, _)| spec.screens & bit != 0).map(|(_, name)| *name).collect();
                names.join(", ")
            }
        };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "| {} | {place} | {} |", keys.join(" "), spec.help);
    }
    out
}

/// The command of the table that an order came from, where it is one on a flag.
pub(super) fn of_order(command: &Command) -> Option<CommandId> {
    match command {
        Command::Start { .. } => Some(CommandId::Start),
        Command::Promote { .. } => Some(CommandId::Promote),
        Command::Release { .. } => Some(CommandId::Release),
        Command::Pause { .. } | Command::Resume { .. } => Some(CommandId::Pause),
        Command::Rollback { .. } => Some(CommandId::Rollback),
        Command::Set { .. } => Some(CommandId::Override),
        Command::Create { .. }
        | Command::Change { .. }
        | Command::Archive { .. }
        | Command::Shelve { .. }
        | Command::KillAll
        | Command::Rearm { .. }
        | Command::Deployed { .. }
        | Command::Definitions { .. }
        | Command::Acknowledge { .. }
        | Command::AcknowledgeBriefing => None,
    }
}
