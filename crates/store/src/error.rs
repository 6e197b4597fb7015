//! Everything that can go wrong with a session file, each as a sentence that names the file, what was found, and what to
//! do. Knows nothing of how the screen or the command line shows it.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::ErrorCode;
use thiserror::Error;

use super::{ChainFault, DecodeError};
use knightwatch_core::{
    control::{OrderId, Seq},
    telemetry::Millis,
};

/// Why the store did not do what was asked. Unless a variant says otherwise, nothing has been written.
#[derive(Debug, Error)]
pub enum StoreError {
    /// A new session would overwrite a file.
    #[error("{} exists already; nothing is overwritten, choose another name", .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// There is no such file.
    #[error("there is no session file {}", .path.display())]
    NotFound {
        /// The file.
        path: PathBuf,
    },
    /// Another process writes this session.
    #[error("{} is in use by another knightwatch{}; it can be read meanwhile, not written", .path.display(), holder(.pid.as_ref()))]
    Locked {
        /// The file.
        path: PathBuf,
        /// The process that holds it, where it has said so.
        pid: Option<u32>,
    },
    /// Some other file.
    #[error("{} is not a knightwatch session: {found}; the file is left as it is", .path.display())]
    NotASession {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        found: String,
    },
    /// Made by a later version of the program.
    #[error("{} was written by a newer knightwatch (format {found}, this one reads up to {known}); the file is left as it is", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The newest format known here.
        known: i64,
    },
    /// Made by an earlier version of the program, in words that this one does not read.
    #[error("{} was written by an older knightwatch (format {found}, this one reads {known}); the file is left as it is: read it with the version that wrote it", .path.display())]
    Older {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The format known here.
        known: i64,
    },
    /// The database is damaged. Nothing is repaired or recreated.
    #[error("{} is damaged ({detail}); the file is left as it is, restore a backup or start a new session", .path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What SQLite found.
        detail: String,
    },
    /// The database is whole, but the journal in it is not the one that was written.
    #[error("the journal in {} cannot be trusted: {fault}", .path.display())]
    Chain {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        fault: ChainFault,
    },
    /// Entries must follow on from the head.
    #[error("the next journal entry is {expected}, got {found}")]
    OutOfOrder {
        /// The number that would follow.
        expected: Seq,
        /// The number that came.
        found: Seq,
    },
    /// Ticks are recorded once each, in the order of time.
    #[error("the telemetry of the tick at {} ms cannot follow that at {} ms", .found.0, .last.0)]
    TickOutOfOrder {
        /// The last one recorded.
        last: Millis,
        /// The one that came.
        found: Millis,
    },
    /// The order has acted before.
    #[error("the order {order} has been answered already")]
    Repeated {
        /// Which.
        order: OrderId,
        /// The answer it got then.
        outcome: String,
    },
    /// The entry could be written but never read again.
    #[error("journal entry {seq} cannot be stored: {detail}")]
    Unstorable {
        /// Which.
        seq: Seq,
        /// Why.
        detail: String,
    },
    /// Somebody else held the database for longer than the wait.
    #[error("{} was busy for {} ms; nothing was written, try again", .path.display(), .waited.as_millis())]
    Busy {
        /// The file.
        path: PathBuf,
        /// How long was waited.
        waited: Duration,
    },
    /// The write failed: the entries are NOT durable. They may or may not be found after a crash.
    #[error("NOT durable: {} cannot be written ({detail})", .path.display())]
    NotDurable {
        /// The file.
        path: PathBuf,
        /// What the disk said.
        detail: String,
    },
    /// An earlier write failed, and no probe has succeeded since: nothing was tried.
    #[error("NOT durable: {} refuses writes until a probe succeeds, since an earlier one failed ({since})", .path.display())]
    Refusing {
        /// The file.
        path: PathBuf,
        /// What the disk said then.
        since: String,
    },
    /// The file was opened for reading only.
    #[error("{} was opened for reading only", .path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// A recorded tick cannot be decoded.
    #[error("{}: the telemetry of the tick at {} ms is damaged: {source}", .path.display(), .at.0)]
    Telemetry {
        /// The file.
        path: PathBuf,
        /// Which tick.
        at: Millis,
        /// Where in its bytes, and what was found.
        source: DecodeError,
    },
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// SQLite refused a read.
    #[error("cannot {action} {}: {detail}", .path.display())]
    Sqlite {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What it said.
        detail: String,
    },
    /// A line of an exported journal cannot be read.
    #[error("line {line} of the export: {detail}")]
    ExportLine {
        /// Which line, from 1.
        line: u64,
        /// What was found and what was expected.
        detail: String,
    },
}

/// Longest wait for a lock inside the database; then the caller is told.
pub(super) const BUSY_WAIT: Duration = Duration::from_secs(2);

impl StoreError {
    /// An operating system's refusal, with what was tried on what.
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    /// A failed read or opening, sorted by what it means.
    pub(super) fn reading(action: &'static str, path: &Path, error: &rusqlite::Error) -> Self {
        let path = path.to_owned();
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => {
                Self::NotASession { path, found: "it is not an SQLite database".to_owned() }
            }
            Some(ErrorCode::DatabaseCorrupt) => Self::Corrupt { path, detail: error.to_string() },
            // The disk answered: the file is shorter than it says itself.
            Some(ErrorCode::SystemIoFailure) if is_short(error) => {
                Self::Corrupt { path, detail: "it ends too early".to_owned() }
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                Self::Busy { path, waited: BUSY_WAIT }
            }
            _ => Self::Sqlite { action, path, detail: error.to_string() },
        }
    }

    /// Whether an order may be sent again as it is: nothing happened, and nothing is broken.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Busy { .. })
    }

    /// Whether this says that the journal cannot be written: what an alarm is about.
    #[must_use]
    pub const fn is_not_durable(&self) -> bool {
        matches!(self, Self::NotDurable { .. } | Self::Refusing { .. })
    }
}

fn is_short(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_IOERR_SHORT_READ)
}

fn holder(pid: Option<&u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
}
