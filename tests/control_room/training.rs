//! The training log: the one that comes with the program, and what the command line makes of one.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, unreachable_pub, reason = "a test")]

use crate::support::{command, pty, training};

use command::Home;
use knightwatch_agent::training::{COST, TrainingLog};
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
    let refused = home.run_on("replay --text", &other);
    assert!(refused.status(2).err.contains("expected a session file or a training log"), "{}", refused.err);
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
