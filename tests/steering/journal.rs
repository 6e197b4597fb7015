//! The journal from outside: what is written is found again, what was tampered with is named, what is not a journal is
//! refused and left as it is.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use knightwatch_core::{
    control::{Actor, Entry, Event, OrderId, Seq},
    flag::{FlagId, FlagKey, Rollout},
    telemetry::{Arm, Histogram, Millis, Sample},
};
use knightwatch_store::{
    ChainFault, ExportFormat, Filter, HEAD_EVERY, Head, Journal, SessionMeta, StoreError, compare_export,
    export, verify, verify_with_head,
};
use proptest::prelude::*;
use rusqlite::{Connection, params};
use tempfile::TempDir;

fn meta() -> SessionMeta {
    SessionMeta {
        environment: "production".to_owned(),
        source: "scenario default (seed 7)".to_owned(),
        policy: "PPO-Master".to_owned(),
        seed: Some(7),
        interval: Millis::from_secs(10),
        ..SessionMeta::default()
    }
}

/// Entry `seq`, by turns of several kinds and actors.
fn entry(seq: u64) -> Entry {
    let key: FlagKey = format!("flag-{}", seq % 3).parse().unwrap();
    let (actor, flag, event) = match seq % 4 {
        0 => (Actor::Agent, Some(key), Event::Resumed { flag: FlagId(1) }),
        1 => (
            Actor::Person("ana".to_owned()),
            Some(key),
            Event::RolledBack { flag: FlagId(1), from: Rollout::FULL },
        ),
        2 => (Actor::System, None, Event::BriefingAcknowledged),
        _ => (Actor::Shield, None, Event::Rearmed),
    };
    Entry { seq: Seq(seq), at: Millis(1_000 * seq), actor, flag, event, sentence: format!("sentence {seq}") }
}

fn entries(from: u64, to: u64) -> Vec<Entry> {
    (from..=to).map(entry).collect()
}

/// A closed session with entries 1 to `count`.
fn session(folder: &TempDir, count: u64) -> PathBuf {
    let path = folder.path().join("s.knightwatch");
    let mut journal = Journal::create(&path, &meta()).unwrap();
    journal.append(None, &entries(1, count)).unwrap();
    journal.close().unwrap();
    path
}

fn id(text: &str) -> OrderId {
    OrderId(text.to_owned())
}

fn sample(flag: u32, at: u64) -> Sample {
    let mut latency = Histogram::default();
    latency.record(12.0, 90);
    latency.record(300.0, 10);
    let (start, span) = (Millis(at), Millis(10_000));
    Sample {
        flag: FlagId(flag),
        arm: Arm::Treatment,
        start,
        span,
        requests: 100,
        errors: 3,
        latency,
        assumed: false,
    }
}

/// All files of the session with their bytes.
fn bytes(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}

#[test]
fn what_was_appended_is_found_after_opening_again() {
    let folder = TempDir::new().unwrap();
    let path = session(&folder, 1_500);
    let mut journal = Journal::open(&path).unwrap();
    assert_eq!(journal.meta(), &meta());
    assert_eq!(journal.head().seq, Seq(1_500));
    assert_eq!(journal.load_all().map(Result::unwrap).collect::<Vec<_>>(), entries(1, 1_500));
    assert_eq!(journal.entries(.., 3).unwrap(), entries(1_498, 1_500));
    assert_eq!(journal.entries(..Seq(10), 2).unwrap(), entries(8, 9));
    assert_eq!(journal.entries(Seq(5)..=Seq(6), 9).unwrap(), entries(5, 6));
    journal.append(None, &[entry(1_501)]).unwrap();
    assert_eq!(journal.head().seq, Seq(1_501));
    let filter = Filter {
        flag: "flag-2".parse().ok(),
        actor: Some(Actor::Person("ana".to_owned())),
        kind: Some("rollback".to_owned()),
    };
    assert_eq!(journal.search(&filter, ..Seq(20), 9).unwrap(), [entry(5), entry(17)]);
    let impostor = Filter { actor: Some(Actor::Person("agent".to_owned())), ..Filter::default() };
    assert_eq!(journal.search(&impostor, .., 9).unwrap(), []);
}

#[test]
fn entries_that_do_not_follow_on_are_refused_whole() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("s");
    let mut journal = Journal::create(&path, &meta()).unwrap();
    let refused = journal.append(Some((&id("a"), "{}")), &[entry(1), entry(3)]).unwrap_err();
    assert!(matches!(refused, StoreError::OutOfOrder { expected: Seq(2), found: Seq(3) }), "{refused}");
    assert_eq!(journal.head().seq, Seq(0));
    assert_eq!(journal.entries(.., 9).unwrap(), []);
    assert_eq!(journal.outcome(&id("a")).unwrap(), None);
    journal.append(None, &[entry(1)]).unwrap();
}

#[test]
fn the_same_order_acts_once_across_restarts() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("s");
    let mut journal = Journal::create(&path, &meta()).unwrap();
    journal.append(Some((&id("order"), r#"{"seq":1}"#)), &[entry(1)]).unwrap();
    journal.append(Some((&id("refused"), r#"{"refused":"read-only"}"#)), &[]).unwrap();
    drop(journal);
    let mut journal = Journal::open(&path).unwrap();
    let repeated = journal.append(Some((&id("order"), "{}")), &[entry(2)]).unwrap_err();
    assert!(matches!(repeated, StoreError::Repeated { outcome, .. } if outcome == r#"{"seq":1}"#));
    assert_eq!(journal.head().seq, Seq(1));
    assert_eq!(journal.outcome(&id("refused")).unwrap().as_deref(), Some(r#"{"refused":"read-only"}"#));
    assert_eq!(journal.outcome(&id("new")).unwrap(), None);
}

#[test]
fn a_number_that_is_not_finite_is_refused_before_it_is_stored() {
    let folder = TempDir::new().unwrap();
    let mut journal = Journal::create(&folder.path().join("s"), &meta()).unwrap();
    let reason = knightwatch_core::control::Reason::Exposure {
        service: None,
        would_be: f64::NAN,
        limit: 600.0,
        window: Millis(60_000),
    };
    let event = Event::Paused { flag: FlagId(0), reason: Some(reason) };
    let refused = journal.append(None, &[Entry { event, ..entry(1) }]).unwrap_err();
    assert!(matches!(refused, StoreError::Unstorable { seq: Seq(1), .. }), "{refused}");
    journal.append(None, &[entry(1)]).unwrap();
}

#[test]
fn telemetry_is_played_back_tick_by_tick() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("s");
    let mut journal = Journal::create(&path, &meta()).unwrap();
    for tick in 1..=40_u64 {
        let samples = [sample(0, tick * 10_000), sample(7, tick * 10_000)];
        journal.append_tick(&[entry(tick)], Millis(tick * 10_000), &samples).unwrap();
    }
    journal.record(Millis(410_000), &[]).unwrap();
    let again = journal.record(Millis(410_000), &[sample(1, 0)]).unwrap_err();
    assert!(matches!(again, StoreError::TickOutOfOrder { .. }), "{again}");
    drop(journal);
    let journal = Journal::open_read_only(&path).unwrap();
    assert_eq!(journal.last_tick(), Some(Millis(410_000)));
    let ticks: Vec<_> = journal.telemetry(..).map(Result::unwrap).collect();
    assert_eq!(ticks.len(), 41);
    assert_eq!(ticks[17], (Millis(180_000), vec![sample(0, 180_000), sample(7, 180_000)]));
    let some: Vec<u64> =
        journal.telemetry(Millis(20_000)..Millis(40_000)).map(|tick| tick.unwrap().0.0).collect();
    assert_eq!(some, [20_000, 30_000]);
}

#[test]
fn one_writes_and_others_read_meanwhile() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("s");
    let mut writer = Journal::create(&path, &meta()).unwrap();
    writer.append(None, &entries(1, 5)).unwrap();
    let second = Journal::open(&path).unwrap_err();
    assert!(
        matches!(second, StoreError::Locked { pid: Some(pid), .. } if pid == std::process::id()),
        "{second}"
    );
    let mut reader = Journal::open_read_only(&path).unwrap();
    writer.append(None, &entries(6, 9)).unwrap();
    assert_eq!(reader.entries(.., 99).unwrap(), entries(1, 9));
    let refused = reader.append(None, &[entry(10)]).unwrap_err();
    assert!(matches!(refused, StoreError::ReadOnly { .. }), "{refused}");
    assert!(verify(&path).unwrap().is_sound());
    assert!(matches!(Journal::create(&path, &meta()).unwrap_err(), StoreError::Exists { .. }));
}

#[test]
fn reading_changes_no_byte_and_leaves_nothing_behind() {
    let folder = TempDir::new().unwrap();
    let path = session(&folder, 20);
    let before = bytes(folder.path());
    let journal = Journal::open_read_only(&path).unwrap();
    assert_eq!(journal.load_all().count(), 20);
    assert!(verify(&path).unwrap().is_sound());
    assert_eq!(bytes(folder.path()), before);
    drop(journal);
    assert_eq!(bytes(folder.path()), before);
}

#[test]
fn a_read_only_medium_can_be_audited() {
    use std::os::unix::fs::PermissionsExt;
    let folder = TempDir::new().unwrap();
    let path = session(&folder, 20);
    let mode = |mode| fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    mode(0o500);
    let report = verify(&path);
    mode(0o700);
    assert!(report.unwrap().is_sound());
}

/// Each file that is no session of ours, and what its refusal must say.
#[test]
fn what_is_not_a_session_is_refused_with_a_sentence_and_left_as_it_is() {
    let folder = TempDir::new().unwrap();
    let good = fs::read(session(&folder, 300)).unwrap();
    let sql = |name: &str, from: &[u8], statement: &str| {
        let path = folder.path().join(name);
        fs::write(&path, from).unwrap();
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(statement).unwrap();
        connection.close().unwrap();
        fs::read(&path).unwrap()
    };
    let other = sql("a", b"", "CREATE TABLE t (x); PRAGMA user_version = 1");
    let newer = sql("b", &good, "PRAGMA user_version = 99");
    let older = sql("c", &good, "PRAGMA user_version = 1");
    let mut scrambled = good.clone();
    scrambled[good.len() / 2..].fill(0x5a);
    let cases: [(&str, &[u8], &str); 8] = [
        ("empty", b"", "it is empty"),
        (
            "text",
            &b"this is not a database at all, only some text\n".repeat(200),
            "it is not an SQLite database",
        ),
        ("other", &other, "an SQLite database of another application (id 0)"),
        ("newer", &newer, "written by a newer knightwatch (format 99, this one reads up to 2)"),
        ("older", &older, "written by an older knightwatch (format 1, this one reads 2)"),
        ("cut", &good[..good.len() - 4096], "is damaged"),
        ("stub", &good[..100], "is damaged"),
        ("scrambled", &scrambled, "is damaged"),
    ];
    for (name, content, sentence) in cases {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        let refused = Journal::open(&path).unwrap_err().to_string();
        assert!(refused.contains(sentence) && refused.contains("left as it is"), "{name}: {refused}");
        let read = Journal::open_read_only(&path).map(|journal| journal.load_all().find_map(Result::err));
        assert!(!matches!(read, Ok(None)), "{name} was read");
        verify(&path).unwrap_err();
        assert_eq!(fs::read(&path).unwrap(), content, "{name} was changed");
        assert!(matches!(Journal::create(&path, &meta()).unwrap_err(), StoreError::Exists { .. }));
        assert_eq!(fs::read(&path).unwrap(), content, "{name} was changed");
    }
    let missing = Journal::open(&folder.path().join("nowhere")).unwrap_err();
    assert!(matches!(missing, StoreError::NotFound { .. }), "{missing}");
    assert!(matches!(Journal::open(folder.path()).unwrap_err(), StoreError::NotASession { .. }));
}

/// The fault that a verification finds after `statement` was run on a session of 9 entries.
fn fault_after(statement: &str) -> Option<ChainFault> {
    let folder = TempDir::new().unwrap();
    let path = session(&folder, 9);
    Connection::open(&path).unwrap().execute_batch(statement).unwrap();
    let report = verify(&path).unwrap();
    if let Some(ChainFault::Cut { .. } | ChainFault::Rewritten { .. }) = report.fault {
        let refused = Journal::open(&path).unwrap_err();
        assert!(matches!(refused, StoreError::Chain { .. }), "{refused}");
    }
    report.fault
}

#[test]
fn tampering_is_named_with_its_place() {
    let changed = |seq| Some(ChainFault::Changed { seq: Seq(seq) });
    assert_eq!(fault_after("SELECT 1"), None);
    assert_eq!(fault_after("UPDATE entry SET json = replace(json, 'ana', 'bob') WHERE seq = 5"), changed(5));
    assert_eq!(fault_after("UPDATE entry SET hash = zeroblob(32) WHERE seq = 3"), changed(3));
    assert_eq!(fault_after("UPDATE entry SET prev = x'00' WHERE seq = 3"), changed(3));
    assert_eq!(fault_after("DELETE FROM entry WHERE seq = 4"), Some(ChainFault::Missing { seq: Seq(4) }));
    assert_eq!(fault_after("DELETE FROM entry WHERE seq = 1"), Some(ChainFault::Missing { seq: Seq(1) }));
    assert_eq!(
        fault_after("DELETE FROM entry WHERE seq = 4; UPDATE entry SET seq = seq - 1 WHERE seq > 4"),
        Some(ChainFault::Missing { seq: Seq(4) }),
        "the rest renumbered"
    );
    let swap = "UPDATE entry SET seq = -1 WHERE seq = 4; UPDATE entry SET seq = 4 WHERE seq = 6; UPDATE entry SET seq = 6 WHERE seq = -1";
    assert_eq!(fault_after(swap), Some(ChainFault::Reordered { seq: Seq(4) }));
    assert_eq!(
        fault_after(
            "INSERT INTO entry SELECT 0, at, actor, flag, kind, json, prev, hash FROM entry WHERE seq = 1"
        ),
        Some(ChainFault::Inserted { seq: Seq(0) })
    );
    assert_eq!(
        fault_after(
            "INSERT INTO entry SELECT 10, at, actor, flag, kind, json, prev, hash FROM entry WHERE seq = 2"
        ),
        Some(ChainFault::Reordered { seq: Seq(10) })
    );
    let column = |seq, column: &str| Some(ChainFault::Column { seq: Seq(seq), column: column.to_owned() });
    assert_eq!(fault_after("UPDATE entry SET at = at + 1 WHERE seq = 2"), column(2, "at"));
    assert_eq!(fault_after("UPDATE entry SET actor = 'agent' WHERE seq = 5"), column(5, "actor"));
    assert_eq!(fault_after("UPDATE entry SET flag = NULL WHERE seq = 5"), column(5, "flag"));
    assert_eq!(fault_after("UPDATE entry SET kind = 'raise' WHERE seq = 5"), column(5, "kind"));
    assert_eq!(
        fault_after("UPDATE session SET meta = replace(meta, 'production', 'staging')"),
        Some(ChainFault::Genesis)
    );
    let cut = fault_after("DELETE FROM entry WHERE seq > 7");
    assert!(
        matches!(cut, Some(ChainFault::Cut { first: Seq(8), last: Seq(7), recorded: Seq(9), .. })),
        "{cut:?}"
    );
}

/// Entry `seq` with another sentence and a hash that fits, put in the place of the old one.
fn forge(connection: &Connection, seq: u64, prev: &[u8]) -> Vec<u8> {
    let json: String = connection
        .query_row("SELECT json FROM entry WHERE seq = ?1", params![seq.cast_signed()], |row| row.get(0))
        .unwrap();
    let json = json.replace("sentence ", "forged ");
    let before = knightwatch_store::Hash::from_bytes(prev).unwrap();
    let hash = knightwatch_store::Hash::link(before, json.as_bytes()).as_bytes().to_vec();
    connection
        .execute(
            "UPDATE entry SET json = ?2, prev = ?3, hash = ?4 WHERE seq = ?1",
            params![seq.cast_signed(), json, prev, hash],
        )
        .unwrap();
    hash
}

#[test]
fn a_forger_who_knows_the_formula_is_caught_by_the_next_link_or_the_second_head() {
    let hash_of = |connection: &Connection, seq: i64| -> Vec<u8> {
        connection.query_row("SELECT hash FROM entry WHERE seq = ?1", [seq], |row| row.get(0)).unwrap()
    };
    let folder = TempDir::new().unwrap();
    let path = session(&folder, 9);
    let mut exported = Vec::new();
    let noted =
        export(&Journal::open_read_only(&path).unwrap(), ExportFormat::JsonLines, &mut exported).unwrap();
    let connection = Connection::open(&path).unwrap();
    let prev = hash_of(&connection, 4);
    forge(&connection, 5, &prev);
    assert_eq!(verify(&path).unwrap().fault, Some(ChainFault::Changed { seq: Seq(5) }), "one entry");

    let mut prev = hash_of(&connection, 4);
    for seq in 5..=9 {
        prev = forge(&connection, seq, &prev);
    }
    let rewritten = verify(&path).unwrap();
    assert!(matches!(rewritten.fault, Some(ChainFault::Rewritten { seq: Seq(9), .. })), "{rewritten}");
    assert_eq!(rewritten.entries, 9);

    fs::remove_file(folder.path().join("s.knightwatch.head")).unwrap();
    assert!(verify(&path).unwrap().is_sound(), "a whole chain; only a head from elsewhere can tell");
    let fault = verify_with_head(&path, Some(noted)).unwrap().fault;
    assert!(matches!(fault, Some(ChainFault::Rewritten { seq: Seq(9), .. })));
    let fault = compare_export(&path, exported.as_slice()).unwrap().fault;
    assert!(matches!(fault, Some(ChainFault::Rewritten { seq: Seq(9), .. })));
}

#[test]
fn the_second_head_is_at_most_so_many_entries_behind_and_follows_every_kill_all() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("s");
    let mut journal = Journal::create(&path, &meta()).unwrap();
    let recorded = || verify(&path).unwrap().recorded.map(|head: Head| head.seq.0);
    for seq in 1..HEAD_EVERY {
        journal.append(None, &[entry(seq)]).unwrap();
    }
    assert_eq!(recorded(), Some(0));
    journal.append(None, &[entry(HEAD_EVERY)]).unwrap();
    assert_eq!(recorded(), Some(HEAD_EVERY));
    let kill = Entry { event: Event::KilledAll { exposed: 3 }, flag: None, ..entry(HEAD_EVERY + 1) };
    journal.append(None, &[kill]).unwrap();
    assert_eq!(recorded(), Some(HEAD_EVERY + 1));
    journal.append(None, &[entry(HEAD_EVERY + 2)]).unwrap();
    drop(journal);
    assert_eq!(recorded(), Some(HEAD_EVERY + 2), "on closing");
}

#[test]
fn hostile_text_leaves_in_escapes_only() {
    let hostile = "x\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}\u{7f}\u{200b}\"é\\";
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("s");
    let mut journal = Journal::create(&path, &SessionMeta { source: hostile.to_owned(), ..meta() }).unwrap();
    let actor = Actor::Person(format!("=cmd|{hostile}"));
    let entry = Entry { actor, sentence: hostile.to_owned(), ..entry(1) };
    journal.append(None, std::slice::from_ref(&entry)).unwrap();
    let mut json = Vec::new();
    export(&journal, ExportFormat::JsonLines, &mut json).unwrap();
    assert!(json.iter().all(|byte| *byte == b'\n' || (b' '..=b'~').contains(byte)));
    let line = String::from_utf8(json).unwrap().lines().nth(1).unwrap().to_owned();
    assert!(line.contains(r"\u001b]0;owned\u0007\u009b2J\u202e\u007f\u200b"), "{line}");
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(value["entry"]["sentence"], hostile, "and nothing is lost");

    let mut csv = Vec::new();
    export(&journal, ExportFormat::Csv, &mut csv).unwrap();
    let csv = String::from_utf8(csv).unwrap();
    assert!(csv.chars().all(|c| c == '\n' || !c.is_control()) && !csv.contains('\u{202e}'), "{csv:?}");
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let record = reader.records().next().unwrap().unwrap();
    assert_eq!(&record[2], "1970-01-01T00:00:01Z");
    assert_eq!(&record[6], "x]0;owned2J\"é\\");
}

#[test]
fn an_export_is_verified_with_a_shell_and_sha256sum() {
    let folder = TempDir::new().unwrap();
    let path = session(&folder, 12);
    let mut exported = Vec::new();
    export(&Journal::open_read_only(&path).unwrap(), ExportFormat::JsonLines, &mut exported).unwrap();
    let script = r#"
        n=0
        while IFS= read -r line; do
            if [ $n -eq 0 ]; then
                last=$(printf %s "$line" | cut -c13-76)
                meta=$(printf %s "$line" | cut -c89-); meta=${meta%?}
                [ "$(printf 'knightwatch journal 1\n%s' "$meta" | sha256sum | cut -c1-64)" = "$last" ] || exit 1
            else
                prev=$(printf %s "$line" | cut -c10-73); hash=$(printf %s "$line" | cut -c84-147)
                entry=$(printf %s "$line" | cut -c158-); entry=${entry%?}
                [ "$prev" = "$last" ] || exit 2
                [ "$(printf %s%s "$prev" "$entry" | sha256sum | cut -c1-64)" = "$hash" ] || exit 3
                last=$hash
            fi
            n=$((n+1))
        done
        echo "$n lines verified"
    "#;
    let shell = |input: &[u8]| {
        let mut child = Command::new("sh")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap()
    };
    let output = shell(&exported);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "13 lines verified\n", "{:?}", output.status);
    let forged = String::from_utf8(exported.clone()).unwrap().replacen("sentence 7", "sentence 8", 1);
    assert_eq!(shell(forged.as_bytes()).status.code(), Some(3));

    assert!(compare_export(&path, exported.as_slice()).unwrap().is_sound());
    let refused = compare_export(&path, forged.as_bytes()).unwrap_err();
    assert!(matches!(refused, StoreError::ExportLine { line: 8, .. }), "{refused}");
    let without: Vec<&[u8]> = exported.split_inclusive(|byte| *byte == b'\n').collect();
    let without = [&without[..4], &without[5..]].concat().concat();
    let refused = compare_export(&path, without.as_slice()).unwrap_err();
    assert!(matches!(refused, StoreError::ExportLine { line: 5, .. }), "{refused}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any byte of any stored column of any entry, changed to any other value.
    #[test]
    fn any_single_changed_byte_is_detected_at_its_entry(
        seq in 1_u64..=8,
        column in prop::sample::select(vec!["actor", "flag", "kind", "json", "prev", "hash"]),
        place in any::<prop::sample::Index>(),
        flip in 1_u8..,
    ) {
        let folder = TempDir::new().unwrap();
        let path = session(&folder, 8);
        let connection = Connection::open(&path).unwrap();
        let read = format!("SELECT CAST({column} AS BLOB) FROM entry WHERE seq = ?1");
        let bytes: Option<Vec<u8>> = connection.query_row(&read, [seq.cast_signed()], |row| row.get(0)).unwrap();
        let mut bytes = bytes.unwrap_or_else(|| b"flag-9".to_vec());
        let at = place.index(bytes.len());
        bytes[at] ^= flip;
        let kind = if matches!(column, "prev" | "hash") { "BLOB" } else { "TEXT" };
        let write = format!("UPDATE entry SET {column} = CAST(?2 AS {kind}) WHERE seq = ?1");
        connection.execute(&write, params![seq.cast_signed(), bytes]).unwrap();
        drop(connection);
        let report = verify(&path).unwrap();
        prop_assert!(
            matches!(&report.fault, Some(ChainFault::Changed { seq: found } | ChainFault::Column { seq: found, .. }) if found.0 == seq),
            "{column} of entry {seq}: {report}"
        );
        prop_assert_eq!(report.entries, seq - 1);
        let loaded = Journal::open_read_only(&path).unwrap().load_all().collect::<Result<Vec<_>, _>>();
        prop_assert!(loaded.is_err(), "and it is never folded into a state");
    }

    /// Whatever is removed, moved or cut: the first entry that is not in its place is named.
    #[test]
    fn any_removal_swap_and_cut_is_detected(a in 1_i64..=12, b in 1_i64..=12, what in 0..3) {
        let folder = TempDir::new().unwrap();
        let path = session(&folder, 12);
        let (statement, first) = match what {
            0 => (format!("DELETE FROM entry WHERE seq = {a}"), a),
            1 if a == b => return Ok(()),
            1 => (
                format!("UPDATE entry SET seq = -1 WHERE seq = {a}; UPDATE entry SET seq = {a} WHERE seq = {b}; UPDATE entry SET seq = {b} WHERE seq = -1"),
                a.min(b),
            ),
            _ => (format!("DELETE FROM entry WHERE seq >= {a}"), a),
        };
        Connection::open(&path).unwrap().execute_batch(&statement).unwrap();
        let report = verify(&path).unwrap();
        let named = match report.fault {
            Some(ChainFault::Missing { seq } | ChainFault::Reordered { seq } | ChainFault::Cut { first: seq, .. }) => seq.0,
            other => return Err(TestCaseError::fail(format!("{other:?}"))),
        };
        prop_assert_eq!(named, first.unsigned_abs());
        prop_assert!(matches!(Journal::open(&path), Err(StoreError::Chain { .. })) || what == 1, "writing goes on");
    }
}
