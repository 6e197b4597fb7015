//! A wall clock that jumps. Deadlines are controller time, which is a clock that only goes forward; a token's end alone is
//! the wall clock's.
//!
//! With `KNIGHTWATCH_FAKETIME` naming libfaketime the real process lives through jumps of an hour and of three days, both
//! ways; `.ci/everything` does that. Without, the same is asserted of a clock that does not jump.

use std::{fs, path::Path, process::Command, sync::Arc};

use serde_json::{Value, json};

use crate::support::{
    http::{once, owner, request},
    served::{Served, command, folder, until},
};

const SETTINGS: &str = "[telemetry]\nsource = \"push\"\nlateness = \"250 ms\"\n[control]\ninterval = \"1 s\"\n\
    [control.shield]\nstale_after = \"5 s\"\nlost_deadline = \"60 s\"\n";

/// What is added to the wall clock, in seconds, one after the other.
fn jumps() -> Vec<i64> {
    const DAY: i64 = 86_400;
    let faked = std::env::var_os("KNIGHTWATCH_FAKETIME").is_some();
    if faked { vec![3_600, 0, -3_600, 3 * DAY, -3 * DAY, 0] } else { vec![0] }
}

/// The wall clock of what is started with this is so far from the real one as the file says.
fn jumping(mut program: Command, file: &Path) -> Command {
    if let Some(library) = std::env::var_os("KNIGHTWATCH_FAKETIME") {
        program
            .env("LD_PRELOAD", library)
            .env("FAKETIME_TIMESTAMP_FILE", file)
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("DONT_FAKE_MONOTONIC", "1");
    }
    program
}

fn jump(file: &Path, seconds: i64) {
    // Replaced as a whole: it is read all the time.
    let fresh = file.with_extension("new");
    fs::write(&fresh, format!("{seconds:+}s\n")).unwrap();
    fs::rename(fresh, file).unwrap();
}

fn now(served: &Served) -> u64 {
    owner(served, "GET", "/api/v1/status", "").json()["now"].as_u64().unwrap()
}

fn flag(served: &Served) -> Value {
    owner(served, "GET", "/api/v1/flags/f", "").json()
}

fn start(folder: &Arc<tempfile::TempDir>, file: &Path) -> Served {
    let config = folder.path().join("config.toml");
    fs::write(&config, SETTINGS).unwrap();
    let program = jumping(command(folder.path()), file);
    Served::start_by(program, Arc::clone(folder), &["--policy", "rule", "--config", config.to_str().unwrap()])
}

#[test]
fn a_wall_clock_that_jumps_moves_no_deadline() {
    let folder = folder();
    let file = folder.path().join("offset");
    jump(&file, 0);
    let served = start(&folder, &file);
    assert_eq!(owner(&served, "POST", "/api/v1/flags", r#"{"key":"f","service":"shop"}"#).status, 200);
    assert_eq!(owner(&served, "POST", "/api/v1/flags/f/start", "").status, 200);
    let made =
        served.command(&["token", "create", "bot", "--scope", "viewer", "--expires", "30 min"]).output();
    let secret = String::from_utf8(made.unwrap().stdout).unwrap();
    let bearer = format!("Authorization: Bearer {}\r\n", secret.trim());
    let with_token = || request(&served, "GET", "/api/v1/status", &bearer, "").status;
    until("the token is known", || with_token() == 200);
    let mut first = None;
    for (place, seconds) in jumps().into_iter().enumerate() {
        let before = now(&served);
        let held = owner(&served, "POST", "/api/v1/flags/f/set", r#"{"percent":2,"expires_in":"3 s"}"#);
        assert_eq!(held.status, 200, "{held:?}");
        let held = flag(&served);
        let until_then = held["hold"]["until"].as_u64().unwrap_or_else(|| panic!("{held:#}"));
        assert!((before + 3_000..before + 60_000).contains(&until_then), "{before} {until_then}");
        jump(&file, seconds);
        // A token's end is a moment of the calendar, and the wall clock is what knows it.
        let worth = if seconds >= 1_800 { 401 } else { 200 };
        until("the token is worth what the calendar says", || with_token() == worth);
        assert!((before..before + 60_000).contains(&now(&served)), "controller time has jumped");
        // The override lasts as long as was said, not an hour less or more.
        until("the override ends", || {
            let over = flag(&served)["hold"].is_null();
            let at = now(&served);
            assert!(over || at < until_then + 60_000, "{at}: still held, until {until_then}");
            assert!(!over || at >= until_then, "{at}: held until {until_then} only");
            over
        });
        // The same order acts once.
        let body = r#"{"percent":1,"expires_in":"3 s"}"#;
        let answer = once(served.url(), &served.token(), "/api/v1/flags/f/set", "the-same", body).unwrap();
        let seq = answer.json()["seq"].as_u64().unwrap_or_else(|| panic!("{answer:?}"));
        assert_eq!(*first.get_or_insert(seq), seq, "{answer:?}");
        // Telemetry of senders whose clocks are right is neither late nor of the future, and what comes is fresh.
        let arm = |variant: &str, start: u64| {
            json!({"flag": "f", "variant": variant, "start": start, "span": 1, "requests": 100, "errors": 0,
                   "latency": [{"le_ms": 20, "count": 100}]})
        };
        let mut sequence = 1_000 * place as u64;
        until("it is no longer lost", || {
            let at = now(&served);
            let batch =
                json!({"sender": "web", "sequence": sequence, "samples": [arm("on", at), arm("off", at)]});
            sequence += 1;
            let taken = owner(&served, "POST", "/api/v1/telemetry", &batch.to_string()).json();
            // The interval may have been closed in between, on a busy machine.
            assert!(!taken.to_string().contains("skewed"), "{taken}");
            flag(&served)["verdict"] != "lost"
        });
    }
    // Started again with the clock an hour before what the journal knows: time does not go back.
    let before = now(&served);
    drop(served);
    jump(&file, -3_600);
    let served = start(&folder, &file);
    assert!(now(&served) >= before, "{before} {}", now(&served));
    assert_eq!(flag(&served)["key"], "f");
}
