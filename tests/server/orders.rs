//! Each row of the table of orders is reachable by HTTP, is in the description of the API, and is a verb of the command line.

use std::collections::BTreeSet;

use knightwatch_core::control::{Argument, HttpMethod, ORDERS, OrderTarget};

use crate::support::{
    http::{owner, request},
    served::Served,
};

/// The path of a row, for a flag or an alarm that a request may name.
fn path(path: &str) -> String {
    path.replace("{key}", "power-peg").replace("{id}", "1")
}

/// What each order needs, written down apart from the table that makes the routes.
const SCOPES: [(&str, &str); 15] = [
    ("start", "operator"),
    ("pause", "operator"),
    ("resume", "operator"),
    ("roll_back", "operator"),
    ("set", "operator"),
    ("promote", "operator"),
    ("release", "operator"),
    ("kill_all", "operator"),
    ("rearm", "admin"),
    ("create", "admin"),
    ("change", "admin"),
    ("archive", "admin"),
    ("acknowledge", "operator"),
    ("shelve", "operator"),
    ("acknowledge_briefing", "operator"),
];

#[test]
fn each_order_needs_the_scope_that_was_agreed() {
    let mut found: Vec<(&str, &str)> = ORDERS.iter().map(|spec| (spec.name, spec.scope.as_str())).collect();
    let mut agreed = SCOPES.to_vec();
    found.sort_unstable();
    agreed.sort_unstable();
    assert_eq!(found, agreed);
}

#[test]
fn each_order_is_reachable_by_http_and_asks_for_its_scope() {
    let served = Served::start(&["--speed", "0"]);
    for spec in ORDERS {
        let wrong = if spec.method == HttpMethod::Post { "DELETE" } else { "PUT" };
        assert_eq!(owner(&served, wrong, &path(spec.path), "").status, 405, "{}: {wrong}", spec.name);
        // Loopback without a token reads, and orders nothing.
        let refused = request(&served, spec.method.as_str(), &path(spec.path), "", "");
        assert_eq!(refused.status, 401, "{}: {refused:?}", spec.name);
        let viewer = viewer(&served);
        let header = format!("Authorization: Bearer {viewer}\r\n");
        let refused = request(&served, spec.method.as_str(), &path(spec.path), &header, "");
        let needed = format!("needs the scope {}", spec.scope.as_str());
        assert!(refused.status == 403 && refused.body.contains(&needed), "{}: {refused:?}", spec.name);
        // Whoever may is answered about the order itself: a field that no order has is named.
        if !spec.stops {
            let unknown =
                owner(&served, spec.method.as_str(), &path(spec.path), r#"{"reason":"x","nonsense":1}"#);
            let named = unknown.body.contains("nonsense") || unknown.body.contains("missing field");
            assert!(unknown.status == 400 && named, "{}: {unknown:?}", spec.name);
        }
    }
}

/// The secret of a token that may only read.
fn viewer(served: &Served) -> String {
    let made = served.command(&["token", "create", "reader", "--scope", "viewer"]).output().unwrap();
    let secret = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let header = format!("Authorization: Bearer {secret}\r\n");
    let begun = std::time::Instant::now();
    while request(served, "GET", "/api/v1/status", &header, "").status == 401 {
        assert!(begun.elapsed() < std::time::Duration::from_secs(30), "the token is taken by itself");
    }
    secret
}

#[test]
fn each_order_is_an_operation_of_the_description() {
    let served = Served::start(&["--speed", "0"]);
    let api = request(&served, "GET", "/openapi.json", "", "").json();
    let mut operations = BTreeSet::new();
    for spec in ORDERS {
        let operation = &api["paths"][spec.path][spec.method.as_str().to_ascii_lowercase()];
        assert_eq!(operation["operationId"], spec.name);
        assert_eq!(operation["summary"], spec.sentence, "{}", spec.name);
        assert_eq!(operation["security"][0]["bearer"][0], spec.scope.as_str(), "{}", spec.name);
        assert_eq!(operation["requestBody"]["required"], !spec.body_is_optional(), "{}", spec.name);
        let schema = &api["components"]["schemas"][spec.body.0]["properties"];
        let described: BTreeSet<&str> = schema.as_object().unwrap().keys().map(String::as_str).collect();
        let taken = spec.parameters.iter().map(|parameter| parameter.name).chain(["reason"]).collect();
        assert_eq!(described, taken, "{}", spec.name);
        let placeholder = spec.target.placeholder();
        let first = &operation["parameters"][0];
        assert_eq!(
            (first["in"] == "path").then(|| first["name"].as_str().unwrap()),
            placeholder,
            "{}",
            spec.name
        );
        assert!(operations.insert((spec.path, spec.method.as_str())), "{} has a route of its own", spec.name);
    }
    let paths = api["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap());
    let ids: Vec<_> = paths.filter_map(|(_, operation)| operation["operationId"].as_str()).collect();
    for spec in ORDERS {
        let same = ids.iter().filter(|id| **id == spec.name).count();
        assert_eq!(same, 1, "{}: an id of its own", spec.name);
    }
}

#[test]
fn each_order_is_a_verb_with_its_parameters() {
    let served = Served::start(&["--speed", "0"]);
    let verbs: BTreeSet<&str> = ORDERS.iter().map(|spec| spec.verb).collect();
    assert_eq!(verbs.len(), ORDERS.len());
    for spec in ORDERS {
        let output = served.command(&[spec.verb, "--help"]).env("COLUMNS", "200").output().unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && help.starts_with(spec.sentence), "{}: {help}", spec.verb);
        for parameter in spec.parameters {
            let argument = match parameter.argument {
                Argument::Positional(value) => format!("<{value}>"),
                Argument::Option { name, .. } => format!("--{name}"),
            };
            assert!(help.contains(&argument), "{}: {argument} in {help}", spec.verb);
        }
        let target = match spec.target {
            OrderTarget::Flag => "<FLAG>",
            OrderTarget::Alarm => "<ALARM>",
            OrderTarget::Backend | OrderTarget::Briefing => "--reason",
        };
        assert!(help.contains(target), "{}: {help}", spec.verb);
    }
}

#[test]
fn a_flag_is_made_and_the_briefing_acknowledged_from_the_command_line() {
    let served = Served::start(&["--speed", "0"]);
    let run = |arguments: &[&str]| {
        let output = served.command(arguments).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    let made =
        ["create", "dark-mode", "--service", "web", "--ladder", "5,50,99,100", "--reason", "asked for"];
    let (code, said) = run(&made);
    assert!(code == Some(0) && said.contains("dark-mode created in web"), "{said}");
    let flag = owner(&served, "GET", "/api/v1/flags/dark-mode", "").json();
    assert_eq!(flag["ladder"], serde_json::json!([5.0, 50.0, 99.0, 100.0]));
    let (code, said) = run(&["create", "dark mode", "--service", "web"]);
    assert!(code == Some(2) && said.contains("a flag key has ASCII letters"), "{said}");
    let (code, said) = run(&["create", "light-mode"]);
    assert!(code == Some(2) && said.contains("--service"), "{said}");
    let (code, said) = run(&["acknowledge-briefing"]);
    assert!(code == Some(0) && said.contains("acknowledged"), "{said}");
}
