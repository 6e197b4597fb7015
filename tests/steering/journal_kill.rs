//! The journal under real faults: killed at any point, on a full disk, with writes that fail, held by another process.
//! Each test runs this test binary again as a child that does the writing.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use knightwatch_core::{
    control::{Actor, Entry, Event, OrderId, Seq},
    flag::{FlagId, Rollout},
    telemetry::{Arm, Histogram, Millis, Sample},
};
use knightwatch_store::{Journal, SessionMeta, StoreError, verify};
use rand::{RngExt, SeedableRng};
use tempfile::TempDir;

use crate::support::name_of;

const CHILD: &str = "KNIGHTWATCH_TEST_JOURNAL";

fn entry(seq: u64) -> Entry {
    Entry {
        seq: Seq(seq),
        at: Millis(seq * 10_000),
        actor: Actor::Person("ana".to_owned()),
        flag: "new-checkout-ui".parse().ok(),
        event: Event::RolledBack { flag: FlagId(0), from: Rollout::FULL },
        sentence: format!("rolled back, number {seq}, {}", "for a long reason ".repeat(10)),
    }
}

fn samples(at: u64) -> Vec<Sample> {
    let mut latency = Histogram::default();
    latency.record(20.0, 100);
    let sample = |flag| Sample {
        flag: FlagId(flag),
        arm: Arm::Control,
        start: Millis(at),
        span: Millis(10_000),
        requests: 100,
        errors: 1,
        latency,
        assumed: false,
    };
    (0..50).map(sample).collect()
}

/// This test binary again, to run `helper` on the session at `path`; through a shell that does `first`.
fn child(helper: &str, path: &Path, first: &str) -> Child {
    Command::new("sh")
        .args(["-c", &format!("{first} exec \"$0\" \"$@\"")])
        .arg(std::env::current_exe().unwrap())
        .args([helper, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

/// What the child said on lines of its own, after the marker.
fn said(line: &str, marker: &str) -> Option<u64> {
    line.split_once(marker)?.1.trim().parse().ok()
}

/// Appends for ever, and says each number once it is durable. Does nothing unless it is the child.
#[test]
fn helper_appends_until_killed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let mut journal = Journal::open(Path::new(&path)).unwrap();
    loop {
        let seq = journal.head().seq.0 + 1;
        let order = OrderId(format!("order-{seq}"));
        if seq.is_multiple_of(3) {
            journal.append_tick(&[entry(seq)], Millis(seq * 10_000), &samples(seq)).unwrap();
        } else {
            journal.append(Some((&order, "{}")), &[entry(seq)]).unwrap();
        }
        println!("\nacknowledged {seq}");
    }
}

#[test]
fn what_was_acknowledged_survives_being_killed_at_any_point() {
    const KILLS: usize = 30;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("s");
    drop(Journal::create(&path, &SessionMeta::default()).unwrap());
    let mut random = rand_pcg::Pcg64::seed_from_u64(0x6b77);
    let mut before = 0;
    for kill in 0..KILLS {
        let mut child = child(name_of(&helper_appends_until_killed), &path, "");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // The child writes on while this counts, so that the kill meets it anywhere in a write.
        let patience = random.random_range(0..120_u64);
        let mut acknowledged = 0;
        while acknowledged < before + patience {
            let line = lines.next().expect("the child goes on until it is killed").unwrap();
            acknowledged = said(&line, "acknowledged ").unwrap_or(acknowledged);
        }
        child.kill().unwrap();
        acknowledged = lines
            .map_while(Result::ok)
            .filter_map(|line| said(&line, "acknowledged "))
            .last()
            .unwrap_or(acknowledged);
        child.wait().unwrap();

        let report = verify(&path).unwrap();
        assert!(report.is_sound(), "kill {kill}: {report}");
        assert!(
            report.head.seq.0 >= acknowledged,
            "kill {kill}: {acknowledged} was acknowledged, {} stored",
            report.entries
        );
        let mut journal = Journal::open(&path).unwrap();
        let head = journal.head().seq.0;
        assert!((1..=head).filter(|seq| !seq.is_multiple_of(3)).all(|seq| {
            // Own appends below have no order.
            journal.outcome(&OrderId(format!("order-{seq}"))).unwrap().is_some()
                || journal.entries(Seq(seq)..=Seq(seq), 1).unwrap()[0].actor == Actor::System
        }));
        assert!(journal.telemetry(..).all(|tick| tick.unwrap().1.len() == 50));
        let next = Entry { actor: Actor::System, ..entry(head + 1) };
        journal.append(None, &[next]).unwrap();
        before = journal.head().seq.0;
    }
    assert!(before > 30, "something was written: {before}");
}

/// Holds the session until its input ends.
#[test]
fn helper_holds_the_session() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let _journal = Journal::open(Path::new(&path)).unwrap();
    println!("\nheld {}", std::process::id());
    let _ = std::io::stdin().lines().next();
}

#[test]
fn a_second_process_hears_who_holds_the_session() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("s");
    drop(Journal::create(&path, &SessionMeta::default()).unwrap());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([name_of(&helper_holds_the_session), "--exact", "--nocapture"])
        .env(CHILD, &path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let holder = lines.find_map(|line| said(&line.unwrap(), "held ")).unwrap();
    let refused = Journal::open(&path).unwrap_err();
    assert!(
        refused.to_string().contains(&format!("in use by another knightwatch (process {holder})")),
        "{refused}"
    );
    assert!(Journal::open_read_only(&path).is_ok());
    child.kill().unwrap();
    child.wait().unwrap();
    Journal::open(&path).expect("the lock ends with its holder, however that ended");
}

/// Appends under a limit on the size of files, until that fails; then lifts the limit and recovers.
#[test]
fn helper_meets_the_end_of_the_disk() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Some(path) = std::env::var_os(CHILD) else { return };
    let mut journal = Journal::open(Path::new(&path)).unwrap();
    let unlimited = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: Some(200_000), ..unlimited }).unwrap();
    let failure = loop {
        let seq = journal.head().seq.0 + 1;
        if let Err(failure) = journal.append(None, &[entry(seq)]) {
            break failure;
        }
        println!("\nacknowledged {seq}");
    };
    assert!(matches!(failure, StoreError::NotDurable { .. }), "{failure}");
    assert!(journal.fault().is_some());
    let seq = journal.head().seq.0;
    let refused = journal.append(None, &[entry(seq + 1)]).unwrap_err();
    assert!(matches!(refused, StoreError::Refusing { .. }), "{refused}");
    setrlimit(Resource::Fsize, Rlimit { current: Some(0), ..unlimited }).unwrap();
    let still = journal.recover().unwrap_err();
    assert!(still.is_not_durable(), "{still}");
    assert_eq!(journal.entries(.., 1).unwrap(), [entry(seq)], "reading goes on");
    setrlimit(Resource::Fsize, unlimited).unwrap();
    let head = journal.recover().unwrap();
    assert_eq!(head.seq.0, seq, "nothing partial");
    journal.append(None, &[entry(seq + 1)]).unwrap();
    println!("\nrecovered {}", seq + 1);
}

#[test]
fn a_failed_write_is_told_refused_from_then_on_and_recovered_from() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("s");
    drop(Journal::create(&path, &SessionMeta::default()).unwrap());
    // Ignored, the signal for a file that is too large becomes a failed write.
    let child = child(name_of(&helper_meets_the_end_of_the_disk), &path, "trap '' XFSZ; exec 2>&1;");
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    let acknowledged = text.lines().filter_map(|line| said(line, "acknowledged ")).next_back().unwrap();
    let recovered = text.lines().find_map(|line| said(line, "recovered ")).unwrap();
    assert_eq!(recovered, acknowledged + 1);
    let report = verify(&path).unwrap();
    assert!(report.is_sound() && report.head.seq.0 == recovered, "{report}");
}
