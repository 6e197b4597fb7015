//! One question, one answer: which variant of a flag a context gets, and why.
//!
//! For a steered flag what is off for everybody comes first, then prerequisites, then the flag's own targeting, and what
//! that leaves open is the rollout's. Other flags are evaluated as flagd does. Reads nothing but its arguments.

use std::{cell::OnceCell, fmt};

use datalogic_rs::{DataValue, bumpalo::Bump, datavalue::NumberValue};
use serde_json::{Map, Value};
use thiserror::Error;

use super::{
    Definition, Definitions,
    json::{kind, read_small},
    steering::{OFF, ON},
};
use crate::flag::{FlagKey, Rollout, Variant, bucket, clean_line};

/// How a steered flag stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServedFlag {
    /// The share of traffic that gets `on`.
    pub rollout: Rollout,
    /// Rolled back or killed: `off` for everybody, whatever its targeting says.
    pub off_for_all: bool,
}

/// What an application says of the one who asks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Context {
    fields: Map<String, Value>,
}

impl Context {
    /// A context of these fields, `targetingKey` among them.
    ///
    /// # Errors
    /// When `targetingKey` is not a text.
    pub fn new(fields: Map<String, Value>) -> Result<Self, EvaluationError> {
        match fields.get("targetingKey") {
            None | Some(Value::Null | Value::String(_)) => Ok(Self { fields }),
            Some(_) => {
                Err(EvaluationError::InvalidContext("expected targetingKey to be a string".to_owned()))
            }
        }
    }

    /// The context in the body of a request: `{"context": {...}}`; an empty one where it says nothing.
    ///
    /// # Errors
    /// When the body is not JSON, has a key twice, or its context is not one.
    pub fn in_request(body: &[u8]) -> Result<Self, EvaluationError> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        let fields = match read_small(body).map_err(EvaluationError::Parse)? {
            Value::Object(mut request) => request.remove("context"),
            other => {
                return Err(EvaluationError::Parse(format!("expected an object, found {}", kind(&other))));
            }
        };
        match fields {
            None | Some(Value::Null) => Ok(Self::default()),
            Some(Value::Object(fields)) => Self::new(fields),
            Some(other) => {
                let found = kind(&other);
                Err(EvaluationError::InvalidContext(format!(
                    "expected context to be an object, found {found}"
                )))
            }
        }
    }

    /// Who asks; `None` where it is not said, or empty: nobody would be told from anybody by it.
    #[must_use]
    pub fn targeting_key(&self) -> Option<&str> {
        self.fields.get("targetingKey").and_then(Value::as_str).filter(|key| !key.is_empty())
    }
}

/// Why a variant was given, in the words of OpenFeature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The same for everybody.
    Static,
    /// What the context says decided.
    TargetingMatch,
    /// The bucket decided.
    Split,
    /// There is targeting, and it left the question open.
    Default,
    /// The flag is disabled.
    Disabled,
}

impl Reason {
    /// As it stands in an answer: `TARGETING_MATCH`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Static => "STATIC",
            Self::TargetingMatch => "TARGETING_MATCH",
            Self::Split => "SPLIT",
            Self::Default => "DEFAULT",
            Self::Disabled => "DISABLED",
        }
    }
}

/// What is behind an `off` that neither targeting nor rollout gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why<'d> {
    /// The flag is rolled back or killed.
    OffForAll,
    /// The flag is defined as steered, and not under control yet.
    NotUnderControl,
    /// Another flag does not give what this one needs.
    Prerequisite(&'d FlagKey),
}

impl fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OffForAll => f.write_str("off for everybody: rolled back or killed"),
            Self::NotUnderControl => f.write_str("off for everybody: not under control yet"),
            Self::Prerequisite(flag) => write!(f, "prerequisite {flag} does not hold"),
        }
    }
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation<'d> {
    /// The variant's name; `None` leaves the application its own default.
    pub variant: Option<&'d str>,
    /// The variant's value; `None` together with the name.
    pub value: Option<&'d Value>,
    /// Why.
    pub reason: Reason,
    /// The set's metadata and the flag's; `None` for a flag without definition.
    pub metadata: Option<&'d Map<String, Value>>,
    /// What is behind an `off` that neither targeting nor rollout gave.
    pub why: Option<Why<'d>>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EvaluationError {
    /// There is no such flag.
    #[error("there is no flag {0}")]
    FlagNotFound(FlagKey),
    /// A flag between 0 and 100 % needs to know who asks.
    #[error("expected a targetingKey in the context: {0} is on for a share of them")]
    TargetingKeyMissing(FlagKey),
    /// The request is not JSON.
    #[error("expected a request in JSON: {0}")]
    Parse(String),
    /// The context cannot be used.
    #[error("{0}")]
    InvalidContext(String),
    /// The flag's targeting failed.
    #[error("{0}")]
    General(String),
}

impl EvaluationError {
    /// As it stands in an answer: `FLAG_NOT_FOUND`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::FlagNotFound(_) => "FLAG_NOT_FOUND",
            Self::TargetingKeyMissing(_) => "TARGETING_KEY_MISSING",
            Self::Parse(_) => "PARSE_ERROR",
            Self::InvalidContext(_) => "INVALID_CONTEXT",
            Self::General(_) => "GENERAL",
        }
    }
}

static TRUE: Value = Value::Bool(true);
static FALSE: Value = Value::Bool(false);

impl Definitions {
    /// Which variant of flag `key` the context gets. `served` says how a steered flag stands and `None` where it is not
    /// under control; a flag that stands without being defined has `on` = true and `off` = false. `now` is in seconds since
    /// 1970.
    ///
    /// # Errors
    /// When there is no such flag, it needs a targeting key, or its targeting fails.
    pub fn evaluate<'d>(
        &'d self,
        key: &FlagKey,
        context: &Context,
        served: impl Fn(&FlagKey) -> Option<ServedFlag>,
        now: u64,
    ) -> Result<Evaluation<'d>, EvaluationError> {
        let arena = Bump::new();
        Run::new(self, context, served, now, &arena).key(key)
    }

    /// The same for every flag that is defined and then for `undefined` ones, each handed to `each`; what can be prepared
    /// once is.
    pub fn evaluate_all<'d, 'k>(
        &'d self,
        context: &Context,
        served: impl Fn(&FlagKey) -> Option<ServedFlag>,
        now: u64,
        undefined: impl Iterator<Item = &'k FlagKey>,
        mut each: impl FnMut(&FlagKey, Result<Evaluation<'d>, EvaluationError>),
    ) {
        let mut arena = Bump::new();
        {
            let run = Run::new(self, context, &served, now, &arena);
            for definition in self.flags.iter().filter(|definition| definition.targeting.is_none()) {
                each(&definition.key, run.definition(definition));
            }
            for key in undefined.filter(|key| !self.index.contains_key(*key)) {
                each(key, run.key(key));
            }
        }
        // A chunk of rules an arena: ten thousand of them would leave all they allocated until the end.
        let with_rules: Vec<&Definition> =
            self.flags.iter().filter(|flag| flag.targeting.is_some()).collect();
        for chunk in with_rules.chunks(64) {
            arena.reset();
            let run = Run::new(self, context, &served, now, &arena);
            for definition in chunk {
                each(&definition.key, run.definition(definition));
            }
        }
    }
}

type Fields<'a> = &'a [(&'a str, DataValue<'a>)];

/// Evaluation of one context.
struct Run<'d, 'a, S> {
    definitions: &'d Definitions,
    context: &'a Context,
    served: S,
    now: u64,
    arena: &'a Bump,
    /// The context as rules read it, made when the first one does.
    fields: OnceCell<Fields<'a>>,
}

impl<'d, 'a, S: Fn(&FlagKey) -> Option<ServedFlag>> Run<'d, 'a, S> {
    fn new(definitions: &'d Definitions, context: &'a Context, served: S, now: u64, arena: &'a Bump) -> Self {
        Self { definitions, context, served, now, arena, fields: OnceCell::new() }
    }

    fn key(&self, key: &FlagKey) -> Result<Evaluation<'d>, EvaluationError> {
        if let Some(definition) = self.definitions.get(key) {
            return self.definition(definition);
        }
        let Some(served) = (self.served)(key) else {
            return Err(EvaluationError::FlagNotFound(key.clone()));
        };
        let answer =
            Evaluation { variant: None, value: None, reason: Reason::Static, metadata: None, why: None };
        if served.off_for_all {
            let why = Some(Why::OffForAll);
            return Ok(Evaluation { variant: Some(OFF), value: Some(&FALSE), why, ..answer });
        }
        let (variant, reason) = self.rollout(key, served.rollout)?;
        let value = if variant == ON { &TRUE } else { &FALSE };
        Ok(Evaluation { variant: Some(variant), value: Some(value), reason, ..answer })
    }

    fn definition(&self, flag: &'d Definition) -> Result<Evaluation<'d>, EvaluationError> {
        let steered = flag.steering.is_some();
        if !flag.enabled {
            let answer = if steered { flag.variant(OFF) } else { None };
            return Ok(flag.answer(answer, Reason::Disabled, None));
        }
        let mut rollout = Rollout::ZERO;
        if steered {
            let why = match (self.served)(&flag.key) {
                None => Some(Why::NotUnderControl),
                Some(ServedFlag { off_for_all: true, .. }) => Some(Why::OffForAll),
                Some(served) => {
                    rollout = served.rollout;
                    None
                }
            };
            if why.is_some() {
                return Ok(flag.answer(flag.variant(OFF), Reason::Static, why));
            }
        }
        for needed in &flag.prerequisites {
            // One that cannot be evaluated does not hold: off is what is known to be good.
            let given = self.key(&needed.flag).ok().and_then(|given| given.variant);
            if given != Some(needed.variant.as_str()) {
                let why = Some(Why::Prerequisite(&needed.flag));
                return Ok(flag.answer(flag.variant(OFF), Reason::TargetingMatch, why));
            }
        }
        let targeted = match &flag.targeting {
            None => None,
            Some(targeting) => self.targeted(flag, &targeting.logic, steered)?,
        };
        if let Some(targeted) = targeted {
            return Ok(flag.answer(Some(targeted), Reason::TargetingMatch, None));
        }
        if steered {
            let (variant, reason) = self.rollout(&flag.key, rollout)?;
            return Ok(flag.answer(flag.variant(variant), reason, None));
        }
        let reason = if flag.targeting.is_some() { Reason::Default } else { Reason::Static };
        let default = flag.default.and_then(|at| flag.variants.get(at));
        Ok(match default {
            Some((name, value)) => flag.answer(Some((name, value)), reason, None),
            None => flag.answer(None, Reason::Default, None),
        })
    }

    /// What the rollout gives.
    fn rollout(&self, key: &FlagKey, rollout: Rollout) -> Result<(&'static str, Reason), EvaluationError> {
        if rollout.is_zero() {
            return Ok((OFF, Reason::Static));
        }
        if rollout.is_full() {
            return Ok((ON, Reason::Static));
        }
        let Some(targeting_key) = self.context.targeting_key() else {
            return Err(EvaluationError::TargetingKeyMissing(key.clone()));
        };
        match bucket::evaluate(key, rollout, false, targeting_key) {
            Variant::On => Ok((ON, Reason::Split)),
            Variant::Off => Ok((OFF, Reason::Split)),
        }
    }

    /// What a rule gives; `None` where it leaves the question open. In a steered flag that is anything but the name of a
    /// variant that `or` would pass over too, so that a file for flagd says the same.
    fn targeted(
        &self,
        flag: &'d Definition,
        logic: &'d datalogic_rs::Logic,
        steered: bool,
    ) -> Result<Option<(&'d str, &'d Value)>, EvaluationError> {
        // The result must not outlive the arena, and the rule has to live as long: both are shortened here.
        let arena: &Bump = self.arena;
        let engine = &self.definitions.engine;
        let given = engine.evaluate(logic, self.root(&flag.key), arena).map_err(|error| {
            EvaluationError::General(format!("targeting of {} failed: {error}", flag.key))
        })?;
        if given.is_null() || steered && !engine.truthy(given) {
            return Ok(None);
        }
        let name = match given {
            DataValue::String(name) => name,
            DataValue::Bool(_) | DataValue::Number(_) => given.to_json_str_in(arena),
            DataValue::Null | DataValue::Array(_) | DataValue::Object(_) => "",
        };
        flag.variant(name).map(Some).ok_or_else(|| {
            let given = clean_line(&given.to_json_string());
            EvaluationError::General(format!(
                "targeting of {} gave {given}, not one of its variants",
                flag.key
            ))
        })
    }

    /// The context as a rule on `key` reads it.
    fn root(&self, key: &FlagKey) -> DataValue<'a> {
        let arena = self.arena;
        let fields = self.fields.get_or_init(|| {
            let own = self.context.fields.iter().filter(|(name, _)| *name != "$flagd");
            arena.alloc_slice_fill_iter(present(own, arena))
        });
        let now = NumberValue::Integer(i64::try_from(self.now).unwrap_or(i64::MAX));
        let flagd = arena.alloc_slice_copy(&[
            ("flagKey", DataValue::String(arena.alloc_str(key.as_str()))),
            ("timestamp", DataValue::Number(now)),
        ]);
        let mut all = Vec::with_capacity(fields.len() + 1);
        all.extend_from_slice(fields);
        all.push(("$flagd", DataValue::Object(flagd)));
        DataValue::Object(arena.alloc_slice_copy(&all))
    }
}

impl Definition {
    fn answer<'d>(
        &'d self,
        given: Option<(&'d str, &'d Value)>,
        reason: Reason,
        why: Option<Why<'d>>,
    ) -> Evaluation<'d> {
        let (variant, value) = given.unzip();
        Evaluation { variant, value, reason, metadata: Some(&self.metadata), why }
    }
}

/// A value as rules read it; texts are borrowed.
fn to_arena<'a>(value: &'a Value, arena: &'a Bump) -> DataValue<'a> {
    match value {
        Value::Null => DataValue::Null,
        Value::Bool(value) => DataValue::Bool(*value),
        Value::Number(number) => DataValue::Number(match number.as_i64() {
            Some(whole) => NumberValue::Integer(whole),
            None => NumberValue::from_f64(number.as_f64().unwrap_or_default()),
        }),
        Value::String(text) => DataValue::String(text),
        Value::Array(list) => {
            DataValue::Array(arena.alloc_slice_fill_iter(list.iter().map(|value| to_arena(value, arena))))
        }
        Value::Object(object) => {
            DataValue::Object(arena.alloc_slice_fill_iter(present(object.iter(), arena)))
        }
    }
}

/// An object's fields as rules read them, without those that are null: to JsonLogic these are missing, and `var` gives its
/// default for them.
fn present<'a>(
    fields: impl Iterator<Item = (&'a String, &'a Value)>,
    arena: &'a Bump,
) -> Vec<(&'a str, DataValue<'a>)> {
    let present = fields.filter(|(_, value)| !value.is_null());
    present.map(|(name, value)| (name.as_str(), to_arena(value, arena))).collect()
}
