//! What makes a flag one that knightwatch steers, and the form in which its rollout stands in flagd's files.
//!
//! A steered flag names its service in `knightwatch.service` and has the variants `on` and `off`. In a file for flagd its
//! rollout is `{"fractional": [["on", n], ["off", 10000 - n]]}`, alone or last in an `or` behind the flag's own rule; read
//! back, that part gives way to the rollout that knightwatch holds.

use serde_json::{Map, Value, json};

use super::{
    document_path::{DocumentPath, Mistake},
    json::kind,
};
use crate::flag::{FlagKind, FlagSpec, Rollout, ServiceName, clean_line};

/// What all of our keys in metadata begin with.
pub(super) const PREFIX: &str = "knightwatch.";

/// The service whose code asks for the flag; a flag that has it is steered.
const SERVICE: &str = "knightwatch.service";
/// `requests` or `jobs`.
const KIND: &str = "knightwatch.kind";
/// What the flag does, in a line.
const DESCRIPTION: &str = "knightwatch.description";
/// `flag-a=on, flag-b=on`.
pub(super) const PREREQUISITES: &str = "knightwatch.prerequisites";
/// Of a set: the hash that its rollouts are for.
pub(super) const HASH: &str = "knightwatch.hash";
/// The generation of flagd's hash that is ours.
pub(super) const GENERATION: &str = "flagd-2";

/// The variant that is the new code.
pub(super) const ON: &str = "on";
/// The variant that is known to be good.
pub(super) const OFF: &str = "off";

/// A flag's side that knightwatch steers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steering {
    /// The service whose code asks for the flag.
    pub service: ServiceName,
    /// What one unit of its traffic is.
    pub kind: FlagKind,
    /// What it does, in a line, for people.
    pub description: String,
    /// The rollout that stood in the file. It is not what counts: that is knightwatch's.
    pub written: Option<Rollout>,
}

impl Steering {
    /// Reads a flag's own metadata; `None` for a flag that is not steered.
    pub(super) fn read(
        metadata: &Map<String, Value>,
        location: &DocumentPath<'_>,
    ) -> Result<Option<Self>, Mistake> {
        for key in metadata.keys().filter(|key| key.starts_with(PREFIX)) {
            if ![SERVICE, KIND, DESCRIPTION, PREREQUISITES].contains(&key.as_str()) {
                let expected = "expected .service, .kind, .description or .prerequisites";
                return Err(location
                    .key(key)
                    .wrong(format!("there is no such setting of knightwatch; {expected}")));
            }
        }
        let Some(service) = text(metadata, SERVICE, location)? else {
            if let Some(key) = [KIND, DESCRIPTION].into_iter().find(|key| metadata.contains_key(*key)) {
                return Err(location.key(key).wrong(format!("a flag that has this needs {SERVICE} too")));
            }
            return Ok(None);
        };
        let service = clean_line(service);
        if service.is_empty() {
            return Err(location.key(SERVICE).wrong("expected the name of a service, found nothing"));
        }
        let kind = match text(metadata, KIND, location)? {
            None | Some("requests") => FlagKind::Requests,
            Some("jobs") => FlagKind::Jobs,
            Some(other) => {
                return Err(location.key(KIND).wrong(format!("expected requests or jobs, found {other:?}")));
            }
        };
        let description = text(metadata, DESCRIPTION, location)?.map(clean_line).unwrap_or_default();
        Ok(Some(Self { service: ServiceName(service.into()), kind, description, written: None }))
    }
}

/// What [`Steering::read`] reads, of a flag that was made without a definition.
pub(super) fn metadata_of(spec: &FlagSpec) -> Map<String, Value> {
    let mut metadata = Map::new();
    metadata.insert(SERVICE.to_owned(), spec.service.as_str().into());
    metadata.insert(KIND.to_owned(), spec.kind.unit().into());
    if !spec.description.is_empty() {
        metadata.insert(DESCRIPTION.to_owned(), spec.description.as_str().into());
    }
    metadata
}

/// A text in metadata.
pub(super) fn text<'m>(
    metadata: &'m Map<String, Value>,
    key: &str,
    location: &DocumentPath<'_>,
) -> Result<Option<&'m str>, Mistake> {
    match metadata.get(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(location.key(key).wrong(format!("expected a text, found {}", kind(other)))),
    }
}

/// A steered flag's targeting, taken apart.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Parts {
    /// The flag's own rule.
    pub(super) rule: Option<Value>,
    /// The rollout that stood at its end.
    pub(super) written: Option<Rollout>,
    /// The fractional named `off` first: other people get `on` than it said.
    pub(super) reversed: bool,
}

/// Takes the rollout off the end of a checked rule.
pub(super) fn take_apart(rule: Value, location: &DocumentPath<'_>) -> Result<Parts, Mistake> {
    if let Some(parts) = rollout_alone(&rule, location)? {
        return Ok(parts);
    }
    let Value::Object(mut object) = rule else { return Ok(Parts { rule: Some(rule), ..Parts::default() }) };
    if let Some(Value::Array(list)) = object.get_mut("or")
        && let Some(last) = list.last()
        && let Some(mut parts) = rollout_alone(last, &location.key("or").index(list.len() - 1))?
    {
        list.pop();
        // An `off` for everybody, put in front while the flag was rolled back or killed.
        if list.first().is_some_and(|first| first == OFF) {
            list.remove(0);
        }
        parts.rule = match list.len() {
            0 => None,
            1 => list.pop(),
            _ => Some(Value::Object(object)),
        };
        return Ok(parts);
    }
    Ok(Parts { rule: Some(Value::Object(object)), ..Parts::default() })
}

/// A `fractional` of nothing but `on` and `off`.
fn rollout_alone(rule: &Value, location: &DocumentPath<'_>) -> Result<Option<Parts>, Mistake> {
    let Some(Value::Array(entries)) = rule.as_object().and_then(|object| object.get("fractional")) else {
        return Ok(None);
    };
    let location = location.key("fractional");
    let (mut on, mut total, mut first) = (0, 0, None);
    for entry in entries.iter().filter_map(Value::as_array) {
        let variant = entry.first().and_then(Value::as_str);
        let weight = entry.get(1).map_or(Some(1), Value::as_u64);
        let (Some(variant @ (ON | OFF)), Some(weight)) = (variant, weight) else { return Ok(None) };
        first = first.or(Some(variant));
        total += weight;
        on += if variant == ON { weight } else { 0 };
    }
    if !entries.first().is_some_and(Value::is_array) {
        return Err(location.index(0).wrong(
            "a steered flag's rollout goes by its targeting key; expected no bucketing rule of its own",
        ));
    }
    // Rounded to the nearest basis point; a fractional without weight gives nobody `on`.
    let points = (on * 10_000 + total / 2).checked_div(total).unwrap_or(0);
    let written = u16::try_from(points).ok().and_then(|points| Rollout::from_basis_points(points).ok());
    Ok(Some(Parts { rule: None, written, reversed: first == Some(OFF) && on > 0 }))
}

/// The targeting of a steered flag for flagd: its own rule, then the rollout; in front of both `off` where it is off for
/// everybody.
pub(super) fn put_together(rule: Option<&Value>, rollout: Rollout, off_for_all: bool) -> Value {
    let points = if off_for_all { 0 } else { rollout.basis_points() };
    let fractional = json!({ "fractional": [[ON, points], [OFF, 10_000 - points]] });
    match rule {
        None => fractional,
        Some(rule) if off_for_all => json!({ "or": [OFF, rule, fractional] }),
        Some(rule) => json!({ "or": [rule, fractional] }),
    }
}
