//! What is steered: which scenario, seed and policy, and how an engine is made of them.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;

use super::{
    Failure, Outcome,
    policies::{self, Policies, WeightsArgs},
    print,
};
use crate::config::{self, Config};
use knightwatch_agent::PolicyName;
use knightwatch_core::{
    control::{ControlConfig, Event, PolicySettings},
    telemetry::Millis,
};
use knightwatch_engine::{Engine, Guarded, ScheduledStart, Setup};
use knightwatch_sim::{MAX_SCENARIO_BYTES, Scenario, World};
use knightwatch_store as store;
use knightwatch_store::{Filter, Journal, SessionMeta};

/// How long a policy may take to answer.
pub const POLICY_DEADLINE: Duration = Duration::from_millis(250);

/// The scenario where none is named.
const SCENARIO: &str = "default";

/// The seed where none is given.
pub const SEED: u64 = 7;

/// Which scenario, how.
#[derive(Clone, Debug, Default, Args)]
pub struct SceneArgs {
    /// A built-in scenario's name or a file [default: default]
    #[arg(long, value_name = "NAME|FILE")]
    pub scenario: Option<String>,

    /// Seed of the random numbers [default: 7]
    #[arg(long)]
    pub seed: Option<u64>,

    /// The policy that steers [default: ppo-master, or who steered the session before]
    #[arg(long, value_parser = policies::steering())]
    pub policy: Option<PolicyName>,

    /// A shadow policy: it decides beside it and never acts; differences are journalled [default: `agent.shadow` of the configuration, or nobody]
    #[arg(long, value_name = "POLICY", value_parser = policies::steering())]
    pub shadow: Option<PolicyName>,

    /// By which weights PPO-Master decides.
    #[command(flatten)]
    pub weights: WeightsArgs,

    /// Keep the session in this file, or resume the one in it
    #[arg(long, value_name = "FILE")]
    pub session: Option<PathBuf>,

    /// Whether the session that is there is looked at only, whoever writes it.
    #[arg(skip)]
    pub look_only: bool,
}

impl SceneArgs {
    /// Whether anything of it was asked for.
    pub(super) fn is_given(&self) -> bool {
        let Self { scenario, seed, policy, shadow, session, .. } = self;
        scenario.is_some() || seed.is_some() || policy.is_some() || shadow.is_some() || session.is_some()
    }
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
    config::read_text(path, MAX_SCENARIO_BYTES as u64, "scenario").map_err(Failure::input)
}

/// The scenario by name or file.
///
/// # Errors
/// A name that no scenario has; a file that cannot be read or is no scenario.
pub fn load(name: &str) -> Result<Scenario, Failure> {
    Scenario::parse(&text(name)?, name).map_err(Failure::input)
}

/// The settings of control on a scenario: its own interval.
pub(super) fn control(config: &Config, interval: Millis) -> ControlConfig {
    ControlConfig { interval, ..config.control.clone() }
}

/// The settings with every time stretched as the interval is: six intervals of dwell stay six intervals.
#[must_use]
pub fn stretched(defaults: &ControlConfig, interval: Millis) -> ControlConfig {
    let mut control = ControlConfig { interval, ..defaults.clone() };
    let stretch =
        |time: &mut Millis| *time = Millis(time.0.saturating_mul(interval.0) / defaults.interval.0.max(1));
    let shield = &mut control.shield;
    for time in [
        &mut control.evidence.warmup,
        &mut shield.dwell,
        &mut shield.cooldown,
        &mut shield.reversal_window,
        &mut shield.watch,
        &mut shield.stale_after,
        &mut shield.lost_deadline,
        &mut shield.exposure.window,
    ] {
        stretch(time);
    }
    control
}

/// A session's name among files, and where it is: the one named, or a new one in the state folder.
///
/// # Errors
/// A state folder that cannot be made.
pub fn session_file(config: &Config, named: Option<&PathBuf>, name: &str) -> Result<PathBuf, Failure> {
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
    Ok(store::session_path(&folder, knightwatch_engine::wall_clock(), name))
}

/// What is to be steered, checked before any file is made.
pub struct Scene {
    /// The world.
    pub scenario: Scenario,
    /// Who steers.
    pub policy: PolicyName,
    shadow: Option<PolicyName>,
    weights: WeightsArgs,
    /// How the policy was set when the session that is resumed was left, where it says so.
    before: Option<PolicySettings>,
    seed: u64,
    source_name: String,
    origin: Origin,
}

/// Where a scene begins.
enum Origin {
    /// At its beginning, with the scenario's own text; in the file that was named, or in the state folder.
    Fresh { text: String, session: Option<PathBuf> },
    /// Where a session was left.
    Resumed(PathBuf, Box<Journal>),
}

impl Scene {
    /// What the command line asks for: a fresh scene, or the session that is there already.
    ///
    /// # Errors
    /// A scenario or session that cannot be read, or that is other than what was asked for.
    pub fn of(args: &SceneArgs) -> Result<Self, Failure> {
        if let Some(path) = args.session.as_ref().filter(|path| path.symlink_metadata().is_ok()) {
            return Self::resumed(args, path);
        }
        let name = args.scenario.as_deref().unwrap_or(SCENARIO);
        let text = text(name)?;
        let scenario = Scenario::parse(&text, name).map_err(Failure::input)?;
        let seed = args.seed.unwrap_or(SEED);
        Ok(Self {
            policy: args.policy.unwrap_or_default(),
            shadow: args.shadow,
            weights: args.weights.clone(),
            before: None,
            seed,
            source_name: format!("scenario {} (seed {seed})", scenario.name),
            origin: Origin::Fresh { text, session: args.session.clone() },
            scenario,
        })
    }

    fn resumed(args: &SceneArgs, path: &Path) -> Result<Self, Failure> {
        let open = if args.look_only { Journal::open_read_only } else { Journal::open };
        let log = open(path).map_err(Failure::store)?;
        let meta = log.meta().clone();
        let (Some(text), Some(seed)) = (meta.scenario, meta.seed) else {
            return Err(Failure::input(format!(
                "{}: not a session of the simulator; play it back with `knightwatch replay`",
                path.display()
            )));
        };
        let scenario = Scenario::parse(&text, "the session's scenario").map_err(Failure::input)?;
        let other = |what, found: &str, asked: &str| {
            Failure::input(format!(
                "{}: the session that is there has {what} {found}, not {asked}; omit --{what} to resume it",
                path.display()
            ))
        };
        if let Some(asked) = args.seed.filter(|asked| *asked != seed) {
            return Err(other("seed", &seed.to_string(), &asked.to_string()));
        }
        if let Some(asked) = &args.scenario
            && self::text(asked)? != text
        {
            return Err(other("scenario", &scenario.name, asked));
        }
        let (steered, before) = steered(&log, &meta.policy)?;
        let steered: PolicyName = steered.parse().map_err(Failure::input)?;
        let policy = args.policy.unwrap_or(steered);
        // The settings are those of the policy that steered, not of another one that is to take over.
        let before = before.filter(|_| policy == steered);
        let weights = args.weights.clone();
        let origin = Origin::Resumed(path.to_owned(), Box::new(log));
        let shadow = args.shadow;
        Ok(Self { scenario, policy, shadow, weights, before, seed, source_name: meta.source, origin })
    }

    /// The same with a world that goes on for at least so long.
    pub(super) fn lasting(mut self, least: Millis) -> Self {
        self.scenario.duration = self.scenario.duration.max(least);
        self
    }

    /// Whether it begins here, and not where a session was left.
    pub(super) const fn is_fresh(&self) -> bool {
        matches!(self.origin, Origin::Fresh { .. })
    }

    /// The engine that steers it.
    ///
    /// # Errors
    /// Weights or a policy that cannot be used; a session that cannot be made.
    pub fn engine(self, config: &Config) -> Result<Engine, Failure> {
        let Self { scenario, policy, shadow, weights, before, seed, source_name, origin } = self;
        let shadow = policies::shadow(shadow, config);
        let policies = match (&before, &origin) {
            (Some(before), Origin::Resumed(path, _)) => Policies::again(&weights, before, path)?,
            _ => Policies::of(&weights, config, &[policy, shadow.unwrap_or(policy)])?,
        };
        let scheduled_starts = scenario.scheduled_starts().iter().map(|scheduled| ScheduledStart {
            at: scenario.start + scheduled.at,
            flag: scheduled.flag,
            operator: scheduled.operator.clone(),
        });
        let guarded =
            Guarded::new(policies.build(policy, seed), POLICY_DEADLINE).map_err(Failure::refused)?;
        let shadow = policies.shadow(shadow, seed)?;
        let setup = |source_name, log| Setup {
            environment: config.environment.clone(),
            source_name,
            seed: Some(seed),
            config: control(config, scenario.interval),
            specs: scenario.specs(),
            scheduled_starts: scheduled_starts.collect(),
            source: Box::new(World::new(&scenario, seed)),
            log,
            policy: Box::new(guarded),
            shadow,
        };
        let (text, session) = match origin {
            Origin::Resumed(_, log) => {
                let until = log.last_tick().unwrap_or(log.meta().started_at);
                let mut engine = Engine::resume(setup(source_name, log), until).map_err(Failure::refused)?;
                engine.note_resumed().map_err(Failure::refused)?;
                return Ok(engine);
            }
            Origin::Fresh { text, session } => (text, session),
        };
        let meta = SessionMeta {
            environment: config.environment.clone(),
            source: source_name.clone(),
            policy: policy.to_string(),
            seed: Some(seed),
            interval: scenario.interval,
            started_at: scenario.start,
            simulated: true,
            scenario: Some(text),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let path = session_file(config, session.as_ref(), &scenario.name)?;
        let log = Journal::create(&path, &meta).map_err(Failure::store)?;
        if session.is_some() {
            store::keep(&path).map_err(Failure::store)?;
        }
        begin(setup(source_name, Box::new(log)), &path)
    }
}

/// Who steered a session when it was left, and how that policy was set: what its last entry of the kind says, or, of an
/// older session, its description.
pub(super) fn steered(log: &Journal, first: &str) -> Result<(String, Option<PolicySettings>), Failure> {
    for kind in ["session-resumed", "session"] {
        let filter = Filter { kind: Some(kind.to_owned()), ..Filter::default() };
        let last = log.search(&filter, .., 1).map_err(Failure::store)?.pop();
        if let Some(
            Event::SessionStarted { policy, settings, .. } | Event::SessionResumed { policy, settings },
        ) = last.map(|entry| entry.event)
        {
            return Ok((policy, settings));
        }
    }
    Ok((first.to_owned(), None))
}

/// A fresh engine on the session that was just made at `path`; nothing is left of that where it does not begin.
///
/// # Errors
/// A journal that cannot be written; a flag that cannot be declared.
pub fn begin(setup: Setup, path: &Path) -> Result<Engine, Failure> {
    Engine::begin(setup).map_err(|error| {
        if let Err(left) = store::discard(path) {
            tracing::warn!("{left}");
        }
        Failure::refused(error)
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
        policies::check_configured(config)?;
        print::raw(&toml::to_string(config).map_err(Failure::refused)?)?;
    } else {
        print::raw(crate::config::DEFAULT)?;
    }
    print::DONE
}
