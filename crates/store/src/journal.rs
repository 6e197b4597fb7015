//! A session file: made, opened to write, opened to read. One process writes it, any number may read.
//!
//! Everything that is refused is refused with a sentence and left as it is, byte for byte; nothing is repaired or
//! recreated. What is written is in `append.rs`, what is read in `read.rs`. Knows nothing of what the entries mean.

use std::{
    fs::OpenOptions,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OptionalExtension};

use super::{
    ChainFault, Hash, Head, SessionMeta, StoreError,
    chain::canonical,
    head_file,
    lock::FileLock,
    rows::{self, COLUMNS, Row},
    schema,
};
use knightwatch_core::{control::Seq, telemetry::Millis};

/// A session file: its journal, its answers and its telemetry.
#[derive(Debug)]
pub struct Journal {
    pub(super) path: PathBuf,
    pub(super) connection: Connection,
    /// Held by the writer; a reader has none.
    pub(super) lock: Option<FileLock>,
    pub(super) meta: SessionMeta,
    pub(super) genesis: Hash,
    pub(super) head: Head,
    /// The head in the second place.
    pub(super) recorded: Head,
    pub(super) last_tick: Option<Millis>,
    /// For how long telemetry is kept; `None` is for ever.
    pub(super) kept: Option<Millis>,
    /// What the disk said when a write failed; nothing is written while it is set.
    pub(super) fault: Option<String>,
    pub(super) head_fault: Option<String>,
}

impl Journal {
    /// Makes the file of a new session at `path` (and its folder), readable by its owner only, and opens it to write.
    ///
    /// # Errors
    /// [`StoreError::Exists`] where there is a file already, [`StoreError::Locked`] where another process is making it,
    /// and whatever the file system says. What could not be finished is removed again.
    pub fn create(path: &Path, meta: &SessionMeta) -> Result<Self, StoreError> {
        if path.symlink_metadata().is_ok() {
            return Err(StoreError::Exists { path: path.to_owned() });
        }
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(|error| StoreError::io("make", folder, error))?;
        }
        let text = canonical(meta)
            .map_err(|error| StoreError::Unstorable { seq: Seq(0), detail: error.to_string() })?;
        let lock = FileLock::acquire(path)?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(path).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => StoreError::Exists { path: path.to_owned() },
            _ => StoreError::io("make", path, error),
        })?;
        let head = Head { seq: Seq(0), hash: Hash::genesis(&text) };
        let made = schema::create(path, &text).and_then(|connection| {
            head_file::write(path, head)?;
            Ok(connection)
        });
        let connection = made.inspect_err(|_| {
            // Our own file, under our lock, with nothing in it yet.
            let _ = std::fs::remove_file(path);
        })?;
        Ok(Self {
            path: path.to_owned(),
            connection,
            lock: Some(lock),
            meta: meta.clone(),
            genesis: head.hash,
            head,
            recorded: head,
            last_tick: None,
            kept: None,
            fault: None,
            head_fault: None,
        })
    }

    /// Opens an existing session to write it: locks it, lets SQLite check the file, and checks the head of the chain
    /// against its text, against gaps in the numbers, and against the head in the second place. [`super::verify`] and
    /// [`Self::load_all`] check the whole chain.
    ///
    /// # Errors
    /// A sentence for each thing that can be wrong; whatever is refused is left as it is, byte for byte.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        // Before the lock, so that nothing is put beside a file that is none of ours.
        drop(schema::open_reader(path)?);
        let lock = FileLock::acquire(path)?;
        let mut journal = Self::read_in(path, schema::open_reader(path)?)?;
        schema::quick_check(&journal.connection, path)?;
        journal.recorded = journal.check_head()?;
        journal.connection = schema::open_writer(path)?;
        journal.lock = Some(lock);
        Ok(journal)
    }

    /// Opens an existing session to read it. Works while another process writes it and on a read-only medium, and
    /// changes no byte. The head is the one at this moment; the contents are those at each call.
    ///
    /// # Errors
    /// Where it is not a session, is of a later format, or cannot be read.
    pub fn open_read_only(path: &Path) -> Result<Self, StoreError> {
        Self::read_in(path, schema::open_reader(path)?)
    }

    /// Lets telemetry go that is older than `kept`, from the next tick on. The journal itself is kept whole.
    pub const fn keep_telemetry(&mut self, kept: Millis) {
        self.kept = Some(kept);
    }

    pub(super) fn read_in(path: &Path, connection: Connection) -> Result<Self, StoreError> {
        let failed = |error: &rusqlite::Error| StoreError::reading("read", path, error);
        let text: String = connection
            .query_row("SELECT meta FROM session", [], |row| row.get(0))
            .optional()
            .map_err(|error| failed(&error))?
            .unwrap_or_default();
        let meta = serde_json::from_str(&text).map_err(|error| StoreError::Corrupt {
            path: path.to_owned(),
            detail: format!("the description of the session cannot be read: {error}"),
        })?;
        let genesis = Hash::genesis(&text);
        let sql = format!("SELECT {COLUMNS} FROM entry ORDER BY seq DESC LIMIT 1");
        let last = connection.query_row(&sql, [], Row::read).optional().map_err(|error| failed(&error))?;
        let head = match last {
            None => Head { seq: Seq(0), hash: genesis },
            Some(row) => {
                let seq = Seq(u64::try_from(row.seq).unwrap_or(0));
                let fault =
                    || StoreError::Chain { path: path.to_owned(), fault: ChainFault::Changed { seq } };
                Head { seq, hash: Hash::from_bytes(&row.hash).ok_or_else(fault)? }
            }
        };
        let last_tick: Option<i64> = connection
            .query_row("SELECT max(at) FROM tick", [], |row| row.get(0))
            .map_err(|error| failed(&error))?;
        Ok(Self {
            path: path.to_owned(),
            connection,
            lock: None,
            meta,
            genesis,
            head,
            recorded: head,
            last_tick: last_tick.and_then(|at| u64::try_from(at).ok()).map(Millis),
            kept: None,
            fault: None,
            head_fault: None,
        })
    }

    /// The last entry against its own text, the count against the numbers, and the second head; gives that.
    pub(super) fn check_head(&self) -> Result<Head, StoreError> {
        let fault = |fault| StoreError::Chain { path: self.path.clone(), fault };
        let gapless: bool = self
            .connection
            .query_row("SELECT coalesce(min(seq) = 1 AND max(seq) = count(*), 1) FROM entry", [], |row| {
                row.get(0)
            })
            .map_err(|error| StoreError::reading("read", &self.path, &error))?;
        if !gapless {
            // The walk through the chain says which entry is missing or too many.
            self.load_all().try_for_each(|entry| entry.map(drop))?;
        }
        if let Some(row) = self.row(self.head.seq)? {
            let before = match self.row(Seq(self.head.seq.0 - 1))? {
                Some(row) => Hash::from_bytes(&row.hash),
                None => Some(self.genesis),
            };
            let changed = || fault(ChainFault::Changed { seq: Seq(self.head.seq.0.saturating_sub(1)) });
            let head = Head { seq: Seq(self.head.seq.0 - 1), hash: before.ok_or_else(changed)? };
            rows::check(head, &row).map_err(fault)?;
        }
        let Some(recorded) = head_file::read(&self.path)? else { return Ok(self.genesis_head()) };
        self.check_recorded(recorded, &head_file::head_path(&self.path).display().to_string())?;
        Ok(recorded)
    }

    /// Whether the journal still holds the entry that `recorded` names, a head that was written down in `place`.
    pub(super) fn check_recorded(&self, recorded: Head, place: &str) -> Result<(), StoreError> {
        let fault = |fault| Err(StoreError::Chain { path: self.path.clone(), fault });
        let place = place.to_owned();
        if recorded.seq > self.head.seq {
            let (last, first) = (self.head.seq, Seq(self.head.seq.0 + 1));
            return fault(ChainFault::Cut { first, last, recorded: recorded.seq, place });
        }
        if recorded.seq == Seq(0) {
            return if recorded.hash == self.genesis { Ok(()) } else { fault(ChainFault::Genesis) };
        }
        match self.row(recorded.seq)? {
            Some(row) if row.hash == recorded.hash.as_bytes() => Ok(()),
            Some(_) => fault(ChainFault::Rewritten { seq: recorded.seq, place }),
            None => fault(ChainFault::Missing { seq: recorded.seq }),
        }
    }
}
