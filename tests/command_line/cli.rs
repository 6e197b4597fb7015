//! The program on the command line: what each verb prints, how it ends, and that neither changes unseen.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use crate::support::command;

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::Child,
};

use command::{Ended, Home, ended};
use knightwatch_agent::PolicyName;
use serde_json::Value;
use sha2::{Digest, Sha256};

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

/// The session that the last program left in its state folder.
fn session(home: &Home) -> PathBuf {
    let mut sessions: Vec<PathBuf> =
        std::fs::read_dir(home.sessions()).unwrap().map(|file| file.unwrap().path()).collect();
    sessions.retain(|path| path.extension().is_some_and(|ending| ending == "knightwatch"));
    sessions.into_iter().max().unwrap()
}

/// A session of the error spike, lived through to its end.
fn spiked() -> (Home, PathBuf, Ended) {
    let home = Home::new();
    let watched = home.run("watch --scenario wakes-at-50 --policy rule --seed 3");
    watched.fine();
    let session = session(&home);
    (home, session, watched)
}

#[test]
fn simulate_gives_the_same_bytes_for_the_same_seed_and_others_for_another() {
    let home = Home::new();
    for form in ["", " --json"] {
        let run =
            |seed| home.run(&format!("simulate --scenario power-peg --policy flagger --seed {seed}{form}"));
        let (first, again, other) = (run(5), run(5), run(6));
        first.fine();
        assert!(first.out.lines().count() > 10, "{}", first.out);
        assert_eq!(first.out, again.out);
        assert_ne!(first.out, other.out);
    }
    assert!(home.files().is_empty(), "it leaves nothing behind");
}

#[test]
fn simulate_in_json_is_the_journal_and_then_the_result() {
    let home = Home::new();
    let lines = home.run("simulate --scenario error-spike --policy rule --seed 2 --json").json();
    let (report, entries) = lines.split_last().unwrap();
    for (number, entry) in (1..).zip(entries) {
        assert_eq!(keys(entry), ["actor", "at", "event", "flag", "sentence", "seq"]);
        assert_eq!(entry["seq"], number);
        assert!(entry["at"].is_u64() && entry["event"]["event"].is_string() && entry["sentence"].is_string());
    }
    assert_eq!(keys(report), ["flags", "policy", "scenario", "seed"]);
    assert_eq!(
        (&report["policy"], &report["scenario"], &report["seed"]),
        (&"rule".into(), &"error-spike".into(), &2.into())
    );
    let flag = &report["flags"][0];
    let fields = [
        "bad_requests",
        "bad_requests_answered",
        "complete_at",
        "cost",
        "cost_at_full",
        "detectability",
        "escalated",
        "flag",
        "flips",
        "harm",
        "harmed_at",
        "harmful",
        "harmful_at_end",
        "phase",
        "points",
        "rollback_points",
        "rolled_back_at",
        "rollout",
        "started_at",
    ];
    assert_eq!(keys(flag), fields);
    assert_eq!(flag["harmful"], true);
    assert!(flag["rolled_back_at"].as_u64().unwrap() > flag["started_at"].as_u64().unwrap(), "{flag}");
    let quiet = home.run("simulate --scenario error-spike --policy rule --seed 2 --json --quiet").json();
    assert_eq!(quiet, std::slice::from_ref(report));
}

#[test]
fn watch_until_done_says_in_its_status_how_it_went() {
    let home = Home::new();
    for speed in ["0", "3600"] {
        let good = home.run(&format!("watch --until done --scenario good --policy rule --speed {speed}"));
        good.fine();
        assert!(good.out.lines().last().unwrap().contains("raised from 99 % to 100 %"), "{}", good.out);
    }
    let bad = home.run("watch --until done --scenario wakes-at-50 --policy rule --seed 3");
    bad.status(1);
    assert_eq!(bad.err, "");
    assert!(bad.out.contains("rolled back from"), "{}", bad.out);
    // A scenario in which nobody starts anything did not go well.
    let text = home.run("scenarios good").out.replace("start = \"30 s\"\n", "");
    let nothing = home.run_on("watch --until done --scenario", &home.file("nobody.toml", text));
    assert!(!nothing.out.contains("started at"), "{}", nothing.out);
    nothing.status(1);
}

#[test]
fn watch_can_keep_to_one_flag() {
    let home = Home::new();
    let all = home.run("watch --scenario interaction --policy rule --json");
    let one = home.run("watch --scenario interaction --policy rule --json --flag new-checkout-ui");
    one.fine();
    let of_it: Vec<Value> =
        all.json().into_iter().filter(|entry| entry["flag"] == "new-checkout-ui").collect();
    assert!(of_it.len() > 2 && of_it.len() < all.json().len());
    assert_eq!(one.json(), of_it);
}

#[test]
fn status_and_audit_read_the_session_that_watch_made() {
    let (home, session, watched) = spiked();
    let status = home.run("status --json").json().remove(0);
    assert_eq!(
        keys(&status),
        ["alarms", "at", "environment", "flags", "latch", "policy", "seq", "session", "settings", "source"]
    );
    assert_eq!(status["session"], session.display().to_string());
    assert_eq!(status["seq"], watched.out.lines().count());
    let flag = &status["flags"][0];
    assert_eq!(keys(flag), ["hold", "key", "last", "phase", "phase_since", "rollout_percent", "service"]);
    assert_eq!((&flag["phase"], &flag["rollout_percent"]), (&"rolled_back".into(), &0.0.into()));
    let text = home.run("status");
    text.fine();
    assert!(text.out.contains("rolled back"), "{}", text.out);

    let shown = home.run("audit show");
    assert_eq!(shown.fine().out, watched.out, "what was said then");
    let raises = home.run("audit show --kind raise --actor agent --json").json();
    assert!(!raises.is_empty() && raises.iter().all(|entry| entry["actor"] == "agent"));
    assert_eq!(home.run("audit show --last 2").out.lines().count(), 2);
    assert_eq!(home.run("audit show --flag nobodys-flag").fine().out, "");
    let csv = home.run("audit export --format csv");
    assert_eq!(csv.fine().out.lines().count(), watched.out.lines().count() + 1);
    let verified = home.run("audit verify");
    assert!(verified.fine().out.starts_with("Sound: "), "{}", verified.out);
    assert_eq!(verified.out.lines().count(), 2, "a sentence a line: {}", verified.out);
}

/// SHA-256 as 64 digits.
fn sha256(text: &str) -> String {
    Sha256::digest(text)
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from_digit(digit.into(), 16).unwrap())
        .collect()
}

#[test]
fn an_export_can_be_verified_by_anyone_with_sha256() {
    let (home, _, watched) = spiked();
    let export = home.run("audit export");
    export.fine();
    let mut lines = export.out.lines();
    let first = lines.next().unwrap();
    let (genesis, meta) =
        first.strip_prefix(r#"{"genesis":""#).unwrap().split_once(r#"","session":"#).unwrap();
    assert_eq!(genesis, sha256(&format!("knightwatch journal 1\n{}", meta.strip_suffix('}').unwrap())));
    let mut head = genesis.to_owned();
    let mut count = 0;
    for line in lines {
        // As the shell lines in the documentation cut them.
        let (prev, hash, entry) = (&line[9..73], &line[83..147], &line[157..line.len() - 1]);
        assert_eq!(prev, head);
        assert_eq!(hash, sha256(&format!("{prev}{entry}")));
        assert!(serde_json::from_str::<Value>(entry).is_ok());
        head = hash.to_owned();
        count += 1;
    }
    assert_eq!(count, watched.out.lines().count());
    let given = home.run(&format!("audit verify --head {count}:{head}"));
    assert!(given.fine().out.contains("The given head"), "{}", given.out);
    let file = home.file("export.jsonl", &export.out);
    home.run_on("audit verify --export", &file).fine();
    let changed = home.file("changed.jsonl", export.out.replacen("1 %", "2 %", 1));
    let refused = home.run_on("audit verify --export", &changed);
    assert!(refused.status(1).err.contains("was changed"), "{}", refused.err);
}

#[test]
fn verify_finds_a_changed_byte_and_a_cut_tail() {
    let (home, session, _) = spiked();
    let tamper = |sql: &str| {
        let changed = rusqlite::Connection::open(&session).unwrap().execute(sql, []).unwrap();
        assert!(changed > 0, "{sql}");
    };
    tamper("UPDATE entry SET json = replace(json, 'started at 1 %', 'started at 2 %') WHERE kind = 'start'");
    let changed = home.run("audit verify");
    assert!(changed.status(1).out.starts_with("NOT sound: entry #3 was changed."), "{}", changed.out);
    for reader in ["audit show", "audit export", "status"] {
        let refused = home.run(reader);
        assert!(refused.status(1).err.contains("entry #3 was changed"), "{reader}: {}", refused.err);
    }
    tamper("UPDATE entry SET json = replace(json, 'started at 2 %', 'started at 1 %') WHERE kind = 'start'");
    home.run("audit verify").fine();
    tamper("DELETE FROM entry WHERE seq > 4");
    let cut = home.run("audit verify");
    assert!(cut.status(1).out.starts_with("NOT sound: the tail was cut: entry #5 is missing"), "{}", cut.out);
}

/// A session that another process is writing, and its first lines.
fn being_written(home: &Home) -> (Child, PathBuf) {
    let session = home.path("live.knightwatch");
    let mut child =
        home.command("watch --scenario default --speed 600 --session").arg(&session).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    for _ in 0..25 {
        assert!(out.read_line(&mut String::new()).unwrap() > 0);
    }
    child.stdout = Some(out.into_inner());
    (child, session)
}

#[test]
fn a_session_can_be_read_while_another_process_writes_it_but_not_written() {
    let home = Home::new();
    let (mut child, session) = being_written(&home);
    for line in [
        "status --json --session",
        "audit show --session",
        "audit export --session",
        "audit verify --session",
    ] {
        let read = home.run_on(line, &session);
        read.fine();
        assert!(!read.out.is_empty());
    }
    let refused = home.run_on("watch --session", &session);
    let holder = format!("in use by another knightwatch (process {})", child.id());
    assert!(refused.status(1).err.contains(&holder), "{}", refused.err);
    assert_eq!(refused.out, "");
    assert!(child.try_wait().unwrap().is_none(), "it goes on");
    child.kill().unwrap();
    child.wait().unwrap();
    // Killed at any point, the session goes on where it was.
    let resumed = home.run_on("watch --until done --session", &session);
    assert!(matches!(resumed.status.code(), Some(0 | 1)), "{resumed:?}");
    home.run_on("audit verify --session", &session).fine();
}

#[test]
fn a_resumed_session_keeps_what_it_was_started_with() {
    let home = Home::new();
    let session = home.path("mine.knightwatch");
    let whole = home.run("watch --scenario wakes-at-50 --seed 3 --policy flagger").fine().out.clone();
    let mut child = home
        .command("watch --scenario wakes-at-50 --seed 3 --policy flagger --speed 3600 --session")
        .arg(&session)
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    while !line.contains("5 %") {
        line.clear();
        assert!(out.read_line(&mut line).unwrap() > 0, "it is raised at some time");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let resumed = home.run_on("watch --session", &session);
    assert!(resumed.fine().out.contains("Session resumed, steered by flagger."), "{}", resumed.out);
    assert_eq!(command::uninterrupted(&resumed.out), command::uninterrupted(&whole), "but for that the same");
    for (asked, kept) in
        [("--seed 4", "has seed 3, not 4"), ("--scenario good", "has scenario wakes-at-50, not good")]
    {
        let refused = home.run_on(&format!("watch {asked} --session"), &session);
        assert!(refused.status(2).err.contains(kept), "{}", refused.err);
    }
}

#[test]
fn a_recorded_session_is_replayed_word_for_word() {
    let (home, session, watched) = spiked();
    let replayed = home.run_on("replay --text", &session);
    assert_eq!(replayed.fine().out, watched.out);
}

#[test]
fn what_a_shadow_would_have_done_is_journalled_beside_what_was_done() {
    let home = Home::new();
    let watched = home.run("watch --scenario default --policy rule --shadow schedule --seed 3");
    watched.fine();
    let is_shadow = |line: &&str| line.contains("the shadow schedule ");
    let others: Vec<&str> = watched.out.lines().filter(|line| !is_shadow(line)).collect();
    let alone = Home::new().run("watch --scenario default --policy rule --seed 3");
    assert_eq!(command::uninterrupted(&others.join("\n")), command::uninterrupted(&alone.fine().out));
    let shown = home.run("audit show --kind shadow");
    let expected: Vec<&str> = watched.out.lines().filter(is_shadow).collect();
    assert_eq!(shown.fine().out.lines().collect::<Vec<_>>(), expected);
    assert!(expected.len() > 2 && expected.iter().any(|line| line.contains("agrees again")), "{}", shown.out);
    home.run("audit verify").fine();
    let csv = home.run("audit export --format csv");
    assert_eq!(csv.fine().out.matches(",shadow,").count(), expected.len());
    let session = session(&home);
    assert_eq!(home.run_on("replay --text", &session).fine().out, watched.out);

    let simulate = "simulate --scenario default --policy rule --seed 3";
    let simulated = home.run(&format!("{simulate} --shadow schedule"));
    let others: Vec<&str> = simulated.fine().out.lines().filter(|line| !is_shadow(line)).collect();
    assert!(others.len() < simulated.out.lines().count());
    let alone = home.run(simulate);
    assert_eq!(command::uninterrupted(&others.join("\n")), command::uninterrupted(&alone.fine().out));
    let config = home.file("shadow.toml", "[agent]\nshadow = \"schedule\"\n");
    assert_eq!(home.run_on(&format!("{simulate} --config"), &config).fine().out, simulated.out);
    let config = home.file("wrong.toml", "[agent]\nshadow = \"nosuch\"\n");
    let refused = home.run_on(&format!("{simulate} --config"), &config);
    assert!(refused.status(2).err.contains("wrong.toml:2:"), "{}", refused.err);
}

#[test]
fn scenarios_are_listed_and_printed_as_they_are() {
    let home = Home::new();
    let listed = home.run("scenarios");
    listed.fine();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/scenarios");
    let files: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let names: BTreeSet<String> =
        listed.out.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(names, files);
    let good = home.run("scenarios good");
    assert_eq!(good.fine().out, include_str!("../../config/scenarios/good.toml"));
    let file = home.file("mine.toml", &good.out);
    let own = home.run_on("simulate --scenario", &file);
    assert_eq!(own.fine().out, home.run("simulate --scenario good").out);
}

#[test]
fn the_configuration_is_printed_and_checked() {
    let home = Home::new();
    assert_eq!(home.run("config").fine().out, include_str!("../../config/default.toml"));
    let in_force = home.run("config --check");
    in_force.fine();
    let again = home.file("again.toml", &in_force.out);
    assert_eq!(home.run_on("config --check --config", &again).fine().out, in_force.out);
    let mine = home.file("mine.toml", "environment = \"prod\"\n[screen]\nfps = 9\n");
    let checked = home.run_on("config --check --config", &mine);
    assert!(checked.fine().out.contains("environment = \"prod\"") && checked.out.contains("fps = 9"));
    // The environment goes over the file, and the usual file is found.
    std::fs::create_dir_all(home.path("config/knightwatch")).unwrap();
    std::fs::copy(&mine, home.path("config/knightwatch/config.toml")).unwrap();
    let over = ended(home.command("config --check").env("KNIGHTWATCH_FPS", "7").spawn().unwrap());
    assert!(
        over.fine().out.contains("environment = \"prod\"") && over.out.contains("fps = 7"),
        "{}",
        over.out
    );
    for (variable, value, expected) in [
        ("KNIGHTWATCH_FPS", "90", "KNIGHTWATCH_FPS=\"90\": expected 1 to 30 frames a second"),
        ("KNIGHTWATCH_ENVIRONMENT", " ", "KNIGHTWATCH_ENVIRONMENT=\" \": expected a name"),
    ] {
        let wrong = ended(home.command("config --check").env(variable, value).spawn().unwrap());
        assert!(wrong.status(2).err.contains(expected), "{}", wrong.err);
    }
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let (home, session, _) = spiked();
    let session = session.display();
    for line in [
        "simulate".to_owned(),
        "simulate --json".to_owned(),
        "watch".to_owned(),
        "watch --speed 3600".to_owned(),
        "scenarios".to_owned(),
        "scenarios default".to_owned(),
        "config".to_owned(),
        format!("replay --text {session}"),
        format!("status --session {session}"),
        format!("audit show --session {session}"),
        format!("audit export --session {session}"),
        format!("audit export --format csv --session {session}"),
        format!("audit verify --session {session}"),
    ] {
        let mut child = home.command(&line).spawn().unwrap();
        drop(child.stdout.take());
        let ended = ended(child);
        ended.status(0);
        assert_eq!(ended.err, "", "{line}");
    }
    // And where nobody hears the complaints either, the status still says it.
    let mut child = home.command("simulate --scenario nosuch").spawn().unwrap();
    drop(child.stderr.take());
    ended(child).status(2);
}

#[test]
fn without_a_terminal_it_says_what_to_use_instead() {
    let home = Home::new();
    for line in ["", "--read-only", "--scenario good"] {
        let refused = home.run(line);
        refused.status(2);
        assert!(
            refused.err.contains("is not a terminal") && refused.err.contains("knightwatch watch"),
            "{}",
            refused.err
        );
        assert_eq!(refused.out, "");
    }
    assert!(home.files().is_empty(), "no session was begun");
}

#[test]
fn help_is_what_it_was() {
    let home = Home::new();
    for verb in [
        "",
        "simulate",
        "watch",
        "status",
        "replay",
        "audit",
        "audit show",
        "audit export",
        "audit verify",
        "explain",
        "scenarios",
        "config",
    ] {
        let help = home.run(&format!("{verb} --help"));
        help.fine();
        assert!(help.out.lines().all(|line| line.chars().count() <= 100), "{}", help.out);
        let name =
            if verb.is_empty() { "help".to_owned() } else { format!("help_{}", verb.replace(' ', "_")) };
        // Which policy steers by default is not what help is about.
        let default = format!("[default: {}]", PolicyName::default());
        insta::assert_snapshot!(name, help.out.replace(&default, "[default: POLICY]"));
    }
    let version = home.run("--version");
    assert_eq!(version.fine().out, format!("knightwatch {}\n", env!("CARGO_PKG_VERSION")));
}
