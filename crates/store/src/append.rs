//! Appending to a session: one transaction, all or nothing, on the disk when it returns.
//!
//! A failed write is never tried again as if it had worked: what the operating system did with the bytes is unknown. The
//! journal then refuses everything until [`Journal::recover`] has seen a write succeed on a newly opened database.
//! Knows nothing of what the entries mean, but that kill-all is worth a second record at once.

use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior, params};

use super::{
    HEAD_EVERY, Hash, Head, Journal, StoreError,
    chain::entry_text,
    encoding::encode,
    error::BUSY_WAIT,
    head_file,
    rows::{COLUMNS, actor_column},
    schema,
};
use knightwatch_core::{
    control::{Entry, Event, OrderId, Seq},
    flag::FlagKey,
    telemetry::{Millis, Sample},
};

impl Journal {
    /// Appends `entries` and, where an order made them, the answer it gets (its JSON text), in one transaction that is on
    /// the disk on return. A refused order may be remembered without entries.
    ///
    /// # Errors
    /// [`StoreError::OutOfOrder`], [`StoreError::Repeated`] and [`StoreError::Unstorable`] for what the caller got
    /// wrong, [`StoreError::Busy`] for what can be tried again; nothing was written. [`StoreError::NotDurable`] when the
    /// disk failed: the entries are not acknowledged, may yet be found after a crash, and every further append is
    /// [`StoreError::Refusing`] until [`Self::recover`] succeeds.
    pub fn append(&mut self, order: Option<(&OrderId, &str)>, entries: &[Entry]) -> Result<(), StoreError> {
        self.write(order, entries, None)
    }

    /// Like [`Self::append`] for the entries of one tick, with the telemetry that they were decided on: one transaction a
    /// tick. `at` is the tick's time and must be later than the last one's.
    ///
    /// # Errors
    /// As [`Self::append`]; [`StoreError::TickOutOfOrder`] where time stood still or went back.
    pub fn append_tick(
        &mut self,
        entries: &[Entry],
        at: Millis,
        samples: &[Sample],
    ) -> Result<(), StoreError> {
        self.write(None, entries, Some((at, samples)))
    }

    /// Writes the telemetry of one tick alone.
    ///
    /// # Errors
    /// As [`Self::append_tick`].
    pub fn record(&mut self, at: Millis, samples: &[Sample]) -> Result<(), StoreError> {
        self.write(None, &[], Some((at, samples)))
    }

    fn write(
        &mut self,
        order: Option<(&OrderId, &str)>,
        entries: &[Entry],
        tick: Option<(Millis, &[Sample])>,
    ) -> Result<(), StoreError> {
        self.ready()?;
        if order.is_none() && entries.is_empty() && tick.is_none() {
            return Ok(());
        }
        let (links, head) = self.chain_on(entries)?;
        if let Some((id, _)) = order
            && let Some(outcome) = self.outcome(id)?
        {
            return Err(StoreError::Repeated { order: id.clone(), outcome });
        }
        if let (Some((found, _)), Some(last)) = (tick, self.last_tick)
            && found <= last
        {
            return Err(StoreError::TickOutOfOrder { last, found });
        }
        if let Some((at, _)) = tick
            && i64::try_from(at.0).is_err()
        {
            let detail = format!("the tick at {} ms is beyond 2^63", at.0);
            return Err(StoreError::Unstorable { seq: head.seq, detail });
        }
        let kept = self.kept;
        let feed = tick.map(|(at, samples)| (at, encode(samples)));
        let insert = |transaction: &Transaction<'_>| -> rusqlite::Result<()> {
            let sql = format!("INSERT INTO entry ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)");
            let mut statement = transaction.prepare_cached(&sql)?;
            for (entry, link) in entries.iter().zip(&links) {
                statement.execute(params![
                    link.seq,
                    link.at,
                    actor_column(&entry.actor),
                    entry.flag.as_ref().map(FlagKey::as_str),
                    entry.event.kind(),
                    link.json,
                    link.prev.as_bytes(),
                    link.hash.as_bytes()
                ])?;
            }
            if let Some((id, answer)) = order {
                let mut statement = transaction.prepare_cached("INSERT INTO outcome VALUES (?1, ?2, ?3)")?;
                statement.execute(params![id.0, i64::try_from(head.seq.0).unwrap_or(i64::MAX), answer])?;
            }
            if let Some((at, samples)) = &feed {
                let mut statement = transaction.prepare_cached("INSERT INTO tick VALUES (?1, ?2)")?;
                statement.execute(params![i64::try_from(at.0).unwrap_or(i64::MAX), samples])?;
                if let Some(kept) = kept {
                    let mut statement = transaction.prepare_cached("DELETE FROM tick WHERE at < ?1")?;
                    statement.execute([i64::try_from(at.since(kept).0).unwrap_or(i64::MAX)])?;
                }
            }
            Ok(())
        };
        commit(&mut self.connection, insert).map_err(|failure| self.failed(failure))?;
        self.head = head;
        self.last_tick = tick.map_or(self.last_tick, |(at, _)| Some(at));
        let killed = entries.iter().any(|entry| matches!(entry.event, Event::KilledAll { .. }));
        if killed || self.head.seq.0 - self.recorded.seq.0 >= HEAD_EVERY {
            self.record_head();
        }
        Ok(())
    }

    /// Tries, after a failed write, whether the disk takes writes again: reopens the database, checks its head, and
    /// commits a probe. On success appends are accepted again. The head may then be above the one before the failure: a
    /// write that was reported as not durable may have reached the disk after all, and the caller folds in what it has
    /// not seen ([`Self::entries`]).
    ///
    /// # Errors
    /// [`StoreError::NotDurable`] while the disk still fails; the reasons of [`Self::open`] where the file has changed.
    pub fn recover(&mut self) -> Result<Head, StoreError> {
        if self.lock.is_none() {
            return Err(StoreError::ReadOnly { path: self.path.clone() });
        }
        let mut fresh = Self::read_in(&self.path, schema::open_reader(&self.path)?)?;
        fresh.check_head()?;
        // What was acknowledged must still be there.
        fresh.check_recorded(self.head, "this process")?;
        let (head, last_tick) = (fresh.head, fresh.last_tick);
        fresh.connection = schema::open_writer(&self.path).map_err(|error| match error {
            StoreError::Sqlite { path, detail, .. } => StoreError::NotDurable { path, detail },
            other => other,
        })?;
        std::mem::swap(&mut self.connection, &mut fresh.connection);
        // The old connection goes; the lock stays.
        drop(fresh);
        let probe = |transaction: &Transaction<'_>| {
            transaction.execute("UPDATE probe SET count = count + 1", []).map(drop)
        };
        commit(&mut self.connection, probe).map_err(|failure| self.failed(failure))?;
        self.head = head;
        self.last_tick = last_tick;
        self.fault = None;
        self.record_head();
        Ok(head)
    }

    /// What the disk said when a write failed, while nothing is accepted because of it.
    #[must_use]
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// Why the second head could not be written, while it is behind for that reason. The journal itself is durable.
    #[must_use]
    pub fn head_fault(&self) -> Option<&str> {
        self.head_fault.as_deref()
    }

    /// Ends writing: records the head in the second place. Dropping does the same, without saying how it went.
    ///
    /// # Errors
    /// When the second head cannot be written; the journal itself is durable all the same.
    pub fn close(mut self) -> Result<(), StoreError> {
        if self.lock.is_some() && self.fault.is_none() && self.head != self.recorded {
            head_file::write(&self.path, self.head)?;
            self.recorded = self.head;
        }
        Ok(())
    }

    /// Writes the second head; a failure is kept to be shown, and tried again with the next append.
    fn record_head(&mut self) {
        match head_file::write(&self.path, self.head) {
            Ok(()) => {
                self.recorded = self.head;
                self.head_fault = None;
            }
            Err(error) => {
                tracing::warn!("{error}");
                self.head_fault = Some(error.to_string());
            }
        }
    }

    /// Whether anything may be written.
    fn ready(&self) -> Result<(), StoreError> {
        if self.lock.is_none() {
            return Err(StoreError::ReadOnly { path: self.path.clone() });
        }
        match &self.fault {
            Some(since) => Err(StoreError::Refusing { path: self.path.clone(), since: since.clone() }),
            None => Ok(()),
        }
    }

    /// The texts and hashes of `entries` after the head, and the head that they make.
    fn chain_on(&self, entries: &[Entry]) -> Result<(Vec<Link>, Head), StoreError> {
        let mut head = self.head;
        let mut links = Vec::with_capacity(entries.len());
        for entry in entries {
            let expected = Seq(head.seq.0 + 1);
            if entry.seq != expected {
                return Err(StoreError::OutOfOrder { expected, found: entry.seq });
            }
            let unstorable = |detail| StoreError::Unstorable { seq: entry.seq, detail };
            let too_large = |_| unstorable("a number in it is beyond 2^63".to_owned());
            let json = entry_text(entry).map_err(unstorable)?;
            let hash = Hash::link(head.hash, json.as_bytes());
            links.push(Link {
                seq: i64::try_from(entry.seq.0).map_err(too_large)?,
                at: i64::try_from(entry.at.0).map_err(too_large)?,
                json,
                prev: head.hash,
                hash,
            });
            head = Head { seq: expected, hash };
        }
        Ok((links, head))
    }

    /// A failed transaction as an error; where it may have touched the disk nothing more is accepted.
    fn failed(&mut self, failure: Failure) -> StoreError {
        let path = self.path.clone();
        match failure {
            Failure::NotBegun(error) if is_busy(&error) => StoreError::Busy { path, waited: BUSY_WAIT },
            Failure::NotBegun(error) | Failure::Broken(error) => {
                let detail = error.to_string();
                self.fault = Some(detail.clone());
                StoreError::NotDurable { path, detail }
            }
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if self.lock.is_some() && self.fault.is_none() && self.head != self.recorded {
            self.record_head();
        }
    }
}

/// An entry made ready to be written.
struct Link {
    seq: i64,
    at: i64,
    json: String,
    prev: Hash,
    hash: Hash,
}

/// How far a failed transaction came.
enum Failure {
    /// It did not begin: nothing was written.
    NotBegun(rusqlite::Error),
    /// It failed under way or at its commit.
    Broken(rusqlite::Error),
}

fn commit(
    connection: &mut Connection,
    work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()>,
) -> Result<(), Failure> {
    let transaction =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(Failure::NotBegun)?;
    work(&transaction).map_err(Failure::Broken)?;
    transaction.commit().map_err(Failure::Broken)
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SessionMeta;
    use knightwatch_core::control::Actor;

    fn entry(seq: u64) -> Entry {
        let (seq, at, actor) = (Seq(seq), Millis(seq), Actor::System);
        Entry { seq, at, actor, flag: None, event: Event::Rearmed, sentence: "x".repeat(9_000) }
    }

    #[test]
    fn old_telemetry_is_let_go_and_the_journal_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::create(&folder.path().join("s"), &SessionMeta::default()).unwrap();
        journal.keep_telemetry(Millis(10_000));
        for (seq, at) in [(1, 1_000), (2, 2_000), (3, 11_500)] {
            journal.append_tick(&[entry(seq)], Millis(at), &[]).unwrap();
        }
        let ticks: Vec<Millis> = journal.telemetry(..).map(|tick| tick.unwrap().0).collect();
        assert_eq!(ticks, [Millis(2_000), Millis(11_500)]);
        assert_eq!(journal.load_all().count(), 3);
    }

    #[test]
    fn a_full_disk_is_told_and_nothing_partial_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::create(&folder.path().join("s"), &SessionMeta::default()).unwrap();
        journal.append(None, &[entry(1)]).unwrap();
        let pages: i64 = journal.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        journal.connection.pragma_update_and_check(None, "max_page_count", pages + 3, |_| Ok(())).unwrap();
        // The first of the two still fits.
        let order = OrderId("order".to_owned());
        let full = journal.append(Some((&order, "{}")), &[entry(2), entry(3)]).unwrap_err();
        assert!(matches!(full, StoreError::NotDurable { .. }) && full.to_string().contains("full"), "{full}");
        assert_eq!(journal.fault(), Some("database or disk is full"));
        assert_eq!(journal.head().seq, Seq(1));
        assert_eq!(journal.entries(.., 9).unwrap(), [entry(1)]);
        assert_eq!(journal.outcome(&order).unwrap(), None);
        let refused = journal.append(None, &[entry(2)]).unwrap_err();
        assert!(matches!(refused, StoreError::Refusing { .. }), "{refused}");
        // A reopened database has no such limit: there is room again.
        assert_eq!(journal.recover().unwrap().seq, Seq(1));
        journal.append(Some((&order, "{}")), &[entry(2), entry(3)]).unwrap();
        assert_eq!(journal.fault(), None);
        assert!(journal.load_all().collect::<Result<Vec<_>, _>>().is_ok());
    }

    #[test]
    fn a_write_that_reached_the_disk_after_all_is_found_when_recovering() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::create(&folder.path().join("s"), &SessionMeta::default()).unwrap();
        journal.append(None, &[entry(1), entry(2)]).unwrap();
        // As after a commit whose sync failed although its bytes were written.
        let full = journal.head;
        let first = journal.row(Seq(1)).unwrap().unwrap();
        journal.head = Head { seq: Seq(1), hash: Hash::from_bytes(&first.hash).unwrap() };
        journal.fault = Some("disk I/O error".to_owned());
        assert_eq!(journal.recover().unwrap(), full);
        journal.append(None, &[entry(3)]).unwrap();
    }

    #[test]
    fn an_acknowledged_entry_that_is_gone_is_never_recovered_from() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = Journal::create(&folder.path().join("s"), &SessionMeta::default()).unwrap();
        journal.append(None, &[entry(1), entry(2)]).unwrap();
        journal.connection.execute("DELETE FROM entry WHERE seq = 2", []).unwrap();
        journal.fault = Some("disk I/O error".to_owned());
        let lost = journal.recover().unwrap_err();
        assert!(lost.to_string().contains("the tail was cut: entry #2 is missing"), "{lost}");
        assert!(journal.fault().is_some());
    }

    #[test]
    fn somebody_elses_transaction_is_waited_for_and_then_told_as_busy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let mut journal = Journal::create(&path, &SessionMeta::default()).unwrap();
        journal.connection.busy_timeout(std::time::Duration::from_millis(1)).unwrap();
        let other = Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let busy = journal.append(None, &[entry(1)]).unwrap_err();
        assert!(busy.is_transient() && journal.fault().is_none(), "{busy}");
        other.execute_batch("ROLLBACK").unwrap();
        journal.append(None, &[entry(1)]).unwrap();
    }
}
