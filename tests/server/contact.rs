//! What a control room far away is told when contact is lost: not only that it is, but why.

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::Arc,
    time::Duration,
};

use knightwatch_engine::backend::{Backend, Link, Remote, Snapshot, Target, Update};
use tokio::sync::mpsc::Receiver;

use crate::support::served::Served;

/// Far longer than anything takes, so that a busy machine fails no test.
const PATIENCE: Duration = Duration::from_mins(1);

fn next(updates: &mut Receiver<Update>) -> Update {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let next = async { tokio::time::timeout(PATIENCE, updates.recv()).await.expect("an update in time") };
    runtime.block_on(next).expect("the stream goes on")
}

/// Why contact is lost, once it is for a reason that contains this.
fn lost(updates: &mut Receiver<Update>, expected: &str) {
    let why = |update: Update| match update {
        Update::Link(Link::Lost { why, .. }) => why,
        _ => None,
    };
    while why(next(updates)).is_none_or(|why| !why.contains(expected)) {}
}

fn snapshot(updates: &mut Receiver<Update>) -> Arc<Snapshot> {
    loop {
        if let Update::Snapshot(snapshot) = next(updates) {
            return snapshot;
        }
    }
}

fn again(served: &mut Served, start: impl FnOnce(&str) -> Served) {
    let address = served.url().trim_start_matches("http://").to_owned();
    served.end("KILL");
    *served = start(&address);
}

#[test]
fn a_token_that_is_worth_nothing_any_more_is_no_broken_line() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("closed.toml");
    std::fs::write(&config, "[server]\nopen_loopback = false\n").unwrap();
    let arguments = ["--speed", "0", "--config", config.to_str().unwrap()];
    let mut served = Served::start(&arguments);
    let made = served.command(&["token", "create", "room", "--scope", "viewer"]).output().unwrap();
    let secret = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let target = Target::parse(served.url(), "a test").unwrap().with_token(Some(secret));
    // A running backend takes new tokens by itself, soon.
    let remote = loop {
        if let Ok(remote) = Remote::connect(&target) {
            break remote;
        }
    };
    let mut updates = remote.subscribe();
    snapshot(&mut updates);
    let listed = served.command(&["token", "list", "--json"]).output().unwrap();
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert!(
        served.command(&["token", "revoke", listed[0]["id"].as_str().unwrap()]).status().unwrap().success()
    );
    let state = served.shared();
    again(&mut served, |address| {
        // Nobody is there for a while.
        lost(&mut updates, "refused");
        let arguments = [&arguments[..], &["--listen", address]].concat();
        Served::start_in(state, &arguments)
    });
    lost(&mut updates, "expected a valid bearer token");
}

#[test]
fn another_environment_at_the_same_address_is_told_and_never_shown() {
    let mut served = Served::start(&["--speed", "0"]);
    // Who may be the second to listen there is not known before: the first address is one of its own.
    let remote = Remote::connect(&Target::parse(served.url(), "a test").unwrap()).unwrap();
    let mut updates = remote.subscribe();
    assert_eq!(snapshot(&mut updates).environment, "test");
    let (first, address) = (served.shared(), served.url().trim_start_matches("http://").to_owned());
    again(&mut served, |address| {
        let other = Arc::new(tempfile::tempdir().unwrap());
        Served::start_as("other", other, &["--speed", "0", "--listen", address])
    });
    lost(&mut updates, "the environment \"other\" answers there now");
    served.end("KILL");
    let _served = Served::start_in(first, &["--speed", "0", "--listen", &address]);
    assert_eq!(snapshot(&mut updates).environment, "test", "the right one is back");
}

/// Answers the next request with an event stream of a version that nobody knows yet.
fn of_another_version(listener: &TcpListener) {
    let (mut stream, _) = listener.accept().unwrap();
    let mut head = [0; 4_096];
    assert!(stream.read(&mut head).unwrap() > 0);
    let events = "event: snapshot\nid: 1-1\ndata: {\"format\": 99}\n\n";
    let answer =
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n{events}");
    // The other end may have left as soon as it had read enough.
    let _ = stream.write_all(answer.as_bytes());
}

#[test]
fn a_backend_of_another_version_is_called_so() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Target::parse(&format!("http://{}", other.local_addr().unwrap()), "a test").unwrap();
    let answering = std::thread::spawn(move || of_another_version(&other));
    let refused = Remote::connect(&target).map(drop).unwrap_err().to_string();
    answering.join().unwrap();
    assert!(refused.contains("may be another version"), "{refused}");

    // And where it takes the place of one that was understood.
    let mut served = Served::start(&["--speed", "0"]);
    let backend = served.backend();
    let mut updates = backend.subscribe();
    snapshot(&mut updates);
    served.end("KILL");
    let other = TcpListener::bind(served.url().trim_start_matches("http://")).unwrap();
    let answering = std::thread::spawn(move || of_another_version(&other));
    lost(&mut updates, "may be another version");
    answering.join().unwrap();
}
