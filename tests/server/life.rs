//! Shelving, changing, archiving, re-arming by two and the journal, over HTTP against the real process, across restarts.

use std::sync::Arc;

use knightwatch_store as store;
use knightwatch_store::Journal;
use serde_json::{Value, json};

use crate::support::{
    http::{HttpResponse, once, owner, request},
    served::Served,
};

fn still() -> Served {
    Served::start(&["--speed", "0", "--policy", "rule"])
}

fn created(served: &Served, key: &str) -> HttpResponse {
    let body = json!({"key": key, "service": "checkout"}).to_string();
    owner(served, "POST", "/api/v1/flags", &body)
}

fn evaluated(served: &Served, key: &str) -> HttpResponse {
    let body = json!({"context": {"targetingKey": "u1"}}).to_string();
    owner(served, "POST", &format!("/ofrep/v1/evaluate/flags/{key}"), &body)
}

fn run(served: &Served, arguments: &[&str]) -> (i32, String) {
    let output = served.command(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), text)
}

#[test]
fn a_flag_is_changed_with_its_etag_and_keeps_what_was_not_said() {
    let served = still();
    assert_eq!(created(&served, "fresh").status, 200);
    let fresh = "/api/v1/flags/fresh";
    let etag = |answer: &HttpResponse| {
        let line =
            answer.head.lines().find(|line| line.to_lowercase().starts_with("etag:")).unwrap().to_owned();
        line.split_once(' ').unwrap().1.to_owned()
    };
    let before = owner(&served, "GET", fresh, "");
    let patch = |etag: &str, body: &Value| {
        let headers = format!("Authorization: Bearer {}\r\nIf-Match: {etag}\r\n", served.token());
        request(&served, "PATCH", fresh, &headers, &body.to_string())
    };
    let wanted = json!({"description": "for whom", "deployment": {"service": "checkout"}});
    let seen = etag(&before);
    assert_eq!(patch(&seen, &wanted).status, 200);
    let stale = patch(&seen, &json!({"ladder": [5.0, 99.0, 100.0]}));
    assert_eq!(stale.status, 412, "{stale:?}");
    let after = owner(&served, "GET", fresh, "");
    assert_eq!(after.json()["description"], "for whom");
    assert_eq!(after.json()["ladder"], before.json()["ladder"]);
    let start = owner(&served, "POST", "/api/v1/flags/fresh/start", "");
    assert!(start.json()["warnings"][0].as_str().unwrap().contains("is deployed, not before"), "{start:?}");
    owner(&served, "POST", "/api/v1/flags/fresh/rollback", "");
    assert_eq!(patch("*", &json!({"deployment": null})).status, 200);
    for wrong in [json!({"key": "other"}), json!({"ladder": [50.0, 5.0]}), json!({"ladder": []})] {
        assert_eq!(patch("*", &wrong).status, 400, "{wrong}");
    }
    assert_eq!(patch("*", &json!({})).status, 409, "it would change nothing");
    let (code, said) = run(&served, &["change", "fresh", "--ladder", "1,5,25,99,100"]);
    assert!(code == 0 && said.contains("ladder 1 %, 5 %, 25 %, 99 %, 100 %"), "{said}");
    let (code, said) = run(&served, &["change", "fresh", "--ladder", "1,x"]);
    assert!(code == 2 && said.contains("expected a percentage"), "{said}");
}

#[test]
fn an_archived_flag_is_gone_and_its_key_is_used_up_across_restarts() {
    let mut served = still();
    assert_eq!(created(&served, "done").status, 200);
    assert_eq!(owner(&served, "POST", "/api/v1/flags/done/promote", "").status, 200);
    assert_eq!(evaluated(&served, "done").json()["value"], true);
    let (code, said) = run(&served, &["archive", "done"]);
    assert!(code == 2 && said.contains("needs --yes"), "{said}");
    let (code, said) = run(&served, &["archive", "done", "--yes"]);
    assert!(code == 0 && said.contains("get the default in their own code instead of on"), "{said}");
    for again in 0..2 {
        let found = evaluated(&served, "done");
        assert_eq!((found.status, found.json()["errorCode"].as_str()), (404, Some("FLAG_NOT_FOUND")));
        let keys = |path: &str| -> Vec<String> {
            let page = owner(&served, "GET", path, "").json();
            let flags = page["flags"].as_array().unwrap().clone();
            flags.iter().map(|flag| flag["key"].as_str().unwrap().to_owned()).collect()
        };
        assert!(!keys("/api/v1/flags").contains(&"done".to_owned()));
        assert_eq!(keys("/api/v1/flags?archived=true"), ["done"]);
        let metrics = owner(&served, "GET", "/metrics", "").body;
        assert!(metrics.contains("{flag=\"power-peg\"") && !metrics.contains("{flag=\"done\""), "{metrics}");
        let used = created(&served, "done");
        assert_eq!(used.status, 409);
        assert!(used.json()["detail"].as_str().unwrap().contains("keys are never reused"), "{used:?}");
        let started = owner(&served, "POST", "/api/v1/flags/done/start", "");
        assert_eq!((started.status, started.json()["type"].as_str()), (410, Some("/problems/archived")));
        let (_, status) = run(&served, &["status"]);
        assert!(status.contains("power-peg ") && !status.contains("done "), "{status}");
        if again == 0 {
            served = served.killed_and_started_again();
        }
    }
    let entries = owner(&served, "GET", "/api/v1/journal?flag=done", "").json();
    let kinds: Vec<&str> = entries["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["event"]["event"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["created", "promoted", "archived"], "its journal stays");
}

#[test]
fn an_idempotency_key_is_of_one_command_across_restarts() {
    let served = still();
    let give = |served: &Served, path: &str| {
        once(served.url(), &served.token(), path, "mine", "{}").expect("an answer")
    };
    let first = give(&served, "/api/v1/flags/power-peg/start");
    assert_eq!(first.status, 200);
    let served = served.killed_and_started_again();
    let other = give(&served, "/api/v1/flags/power-peg/rollback");
    assert_eq!((other.status, other.json()["type"].as_str()), (409, Some("/problems/idempotency-key-used")));
    assert_eq!(give(&served, "/api/v1/flags/power-peg/start").body, first.body);
    let killed = give(&served, "/api/v1/kill-all");
    assert_eq!((killed.status, killed.json()["durable"].as_bool()), (200, Some(true)), "{killed:?}");
    assert!(!owner(&served, "GET", "/api/v1/status", "").json()["latch"].is_null());
}

#[test]
fn re_arming_by_two_takes_two_who_authenticated() {
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let config = folder.path().join("two.toml");
    std::fs::write(&config, "[control.rearm]\ntwo_people = true\n").unwrap();
    let config = config.to_str().unwrap().to_owned();
    // Made before the backend starts: it knows him from the beginning.
    let made = std::process::Command::new(env!("CARGO_BIN_EXE_knightwatch"))
        .args(["token", "create", "bob", "--scope", "admin", "--expires", "1 h"])
        .env("KNIGHTWATCH_STATE", folder.path())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let bob = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let served = Served::start_in(folder, &["--speed", "0", "--policy", "rule", "--config", &config]);
    let body = json!({"environment": "test", "reason": "over"}).to_string();
    let rearm = |served: &Served, token: &str, claims: &str| {
        let headers = format!("Authorization: Bearer {token}\r\nKnightwatch-Claims: {claims}\r\n");
        request(served, "POST", "/api/v1/rearm", &headers, &body)
    };
    assert_eq!(owner(&served, "POST", "/api/v1/kill-all", "").status, 200);
    let asked = rearm(&served, &served.token(), "ana");
    assert_eq!(asked.status, 200, "{asked:?}");
    assert!(asked.json()["warnings"][0].as_str().unwrap().contains("kill-all stays in force"), "{asked:?}");
    // It holds across a restart, and is shown.
    let served = served.killed_and_started_again();
    let status = owner(&served, "GET", "/api/v1/status", "").json();
    assert_eq!(status["latch"]["asked"]["by"], "tester");
    let (_, said) = run(&served, &["status"]);
    assert!(said.contains("re-arming requested by tester"), "{said}");
    // The socket is the same person's, whatever it is called there.
    let socket = format!("unix:{}", served.socket().display());
    let (code, said) = run(&served, &["--connect", &socket, "rearm", "--env", "test", "--reason", "over"]);
    assert!(code == 1 && said.contains("tester requested it at"), "{said}");
    let same = rearm(&served, &served.token(), "somebody else");
    assert_eq!((same.status, same.json()["type"].as_str()), (409, Some("/problems/needs-another-person")));
    assert!(same.json()["detail"].as_str().unwrap().contains("tester requested it at"), "{same:?}");
    assert_eq!(rearm(&served, &bob, "tester").status, 200);
    assert!(owner(&served, "GET", "/api/v1/status", "").json()["latch"].is_null());
}

#[test]
fn shelving_is_bounded_and_counted() {
    let served = still();
    let (code, said) = run(&served, &["shelve", "77", "--for", "1 h", "--reason", "known"]);
    assert!(code == 1 && said.contains("there is no alarm 77"), "{said}");
    let missing = owner(&served, "POST", "/api/v1/alarms/1/shelve", "{}");
    assert_eq!(missing.status, 400, "{missing:?}");
    let shelved = || owner(&served, "GET", "/api/v1/status", "").json()["shelved"].clone();
    assert_eq!(shelved(), 0);
    // A deployment that is taken back while a flag is on calls a person.
    assert_eq!(owner(&served, "POST", "/api/v1/flags/power-peg/set", r#"{"percent":25}"#).status, 200);
    let service = owner(&served, "GET", "/api/v1/flags/power-peg", "").json()["service"].clone();
    let taken_back = json!({
        "context": {"id": "1", "source": "/ci", "type": "dev.cdevents.service.rolledback.0.2.0"},
        "subject": {"id": service},
    });
    assert_eq!(owner(&served, "POST", "/api/v1/deployments", &taken_back.to_string()).status, 200);
    let alarm = || owner(&served, "GET", "/api/v1/alarms", "").json()["alarms"][0].clone();
    let number = alarm()["id"].to_string();
    for (lasts, reason, why) in
        [("9 h", "known", "1 min to 8 h"), ("59 s", "known", "1 min to 8 h"), ("1 h", "", "reason")]
    {
        let (code, said) = run(&served, &["shelve", &number, "--for", lasts, "--reason", reason]);
        assert!(code != 0 && said.contains(why), "{lasts} {reason:?}: {said}");
    }
    assert!(shelved() == 0 && alarm()["shelf"].is_null());
    let (code, said) = run(&served, &["shelve", &number, "--for", "1 h", "--reason", "known"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!((shelved(), &alarm()["shelf"]["why"]), (json!(1), &json!("known")), "it stays counted");
}

#[test]
fn the_journal_is_filtered_exported_and_verified_over_http() {
    let served = still();
    for verb in ["start", "pause", "resume", "rollback"] {
        assert_eq!(owner(&served, "POST", &format!("/api/v1/flags/power-peg/{verb}"), "").status, 200);
    }
    let entries = |query: &str| -> Vec<Value> {
        let page = owner(&served, "GET", &format!("/api/v1/journal?{query}"), "").json();
        page["entries"].as_array().unwrap().clone()
    };
    assert_eq!(entries("flag=power-peg&kind=pause").len(), 1);
    let two = entries("flag=power-peg&limit=2");
    assert!(two[0]["event"]["event"] == "resumed" && two[1]["event"]["event"] == "rolled_back", "{two:?}");
    assert!(entries("kind=kill-all").is_empty() && entries("actor=agent").is_empty());
    let wrong = owner(&served, "GET", "/api/v1/journal?kind=nonsense", "");
    assert!(
        wrong.status == 400 && wrong.json()["detail"].as_str().unwrap().contains("expected one of session")
    );
    assert_eq!(owner(&served, "GET", "/api/v1/journal?flag=no%20key", "").status, 400);

    let (code, exported) = run(&served, &["audit", "export"]);
    assert_eq!(code, 0, "{exported}");
    let mut own = Vec::new();
    let journal = Journal::open_read_only(&served.journal()).unwrap();
    store::export(&journal, store::ExportFormat::JsonLines, &mut own).unwrap();
    assert_eq!(exported.as_bytes(), own, "the same bytes as of the file");

    let verified = owner(&served, "GET", "/api/v1/journal/verify", "").json();
    assert_eq!(verified["sound"], true, "{verified}");
    let head = verified["head"].as_str().unwrap();
    let (code, said) = run(&served, &["audit", "verify", "--head", head]);
    assert!(code == 0 && said.contains("is in it"), "{said}");
    let other = format!("1:{}", "0".repeat(64));
    let against = owner(&served, "GET", &format!("/api/v1/journal/verify?head={other}"), "").json();
    assert_eq!(against["sound"], false, "{against}");
    assert_eq!(owner(&served, "GET", "/api/v1/journal/verify?head=x", "").status, 400);
    let (code, said) = run(&served, &["audit", "show", "--flag", "power-peg", "--last", "1"]);
    assert!(code == 0 && said.contains("rolled back") && said.lines().count() == 1, "{said}");
}
