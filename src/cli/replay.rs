//! `knightwatch replay FILE`: a recorded session, played back as it was or under another policy, recorded telemetry, decided
//! on anew, or the log of a training.

mod what_if;

use std::{
    fs::File,
    io::{Read, Write, stderr},
    path::{Path, PathBuf},
};

use super::{
    Failure, Outcome, control_room, curves,
    evaluate::Contender,
    policies::{Policies, WeightsArgs},
    print, scene,
};
use crate::{
    agent::training::TrainingLog,
    backend::{EmbeddedOptions, Pace},
    config::Config,
    engine::{Cue, Engine, Guarded, Recorded, Setup},
    integrations::{Playback, Recording, RecordingOptions},
    store::{Journal, SessionMeta},
    telemetry::Millis,
};

/// The first bytes of a session file.
const SESSION: &[u8] = b"SQLite format 3\0";

/// Bytes that tell what a file is.
const HEAD: u64 = 256;

/// Intervals a second that a recording is played at, where nothing else is asked for.
const INTERVALS_A_SECOND: u64 = 3;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A session file, a training log, a CSV of recorded telemetry (Nezha, petshop, NAB), or a petshop folder
    file: PathBuf,
    /// Who decides on recorded telemetry [default: ppo-master]; of a session: what if this policy had steered it
    #[arg(long, value_enum)]
    policy: Option<Contender>,
    #[command(flatten)]
    weights: WeightsArgs,
    /// Seed of the sampling where a recording has quantiles only [default: 7]
    #[arg(long)]
    seed: Option<u64>,
    /// Requests an interval where the recording has no counts
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    requests: Option<u32>,
    /// The service whose series is played, where the recording has several
    #[arg(long)]
    service: Option<String>,
    /// The list of faults or labelled windows [default: the one beside the recording]
    #[arg(long, value_name = "FILE")]
    incidents: Option<PathBuf>,
    /// A folder of a recorded issue (repeatable) [default: those beside the recording]
    #[arg(long, value_name = "FOLDER")]
    issue: Vec<PathBuf>,
    /// No screen: one line for each change, as fast as it goes
    #[arg(long)]
    text: bool,
    /// What if, as one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    curves: curves::CurveArgs,
    #[command(flatten)]
    screen: control_room::ScreenArgs,
}

pub(super) fn run(args: &Args, config: &Config) -> Outcome {
    let kind = kind(&args.file)?;
    let what_if = args.policy.filter(|_| matches!(kind, Kind::Session));
    if args.json && what_if.is_none() {
        return Err(Failure::input("--json: only of a session under another policy; name one with --policy"));
    }
    if !args.text && args.curves.given().is_none() && what_if.is_none() {
        crate::tui::check().map_err(Failure::input)?;
    }
    if let (Kind::Session | Kind::Telemetry, Some(option)) = (kind, args.curves.given()) {
        return Err(Failure::input(format!(
            "{}: {option} is for a training log; expected a file that begins with {{\"training\": ...}}",
            args.file.display()
        )));
    }
    let only_for_telemetry = match (kind, what_if) {
        (_, Some(_)) => args.of_recording(),
        (Kind::Session | Kind::Training, None) => args.for_telemetry(),
        (Kind::Telemetry, None) => None,
    };
    if let Some(option) = only_for_telemetry {
        let what = match (kind, what_if) {
            (_, Some(_)) => "a session has a world and a seed of its own",
            (Kind::Training, None) => "a training log is shown as it is",
            (Kind::Session | Kind::Telemetry, None) => {
                "a session is played back as it was decided then, or with --policy under another policy"
            }
        };
        return Err(Failure::input(format!(
            "{}: {what}; {option} is for recorded telemetry",
            args.file.display()
        )));
    }
    if let Some(policy) = what_if {
        return what_if::run(args, policy.0, config);
    }
    let (engine, options) = match kind {
        Kind::Training => return curves::run(&args.file, &args.curves, args.text, &args.screen, config),
        Kind::Session => session(args, config)?,
        Kind::Telemetry => telemetry(args, config)?,
    };
    if args.text {
        in_lines(engine)
    } else {
        control_room::show(engine, options, &args.screen, config, false)
    }
}

impl Args {
    /// The first option given that only matters where a policy decides.
    fn for_telemetry(&self) -> Option<&'static str> {
        let policy = self.policy.map(|_| "--policy");
        self.weights.given().or(policy).or_else(|| self.of_recording())
    }

    /// The first option given that only matters where telemetry was recorded elsewhere.
    fn of_recording(&self) -> Option<&'static str> {
        let given = [
            (self.seed.is_some(), "--seed"),
            (self.requests.is_some(), "--requests"),
            (self.service.is_some(), "--service"),
            (self.incidents.is_some(), "--incidents"),
            (!self.issue.is_empty(), "--issue"),
        ];
        given.into_iter().find(|(given, _)| *given).map(|(_, option)| option)
    }
}

/// What a file holds.
#[derive(Clone, Copy)]
enum Kind {
    Session,
    Telemetry,
    Training,
}

/// What a file holds, by its first bytes.
fn kind(path: &Path) -> Result<Kind, Failure> {
    if path.is_dir() {
        return Ok(Kind::Telemetry);
    }
    let mut head = Vec::new();
    File::open(path)
        .and_then(|file| file.take(HEAD).read_to_end(&mut head))
        .map_err(|error| Failure::input(format!("{}: {error}", path.display())))?;
    Ok(if head.starts_with(SESSION) {
        Kind::Session
    } else if TrainingLog::is_one(&head) {
        Kind::Training
    } else {
        Kind::Telemetry
    })
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
    let pace = pace(args, meta.interval)?;
    Ok((engine, EmbeddedOptions { pace, about, simulated: true, ahead: Millis::ZERO }))
}

/// Recorded telemetry under a policy: semi-real.
fn telemetry(args: &Args, config: &Config) -> Result<(Engine, EmbeddedOptions), Failure> {
    let mut options = RecordingOptions {
        service: args.service.clone(),
        incidents: args.incidents.clone(),
        issues: args.issue.clone(),
        ..RecordingOptions::default()
    };
    options.requests = args.requests.unwrap_or(options.requests);
    let recording = Recording::load(&args.file, &options).map_err(Failure::input)?;
    for note in std::iter::once(&recording.origin).chain(&recording.notes) {
        // Only a note: where nobody listens it is not missed.
        let _ = writeln!(stderr(), "knightwatch: {}", crate::flag::clean(note));
    }
    let policy = args.policy.map(|Contender(policy)| policy).unwrap_or_default();
    let seed = args.seed.unwrap_or(scene::SEED);
    let policies = Policies::of(&args.weights, config, &[policy])?;
    let policies = if args.text { policies.usable()? } else { policies };
    let title = recording.title.trim_end_matches(" (semi-real)");
    let source_name = format!("semi-real recording: {title}");
    let meta = SessionMeta {
        environment: config.environment.clone(),
        source: source_name.clone(),
        policy: policy.to_string(),
        seed: Some(seed),
        interval: recording.interval,
        started_at: recording.start,
        simulated: true,
        scenario: None,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let path = scene::session_file(config, None, "replay")?;
    let log = Journal::create(&path, &meta).map_err(Failure::store)?;
    let cues = recording.cues().into_iter().map(|(at, flag, operator)| Cue {
        at: recording.start + at,
        flag,
        operator,
    });
    let pace = pace(args, recording.interval)?;
    let setup = Setup {
        environment: config.environment.clone(),
        source_name,
        seed: Some(seed),
        config: scene::stretched(&config.control, recording.interval),
        specs: recording.specs(),
        cues: cues.collect(),
        log: Box::new(log),
        policy: Box::new(
            Guarded::new(policies.build(policy, seed), scene::POLICY_DEADLINE).map_err(Failure::refused)?,
        ),
        shadow: None,
        source: Box::new(Playback::new(recording, seed)),
    };
    let engine = scene::begin(setup, &path)?;
    Ok((
        engine,
        EmbeddedOptions { pace, about: policy.about().to_owned(), simulated: true, ahead: Millis::ZERO },
    ))
}

fn pace(args: &Args, interval: Millis) -> Result<Pace, Failure> {
    // `--speed` has a default made for ten-second intervals; a recording brings its own.
    let times = u64::from(args.screen.speed) * interval.0 / 10_000;
    let times = times.max(interval.0 * INTERVALS_A_SECOND / 1_000).clamp(1, 3_600);
    Pace::times(u32::try_from(times).unwrap_or(3_600)).map_err(Failure::input)
}

fn in_lines(mut engine: Engine) -> Outcome {
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
