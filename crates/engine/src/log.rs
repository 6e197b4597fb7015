//! Where the engine writes what happened: the store, behind a trait so that a failing one can stand in its place.

use knightwatch_core::{
    control::{Entry, OrderId, Seq},
    telemetry::{Millis, Sample},
};
use knightwatch_store::{Journal, StoreError};

/// The journal, as the engine needs it.
pub trait Log: Send {
    /// Writes entries, with the answer to the order that made them, in one transaction; durable on return.
    ///
    /// # Errors
    /// When they are not durable. Nothing of them may be counted on then, and nothing more is taken until
    /// [`Log::recover`].
    fn append(&mut self, order: Option<(&OrderId, &str)>, entries: &[Entry]) -> Result<(), StoreError>;

    /// Writes the entries of one tick with the telemetry that they were decided on, in one transaction. `at` is the end of
    /// the interval.
    ///
    /// # Errors
    /// As [`Log::append`].
    fn append_tick(&mut self, entries: &[Entry], at: Millis, samples: &[Sample]) -> Result<(), StoreError>;

    /// The answer that an order got when it acted.
    ///
    /// # Errors
    /// When it cannot be read.
    fn outcome(&self, order: &OrderId) -> Result<Option<String>, StoreError>;

    /// Tries whether writing works again after a failure; gives the number of the last entry found on disk.
    ///
    /// # Errors
    /// While it does not.
    fn recover(&mut self) -> Result<Seq, StoreError>;

    /// Entries below `before` (the newest where `None`), oldest first, at most `limit`.
    ///
    /// # Errors
    /// When they cannot be read.
    fn before(&self, before: Option<Seq>, limit: usize) -> Result<Vec<Entry>, StoreError>;

    /// Every entry, oldest first.
    ///
    /// # Errors
    /// When they cannot be read or were changed.
    fn all(&self) -> Result<Vec<Entry>, StoreError>;
}

impl Log for Journal {
    fn append(&mut self, order: Option<(&OrderId, &str)>, entries: &[Entry]) -> Result<(), StoreError> {
        self.append(order, entries)
    }

    fn append_tick(&mut self, entries: &[Entry], at: Millis, samples: &[Sample]) -> Result<(), StoreError> {
        self.append_tick(entries, at, samples)
    }

    fn outcome(&self, order: &OrderId) -> Result<Option<String>, StoreError> {
        self.outcome(order)
    }

    fn recover(&mut self) -> Result<Seq, StoreError> {
        self.recover().map(|head| head.seq)
    }

    fn before(&self, before: Option<Seq>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        match before {
            Some(before) => self.entries(..before, limit),
            None => self.entries(.., limit),
        }
    }

    fn all(&self) -> Result<Vec<Entry>, StoreError> {
        self.load_all().collect()
    }
}
