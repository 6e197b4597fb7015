//! flagd's own JsonLogic operators: `fractional`, `sem_ver`, `starts_with`, `ends_with`.
//!
//! Written here, and not taken from `datalogic-rs`, because its `fractional` gives only variants that are strings and takes
//! weights that flagd refuses. Whatever is not as expected gives null, so that the flag's default applies: that is what
//! every implementation of flagd does.

use std::cmp::Ordering;

use datalogic_rs::{
    ArenaExt, CustomOperator, DataValue, Engine, EvaluationConfig, Result, bumpalo::Bump,
    operator::EvalContext,
};

use super::version::Version;
use crate::flag::bucket::hash;

/// Largest sum of weights: flagd's is a signed 32-bit number.
pub(super) const MAX_WEIGHT: u64 = i32::MAX as u64;

/// The JsonLogic engine with flagd's operators.
pub(super) fn engine() -> Engine {
    Engine::builder()
        .with_config(EvaluationConfig::default().with_loose_equality_errors(false))
        .add_operator("fractional", Fractional)
        .add_operator("sem_ver", SemVer)
        .add_operator("starts_with", Compare(|text, part| text.starts_with(part)))
        .add_operator("ends_with", Compare(|text, part| text.ends_with(part)))
        .build()
}

/// `["bucketing"?, [variant, weight?], ...]`: by generation 2 of flagd's hash.
struct Fractional;

impl CustomOperator for Fractional {
    fn evaluate<'a>(
        &self,
        args: &[&'a DataValue<'a>],
        ctx: &mut EvalContext<'_, 'a>,
        arena: &'a Bump,
    ) -> Result<&'a DataValue<'a>> {
        Ok(fractional(args, ctx.root_input()).unwrap_or_else(|| arena.null()))
    }
}

fn fractional<'a>(args: &[&'a DataValue<'a>], root: &'a DataValue<'a>) -> Option<&'a DataValue<'a>> {
    let (hash, entries) = match args.split_first()? {
        (DataValue::String(by), entries) => (hash(by.as_bytes(), b""), entries),
        (first, rest) => {
            let targeting_key = field(root, "targetingKey")?.as_str().filter(|key| !key.is_empty())?;
            let flag = field(field(root, "$flagd")?, "flagKey")?.as_str()?;
            // A bucketing expression that found nothing falls back to the targeting key, as flagd's in Go does.
            (hash(flag.as_bytes(), targeting_key.as_bytes()), if first.is_null() { rest } else { args })
        }
    };
    let mut total = 0;
    for entry in entries {
        total += weight(entry)?;
    }
    if total == 0 || total > MAX_WEIGHT {
        return None;
    }
    let bucket = (u64::from(hash) * total) >> 32;
    let mut end = 0;
    for entry in entries {
        end += weight(entry)?;
        if bucket < end {
            let variant = entry.as_array()?.first()?;
            return (!matches!(variant, DataValue::Array(_) | DataValue::Object(_))).then_some(variant);
        }
    }
    None
}

/// The weight of an entry: 1 where there is none, at least 0; `None` where it is not an entry.
fn weight(entry: &DataValue<'_>) -> Option<u64> {
    match entry.as_array()? {
        [_] => Some(1),
        [_, weight] => {
            let weight = weight
                .as_f64()
                .filter(|weight| weight.is_finite() && weight.fract().abs() < f64::MIN_POSITIVE)?;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "whole, not negative, and far too large where it does not fit"
            )]
            let weight = weight.max(0.0) as u64;
            // Anything above the limit is refused all the same; cut so that sums cannot overflow.
            Some(weight.min(MAX_WEIGHT + 1))
        }
        _ => None,
    }
}

fn field<'a>(object: &DataValue<'a>, name: &str) -> Option<&'a DataValue<'a>> {
    object.as_object()?.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// `[version, operator, version]`.
struct SemVer;

impl CustomOperator for SemVer {
    fn evaluate<'a>(
        &self,
        args: &[&'a DataValue<'a>],
        _ctx: &mut EvalContext<'_, 'a>,
        arena: &'a Bump,
    ) -> Result<&'a DataValue<'a>> {
        let [left, operator, right] = args else { return Ok(arena.null()) };
        let compared = operator.as_str().and_then(|operator| {
            let (left, right) = (text_of(left, arena)?, text_of(right, arena)?);
            compare(Version::parse(left)?, operator, Version::parse(right)?)
        });
        Ok(compared.map_or_else(|| arena.null(), |holds| arena.bool(holds)))
    }
}

/// A version that stands as a number, `1` or `1.2`, is read as it is written.
fn text_of<'a>(value: &DataValue<'a>, arena: &'a Bump) -> Option<&'a str> {
    match value {
        DataValue::String(text) => Some(text),
        DataValue::Number(_) => Some(value.to_json_str_in(arena)),
        _ => None,
    }
}

/// Whether `left operator right` holds; `None` where there is no such operator.
pub(super) fn compare(left: Version<'_>, operator: &str, right: Version<'_>) -> Option<bool> {
    let order = left.order(&right);
    Some(match operator {
        "=" => order == Ordering::Equal,
        "!=" => order != Ordering::Equal,
        "<" => order == Ordering::Less,
        "<=" => order != Ordering::Greater,
        ">" => order == Ordering::Greater,
        ">=" => order != Ordering::Less,
        "^" => left.major == right.major,
        "~" => left.major == right.major && left.minor == right.minor,
        _ => return None,
    })
}

/// `[text, part]`.
struct Compare(fn(&str, &str) -> bool);

impl CustomOperator for Compare {
    fn evaluate<'a>(
        &self,
        args: &[&'a DataValue<'a>],
        _ctx: &mut EvalContext<'_, 'a>,
        arena: &'a Bump,
    ) -> Result<&'a DataValue<'a>> {
        Ok(match args {
            [DataValue::String(text), DataValue::String(part)] => arena.bool((self.0)(text, part)),
            _ => arena.null(),
        })
    }
}
