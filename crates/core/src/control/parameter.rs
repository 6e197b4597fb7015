//! The parameters of an order: how each one is named, checked, described and typed, whichever way it comes in.
//!
//! HTTP, the command line and the forms of the control room bring their values into one form: the field of a request
//! body. [`ValueKind::read`] is the one place that checks a field. Knows nothing of HTTP, clap or a terminal.

use serde_json::{Value, json};

use crate::{
    flag::{FlagKey, KeyError, Ladder, Rollout, clean_line},
    telemetry::Millis,
};

/// Longest name of a service that a flag is in, in bytes.
const MAX_SERVICE: usize = 100;

/// Longest name of a deployment's service or artifact, in characters.
const MAX_DEPLOYED: usize = 300;

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// A flag key.
    Key,
    /// The name of a service.
    Service,
    /// One line of text.
    Text,
    /// The name of the environment, as proof that the person knows which one it is.
    Environment,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A rollout in percent.
    Percent,
    /// Rungs in percent, ascending.
    Ladder,
    /// A deployment: a service and perhaps an artifact. The flag says whether the command line can ask for none.
    Deployment {
        /// Whether `null` means "none", and not "as it is".
        clearable: bool,
    },
    /// A time span. A form takes whole minutes up to this many.
    Span {
        /// The most minutes that a form takes.
        form_minutes: u64,
    },
    /// Yes or no. A form shows it as a box.
    KillSwitch {
        /// What the form shows while it is off.
        off: &'static str,
        /// What the form shows while it is on.
        on: &'static str,
        /// The fields that a form wants filled in before it is on, and what it says otherwise.
        needs: &'static [(&'static str, &'static str)],
    },
}

/// Whether a field has to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It has to be there.
    Required,
    /// It can be left out.
    Optional,
    /// It can be left out, or be `null`.
    Nullable,
}

/// How the command line takes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// By its position; the name stands in the usage line.
    Positional(&'static str),
    /// As `--NAME VALUE`.
    Option {
        /// The name, without the hyphens.
        name: &'static str,
        /// What the help shows as its value.
        value: &'static str,
    },
}

/// One parameter of an order.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// The name of the field in the request body, and in the serialized command.
    pub name: &'static str,
    /// What its value is.
    pub kind: ValueKind,
    /// Whether it has to be there.
    pub presence: Presence,
    /// What the description of the API says of it.
    pub description: &'static str,
    /// How the command line takes it.
    pub argument: Argument,
    /// What the command line's help says of it.
    pub help: &'static str,
    /// What a form calls it, in one word.
    pub label: &'static str,
    /// What a form says beside it; empty for nothing.
    pub hint: &'static str,
}

impl Parameter {
    /// Checks a field of a request body, and makes its text harmless.
    ///
    /// # Errors
    /// When the value is not of this kind: what was found and what was expected.
    pub fn read(&self, value: Value) -> Result<Value, String> {
        if value.is_null() && self.presence == Presence::Nullable {
            return Ok(value);
        }
        self.kind.read(self.name, value)
    }

    /// The value that was typed for it on the command line or in a form, as a field of a request body.
    ///
    /// # Errors
    /// When the text is not of this kind.
    pub fn parse(&self, text: &str) -> Result<Value, String> {
        self.kind.parse(text)
    }
}

fn text(place: &str, value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(format!("{place}: expected a string, found {other}")),
    }
}

fn number(place: &str, value: &Value) -> Result<f64, String> {
    value.as_f64().ok_or_else(|| format!("{place}: expected a number, found {value}"))
}

/// A name of a deployment, harmless and of a sensible length.
fn deployed(place: &str, value: Value) -> Result<Value, String> {
    let name = clean_line(&text(place, value)?);
    if name.is_empty() || name.chars().count() > MAX_DEPLOYED {
        return Err(format!("{place}: expected a name of 1 to {MAX_DEPLOYED} characters"));
    }
    Ok(name.into())
}

impl ValueKind {
    fn read(self, place: &str, value: Value) -> Result<Value, String> {
        match self {
            Self::Key => {
                let key = text(place, value)?;
                let parsed: Result<FlagKey, KeyError> = key.parse();
                parsed.map_err(|error| format!("{place}: {error}"))?;
                Ok(key.into())
            }
            Self::Service => {
                let service = clean_line(&text(place, value)?);
                if service.is_empty() || service.len() > MAX_SERVICE {
                    return Err(format!("{place}: expected a name of 1 to {MAX_SERVICE} bytes"));
                }
                Ok(service.into())
            }
            Self::Text => Ok(clean_line(&text(place, value)?).into()),
            Self::Environment => Ok(text(place, value)?.into()),
            Self::Word(words) => {
                let word = text(place, value)?;
                if words.contains(&word.as_str()) {
                    return Ok(word.into());
                }
                Err(format!("{place}: expected {}, found {word:?}", words.join(" or ")))
            }
            Self::Percent => {
                let percent = number(place, &value)?;
                Rollout::from_percent(percent).map_err(|error| format!("{place}: {error}"))?;
                Ok(value)
            }
            Self::Ladder => {
                let Value::Array(rungs) = &value else {
                    return Err(format!("{place}: expected a list of numbers, found {value}"));
                };
                let rungs = rungs.iter().map(|rung| {
                    Rollout::from_percent(number(place, rung)?).map_err(|error| format!("{place}: {error}"))
                });
                Ladder::try_from(rungs.collect::<Result<Vec<_>, _>>()?)
                    .map_err(|error| format!("{place}: {error}"))?;
                Ok(value)
            }
            Self::Deployment { .. } => {
                let Value::Object(mut fields) = value else {
                    return Err(format!("{place}: expected an object with a service, found {value}"));
                };
                let service = fields.remove("service");
                let service = service.ok_or_else(|| format!("{place}: missing field `service`"))?;
                let service = deployed(&format!("{place}.service"), service)?;
                let artifact = fields.remove("artifact").filter(|artifact| !artifact.is_null());
                let artifact =
                    artifact.map(|artifact| deployed(&format!("{place}.artifact"), artifact)).transpose()?;
                if let Some(unknown) = fields.keys().next() {
                    return Err(format!(
                        "{place}: unknown field `{unknown}`, expected `service` or `artifact`"
                    ));
                }
                Ok(match artifact {
                    Some(artifact) => json!({"service": service, "artifact": artifact}),
                    None => json!({"service": service}),
                })
            }
            Self::Span { .. } => {
                let span: Result<Millis, _> = serde_json::from_value(value);
                span.map(|span| span.0.into()).map_err(|error| format!("{place}: {error}"))
            }
            Self::KillSwitch { .. } => match value {
                Value::Bool(_) => Ok(value),
                other => Err(format!("{place}: expected true or false, found {other}")),
            },
        }
    }

    fn parse(self, text: &str) -> Result<Value, String> {
        match self {
            Self::Key => {
                let parsed: Result<FlagKey, KeyError> = text.parse();
                parsed.map(|key| key.as_str().into()).map_err(|error| error.to_string())
            }
            Self::Service | Self::Text => Ok(clean_line(text).into()),
            Self::Environment => Ok(text.into()),
            Self::Word(words) if words.contains(&text) => Ok(text.into()),
            Self::Word(words) => Err(format!("expected {}", words.join(" or "))),
            Self::Percent => Ok(percent(text)?.percent().into()),
            Self::Ladder => {
                let rungs: Vec<Rollout> = text.split(',').map(percent).collect::<Result<_, _>>()?;
                let rungs = Ladder::try_from(rungs).map_err(|error| error.to_string())?;
                Ok(rungs.rungs().iter().map(|rung| rung.percent()).collect())
            }
            Self::Deployment { .. } => {
                let mut names = text.split_whitespace().map(clean_line);
                let service = names.next().ok_or("expected the name of a service")?;
                Ok(match names.next() {
                    Some(artifact) => json!({"service": service, "artifact": artifact}),
                    None => json!({"service": service}),
                })
            }
            Self::Span { .. } => {
                let span: Result<Millis, _> = serde_json::from_value(text.into());
                span.map(|span| span.0.into()).map_err(|error| error.to_string())
            }
            Self::KillSwitch { .. } => {
                text.parse::<bool>().map(Value::from).map_err(|error| error.to_string())
            }
        }
    }

    /// A value of this kind as people read it.
    pub(super) fn in_words(self, value: &Value) -> String {
        match self {
            Self::Percent => value
                .as_f64()
                .and_then(|percent| Rollout::from_percent(percent).ok())
                .map_or_else(|| value.to_string(), |rollout| rollout.to_string()),
            Self::Span { .. } => {
                value.as_u64().map_or_else(|| value.to_string(), |span| Millis(span).to_string())
            }
            _ => plain(value),
        }
    }
}

/// A value without the quotes of JSON.
pub(super) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn percent(text: &str) -> Result<Rollout, String> {
    let number: f64 =
        text.trim_end_matches('%').trim().parse().map_err(|_| "expected a percentage".to_owned())?;
    Rollout::from_percent(number).map_err(|error| error.to_string())
}
