//! Definitions of flags: read strictly, evaluated as flagd does, and steered as knightwatch does.
#![allow(clippy::unwrap_used, clippy::panic, clippy::needless_pass_by_value, reason = "a test")]

mod export;
mod properties;
mod refused;
mod steered;
mod vectors;

use knightwatch_core::flag::{
    FlagKey, Rollout,
    definition::{Context, DefinitionErrors, Definitions, ServedFlag, SourceFile},
};
use serde_json::{Value, json};

/// One file, read.
fn read(file: &Value) -> Result<Definitions, DefinitionErrors> {
    read_text(&file.to_string())
}

fn read_text(text: &str) -> Result<Definitions, DefinitionErrors> {
    Definitions::parse(&[SourceFile { name: "flags.json", bytes: text.as_bytes() }])
}

/// One file with these flags.
fn with_flags(flags: Value) -> Value {
    json!({ "flags": flags })
}

fn key(text: &str) -> FlagKey {
    text.parse().unwrap()
}

fn context(fields: Value) -> Context {
    let Value::Object(fields) = fields else { panic!("an object") };
    Context::new(fields).unwrap()
}

fn at(basis_points: u16) -> ServedFlag {
    ServedFlag { rollout: Rollout::from_basis_points(basis_points).unwrap(), off_for_all: false }
}

const OFF_FOR_ALL: ServedFlag = ServedFlag { rollout: Rollout::ZERO, off_for_all: true };

/// `REASON variant`, or `! CODE`.
fn said(
    definitions: &Definitions,
    flag: &str,
    fields: Value,
    standing: impl Fn(&FlagKey) -> Option<ServedFlag>,
) -> String {
    match definitions.evaluate(&key(flag), &context(fields), standing, 0) {
        Ok(answer) => format!("{} {}", answer.reason.as_str(), answer.variant.unwrap_or("-")),
        Err(error) => format!("! {}", error.code()),
    }
}
