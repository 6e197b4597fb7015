//! Targeting rules: what of JsonLogic a definition may hold, references put in, compiled once.
//!
//! Checked at load, with the place of every mistake: an operator with a typing error would otherwise be found out by the
//! users. What the operators do is `datalogic-rs`'s and [`super::operator`]'s to say.

use datalogic_rs::{Engine, Logic};
use serde_json::{Map, Value};

use super::{
    document_path::{DocumentPath, Mistake},
    json::kind,
    operator::{MAX_WEIGHT, compare},
    version::Version,
};

/// Deepest nesting of a rule, references put in.
const MAX_DEPTH: usize = 64;

/// Most values in one flag's rule, references put in: references to references can double with every step.
const MAX_NODES: usize = 10_000;

/// Operators and how many arguments they take.
const OPERATORS: &[(&str, usize, usize)] = &[
    ("!", 1, 1),
    ("!!", 1, 1),
    ("!=", 2, 2),
    ("!==", 2, 2),
    ("%", 2, 2),
    ("*", 2, usize::MAX),
    ("+", 1, usize::MAX),
    ("-", 1, usize::MAX),
    ("/", 2, 2),
    ("<", 2, 3),
    ("<=", 2, 3),
    ("==", 2, 2),
    ("===", 2, 2),
    (">", 2, 2),
    (">=", 2, 2),
    ("all", 2, 2),
    ("and", 1, usize::MAX),
    ("cat", 1, usize::MAX),
    ("ends_with", 2, 2),
    ("filter", 2, 2),
    ("fractional", 1, usize::MAX),
    ("if", 1, usize::MAX),
    ("in", 2, 2),
    ("map", 2, 2),
    ("max", 1, usize::MAX),
    ("merge", 1, usize::MAX),
    ("min", 1, usize::MAX),
    ("missing", 0, usize::MAX),
    ("missing_some", 2, 2),
    ("none", 2, 2),
    ("or", 1, usize::MAX),
    ("reduce", 3, 3),
    ("sem_ver", 3, 3),
    ("some", 2, 2),
    ("starts_with", 2, 2),
    ("substr", 2, 3),
    ("var", 1, 2),
];

/// Operators whose one argument may stand without its array.
const BARE: [&str; 4] = ["!", "!!", "missing", "var"];

/// A rule that has been checked and compiled.
#[derive(Debug)]
pub(super) struct Targeting {
    /// The rule, references put in.
    pub(super) rule: Value,
    /// The same, to be run.
    pub(super) logic: Logic,
}

impl Targeting {
    /// Compiles a checked rule.
    pub(super) fn compile(
        rule: Value,
        engine: &Engine,
        location: &DocumentPath<'_>,
    ) -> Result<Self, Mistake> {
        let logic = engine
            .compile(rule.to_string().as_str())
            .map_err(|error| location.wrong(format!("this rule cannot be compiled: {error}")))?;
        Ok(Self { rule, logic })
    }
}

/// Whether what stands here may become the rule's answer, and so has to be the name of a variant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Answer,
    Any,
}

/// Checks rules of one file.
pub(super) struct Checker<'d> {
    /// What `$ref` can refer to.
    evaluators: &'d Map<String, Value>,
    /// Names of the flag's variants; `None` for an evaluator by itself.
    variants: Option<Vec<&'d str>>,
    /// The references that are being put in.
    within: Vec<&'d str>,
    nodes: usize,
    uses_time: bool,
}

impl<'d> Checker<'d> {
    pub(super) fn new(evaluators: &'d Map<String, Value>, variants: Option<Vec<&'d str>>) -> Self {
        Self { evaluators, variants, within: Vec::new(), nodes: 0, uses_time: false }
    }

    /// Whether a rule that was checked may read the time.
    pub(super) fn uses_time(&self) -> bool {
        self.uses_time
    }

    /// A `targeting`: a rule, references put in; `None` where it is empty.
    pub(super) fn targeting(
        &mut self,
        value: &'d Value,
        location: &DocumentPath<'_>,
    ) -> Result<Option<Value>, Mistake> {
        match value {
            Value::Object(object) if object.is_empty() => Ok(None),
            Value::Object(_) => self.value(value, location, Role::Answer, 1).map(Some),
            _ => Err(location.wrong(format!("expected an object with one operator, found {}", kind(value)))),
        }
    }

    fn value(
        &mut self,
        value: &'d Value,
        location: &DocumentPath<'_>,
        role: Role,
        depth: usize,
    ) -> Result<Value, Mistake> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(location.wrong(format!("a rule has at most {MAX_NODES} values, references put in")));
        }
        if depth > MAX_DEPTH {
            return Err(
                location.wrong(format!("a rule is at most {MAX_DEPTH} levels deep, references put in"))
            );
        }
        match value {
            Value::Object(object) => self.rule(object, location, role, depth),
            Value::Array(list) => self.list(list, location, |_| Role::Any, depth),
            Value::Null => Ok(Value::Null),
            Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                if role == Role::Answer {
                    self.answer(value, location)?;
                }
                Ok(value.clone())
            }
        }
    }

    fn list(
        &mut self,
        list: &'d [Value],
        location: &DocumentPath<'_>,
        role: impl Fn(usize) -> Role,
        depth: usize,
    ) -> Result<Value, Mistake> {
        let checked = list
            .iter()
            .enumerate()
            .map(|(index, value)| self.value(value, &location.index(index), role(index), depth + 1));
        checked.collect::<Result<Vec<Value>, Mistake>>().map(Value::Array)
    }

    /// A literal that would be the rule's answer.
    fn answer(&self, value: &Value, location: &DocumentPath<'_>) -> Result<(), Mistake> {
        let Some(variants) = &self.variants else { return Ok(()) };
        let name = match value {
            Value::String(name) => name.clone(),
            other => other.to_string(),
        };
        if variants.contains(&name.as_str()) {
            return Ok(());
        }
        Err(location.wrong(format!(
            "expected one of the variants {}, found {}",
            variants.join(", "),
            kind(value)
        )))
    }

    fn rule(
        &mut self,
        object: &'d Map<String, Value>,
        location: &DocumentPath<'_>,
        role: Role,
        depth: usize,
    ) -> Result<Value, Mistake> {
        let mut keys = object.iter();
        let (Some((name, args)), None) = (keys.next(), keys.next()) else {
            let found = object.len();
            return Err(location.wrong(format!("expected an object with one operator, found {found} keys")));
        };
        let inner = location.key(name);
        if name == "$ref" {
            return self.reference(args, &inner, role, depth);
        }
        let Some((_, least, most)) = OPERATORS.iter().find(|(operator, ..)| operator == name) else {
            let known: Vec<&str> = OPERATORS.iter().map(|(operator, ..)| *operator).collect();
            return Err(
                inner.wrong(format!("there is no such operator; expected one of {}", known.join(" ")))
            );
        };
        let list = match args {
            Value::Array(list) => list,
            bare if BARE.contains(&name.as_str()) => std::slice::from_ref(bare),
            other => {
                return Err(inner.wrong(format!("expected an array of arguments, found {}", kind(other))));
            }
        };
        if !(*least..=*most).contains(&list.len()) {
            let expected = match (*least, *most) {
                (least, most) if least == most => least.to_string(),
                (least, usize::MAX) => format!("at least {least}"),
                (least, most) => format!("{least} to {most}"),
            };
            let found = list.len();
            return Err(inner.wrong(format!("expected {expected} arguments of {name}, found {found}")));
        }
        let end = list.len().saturating_sub(1);
        let args = match name.as_str() {
            "fractional" => self.fractional(list, &inner, role, depth)?,
            "if" => {
                // Conditions stand at even positions, but for the last: what is given when none holds.
                let answers = |index: usize| index % 2 == 1 || index == end && index.is_multiple_of(2);
                self.list(list, &inner, |at| if answers(at) { role } else { Role::Any }, depth)?
            }
            "or" => self.list(list, &inner, |_| role, depth)?,
            "and" => self.list(list, &inner, |at| if at == end { role } else { Role::Any }, depth)?,
            "var" => {
                self.variable(list, &inner)?;
                self.list(list, &inner, |_| Role::Any, depth)?
            }
            "sem_ver" => {
                versions(list, &inner)?;
                self.list(list, &inner, |_| Role::Any, depth)?
            }
            _ => self.list(list, &inner, |_| Role::Any, depth)?,
        };
        Ok(Value::Object(Map::from_iter([(name.clone(), args)])))
    }

    fn reference(
        &mut self,
        name: &'d Value,
        location: &DocumentPath<'_>,
        role: Role,
        depth: usize,
    ) -> Result<Value, Mistake> {
        let Value::String(name) = name else {
            return Err(
                location.wrong(format!("expected the name of one of $evaluators, found {}", kind(name)))
            );
        };
        let Some(value) = self.evaluators.get(name) else {
            return Err(location.wrong(format!("there is no {name:?} in $evaluators")));
        };
        if self.within.contains(&name.as_str()) {
            return Err(location.wrong(format!("{name:?} refers to itself: {}", self.within.join(" -> "))));
        }
        self.within.push(name);
        let top = DocumentPath::top("$evaluators");
        let checked = self.value(value, &top.key(name), role, depth + 1)?;
        self.within.pop();
        Ok(checked)
    }

    fn variable(&mut self, list: &'d [Value], location: &DocumentPath<'_>) -> Result<(), Mistake> {
        match &list[0] {
            Value::String(path) => {
                if path.starts_with("$flagd.") && path != "$flagd.flagKey" && path != "$flagd.timestamp" {
                    return Err(
                        location.wrong(format!("expected $flagd.flagKey or $flagd.timestamp, found {path}"))
                    );
                }
                self.uses_time |= path.is_empty() || path == "$flagd" || path == "$flagd.timestamp";
            }
            Value::Number(number) if number.is_u64() => {}
            // Computed: it may be any path.
            Value::Object(_) => self.uses_time = true,
            other => {
                return Err(location.wrong(format!("expected the path of a value, found {}", kind(other))));
            }
        }
        Ok(())
    }

    fn fractional(
        &mut self,
        list: &'d [Value],
        location: &DocumentPath<'_>,
        role: Role,
        depth: usize,
    ) -> Result<Value, Mistake> {
        let mut args = Vec::with_capacity(list.len());
        let mut total = 0;
        for (index, value) in list.iter().enumerate() {
            let inner = location.index(index);
            match value {
                Value::Object(_) if index == 0 => {
                    args.push(self.value(value, &inner, Role::Any, depth + 1)?);
                }
                Value::Array(entry) if (1..=2).contains(&entry.len()) => {
                    total += entry.get(1).map_or(Ok(1), |weight| literal_weight(weight, &inner.index(1)))?;
                    args.push(self.list(
                        entry,
                        &inner,
                        |at| if at == 0 { role } else { Role::Any },
                        depth + 1,
                    )?);
                }
                other => {
                    let expected = if index == 0 { "a bucketing rule or " } else { "" };
                    let found = kind(other);
                    return Err(inner.wrong(format!("expected {expected}[variant, weight], found {found}")));
                }
            }
        }
        if !list.iter().any(Value::is_array) {
            return Err(location.wrong("expected at least one [variant, weight]"));
        }
        if total > MAX_WEIGHT {
            return Err(
                location.wrong(format!("expected weights of at most {MAX_WEIGHT} together, found {total}"))
            );
        }
        Ok(Value::Array(args))
    }
}

/// A weight as it is written; 0 for one that is computed.
fn literal_weight(value: &Value, location: &DocumentPath<'_>) -> Result<u64, Mistake> {
    match value {
        Value::Object(_) => Ok(0),
        Value::Number(number) if number.as_u64().is_some_and(|weight| weight <= MAX_WEIGHT) => {
            Ok(number.as_u64().unwrap_or(0))
        }
        other => {
            let found = kind(other);
            Err(location
                .wrong(format!("expected a weight: a whole number from 0 to {MAX_WEIGHT}, found {found}")))
        }
    }
}

/// What of a `sem_ver` is written out has to be right.
fn versions(list: &[Value], location: &DocumentPath<'_>) -> Result<(), Mistake> {
    let zero = Version::parse("0");
    for (index, value) in list.iter().enumerate() {
        let Value::String(text) = value else { continue };
        let inner = location.index(index);
        if index == 1 {
            if zero.and_then(|zero| compare(zero, text, zero)).is_none() {
                return Err(inner.wrong(format!("expected = != < <= > >= ^ or ~, found {text:?}")));
            }
        } else if Version::parse(text).is_none() {
            return Err(inner.wrong(format!("expected a semantic version, found {text:?}")));
        }
    }
    Ok(())
}
