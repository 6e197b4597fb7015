//! The engine over a real world: applications send telemetry, time is real, flags are made while it runs.

use std::{path::Path, sync::Arc};

use super::{
    Failure,
    policies::{self, Policies, WeightsArgs},
    scene::{self, POLICY_DEADLINE},
};
use crate::config::Config;
use knightwatch_agent::PolicyName;
use knightwatch_connect::{Clock, Inlet, Push};
use knightwatch_core::{control::Shadow, telemetry::Millis};
use knightwatch_engine::{Engine, Guarded, Setup, wall_clock};
use knightwatch_store as store;
use knightwatch_store::{Journal, SessionMeta};

/// What people see as the source.
const SOURCE: &str = "telemetry of applications";

/// A real world, with all that is needed to steer it checked.
pub(super) struct Real {
    pub(super) policy: PolicyName,
    guarded: Guarded,
    shadow: Option<Shadow>,
    /// The journal that is there already.
    journal: Option<Journal>,
}

impl Real {
    /// With the journal at `path`, where there is one; `look_only` where nothing will be written to it, whoever has it. Of the two
    /// policies the first steers, the second decides beside it.
    pub(super) fn of(
        config: &Config,
        path: &Path,
        [policy, shadow]: [Option<PolicyName>; 2],
        weights: &WeightsArgs,
        look_only: bool,
    ) -> Result<Self, Failure> {
        let journal = match path.symlink_metadata() {
            Ok(_) if look_only => Some(Journal::open_read_only(path).map_err(Failure::store)?),
            Ok(_) => Some(Journal::open(path).map_err(Failure::store)?),
            Err(_) => None,
        };
        if let Some(meta) = journal.as_ref().map(Journal::meta) {
            let wrong = |text: String| Err(Failure::input(format!("{}: {text}", path.display())));
            if meta.simulated {
                return wrong(
                    "the journal of a simulated world; cannot resume a simulated journal with `--real`"
                        .to_owned(),
                );
            }
            if meta.environment != config.environment {
                return wrong(format!(
                    "the journal of the environment {:?}, and the configuration says {:?}; each has a state folder of its own",
                    meta.environment, config.environment
                ));
            }
        }
        let policy = match (policy, journal.as_ref().map(Journal::meta)) {
            (Some(policy), _) => policy,
            (None, Some(meta)) => meta.policy.parse().map_err(Failure::input)?,
            (None, None) => PolicyName::default(),
        };
        let shadow = policies::shadow(shadow, config);
        let policies = Policies::of(weights, config, &[policy, shadow.unwrap_or(policy)])?;
        // Only a policy that draws at random asks for a seed, and nobody would want the same draws after each start.
        let seed = wall_clock().0;
        let guarded =
            Guarded::new(policies.build(policy, seed), POLICY_DEADLINE).map_err(Failure::refused)?;
        let shadow = policies.shadow(shadow, seed)?;
        Ok(Self { policy, guarded, shadow, journal })
    }

    /// Whether there is no journal yet.
    pub(super) const fn is_fresh(&self) -> bool {
        self.journal.is_none()
    }

    /// The engine, and where its telemetry comes in.
    pub(super) fn engine(self, config: &Config, path: &Path) -> Result<(Engine, Arc<Inlet>), Failure> {
        let Self { policy, guarded, shadow, journal } = self;
        let interval = config.control.interval;
        let wall = wall_clock();
        let known = journal.as_ref().map_or(Ok(Millis::ZERO), newest).map_err(Failure::store)?;
        let clock = Clock::starting(wall, known, interval);
        if clock.offset() > Millis::ZERO {
            tracing::warn!(
                "the journal is {} ahead of this machine's clock: controller time continues from there",
                clock.offset()
            );
        }
        let inlet = Inlet::new(clock, interval, config.telemetry.push());
        let push = Push::new(Arc::clone(&inlet));
        let setup = |log: Journal| Setup {
            environment: config.environment.clone(),
            source_name: SOURCE.to_owned(),
            seed: None,
            config: config.control.clone(),
            specs: Vec::new(),
            scheduled_starts: Vec::new(),
            source: Box::new(push),
            log: Box::new(log),
            policy: Box::new(guarded),
            shadow,
        };
        let retention = config.telemetry.retention;
        let engine = if let Some(mut journal) = journal {
            journal.keep_telemetry(retention);
            Engine::resume_live(setup(journal)).map_err(Failure::refused)?
        } else {
            let meta = SessionMeta {
                environment: config.environment.clone(),
                source: SOURCE.to_owned(),
                policy: policy.to_string(),
                interval,
                started_at: wall,
                simulated: false,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                ..SessionMeta::default()
            };
            let mut journal = Journal::create(path, &meta).map_err(Failure::store)?;
            store::keep(path).map_err(Failure::store)?;
            journal.keep_telemetry(retention);
            scene::begin(setup(journal), path)?
        };
        Ok((engine, inlet))
    }
}

/// The latest time that a journal knows.
fn newest(journal: &Journal) -> Result<Millis, store::StoreError> {
    let last = journal.entries(.., 1)?.last().map_or(Millis::ZERO, |entry| entry.at);
    Ok(last.max(journal.last_tick().unwrap_or_default()))
}
