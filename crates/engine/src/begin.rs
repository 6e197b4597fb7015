//! How a steering engine begins: fresh, or resumed from a journal.
//!
//! A journal can be resumed by living through the same world again, or, where the world is real, with the state alone.
//! This file makes the engine and journals that. It must not know how the engine steps afterwards.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};

use thiserror::Error;

use super::{
    answer::AckStore, log::Log, outbox::Outbox, scheduled_start::ScheduledStart, steering::Steering,
};
use knightwatch_core::{
    Source,
    control::{
        Actor, ControlConfig, Entry, Event, Moment, Policy, Refusal, Shadow, State, TelemetryState, tick,
    },
    flag::{FlagSpec, Rollout},
    telemetry::{Feed, Millis},
};
use knightwatch_store::StoreError;

/// Why an engine did not start.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The journal could not be written or read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A flag could not be declared.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A thread could not be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// What an engine is made of.
pub struct Setup {
    /// The environment's name.
    pub environment: String,
    /// What is steered, for people.
    pub source_name: String,
    /// The seed, where there is one.
    pub seed: Option<u64>,
    /// Settings.
    pub config: ControlConfig,
    /// The flags.
    pub specs: Vec<FlagSpec>,
    /// People starting flags.
    pub scheduled_starts: Vec<ScheduledStart>,
    /// Telemetry in, rollouts out.
    pub source: Box<dyn Source>,
    /// The journal.
    pub log: Box<dyn Log>,
    /// Who steers.
    pub policy: Box<dyn Policy>,
    /// Who decides beside it, where somebody does. Its policy has a thread and a deadline of its own ([`super::Guarded`]).
    pub shadow: Option<Shadow>,
}

impl Steering {
    /// A fresh engine: declares the flags and journals that the session has begun.
    pub(super) fn begin(setup: Setup) -> Result<Self, EngineError> {
        let Setup {
            environment,
            source_name,
            seed,
            config,
            specs,
            scheduled_starts,
            source,
            mut log,
            policy,
            shadow,
        } = setup;
        let at = source.now();
        let started = Event::SessionStarted {
            environment,
            source: source_name.clone(),
            policy: policy.name().to_owned(),
            seed,
            settings: policy.settings(),
        };
        let mut happened = vec![(Actor::System, started)];
        let mut keys = BTreeSet::new();
        for spec in specs {
            if !keys.insert(spec.key.clone()) {
                return Err(Refusal::KeyUsed { flag: spec.key }.into());
            }
            happened.push((Actor::System, Event::Created { spec }));
        }
        let mut state = State::default();
        let entries = state.entries(at, happened, "");
        log.append(None, &entries)?;
        for entry in &entries {
            state.apply(entry);
        }
        let steering = Self::new(state, config, Parts { source_name, source, log, policy, shadow });
        Ok(Self { scheduled_starts: scheduled_starts.into(), ..steering })
    }

    /// An engine that goes on where a journal ends, the kill latch included. The world and the policy live through the
    /// same intervals again, up to the last tick at `until` or the last entry, whichever is later: of that come the
    /// evidence, the policy's memory and the counts of holds. What was done then is what the journal says.
    pub(super) fn resume(setup: Setup, until: Millis) -> Result<Self, EngineError> {
        let Setup { source_name, config, scheduled_starts, mut source, log, mut policy, mut shadow, .. } =
            setup;
        let entries = log.all()?;
        let until = entries.last().map_or(until, |last| last.at.max(until));
        let mut due: VecDeque<Entry> = entries.iter().cloned().collect();
        let (mut state, mut telemetry_state, mut feed) =
            (State::default(), TelemetryState::new(), Feed::default());
        loop {
            let now = source.now();
            let over = now >= until || source.done();
            while let Some(entry) = due.pop_front_if(|entry| over || entry.at <= now) {
                state.apply(&entry);
            }
            if over {
                break;
            }
            let rollouts: Vec<Rollout> = state.flags.iter().map(|flag| flag.rollout).collect();
            source.step(&rollouts, &mut feed);
            let end = source.now();
            let moment = Moment { end, now: end };
            tick(&state, &mut telemetry_state, policy.as_mut(), &config, &feed, moment);
            if let Some(shadow) = &mut shadow {
                // For its memory; what was news then is in the journal.
                shadow.look(&state, &telemetry_state, &config, moment);
            }
        }
        if let Some(shadow) = &mut shadow {
            shadow.recall(&entries, &state);
        }
        let now = source.now();
        // A scheduled start acts in the step that begins at its time or next after it; one that has acted already acts once.
        let scheduled_starts =
            scheduled_starts.into_iter().filter(|scheduled| scheduled.at + config.interval > now).collect();
        let steering = Self::new(state, config, Parts { source_name, source, log, policy, shadow });
        Ok(Self { telemetry_state, scheduled_starts, feed, ..steering })
    }

    /// Journals that the session goes on, and who steers it from here.
    pub(super) fn note_resumed(&mut self) -> Result<(), EngineError> {
        let policy = &self.policy;
        let resumed = Event::SessionResumed { policy: policy.name().to_owned(), settings: policy.settings() };
        let entries = self.state.entries(self.source.now(), vec![(Actor::System, resumed)], "");
        self.outbox.append(None, &entries)?;
        for entry in &entries {
            self.state.apply(entry);
        }
        Ok(())
    }

    /// An engine that goes on where a journal ends, kill latch included, in a world that cannot be lived through again: the
    /// state is what the journal says, of telemetry nothing is known, and everything holds until there is some. Flags among
    /// the setup's that the journal does not have are declared; its scheduled starts are not used.
    pub(super) fn resume_live(setup: Setup) -> Result<Self, EngineError> {
        let Setup { source_name, config, specs, source, mut log, policy, mut shadow, .. } = setup;
        let mut state = State::default();
        let journal = log.all()?;
        for entry in &journal {
            state.apply(entry);
        }
        if let Some(shadow) = &mut shadow {
            shadow.recall(&journal, &state);
        }
        let (end, now) = (source.end(), source.now());
        let unknown = specs.into_iter().filter(|spec| state.flag(&spec.key).is_none());
        let happened = unknown.map(|spec| (Actor::System, Event::Created { spec })).collect();
        let entries = state.entries(now, happened, "");
        log.append(None, &entries)?;
        for entry in &entries {
            state.apply(entry);
        }
        let mut telemetry_state = TelemetryState::beginning(now);
        // What is not known is said before the first interval is over.
        telemetry_state.observe(&state, &config, &Feed::default(), Moment { end, now });
        let steering = Self::new(state, config, Parts { source_name, source, log, policy, shadow });
        Ok(Self { telemetry_state, ..steering })
    }

    /// With nothing remembered of telemetry, nothing in the outbox and no scheduled starts.
    fn new(state: State, config: ControlConfig, parts: Parts) -> Self {
        let Parts { source_name, source, log, policy, shadow } = parts;
        Self {
            outbox: Outbox::new(log, state.seq),
            state,
            telemetry_state: TelemetryState::new(),
            config,
            policy,
            shadow,
            source,
            scheduled_starts: VecDeque::new(),
            feed: Feed::default(),
            rollouts: Vec::new(),
            surfaced: Vec::new(),
            answers: AckStore::default(),
            source_name,
            meter: Arc::default(),
        }
    }
}

/// What a setup hands on to the engine as it is.
struct Parts {
    source_name: String,
    source: Box<dyn Source>,
    log: Box<dyn Log>,
    policy: Box<dyn Policy>,
    shadow: Option<Shadow>,
}
