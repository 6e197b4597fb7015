//! `knightwatch replay FILE`: a recorded session, played back as it was, or the log of a training.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use super::{Failure, Outcome, control_room, curves, print, scene};
use crate::config::Config;
use knightwatch_agent::training::TrainingLog;
use knightwatch_core::telemetry::Millis;
use knightwatch_engine::{
    Engine, Recorded,
    backend::{EmbeddedOptions, Pace},
};
use knightwatch_store::Journal;

/// The first bytes of a session file.
const SESSION: &[u8] = b"SQLite format 3\0";

/// Bytes that tell what a file is.
const HEAD: u64 = 256;

/// Intervals a second that a recording is played at, where nothing else is asked for.
const INTERVALS_A_SECOND: u64 = 3;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A session file, or a training log
    file: PathBuf,
    /// No screen: one line for each change, as fast as it goes
    #[arg(long)]
    text: bool,
    #[command(flatten)]
    screen: control_room::ScreenArgs,
}

pub(super) fn run(args: &Args, config: &Config) -> Outcome {
    let kind = kind(&args.file)?;
    if !args.text {
        crate::tui::check().map_err(Failure::input)?;
    }
    match kind {
        Kind::Training => curves::run(&args.file, args.text, &args.screen, config),
        Kind::Session => {
            let (engine, options) = session(args, config)?;
            if args.text {
                in_lines(engine)
            } else {
                control_room::show(engine, options, &args.screen, config, false)
            }
        }
    }
}

/// What a file holds.
#[derive(Clone, Copy)]
enum Kind {
    Session,
    Training,
}

/// What a file holds, by its first bytes.
fn kind(path: &Path) -> Result<Kind, Failure> {
    let failed = |error: std::io::Error| Failure::input(format!("{}: {error}", path.display()));
    let mut head = Vec::new();
    File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut head)).map_err(failed)?;
    if head.starts_with(SESSION) {
        Ok(Kind::Session)
    } else if TrainingLog::is_one(&head) {
        Ok(Kind::Training)
    } else {
        Err(Failure::input(format!(
            "{}: expected a session file or a training log; recorded telemetry is played by `knightwatch-lab replay`",
            path.display()
        )))
    }
}

/// What was decided then, with the telemetry it was decided on.
fn session(args: &Args, config: &Config) -> Result<(Engine, EmbeddedOptions), Failure> {
    let journal = Journal::open_read_only(&args.file).map_err(Failure::store)?;
    let meta = journal.meta().clone();
    let entries = journal.load_all().collect::<Result<Vec<_>, _>>().map_err(Failure::store)?;
    let ticks = journal.telemetry(..).collect::<Result<Vec<_>, _>>().map_err(Failure::store)?;
    if ticks.is_empty() {
        return Err(Failure::input(format!("{}: no telemetry was recorded in it", args.file.display())));
    }
    let name = format!("recorded session: {}", meta.source);
    let recorded = Recorded::new(meta.started_at, ticks, entries);
    let engine = Engine::playback(recorded, scene::control(config, meta.interval), name);
    let about = format!("what {} decided then; nothing can be changed", meta.policy);
    let pace = pace(&args.screen, meta.interval)?;
    Ok((engine, EmbeddedOptions { pace, about, simulated: true, fast_forward: Millis::ZERO }))
}

/// How fast recorded intervals are played.
///
/// # Errors
/// Never for speeds that the command line takes.
pub fn pace(screen: &control_room::ScreenArgs, interval: Millis) -> Result<Pace, Failure> {
    // `--speed` has a default made for ten-second intervals; a recording brings its own.
    let times = u64::from(screen.speed) * interval.0 / 10_000;
    let times = times.max(interval.0 * INTERVALS_A_SECOND / 1_000).clamp(1, 3_600);
    Pace::times(u32::try_from(times).unwrap_or(3_600)).map_err(Failure::input)
}

/// Runs an engine to its end, one line for each journal entry.
///
/// # Errors
/// A journal that cannot be read.
pub fn in_lines(mut engine: Engine) -> Outcome {
    for entry in engine.entries(None, usize::MAX).map_err(Failure::refused)? {
        print::line(&print::entry(&entry))?;
    }
    while !engine.done() {
        for entry in engine.step() {
            print::line(&print::entry(&entry))?;
        }
    }
    print::DONE
}
