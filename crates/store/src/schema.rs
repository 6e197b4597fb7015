//! The database: its tables, its settings, how it is opened, and how a file that is something else is told apart.
//!
//! Opening to read never changes a byte. A database without a write-ahead log has no writer, and is read as immutable: no
//! locks, no files beside it. Whatever is refused is refused before anything is written.

use std::{fmt::Write, fs, io::ErrorKind, os::unix::ffi::OsStrExt, path::Path};

use rusqlite::{Connection, OpenFlags};

use super::{StoreError, error::BUSY_WAIT, lock::beside};

/// Marks a database as a session of this program: `KWJ1`.
const APPLICATION_ID: i64 = 0x4b57_4a31;
/// The format of the tables.
const FORMAT: i64 = 2;
/// What is left of the write-ahead log after a checkpoint, in bytes.
const LOG_LIMIT: i64 = 16 << 20;

const TABLES: &str = "
    -- One row: the exact JSON text of the session's description, which the genesis hash covers.
    CREATE TABLE session (id INTEGER PRIMARY KEY CHECK (id = 1), meta TEXT NOT NULL) STRICT;
    -- The exact JSON text that was hashed; the columns beside it are for queries and must agree with it.
    CREATE TABLE entry (
        seq INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        actor TEXT NOT NULL,
        flag TEXT,
        kind TEXT NOT NULL,
        json TEXT NOT NULL,
        prev BLOB NOT NULL,
        hash BLOB NOT NULL
    ) STRICT;
    CREATE INDEX entry_flag ON entry (flag, seq);
    -- What each order was answered: the same order acts once.
    CREATE TABLE outcome (order_id TEXT PRIMARY KEY, seq INTEGER NOT NULL, answer TEXT NOT NULL) STRICT, WITHOUT ROWID;
    -- The telemetry of one tick, in the encoding of `encoding.rs`.
    CREATE TABLE tick (at INTEGER PRIMARY KEY, samples BLOB NOT NULL) STRICT;
    -- One row, rewritten to find out whether the disk takes writes again.
    CREATE TABLE probe (id INTEGER PRIMARY KEY CHECK (id = 1), count INTEGER NOT NULL) STRICT;
    INSERT INTO probe VALUES (1, 0);
";

/// An existing session, to write it. The caller holds the lock.
pub(super) fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    let connection = connect(path, "mode=rw", OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    settle(&connection).map_err(|error| StoreError::reading("open", path, &error))?;
    Ok(connection)
}

/// An existing session, to read it. Changes nothing; works beside a writer and on a read-only medium.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let found = |found: &str| StoreError::NotASession { path: path.to_owned(), found: found.to_owned() };
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(StoreError::NotFound { path: path.to_owned() });
        }
        Err(error) => return Err(StoreError::io("look at", path, error)),
    };
    if !metadata.is_file() {
        return Err(found("it is not a file"));
    }
    if metadata.len() == 0 {
        return Err(found("it is empty"));
    }
    let logged = beside(path, "-wal").try_exists().map_err(|error| StoreError::io("look at", path, error))?;
    let parameters = if logged { "mode=ro" } else { "mode=ro&immutable=1" };
    let connection = connect(path, parameters, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    check_identity(&connection, path)?;
    Ok(connection)
}

/// A new database in the empty file at `path`, described by `meta`. The caller holds the lock.
pub(super) fn create(path: &Path, meta: &str) -> Result<Connection, StoreError> {
    let connection = connect(path, "mode=rw", OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let build = || -> rusqlite::Result<()> {
        settle(&connection)?;
        let transaction = connection.unchecked_transaction()?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", FORMAT)?;
        transaction.execute_batch(TABLES)?;
        transaction.execute("INSERT INTO session VALUES (1, ?1)", [meta])?;
        transaction.commit()?;
        // From here on the file itself says what it is, also without its log.
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
    };
    match build() {
        Ok(()) => Ok(connection),
        Err(error) => Err(StoreError::NotDurable { path: path.to_owned(), detail: error.to_string() }),
    }
}

/// SQLite's own check of the whole file.
pub(super) fn quick_check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let answer: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| StoreError::reading("check", path, &error))?;
    if answer == "ok" {
        return Ok(());
    }
    Err(StoreError::Corrupt {
        path: path.to_owned(),
        detail: answer.lines().last().unwrap_or_default().to_owned(),
    })
}

/// Refuses what is not a session, and sessions of a later format.
fn check_identity(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let pragma = |name: &str| -> Result<i64, StoreError> {
        connection
            .pragma_query_value(None, name, |row| row.get(0))
            .map_err(|error| StoreError::reading("read", path, &error))
    };
    let application = pragma("application_id")?;
    if application != APPLICATION_ID {
        let found = format!("it is an SQLite database of another application (id {application})");
        return Err(StoreError::NotASession { path: path.to_owned(), found });
    }
    let format = pragma("user_version")?;
    if format > FORMAT {
        return Err(StoreError::Newer { path: path.to_owned(), found: format, known: FORMAT });
    }
    if format < FORMAT {
        return Err(StoreError::Older { path: path.to_owned(), found: format, known: FORMAT });
    }
    Ok(())
}

/// What every writing connection is set to. FULL: a commit returns when the log is on the disk. macOS needs `fullfsync`
/// for that; elsewhere it does nothing.
fn settle(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    connection.pragma_update_and_check(None, "journal_size_limit", LOG_LIMIT, |_| Ok(()))
}

fn connect(path: &Path, parameters: &str, flags: OpenFlags) -> Result<Connection, StoreError> {
    let connect = || -> rusqlite::Result<Connection> {
        let flags = flags | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(format!("{}?{parameters}", uri(path)), flags)?;
        connection.busy_timeout(BUSY_WAIT)?;
        // A file from elsewhere must not make SQLite run what its schema says.
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        Ok(connection)
    };
    connect().map_err(|error| StoreError::reading("open", path, &error))
}

/// The path as an SQLite URI: every byte that is not plainly part of a name is escaped.
fn uri(path: &Path) -> String {
    let mut out = String::from("file:");
    for byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.') {
            out.push(char::from(*byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_question_marks_and_spaces_are_names() {
        assert_eq!(uri(Path::new("/a b/c?mode=memory#%é")), "file:/a%20b/c%3Fmode%3Dmemory%23%25%C3%A9");
        assert_eq!(uri(Path::new("plain/file.session")), "file:plain/file.session");
    }

    #[test]
    fn a_writer_waits_for_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        fs::write(&path, "").unwrap();
        let connection = create(&path, "{}").unwrap();
        let setting = |name| -> i64 { connection.pragma_query_value(None, name, |row| row.get(0)).unwrap() };
        assert_eq!(setting("synchronous"), 2, "FULL");
        assert_eq!(setting("application_id"), APPLICATION_ID);
        let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        assert_eq!(mode, "wal");
        quick_check(&connection, &path).unwrap();
    }
}
