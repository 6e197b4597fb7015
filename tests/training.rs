//! The training log: the one that comes with the program, and what the command line makes of one.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, unreachable_pub, reason = "a test")]

#[path = "support/command.rs"]
mod command;
#[path = "support/pty.rs"]
#[allow(dead_code, clippy::expect_used, reason = "shared with the tests of the terminal")]
mod pty;
#[path = "support/training.rs"]
mod training;

use command::Home;
use knightwatch::agent::training::{COST, TrainingLog};
use portable_pty::CommandBuilder;
use pty::Pty;

/// Writes the example to the file named by `KNIGHTWATCH_EXAMPLE`, where that is set.
#[test]
fn the_example_says_that_it_is_one() {
    let mut log = training::log(training::ITERATIONS);
    log.header.note = Some(training::NOTE.to_owned());
    let text = log.to_text();
    assert_eq!(TrainingLog::parse(&text).unwrap().log.header, log.header);
    if let Some(path) = std::env::var_os("KNIGHTWATCH_EXAMPLE") {
        std::fs::write(path, text).unwrap();
    }
}

#[test]
fn the_log_that_comes_with_the_program_can_be_read() {
    let log = TrainingLog::shipped().unwrap();
    assert!(log.points.len() > 1 && log.end.is_some(), "a training from beginning to end");
    assert!(!log.header.opponents_by(COST).is_empty());
}

#[test]
fn a_training_log_is_replayed_in_lines() {
    let home = Home::new();
    let file = home.file("run.jsonl", training::log(training::ITERATIONS).to_text());
    let replayed = home.run_on("replay --text", &file);
    let lines: Vec<&str> = replayed.fine().out.lines().collect();
    assert_eq!(lines.iter().filter(|line| line.contains("validation: cost")).count(), 24, "every validation");
    assert!(lines[0].starts_with("2 s  iteration 1  8192 steps  reward – an episode"), "{}", lines[0]);
    assert_eq!(lines.last(), Some(&"stopped early: no better any more after 6:24 min"));
    assert!(!replayed.out.contains('\u{1b}'), "no escape codes");
}

#[test]
fn the_curves_are_written_as_a_table_and_as_a_picture() {
    let home = Home::new();
    let log = training::log(training::ITERATIONS);
    let file = home.file("run.jsonl", log.to_text());
    let (table, picture) = (home.path("curves.csv"), home.path("curves.svg"));
    let options = format!("replay --csv {} --svg {}", table.display(), picture.display());
    home.run_on(&options, &file).fine();
    let mut rows = csv::Reader::from_path(&table).unwrap();
    let names = rows.headers().unwrap().clone();
    let place = |name: &str| names.iter().position(|found| found == name).unwrap();
    let rows: Vec<csv::StringRecord> = rows.records().collect::<Result<_, _>>().unwrap();
    assert_eq!(rows.len(), 240);
    assert_eq!(&rows[0][place("reward (an episode)")], "", "no episode had ended");
    let harm: f64 = rows[199][place("harm")].parse().unwrap();
    assert!((harm - log.points[199].validation.unwrap().harm).abs() < 1e-9);
    assert_eq!(&rows[199][place("best so far")], "1");
    assert_eq!(&rows[0][place("harm")], "");

    let drawn = std::fs::read_to_string(&picture).unwrap();
    assert_eq!(drawn.matches("<polyline").count(), 6, "six curves");
    for said in [
        "harm on validation",
        "cost units a flag",
        "rule 4.1",
        "at iteration 200",
        "nats",
        "1.97 M steps",
        "seed 7",
    ] {
        assert!(drawn.contains(said), "{said}");
    }
    home.run_on(&options, &file).fine();
    assert_eq!(std::fs::read_to_string(&picture).unwrap(), drawn, "the same log gives the same bytes");
}

#[test]
fn what_cannot_be_read_is_refused_with_file_and_line() {
    let home = Home::new();
    let text = training::log(30).to_text();
    let broken = home.file("broken.jsonl", text.replacen("\"iteration\":7,", "\"iteration\":2,", 1));
    let refused = home.run_on("replay --text", &broken);
    assert!(
        refused.status(2).err.contains("broken.jsonl: line 8: iteration 2: expected one after 6"),
        "{}",
        refused.err
    );
    let cut = home.file("cut.jsonl", &text[..text.len() - 20]);
    let replayed = home.run_on("replay --text", &cut);
    replayed.status(0);
    assert!(replayed.err.contains("cut.jsonl: line 31 was cut off and is left out"), "{}", replayed.err);
    let other = home.file("other.csv", "timestamp,value\n");
    let refused = home.run_on("replay --svg x.svg", &other);
    assert!(refused.status(2).err.contains("--svg is for a training log"), "{}", refused.err);
    let both = home.run_on("replay --text --csv x.csv", &cut);
    assert!(both.status(2).err.contains("expected only one of them"), "{}", both.err);
}

#[test]
fn a_training_log_is_played_on_a_terminal_and_left_with_q() {
    let home = Home::new();
    let file = home.file("run.jsonl", training::log(training::ITERATIONS).to_text());
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_knightwatch"));
    command.args(["replay", "--glyphs", "unicode"]);
    command.arg(&file);
    for name in ["XDG_STATE_HOME", "XDG_CONFIG_HOME", "HOME"] {
        command.env(name, home.path(""));
    }
    command.cwd(home.path(""));
    command.env("TERM", "xterm-256color");
    let mut pty = Pty::start(command);
    pty.until_shown("cost on validation");
    pty.type_in("G");
    pty.until_shown("stopped early");
    pty.until_shown("★");
    pty.type_in("g");
    pty.until_shown("iteration 1 ");
    pty.type_in("\x0b");
    pty.until_shown("there are no flags to act on");
    pty.type_in("q");
    assert_eq!(pty.end().status.exit_code(), 0);
    pty.assert_restored();
}
