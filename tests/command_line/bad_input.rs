//! Bad input from everywhere: each is refused with one clear sentence that says what, where and what was expected, with
//! status 2 (bad input) or 1 (refused), nothing on standard output, and nothing left behind.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use crate::support::command;

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use command::{Ended, Home, ended};
use knightwatch_store::{Journal, SessionMeta};

/// Runs `line`, with `{}` for `file`, and checks that it was refused properly.
#[track_caller]
fn refused(home: &Home, line: &str, file: &Path, status: i32, says: &[&str]) -> Ended {
    let before = home.files();
    let mut command = home.command("");
    for word in line.split_whitespace() {
        command.arg(word.replace("{}", &file.display().to_string()));
    }
    let ended = ended(command.spawn().unwrap());
    assert_refused(&ended, line, status, says);
    assert_eq!(home.files(), before, "{line}: something was left behind");
    ended
}

#[track_caller]
fn assert_refused(ended: &Ended, line: &str, status: i32, says: &[&str]) {
    assert_eq!(ended.status.code(), Some(status), "{line}: {ended:#?}");
    assert_eq!(ended.out, "", "{line}");
    assert!(!ended.err.contains("panicked"), "{line}: {}", ended.err);
    let clear = ended.err.starts_with("knightwatch: ") || ended.err.starts_with("error: ");
    assert!(clear && ended.err.len() < 4_000, "{line}: {}", ended.err);
    for part in says {
        assert!(ended.err.contains(part), "{line}: {part:?} is not in: {}", ended.err);
    }
    let hostile = |c: char| c.is_control() && c != '\n';
    assert!(!ended.err.contains(hostile), "{line}: {:?}", ended.err);
}

const GOOD: &str = include_str!("../../config/scenarios/good.toml");

/// The verbs that take a scenario.
const SCENARIO_VERBS: [&str; 2] = ["simulate --scenario {}", "watch --scenario {}"];

/// The verbs that take a session.
const SESSION_VERBS: [&str; 5] = [
    "status --session {}",
    "audit show --session {}",
    "audit export --session {}",
    "audit verify --session {}",
    "watch --session {}",
];

#[test]
fn a_wrong_scenario_is_refused_with_its_place() {
    for (content, says) in [
        (format!("speed = 3\n{GOOD}"), ".toml:1:1: scenario \"good\": unknown key \"speed\"; known keys are"),
        (GOOD.replace("p50_ms = 60", "p50_ms = nan"), ".toml:12:10: "),
        (GOOD.replace("errors_percent = 0.3", "errors_percent = 140"), ".toml:13:18: "),
        (GOOD.replace("errors_percent = 0.3", "errors_percent = -1"), ".toml:13:18: "),
        (GOOD.replace("\"1 h\"", "\"soon\""), ".toml:7:"),
        (GOOD.replace("service = \"checkout\"", "service = \"nowhere\""), ".toml:17:11: "),
        (GOOD.replace("key = \"new-checkout-ui\"", "key = \"new checkout\""), ".toml:16:7: "),
        (format!("{GOOD}ladder_percent = [1, 140]\n"), ".toml:19:"),
        (GOOD[..GOOD.len() / 2].to_owned(), ".toml:1:1: scenario \"good\": duration is missing"),
        (format!("{GOOD}\n[[flag]]\nkey = \"new-checkout-ui\"\nservice = \"checkout\"\n"), "new-checkout-ui"),
        (String::new(), ".toml:1:1: "),
        ("= = =".to_owned(), ".toml:1:1: "),
        ("\u{1b}]0;owned\u{7} = 1".to_owned(), ".toml:1:1: "),
    ] {
        let home = Home::new();
        let file = home.file("wrong.toml", &content);
        for line in SCENARIO_VERBS {
            refused(&home, line, &file, 2, &["wrong.toml:", says]);
        }
    }
}

#[test]
fn a_wrong_configuration_is_refused_with_its_place() {
    for (content, says) in [
        ("environment = \"x\"\nspeed = 3\n", ".toml:2:1: unknown field `speed`, expected one of"),
        ("[control.evidence]\nalpha = nan\n", ".toml:2:1: control.evidence.alpha: expected"),
        ("[control.evidence]\n\nalpha = 1.4\n", ".toml:3:1: control.evidence.alpha: expected"),
        ("[screen]\nfps = \"fast\"\n", ".toml:2:7: "),
        ("[screen]\nfps = 140\n", ".toml:2:1: fps: expected 1 to 30 frames a second, found 140"),
        ("environment = \"\"\n", ".toml:1:1: environment: expected a name"),
        ("environment = \"cut", ".toml:1:"),
        ("[control]\ninterval = \"0 s\"\n", ".toml:2:1: control.interval: expected"),
    ] {
        let home = Home::new();
        let file = home.file("wrong.toml", content);
        for line in
            ["--config {} config --check", "--config {} simulate", "watch --config {}", "status --config {}"]
        {
            refused(&home, line, &file, 2, &["wrong.toml", says]);
        }
    }
}

#[test]
fn what_is_not_there_or_no_file_is_named() {
    let home = Home::new();
    let missing = home.path("missing");
    let folder = home.path("folder");
    fs::create_dir(&folder).unwrap();
    for line in SCENARIO_VERBS {
        refused(&home, line, &missing, 2, &["there is no scenario", "missing"]);
        refused(&home, line, &folder, 2, &["folder: Is a directory"]);
    }
    for line in ["--config {} simulate", "config --check --config {}"] {
        refused(&home, line, &missing, 2, &["missing: No such file"]);
        refused(&home, line, &folder, 2, &["folder: Is a directory"]);
    }
    refused(&home, "replay --text {}", &missing, 2, &["missing: No such file"]);
    refused(&home, "replay --text {}", &folder, 2, &["folder: Is a directory"]);
    for line in &SESSION_VERBS[..4] {
        refused(&home, line, &missing, 2, &["there is no session file", "missing"]);
    }
    for line in SESSION_VERBS {
        refused(&home, line, &folder, 2, &["folder is not a knightwatch session: it is not a file"]);
    }
    for line in ["status", "audit verify"] {
        refused(&home, line, &missing, 2, &["no session yet in"]);
    }
    refused(&home, "audit verify --export {} --session {}", &missing, 2, &["missing: No such file"]);
}

#[test]
fn wrong_words_on_the_command_line_are_refused() {
    let home = Home::new();
    let nothing = PathBuf::new();
    for (line, says) in [
        ("simulate --policy nobody", "invalid value 'nobody'"),
        ("simulate --seed many", "invalid value 'many'"),
        ("simulate --seed -1", "-1"),
        ("simulate --seed 18446744073709551616", "18446744073709551616"),
        ("watch --speed 3601", "3601"),
        ("--speed 0", "0 is not in 1..=3600"),
        ("watch --flag no%such", "no%such"),
        ("watch --flag no-such-flag", "there is no flag no-such-flag"),
        ("scenarios nosuch", "there is no built-in scenario \"nosuch\""),
        ("audit verify --head 12", "a head is SEQ:HASH"),
        ("audit verify --head 1:zz", "a hash has 64 hexadecimal digits"),
        ("audit export --format xml", "invalid value 'xml'"),
        ("launch", "unrecognized subcommand 'launch'"),
        ("--glyphs pretty", "invalid value 'pretty'"),
    ] {
        refused(&home, line, &nothing, 2, &[says]);
    }
}

/// The program under a limit on its memory, on 100 MB of something.
#[track_caller]
fn refused_in_bounds(home: &Home, line: &str, file: &Path, status: i32, says: &[&str]) {
    // Address space: the program itself maps some 50 MB, and a reader of whole files would need 100 MB more.
    let limited = "ulimit -v 120000; exec \"$0\" \"$@\"";
    let plain = home.command("");
    let mut command = Command::new("sh");
    command.args(["-c", limited]).arg(plain.get_program());
    for word in line.split_whitespace() {
        command.arg(word.replace("{}", &file.display().to_string()));
    }
    for (name, value) in plain.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.current_dir(home.path("")).stdin(std::process::Stdio::null());
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let before = home.files();
    let ended = ended(command.spawn().unwrap());
    assert_refused(&ended, line, status, says);
    assert_eq!(home.files(), before, "{line}: something was left behind");
}

#[test]
fn a_hundred_megabytes_of_garbage_take_neither_memory_nor_time() {
    let home = Home::new();
    let noise: Vec<u8> = (0..1_000_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[1]).collect();
    let text: Vec<u8> = noise.iter().map(|byte| b'a' + byte % 26).collect();
    for (name, content) in [("noise", &noise), ("oneline", &text)] {
        let file = home.path(name);
        let mut out = File::create(&file).unwrap();
        for _ in 0..100 {
            out.write_all(content).unwrap();
        }
        drop(out);
        for (line, says) in [
            ("simulate --scenario {}", "at most"),
            ("watch --scenario {}", "at most"),
            ("config --check --config {}", "at most"),
            ("replay --text {}", "expected a session file or a training log"),
        ] {
            refused_in_bounds(&home, line, &file, 2, &[name, says]);
        }
        for line in SESSION_VERBS {
            refused_in_bounds(&home, line, &file, 2, &[name, "is not a knightwatch session"]);
        }
        fs::remove_file(&file).unwrap();
    }
    // And what has no end at all.
    let endless = Path::new("/dev/zero");
    for line in ["simulate --scenario {}", "config --check --config {}"] {
        refused_in_bounds(&home, line, endless, 2, &["/dev/zero"]);
    }
}

/// A small session of its own.
fn session(home: &Home) -> PathBuf {
    let path = home.path("s.knightwatch");
    home.run_on("watch --scenario good --session", &path).fine();
    path
}

#[test]
fn a_session_in_use_is_refused_by_name_of_its_holder() {
    let home = Home::new();
    let path = session(&home);
    let _held = Journal::open(&path).unwrap();
    let holder = format!("in use by another knightwatch (process {})", std::process::id());
    refused(&home, "watch --session {}", &path, 1, &["s.knightwatch", &holder]);
}

#[test]
fn a_damaged_session_is_refused_and_left_as_it_is() {
    let (damaged, untrusted) =
        ("is damaged (database disk image is malformed)", "cannot be trusted: the recorded head");
    for (damage, says) in [("middle", damaged), ("cut", damaged), ("head", untrusted)] {
        let home = Home::new();
        let path = session(&home);
        let mut bytes = fs::read(&path).unwrap();
        let half = bytes.len() / 2;
        match damage {
            "middle" => bytes[4_096..half].fill(0xa5),
            "cut" => bytes.truncate(half),
            _ => fs::write(home.path("s.knightwatch.head"), "nonsense\n").unwrap(),
        }
        fs::write(&path, &bytes).unwrap();
        let _ = fs::remove_file(home.path("s.knightwatch-wal"));
        let _ = fs::remove_file(home.path("s.knightwatch-shm"));
        let ended = home.run_on("watch --session", &path);
        assert_refused(&ended, damage, 1, &["s.knightwatch", says]);
        assert_eq!(fs::read(&path).unwrap(), bytes, "{damage}: not a byte is changed");
        let verified = home.run_on("audit verify --session", &path);
        verified.status(1);
        assert!(!(verified.out.clone() + &verified.err).contains("panicked"), "{verified:?}");
    }
}

#[test]
fn another_database_and_a_session_of_telemetry_are_told_apart() {
    let home = Home::new();
    let other = home.path("other.sqlite");
    rusqlite::Connection::open(&other)
        .unwrap()
        .execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1);")
        .unwrap();
    for line in SESSION_VERBS {
        refused(&home, line, &other, 2, &["is an SQLite database of another application"]);
    }
    refused(&home, "replay --text {}", &other, 2, &["another application"]);
    let recorded = home.path("recorded.knightwatch");
    drop(Journal::create(&recorded, &SessionMeta::default()).unwrap());
    refused(&home, "watch --session {}", &recorded, 2, &["not a session of the simulator"]);
    refused(&home, "replay --text {}", &recorded, 2, &["no telemetry was recorded in it"]);
    let newer = session(&home);
    rusqlite::Connection::open(&newer).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let ended = home.run_on("watch --session", &newer);
    assert_refused(&ended, "newer", 2, &["was written by a newer knightwatch (format 99"]);
}

#[test]
fn a_state_folder_that_cannot_be_written_is_named_and_nothing_is_half_done() {
    let home = Home::new();
    let blocked = home.file("blocked", "a file where a folder should be");
    for state in [blocked.as_path(), Path::new("/dev/null")] {
        let mut command = home.command("watch --scenario good");
        command.env("KNIGHTWATCH_STATE", state);
        let ended = ended(command.spawn().unwrap());
        assert_eq!((ended.status.code(), ended.out.as_str()), (Some(1), ""), "{ended:?}");
        assert!(ended.err.contains(&state.display().to_string()), "{}", ended.err);
    }
    assert_eq!(home.files(), [blocked]);
}

#[test]
fn a_session_that_cannot_be_made_leaves_nothing() {
    let home = Home::new();
    let blocked = home.file("blocked", "x");
    refused(&home, "watch --scenario good --session {}/s", &blocked, 1, &["blocked"]);
    refused(&home, "watch --scenario nosuch --session {}-2", &blocked, 2, &["nosuch"]);
    refused(&home, "watch --flag nosuch --session {}-3", &blocked, 2, &["there is no flag nosuch"]);
}
