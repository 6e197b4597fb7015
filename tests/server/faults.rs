//! The real process on a disk that is full, a journal that is locked and one that is none, and under a clock that jumps.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use knightwatch_core::control::Event;
use knightwatch_store as store;
use knightwatch_store::Journal;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::{
    http::{HttpResponse, once, owner, request},
    served::{PATIENCE, Served, until},
};

fn evaluated(served: &Served) -> HttpResponse {
    let context = r#"{"context":{"targetingKey":"u1"}}"#;
    request(served, "POST", "/ofrep/v1/evaluate/flags/power-peg", "", context)
}

fn ready(served: &Served) -> u16 {
    request(served, "GET", "/readyz", "", "").status
}

fn set(served: &Served, percent: u8) -> HttpResponse {
    owner(served, "POST", "/api/v1/flags/power-peg/set", &json!({"percent": percent}).to_string())
}

fn percent(served: &Served) -> Value {
    owner(served, "GET", "/api/v1/flags/power-peg", "").json()["percent"].clone()
}

/// No file of the backend's may grow beyond so many bytes; all may where it is `None`.
#[cfg(target_os = "linux")]
fn limit_files(served: &Served, bytes: Option<u64>) {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let limit = Rlimit { current: bytes, maximum: None };
    prlimit(Pid::from_raw(served.pid()), Resource::Fsize, limit).unwrap();
}

/// The journal on the disk, as somebody else reads it.
fn kills(served: &Served) -> usize {
    let journal = Journal::open_read_only(&served.journal()).unwrap();
    journal
        .load_all()
        .filter(|entry| matches!(entry.as_ref().unwrap().event, Event::KilledAll { .. }))
        .count()
}

/// A disk without room for the journal, and with or without room for the latch file, which is there already.
#[cfg(target_os = "linux")]
fn full_disk(bytes: u64, latch_fits: bool) {
    let mut served = Served::start(&["--speed", "60", "--policy", "rule"]);
    assert_eq!(set(&served, 3).status, 200);
    let acknowledged = owner(&served, "GET", "/api/v1/status", "").json()["seq"].as_u64().unwrap();
    limit_files(&served, Some(bytes));
    let refused = set(&served, 9);
    let problem = refused.json();
    assert_eq!((refused.status, &problem["type"]), (503, &json!("/problems/not-durable")), "{problem}");
    assert!(problem["detail"].as_str().unwrap().contains("journal.knightwatch"), "{problem}");
    assert_eq!(percent(&served), 3.0, "what was refused has not acted");
    assert_eq!(evaluated(&served).status, 200);
    until("it says that it is not ready", || ready(&served) == 503);
    // Time goes on: ticks are not held up by a disk that takes nothing.
    let at = |served: &Served| owner(served, "GET", "/api/v1/status", "").json()["now"].as_u64().unwrap();
    let now = at(&served);
    until("ticks go on", || at(&served) > now + 60_000);

    let killed = owner(&served, "POST", "/api/v1/kill-all", r#"{"reason":"a fire"}"#);
    let ack = killed.json();
    assert_eq!((killed.status, &ack["durable"]), (200, &json!(latch_fits)), "{ack}");
    let warnings = ack["warnings"].to_string();
    assert!(warnings.contains("NOT durable"), "the journal does not have it: {ack}");
    assert_eq!(warnings.contains("on the disk as the latch file"), latch_fits, "{ack}");
    let off = evaluated(&served).json();
    assert_eq!((&off["variant"], &off["value"]), (&json!("off"), &json!(false)), "{off}");
    assert_eq!(ready(&served), 503);
    assert_eq!(kills(&served), 0);

    if latch_fits {
        // It survives a kill at this point, although the journal knows nothing of it; there is room again at the start.
        served = served.killed_and_started_again();
    } else {
        limit_files(&served, None);
    }
    until("with room it is ready again by itself", || ready(&served) == 200);
    let status = owner(&served, "GET", "/api/v1/status", "").json();
    assert!(!status["latch"].is_null(), "{status}");
    assert_eq!(kills(&served), 1, "journalled once there is room");
    assert_eq!(evaluated(&served).json()["variant"], "off");
    assert_eq!(served.end("TERM").code(), Some(0));
    let report = store::verify(&served.journal()).unwrap();
    assert!(report.is_sound() && report.head.seq.0 > acknowledged, "{report}");
}

#[cfg(target_os = "linux")]
#[test]
fn on_a_full_disk_orders_are_refused_and_kill_all_is_in_force_as_the_latch_file() {
    full_disk(512, true);
}

#[cfg(target_os = "linux")]
#[test]
fn where_the_disk_takes_not_one_byte_kill_all_is_in_force_not_durable_and_journalled_when_there_is_room() {
    full_disk(0, false);
}

#[test]
fn a_journal_that_somebody_else_locks_holds_up_neither_evaluation_nor_kill_all() {
    let mut served = Served::start(&["--speed", "60", "--policy", "rule"]);
    assert_eq!(set(&served, 3).status, 200);
    let other = Connection::open(served.journal()).unwrap();
    other.busy_timeout(PATIENCE).unwrap();
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    // Applications go on to ask all the while, and every one of them is answered.
    let (url, token) = (served.url().to_owned(), served.token());
    let over = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&over);
    let application = thread::spawn(move || {
        let mut answers = 0_u32;
        while !ended.load(Ordering::Relaxed) {
            let path = "/ofrep/v1/evaluate/flags/power-peg";
            let answer = once(&url, &token, path, "x", r#"{"context":{"targetingKey":"u1"}}"#);
            assert!(answer.is_some(), "after {answers} answers");
            answers += 1;
        }
        answers
    });
    let refused = set(&served, 9);
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.json()["detail"].as_str().unwrap().contains("busy"), "{refused:?}");
    until("it says that it is not ready", || ready(&served) == 503);
    let killed = owner(&served, "POST", "/api/v1/kill-all", "");
    let ack = killed.json();
    assert_eq!((killed.status, &ack["durable"]), (200, &json!(true)), "{ack}");
    assert!(ack["warnings"].to_string().contains("latch file"), "{ack}");
    assert_eq!(evaluated(&served).json()["variant"], "off");
    // Only now: all of the above was answered under the lock.
    other.execute_batch("ROLLBACK").unwrap();
    until("without the lock it is ready again by itself", || ready(&served) == 200);
    over.store(true, Ordering::Relaxed);
    assert!(application.join().unwrap() > 1);
    assert_eq!(kills(&served), 1);
    drop(other);
    assert_eq!(served.end("TERM").code(), Some(0));
    let report = store::verify(&served.journal()).unwrap();
    assert!(report.is_sound(), "{report}");
}

#[test]
fn a_journal_that_is_cut_short_or_none_is_refused_and_left_as_it_is() {
    let mut served = Served::start(&["--speed", "3600"]);
    served.end("TERM");
    let path = served.journal();
    let whole = fs::read(&path).unwrap();
    let cut = |length: usize| whole[..length].to_vec();
    for (bytes, status, expected) in [
        (cut(whole.len() / 2), 1, "is damaged"),
        (cut(whole.len() - 4_096), 1, "is damaged"),
        (cut(100), 1, "is damaged"),
        (Vec::new(), 2, "is not a knightwatch session"),
        (b"a letter home, of some length\n".repeat(500), 2, "is not a knightwatch session"),
    ] {
        fs::write(&path, &bytes).unwrap();
        // Of the one before.
        for rest in ["-wal", "-shm"] {
            let _ = fs::remove_file(path.with_extension(format!("knightwatch{rest}")));
        }
        for arguments in [&["serve", "--listen", "127.0.0.1:0"][..], &["serve", "--check"]] {
            let refused = served.command(arguments).output().unwrap();
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            let length = bytes.len();
            assert_eq!(refused.status.code(), Some(status), "{length} bytes, {arguments:?}: {said}");
            assert!(
                said.contains("journal.knightwatch") && said.contains(expected),
                "{length} bytes: {said}"
            );
            assert!(fs::read(&path).unwrap() == bytes, "the file is kept");
        }
    }
}
