//! A training log on the command line: shown, in lines, as a table and as a picture.
//!
//! `knightwatch replay LOG` comes here when the file is a training log. The only place where one is read from a disk.

mod svg;

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

pub(super) use svg::svg;

use super::{Failure, Outcome, control_room, print};
use crate::{
    agent::training::{LinePace, METRICS, TrainingLog, TrainingPoint},
    config::Config,
};

/// Longest log that is read, in bytes: a hundred thousand iterations take a third of it.
const LONGEST: u64 = 128 << 20;

/// Seconds of the training between two plain lines.
const SECONDS_A_LINE: f64 = 10.0;

/// What is made of a training log beside showing it.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct CurveArgs {
    /// Write a training log's curves as a picture, and show nothing; - is standard output
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Write a training log's points as a table, and show nothing; - is standard output
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

impl CurveArgs {
    /// The option that was given, where one was.
    pub(super) const fn given(&self) -> Option<&'static str> {
        match (&self.svg, &self.csv) {
            (Some(_), _) => Some("--svg"),
            (None, Some(_)) => Some("--csv"),
            (None, None) => None,
        }
    }
}

/// Reads a training log. What is missing of it is said on standard error.
pub(super) fn load(path: &Path) -> Result<TrainingLog, Failure> {
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
        let _ = writeln!(std::io::stderr(), "knightwatch: {}", crate::flag::clean(&note));
    }
    Ok(read.log)
}

/// Does what was asked with a log; shows it where nothing else was.
pub(super) fn run(
    path: &Path,
    args: &CurveArgs,
    text: bool,
    screen: &control_room::ScreenArgs,
    config: &Config,
) -> Outcome {
    if text && args.given().is_some() {
        return Err(Failure::input(
            "--text prints lines, --svg and --csv write files: expected only one of them",
        ));
    }
    if [&args.svg, &args.csv].into_iter().all(|file| file.as_deref() == Some(Path::new("-"))) {
        return Err(Failure::input("--svg - and --csv - both write to standard output: expected only one"));
    }
    let log = load(path)?;
    if text {
        return in_lines(&log);
    }
    if args.given().is_none() {
        let exit = control_room::show_training(log, None, screen, config)?;
        exit.report();
        return Ok(exit.status());
    }
    if let Some(path) = &args.svg {
        put(path, svg(&log).as_bytes())?;
    }
    if let Some(path) = &args.csv {
        put(path, &csv(&log)?)?;
    }
    print::DONE
}

/// Writes a log's curves as a picture and as a table.
#[cfg(feature = "train")]
pub(super) fn write(log: &TrainingLog, picture: &Path, table: &Path) -> Result<(), Failure> {
    put(picture, svg(log).as_bytes())?;
    put(table, &csv(log)?)
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    if path == Path::new("-") {
        return print::bytes(bytes);
    }
    fs::write(path, bytes).map_err(|error| Failure::refused(format!("{}: {error}", path.display())))
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
        print::line(&format!("{} after {}", end.reason.as_str(), crate::agent::training::span(end.seconds)))?;
    }
    print::DONE
}

/// One column of the table.
type Cell = (&'static str, fn(&TrainingPoint) -> Option<f64>);

/// What a validation came to, with units.
const VALIDATION: [Cell; 6] = [
    ("harm", |point| point.validation.map(|found| found.harm)),
    ("cost", |point| point.validation.map(|found| found.cost)),
    ("best opponent harm", |point| point.validation.and_then(|found| found.best_opponent_harm)),
    ("minutes to full", |point| point.validation.and_then(|found| found.minutes_to_full)),
    ("false rollbacks %", |point| point.validation.and_then(|found| found.false_rollbacks_percent)),
    ("best so far", |point| point.validation.map(|found| f64::from(u8::from(found.best)))),
];

/// The points as CSV, a line each; what was not measured is empty.
fn csv(log: &TrainingLog) -> Result<Vec<u8>, Failure> {
    let mut out = csv::Writer::from_writer(Vec::new());
    let metrics = METRICS.iter().map(|metric| match metric.unit {
        "" => metric.name.to_owned(),
        unit => format!("{} ({})", metric.name, unit),
    });
    let names = ["iteration", "steps", "seconds"].map(str::to_owned).into_iter().chain(metrics);
    let names = names.chain(VALIDATION.iter().map(|(name, _)| (*name).to_owned()));
    out.write_record(names).map_err(Failure::refused)?;
    for point in &log.points {
        let values =
            METRICS.iter().map(|metric| metric.value).chain(VALIDATION.iter().map(|(_, value)| *value));
        let values = values.map(|value| value(point).map(|value| value.to_string()).unwrap_or_default());
        let first = [point.iteration.to_string(), point.steps.to_string(), point.seconds.to_string()];
        out.write_record(first.into_iter().chain(values)).map_err(Failure::refused)?;
    }
    out.into_inner().map_err(|error| Failure::refused(error.error()))
}
