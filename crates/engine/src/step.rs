//! The step: a steering engine lives through one control interval.
//!
//! It goes from scheduled starts over telemetry and the tick to the journal, in this order. What each of them does is in
//! its own module. It must not know real time: the loop calls it when it is due.

use super::steering::Steering;
use knightwatch_core::control::{Entry, Moment, tick};

impl Steering {
    /// Lives through one control interval. Returns what happened, which is in force and on disk (or in the outbox, while the
    /// disk fails: only what makes things safer is done then).
    pub(super) fn step(&mut self) -> Vec<Entry> {
        if self.source.done() {
            return Vec::new();
        }
        let mut news = self.started_on_schedule();
        // Before anything is decided: what is found on the disk is part of the state.
        let trouble = self.recover().err();
        news.append(&mut self.surfaced);
        self.rollouts.clear();
        self.rollouts.extend(self.state.flags.iter().map(|flag| flag.rollout));
        self.source.step(&self.rollouts, &mut self.feed);
        let moment = Moment { end: self.source.end(), now: self.source.now() };
        let happened = tick(
            &self.state,
            &mut self.telemetry_state,
            self.policy.as_mut(),
            &self.config,
            &self.feed,
            moment,
        );
        let before = self.shadow.is_some().then(|| self.state.clone());
        news.extend(self.keep_tick(moment, happened, trouble));
        // When everything is in force and on disk: a shadow that takes its time keeps nothing waiting.
        news.extend(before.map_or_else(Vec::new, |before| self.look_beside(&before, moment)));
        news
    }
}
