//! How an engine comes to be: fresh, resumed from a journal, or as the playback of a recorded session.

use std::collections::{BTreeSet, VecDeque};

use thiserror::Error;

use super::{
    Cue, Log, Recorded,
    core::{Engine, Mode},
};
use knightwatch_core::{
    Source,
    control::{
        Actor, ControlConfig, Entry, Event, Moment, Observatory, Policy, Refusal, Shadow, State, tick,
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
    pub cues: Vec<Cue>,
    /// Telemetry in, rollouts out.
    pub source: Box<dyn Source>,
    /// The journal.
    pub log: Box<dyn Log>,
    /// Who steers.
    pub policy: Box<dyn Policy>,
    /// Who decides beside it, where somebody does. Its policy has a thread and a deadline of its own ([`super::Guarded`]).
    pub shadow: Option<Shadow>,
}

impl Engine {
    /// A fresh engine: declares the flags and journals that the session has begun.
    ///
    /// # Errors
    /// When the journal cannot be written, or two flags have one key.
    pub fn begin(setup: Setup) -> Result<Self, EngineError> {
        let Setup { environment, source_name, seed, config, specs, cues, source, mut log, policy, shadow } =
            setup;
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
        let mut engine = Self::new(Mode::Steer(policy), state, config, source_name);
        engine.source = Some(source);
        engine.cues = cues.into();
        engine.log = Some(log);
        engine.shadow = shadow;
        Ok(engine)
    }

    /// An engine that goes on where a journal ends, the kill latch included. The world and the policy live through the
    /// same intervals again, up to the last tick at `until` or the last entry, whichever is later: of that come the
    /// evidence, the policy's memory and the counts of holds. What was done then is what the journal says.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn resume(setup: Setup, until: Millis) -> Result<Self, EngineError> {
        let Setup { source_name, config, cues, mut source, log, mut policy, mut shadow, .. } = setup;
        let entries = log.all()?;
        let until = entries.last().map_or(until, |last| last.at.max(until));
        let mut due: VecDeque<Entry> = entries.iter().cloned().collect();
        let (mut state, mut observatory, mut feed) = (State::default(), Observatory::new(), Feed::default());
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
            tick(&state, &mut observatory, policy.as_mut(), &config, &feed, moment);
            if let Some(shadow) = &mut shadow {
                // For its memory; what was news then is in the journal.
                shadow.look(&state, &observatory, &config, moment);
            }
        }
        if let Some(shadow) = &mut shadow {
            shadow.recall(&entries, &state);
        }
        let now = source.now();
        let mut engine = Self::new(Mode::Steer(policy), state, config, source_name);
        // A cue acts in the step that begins at its time or next after it; one that has acted already acts once.
        engine.cues = cues.into_iter().filter(|cue| cue.at + engine.config.interval > now).collect();
        engine.shadow = shadow;
        engine.observatory = observatory;
        engine.feed = feed;
        engine.source = Some(source);
        engine.log = Some(log);
        Ok(engine)
    }

    /// Journals that the session goes on, and who steers it from here.
    ///
    /// # Errors
    /// When the journal cannot be written.
    pub fn note_resumed(&mut self) -> Result<(), EngineError> {
        let (Mode::Steer(policy), Some(log)) = (&self.mode, &mut self.log) else { return Ok(()) };
        let resumed = Event::SessionResumed { policy: policy.name().to_owned(), settings: policy.settings() };
        let at = self.source.as_ref().map_or(self.state.at, |source| source.now());
        let entries = self.state.entries(at, vec![(Actor::System, resumed)], "");
        log.append(None, &entries)?;
        for entry in &entries {
            self.state.apply(entry);
        }
        self.durable = self.state.seq;
        Ok(())
    }

    /// An engine that goes on where a journal ends, kill latch included, in a world that cannot be lived through again: the
    /// state is what the journal says, of telemetry nothing is known, and everything holds until there is some. Flags among
    /// the setup's that the journal does not have are declared; its cues are not used.
    ///
    /// # Errors
    /// When the journal cannot be read or written.
    pub fn go_on(setup: Setup) -> Result<Self, EngineError> {
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
        let mut engine = Self::new(Mode::Steer(policy), state, config, source_name);
        engine.observatory = Observatory::beginning(now);
        // What is not known is said before the first interval is over.
        let nothing = Feed::default();
        engine.observatory.observe(&engine.state, &engine.config, &nothing, Moment { end, now });
        engine.source = Some(source);
        engine.log = Some(log);
        engine.shadow = shadow;
        Ok(engine)
    }

    /// An engine that plays back a recorded session. Nothing can be changed in it.
    #[must_use]
    pub fn playback(recorded: Recorded, config: ControlConfig, source_name: String) -> Self {
        Self::new(Mode::Playback(Box::new(recorded)), State::default(), config, source_name)
    }
}
