//! A training log on the command line: shown on its screen, or in lines.
//!
//! `knightwatch replay LOG` comes here when the file is a training log. The only place where one is read from a disk.

use std::{fs, io::Write as _, path::Path};

use super::{Failure, Outcome, control_room, print};
use crate::config::Config;
use knightwatch_agent::training::{LinePace, TrainingLog};

/// Longest log that is read, in bytes: a hundred thousand iterations take a third of it.
const LONGEST: u64 = 128 << 20;

/// Seconds of the training between two plain lines.
const SECONDS_A_LINE: f64 = 10.0;

/// Reads a training log. What is missing of it is said on standard error.
///
/// # Errors
/// A file that cannot be read, is too large, or is no training log.
pub fn load(path: &Path) -> Result<TrainingLog, Failure> {
    let at = |error: &dyn std::fmt::Display| Failure::input(format!("{}: {error}", path.display()));
    let size = fs::metadata(path).map_err(|error| at(&error))?.len();
    if size > LONGEST {
        return Err(at(&format!("{size} bytes: expected a training log of at most {LONGEST}")));
    }
    let bytes = fs::read(path).map_err(|error| at(&error))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.split(|byte| *byte == b'\n').count();
        at(&format!("line {line}: expected text in UTF-8"))
    })?;
    let read = TrainingLog::parse(&text).map_err(|error| at(&error))?;
    if let Some(line) = read.cut {
        let note = format!("{}: line {line} was cut off and is left out", path.display());
        // Only a note: where nobody listens it is not missed.
        let _ = writeln!(std::io::stderr(), "knightwatch: {}", knightwatch_core::flag::clean(&note));
    }
    Ok(read.log)
}

/// Shows a log: in lines, or on its screen.
pub(super) fn run(path: &Path, text: bool, screen: &control_room::ScreenArgs, config: &Config) -> Outcome {
    let log = load(path)?;
    if text {
        return in_lines(&log);
    }
    let exit = control_room::show_training(log, None, screen, config)?;
    exit.report();
    Ok(exit.status())
}

fn in_lines(log: &TrainingLog) -> Outcome {
    if let Some(note) = &log.header.note {
        print::line(note)?;
    }
    let mut pace = LinePace::every(SECONDS_A_LINE);
    for line in log.points.iter().filter_map(|point| pace.line(point)) {
        print::line(&line)?;
    }
    if let Some(end) = &log.end {
        print::line(&format!(
            "{} after {}",
            end.reason.as_str(),
            knightwatch_agent::training::span(end.seconds)
        ))?;
    }
    print::DONE
}
