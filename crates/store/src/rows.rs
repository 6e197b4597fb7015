//! Journal rows as they lie in the database, read in chunks, and the check of each against the one before.
//!
//! Read as raw bytes: a row that somebody has tampered with must lead to a fault with its number, not to a failed
//! conversion. No read transaction stays open between chunks, so that a slow reader never holds up the writer's log.

use std::{collections::VecDeque, path::Path};

use rusqlite::{Connection, Row as SqlRow, params};

use super::{ChainFault, Hash, Head, StoreError};
use knightwatch_core::{
    control::{Actor, Entry, Seq},
    flag::FlagKey,
};

/// Rows in one chunk.
const CHUNK: usize = 512;

/// The columns of a row, in the order in which [`Row::read`] takes them.
pub(super) const COLUMNS: &str = "seq, at, actor, flag, kind, json, prev, hash";

/// One row of the journal, unchecked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) seq: i64,
    pub(super) at: i64,
    pub(super) actor: Vec<u8>,
    pub(super) flag: Option<Vec<u8>>,
    pub(super) kind: Vec<u8>,
    pub(super) json: Vec<u8>,
    pub(super) prev: Vec<u8>,
    pub(super) hash: Vec<u8>,
}

impl Row {
    pub(super) fn read(row: &SqlRow<'_>) -> rusqlite::Result<Self> {
        let bytes = |index| -> rusqlite::Result<Vec<u8>> { Ok(row.get_ref(index)?.as_bytes()?.to_vec()) };
        let flag = row.get_ref(3)?.as_bytes_or_null()?.map(<[u8]>::to_vec);
        Ok(Self {
            seq: row.get(0)?,
            at: row.get(1)?,
            actor: bytes(2)?,
            flag,
            kind: bytes(4)?,
            json: bytes(5)?,
            prev: bytes(6)?,
            hash: bytes(7)?,
        })
    }

    /// The entry in it, where its text is one.
    pub(super) fn entry(&self) -> Option<Entry> {
        serde_json::from_slice(&self.json).ok()
    }
}

/// How an actor is written in the column beside the entry. A person cannot pass for the agent by choosing its name.
pub(super) fn actor_column(actor: &Actor) -> String {
    match actor {
        Actor::Agent => "agent".to_owned(),
        Actor::Shield => "shield".to_owned(),
        Actor::System => "system".to_owned(),
        Actor::Person(name) => format!("person:{name}"),
    }
}

/// All rows after a number, in order.
pub(super) struct Rows<'a> {
    connection: &'a Connection,
    path: &'a Path,
    after: i64,
    chunk: VecDeque<Row>,
    done: bool,
}

impl<'a> Rows<'a> {
    pub(super) const fn after(connection: &'a Connection, path: &'a Path, after: i64) -> Self {
        Self { connection, path, after, chunk: VecDeque::new(), done: false }
    }

    fn fetch(&mut self) -> Result<(), StoreError> {
        let query = || -> rusqlite::Result<VecDeque<Row>> {
            let sql = format!("SELECT {COLUMNS} FROM entry WHERE seq > ?1 ORDER BY seq LIMIT {CHUNK}");
            let mut statement = self.connection.prepare_cached(&sql)?;
            statement.query_map(params![self.after], Row::read)?.collect()
        };
        self.chunk =
            query().map_err(|error| StoreError::reading("read the journal of", self.path, &error))?;
        match self.chunk.back() {
            Some(last) => self.after = last.seq,
            None => self.done = true,
        }
        Ok(())
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<Row, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.chunk.is_empty()
            && !self.done
            && let Err(error) = self.fetch()
        {
            self.done = true;
            return Some(Err(error));
        }
        self.chunk.pop_front().map(Ok)
    }
}

/// Checks `row` against the chain that ends in `head`; gives the entry in it and the new head.
pub(super) fn check(head: Head, row: &Row) -> Result<(Entry, Head), ChainFault> {
    let seq = Seq(head.seq.0 + 1);
    let stored = u64::try_from(row.seq).unwrap_or(0);
    if stored < seq.0 {
        return Err(ChainFault::Inserted { seq: Seq(stored) });
    }
    if stored > seq.0 {
        return Err(ChainFault::Missing { seq });
    }
    let changed = ChainFault::Changed { seq };
    let prev = Hash::from_bytes(&row.prev).ok_or_else(|| changed.clone())?;
    let hash = Hash::link(prev, &row.json);
    if row.hash != hash.as_bytes() {
        return Err(changed);
    }
    let entry = row.entry().ok_or(changed)?;
    if entry.seq != seq || prev != head.hash {
        return Err(misplaced(seq, entry.seq));
    }
    column_check(&entry, row).map_err(|column| ChainFault::Column { seq, column: column.to_owned() })?;
    Ok((entry, Head { seq, hash }))
}

/// What it means that the row in place `seq` holds a whole entry, numbered `found`, that does not follow on.
fn misplaced(seq: Seq, found: Seq) -> ChainFault {
    match found.0.cmp(&seq.0) {
        // Right place, other past: what came before it is not what was there when it was written.
        std::cmp::Ordering::Equal if seq.0 == 1 => ChainFault::Genesis,
        std::cmp::Ordering::Equal => ChainFault::Changed { seq: Seq(seq.0 - 1) },
        // Everything from here on was moved up to make room for the one before.
        std::cmp::Ordering::Less if found.0 + 1 == seq.0 => ChainFault::Inserted { seq: found },
        std::cmp::Ordering::Less => ChainFault::Reordered { seq },
        std::cmp::Ordering::Greater => ChainFault::Missing { seq },
    }
}

/// The first column that does not agree with the entry's text.
fn column_check(entry: &Entry, row: &Row) -> Result<(), &'static str> {
    if u64::try_from(row.at) != Ok(entry.at.0) {
        return Err("at");
    }
    if row.actor != actor_column(&entry.actor).as_bytes() {
        return Err("actor");
    }
    if row.flag.as_deref() != entry.flag.as_ref().map(FlagKey::as_str).map(str::as_bytes) {
        return Err("flag");
    }
    if row.kind != entry.event.kind().as_bytes() {
        return Err("kind");
    }
    Ok(())
}

/// `fault`, once more looked at with the whole journal at hand: an entry that is missing from its place may lie in
/// another.
pub(super) fn refine(connection: &Connection, head: Head, fault: ChainFault) -> ChainFault {
    let ChainFault::Missing { seq } = fault else { return fault };
    let elsewhere = connection.query_row(
        "SELECT count(*) FROM entry WHERE seq > ?1 AND prev = ?2",
        params![i64::try_from(seq.0).unwrap_or(i64::MAX), head.hash.as_bytes().as_slice()],
        |row| row.get::<_, i64>(0),
    );
    if matches!(elsewhere, Ok(1..)) { ChainFault::Reordered { seq } } else { fault }
}
