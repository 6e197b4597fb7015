//! The engine's state and the two things it does: a step of controller time, and an order.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Cue, Log, Recorded, Source};
use crate::{
    control::{
        Actor, AlarmId, AlarmKind, Command, ControlConfig, Entry, Event, Moment, Observatory, Order, OrderId,
        Policy, Refusal, Seq, State, decide, tick,
    },
    flag::{FlagSpec, Rollout, Variant, evaluate},
    store::StoreError,
    telemetry::{Feed, Millis},
};

/// The answer to an order that was carried out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ack {
    /// Number of the last entry it made in the journal.
    pub seq: Seq,
    /// What was done, as sentences.
    pub done: Vec<String>,
    /// What a person should know: which of the agent's rules this went over.
    pub warnings: Vec<String>,
    /// Whether it is on disk. Only kill-all is ever acknowledged without.
    pub durable: bool,
    /// How many targets read the new value back, of how many.
    pub read_back: (u32, u32),
}

/// Why an order got no acknowledgement.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum OrderError {
    /// It was refused; nothing has changed.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// It never left: nothing has changed.
    #[error("NOT SENT: {0}")]
    NotSent(String),
    /// It left, and no answer came: it may or may not have acted.
    #[error("no answer: {0}")]
    Unknown(String),
    /// The journal could not be written; the order has not acted.
    #[error("not done: the journal cannot be written ({0})")]
    NotDurable(String),
    /// This control room is read-only.
    #[error("read-only")]
    ReadOnly,
}

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

/// What steers.
pub(super) enum Mode {
    /// A policy decides.
    Steer(Box<dyn Policy>),
    /// A recorded session plays back what was decided then.
    Playback(Box<Recorded>),
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
}

/// The engine. It does one thing at a time and never waits for anything but its journal.
pub struct Engine {
    state: State,
    observatory: Observatory,
    config: ControlConfig,
    mode: Mode,
    source: Option<Box<dyn Source>>,
    cues: VecDeque<Cue>,
    log: Option<Box<dyn Log>>,
    feed: Feed,
    rollouts: Vec<Rollout>,
    /// In force, but not on disk: written as soon as that works again.
    owed: Vec<Entry>,
    /// The last entry known to be on disk.
    durable: Seq,
    /// Answers given, for orders that come twice while the journal cannot be asked.
    answers: BTreeMap<OrderId, Ack>,
    source_name: String,
}

/// Answers kept in memory beside those in the journal.
const ANSWERS_KEPT: usize = 1_024;

impl Engine {
    /// A fresh engine: declares the flags and journals that the session has begun.
    ///
    /// # Errors
    /// When the journal cannot be written, or two flags have one key.
    pub fn begin(setup: Setup) -> Result<Self, EngineError> {
        let Setup { environment, source_name, seed, config, specs, cues, source, log, policy } = setup;
        let at = source.now();
        let started = Event::SessionStarted {
            environment,
            source: source_name.clone(),
            policy: policy.name().to_owned(),
            seed,
        };
        let mut engine = Self {
            state: State::default(),
            observatory: Observatory::new(),
            config,
            mode: Mode::Steer(policy),
            source: Some(source),
            cues: cues.into(),
            log: Some(log),
            feed: Feed::default(),
            rollouts: Vec::new(),
            owed: Vec::new(),
            durable: Seq(0),
            answers: BTreeMap::new(),
            source_name,
        };
        let mut happened = vec![(Actor::System, started)];
        let mut keys = std::collections::BTreeSet::new();
        for spec in specs {
            if !keys.insert(spec.key.clone()) {
                return Err(Refusal::KeyUsed { flag: spec.key }.into());
            }
            happened.push((Actor::System, Event::Created { spec }));
        }
        let entries = engine.state.entries(at, happened, "");
        if let Some(log) = &mut engine.log {
            log.append(None, &entries)?;
        }
        engine.fold(&entries);
        engine.durable = engine.state.seq;
        Ok(engine)
    }

    /// An engine that goes on where a journal ends: the world is led through the same rollouts again, so that a
    /// simulated session resumes exactly, the kill latch included.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn resume(setup: Setup, until: Millis) -> Result<Self, EngineError> {
        let Setup { source_name, config, cues, mut source, log, policy, .. } = setup;
        let entries = log.all()?;
        let mut due: VecDeque<Entry> = entries.into();
        let (mut state, mut observatory, mut feed) = (State::default(), Observatory::new(), Feed::default());
        loop {
            let now = source.now();
            while due.front().is_some_and(|entry| entry.at <= now || now >= until) {
                if let Some(entry) = due.pop_front() {
                    state.apply(&entry);
                }
            }
            if now >= until || source.done() {
                break;
            }
            let rollouts: Vec<Rollout> = state.flags.iter().map(|flag| flag.rollout).collect();
            source.step(&rollouts, &mut feed);
            let end = source.now();
            observatory.observe(&state, &config, &feed, Moment { end, now: end });
        }
        for entry in due {
            state.apply(&entry);
        }
        let now = source.now();
        let durable = state.seq;
        Ok(Self {
            state,
            observatory,
            config,
            mode: Mode::Steer(policy),
            cues: cues.into_iter().filter(|cue| cue.at > now).collect(),
            source: Some(source),
            log: Some(log),
            feed,
            rollouts: Vec::new(),
            owed: Vec::new(),
            durable,
            answers: BTreeMap::new(),
            source_name,
        })
    }

    /// An engine that plays back a recorded session. Nothing can be changed in it.
    #[must_use]
    pub fn playback(recorded: Recorded, config: ControlConfig, source_name: String) -> Self {
        Self {
            state: State::default(),
            observatory: Observatory::new(),
            config,
            mode: Mode::Playback(Box::new(recorded)),
            source: None,
            cues: VecDeque::new(),
            log: None,
            feed: Feed::default(),
            rollouts: Vec::new(),
            owed: Vec::new(),
            durable: Seq(0),
            answers: BTreeMap::new(),
            source_name,
        }
    }

    /// The state.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// What is remembered of telemetry.
    #[must_use]
    pub const fn observatory(&self) -> &Observatory {
        &self.observatory
    }

    /// The settings.
    #[must_use]
    pub const fn config(&self) -> &ControlConfig {
        &self.config
    }

    /// What is steered, for people.
    #[must_use]
    pub fn source_name(&self) -> &str {
        &self.source_name
    }

    /// The name of the policy in charge.
    #[must_use]
    pub fn policy_name(&self) -> &str {
        match &self.mode {
            Mode::Steer(policy) => policy.name(),
            Mode::Playback(_) => "recorded",
        }
    }

    /// Controller time.
    #[must_use]
    pub fn now(&self) -> Millis {
        match (&self.mode, &self.source) {
            (Mode::Playback(recorded), _) => recorded.now(),
            (_, Some(source)) => source.now(),
            _ => self.state.at,
        }
    }

    /// Whether the source has come to its end.
    #[must_use]
    pub fn done(&self) -> bool {
        match (&self.mode, &self.source) {
            (Mode::Playback(recorded), _) => recorded.done(),
            (_, source) => source.as_ref().is_none_or(|source| source.done()),
        }
    }

    /// Entries of the journal below `before` (the newest where `None`), oldest first, at most `limit`; those not yet on
    /// disk among them.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub fn entries(&self, before: Option<Seq>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let mut entries = match &self.log {
            Some(log) => log.before(before, limit)?,
            None => Vec::new(),
        };
        entries
            .extend(self.owed.iter().filter(|entry| before.is_none_or(|before| entry.seq < before)).cloned());
        let surplus = entries.len().saturating_sub(limit);
        entries.drain(..surplus);
        Ok(entries)
    }

    /// Lives through one control interval. Returns what happened, which is in force and on disk (or owed, when the
    /// disk fails: only what makes things safer is done then).
    pub fn step(&mut self) -> Vec<Entry> {
        if self.done() {
            return Vec::new();
        }
        let mut news = self.cued();
        self.rollouts.clear();
        self.rollouts.extend(self.state.flags.iter().map(|flag| flag.rollout));
        match (&mut self.mode, &mut self.source) {
            (Mode::Playback(recorded), _) => {
                let entries = recorded.due(recorded.now());
                self.fold(&entries);
                news.extend(entries);
                let Mode::Playback(recorded) = &mut self.mode else { return news };
                recorded.step(&[], &mut self.feed);
                let end = recorded.now();
                let moment = Moment { end, now: end };
                self.observatory.observe(&self.state, &self.config, &self.feed, moment);
                let Mode::Playback(recorded) = &mut self.mode else { return news };
                let entries = recorded.due(end);
                self.fold(&entries);
                news.extend(entries);
            }
            (Mode::Steer(policy), Some(source)) => {
                source.step(&self.rollouts, &mut self.feed);
                let end = source.now();
                let moment = Moment { end, now: end };
                let happened = tick(
                    &self.state,
                    &mut self.observatory,
                    policy.as_mut(),
                    &self.config,
                    &self.feed,
                    moment,
                );
                news.extend(self.keep_tick(end, happened));
            }
            (Mode::Steer(_), None) => {}
        }
        news
    }

    /// Carries out an order. The same order id acts once.
    ///
    /// # Errors
    /// When it is refused or cannot be made durable; nothing has changed then.
    pub fn order(&mut self, order: &Order) -> Result<(Ack, Vec<Entry>), OrderError> {
        if matches!(self.mode, Mode::Playback(_)) {
            return Err(OrderError::NotSent("this is a recording, nothing can be changed in it".to_owned()));
        }
        if let Some(ack) = self.answered(&order.id) {
            return Ok((ack, Vec::new()));
        }
        let now = self.now();
        let granted = decide(&self.state, &self.observatory, &self.config, now, order)?;
        let entries = self.state.entries(now, granted.happened, &order.reason);
        let mut ack = Ack {
            seq: entries.last().map_or(self.state.seq, |entry| entry.seq),
            done: entries.iter().map(|entry| entry.sentence.clone()).collect(),
            warnings: granted.warnings,
            durable: true,
            read_back: (1, 1),
        };
        let kill = order.command == Command::KillAll;
        if kill {
            let all = u32::try_from(self.state.flags.len()).unwrap_or(u32::MAX);
            ack.read_back = (all, all);
        }
        let answer = serde_json::to_string(&ack).unwrap_or_default();
        let written = self.write(Some((&order.id, &answer)), &entries);
        match written {
            Ok(()) => {
                self.fold(&entries);
                self.durable = self.state.seq;
            }
            // Kill-all needs no disk: it is in force, says so, and is written when the disk is back.
            Err(error) if kill => {
                self.fold(&entries);
                self.owed.extend(entries.iter().cloned());
                ack.durable = false;
                ack.warnings.push(format!("in force, NOT durable: {error}"));
            }
            Err(error) => return Err(OrderError::NotDurable(error.to_string())),
        }
        if kill {
            ack.read_back.0 = self.read_back_off();
        }
        while self.answers.len() >= ANSWERS_KEPT {
            self.answers.pop_first();
        }
        self.answers.insert(order.id.clone(), ack.clone());
        Ok((ack, entries))
    }

    /// How many flags answer `off` when asked, after kill-all.
    fn read_back_off(&self) -> u32 {
        let latched = self.state.latch.is_some();
        let off = self
            .state
            .flags
            .iter()
            .filter(|flag| evaluate(&flag.spec.key, flag.rollout, latched, "read-back") == Variant::Off);
        u32::try_from(off.count()).unwrap_or(u32::MAX)
    }

    fn answered(&self, id: &OrderId) -> Option<Ack> {
        if let Some(ack) = self.answers.get(id) {
            return Some(ack.clone());
        }
        let answer = self.log.as_ref()?.outcome(id).ok()??;
        serde_json::from_str(&answer).ok()
    }

    /// The people that the scenario has start a flag about now.
    fn cued(&mut self) -> Vec<Entry> {
        let now = self.now();
        let mut news = Vec::new();
        while self.cues.front().is_some_and(|cue| cue.at <= now) {
            let Some(cue) = self.cues.pop_front() else { break };
            let Some(flag) = self.state.flags.get(cue.flag.index()).map(|flag| flag.spec.key.clone()) else {
                continue;
            };
            let order = Order {
                id: OrderId(format!("cue-{}-{}", cue.at.0, cue.flag.0)),
                actor: Actor::Person(cue.operator),
                reason: String::new(),
                command: Command::Start { flag },
            };
            // A person may have been faster, or kill-all is in force: then there is nothing to start.
            if let Ok((_, entries)) = self.order(&order) {
                news.extend(entries);
            }
        }
        news
    }

    /// Journals a tick, then folds it in. When the disk fails, only what makes things safer is done.
    fn keep_tick(&mut self, at: Millis, happened: Vec<(Actor, Event)>) -> Vec<Entry> {
        let entries = self.state.entries(at, happened.clone(), "");
        let recovered = self.recover();
        let written = match (&mut self.log, recovered) {
            (None, _) => Ok(()),
            (Some(log), Ok(())) => log.append_tick(&entries, at, &self.feed.samples),
            (Some(_), Err(error)) => Err(error),
        };
        let error = match written {
            Ok(()) => {
                self.fold(&entries);
                self.durable = self.state.seq;
                let mut entries = entries;
                entries.extend(self.durability_alarm(at, None));
                return entries;
            }
            Err(error) => error,
        };
        tracing::error!("the journal cannot be written: {error}");
        let safer: Vec<_> = happened.into_iter().filter(|(_, event)| !event.is_raise()).collect();
        let mut entries = self.state.entries(at, safer, "");
        self.fold(&entries);
        self.owed.extend(entries.iter().cloned());
        entries.extend(self.durability_alarm(at, Some(&error)));
        entries
    }

    /// Raises or clears the alarm about the journal. Its raising is owed, as the disk does not take it.
    fn durability_alarm(&mut self, at: Millis, error: Option<&StoreError>) -> Vec<Entry> {
        let standing = self.state.alarm(&AlarmKind::NotDurable).map(|alarm| alarm.id);
        let event = match (standing, error) {
            (None, Some(error)) => Event::AlarmRaised {
                id: AlarmId(self.state.alarm_count + 1),
                kind: AlarmKind::NotDurable,
                text: format!(
                    "The journal cannot be written ({error}): nothing is raised; rollbacks and kill-all act, NOT durable."
                ),
            },
            (Some(id), None) => Event::AlarmCleared { id },
            _ => return Vec::new(),
        };
        let entries = self.state.entries(at, vec![(Actor::System, event)], "");
        if error.is_none() && self.write(None, &entries).is_ok() {
            self.fold(&entries);
            self.durable = self.state.seq;
        } else {
            self.fold(&entries);
            self.owed.extend(entries.iter().cloned());
        }
        entries
    }

    /// Writes entries after whatever is owed.
    fn write(&mut self, order: Option<(&OrderId, &str)>, entries: &[Entry]) -> Result<(), StoreError> {
        self.recover()?;
        match &mut self.log {
            Some(log) => log.append(order, entries),
            None => Ok(()),
        }
    }

    /// After a failure: tries whether the disk is back and pays what is owed.
    ///
    /// A write that was reported as failed may have reached the disk after all; what is found there and was never
    /// folded in comes first, and what was done since goes on top of it.
    fn recover(&mut self) -> Result<(), StoreError> {
        let Some(log) = &mut self.log else { return Ok(()) };
        if self.owed.is_empty() && self.state.alarm(&AlarmKind::NotDurable).is_none() {
            return Ok(());
        }
        let head = log.recover()?;
        if head > self.durable {
            let found = log.all()?;
            let mut state = State::default();
            for entry in &found {
                state.apply(entry);
            }
            self.owed.retain(|owed| !found.contains(owed));
            let mut again = Vec::with_capacity(self.owed.len());
            for owed in std::mem::take(&mut self.owed) {
                let mut entry = owed;
                entry.seq = Seq(state.seq.0 + 1);
                state.apply(&entry);
                again.push(entry);
            }
            self.owed = again;
            self.state = state;
            self.durable = head;
        }
        log.append(None, &self.owed)?;
        self.owed.clear();
        self.durable = self.state.seq;
        Ok(())
    }

    fn fold(&mut self, entries: &[Entry]) {
        for entry in entries {
            self.state.apply(entry);
        }
    }
}
