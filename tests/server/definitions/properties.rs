//! Whatever stands in a file or a context: nothing panics, raising moves nobody out, and off for everybody is off.

use std::sync::OnceLock;

use proptest::prelude::*;
use serde_json::{Map, Number};

use super::*;

/// Any JSON.
fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|n| Number::from_f64(n).map_or(Value::Null, Value::Number)),
        ".{0,8}".prop_map(Value::from),
        prop::sample::select(vec![
            "on",
            "off",
            "",
            "$flagd",
            "targetingKey",
            "1.2.3",
            "knightwatch.service",
            "f=on"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            (operator(), inner.clone()).prop_map(|(name, args)| json!({ name: args })),
            (operator(), prop::collection::vec(inner.clone(), 0..4))
                .prop_map(|(name, args)| json!({ name: args })),
            prop::collection::btree_map(".{0,6}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn operator() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "if",
        "==",
        "===",
        "!=",
        "!",
        "!!",
        "<",
        "<=",
        ">",
        ">=",
        "and",
        "or",
        "+",
        "-",
        "*",
        "/",
        "%",
        "cat",
        "substr",
        "in",
        "max",
        "min",
        "map",
        "filter",
        "reduce",
        "all",
        "some",
        "none",
        "merge",
        "missing",
        "missing_some",
        "var",
        "fractional",
        "sem_ver",
        "starts_with",
        "ends_with",
        "$ref",
        "nothing",
    ])
}

/// A rule that often passes the checks.
fn rule() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        prop::sample::select(vec!["a", "b.c", "", "targetingKey", "$flagd.timestamp"])
            .prop_map(|path| json!({ "var": path })),
        any::<i32>().prop_map(Value::from),
        any::<f64>().prop_map(|n| Number::from_f64(n).map_or(Value::Null, Value::Number)),
        ".{0,6}".prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 30, 3, |inner| {
        let two = prop::sample::select(vec![
            "==",
            "===",
            "!=",
            "!==",
            "<",
            "<=",
            ">",
            ">=",
            "%",
            "/",
            "*",
            "+",
            "-",
            "in",
            "map",
            "filter",
            "all",
            "some",
            "none",
            "cat",
            "merge",
            "max",
            "min",
            "starts_with",
            "ends_with",
            "substr",
            "and",
            "or",
        ]);
        prop_oneof![
            (two, inner.clone(), inner.clone()).prop_map(|(name, a, b)| json!({ name: [a, b] })),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| json!({ "if": [a, b, c] })),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| json!({ "reduce": [a, b, c] })),
            (inner.clone(), inner.clone())
                .prop_map(|(a, b)| json!({ "sem_ver": [{ "cat": [a] }, "<", { "cat": [b] }] })),
            (inner.clone(), 0..9_u32)
                .prop_map(|(a, w)| json!({ "fractional": [{ "cat": [a] }, ["x", w], ["y"]] })),
            inner.clone().prop_map(|a| json!({ "missing": [a] })),
            inner.prop_map(|a| json!({ "!": [a] })),
        ]
    })
}

fn targeted() -> &'static Definitions {
    static TARGETED: OnceLock<Definitions> = OnceLock::new();
    TARGETED.get_or_init(|| {
        let flag = |targeting: Value| {
            json!({
                "state": "ENABLED", "variants": { "on": true, "off": false }, "targeting": targeting,
                "metadata": { "knightwatch.service": "checkout" }
            })
        };
        let rule = json!({ "if": [{ "in": ["a", { "var": "targetingKey" }] }, "on", { "in": ["b", { "var": "targetingKey" }] }, "off", null] });
        read(&with_flags(json!({ "ruled": flag(rule), "plain": flag(json!({})) }))).unwrap()
    })
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Definitions::parse(&[SourceFile { name: "x", bytes: &bytes }]);
    }

    #[test]
    fn any_json_is_read_or_refused(file in json_value(), targeting in json_value(), metadata in json_value()) {
        let _ = read(&file);
        let _ = read(&with_flags(file));
        let flag = json!({ "state": "ENABLED", "variants": { "on": true, "off": false }, "targeting": targeting, "metadata": metadata });
        if let Err(errors) = read(&with_flags(json!({ "f": flag }))) {
            prop_assert!(errors.to_string().chars().all(|c| c == '\n' || !c.is_control()));
        }
    }

    #[test]
    fn any_rule_on_any_context_answers_or_fails(rule in rule(), fields in prop::collection::btree_map(".{0,6}", json_value(), 0..4), a in json_value()) {
        let flag = json!({ "state": "ENABLED", "variants": { "on": true, "off": false }, "targeting": { "if": [rule, "on", "off"] } });
        let Ok(definitions) = read(&with_flags(json!({ "f": flag }))) else { return Ok(()) };
        let mut fields: Map<String, Value> = fields.into_iter().collect();
        fields.insert("a".to_owned(), a);
        let Ok(context) = Context::new(fields) else { return Ok(()) };
        let once = definitions.evaluate(&key("f"), &context, |_| None, 7);
        prop_assert_eq!(&once, &definitions.evaluate(&key("f"), &context, |_| None, 7), "the same again");
        if let Ok(answer) = once {
            prop_assert!(matches!(answer.variant, Some("on" | "off")));
        }
    }

    #[test]
    fn raising_never_moves_anyone_out(user in "[a-z]{1,12}|.{1,20}", low in 0_u16..=10_000, high in 0_u16..=10_000) {
        let (low, high) = (low.min(high), low.max(high));
        for flag in ["ruled", "plain"] {
            let ask = |rollout| said(targeted(), flag, json!({ "targetingKey": user }), |_| Some(at(rollout)));
            if ask(low).ends_with(" on") {
                prop_assert!(ask(high).ends_with(" on"), "{} {} -> {}", flag, low, high);
            }
        }
    }

    #[test]
    fn off_for_everybody_is_off(user in ".{0,20}", fields in prop::collection::btree_map(".{0,6}", json_value(), 0..3)) {
        let mut fields: Map<String, Value> = fields.into_iter().collect();
        fields.insert("targetingKey".to_owned(), Value::from(user));
        let context = Context::new(fields).unwrap();
        for flag in ["ruled", "plain", "undefined"] {
            let answer = targeted().evaluate(&key(flag), &context, |_| Some(OFF_FOR_ALL), 0).unwrap();
            prop_assert_eq!((answer.variant, answer.value), (Some("off"), Some(&Value::Bool(false))));
        }
    }
}
