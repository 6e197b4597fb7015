//! What is acknowledged is kept: under SIGKILL at any point, under the latch file, in one process at a time.

use std::{
    collections::BTreeMap,
    fs,
    sync::{Arc, Mutex},
    thread,
};

use knightwatch_core::control::{Actor, Command, Event, Order, OrderId};
use knightwatch_engine::backend::{OrderError, Pending};
use knightwatch_store as store;
use knightwatch_store::Journal;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use serde_json::json;

use crate::support::{
    http::{once, owner},
    served::Served,
};

/// How often the backend is killed; more of it in the long run of `.ci/everything`.
fn kills() -> u32 {
    std::env::var("KNIGHTWATCH_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(10)
}

fn wait<T>(pending: Pending<T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(pending)
}

fn order(id: &str, command: Command) -> Order {
    Order {
        id: OrderId(id.to_owned()),
        actor: Actor::Person("tester".to_owned()),
        authenticated: None,
        reason: "a test".to_owned(),
        expected: None,
        command,
    }
}

/// Flags that are steered meanwhile.
const FLAGS: [&str; 2] = ["new-checkout-ui", "power-peg"];

/// What was acknowledged: order, flag, number and sentence.
type ToldOrder = (String, &'static str, u64, String);

/// A little more or less each time.
fn body(number: u64) -> String {
    format!(r#"{{"percent":1.0{}}}"#, number % 3)
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed_at_any_point() {
    let mut chance = Pcg64::seed_from_u64(4);
    // Each start lives through all simulated time again: faster, and hundreds of rounds would take ever longer.
    // Thousands of orders a second are more than the caps on raises in a minute let through, and caps are not the question.
    let folder = Arc::new(tempfile::tempdir().unwrap());
    let config = folder.path().join("caps.toml");
    std::fs::write(&config, "[control.shield.exposure]\nper_service = 1e9\nfleet = 1e9\n").unwrap();
    let arguments = ["--speed", "6", "--policy", "rule", "--config", config.to_str().unwrap()];
    let mut served = Served::start_in(Arc::clone(&folder), &arguments);
    let (mut known, mut latched): (Vec<ToldOrder>, u32) = (Vec::new(), 0);
    for round in 0..kills() {
        let told: Arc<Mutex<Vec<ToldOrder>>> = Arc::default();
        let givers: Vec<_> = FLAGS
            .into_iter()
            .map(|flag| {
                let (told, url, token) = (Arc::clone(&told), served.url().to_owned(), served.token());
                thread::spawn(move || {
                    for number in 0.. {
                        let id = format!("{round}-{flag}-{number}");
                        let body = body(number);
                        let path = format!("/api/v1/flags/{flag}/set");
                        // One that is not answered may or may not have acted: nothing is claimed of it.
                        let Some(answer) = once(&url, &token, &path, &id, &body) else { return };
                        if answer.status == 409 && answer.body.contains("kill-all") {
                            return;
                        }
                        assert_eq!(answer.status, 200, "{answer:?}");
                        let ack = answer.json();
                        assert_eq!(ack["durable"], true, "{ack}");
                        let sentence = ack["done"].as_array().unwrap().last().unwrap().as_str().unwrap();
                        told.lock().unwrap().push((
                            id,
                            flag,
                            ack["seq"].as_u64().unwrap(),
                            sentence.to_owned(),
                        ));
                    }
                })
            })
            .collect();
        let wanted = 20 + chance.random_range(0..20);
        while told.lock().unwrap().len() < wanted {
            assert!(givers.iter().all(|giver| !giver.is_finished()), "who gives orders has failed");
            thread::yield_now();
        }
        // In every fourth round everything is killed in the same moment, and it is not known who is first.
        let everything = (round % 4 == 3).then(|| {
            let (url, token, id) = (served.url().to_owned(), served.token(), format!("{round}-all"));
            thread::spawn(move || once(&url, &token, "/api/v1/kill-all", &id, "{}"))
        });
        // Every other time it has answered before.
        let answers = round % 8 == 3;
        let mut left = chance.random_range(0..200);
        while if answers { everything.as_ref().is_some_and(|asked| !asked.is_finished()) } else { left > 0 } {
            left -= i32::from(!answers);
            thread::yield_now();
        }
        served.end("KILL");
        let killed = everything.and_then(|asked| asked.join().unwrap()).map(|answer| answer.json());
        for giver in givers {
            giver.join().unwrap();
        }
        known.append(&mut told.lock().unwrap());
        let report = store::verify(&served.journal()).unwrap();
        assert!(report.is_sound(), "{report}");
        served = served.killed_and_started_again();
        let journal = Journal::open_read_only(&served.journal()).unwrap();
        let kept: BTreeMap<u64, String> = journal
            .load_all()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.seq.0, entry.sentence))
            .collect();
        for (id, _, seq, sentence) in &known {
            assert_eq!(kept.get(seq), Some(sentence), "{id} was acknowledged");
        }
        let latch = owner(&served, "GET", "/api/v1/status", "").json()["latch"].clone();
        if let Some(ack) = killed {
            assert_eq!(ack["durable"], true, "{ack}");
            assert!(!latch.is_null(), "acknowledged, and not in force after the restart: {ack}");
            latched += 1;
        }
        if !latch.is_null() {
            let rearmed =
                owner(&served, "POST", "/api/v1/rearm", r#"{"environment":"test","reason":"over"}"#);
            assert_eq!(rearmed.status, 200, "{rearmed:?}");
            for flag in FLAGS {
                assert_eq!(owner(&served, "POST", &format!("/api/v1/flags/{flag}/start"), "").status, 200);
            }
        }
        // The same order acts once, across restarts.
        let (id, flag, seq, _) = &known[chance.random_range(0..known.len())];
        let path = format!("/api/v1/flags/{flag}/set");
        let number: u64 = id.rsplit('-').next().unwrap().parse().unwrap();
        let again = once(served.url(), &served.token(), &path, id, &body(number)).unwrap();
        assert_eq!(again.json()["seq"].as_u64(), Some(*seq), "{again:?}");
    }
    assert!(known.len() >= 20 * kills() as usize, "{} acknowledged", known.len());
    assert!(latched >= kills().div_ceil(8).saturating_sub(1), "{latched} kill-alls were acknowledged");
}

#[test]
fn kill_all_holds_across_kills_until_a_person_rearms_and_rearming_starts_nothing() {
    let mut served = Served::start(&["--speed", "3600", "--policy", "rule"]);
    let killed = owner(&served, "POST", "/api/v1/kill-all", r#"{"reason":"a test"}"#);
    assert_eq!(killed.status, 200, "{killed:?}");
    let ack = killed.json();
    assert_eq!((ack["durable"].as_bool(), &ack["flags_off"]), (Some(true), &json!({ "off": 16, "of": 16 })));
    for _ in 0..2 {
        served = served.killed_and_started_again();
        let status = owner(&served, "GET", "/api/v1/status", "").json();
        assert_eq!(status["latch"]["seq"], ack["seq"], "{status}");
        assert_eq!(status["phases"]["killed"], 16);
        let refused = owner(&served, "POST", "/api/v1/flags/power-peg/start", "");
        assert_eq!(refused.status, 409, "{refused:?}");
    }
    let backend = served.backend();
    let after = wait(backend.entries(None, usize::MAX)).unwrap();
    let raised =
        after.iter().any(|entry| entry.seq.0 > ack["seq"].as_u64().unwrap() && entry.event.is_raise());
    assert!(!raised, "nothing is raised under the latch");
    let wrong = owner(&served, "POST", "/api/v1/rearm", r#"{"environment":"prod","reason":"x"}"#);
    assert_eq!(wrong.status, 409, "{wrong:?}");
    // Time stands still from here on: the scenario's people would start flags again.
    assert_eq!(owner(&served, "PUT", "/api/v1/simulation/speed", r#"{"speed":0}"#).status, 200);
    let rearmed = owner(&served, "POST", "/api/v1/rearm", r#"{"environment":"test","reason":"over"}"#);
    assert_eq!(rearmed.status, 200, "{rearmed:?}");
    let status = owner(&served, "GET", "/api/v1/status", "").json();
    assert_eq!(status["phases"]["killed"], 16, "re-arming starts nothing");
    served = served.killed_and_started_again();
    let status = owner(&served, "GET", "/api/v1/status", "").json();
    assert_eq!(status["latch"], serde_json::Value::Null, "the latch file was opened too");
}

#[test]
fn a_latch_file_that_a_root_shell_sets_is_in_force_at_the_next_start_and_journalled() {
    let mut served = Served::start(&["--speed", "0", "--policy", "rule"]);
    served.end("KILL");
    fs::write(served.folder().join("backend/latch"), "set\n").unwrap();
    let served = served.killed_and_started_again();
    let status = owner(&served, "GET", "/api/v1/status", "").json();
    assert!(status["latch"]["by"].as_str().unwrap().contains("by hand"), "{status}");
    let entries = wait(served.backend().entries(None, 1)).unwrap();
    assert!(matches!(entries[0].event, Event::KilledAll { .. }), "{entries:?}");
}

#[test]
fn a_second_backend_on_the_same_state_says_who_has_it_and_goes() {
    let served = Served::start(&["--speed", "0"]);
    let second = served.command(&["serve", "--listen", "127.0.0.1:0"]).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let text = String::from_utf8_lossy(&second.stderr);
    assert!(
        text.contains("in use by another knightwatch") && text.contains(&served.pid().to_string()),
        "{text}"
    );
    assert_eq!(owner(&served, "GET", "/api/v1/status", "").status, 200, "the first one goes on");
}

#[test]
fn a_term_signal_ends_it_in_order_and_the_next_start_resumes_exactly_there() {
    let mut served = Served::start(&["--speed", "3600", "--policy", "rule"]);
    let before = loop {
        let status = owner(&served, "GET", "/api/v1/status", "").json();
        if status["seq"].as_u64().unwrap() > 40 {
            break status;
        }
    };
    assert_eq!(served.end("TERM").code(), Some(0));
    assert!(!served.socket().exists(), "its socket is gone");
    let report = store::verify(&served.journal()).unwrap();
    assert_eq!(report.recorded, Some(report.head), "the journal was closed: {report}");
    let again = Served::start_in(served.shared(), &["--speed", "0"]);
    let status = owner(&again, "GET", "/api/v1/status", "").json();
    assert!(status["seq"].as_u64() >= before["seq"].as_u64(), "{before} {status}");
    assert_eq!(status["policy"], "rule", "who steered goes on steering");
    // That it goes on is an entry of its own.
    assert_eq!(status["seq"].as_u64(), Some(report.head.seq.0 + 1));
}

#[test]
fn a_damaged_journal_is_refused_and_left_as_it_is() {
    let mut served = Served::start(&["--speed", "3600"]);
    served.end("TERM");
    let path = served.journal();
    let mut bytes = fs::read(&path).unwrap();
    // All but the first page: which one holds what differs, and what telemetry says is not looked at here.
    bytes[4_096..].fill(0xa5);
    fs::write(&path, &bytes).unwrap();
    let refused = served.command(&["serve", "--listen", "127.0.0.1:0"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("journal.knightwatch"), "{refused:?}");
    assert_eq!(fs::read(&path).unwrap(), bytes, "the file is kept");
}

#[test]
fn what_was_backed_up_comes_back() {
    let mut served = Served::start(&["--speed", "0", "--policy", "rule"]);
    let run = |served: &Served, arguments: &[&str]| {
        let output = served.command(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    let copy = served.folder().join("copy");
    let copy = copy.to_str().unwrap();
    run(&served, &["start", "power-peg"]);
    run(&served, &["backup", copy]);
    run(&served, &["start", "gift-wrapping"]);
    let busy = served.command(&["restore", copy]).output().unwrap();
    assert_eq!(busy.status.code(), Some(1), "not under a running backend: {busy:?}");
    served.end("TERM");
    run(&served, &["restore", copy]);
    let served = served.killed_and_started_again();
    let phase =
        |key: &str| owner(&served, "GET", &format!("/api/v1/flags/{key}"), "").json()["phase"].clone();
    assert_eq!(
        (phase("power-peg").as_str(), phase("gift-wrapping").as_str()),
        (Some("ramping"), Some("idle"))
    );
}

#[test]
fn a_backup_of_the_other_world_or_one_that_raises_flags_is_not_restored_just_like_that() {
    let mut served = Served::start(&["--speed", "0", "--policy", "rule"]);
    let run = |served: &Served, arguments: &[&str]| served.command(arguments).output().unwrap();
    let copy = served.folder().join("copy");
    let copy = copy.to_str().unwrap();
    assert!(run(&served, &["set", "power-peg", "25"]).status.success());
    assert!(run(&served, &["backup", copy]).status.success());
    assert!(run(&served, &["rollback", "power-peg"]).status.success());
    served.end("TERM");
    let other = run(&served, &["restore", copy, "--real", "--yes"]);
    let said = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(other.status.code() == Some(2) && said.contains("a journal of the simulator"), "{other:?}");
    assert!(!served.folder().join("real/journal.knightwatch").exists());
    let before = fs::read(served.journal()).unwrap();
    let unasked = run(&served, &["restore", copy]);
    let said = String::from_utf8_lossy(&unasked.stderr).into_owned();
    assert!(unasked.status.code() == Some(2) && said.contains("power-peg: from 0 % to 25 %"), "{unasked:?}");
    assert_eq!(fs::read(served.journal()).unwrap(), before, "nothing was done");
    let asked = run(&served, &["restore", copy, "--yes"]);
    let said = String::from_utf8_lossy(&asked.stdout).into_owned();
    assert!(asked.status.success() && said.contains("power-peg: from 0 % to 25 %"), "{asked:?}");
    // What is there now cannot be read: then whatever is on comes as a surprise.
    fs::write(served.journal(), "nonsense").unwrap();
    let unknown = run(&served, &["restore", copy]);
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(said.contains("power-peg: from what is not known to 25 %"), "{unknown:?}");
}

#[test]
fn an_order_that_never_left_is_told_so_and_one_without_an_answer_is_not_called_unsent() {
    let mut served = Served::start(&["--speed", "0"]);
    let backend = served.backend();
    served.end("KILL");
    let lost = wait(backend.send(order("one", Command::KillAll))).unwrap_err();
    assert!(matches!(lost, OrderError::NotSent(_)), "{lost:?}");
}
