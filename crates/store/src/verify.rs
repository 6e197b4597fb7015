//! Verifying a journal: the whole chain from its genesis, the second head, a head noted elsewhere, an earlier export.
//!
//! A report names the first thing that is wrong; finding something wrong is not an error of the verification. Changes
//! no byte, and works while the session is being written.

use std::{
    fmt,
    io::BufRead,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{ChainFault, Head, Journal, StoreError, export::read_export, head_file, lock::beside, schema};

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// The file.
    pub path: PathBuf,
    /// How many entries from the first one on are as they were written.
    pub entries: u64,
    /// The head up to there.
    pub head: Head,
    /// The head in the second place (`<file>.head`); `None` where there is no such file.
    pub recorded: Option<Head>,
    /// The head that was given from elsewhere.
    pub given: Option<Head>,
    /// The first thing that is wrong.
    pub fault: Option<ChainFault>,
}

impl VerifyReport {
    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.fault.is_none()
    }
}

impl fmt::Display for VerifyReport {
    /// One or more plain sentences, a line each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(fault) = &self.fault {
            writeln!(f, "NOT sound: {fault}.")?;
            return write!(f, "{} entries before that are as they were written.", self.entries);
        }
        write!(f, "Sound: {} entries, head {}.", self.entries, self.head)?;
        match (self.given, self.recorded) {
            (Some(given), _) => write!(f, "\nThe given head, number {}, is in it.", given.seq.0),
            (None, Some(recorded)) => write!(
                f,
                "\nThe second head is at number {}: a cut above that would not show.",
                recorded.seq.0
            ),
            (None, None) => f.write_str(
                "\nThere is no second head beside the file: a cut tail would not show. Give one with --head SEQ:HASH.",
            ),
        }
    }
}

/// Verifies the whole chain of the session at `path`, and its second head.
///
/// # Errors
/// When the file is not a session, is damaged as a database, or cannot be read. A chain that is wrong is not an error
/// but [`VerifyReport::fault`].
pub fn verify(path: &Path) -> Result<VerifyReport, StoreError> {
    verify_with_head(path, None)
}

/// Like [`verify`], and the entry that `given` names must be in it: a head that was noted where whoever can write the
/// session cannot reach.
///
/// # Errors
/// As [`verify`].
pub fn verify_with_head(path: &Path, given: Option<Head>) -> Result<VerifyReport, StoreError> {
    let log = beside(path, "-wal");
    let quiet = !log.exists();
    let first = run(path, given);
    let sound = first.as_ref().is_ok_and(VerifyReport::is_sound);
    // A session nobody wrote is read without locks. Where a writer came meanwhile, look again with locks.
    if quiet && !sound && log.exists() { run(path, given) } else { first }
}

/// Verifies an export (JSON Lines) by itself, then the session at `path`, then that the session still holds what was
/// exported: a journal that was rewritten since, hashes and all, does not pass.
///
/// # Errors
/// As [`verify`]; [`StoreError::ExportLine`] with the line where the export itself is not a whole chain.
pub fn compare_export(path: &Path, export: impl BufRead) -> Result<VerifyReport, StoreError> {
    let head = read_export(export)?;
    verify_with_head(path, Some(head))
}

fn run(path: &Path, given: Option<Head>) -> Result<VerifyReport, StoreError> {
    // Before the entries: the second head is never ahead of them, so what is read later holds at least as much.
    let (recorded, head_fault) = match head_file::read(path) {
        Ok(recorded) => (recorded, None),
        Err(StoreError::Chain { fault, .. }) => (None, Some(fault)),
        Err(error) => return Err(error),
    };
    let journal = Journal::open_read_only(path)?;
    schema::quick_check(&journal.connection, path)?;
    let mut report = VerifyReport {
        path: path.to_owned(),
        entries: 0,
        head: journal.genesis_head(),
        recorded,
        given,
        fault: None,
    };
    let mut walk = || -> Result<(), StoreError> {
        let mut entries = journal.load_all();
        while let Some(entry) = entries.next() {
            entry?;
            report.head = entries.head();
            report.entries += 1;
        }
        if let Some(recorded) = recorded {
            journal.check_recorded(recorded, &head_file::head_path(path).display().to_string())?;
        }
        given.map_or(Ok(()), |given| journal.check_recorded(given, "the given head"))
    };
    report.fault = match walk() {
        Ok(()) => head_fault,
        Err(StoreError::Chain { fault, .. }) => Some(fault),
        Err(error) => return Err(error),
    };
    Ok(report)
}
