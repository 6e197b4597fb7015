//! Dialogs: the palette, confirmations and forms, with what is typed into them.
//!
//! A dialog holds the key of the flag it was opened on, so that nothing that moves on the screen can change what it
//! acts on. It turns into an order only here; it must not know how it is drawn.

use crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use nucleo_matcher::{
    Config, Matcher, Utf32Str,
    pattern::{CaseMatching, Normalization, Pattern},
};
use serde_json::{Map, Value};
use tui_input::{Input, backend::crossterm::EventHandler};

use super::command::{COMMANDS, CommandId};
use knightwatch_core::{
    control::{AlarmId, Command, OrderSpec, Parameter, Presence, ReasonGiven, ValueKind},
    flag::{FlagKey, clean, clean_line},
    telemetry::Millis,
};

/// What lies over the screen and takes the keys.
#[derive(Clone, Debug)]
pub(super) enum Dialog {
    /// Find a command.
    Palette(PaletteDialog),
    /// Ask for `y`.
    Confirm {
        /// The order.
        spec: &'static OrderSpec,
        /// What it was opened on.
        subject: Subject,
    },
    /// Ask for the parameters of an order.
    Order(OrderForm),
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

/// What an order was begun on. It stays the same, whatever moves on the screen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// A flag.
    Flag(FlagKey),
    /// An alarm, and what it says.
    Alarm {
        /// Its number.
        id: AlarmId,
        /// What it says.
        text: String,
    },
    /// The whole backend.
    Backend,
}

impl Subject {
    /// As a field of a command.
    pub(super) fn target(&self) -> Option<Value> {
        match self {
            Self::Flag(key) => Some(key.as_str().into()),
            Self::Alarm { id, .. } => Some(id.0.into()),
            Self::Backend => None,
        }
    }
}

/// One field of a form.
#[derive(Clone, Debug)]
pub(super) struct FormField {
    /// What it is about; `None` for the reason.
    pub(super) parameter: Option<&'static Parameter>,
    pub(super) input: Input,
    /// Whether it is switched on, where it is a switch.
    pub(super) on: bool,
}

impl FormField {
    fn new(parameter: Option<&'static Parameter>) -> Self {
        Self { parameter, input: Input::default(), on: false }
    }

    fn name(&self) -> &'static str {
        self.parameter.map_or("reason", |parameter| parameter.name)
    }

    pub(super) fn label(&self) -> &'static str {
        self.parameter.map_or("reason", |parameter| parameter.label)
    }

    pub(super) fn is_switch(&self) -> bool {
        self.parameter.is_some_and(is_switch)
    }

    fn typed(&self) -> &str {
        self.input.value().trim()
    }

    /// What was typed, for a message.
    fn found(&self) -> String {
        if self.typed().is_empty() { "nothing".to_owned() } else { format!("{:?}", clean(self.typed())) }
    }

    /// The field of the request body; `None` where it is left out. Or what was expected and what was found.
    fn value(&self, parameter: &Parameter, environment: &str) -> Result<Option<Value>, String> {
        let typed = self.typed();
        let required = parameter.presence == Presence::Required;
        match parameter.kind {
            ValueKind::KillSwitch { .. } => return Ok(self.on.then_some(Value::Bool(true))),
            ValueKind::Environment if typed == environment => {}
            ValueKind::Environment => {
                let found = self.found();
                return Err(format!("expected the environment's name, {environment:?}, found {found}"));
            }
            _ if typed.is_empty() && !required => return Ok(None),
            ValueKind::Percent => {
                let found = self.found();
                let wrong = |_| format!("expected a number from 0 to 100 (percent), found {found}");
                return parameter.parse(typed).map(Some).map_err(wrong);
            }
            ValueKind::Span { form_minutes } => {
                let minutes: Option<u64> = typed.parse().ok().filter(|m| (1..=form_minutes).contains(m));
                let or_nothing = if required { "" } else { ", or nothing" };
                let wrong = || {
                    let found = self.found();
                    format!("expected whole minutes from 1 to {form_minutes}{or_nothing}, found {found}")
                };
                return Ok(Some(Millis::from_secs(minutes.ok_or_else(wrong)? * 60).0.into()));
            }
            ValueKind::Deployment { clearable: true } if typed == "-" => return Ok(Some(Value::Null)),
            _ if typed.is_empty() => return Err("expected a value, found nothing".to_owned()),
            _ => {}
        }
        parameter.parse(typed).map(Some)
    }
}

fn is_switch(parameter: &Parameter) -> bool {
    matches!(parameter.kind, ValueKind::KillSwitch { .. })
}

/// The parameters of an order, and its reason.
#[derive(Clone, Debug)]
pub(super) struct OrderForm {
    pub(super) spec: &'static OrderSpec,
    pub(super) subject: Subject,
    /// From top to bottom: what is typed, the reason, what is switched.
    pub(super) fields: Vec<FormField>,
    /// The field that has the keys.
    pub(super) at: usize,
    /// The field that is wrong, and what is wrong.
    pub(super) error: Option<(usize, String)>,
}

impl OrderForm {
    pub(super) fn new(spec: &'static OrderSpec, subject: Subject) -> Self {
        let typed = spec.parameters.iter().filter(|parameter| !is_switch(parameter)).map(Some);
        let switched = spec.parameters.iter().filter(|parameter| is_switch(parameter)).map(Some);
        let fields = typed.chain([None]).chain(switched).map(FormField::new).collect();
        Self { spec, subject, fields, at: 0, error: None }
    }

    /// The line of text that has the keys.
    fn focussed(&mut self) -> Option<&mut Input> {
        self.fields.get_mut(self.at).filter(|field| !field.is_switch()).map(|field| &mut field.input)
    }

    /// Takes a key; says whether the form is to be submitted.
    pub(super) fn key(&mut self, key: &KeyEvent) -> bool {
        let fields = self.fields.len();
        match key.code {
            KeyCode::Enter => return true,
            KeyCode::Tab | KeyCode::Down => self.at = (self.at + 1) % fields,
            KeyCode::BackTab | KeyCode::Up => self.at = (self.at + fields - 1) % fields,
            code => {
                self.error = None;
                if let Some(input) = self.focussed() {
                    edit(input, key);
                } else if let (KeyCode::Char(' '), Some(field)) = (code, self.fields.get_mut(self.at)) {
                    field.on = !field.on;
                }
            }
        }
        false
    }

    /// The command and the reason, or which field is wrong, what was found and what was expected.
    pub(super) fn order(&self, environment: &str) -> Result<(Command, String), (usize, String)> {
        let mut values = Map::new();
        for (place, field) in self.fields.iter().enumerate() {
            let Some(parameter) = field.parameter else { continue };
            if let Some(value) = field.value(parameter, environment).map_err(|why| (place, why))? {
                values.insert(parameter.name.to_owned(), value);
            }
        }
        let reason = self.fields.iter().position(|field| field.parameter.is_none());
        let reason = reason.map(|place| (place, clean_line(self.fields[place].input.value())));
        let (place, reason) = reason.unwrap_or_default();
        if matches!(self.spec.reason, ReasonGiven::Required(_)) && reason.is_empty() {
            return Err((place, "expected a reason, found nothing".to_owned()));
        }
        for field in self.fields.iter().filter(|field| field.on) {
            let Some(ValueKind::KillSwitch { needs, .. }) = field.parameter.map(|parameter| parameter.kind)
            else {
                continue;
            };
            for (name, why) in needs {
                let empty = |field: &FormField| field.name() == *name && clean_line(field.typed()).is_empty();
                if let Some(place) = self.fields.iter().position(empty) {
                    return Err((place, (*why).to_owned()));
                }
            }
        }
        let command = self.spec.command(self.subject.target(), values).map_err(|why| (self.at, why))?;
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
            Self::Order(form) => form.focussed(),
        }
    }
}
