//! Keeping what happens: journalled before it counts, owed while the disk fails, settled when it is back.
//!
//! While the journal cannot be written nothing raises anybody's exposure; rollbacks and kill-all act and are owed.

use super::{core::Engine, order::Kept};
use knightwatch_core::{
    control::{Actor, AlarmId, AlarmKind, Entry, Event, Moment, OrderId, Seq, State},
    telemetry::Millis,
};
use knightwatch_store::StoreError;

/// In force, but not on disk: written, in one transaction, as soon as that works again.
pub(super) struct Owed {
    /// The order that it came of, with the answer it gets once it is durable.
    pub(super) order: Option<(OrderId, Kept)>,
    pub(super) entries: Vec<Entry>,
}

impl Engine {
    /// Journals a tick, then folds it in. When the disk fails (`trouble`, or now), only what makes things safer is done.
    pub(super) fn keep_tick(
        &mut self,
        moment: Moment,
        happened: Vec<(Actor, Event)>,
        trouble: Option<StoreError>,
    ) -> Vec<Entry> {
        let at = moment.now;
        let mut entries = self.state.entries(at, happened.clone(), "");
        let written = match (&mut self.log, trouble) {
            (_, Some(error)) => Err(error),
            (None, None) => Ok(()),
            (Some(log), None) => {
                log.append_tick(&entries, moment.end, &self.feed.samples).inspect_err(|_| self.broken = true)
            }
        };
        let error = match written {
            Ok(()) => {
                self.fold(&entries);
                self.durable = self.state.seq;
                entries.extend(self.durability_alarm(at, None));
                return entries;
            }
            Err(error) => error,
        };
        tracing::error!("the journal cannot be written: {error}");
        let safer: Vec<_> = happened.into_iter().filter(|(_, event)| !event.is_raise()).collect();
        let mut entries = self.state.entries(at, safer, "");
        self.owe(&entries);
        entries.extend(self.durability_alarm(at, Some(&error)));
        entries
    }

    /// Has the shadow look at the tick that was just kept, from the state `before` it, and journals what is news. While the
    /// disk fails that is left out: it is for what steers.
    pub(super) fn look_beside(&mut self, before: &State, moment: Moment) -> Vec<Entry> {
        let Some(shadow) = &mut self.shadow else { return Vec::new() };
        let happened = shadow.look(before, &self.observatory, &self.config, moment);
        if happened.is_empty() || self.broken {
            return Vec::new();
        }
        for (_, event) in &happened {
            if let Event::ShadowFaulty { policy, fault } = event {
                tracing::warn!("the shadow {policy} gives no usable answer: {fault}");
            }
        }
        let entries = self.state.entries(moment.now, happened, "");
        if let Err(error) = self.write(None, &entries) {
            tracing::warn!("what the shadow would have done is not journalled: {error}");
            return Vec::new();
        }
        self.fold(&entries);
        self.durable = self.state.seq;
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
        if error.is_some() {
            self.owe(&entries);
            return entries;
        }
        if self.write(None, &entries).is_err() {
            // It has failed again: the alarm goes on standing.
            return Vec::new();
        }
        self.fold(&entries);
        self.durable = self.state.seq;
        entries
    }

    /// Writes entries, with the answer to the order that made them.
    pub(super) fn write(
        &mut self,
        order: Option<(&OrderId, &Kept)>,
        entries: &[Entry],
    ) -> Result<(), StoreError> {
        let Some(log) = &mut self.log else { return Ok(()) };
        let answer = order.map(|(id, kept)| (id, in_json(kept)));
        let order = answer.as_ref().map(|(id, answer)| (*id, answer.as_str()));
        log.append(order, entries).inspect_err(|_| self.broken = true)
    }

    /// Whether something is in force that is not on disk.
    pub(super) const fn is_owing(&self) -> bool {
        self.broken
    }

    /// Tries to pay what is owed without a step or an order: where time stands still, and before the end.
    pub(super) fn pay(&mut self) -> Vec<Entry> {
        if let Err(error) = self.recover() {
            tracing::error!("the journal still cannot be written: {error}");
            return Vec::new();
        }
        let mut news = std::mem::take(&mut self.surfaced);
        news.extend(self.durability_alarm(self.now(), None));
        news
    }

    /// After a failure: tries whether the disk is back and pays what is owed, in order, each thing once.
    pub(super) fn recover(&mut self) -> Result<(), StoreError> {
        let Some(log) = self.log.as_mut().filter(|_| self.broken) else { return Ok(()) };
        let head = log.recover()?;
        if head > self.durable {
            let found = log.all()?;
            self.reconcile(&found);
        }
        while let Some(owed) = self.owed.first() {
            let order = owed.order.clone();
            let entries = owed.entries.clone();
            self.write(order.as_ref().map(|(id, kept)| (id, kept)), &entries)?;
            self.owed.remove(0);
            self.durable = entries.last().map_or(self.durable, |last| last.seq);
            if let Some((id, kept)) = order {
                self.answers.keep(id, kept);
            }
        }
        self.broken = false;
        Ok(())
    }

    /// A write that was reported as failed may have reached the disk after all: what is `found` there comes first, and
    /// what was done since, and is not among it, goes on top of it.
    fn reconcile(&mut self, found: &[Entry]) {
        let mut state = State::default();
        for entry in found {
            state.apply(entry);
        }
        let mut unseen: Vec<Entry> = found.iter().filter(|entry| entry.seq > self.durable).cloned().collect();
        self.durable = state.seq;
        let mut owed = std::mem::take(&mut self.owed);
        owed.retain_mut(|owed| {
            owed.entries.retain(|entry| {
                // The number may differ: raises that went before it in the same write were dropped here.
                let same = |found: &Entry| {
                    (found.at, &found.actor, &found.event) == (entry.at, &entry.actor, &entry.event)
                };
                let place = unseen.iter().position(same);
                place.map(|place| unseen.remove(place)).is_none()
            });
            if owed.entries.is_empty()
                && let Some((id, kept)) = owed.order.take()
            {
                self.answers.keep(id, kept);
            }
            !owed.entries.is_empty()
        });
        for owed in &mut owed {
            for entry in &mut owed.entries {
                entry.seq = Seq(state.seq.0 + 1);
                state.apply(entry);
            }
            if let (Some((_, kept)), Some(last)) = (&mut owed.order, owed.entries.last()) {
                kept.ack.seq = last.seq;
            }
        }
        self.owed = owed;
        self.state = state;
        self.surfaced.extend(unseen);
    }

    /// In force from here on, and on disk when that works again.
    fn owe(&mut self, entries: &[Entry]) {
        self.fold(entries);
        if !entries.is_empty() {
            self.owed.push(Owed { order: None, entries: entries.to_vec() });
        }
    }

    pub(super) fn fold(&mut self, entries: &[Entry]) {
        for entry in entries {
            self.state.apply(entry);
        }
    }
}

/// An answer as the journal keeps it. It holds text and whole numbers only, which always can be written.
fn in_json(kept: &Kept) -> String {
    serde_json::to_string(kept).unwrap_or_default()
}
