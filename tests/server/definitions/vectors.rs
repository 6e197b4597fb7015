//! The table of what flagd's own evaluator gives: `tests/clients/flagd-core.mjs` makes it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Table {
    now: u64,
    file: Value,
    contexts: Vec<Value>,
    expected: BTreeMap<String, Vec<String>>,
}

fn table() -> Table {
    serde_json::from_str(include_str!("../../clients/flagd-core.json")).unwrap()
}

#[test]
fn every_answer_is_that_of_flagd() {
    let table = table();
    let definitions = read(&table.file).unwrap();
    let (mut compared, mut differ) = (0, Vec::new());
    for (flag, expected) in &table.expected {
        for (fields, expected) in table.contexts.iter().zip(expected) {
            let answer = definitions.evaluate(&key(flag), &context(fields.clone()), |_| None, table.now);
            let found = match &answer {
                Ok(answer) => format!("{} {}", answer.reason.as_str(), answer.variant.unwrap_or("-")),
                Err(error) => format!("! {}", error.code()),
            };
            compared += 1;
            if found != *expected {
                differ.push(format!("{flag} {fields}: expected {expected}, found {found}"));
            }
            if let Ok(answer) = answer {
                let defined = answer.variant.map(|variant| &table.file["flags"][flag]["variants"][variant]);
                assert_eq!(answer.value, defined, "{flag} {fields}");
            }
        }
    }
    assert!(compared > 2_000, "only {compared} compared");
    assert!(differ.is_empty(), "{} of {compared} differ:\n{}", differ.len(), differ.join("\n"));
}

#[test]
fn all_at_once_is_the_same_as_one_by_one() {
    let table = table();
    let definitions = read(&table.file).unwrap();
    let served = |key: &FlagKey| (key.as_str() == "undefined").then(|| at(5_000));
    let undefined = key("undefined");
    for fields in &table.contexts {
        let context = context(fields.clone());
        let mut seen = BTreeSet::new();
        let also = std::iter::once(&undefined);
        definitions.evaluate_all(&context, served, table.now, also, |key, answer| {
            assert_eq!(answer, definitions.evaluate(key, &context, served, table.now));
            assert!(seen.insert(key.clone()), "{key} twice");
        });
        assert_eq!(seen.len(), definitions.len() + 1);
    }
}

#[test]
fn metadata_of_a_flag_stands_over_that_of_its_set() {
    let definitions = read(&table().file).unwrap();
    let metadata = |flag: &str| {
        let answer = definitions.evaluate(&key(flag), &Context::default(), |_| None, 0).unwrap();
        json!(answer.metadata.unwrap())
    };
    assert_eq!(metadata("static"), json!({ "flagSetId": "vectors", "setwide": "set" }));
    assert_eq!(
        metadata("with-metadata"),
        json!({ "flagSetId": "vectors", "setwide": "own", "owner": "x", "level": 3, "big": 1.5, "live": true })
    );
}
