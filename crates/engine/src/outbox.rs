//! The outbox: the journal, and what is in force but not yet in it.
//!
//! While the disk fails, rollbacks and kill-all still act. Their entries wait here and are written, in order and each
//! once, as soon as the disk works again. A write that was reported as failed may have reached the disk after all, so the
//! journal is read before the outbox is flushed. The outbox must not know what the entries mean or who decides.

use super::{answer::StoredAck, log::Log};
use knightwatch_core::{
    control::{Entry, OrderId, Seq, State},
    telemetry::{Millis, Sample},
};
use knightwatch_store::StoreError;

/// Entries that are in force and not on disk: written in one transaction.
#[derive(Clone, Debug)]
struct Unwritten {
    /// The order that they came of, with the answer that it gets once it is durable.
    order: Option<(OrderId, StoredAck)>,
    entries: Vec<Entry>,
}

/// The journal, and what is in force but not yet in it.
pub(super) struct Outbox {
    log: Box<dyn Log>,
    /// Oldest first.
    unwritten: Vec<Unwritten>,
    /// Whether a write has failed since the disk was last known to work.
    failing: bool,
    /// The last entry known to be on disk.
    durable: Seq,
}

/// What a flush did, also where it failed before its end.
#[derive(Debug, Default)]
pub(super) struct Flush {
    /// The state as journal and outbox together say, where the journal held more than was known.
    pub(super) state: Option<State>,
    /// Entries found on disk that had been reported as not written: news to everybody.
    pub(super) surfaced: Vec<Entry>,
    /// Orders that are durable now, with their answers.
    pub(super) answered: Vec<(OrderId, StoredAck)>,
}

impl Outbox {
    /// An empty outbox of a journal that ends with the entry `durable`.
    pub(super) const fn new(log: Box<dyn Log>, durable: Seq) -> Self {
        Self { log, unwritten: Vec::new(), failing: false, durable }
    }

    /// Whether a write has failed since the disk was last known to work: something may be in force that is not on disk.
    pub(super) const fn is_failing(&self) -> bool {
        self.failing
    }

    /// The last entry known to be on disk.
    pub(super) const fn durable(&self) -> Seq {
        self.durable
    }

    /// Writes entries, with the answer to the order that made them. They are on disk on return.
    ///
    /// # Errors
    /// When they are not. Nothing more is written then until a [`Self::flush`] succeeds.
    pub(super) fn append(
        &mut self,
        order: Option<(&OrderId, &StoredAck)>,
        entries: &[Entry],
    ) -> Result<(), StoreError> {
        let answer = order.map(|(id, kept)| (id, kept.to_json()));
        let order = answer.as_ref().map(|(id, answer)| (*id, answer.as_str()));
        let written = self.log.append(order, entries);
        self.wrote(written, entries)
    }

    /// Writes the entries of a tick with the telemetry that they were decided on. `at` is the end of the interval.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub(super) fn append_tick(
        &mut self,
        entries: &[Entry],
        at: Millis,
        samples: &[Sample],
    ) -> Result<(), StoreError> {
        let written = self.log.append_tick(entries, at, samples);
        self.wrote(written, entries)
    }

    fn wrote(&mut self, written: Result<(), StoreError>, entries: &[Entry]) -> Result<(), StoreError> {
        match &written {
            Ok(()) => self.durable = entries.last().map_or(self.durable, |last| last.seq),
            Err(_) => self.failing = true,
        }
        written
    }

    /// Puts in what is in force and could not be written, with the order that it came of.
    pub(super) fn put(&mut self, order: Option<(OrderId, StoredAck)>, entries: Vec<Entry>) {
        if order.is_some() || !entries.is_empty() {
            self.unwritten.push(Unwritten { order, entries });
        }
    }

    /// After a failure: tries whether the disk works again and writes what waits, in order, each thing once. What it did is
    /// in `flush`, also when it fails half-way.
    ///
    /// # Errors
    /// While the disk fails.
    pub(super) fn flush(&mut self, flush: &mut Flush) -> Result<(), StoreError> {
        if !self.failing {
            return Ok(());
        }
        let head = self.log.recover()?;
        if head > self.durable {
            let found = self.log.all()?;
            self.reconcile(&found, flush);
        }
        while let Some(Unwritten { order, entries }) = self.unwritten.first().cloned() {
            self.append(order.as_ref().map(|(id, kept)| (id, kept)), &entries)?;
            self.unwritten.remove(0);
            flush.answered.extend(order);
        }
        self.failing = false;
        Ok(())
    }

    /// A write that was reported as failed may have reached the disk after all: what is `found` there comes first, and
    /// what was done since, and is not among it, goes on top of it.
    fn reconcile(&mut self, found: &[Entry], flush: &mut Flush) {
        let mut state = State::default();
        for entry in found {
            state.apply(entry);
        }
        let mut unseen: Vec<Entry> = found.iter().filter(|entry| entry.seq > self.durable).cloned().collect();
        self.durable = state.seq;
        self.unwritten.retain_mut(|unwritten| {
            unwritten.entries.retain(|entry| {
                // The number may differ: raises that went before it in the same write were dropped.
                let same = |found: &Entry| {
                    (found.at, &found.actor, &found.event) == (entry.at, &entry.actor, &entry.event)
                };
                let index = unseen.iter().position(same);
                index.map(|index| unseen.remove(index)).is_none()
            });
            if unwritten.entries.is_empty() {
                flush.answered.extend(unwritten.order.take());
            }
            !unwritten.entries.is_empty()
        });
        for unwritten in &mut self.unwritten {
            for entry in &mut unwritten.entries {
                entry.seq = Seq(state.seq.0 + 1);
                state.apply(entry);
            }
            if let (Some((_, kept)), Some(last)) = (&mut unwritten.order, unwritten.entries.last()) {
                kept.ack.seq = last.seq;
            }
        }
        flush.state = Some(state);
        flush.surfaced.extend(unseen);
    }

    /// The answer that an order got when it acted, as the journal has it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn outcome(&self, order: &OrderId) -> Result<Option<String>, StoreError> {
        self.log.outcome(order)
    }

    /// Entries below `before` (the newest where `None`), oldest first, at most `limit`; those not yet on disk among them.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub(super) fn entries(&self, before: Option<Seq>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let mut entries = self.log.before(before, limit)?;
        if self.failing {
            // What a failed write has left on the disk is not in force, and has the numbers of what waits here.
            entries.retain(|entry| entry.seq <= self.durable);
            let wanted = |entry: &&Entry| before.is_none_or(|before| entry.seq < before);
            let waiting = self.unwritten.iter().flat_map(|unwritten| &unwritten.entries);
            entries.extend(waiting.filter(wanted).cloned());
        }
        let surplus = entries.len().saturating_sub(limit);
        entries.drain(..surplus);
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        path::PathBuf,
        sync::{Arc, Mutex, MutexGuard},
    };

    use super::*;
    use crate::answer::Ack;
    use knightwatch_core::control::{Actor, Command, Event};

    /// A journal in memory whose disk can fail.
    #[derive(Clone, Default)]
    struct Disk(Arc<Mutex<Inner>>);

    #[derive(Default)]
    struct Inner {
        entries: Vec<Entry>,
        answers: Vec<(OrderId, String)>,
        failing: bool,
        /// A write that is reported as failed is on the disk all the same.
        lands: bool,
    }

    impl Disk {
        fn get(&self) -> MutexGuard<'_, Inner> {
            self.0.lock().unwrap()
        }

        fn fail(&self, failing: bool, lands: bool) {
            let mut inner = self.get();
            (inner.failing, inner.lands) = (failing, lands);
        }
    }

    fn broken() -> StoreError {
        StoreError::NotDurable { path: PathBuf::from("disk"), detail: "it is full".to_owned() }
    }

    impl Log for Disk {
        fn append(&mut self, order: Option<(&OrderId, &str)>, entries: &[Entry]) -> Result<(), StoreError> {
            let mut inner = self.get();
            if !inner.failing || inner.lands {
                for entry in entries {
                    assert_eq!(entry.seq.0, inner.entries.len() as u64 + 1, "numbers without gaps");
                    inner.entries.push(entry.clone());
                }
                inner.answers.extend(order.map(|(id, answer)| (id.clone(), answer.to_owned())));
            }
            if inner.failing { Err(broken()) } else { Ok(()) }
        }

        fn append_tick(&mut self, entries: &[Entry], _: Millis, _: &[Sample]) -> Result<(), StoreError> {
            self.append(None, entries)
        }

        fn outcome(&self, order: &OrderId) -> Result<Option<String>, StoreError> {
            Ok(self.get().answers.iter().find(|(id, _)| id == order).map(|(_, answer)| answer.clone()))
        }

        fn recover(&mut self) -> Result<Seq, StoreError> {
            let inner = self.get();
            if inner.failing { Err(broken()) } else { Ok(Seq(inner.entries.len() as u64)) }
        }

        fn before(&self, before: Option<Seq>, limit: usize) -> Result<Vec<Entry>, StoreError> {
            let inner = self.get();
            let wanted = |entry: &&Entry| before.is_none_or(|before| entry.seq < before);
            let entries: Vec<Entry> = inner.entries.iter().filter(wanted).cloned().collect();
            Ok(entries[entries.len().saturating_sub(limit)..].to_vec())
        }

        fn all(&self) -> Result<Vec<Entry>, StoreError> {
            Ok(self.get().entries.clone())
        }
    }

    /// An outbox on a disk, with the state that it is in.
    struct Case {
        disk: Disk,
        outbox: Outbox,
        state: State,
    }

    impl Case {
        fn new() -> Self {
            let disk = Disk::default();
            let outbox = Outbox::new(Box::new(disk.clone()), Seq(0));
            Self { disk, outbox, state: State::default() }
        }

        /// Entries of these seconds, not written yet and not in force.
        fn made(&self, seconds: &[u64]) -> Vec<Entry> {
            let mut state = self.state.clone();
            let mut entries = Vec::new();
            for at in seconds {
                let happened = vec![(Actor::System, Event::BriefingAcknowledged)];
                let made = state.entries(Millis::from_secs(*at), happened, "");
                for entry in &made {
                    state.apply(entry);
                }
                entries.extend(made);
            }
            entries
        }

        /// Tries to write an entry of each of these seconds; where that fails they wait in the outbox.
        fn keep(&mut self, order: Option<&str>, seconds: &[u64]) {
            let entries = self.made(seconds);
            for entry in &entries {
                self.state.apply(entry);
            }
            let order = order.map(|id| (OrderId(id.to_owned()), answer(entries.last().map(|last| last.seq))));
            if self.outbox.append(order.as_ref().map(|(id, kept)| (id, kept)), &entries).is_err() {
                self.outbox.put(order, entries);
            }
        }

        fn flush(&mut self) -> (Flush, Result<(), StoreError>) {
            let mut flush = Flush::default();
            let flushed = self.outbox.flush(&mut flush);
            (flush, flushed)
        }

        /// The seconds of the entries on disk.
        fn on_disk(&self) -> Vec<u64> {
            self.disk.get().entries.iter().map(|entry| entry.at.0 / 1_000).collect()
        }
    }

    fn answer(seq: Option<Seq>) -> StoredAck {
        let ack = Ack {
            seq: seq.unwrap_or_default(),
            done: Vec::new(),
            warnings: Vec::new(),
            durable: true,
            flags_off: None,
        };
        StoredAck::new(ack, &Command::KillAll)
    }

    fn seconds(entries: &[Entry]) -> Vec<u64> {
        entries.iter().map(|entry| entry.at.0 / 1_000).collect()
    }

    #[test]
    fn what_is_written_does_not_wait() {
        let mut case = Case::new();
        case.keep(None, &[1, 2]);
        assert!(!case.outbox.is_failing());
        assert_eq!((case.outbox.durable(), case.on_disk()), (Seq(2), vec![1, 2]));
        let (flush, flushed) = case.flush();
        assert!(flushed.is_ok() && flush.state.is_none() && flush.surfaced.is_empty());
        assert_eq!(case.on_disk(), [1, 2], "nothing is written twice");
    }

    #[test]
    fn what_waits_is_written_in_order_once_the_disk_works() {
        let mut case = Case::new();
        case.keep(None, &[1]);
        case.disk.fail(true, false);
        case.keep(Some("kill"), &[2]);
        case.keep(None, &[3, 4]);
        assert!(case.outbox.is_failing());
        assert_eq!((case.outbox.durable(), case.on_disk()), (Seq(1), vec![1]));
        assert!(case.flush().1.is_err(), "the disk still fails");
        case.disk.fail(false, false);
        let (flush, flushed) = case.flush();
        assert!(flushed.is_ok() && !case.outbox.is_failing());
        assert_eq!((case.outbox.durable(), case.on_disk()), (Seq(4), vec![1, 2, 3, 4]));
        let answered: Vec<_> =
            flush.answered.iter().map(|(id, kept)| (id.0.as_str(), kept.ack.seq)).collect();
        assert_eq!(answered, [("kill", Seq(2))]);
        let kept = case.outbox.outcome(&OrderId("kill".to_owned())).unwrap();
        assert_eq!(kept, Some(answer(Some(Seq(2))).to_json()), "the answer is on disk with its entries");
        assert!(flush.state.is_none() && flush.surfaced.is_empty(), "nothing was found that was not known");
    }

    #[test]
    fn entries_that_wait_are_shown_after_those_on_disk() {
        let mut case = Case::new();
        case.keep(None, &[1, 2]);
        case.disk.fail(true, false);
        case.keep(None, &[3, 4]);
        let shown =
            |before: Option<u64>, limit| seconds(&case.outbox.entries(before.map(Seq), limit).unwrap());
        assert_eq!(shown(None, usize::MAX), [1, 2, 3, 4]);
        assert_eq!(shown(None, 3), [2, 3, 4]);
        assert_eq!(shown(Some(4), 2), [2, 3]);
    }

    #[test]
    fn a_failed_write_that_reached_the_disk_is_not_written_again() {
        let mut case = Case::new();
        case.disk.fail(true, true);
        case.keep(Some("kill"), &[1, 2]);
        assert_eq!((case.outbox.durable(), case.on_disk()), (Seq(0), vec![1, 2]));
        let shown = case.outbox.entries(None, usize::MAX).unwrap();
        assert_eq!(seconds(&shown), [1, 2], "those that wait, and not those on disk beside them");
        case.disk.fail(false, false);
        let (flush, flushed) = case.flush();
        assert!(flushed.is_ok());
        assert_eq!((case.outbox.durable(), case.on_disk()), (Seq(2), vec![1, 2]));
        assert_eq!(flush.answered.len(), 1, "its order is durable");
        assert_eq!(flush.state, Some(case.state), "the state is what it was");
        assert!(flush.surfaced.is_empty(), "it was known");
    }

    #[test]
    fn what_was_found_on_disk_comes_first_and_what_waits_gets_later_numbers() {
        let mut case = Case::new();
        // A write of 1 and 2 is reported as failed; of it only 2 was let act. Then an order acted at 3.
        case.disk.fail(true, true);
        let written = case.made(&[1, 2]);
        assert!(case.outbox.append(None, &written).is_err());
        let safe = case.made(&[2]);
        for entry in &safe {
            case.state.apply(entry);
        }
        case.outbox.put(None, safe);
        case.disk.fail(true, false);
        case.keep(Some("kill"), &[3]);
        case.disk.fail(false, false);
        let (flush, flushed) = case.flush();
        assert!(flushed.is_ok());
        assert_eq!(case.on_disk(), [1, 2, 3]);
        assert_eq!(seconds(&flush.surfaced), [1], "2 was known");
        assert_eq!(flush.state.map(|state| state.seq), Some(Seq(3)));
        let (id, kept) = &flush.answered[0];
        assert_eq!((id.0.as_str(), kept.ack.seq), ("kill", Seq(3)), "its answer names the later number");
    }

    #[test]
    fn a_flush_that_fails_half_way_goes_on_where_it_failed() {
        /// Takes one write after it was recovered, then none.
        struct Once(Disk);
        impl Log for Once {
            fn append(
                &mut self,
                order: Option<(&OrderId, &str)>,
                entries: &[Entry],
            ) -> Result<(), StoreError> {
                let written = self.0.append(order, entries);
                self.0.fail(true, false);
                written
            }
            fn append_tick(&mut self, entries: &[Entry], _: Millis, _: &[Sample]) -> Result<(), StoreError> {
                self.append(None, entries)
            }
            fn outcome(&self, order: &OrderId) -> Result<Option<String>, StoreError> {
                self.0.outcome(order)
            }
            fn recover(&mut self) -> Result<Seq, StoreError> {
                self.0.fail(false, false);
                self.0.recover()
            }
            fn before(&self, before: Option<Seq>, limit: usize) -> Result<Vec<Entry>, StoreError> {
                self.0.before(before, limit)
            }
            fn all(&self) -> Result<Vec<Entry>, StoreError> {
                self.0.all()
            }
        }
        let mut case = Case::new();
        case.outbox = Outbox::new(Box::new(Once(case.disk.clone())), Seq(0));
        case.disk.fail(true, false);
        case.keep(Some("first"), &[1]);
        case.keep(Some("second"), &[2]);
        let (flush, flushed) = case.flush();
        assert!(flushed.is_err() && case.outbox.is_failing());
        assert_eq!((case.on_disk(), flush.answered.len()), (vec![1], 1), "the first is done");
        let (flush, flushed) = case.flush();
        assert!(flushed.is_ok());
        assert_eq!((case.on_disk(), flush.answered.len()), (vec![1, 2], 1));
    }
}
