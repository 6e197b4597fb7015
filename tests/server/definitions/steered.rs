//! Flags that knightwatch steers: off for everybody comes first, then prerequisites, targeting, and the rollout.

use knightwatch_core::flag::{self, FlagKind, Variant, definition::Why};

use super::*;

fn steered(targeting: Value) -> Value {
    json!({
        "state": "ENABLED",
        "variants": { "on": "new", "off": "old", "vip": "gold" },
        "defaultVariant": "off",
        "targeting": targeting,
        "metadata": { "knightwatch.service": "checkout" }
    })
}

fn targeted() -> Definitions {
    let country = |country: &str| json!({ "==": [{ "var": "country" }, country] });
    let rule = json!({ "if": [country("NL"), "vip", country("DE"), "on", country("FR"), "off", null] });
    read(&with_flags(json!({ "f": steered(rule), "plain": steered(json!({})) }))).unwrap()
}

#[test]
fn what_targeting_leaves_open_is_the_rollouts() {
    let definitions = targeted();
    let ask = |country: &str, rollout| {
        said(&definitions, "f", json!({ "targetingKey": "u", "country": country }), |_| Some(at(rollout)))
    };
    for rollout in [0, 5_000, 10_000] {
        assert_eq!(ask("NL", rollout), "TARGETING_MATCH vip");
        assert_eq!(ask("DE", rollout), "TARGETING_MATCH on");
        assert_eq!(ask("FR", rollout), "TARGETING_MATCH off");
    }
    assert_eq!(ask("BE", 0), "STATIC off");
    assert_eq!(ask("BE", 10_000), "STATIC on");
    let bucket = flag::bucket(&key("f"), "u");
    assert_eq!(ask("BE", bucket), "SPLIT off");
    assert_eq!(ask("BE", bucket + 1), "SPLIT on");
}

#[test]
fn off_for_all_is_off_whatever_the_context_says() {
    let definitions = targeted();
    for fields in [json!({}), json!({ "country": "NL" }), json!({ "targetingKey": "u", "country": "DE" })] {
        let answer =
            definitions.evaluate(&key("f"), &context(fields.clone()), |_| Some(OFF_FOR_ALL), 0).unwrap();
        assert_eq!((answer.variant, answer.value), (Some("off"), Some(&json!("old"))), "{fields}");
        assert_eq!(answer.why, Some(Why::OffForAll));
        assert_eq!(said(&definitions, "f", fields, |_| None), "STATIC off", "not under control yet");
    }
}

#[test]
fn between_nobody_and_everybody_a_targeting_key_is_needed() {
    let definitions = targeted();
    for fields in [json!({}), json!({ "targetingKey": "" }), json!({ "targetingKey": null })] {
        assert_eq!(
            said(&definitions, "plain", fields.clone(), |_| Some(at(5_000))),
            "! TARGETING_KEY_MISSING"
        );
        assert_eq!(said(&definitions, "plain", fields.clone(), |_| Some(at(0))), "STATIC off");
        assert_eq!(said(&definitions, "plain", fields, |_| Some(at(10_000))), "STATIC on");
    }
    let Value::Object(number) = json!({ "targetingKey": 7 }) else { unreachable!() };
    assert_eq!(Context::new(number).unwrap_err().code(), "INVALID_CONTEXT");
}

#[test]
fn a_disabled_steered_flag_is_off() {
    let mut flag = steered(json!({ "if": [true, "on"] }));
    flag["state"] = json!("DISABLED");
    let definitions = read(&with_flags(json!({ "f": flag }))).unwrap();
    assert_eq!(said(&definitions, "f", json!({}), |_| Some(at(10_000))), "DISABLED off");
}

#[test]
fn a_flag_without_definition_is_true_or_false() {
    let definitions = Definitions::default();
    let answer = definitions.evaluate(&key("f"), &Context::default(), |_| Some(at(10_000)), 0).unwrap();
    assert_eq!((answer.variant, answer.value), (Some("on"), Some(&json!(true))));
    assert_eq!(said(&definitions, "f", json!({}), |_| Some(OFF_FOR_ALL)), "STATIC off");
    assert_eq!(said(&definitions, "f", json!({}), |_| Some(at(1))), "! TARGETING_KEY_MISSING");
    assert_eq!(said(&definitions, "f", json!({}), |_| None), "! FLAG_NOT_FOUND");
}

#[test]
fn prerequisites_hold_for_the_same_context_or_the_flag_is_off() {
    let mut needs = steered(json!({}));
    needs["metadata"]["knightwatch.prerequisites"] = json!("base=on, colour = red");
    let colour = json!({
        "state": "ENABLED", "variants": { "red": 1, "blue": 2 }, "defaultVariant": "blue",
        "targeting": { "if": [{ "==": [{ "var": "country" }, "NL"] }, "red", "blue"] }
    });
    let definitions =
        read(&with_flags(json!({ "f": needs, "base": steered(json!({})), "colour": colour }))).unwrap();
    let ask = |base: u16, country: &str| {
        let served = |flag: &FlagKey| Some(at(if flag.as_str() == "base" { base } else { 10_000 }));
        said(&definitions, "f", json!({ "targetingKey": "u", "country": country }), served)
    };
    assert_eq!(ask(10_000, "NL"), "STATIC on");
    assert_eq!(ask(0, "NL"), "TARGETING_MATCH off");
    assert_eq!(ask(10_000, "DE"), "TARGETING_MATCH off");
    let bucket = flag::bucket(&key("base"), "u");
    assert_eq!(
        (ask(bucket, "NL"), ask(bucket + 1, "NL")),
        ("TARGETING_MATCH off".into(), "STATIC on".into())
    );
    let answer = definitions
        .evaluate(&key("f"), &context(json!({ "country": "DE" })), |_| Some(at(10_000)), 0)
        .unwrap();
    assert_eq!(answer.why.unwrap().to_string(), "prerequisite colour does not hold");
    // A prerequisite that cannot be evaluated does not hold.
    let no_key = |flag: &FlagKey| Some(at(if flag.as_str() == "base" { 5_000 } else { 10_000 }));
    assert_eq!(said(&definitions, "f", json!({ "country": "NL" }), no_key), "TARGETING_MATCH off");
}

#[test]
fn kill_all_leaves_flags_alone_that_are_not_steered() {
    let colour = json!({ "state": "ENABLED", "variants": { "on": 1, "off": 2 }, "defaultVariant": "on" });
    let definitions = read(&with_flags(json!({ "colour": colour }))).unwrap();
    assert_eq!(said(&definitions, "colour", json!({}), |_| Some(OFF_FOR_ALL)), "STATIC on");
}

#[test]
fn a_rollout_in_the_file_gives_way_to_knightwatchs() {
    let country = json!({ "if": [{ "==": [{ "var": "country" }, "NL"] }, "vip"] });
    let rollout = json!({ "fractional": [["on", 1], ["off", 3]] });
    let both = json!({ "or": [country, rollout] });
    for targeting in [rollout.clone(), both, json!({ "or": ["off", country, rollout] })] {
        let definitions = read(&with_flags(json!({ "f": steered(targeting.clone()) }))).unwrap();
        let written = definitions.get(&key("f")).unwrap().steering().unwrap().written;
        assert_eq!(written, Some(Rollout::from_basis_points(2_500).unwrap()), "{targeting}");
        let everybody = |fields: Value| said(&definitions, "f", fields, |_| Some(at(10_000)));
        assert_eq!(everybody(json!({})), "STATIC on", "{targeting}");
        if targeting.get("or").is_some() {
            assert_eq!(everybody(json!({ "country": "NL" })), "TARGETING_MATCH vip");
        }
        assert!(definitions.notes().is_empty());
    }
    let reversed = json!({ "fractional": [["off", 3], ["on", 1]] });
    let definitions = read(&with_flags(json!({ "f": steered(reversed) }))).unwrap();
    assert_eq!(definitions.notes().len(), 1);
    let by = json!({ "fractional": [{ "var": "email" }, ["on", 1], ["off", 1]] });
    let errors = read(&with_flags(json!({ "f": steered(by) }))).unwrap_err().to_string();
    assert!(errors.contains("goes by its targeting key"), "{errors}");
}

#[test]
fn what_is_declared_is_the_engines_to_take() {
    let mut flag = steered(json!({}));
    flag["metadata"] = json!({ "knightwatch.service": "mailer", "knightwatch.kind": "jobs", "knightwatch.description": "sends\u{1b}[2J" });
    let definitions =
        read(&with_flags(json!({ "f": flag, "g": { "state": "ENABLED", "variants": { "a": 1 } } }))).unwrap();
    let spec = definitions.get(&key("f")).unwrap().spec().unwrap();
    assert_eq!(
        (spec.service.as_str(), spec.kind, spec.description.as_str()),
        ("mailer", FlagKind::Jobs, "sends[2J")
    );
    assert!(definitions.get(&key("g")).unwrap().spec().is_none());
}

#[test]
fn a_rollout_gives_the_same_people_as_the_plain_bucket() {
    let definitions = targeted();
    for n in 0..500 {
        let user = format!("user-{n}");
        let rollout = Rollout::from_basis_points(3_700).unwrap();
        let on = flag::evaluate(&key("plain"), rollout, false, &user) == Variant::On;
        let expected = if on { "SPLIT on" } else { "SPLIT off" };
        assert_eq!(
            said(&definitions, "plain", json!({ "targetingKey": user }), |_| Some(at(3_700))),
            expected
        );
    }
}
