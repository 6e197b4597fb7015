//! `knightwatch-lab train`: trains PPO-Master, on the training's screen where there is a terminal, in plain lines where not.
//!
//! The trainer runs on a thread of its own, the person in front of the screen only asks it to stop. Whatever ends it, the
//! last checkpoint and the best weights are in the folder.

use std::{
    fs,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use tokio::sync::mpsc::{self, UnboundedReceiver};

use knightwatch::cli::control_room;

use super::{Failure, Outcome, curves, print};
use crate::learn::{LearnError, Session, TrainingConfig, log_file, weights_file};
use knightwatch::config::Config;
use knightwatch_agent::training::{EndReason, LinePace, TrainingLine};

/// Seconds of training between two plain lines.
const SECONDS_A_LINE: f64 = 10.0;

/// Status after an interruption: 128 and the signal's number, as shells have it.
const INTERRUPTED: u8 = 130;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Settings of the training [default: config/training.toml as shipped]
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,

    /// Where the log, the checkpoint and the best weights go
    #[arg(long, value_name = "FOLDER", default_value = "training")]
    out: PathBuf,

    /// Resume the training in that folder
    #[arg(long)]
    resume: bool,

    /// Another seed than that of the settings
    #[arg(long, value_parser = clap::value_parser!(u64).range(0..1 << 20))]
    seed: Option<u64>,

    /// Longest training in seconds, instead of that of the settings
    #[arg(long)]
    seconds: Option<f64>,

    /// Lines instead of the screen, also on a terminal
    #[arg(long)]
    plain: bool,

    #[command(flatten)]
    screen: control_room::ScreenArgs,
}

pub(super) fn run(args: &Args, config: &Config) -> Outcome {
    let settings = settings(args)?;
    let mut session = if args.resume {
        Session::resume(settings, &args.out)
    } else {
        eprintln!("Measuring the features and the opponents ...");
        Session::begin(settings, &args.out, &when())
    }
    .map_err(Failure::input)?;
    let stop = Arc::new(AtomicBool::new(false));
    let (sender, lines) = mpsc::unbounded_channel();
    let log = session.log().clone();
    let trainer = {
        let stop = Arc::clone(&stop);
        thread::Builder::new().name("trainer".to_owned()).spawn(move || {
            let mut tell = |line: &TrainingLine| {
                // Nobody may be listening any more.
                let _ = sender.send(line.clone());
            };
            session.train(&stop, &mut tell).map(|reason| (reason, session))
        })
    }
    .map_err(Failure::refused)?;
    let shown = if args.plain || !io::stdout().is_terminal() {
        plainly(lines, &stop)
    } else {
        control_room::show_training(log, Some(lines), &args.screen, config).map(|_| ())
    };
    stop.store(true, Ordering::Relaxed);
    let ended = trainer.join().map_err(|_| Failure::refused("the trainer panicked"))?;
    shown?;
    let (reason, session) = ended.map_err(|error: LearnError| {
        Failure::refused(format!(
            "{error}\nThe last checkpoint is in {}: continue with --resume.",
            args.out.display()
        ))
    })?;
    summary(&session, reason, &args.out)?;
    Ok(if reason == EndReason::Stopped { INTERRUPTED } else { 0 })
}

fn settings(args: &Args) -> Result<TrainingConfig, Failure> {
    let mut settings = match &args.settings {
        None => TrainingConfig::shipped(),
        Some(file) => {
            let place = file.display().to_string();
            let text =
                fs::read_to_string(file).map_err(|error| Failure::input(format!("{place}: {error}")))?;
            TrainingConfig::parse(&text, &place)
        }
    }
    .map_err(Failure::input)?;
    settings.seed = args.seed.unwrap_or(settings.seed);
    settings.seconds = args.seconds.unwrap_or(settings.seconds);
    settings.check().map_err(Failure::input)?;
    Ok(settings)
}

/// The time, for people.
fn when() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// Prints a line now and then until the trainer has ended. The first Ctrl-C or SIGTERM asks it to stop; it then finishes
/// its iteration.
fn plainly(mut lines: UnboundedReceiver<TrainingLine>, stop: &AtomicBool) -> Result<(), Failure> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::refused)?;
    runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        let mut ended = signal(SignalKind::terminate()).map_err(Failure::refused)?;
        let mut pace = LinePace::every(SECONDS_A_LINE);
        loop {
            tokio::select! {
                line = lines.recv() => match line {
                    None => return Ok(()),
                    Some(TrainingLine::Point(point)) => {
                        if let Some(line) = pace.line(&point) {
                            print::line(&line)?;
                        }
                    }
                    Some(TrainingLine::Training(_) | TrainingLine::End(_)) => {}
                },
                _ = tokio::signal::ctrl_c() => stop.store(true, Ordering::Relaxed),
                _ = ended.recv() => stop.store(true, Ordering::Relaxed),
            }
        }
    })
}

/// What came of it, and where it is. The curves are drawn from the log.
fn summary(session: &Session, reason: EndReason, out: &Path) -> Result<(), Failure> {
    let run = session.run();
    print::line(&format!(
        "Trained for {:.0} s, {} decisions, {} iterations; {}.",
        run.seconds(),
        run.steps(),
        run.iteration(),
        reason.as_str()
    ))?;
    let pace = run.pace();
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    let a_second = |seconds: f64| pace.steps as f64 / seconds.max(1e-9);
    print::line(&format!(
        "Of it {:.0} s in the worlds ({:.0} decisions a second) and {:.0} s of learning ({:.0} a second).",
        pace.gathering,
        a_second(pace.gathering),
        pace.learning,
        a_second(pace.learning)
    ))?;
    for opponent in &session.log().header.opponents {
        print::line(&format!(
            "  {:<14} harm {:>8.2}   cost {:>8.2}   points a flag",
            opponent.name, opponent.harm, opponent.cost
        ))?;
    }
    if let Some(best) = run.best() {
        print::line(&format!(
            "  {:<14} harm {:>8.2}   cost {:>8.2}   after iteration {}, on the scenarios that it was chosen by",
            "ppo-master", best.score.harm, best.score.cost, best.iteration
        ))?;
        print::line(&format!("Weights: {}", weights_file(out).display()))?;
    }
    let (svg, csv) = (out.join("curves.svg"), out.join("curves.csv"));
    curves::write(session.log(), &svg, &csv)?;
    print::line(&format!("Log: {}; curves: {}, {}", log_file(out).display(), svg.display(), csv.display()))
}
