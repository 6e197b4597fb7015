//! `knightwatch-lab curves`: a training log as a picture and as a table.

mod svg;

use std::{
    fs,
    path::{Path, PathBuf},
};

pub(super) use svg::svg;

use knightwatch::cli::curves::load;

use super::{Failure, Outcome, print};
use knightwatch_agent::training::{METRICS, TrainingLog, TrainingPoint};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Args {
    /// A training log, as `train` writes it
    file: PathBuf,
    #[command(flatten)]
    outputs: Outputs,
}

/// At least one of them.
#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct Outputs {
    /// Write the curves as a picture; - is standard output
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Write the points as a table; - is standard output
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Outcome {
    if [&args.outputs.svg, &args.outputs.csv].into_iter().all(|file| file.as_deref() == Some(Path::new("-")))
    {
        return Err(Failure::input("--svg - and --csv - both write to standard output: expected only one"));
    }
    let log = load(&args.file)?;
    if let Some(path) = &args.outputs.svg {
        put(path, svg(&log).as_bytes())?;
    }
    if let Some(path) = &args.outputs.csv {
        put(path, &csv(&log)?)?;
    }
    print::DONE
}

#[cfg(feature = "train")]
/// Writes a log's curves as a picture and as a table.
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
