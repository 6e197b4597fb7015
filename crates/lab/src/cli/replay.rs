//! `knightwatch-lab replay`: recorded telemetry of a real system through the control room under a policy.

use std::{
    io::{Write, stderr},
    path::PathBuf,
};

use knightwatch::{
    cli::{
        control_room,
        policies::{Policies, WeightsArgs, one_of},
        replay::{in_lines, pace},
        scene,
    },
    config::Config,
};
use knightwatch_agent::PolicyName;
use knightwatch_core::telemetry::Millis;
use knightwatch_engine::{Engine, Guarded, ScheduledStart, Setup, backend::EmbeddedOptions};
use knightwatch_store::{Journal, SessionMeta};

use super::{Failure, Outcome};
use crate::{
    opponents,
    recording::{Playback, Recording, RecordingOptions},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A CSV of recorded telemetry (Nezha, petshop, NAB), or a petshop folder
    file: PathBuf,
    /// Who decides
    #[arg(long, default_value = "ppo-master", value_parser = one_of(&opponents::ALL))]
    policy: PolicyName,
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
    #[command(flatten)]
    screen: control_room::ScreenArgs,
}

pub(super) fn run(args: &Args, config: &Config) -> Outcome {
    if !args.text {
        knightwatch::tui::check().map_err(Failure::input)?;
    }
    let (engine, options) = telemetry(args, config)?;
    if args.text {
        in_lines(engine)
    } else {
        control_room::show(engine, options, &args.screen, config, false)
    }
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
        let _ = writeln!(stderr(), "knightwatch: {}", knightwatch_core::flag::clean(note));
    }
    let policy = args.policy;
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
    let scheduled_starts = recording
        .scheduled_starts()
        .into_iter()
        .map(|(at, flag, operator)| ScheduledStart { at: recording.start + at, flag, operator });
    let pace = pace(&args.screen, recording.interval)?;
    let setup = Setup {
        environment: config.environment.clone(),
        source_name,
        seed: Some(seed),
        config: scene::stretched(&config.control, recording.interval),
        specs: recording.specs(),
        scheduled_starts: scheduled_starts.collect(),
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
        EmbeddedOptions {
            pace,
            about: policy.about().to_owned(),
            simulated: true,
            fast_forward: Millis::ZERO,
        },
    ))
}
