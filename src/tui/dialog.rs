//! Dialogs: the palette, confirmations and forms, with what is typed into them.
//!
//! A dialog holds the key of the flag it was opened on, so that nothing that moves on the screen can change what it
//! acts on. It turns into an order only here; it must not know how it is drawn.

use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use nucleo_matcher::{
    Config, Matcher, Utf32Str,
    pattern::{CaseMatching, Normalization, Pattern},
};
use tui_input::{Input, backend::crossterm::EventHandler};

use super::command::{COMMANDS, CommandId};
use knightwatch_core::{
    control::{AlarmId, Command},
    flag::{FlagKey, Rollout, clean, clean_line},
    telemetry::Millis,
};

/// Longest override, in minutes: a week. Longer ones are a decision, not an override.
const MAX_OVERRIDE_MINUTES: u64 = 7 * 24 * 60;

/// Longest time on the shelf, in minutes: 8 h.
const MAX_SHELVED_MINUTES: u64 = 8 * 60;

/// What lies over the screen and takes the keys.
#[derive(Clone, Debug)]
pub(super) enum Dialog {
    /// Find a command.
    Palette(PaletteDialog),
    /// Ask for `y`.
    Confirm {
        /// Roll back, start, promote or release.
        what: CommandId,
        /// The flag it was opened on.
        flag: FlagKey,
    },
    /// Set a share by hand.
    Override(OverrideForm),
    /// Open the latch, or shelve an alarm.
    Reason(ReasonForm),
    /// Ask for `y` before the trainer is stopped.
    StopTraining,
}

/// The palette.
#[derive(Clone, Debug, Default)]
pub(super) struct PaletteDialog {
    pub(super) input: Input,
    /// What matches, best first.
    pub(super) matches: Vec<CommandId>,
    pub(super) selected: usize,
}

impl PaletteDialog {
    pub(super) fn new() -> Self {
        let mut palette = Self::default();
        palette.search();
        palette
    }

    /// Finds what matches: letters in order, anywhere in the name or in the line of help (the name counts more).
    pub(super) fn search(&mut self) {
        let pattern = Pattern::parse(self.input.value(), CaseMatching::Ignore, Normalization::Smart);
        let mut matcher = Matcher::new(Config::DEFAULT);
        let mut buffer = Vec::new();
        let mut found = Vec::new();
        for spec in COMMANDS.iter().filter(|spec| !spec.name.is_empty()) {
            let name = pattern.score(Utf32Str::new(spec.name, &mut buffer), &mut matcher);
            // The help only where the whole word is in it: stray letters match any sentence.
            let help = spec.help.contains(self.input.value().trim()).then_some(0);
            if let Some(score) = name.map(|score| score + 1).or(help) {
                found.push((score, spec.id));
            }
        }
        found.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
        self.matches = found.into_iter().map(|(_, id)| id).collect();
        self.selected = 0;
    }

    pub(super) fn chosen(&self) -> Option<CommandId> {
        self.matches.get(self.selected).copied()
    }
}

/// The fields of the override form, from top to bottom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Field {
    /// The share, in percent.
    #[default]
    Percent,
    /// For how many minutes.
    Minutes,
    /// Why.
    Reason,
    /// Whether the hard limits are off.
    Guard,
}

impl Field {
    pub(super) const ALL: [Self; 4] = [Self::Percent, Self::Minutes, Self::Reason, Self::Guard];

    fn step(self, by: usize) -> Self {
        let place = Self::ALL.iter().position(|field| *field == self).unwrap_or(0);
        Self::ALL[(place + by) % Self::ALL.len()]
    }

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Percent => "share",
            Self::Minutes => "for",
            Self::Reason => "reason",
            Self::Guard => "guard",
        }
    }
}

/// Set a share by hand.
#[derive(Clone, Debug)]
pub(super) struct OverrideForm {
    pub(super) flag: FlagKey,
    pub(super) percent: Input,
    pub(super) minutes: Input,
    pub(super) reason: Input,
    pub(super) guard_off: bool,
    pub(super) field: Field,
    /// What is wrong, and where.
    pub(super) error: Option<(Field, String)>,
}

impl OverrideForm {
    pub(super) fn new(flag: FlagKey) -> Self {
        Self {
            flag,
            percent: Input::default(),
            minutes: Input::default(),
            reason: Input::default(),
            guard_off: false,
            field: Field::Percent,
            error: None,
        }
    }

    pub(super) fn input(&self, field: Field) -> Option<&Input> {
        match field {
            Field::Percent => Some(&self.percent),
            Field::Minutes => Some(&self.minutes),
            Field::Reason => Some(&self.reason),
            Field::Guard => None,
        }
    }

    pub(super) fn focussed(&mut self) -> Option<&mut Input> {
        match self.field {
            Field::Percent => Some(&mut self.percent),
            Field::Minutes => Some(&mut self.minutes),
            Field::Reason => Some(&mut self.reason),
            Field::Guard => None,
        }
    }

    /// Takes a key; says whether the form is to be submitted.
    pub(super) fn key(&mut self, key: &KeyEvent) -> bool {
        match key.code {
            KeyCode::Enter => return true,
            KeyCode::Tab | KeyCode::Down => self.field = self.field.step(1),
            KeyCode::BackTab | KeyCode::Up => self.field = self.field.step(Field::ALL.len() - 1),
            KeyCode::Char(' ') if self.field == Field::Guard => {
                self.guard_off = !self.guard_off;
                self.error = None;
            }
            _ => {
                if let Some(input) = self.focussed() {
                    edit(input, key);
                }
                self.error = None;
            }
        }
        false
    }

    /// The command and the reason, or which field is wrong, what was found and what was expected.
    pub(super) fn order(&self) -> Result<(Command, String), (Field, String)> {
        let typed = self.percent.value().trim().trim_end_matches('%').trim_end();
        let wrong = || {
            let found = if typed.is_empty() { "nothing".to_owned() } else { format!("{:?}", clean(typed)) };
            (Field::Percent, format!("expected a number from 0 to 100 (percent), found {found}"))
        };
        let percent: f64 = typed.parse().map_err(|_| wrong())?;
        let rollout = Rollout::from_percent(percent).map_err(|_| wrong())?;
        let typed = self.minutes.value().trim();
        let expires_in = if typed.is_empty() {
            None
        } else {
            let minutes: Option<u64> = typed.parse().ok().filter(|m| (1..=MAX_OVERRIDE_MINUTES).contains(m));
            let minutes = minutes.ok_or_else(|| {
                let found = clean(typed);
                let text = format!(
                    "expected whole minutes from 1 to {MAX_OVERRIDE_MINUTES}, or nothing, found {found:?}"
                );
                (Field::Minutes, text)
            })?;
            Some(Millis::from_secs(minutes * 60))
        };
        let reason = clean_line(self.reason.value());
        if self.guard_off && expires_in.is_none() {
            return Err((
                Field::Minutes,
                "expected minutes: the guard is never off without an expiry".to_owned(),
            ));
        }
        if self.guard_off && reason.is_empty() {
            return Err((Field::Reason, "expected a reason: the guard is to be off".to_owned()));
        }
        let flag = self.flag.clone();
        Ok((Command::Set { flag, rollout, expires_in, guard_off: self.guard_off }, reason))
    }
}

/// What a form with a reason is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// Open the latch: wants the environment's name.
    Rearm,
    /// Take an alarm out of sight: wants minutes.
    Shelve {
        /// The alarm it was opened on.
        alarm: AlarmId,
        /// What it says.
        text: String,
    },
}

/// One thing to be typed, and why.
#[derive(Clone, Debug)]
pub(super) struct ReasonForm {
    pub(super) about: About,
    /// The environment's name, or minutes.
    pub(super) what: Input,
    pub(super) reason: Input,
    /// Whether the reason has the keys.
    pub(super) on_reason: bool,
    pub(super) error: Option<String>,
}

impl ReasonForm {
    pub(super) fn new(about: About) -> Self {
        let (what, reason) = (Input::default(), Input::default());
        Self { about, what, reason, on_reason: false, error: None }
    }

    pub(super) const fn focussed(&mut self) -> &mut Input {
        if self.on_reason { &mut self.reason } else { &mut self.what }
    }

    /// Takes a key; says whether the form is to be submitted.
    pub(super) fn key(&mut self, key: &KeyEvent) -> bool {
        match key.code {
            KeyCode::Enter => return true,
            KeyCode::Tab | KeyCode::Down | KeyCode::BackTab | KeyCode::Up => self.on_reason = !self.on_reason,
            _ => {
                edit(self.focussed(), key);
                self.error = None;
            }
        }
        false
    }

    /// The command and the reason; or whether it is the reason that is wrong, and what.
    pub(super) fn order(&self, environment: &str) -> Result<(Command, String), (bool, String)> {
        let typed = self.what.value().trim();
        let found = || if typed.is_empty() { "nothing".to_owned() } else { format!("{:?}", clean(typed)) };
        let command = match &self.about {
            About::Rearm if typed == environment => Command::Rearm { environment: typed.to_owned() },
            About::Rearm => {
                let found = found();
                return Err((
                    false,
                    format!("expected the environment's name, {environment:?}, found {found}"),
                ));
            }
            About::Shelve { alarm, .. } => {
                let minutes =
                    typed.parse().ok().filter(|minutes| (1..=MAX_SHELVED_MINUTES).contains(minutes));
                let minutes = minutes.ok_or_else(|| {
                    let found = found();
                    (false, format!("expected whole minutes from 1 to {MAX_SHELVED_MINUTES}, found {found}"))
                })?;
                Command::Shelve { alarm: *alarm, lasts: Millis::from_secs(minutes * 60) }
            }
        };
        let reason = clean_line(self.reason.value());
        if reason.is_empty() {
            return Err((true, "expected a reason, found nothing".to_owned()));
        }
        Ok((command, reason))
    }
}

/// One key into a line of text. Only plain keys and the usual editing ones; what else a terminal sends is dropped.
pub(super) fn edit(input: &mut Input, key: &KeyEvent) {
    if let KeyCode::Char(letter) = key.code {
        let typed = !key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT);
        if typed && clean(letter.encode_utf8(&mut [0; 4])).is_empty() {
            return;
        }
    }
    input.handle_event(&Event::Key(*key));
}

/// Pasted text into a line of text, made harmless first.
pub(super) fn paste(input: &mut Input, text: &str) {
    for letter in clean(text).chars() {
        input.handle(tui_input::InputRequest::InsertChar(letter));
    }
}

impl Dialog {
    /// The line of text that has the keys.
    pub(super) fn focussed(&mut self) -> Option<&mut Input> {
        match self {
            Self::Palette(palette) => Some(&mut palette.input),
            Self::Confirm { .. } | Self::StopTraining => None,
            Self::Override(form) => form.focussed(),
            Self::Reason(form) => Some(form.focussed()),
        }
    }
}
