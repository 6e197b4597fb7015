//! The first frame after start, embedded: budget 50 ms. Beside it what the process alone costs (`--version`).
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::{
    io::Read,
    process::Command,
    time::{Duration, Instant},
};

use portable_pty::{CommandBuilder, PtySize, native_pty_system};

const PROGRAM: &str = env!("CARGO_BIN_EXE_knightwatch");

/// What stands in the last line of the first frame.
const SHOWN: &[u8] = b"kill all";

const RUNS: usize = 20;

fn main() {
    let state = tempfile::tempdir().unwrap();
    let mut bare: Vec<Duration> = (0..RUNS).map(|_| bare_process()).collect();
    let mut frames: Vec<Duration> = (0..RUNS).map(|_| first_frame(state.path())).collect();
    bare.sort();
    frames.sort();
    let (bare, frame) = (bare[RUNS / 2], frames[RUNS / 2]);
    println!("process alone (--version)    median {:6.1} ms", bare.as_secs_f64() * 1e3);
    println!(
        "first frame, embedded        median {:6.1} ms, worst of {RUNS} {:6.1} ms (budget 50 ms)",
        frame.as_secs_f64() * 1e3,
        frames[RUNS - 1].as_secs_f64() * 1e3
    );
}

fn bare_process() -> Duration {
    let begun = Instant::now();
    assert!(Command::new(PROGRAM).arg("--version").output().unwrap().status.success());
    begun.elapsed()
}

/// From starting the process to the end of its first frame.
fn first_frame(state: &std::path::Path) -> Duration {
    let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
    let pty = native_pty_system().openpty(size).unwrap();
    let mut command = CommandBuilder::new(PROGRAM);
    command.arg("--no-briefing");
    command.env("KNIGHTWATCH_STATE", state);
    command.env("TERM", "xterm-256color");
    command.env("LANG", "C.UTF-8");
    let mut output = pty.master.try_clone_reader().unwrap();
    let begun = Instant::now();
    let mut child = pty.slave.spawn_command(command).unwrap();
    let mut seen = Vec::new();
    let mut buffer = [0; 16_384];
    while !seen.windows(SHOWN.len()).any(|window| window == SHOWN) {
        let read = output.read(&mut buffer).unwrap();
        assert!(read > 0, "ended without a frame: {}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&buffer[..read]);
    }
    let took = begun.elapsed();
    child.kill().unwrap();
    child.wait().unwrap();
    took
}
