//! The telemetry of a session, read back tick by tick, as a replay needs it. Knows nothing of what the samples say.

use std::{
    collections::VecDeque,
    ops::{Bound, RangeBounds},
};

use rusqlite::params;

use super::{Journal, StoreError, decode};
use knightwatch_core::telemetry::{Millis, Sample};

/// Ticks read at once: of a large fleet some megabytes.
const CHUNK: usize = 16;

impl Journal {
    /// The recorded ticks with times within `range`, in order: each tick's time and its samples as they were recorded.
    pub fn telemetry(&self, range: impl RangeBounds<Millis>) -> Ticks<'_> {
        let number = |at: Millis| i64::try_from(at.0).unwrap_or(i64::MAX);
        let after = match range.start_bound() {
            Bound::Included(at) => number(*at).saturating_sub(1),
            Bound::Excluded(at) => number(*at),
            Bound::Unbounded => -1,
        };
        let last = match range.end_bound() {
            Bound::Included(at) => number(*at),
            Bound::Excluded(at) => number(*at).saturating_sub(1),
            Bound::Unbounded => i64::MAX,
        };
        Ticks { journal: self, after, last, chunk: VecDeque::new(), done: false }
    }
}

/// Recorded ticks in order of time: what [`Journal::telemetry`] gives. After an error nothing more comes.
pub struct Ticks<'a> {
    journal: &'a Journal,
    after: i64,
    last: i64,
    chunk: VecDeque<(i64, Vec<u8>)>,
    done: bool,
}

impl Ticks<'_> {
    fn fetch(&mut self) -> Result<(), StoreError> {
        let query = || -> rusqlite::Result<VecDeque<(i64, Vec<u8>)>> {
            let sql =
                format!("SELECT at, samples FROM tick WHERE at > ?1 AND at <= ?2 ORDER BY at LIMIT {CHUNK}");
            let mut statement = self.journal.connection.prepare_cached(&sql)?;
            statement
                .query_map(params![self.after, self.last], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect()
        };
        self.chunk = query()
            .map_err(|error| StoreError::reading("read the telemetry of", &self.journal.path, &error))?;
        match self.chunk.back() {
            Some((at, _)) => self.after = *at,
            None => self.done = true,
        }
        Ok(())
    }

    fn tick(&self, at: i64, bytes: &[u8]) -> Result<(Millis, Vec<Sample>), StoreError> {
        let at = Millis(u64::try_from(at).unwrap_or(0));
        let damaged = |source| StoreError::Telemetry { path: self.journal.path.clone(), at, source };
        Ok((at, decode(bytes).map_err(damaged)?))
    }
}

impl Iterator for Ticks<'_> {
    type Item = Result<(Millis, Vec<Sample>), StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.chunk.is_empty()
            && !self.done
            && let Err(error) = self.fetch()
        {
            self.done = true;
            return Some(Err(error));
        }
        let (at, bytes) = self.chunk.pop_front()?;
        let tick = self.tick(at, &bytes);
        if tick.is_err() {
            self.chunk.clear();
            self.done = true;
        }
        Some(tick)
    }
}
