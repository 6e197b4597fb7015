//! Keeping what happens: it is journalled before it counts.
//!
//! While the journal cannot be written nothing raises anybody's exposure; rollbacks and kill-all act, and wait in the
//! outbox. This file decides what may act. It must not know how the outbox writes, or what an order is.

use super::{outbox::Flush, steering::Steering};
use knightwatch_core::{
    control::{Actor, AlarmId, AlarmKind, Entry, Event, Moment, State},
    telemetry::Millis,
};
use knightwatch_store::StoreError;

impl Steering {
    /// Journals a tick, then folds it in. When the disk fails (`trouble`, or now), only what makes things safer is done.
    pub(super) fn keep_tick(
        &mut self,
        moment: Moment,
        happened: Vec<(Actor, Event)>,
        trouble: Option<StoreError>,
    ) -> Vec<Entry> {
        let at = moment.now;
        let mut entries = self.state.entries(at, happened.clone(), "");
        let written = match trouble {
            Some(error) => Err(error),
            None => self.outbox.append_tick(&entries, moment.end, &self.feed.samples),
        };
        let error = match written {
            Ok(()) => {
                self.fold(&entries);
                entries.extend(self.durability_alarm(at, None));
                return entries;
            }
            Err(error) => error,
        };
        tracing::error!("the journal cannot be written: {error}");
        let safer: Vec<_> = happened.into_iter().filter(|(_, event)| !event.is_raise()).collect();
        let mut entries = self.state.entries(at, safer, "");
        self.put(&entries);
        entries.extend(self.durability_alarm(at, Some(&error)));
        entries
    }

    /// Has the shadow look at the tick that was just kept, from the state `before` it, and journals what is news. While the
    /// disk fails that is left out: it is for what steers.
    pub(super) fn look_beside(&mut self, before: &State, moment: Moment) -> Vec<Entry> {
        let Some(shadow) = &mut self.shadow else { return Vec::new() };
        let happened = shadow.look(before, &self.telemetry_state, &self.config, moment);
        if happened.is_empty() || self.outbox.is_failing() {
            return Vec::new();
        }
        for (_, event) in &happened {
            if let Event::ShadowFaulty { policy, fault } = event {
                tracing::warn!("the shadow {policy} gives no usable answer: {fault}");
            }
        }
        let entries = self.state.entries(moment.now, happened, "");
        if let Err(error) = self.outbox.append(None, &entries) {
            tracing::warn!("what the shadow would have done is not journalled: {error}");
            return Vec::new();
        }
        self.fold(&entries);
        entries
    }

    /// Raises or clears the alarm about the journal. A raised one waits in the outbox, as the disk does not take it.
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
        if error.is_some() {
            self.put(&entries);
            return entries;
        }
        if self.outbox.append(None, &entries).is_err() {
            // It has failed again: the alarm goes on standing.
            return Vec::new();
        }
        self.fold(&entries);
        entries
    }

    /// Flushes the outbox without a step or an order: where time stands still, and before the end.
    pub(super) fn flush(&mut self) -> Vec<Entry> {
        if let Err(error) = self.recover() {
            tracing::error!("the journal still cannot be written: {error}");
            return Vec::new();
        }
        let mut news = std::mem::take(&mut self.surfaced);
        news.extend(self.durability_alarm(self.source.now(), None));
        news
    }

    /// After a failure: tries whether the disk works again and flushes the outbox. What the disk had kept after all is part
    /// of the state from then on.
    pub(super) fn recover(&mut self) -> Result<(), StoreError> {
        let mut flush = Flush::default();
        let flushed = self.outbox.flush(&mut flush);
        if let Some(state) = flush.state {
            self.state = state;
        }
        self.surfaced.extend(flush.surfaced);
        for (id, kept) in flush.answered {
            self.answers.keep(id, kept);
        }
        flushed
    }

    /// In force from here on, and on disk when that works again.
    fn put(&mut self, entries: &[Entry]) {
        self.fold(entries);
        self.outbox.put(None, entries.to_vec());
    }

    pub(super) fn fold(&mut self, entries: &[Entry]) {
        for entry in entries {
            self.state.apply(entry);
        }
    }
}
