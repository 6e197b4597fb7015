//! What is not a definition is refused with its place, and nothing of it is taken.

use super::*;

/// The one error of a file.
#[track_caller]
fn error(file: &str) -> String {
    let errors = read_text(file).unwrap_err();
    assert_eq!((errors.listed.len(), errors.more), (1, 0), "{errors}");
    errors.to_string()
}

/// The one error of a flag `f` that is on and off, changed in one key.
#[track_caller]
fn error_with(name: &str, value: Value) -> String {
    let mut flag = json!({ "state": "ENABLED", "variants": { "on": true, "off": false } });
    flag[name] = value;
    error(&with_flags(json!({ "f": flag })).to_string())
}

#[track_caller]
fn says(found: &str, words: &[&str]) {
    for word in words {
        assert!(found.contains(word), "{word:?} is not in {found:?}");
    }
}

#[test]
fn what_is_wrong_in_a_file_is_named_with_its_place() {
    for (file, words) in [
        ("", &["flags.json:1:0: ", "EOF"] as &[&str]),
        ("[]", &["flags.json: expected an object with flags, found an array of 0"]),
        ("{}", &["at /flags: this is missing"]),
        (r#"{"flags": []}"#, &["at /flags: expected an object, found an array of 0"]),
        (
            r#"{"flags": {}, "flagz": 1}"#,
            &["at /flagz: there is no such key; expected one of $schema, flags"],
        ),
        (r#"{"flags": {"a": {}, "a": {}}}"#, &["flags.json:1:", "at /flags/a: ", "twice"]),
        (r#"{"flags": {"bad key": {}}}"#, &["flag bad key, at /flags/bad key: ", "found ' ' at character 4"]),
        (r#"{"flags": {"a": 3}}"#, &["flag a, at /flags/a: expected an object, found the number 3"]),
        (
            r#"{"flags": {}, "metadata": {"a": [1]}}"#,
            &["at /metadata/a: expected a string, number or boolean"],
        ),
        (
            r#"{"flags": {}, "metadata": {"knightwatch.hash": "flagd-1"}}"#,
            &["expected \"flagd-2\"", "found \"flagd-1\""],
        ),
        (r#"{"flags": {}, "metadata": {"knightwatch.service": "x"}}"#, &["a set has no such setting"]),
        (
            r#"{"flags": {}, "$evaluators": {"e": {"equals": [1, 2]}}}"#,
            &["at /$evaluators/e/equals: there is no such operator"],
        ),
    ] {
        says(&error(file), words);
    }
}

#[test]
fn what_is_wrong_in_a_flag_is_named_with_its_place() {
    for (name, value, words) in [
        (
            "state",
            json!("ON"),
            &["at /flags/f/state: expected \"ENABLED\" or \"DISABLED\", found \"ON\""] as &[&str],
        ),
        ("comment", json!(""), &["at /flags/f/comment: there is no such key"]),
        ("variants", json!({}), &["at /flags/f/variants: expected an object with at least one variant"]),
        (
            "variants",
            json!({"a": 1, "b": "x"}),
            &["at /flags/f/variants/b: variants are of one type; expected a number, found \"x\""],
        ),
        (
            "variants",
            json!({"a": null}),
            &["at /flags/f/variants/a: expected a boolean, string, number or object"],
        ),
        ("variants", json!({"a": 9_007_199_254_740_992_u64}), &["2^53"]),
        ("variants", json!({"a\u{202e}b": true}), &["the name of a variant"]),
        (
            "defaultVariant",
            json!("maybe"),
            &["at /flags/f/defaultVariant: expected one of the variants off, on, or null, found \"maybe\""],
        ),
        ("metadata", json!({"owner": null}), &["at /flags/f/metadata/owner"]),
        ("targeting", json!("on"), &["at /flags/f/targeting: expected an object with one operator"]),
        (
            "targeting",
            json!({"if": [true, "onn", "off"]}),
            &["at /flags/f/targeting/if/1: expected one of the variants off, on, found \"onn\""],
        ),
        ("targeting", json!({"==": [1]}), &["at /flags/f/targeting/==: expected 2 arguments of ==, found 1"]),
        (
            "targeting",
            json!({"if": [{"eq": [1, 2]}, "on"]}),
            &["at /flags/f/targeting/if/0/eq: there is no such operator"],
        ),
        (
            "targeting",
            json!({"if": [{"==": [1, 2], "!=": [1, 2]}, "on"]}),
            &["expected an object with one operator, found 2 keys"],
        ),
        ("targeting", json!({"if": {"var": "x"}}), &["expected an array of arguments"]),
        (
            "targeting",
            json!({"if": [{"var": "$flagd.now"}, "on"]}),
            &["at /flags/f/targeting/if/0/var: expected $flagd.flagKey or $flagd.timestamp"],
        ),
        (
            "targeting",
            json!({"$ref": "nobody"}),
            &["at /flags/f/targeting/$ref: there is no \"nobody\" in $evaluators"],
        ),
        (
            "targeting",
            json!({"fractional": [["on", 0.5], ["off", 1]]}),
            &["at /flags/f/targeting/fractional/0/1: expected a weight"],
        ),
        ("targeting", json!({"fractional": [["on", -1], ["off", 1]]}), &["expected a weight"]),
        (
            "targeting",
            json!({"fractional": ["x", ["on", 1]]}),
            &["at /flags/f/targeting/fractional/0: expected a bucketing rule or [variant, weight]"],
        ),
        (
            "targeting",
            json!({"fractional": [["on", 2_147_483_647], ["off", 1]]}),
            &["together, found 2147483648"],
        ),
        (
            "targeting",
            json!({"fractional": [["blue", 1]]}),
            &["at /flags/f/targeting/fractional/0/0: expected one of the variants"],
        ),
        (
            "targeting",
            json!({"if": [{"sem_ver": [{"var": "v"}, "=>", "1.0.0"]}, "on"]}),
            &["expected = != <"],
        ),
        (
            "targeting",
            json!({"if": [{"sem_ver": [{"var": "v"}, "=", "1.0.0.0"]}, "on"]}),
            &["expected a semantic version"],
        ),
    ] {
        let found = error_with(name, value);
        says(&found, &["flags.json: flag f, "]);
        says(&found, words);
    }
}

#[test]
fn rules_are_bounded_in_depth_and_size_references_included() {
    let deep = |inner: Value| (0..40).fold(inner, |inner, _| json!({ "!": [inner] }));
    let flags = json!({ "f": { "state": "ENABLED", "variants": { "on": true },
        "targeting": { "if": [deep(json!({ "$ref": "e" })), "on"] } } });
    let file = json!({ "flags": flags, "$evaluators": { "e": deep(json!({ "var": "x" })) } });
    says(&error(&file.to_string()), &["at most 64 levels"]);
    // Thirty references, each to the next one twice: a thousand million values.
    let mut evaluators = json!({ "e30": { "var": "x" } });
    for n in 0..30 {
        let next = format!("e{}", n + 1);
        evaluators[format!("e{n}")] = json!({ "and": [{ "$ref": next }, { "$ref": next }] });
    }
    let flags = json!({ "f": { "state": "ENABLED", "variants": { "on": true }, "targeting": { "if": [{ "$ref": "e0" }, "on"] } } });
    says(
        &error(&json!({ "flags": flags, "$evaluators": evaluators }).to_string()),
        &["at most 10000 values"],
    );
    let circle = json!({ "flags": {}, "$evaluators": { "a": { "!": [{ "$ref": "b" }] }, "b": { "!": [{ "$ref": "a" }] } } });
    says(&error(&circle.to_string()), &["refers to itself"]);
}

#[test]
fn what_is_said_to_knightwatch_is_checked() {
    for (metadata, words) in [
        (json!({ "knightwatch.service": 3 }), &["expected a text, found the number 3"] as &[&str]),
        (json!({ "knightwatch.service": " " }), &["expected the name of a service"]),
        (json!({ "knightwatch.kind": "jobs" }), &["needs knightwatch.service too"]),
        (json!({ "knightwatch.service": "x", "knightwatch.kind": "cron" }), &["expected requests or jobs"]),
        (
            json!({ "knightwatch.servize": "x" }),
            &["at /flags/f/metadata/knightwatch.servize", "no such setting"],
        ),
        (json!({ "knightwatch.prerequisites": "g" }), &["expected flag=variant"]),
        (json!({ "knightwatch.prerequisites": "g=on" }), &["there is no flag g"]),
        (json!({ "knightwatch.prerequisites": "f=on" }), &["cannot need itself: f -> f"]),
    ] {
        says(&error_with("metadata", metadata), words);
    }
    let steered = |variants: Value, default: Value| {
        let metadata = json!({ "knightwatch.service": "shop" });
        let flag = json!({ "state": "ENABLED", "variants": variants, "defaultVariant": default, "metadata": metadata });
        error(&with_flags(json!({ "f": flag })).to_string())
    };
    says(&steered(json!({ "on": true, "no": false }), Value::Null), &["a steered flag has a variant off"]);
    says(&steered(json!({ "on": true, "off": false }), json!("on")), &["a steered flag falls back to off"]);
}

#[test]
fn prerequisites_form_no_circle_and_no_landslide() {
    let flag = |needs: String| {
        let mut flag =
            json!({ "state": "ENABLED", "variants": { "on": true, "off": false }, "defaultVariant": "on" });
        if !needs.is_empty() {
            flag["metadata"] = json!({ "knightwatch.prerequisites": needs });
        }
        flag
    };
    let circle =
        with_flags(json!({ "a": flag("b=on".into()), "b": flag("c=on".into()), "c": flag("a=on".into()) }));
    let errors = read(&circle).unwrap_err().to_string();
    says(&errors, &["a -> b -> c -> a"]);
    says(
        &error(&with_flags(json!({ "a": flag("b=blue".into()), "b": flag(String::new()) })).to_string()),
        &["no variant \"blue\""],
    );
    // Each needs the next one twice: 2^40 evaluations.
    let many: serde_json::Map<String, Value> = (0..40)
        .map(|n| {
            (format!("f{n}"), flag(if n == 39 { String::new() } else { format!("f{0}=on, f{0}=on", n + 1) }))
        })
        .collect();
    says(
        &read(&with_flags(many.into())).unwrap_err().to_string(),
        &["at most 64 flags to be evaluated for one"],
    );
    let chain: serde_json::Map<String, Value> = (0..5_000)
        .map(|n| (format!("f{n}"), flag(if n == 4_999 { String::new() } else { format!("f{}=on", n + 1) })))
        .collect();
    assert!(read(&with_flags(chain.into())).is_err());
}

#[test]
fn files_stand_or_fall_together() {
    let one = with_flags(json!({ "a": { "state": "ENABLED", "variants": { "x": 1 } } })).to_string();
    let file = |name, text: &'static str| SourceFile { name, bytes: text.as_bytes() };
    let first = SourceFile { name: "one.json", bytes: one.as_bytes() };
    let errors =
        Definitions::parse(&[first, SourceFile { name: "two.json", bytes: one.as_bytes() }]).unwrap_err();
    says(&errors.to_string(), &["two.json: flag a, at /flags/a: this flag is defined in one.json already"]);
    assert!(Definitions::parse(&[first, file("broken.json", "{")]).is_err());
    let both = Definitions::parse(&[first, file("empty.json", r#"{"flags": {}}"#)]).unwrap();
    assert_eq!(both.len(), 1);
    assert_ne!(both.digest(), Definitions::parse(&[first]).unwrap().digest());
}

#[test]
fn a_file_too_large_and_flags_too_many_are_refused() {
    let large = vec![b' '; 16 * 1024 * 1024 + 1];
    let errors = Definitions::parse(&[SourceFile { name: "large.json", bytes: &large }]).unwrap_err();
    says(&errors.to_string(), &["large.json: expected at most 16777216 bytes"]);
    let flag = json!({ "state": "ENABLED", "variants": { "x": 1 } });
    let many: serde_json::Map<String, Value> =
        (0..=20_000).map(|n| (format!("f{n}"), flag.clone())).collect();
    says(&error(&with_flags(many.into()).to_string()), &["expected at most 20000 flags"]);
    // What is wrong with each of a thousand flags is listed up to a point.
    let wrong: serde_json::Map<String, Value> = (0..1_000).map(|n| (format!("f{n}"), json!(n))).collect();
    let errors = read(&with_flags(wrong.into())).unwrap_err();
    assert_eq!((errors.listed.len(), errors.more), (50, 950));
    says(&errors.to_string(), &["and 950 more"]);
}
