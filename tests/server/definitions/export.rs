//! What is exported is read back as it was, and says to flagd's own rules what knightwatch says.

use knightwatch_core::flag::{FlagKind, FlagSpec, Ladder, ServiceName};

use super::*;

fn file() -> Value {
    let steered = |targeting: Value| {
        json!({
            "state": "ENABLED", "variants": { "on": true, "off": false }, "targeting": targeting,
            "metadata": { "knightwatch.service": "checkout", "owner": "x" }
        })
    };
    json!({
        "metadata": { "flagSetId": "prod" },
        "$evaluators": { "dutch": { "==": [{ "var": "country" }, "NL"] } },
        "flags": {
            "plain": steered(json!({})),
            "ruled": steered(json!({ "if": [{ "$ref": "dutch" }, "on", null] })),
            "either": steered(json!({ "or": [{ "if": [{ "$ref": "dutch" }, "off", null] }, { "if": [{ "var": "beta" }, "on", null] }] })),
            "killed": steered(json!({ "if": [{ "$ref": "dutch" }, "on", null] })),
            "colour": { "state": "ENABLED", "variants": { "red": 1, "blue": 2 }, "defaultVariant": "blue",
                "targeting": { "fractional": [["red", 1], ["blue", 1]] } },
            "asleep": { "state": "DISABLED", "variants": { "on": {} } }
        }
    })
}

fn served(flag: &FlagKey) -> Option<ServedFlag> {
    Some(match flag.as_str() {
        "plain" => at(125),
        "ruled" => at(5_000),
        "either" => at(10_000),
        "killed" => OFF_FOR_ALL,
        _ => return None,
    })
}

fn contexts() -> Vec<Value> {
    let fields = |n: usize| json!({ "targetingKey": format!("u{n}"), "country": if n.is_multiple_of(3) { "NL" } else { "FR" }, "beta": n.is_multiple_of(2) });
    (0..300).map(fields).collect()
}

#[test]
fn what_is_exported_reads_back_as_it_was() {
    let definitions = read(&file()).unwrap();
    let exported = definitions.export([].iter(), served);
    assert_eq!(exported["metadata"], json!({ "flagSetId": "prod", "knightwatch.hash": "flagd-2" }));
    let again = read(&exported).unwrap();
    assert_eq!(again.export([].iter(), served), exported, "a fixed point");
    assert!(again.notes().is_empty());
    let written =
        |flag: &str| again.get(&key(flag)).unwrap().steering().unwrap().written.unwrap().basis_points();
    assert_eq!(["plain", "ruled", "either", "killed"].map(written), [125, 5_000, 10_000, 0]);
    for fields in contexts() {
        for flag in definitions.iter() {
            let ask =
                |definitions: &Definitions| said(definitions, flag.key().as_str(), fields.clone(), served);
            assert_eq!(ask(&again), ask(&definitions), "{} {fields}", flag.key());
        }
    }
}

/// The same file without our metadata is one for flagd, evaluated by the rules that the vectors hold us to.
#[test]
fn flagd_gives_the_same_people_the_same() {
    let definitions = read(&file()).unwrap();
    let mut exported = definitions.export([].iter(), served);
    for flag in exported["flags"].as_object_mut().unwrap().values_mut() {
        flag.as_object_mut().unwrap().remove("metadata");
    }
    let flagd = read(&exported).unwrap();
    for fields in contexts() {
        for flag in definitions.iter() {
            let ask = |definitions: &Definitions| {
                definitions
                    .evaluate(flag.key(), &context(fields.clone()), served, 0)
                    .unwrap()
                    .variant
                    .map(str::to_owned)
            };
            assert_eq!(ask(&flagd), ask(&definitions), "{} {fields}", flag.key());
        }
    }
}

#[test]
fn flags_without_a_definition_are_exported_as_they_are_evaluated() {
    let spec = FlagSpec {
        key: key("bare"),
        service: ServiceName("mailer".into()),
        kind: FlagKind::Jobs,
        description: "sends mail".to_owned(),
        ladder: Ladder::default(),
        deployment: None,
    };
    let none = Definitions::default();
    let exported = none.export(std::iter::once(&spec), |_| Some(at(5_000)));
    let again = read(&exported).unwrap();
    assert_eq!(again.get(&spec.key).unwrap().spec().unwrap(), spec);
    for fields in contexts() {
        let ask = |definitions: &Definitions| said(definitions, "bare", fields.clone(), |_| Some(at(5_000)));
        assert_eq!(ask(&again), ask(&none));
    }
}

#[test]
fn several_sets_become_one_file_with_nothing_lost() {
    let one = json!({ "flags": { "a": { "state": "ENABLED", "variants": { "x": 1 } } }, "metadata": { "set": "one" } }).to_string();
    let two = json!({ "flags": { "b": { "state": "ENABLED", "variants": { "x": 1 }, "metadata": { "own": true } } }, "metadata": { "set": "two" } }).to_string();
    let files = [
        SourceFile { name: "one", bytes: one.as_bytes() },
        SourceFile { name: "two", bytes: two.as_bytes() },
    ];
    let exported = Definitions::parse(&files).unwrap().export([].iter(), |_| None);
    assert_eq!(exported["metadata"], json!({ "knightwatch.hash": "flagd-2" }));
    assert_eq!(exported["flags"]["a"]["metadata"], json!({ "set": "one" }));
    assert_eq!(exported["flags"]["b"]["metadata"], json!({ "set": "two", "own": true }));
}
