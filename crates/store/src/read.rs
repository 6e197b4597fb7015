//! Reading a session's journal: single answers, the newest entries, a search, and everything in order.
//!
//! Every entry is checked against its hash before it is given out; what was tampered with is an error, never a value.
//! Knows nothing of what the entries mean.

use std::{
    ops::{Bound, RangeBounds},
    path::Path,
};

use rusqlite::{OptionalExtension, params};

use super::{
    ChainFault, Hash, Head, Journal, SessionMeta, StoreError,
    rows::{self, COLUMNS, Row, Rows, actor_column},
};
use knightwatch_core::{
    control::{Actor, Entry, OrderId, Seq},
    flag::FlagKey,
    telemetry::Millis,
};

/// Which entries [`Journal::search`] looks for; an empty filter finds all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// About this flag.
    pub flag: Option<FlagKey>,
    /// By this actor.
    pub actor: Option<Actor>,
    /// Of this kind ([`knightwatch_core::control::Event::kind`]).
    pub kind: Option<String>,
}

impl Journal {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the session is.
    #[must_use]
    pub const fn meta(&self) -> &SessionMeta {
        &self.meta
    }

    /// The end of the chain. For a reader the one when it was opened.
    #[must_use]
    pub const fn head(&self) -> Head {
        self.head
    }

    /// The time of the last recorded tick: controller time continues from there.
    #[must_use]
    pub const fn last_tick(&self) -> Option<Millis> {
        self.last_tick
    }

    /// The answer that `order` got when it acted; `None` when it never has.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn outcome(&self, order: &OrderId) -> Result<Option<String>, StoreError> {
        let query = || {
            let mut statement =
                self.connection.prepare_cached("SELECT answer FROM outcome WHERE order_id = ?1")?;
            statement.query_row([&order.0], |row| row.get(0)).optional()
        };
        query().map_err(|error| StoreError::reading("read", &self.path, &error))
    }

    /// The newest entries within `range`, at most `limit`, oldest first.
    ///
    /// # Errors
    /// When the file cannot be read, and [`StoreError::Chain`] for an entry that was changed.
    pub fn entries(&self, range: impl RangeBounds<Seq>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.search(&Filter::default(), range, limit)
    }

    /// The newest entries within `range` that pass `filter`, at most `limit`, oldest first.
    ///
    /// # Errors
    /// As [`Self::entries`].
    pub fn search(
        &self,
        filter: &Filter,
        range: impl RangeBounds<Seq>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        self.rows(filter, range, limit)?.iter().map(|row| self.entry_in(row)).collect()
    }

    /// The oldest entries above `after`, at most `limit`, each with the head of the chain at it.
    ///
    /// # Errors
    /// As [`Self::entries`].
    pub fn after(&self, after: Seq, limit: u64) -> Result<Vec<(Head, Entry)>, StoreError> {
        // By their numbers, which have no gaps: where there are more than `limit`, the newest are not what is asked for.
        let range = Seq(after.0.saturating_add(1))..=Seq(after.0.saturating_add(limit));
        let rows = self.rows(&Filter::default(), range, usize::MAX)?;
        let each = rows.iter().map(|row| {
            let entry = self.entry_in(row)?;
            let seq = entry.seq;
            let changed =
                || StoreError::Chain { path: self.path.clone(), fault: ChainFault::Changed { seq } };
            let hash = Hash::from_bytes(&row.hash).ok_or_else(changed)?;
            Ok((Head { seq, hash }, entry))
        });
        each.collect()
    }

    /// The head of the chain as it was at the entry `seq`; `None` where there is none (yet).
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn head_at(&self, seq: Seq) -> Result<Option<Head>, StoreError> {
        if seq.0 == 0 {
            return Ok(Some(self.genesis_head()));
        }
        Ok(self.row(seq)?.and_then(|row| Hash::from_bytes(&row.hash)).map(|hash| Head { seq, hash }))
    }

    /// The newest rows within `range` that pass `filter`, at most `limit`, oldest first, unchecked.
    fn rows(
        &self,
        filter: &Filter,
        range: impl RangeBounds<Seq>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let (first, last) = bounds(&range);
        let query = || -> rusqlite::Result<Vec<Row>> {
            let mut statement = self.connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM entry WHERE seq BETWEEN ?1 AND ?2 AND (?3 IS NULL OR flag = ?3) \
                 AND (?4 IS NULL OR actor = ?4) AND (?5 IS NULL OR kind = ?5) ORDER BY seq DESC LIMIT ?6"
            ))?;
            let parameters = params![
                first,
                last,
                filter.flag.as_ref().map(FlagKey::as_str),
                filter.actor.as_ref().map(actor_column),
                filter.kind,
                i64::try_from(limit).unwrap_or(i64::MAX)
            ];
            statement.query_map(parameters, Row::read)?.collect()
        };
        let mut found = query().map_err(|error| StoreError::reading("read", &self.path, &error))?;
        found.reverse();
        Ok(found)
    }

    /// All entries in order, each checked against the whole chain before it. After an error nothing more comes.
    #[must_use]
    pub fn load_all(&self) -> Entries<'_> {
        Entries {
            journal: self,
            rows: Rows::after(&self.connection, &self.path, i64::MIN),
            head: self.genesis_head(),
            failed: false,
        }
    }

    /// The head of a chain without entries.
    pub(super) const fn genesis_head(&self) -> Head {
        Head { seq: Seq(0), hash: self.genesis }
    }

    /// The entry in a row that is read by itself: its text must have the stored hash.
    fn entry_in(&self, row: &Row) -> Result<Entry, StoreError> {
        let seq = Seq(u64::try_from(row.seq).unwrap_or(0));
        let whole = Hash::from_bytes(&row.prev)
            .is_some_and(|prev| Hash::link(prev, &row.json).as_bytes().as_slice() == row.hash);
        row.entry()
            .filter(|entry| whole && entry.seq == seq)
            .ok_or_else(|| StoreError::Chain { path: self.path.clone(), fault: ChainFault::Changed { seq } })
    }

    /// One row, unchecked.
    pub(super) fn row(&self, seq: Seq) -> Result<Option<Row>, StoreError> {
        let query = || {
            let sql = format!("SELECT {COLUMNS} FROM entry WHERE seq = ?1");
            let mut statement = self.connection.prepare_cached(&sql)?;
            statement.query_row([i64::try_from(seq.0).unwrap_or(i64::MAX)], Row::read).optional()
        };
        query().map_err(|error| StoreError::reading("read", &self.path, &error))
    }
}

/// The first and last number within `range`.
fn bounds(range: &impl RangeBounds<Seq>) -> (i64, i64) {
    let number = |seq: &Seq| i64::try_from(seq.0).unwrap_or(i64::MAX);
    let first = match range.start_bound() {
        Bound::Included(seq) => number(seq),
        Bound::Excluded(seq) => number(seq).saturating_add(1),
        Bound::Unbounded => 0,
    };
    let last = match range.end_bound() {
        Bound::Included(seq) => number(seq),
        Bound::Excluded(seq) => number(seq).saturating_sub(1),
        Bound::Unbounded => i64::MAX,
    };
    (first, last)
}

/// All entries of a journal in order, each checked against the chain: what [`Journal::load_all`] gives.
pub struct Entries<'a> {
    journal: &'a Journal,
    rows: Rows<'a>,
    head: Head,
    failed: bool,
}

impl Entries<'_> {
    /// The end of the chain as far as it was read.
    #[must_use]
    pub const fn head(&self) -> Head {
        self.head
    }
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let checked = self.rows.next()?.and_then(|row| {
            rows::check(self.head, &row).map_err(|fault| StoreError::Chain {
                path: self.journal.path.clone(),
                fault: rows::refine(&self.journal.connection, self.head, fault),
            })
        });
        Some(match checked {
            Ok((entry, head)) => {
                self.head = head;
                Ok(entry)
            }
            Err(error) => {
                self.failed = true;
                Err(error)
            }
        })
    }
}
