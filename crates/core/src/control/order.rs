//! What an order is, and what a row of the table of orders says about one.
//!
//! The rows themselves are [`ORDERS`](super::ORDERS), beside the commands that they make. The HTTP routes, the `OpenAPI`
//! operations, the verbs of the command line, the client, and the palette, keys, help and dialogs of the control room
//! all follow from a row. Knows nothing of HTTP, clap or a terminal.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Actor, Alarm, Command, Parameter, Phase, Presence, Scope, Seq};
use crate::flag::{FlagKey, Rollout};

/// The identity of an order: the same id acts once.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OrderId(pub String);

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A command, with who gives it and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// Identity, for retries.
    pub id: OrderId,
    /// Who gives it.
    pub actor: Actor,
    /// Who authenticated, where somebody did: the actor's name may hold beside that what was only claimed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authenticated: Option<String>,
    /// Why, in the person's words; empty where none was given.
    #[serde(default)]
    pub reason: String,
    /// The number of the flag's last change that whoever gives it has seen: another one refuses it. `None` asks nothing;
    /// rollback, pause and kill-all never ask.
    #[serde(default)]
    pub expected: Option<Seq>,
    /// What is to be done.
    pub command: Command,
}

/// The HTTP method of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpMethod {
    /// `POST`.
    Post,
    /// `PATCH`.
    Patch,
}

impl HttpMethod {
    /// The method in capital letters.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Patch => "PATCH",
        }
    }
}

/// What an order acts on. It says what stands in the path, and on which screens the order can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderTarget {
    /// One flag: `{key}` in the path.
    Flag,
    /// One alarm: `{id}` in the path.
    Alarm,
    /// The whole backend.
    Backend,
    /// The briefing.
    Briefing,
}

impl OrderTarget {
    /// The field of the serialized command that holds it.
    #[must_use]
    pub const fn field(self) -> Option<&'static str> {
        match self {
            Self::Flag => Some("flag"),
            Self::Alarm => Some("alarm"),
            Self::Backend | Self::Briefing => None,
        }
    }

    /// How the path of the HTTP API names it.
    #[must_use]
    pub const fn placeholder(self) -> Option<&'static str> {
        match self {
            Self::Flag => Some("key"),
            Self::Alarm => Some("id"),
            Self::Backend | Self::Briefing => None,
        }
    }
}

/// Whether an order needs a reason. It goes into the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReasonGiven {
    /// It can be left out.
    Optional,
    /// The order is refused without; what the description of the API says of that.
    Required(&'static str),
}

/// What the control room asks before it gives an order. The text may name `{phase}`, `{rollout}` and `{first}` (the first
/// rung) of the flag, or the `{text}` of the alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirmation {
    /// Nothing: the key acts at once.
    None,
    /// For `y`; the text says what will happen.
    Ask(&'static str),
    /// The same, and the command line wants `--yes`: it cannot be undone.
    AskForGood(&'static str),
    /// For the parameters and the reason, in a form.
    Form {
        /// What Enter does, in one word.
        does: &'static str,
        /// The line above the fields.
        text: &'static str,
    },
    /// To be armed first, then executed with another key. Kill-all alone.
    Arm,
}

/// An order in the palette, the help and the footer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PaletteEntry {
    /// What the palette calls it.
    pub name: &'static str,
    /// One or two words for the footer; empty where it is not in the footer.
    pub short: &'static str,
    /// The keys that give it, as they are printed: `p`, `F5`, `Ctrl-K`. None: it is in the palette alone.
    pub keys: &'static [&'static str],
    /// One line of help.
    pub help: &'static str,
}

/// How the control room offers an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// By an entry of its own.
    Entry(PaletteEntry),
    /// By the entry of another order, which gives the one of both that is possible now.
    With(&'static str),
}

/// What the control room sees of what an order acts on. It may be old; the backend has the last word.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The flag.
    pub flag: Option<SeenFlag<'a>>,
    /// The alarm.
    pub alarm: Option<&'a Alarm>,
    /// Whether kill-all is in force.
    pub latched: bool,
    /// Whether the briefing was acknowledged.
    pub briefed: bool,
    /// Whether the backend is connected, so that what is seen is not old.
    pub live: bool,
}

/// What the control room sees of a flag.
#[derive(Clone, Copy, Debug)]
pub struct SeenFlag<'a> {
    /// Its key.
    pub key: &'a FlagKey,
    /// Its phase.
    pub phase: Phase,
    /// Its rollout.
    pub rollout: Rollout,
    /// Whether a person's hold keeps the agent off.
    pub held: bool,
}

/// One row of the table of orders.
#[derive(Clone, Copy, Debug)]
pub struct OrderSpec {
    /// The `command` of the serialized [`Command`], and the id of the `OpenAPI` operation.
    pub name: &'static str,
    /// The verb of the command line.
    pub verb: &'static str,
    /// One sentence: what it does.
    pub sentence: &'static str,
    /// What the description of the API says beyond that; may be empty.
    pub details: &'static str,
    /// A few words for "sent: …", with the fields of the command in braces.
    pub phrase: &'static str,
    /// The HTTP method.
    pub method: HttpMethod,
    /// The HTTP path.
    pub path: &'static str,
    /// The group of the description of the API that it is in.
    pub tag: &'static str,
    /// What a caller needs.
    pub scope: Scope,
    /// What it acts on.
    pub target: OrderTarget,
    /// What else it takes.
    pub parameters: &'static [Parameter],
    /// The name of the request body's schema, and what that schema says of itself.
    pub body: (&'static str, &'static str),
    /// Whether it needs a reason.
    pub reason: ReasonGiven,
    /// Whether it raises a flag's exposure: the control room does not offer it while kill-all is in force.
    pub raises: bool,
    /// Whether it only ever makes things safer: it is given without a configuration too, and is never refused because the
    /// flag has changed since.
    pub stops: bool,
    /// What the control room asks first.
    pub confirmation: Confirmation,
    /// How the control room offers it.
    pub offer: Offer,
    /// Why it is not possible right now, as far as the control room can see.
    pub why_not: fn(&Seen<'_>) -> Option<String>,
}

impl PartialEq for OrderSpec {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for OrderSpec {}

impl OrderSpec {
    /// Whether a request may come without a body: there is nothing that it has to say.
    #[must_use]
    pub const fn body_is_optional(&self) -> bool {
        self.parameters.is_empty() && matches!(self.reason, ReasonGiven::Optional)
    }

    /// The name of the order that has the entry in the palette.
    #[must_use]
    pub const fn entry(&self) -> &'static str {
        match self.offer {
            Offer::Entry(_) => self.name,
            Offer::With(other) => other,
        }
    }

    /// The command that a request body and what stands in the path come to.
    ///
    /// # Errors
    /// When a field is missing, unknown or not of its kind: which one, what was found and what was expected.
    pub fn command(&self, target: Option<Value>, mut fields: Map<String, Value>) -> Result<Command, String> {
        let mut read = Map::new();
        for parameter in self.parameters {
            match fields.remove(parameter.name) {
                Some(value) => {
                    read.insert(parameter.name.to_owned(), parameter.read(value)?);
                }
                None if parameter.presence == Presence::Required => {
                    return Err(format!("missing field `{}`", parameter.name));
                }
                None => {}
            }
        }
        if let Some(unknown) = fields.keys().next() {
            let known = self.parameters.iter().map(|parameter| parameter.name).chain(["reason"]);
            let known: Vec<String> = known.map(|name| format!("`{name}`")).collect();
            return Err(format!("unknown field `{unknown}`, expected {}", known.join(" or ")));
        }
        if let (Some(field), Some(target)) = (self.target.field(), target) {
            read.insert(field.to_owned(), target);
        }
        read.insert("command".to_owned(), self.name.into());
        serde_json::from_value(Value::Object(read)).map_err(|error| error.to_string())
    }

    /// The path for what `command` acts on, and the request body without the reason.
    #[must_use]
    pub fn request(&self, command: &Command) -> (String, Map<String, Value>) {
        let mut fields = fields_of(command);
        let mut path = self.path.to_owned();
        if let (Some(field), Some(placeholder)) = (self.target.field(), self.target.placeholder()) {
            let target = fields.remove(field).unwrap_or_default();
            // A key may have a slash, which in a path stands between segments.
            let target = super::parameter::plain(&target).replace('/', "%2F");
            path = path.replace(&format!("{{{placeholder}}}"), &target);
        }
        (path, fields)
    }
}

/// The fields of a serialized command, without its name.
fn fields_of(command: &Command) -> Map<String, Value> {
    match serde_json::to_value(command) {
        Ok(Value::Object(mut fields)) => {
            fields.remove("command");
            fields
        }
        // A command is an object of text, numbers and lists, which can always be written.
        _ => Map::new(),
    }
}

impl Command {
    /// The command in a few words, such as `roll new-checkout-ui back`.
    #[must_use]
    pub fn in_words(&self) -> String {
        let Some(spec) = self.spec() else { return self.name().replace('_', " ") };
        let mut words = spec.phrase.to_owned();
        for (name, value) in fields_of(self) {
            let parameter = spec.parameters.iter().find(|parameter| parameter.name == name);
            let value = parameter
                .map_or_else(|| super::parameter::plain(&value), |parameter| parameter.kind.in_words(&value));
            words = words.replace(&format!("{{{name}}}"), &value);
        }
        words
    }
}
