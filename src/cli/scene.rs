//! What is steered: which scenario, seed and policy, and how an engine is made of them.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;

use super::{Failure, Outcome, PolicyArg, print};
use crate::{
    agent::PolicyName,
    config::Config,
    control::ControlConfig,
    engine::{Cue, Engine, Guarded, Setup},
    sim::{MAX_SCENARIO_BYTES, Scenario, World},
    store::{self, Journal, SessionMeta},
    telemetry::Millis,
};

/// How long a policy may take to answer.
const POLICY_DEADLINE: Duration = Duration::from_millis(250);

/// Which scenario, how.
#[derive(Clone, Debug, Args)]
pub(super) struct SceneArgs {
    /// A built-in scenario's name or a file
    #[arg(long, value_name = "NAME|FILE", default_value = "default")]
    pub(super) scenario: String,

    /// Seed of everything that is drawn at random
    #[arg(long, default_value_t = 7)]
    pub(super) seed: u64,

    /// Who steers
    #[arg(long, value_enum, default_value = "rule")]
    pub(super) policy: PolicyArg,

    /// Keep the session in this file, or go on with the one that is there
    #[arg(long, value_name = "FILE")]
    pub(super) session: Option<PathBuf>,
}

/// A scenario's text by name or file.
pub(super) fn text(name: &str) -> Result<String, Failure> {
    if let Some(text) = Scenario::builtin(name) {
        return Ok(text.to_owned());
    }
    let path = Path::new(name);
    if !path.exists() {
        let names: Vec<_> = Scenario::builtins().iter().map(|(name, _)| *name).collect();
        return Err(Failure::input(format!(
            "there is no scenario {name:?}: neither a file nor one of {}",
            names.join(", ")
        )));
    }
    let unreadable = |error: std::io::Error| Failure::input(format!("{name}: {error}"));
    let size = fs::metadata(path).map_err(unreadable)?.len();
    if size > MAX_SCENARIO_BYTES as u64 {
        return Err(Failure::input(format!(
            "{name}:1:1: {size} bytes; a scenario has at most {MAX_SCENARIO_BYTES}"
        )));
    }
    let bytes = fs::read(path).map_err(unreadable)?;
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.split(|byte| *byte == b'\n').count();
        Failure::input(format!("{name}:{line}: not UTF-8 text; expected a TOML scenario"))
    })
}

/// The scenario by name or file.
pub(super) fn load(name: &str) -> Result<Scenario, Failure> {
    Scenario::parse(&text(name)?, name).map_err(Failure::input)
}

/// The settings of control on a scenario: its own interval.
pub(super) fn control(config: &Config, interval: Millis) -> ControlConfig {
    ControlConfig { interval, ..config.control.clone() }
}

/// A session's name among files, and where it is: the one named, or a new one in the state folder.
pub(super) fn session_file(config: &Config, named: Option<&PathBuf>, name: &str) -> Result<PathBuf, Failure> {
    if let Some(path) = named {
        return Ok(path.clone());
    }
    let folder = config.state_folder().map_err(Failure::input)?.join("sessions");
    fs::create_dir_all(&folder)
        .map_err(|error| Failure::refused(format!("cannot make {}: {error}", folder.display())))?;
    // Old sessions are let go of; one that cannot be deleted is no reason not to start.
    if let Err(error) = store::prune(&folder, &[]) {
        tracing::warn!("{error}");
    }
    Ok(store::session_path(&folder, crate::engine::wall_clock(), name))
}

/// An engine on the embedded simulator, fresh or resumed.
pub(super) fn engine(args: &SceneArgs, config: &Config) -> Result<Engine, Failure> {
    let resumed = args.session.as_ref().filter(|path| path.exists());
    if let Some(path) = resumed {
        return resume(args, config, path);
    }
    let text = text(&args.scenario)?;
    let scenario = Scenario::parse(&text, &args.scenario).map_err(Failure::input)?;
    let policy = PolicyName::from(args.policy);
    let source_name = format!("scenario {} (seed {})", scenario.name, args.seed);
    let meta = SessionMeta {
        environment: config.environment.clone(),
        source: source_name.clone(),
        policy: policy.to_string(),
        seed: Some(args.seed),
        interval: scenario.interval,
        started_at: scenario.start,
        simulated: true,
        scenario: Some(text),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let path = session_file(config, args.session.as_ref(), &scenario.name)?;
    let log = Journal::create(&path, &meta).map_err(Failure::refused)?;
    if args.session.is_some() {
        store::keep(&path).map_err(Failure::refused)?;
    }
    let setup = setup(&scenario, args.seed, policy, config, source_name, log)?;
    Engine::begin(setup).map_err(Failure::refused)
}

/// Goes on with a session: its own scenario and seed, led through the same rollouts again.
fn resume(args: &SceneArgs, config: &Config, path: &Path) -> Result<Engine, Failure> {
    let log = Journal::open(path).map_err(Failure::refused)?;
    let meta = log.meta().clone();
    let (Some(text), Some(seed)) = (meta.scenario, meta.seed) else {
        return Err(Failure::input(format!(
            "{}: not a session of the simulator; play it back with `knightwatch replay`",
            path.display()
        )));
    };
    let scenario = Scenario::parse(&text, "the session's scenario").map_err(Failure::input)?;
    let until = log.last_tick().unwrap_or(meta.started_at);
    let policy = PolicyName::from(args.policy);
    let setup = setup(&scenario, seed, policy, config, meta.source, log)?;
    Engine::resume(setup, until).map_err(Failure::refused)
}

fn setup(
    scenario: &Scenario,
    seed: u64,
    policy: PolicyName,
    config: &Config,
    source_name: String,
    log: Journal,
) -> Result<Setup, Failure> {
    let cues = scenario.cues().iter().map(|cue| Cue {
        at: scenario.start + cue.at,
        flag: cue.flag,
        operator: cue.operator.clone(),
    });
    Ok(Setup {
        environment: config.environment.clone(),
        source_name,
        seed: Some(seed),
        config: control(config, scenario.interval),
        specs: scenario.specs(),
        cues: cues.collect(),
        source: Box::new(World::new(scenario, seed)),
        log: Box::new(log),
        policy: Box::new(Guarded::new(policy.build(seed), POLICY_DEADLINE).map_err(Failure::refused)?),
    })
}

/// `knightwatch scenarios`.
pub(super) fn list(name: Option<&str>) -> Outcome {
    match name {
        Some(name) => {
            let text = Scenario::builtin(name);
            let text =
                text.ok_or_else(|| Failure::input(format!("there is no built-in scenario {name:?}")))?;
            print::raw(text)?;
        }
        None => {
            for (name, text) in Scenario::builtins() {
                let scenario = Scenario::parse(text, name).map_err(Failure::input)?;
                print::line(&format!("{name:<20} {:>4} flags  {}", scenario.flags.len(), scenario.title))?;
            }
        }
    }
    print::DONE
}

/// `knightwatch config`.
pub(super) fn configuration(config: &Config, check: bool) -> Outcome {
    if check {
        print::raw(&toml::to_string(config).map_err(Failure::refused)?)?;
    } else {
        print::raw(crate::config::DEFAULT)?;
    }
    print::DONE
}
