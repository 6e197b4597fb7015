//! The engine's state and its step: one interval of controller time. How it begins is in `begin.rs`, what people may do
//! in `order.rs`, what becomes of a failing disk in `keep.rs`.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::{Cue, Log, Meter, Recorded, keep::Owed, order::Answers};
use knightwatch_core::{
    Source,
    control::{ControlConfig, Entry, Moment, Observatory, Policy, PolicySettings, Seq, Shadow, State, tick},
    flag::Rollout,
    telemetry::{Feed, Millis},
};
use knightwatch_store::StoreError;

/// What steers.
pub(super) enum Mode {
    /// A policy decides.
    Steer(Box<dyn Policy>),
    /// A recorded session plays back what was decided then.
    Playback(Box<Recorded>),
}

/// The engine. It does one thing at a time and never waits for anything but its journal and its policy's deadline.
pub struct Engine {
    pub(super) state: State,
    pub(super) observatory: Observatory,
    pub(super) config: ControlConfig,
    pub(super) mode: Mode,
    /// Who decides beside it, without acting.
    pub(super) shadow: Option<Shadow>,
    pub(super) source: Option<Box<dyn Source>>,
    pub(super) cues: VecDeque<Cue>,
    pub(super) log: Option<Box<dyn Log>>,
    pub(super) feed: Feed,
    rollouts: Vec<Rollout>,
    /// In force, but not on disk.
    pub(super) owed: Vec<Owed>,
    /// Whether a write has failed since the disk was last known to take them.
    pub(super) broken: bool,
    /// The last entry known to be on disk.
    pub(super) durable: Seq,
    /// Entries found on disk that had been reported as not written: news to everybody.
    pub(super) surfaced: Vec<Entry>,
    pub(super) answers: Answers,
    source_name: String,
    pub(super) meter: Arc<Meter>,
}

impl Engine {
    pub(super) fn new(mode: Mode, state: State, config: ControlConfig, source_name: String) -> Self {
        Self {
            durable: state.seq,
            state,
            observatory: Observatory::new(),
            config,
            mode,
            shadow: None,
            source: None,
            cues: VecDeque::new(),
            log: None,
            feed: Feed::default(),
            rollouts: Vec::new(),
            owed: Vec::new(),
            broken: false,
            surfaced: Vec::new(),
            answers: Answers::default(),
            source_name,
            meter: Arc::default(),
        }
    }

    /// The state.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// What its loop measures of itself.
    #[must_use]
    pub const fn meter(&self) -> &Arc<Meter> {
        &self.meter
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

    /// The name of the policy that decides beside it without acting, where one does.
    #[must_use]
    pub fn shadow_name(&self) -> Option<&str> {
        self.shadow.as_ref().map(Shadow::name)
    }

    /// How the policy in charge is set, where it can be.
    #[must_use]
    pub fn policy_settings(&self) -> Option<PolicySettings> {
        match &self.mode {
            Mode::Steer(policy) => policy.settings(),
            Mode::Playback(_) => None,
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

    /// The end of the interval that was closed last.
    #[must_use]
    pub fn interval_end(&self) -> Millis {
        match (&self.mode, &self.source) {
            (Mode::Steer(_), Some(source)) => source.end(),
            _ => self.now(),
        }
    }

    /// In how long the next step is due, where the source's time is real.
    pub(super) fn next_in(&self) -> Option<Duration> {
        self.source.as_ref().and_then(|source| source.next_in())
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
        let wanted = |entry: &&Entry| before.is_none_or(|before| entry.seq < before);
        let mut entries = match (&self.mode, &self.log) {
            (Mode::Playback(recorded), _) => recorded.played().iter().filter(wanted).cloned().collect(),
            (_, Some(log)) => log.before(before, limit)?,
            (_, None) => Vec::new(),
        };
        if self.broken {
            // What a failed write has left on the disk is not in force, and has the numbers of what is owed.
            entries.retain(|entry| entry.seq <= self.durable);
            entries.extend(self.owed.iter().flat_map(|owed| &owed.entries).filter(wanted).cloned());
        }
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
        // Before anything is decided: what is found on the disk is part of the state.
        let trouble = self.recover().err();
        news.append(&mut self.surfaced);
        self.rollouts.clear();
        self.rollouts.extend(self.state.flags.iter().map(|flag| flag.rollout));
        match (&mut self.mode, &mut self.source) {
            (Mode::Playback(recorded), _) => {
                for entry in recorded.due(recorded.now()) {
                    self.state.apply(&entry);
                    news.push(entry);
                }
                recorded.step(&self.rollouts, &mut self.feed);
                let end = recorded.now();
                let moment = Moment { end, now: end };
                self.observatory.observe(&self.state, &self.config, &self.feed, moment);
                for entry in recorded.due(end) {
                    self.state.apply(&entry);
                    news.push(entry);
                }
            }
            (Mode::Steer(policy), Some(source)) => {
                source.step(&self.rollouts, &mut self.feed);
                let moment = Moment { end: source.end(), now: source.now() };
                let happened = tick(
                    &self.state,
                    &mut self.observatory,
                    policy.as_mut(),
                    &self.config,
                    &self.feed,
                    moment,
                );
                let before = self.shadow.is_some().then(|| self.state.clone());
                news.extend(self.keep_tick(moment, happened, trouble));
                // When everything is in force and on disk: a shadow that takes its time keeps nothing waiting.
                news.extend(before.map_or_else(Vec::new, |before| self.look_beside(&before, moment)));
            }
            (Mode::Steer(_), None) => {}
        }
        news
    }
}
