//! What the journal costs: a durable append next to a bare SQLite insert with the same settings in the same run, and the
//! telemetry of a tick of 1 000 flags. Prints commits a second with p50 and p99, then divan's table.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use divan::{Bencher, counter::BytesCount};
use knightwatch_core::{
    control::{Actor, Entry, Event, OrderId, Seq},
    flag::{FlagId, FlagKey, Rollout},
    telemetry::{Arm, Histogram, Millis, Sample},
};
use knightwatch_store::{Journal, SessionMeta, decode, encode, verify};
use rusqlite::Connection;
use tempfile::TempDir;

const COMMITS: usize = 1_000;
const FLAGS: u32 = 1_000;

fn main() {
    commits();
    divan::main();
}

/// Bare and journal commits in turn, so that both meet the same disk.
fn commits() {
    let folder = TempDir::new().expect("a folder");
    let bare = bare(&folder.path().join("bare"));
    let mut journal =
        Journal::create(&folder.path().join("journal"), &SessionMeta::default()).expect("a journal");
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for seq in 1..=COMMITS as u64 {
        let text = serde_json::to_string(&entry(seq)).expect("an entry's text");
        let (order, entry) = (OrderId(format!("order-{seq}")), entry(seq));
        let mut insert_bare = || {
            let begun = Instant::now();
            let mut insert =
                bare.prepare_cached("INSERT INTO entry (json) VALUES (?1)").expect("a statement");
            insert.execute([&text]).expect("a bare commit");
            without.push(begun.elapsed());
        };
        let mut append = || {
            let begun = Instant::now();
            journal.append(Some((&order, "{}")), std::slice::from_ref(&entry)).expect("a commit");
            with.push(begun.elapsed());
        };
        // By turns first: the second sync of two finds the file system's own journal just written.
        if seq.is_multiple_of(2) {
            insert_bare();
            append();
        } else {
            append();
            insert_bare();
        }
    }
    report("bare SQLite insert", &mut without);
    report("journal append", &mut with);
    let ratio = with.iter().sum::<Duration>().as_secs_f64() / without.iter().sum::<Duration>().as_secs_f64();
    println!("{:24} {ratio:6.2} times the bare insert's time", "ratio");
}

fn report(name: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() * share / 1_000).min(times.len() - 1)].as_secs_f64() * 1e3;
    #[expect(clippy::cast_precision_loss, reason = "a thousand")]
    let rate = times.len() as f64 / times.iter().sum::<Duration>().as_secs_f64();
    println!("{name:24} {rate:6.0} commits/s, p50 {:.2} ms, p99 {:.2} ms", at(500), at(990));
}

fn bare(path: &Path) -> Connection {
    let connection = Connection::open(path).expect("a database");
    connection
        .execute_batch(
            "PRAGMA journal_mode = wal; PRAGMA synchronous = full; CREATE TABLE entry (seq INTEGER PRIMARY KEY, json TEXT) STRICT",
        )
        .expect("a table");
    connection
}

fn entry(seq: u64) -> Entry {
    Entry {
        seq: Seq(seq),
        at: Millis(seq * 10_000),
        actor: Actor::Person("ana".to_owned()),
        flag: "new-checkout-ui".parse::<FlagKey>().ok(),
        event: Event::RolledBack { flag: FlagId(3), from: Rollout::FULL },
        sentence: "rolled back from 100 % to 0 %: the error rate of the checkout doubled".to_owned(),
    }
}

/// Both arms of every flag, with a third of the buckets filled, as a service's latencies do.
fn tick(at: u64) -> Vec<Sample> {
    let arms = |flag| [Arm::Control, Arm::Treatment].map(|arm| (flag, arm));
    (0..FLAGS)
        .flat_map(arms)
        .map(|(flag, arm)| {
            let mut latency = Histogram::default();
            for bucket in 20..41_u32 {
                latency.add_to_bucket(bucket as usize, (flag * 7 + bucket * 13) % 400 + 1);
            }
            let requests = u32::try_from(latency.total()).expect("a small count");
            let (start, span) = (Millis(at), Millis(10_000));
            Sample {
                flag: FlagId(flag),
                arm,
                start,
                span,
                requests,
                errors: flag % 9,
                latency,
                assumed: false,
            }
        })
        .collect()
}

#[divan::bench]
fn encode_a_tick(bencher: Bencher) {
    let samples = tick(0);
    bencher.counter(BytesCount::new(encode(&samples).len())).bench(|| encode(divan::black_box(&samples)));
}

#[divan::bench]
fn decode_a_tick(bencher: Bencher) {
    let bytes = encode(&tick(0));
    bencher.counter(BytesCount::new(bytes.len())).bench(|| decode(divan::black_box(&bytes)));
}

#[divan::bench(sample_count = 100, sample_size = 1)]
fn record_a_tick_durably(bencher: Bencher) {
    let folder = TempDir::new().expect("a folder");
    let mut journal = Journal::create(&folder.path().join("s"), &SessionMeta::default()).expect("a journal");
    let samples = tick(0);
    let mut at = 0;
    bencher.bench_local(|| {
        at += 10_000;
        journal.record(Millis(at), divan::black_box(&samples))
    });
}

#[divan::bench(args = [1, 100], sample_count = 100, sample_size = 1)]
fn append_entries_durably(bencher: Bencher, count: u64) {
    let folder = TempDir::new().expect("a folder");
    let mut journal = Journal::create(&folder.path().join("s"), &SessionMeta::default()).expect("a journal");
    bencher.bench_local(|| {
        let head = journal.head().seq.0;
        let entries: Vec<Entry> = (head + 1..=head + count).map(entry).collect();
        journal.append(None, &entries)
    });
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn verify_10_000_entries(bencher: Bencher) {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("s");
    let mut journal = Journal::create(&path, &SessionMeta::default()).expect("a journal");
    let entries: Vec<Entry> = (1..=10_000).map(entry).collect();
    journal.append(None, &entries).expect("a commit");
    drop(journal);
    bencher.bench_local(|| verify(&path));
}
