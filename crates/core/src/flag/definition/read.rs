//! One file of flagd's schema, read strictly: nothing unknown, nothing of another type, nothing twice.

use datalogic_rs::Engine;
use serde_json::{Map, Value};

use super::{
    Definition, MAX_FILE, SourceFile,
    document_path::{DefinitionError, DocumentPath, Mistake},
    json::{self, kind},
    prerequisite,
    steering::{self, GENERATION, HASH, OFF, ON, PREFIX, PREREQUISITES, Steering},
    targeting::{Checker, Targeting},
};
use crate::flag::{FlagKey, clean, is_hostile};

/// Most variants of one flag.
const MAX_VARIANTS: usize = 100;

/// Most entries of one metadata.
const MAX_METADATA: usize = 100;

/// Longest name of a variant, in characters.
const MAX_NAME: usize = 100;

/// Largest whole number that every client reads as it is written: they read doubles.
const MAX_SAFE: u64 = (1 << 53) - 1;

/// What stands in one file.
pub(super) struct Set {
    pub(super) metadata: Map<String, Value>,
    pub(super) flags: Vec<Definition>,
    pub(super) notes: Vec<String>,
    pub(super) uses_time: bool,
}

/// Reads one file; what is wrong with single flags goes to `errors`, and those flags are left out.
pub(super) fn file(
    source: &SourceFile<'_>,
    engine: &Engine,
    errors: &mut Vec<DefinitionError>,
) -> Result<Set, Mistake> {
    if source.bytes.len() > MAX_FILE {
        let found = source.bytes.len();
        return Err(Mistake::whole_document(format!("expected at most {MAX_FILE} bytes, found {found}")));
    }
    let document = json::read(source.bytes)?;
    let document = match &document {
        Value::Object(object) => object,
        other => {
            return Err(Mistake::whole_document(format!(
                "expected an object with flags, found {}",
                kind(other)
            )));
        }
    };
    only(document, &["$schema", "flags", "$evaluators", "metadata"], None)?;
    let none = Map::new();
    let metadata = metadata(document.get("metadata"), &DocumentPath::top("metadata"))?;
    for key in metadata.keys().filter(|key| key.starts_with(PREFIX)) {
        if key != HASH {
            let location = DocumentPath::top("metadata");
            return Err(location
                .key(key)
                .wrong(format!("a set has no such setting of knightwatch; expected {HASH}")));
        }
    }
    if let Some(found) = metadata.get(HASH).filter(|found| *found != GENERATION) {
        let location = DocumentPath::top("metadata");
        let found = kind(found);
        return Err(location
            .key(HASH)
            .wrong(format!("expected {GENERATION:?}, the hash that is ours, found {found}")));
    }
    let evaluators = match document.get("$evaluators") {
        None => &none,
        Some(Value::Object(object)) => object,
        Some(other) => return Err(expected_object(other, &DocumentPath::top("$evaluators"))),
    };
    let mut alone = Checker::new(evaluators, None);
    for (name, rule) in evaluators {
        // Each by itself, because one that no flag refers to has to be right too.
        alone.targeting(rule, &DocumentPath::top("$evaluators").key(name))?;
    }
    let flags = match document.get("flags") {
        Some(Value::Object(object)) => object,
        Some(other) => return Err(expected_object(other, &DocumentPath::top("flags"))),
        None => return Err(DocumentPath::top("flags").wrong("this is missing; expected an object of flags")),
    };
    let mut set = Set { metadata, flags: Vec::new(), notes: Vec::new(), uses_time: false };
    for (key, value) in flags {
        match flag(key, value, evaluators, engine, &mut set) {
            Ok(flag) => set.flags.push(flag),
            Err(mistake) => errors.push(mistake.within(source.name, Some(key))),
        }
    }
    Ok(set)
}

fn flag(
    name: &str,
    value: &Value,
    evaluators: &Map<String, Value>,
    engine: &Engine,
    set: &mut Set,
) -> Result<Definition, Mistake> {
    let top = DocumentPath::top("flags");
    let location = top.key(name);
    let key: FlagKey = name.parse().map_err(|error| location.wrong(format!("{error}")))?;
    let object = value.as_object().ok_or_else(|| expected_object(value, &location))?;
    only(object, &["state", "variants", "defaultVariant", "targeting", "metadata"], Some(&location))?;
    let enabled = match object.get("state") {
        Some(Value::String(state)) if state == "ENABLED" => true,
        Some(Value::String(state)) if state == "DISABLED" => false,
        found => {
            let found = found.map_or("nothing".to_owned(), kind);
            return Err(location
                .key("state")
                .wrong(format!("expected \"ENABLED\" or \"DISABLED\", found {found}")));
        }
    };
    let variants = variants(object.get("variants"), &location.key("variants"))?;
    let names: Vec<&str> = variants.iter().map(|(name, _)| name.as_str()).collect();
    let default = default_variant(object.get("defaultVariant"), &names, &location.key("defaultVariant"))?;
    let own_metadata = metadata(object.get("metadata"), &location.key("metadata"))?;
    let metadata_place = location.key("metadata");
    let mut steering = Steering::read(&own_metadata, &metadata_place)?;
    if steering.is_some() {
        for name in [ON, OFF] {
            if !names.contains(&name) {
                return Err(location
                    .key("variants")
                    .wrong(format!("a steered flag has a variant {name}; found none")));
            }
        }
        if let Some(other) = default.map(|at| names[at]).filter(|name| *name != OFF) {
            let detail =
                format!("a steered flag falls back to off; expected \"off\" or nothing, found {other:?}");
            return Err(location.key("defaultVariant").wrong(detail));
        }
    }
    let prerequisites = match steering::text(&own_metadata, PREREQUISITES, &metadata_place)? {
        None => Vec::new(),
        Some(text) => prerequisite::read(text, &metadata_place)?,
    };
    if !prerequisites.is_empty() && !names.contains(&OFF) {
        let detail = "a flag with prerequisites has a variant off, for when they do not hold; found none";
        return Err(location.key("variants").wrong(detail));
    }
    let targeting_place = location.key("targeting");
    let mut checker = Checker::new(evaluators, Some(names));
    let mut rule = match object.get("targeting") {
        None => None,
        Some(targeting) => checker.targeting(targeting, &targeting_place)?,
    };
    set.uses_time |= checker.uses_time();
    if let Some(steering) = &mut steering
        && let Some(whole) = rule.take()
    {
        let parts = steering::take_apart(whole, &targeting_place)?;
        if parts.reversed {
            set.notes.push(format!(
                "{key}: its fractional names off first; knightwatch gives on to the lowest buckets, to other people"
            ));
        }
        (steering.written, rule) = (parts.written, parts.rule);
    }
    let targeting = rule.map(|rule| Targeting::compile(rule, engine, &targeting_place)).transpose()?;
    let mut metadata = set.metadata.clone();
    metadata.extend(own_metadata.clone());
    Ok(Definition {
        key,
        enabled,
        variants,
        default,
        targeting,
        metadata,
        own_metadata,
        steering,
        prerequisites,
    })
}

/// Variants of one type.
fn variants(value: Option<&Value>, location: &DocumentPath<'_>) -> Result<Vec<(String, Value)>, Mistake> {
    let object = match value {
        Some(Value::Object(object)) if !object.is_empty() => object,
        found => {
            let found = found.map_or("nothing".to_owned(), kind);
            return Err(
                location.wrong(format!("expected an object with at least one variant, found {found}"))
            );
        }
    };
    if object.len() > MAX_VARIANTS {
        return Err(
            location.wrong(format!("expected at most {MAX_VARIANTS} variants, found {}", object.len()))
        );
    }
    let mut type_of_all = None;
    for (name, value) in object {
        let location = location.key(name);
        if name.is_empty() || name.chars().count() > MAX_NAME || name.chars().any(is_hostile) {
            let detail = format!("the name of a variant has 1 to {MAX_NAME} characters, all of them visible");
            return Err(location.wrong(detail));
        }
        let type_of = match value {
            Value::Bool(_) => "boolean",
            Value::String(_) => "string",
            Value::Number(number) => {
                let whole = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
                if whole.is_some_and(|whole| whole > MAX_SAFE) {
                    return Err(
                        location.wrong(format!("expected a number of at most 2^53 - 1, found {number}"))
                    );
                }
                "number"
            }
            Value::Object(_) => "object",
            Value::Null | Value::Array(_) => {
                let found = kind(value);
                return Err(
                    location.wrong(format!("expected a boolean, string, number or object, found {found}"))
                );
            }
        };
        if *type_of_all.get_or_insert(type_of) != type_of {
            let all = type_of_all.unwrap_or_default();
            let found = kind(value);
            return Err(location.wrong(format!("variants are of one type; expected a {all}, found {found}")));
        }
    }
    Ok(object.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
}

fn default_variant(
    value: Option<&Value>,
    names: &[&str],
    location: &DocumentPath<'_>,
) -> Result<Option<usize>, Mistake> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(name)) if names.contains(&name.as_str()) => {
            Ok(names.iter().position(|known| known == name))
        }
        Some(other) => {
            let (names, found) = (names.join(", "), kind(other));
            Err(location.wrong(format!("expected one of the variants {names}, or null, found {found}")))
        }
    }
}

fn metadata(value: Option<&Value>, location: &DocumentPath<'_>) -> Result<Map<String, Value>, Mistake> {
    let object = match value {
        None => return Ok(Map::new()),
        Some(Value::Object(object)) => object,
        Some(other) => return Err(expected_object(other, location)),
    };
    if object.len() > MAX_METADATA {
        return Err(
            location.wrong(format!("expected at most {MAX_METADATA} entries, found {}", object.len()))
        );
    }
    for (key, value) in object {
        if matches!(value, Value::Null | Value::Array(_) | Value::Object(_)) {
            let found = kind(value);
            return Err(location
                .key(key)
                .wrong(format!("expected a string, number or boolean, found {found}")));
        }
    }
    Ok(object.clone())
}

fn only(
    object: &Map<String, Value>,
    known: &[&str],
    location: Option<&DocumentPath<'_>>,
) -> Result<(), Mistake> {
    let Some(unknown) = object.keys().find(|key| !known.contains(&key.as_str())) else { return Ok(()) };
    let detail = format!("there is no such key; expected one of {}", known.join(", "));
    let unknown = clean(unknown);
    Err(location.map_or_else(
        || DocumentPath::top(&unknown).wrong(detail.clone()),
        |location| location.key(&unknown).wrong(detail.clone()),
    ))
}

fn expected_object(found: &Value, location: &DocumentPath<'_>) -> Mistake {
    location.wrong(format!("expected an object, found {}", kind(found)))
}
