//! The ledger of an evaluation: one line of JSON for each finished episode, so that one that was stopped goes on.
//!
//! The first line says what was asked; a file of another evaluation is refused. A line is written whole or cut off
//! again, and the half line that a kill leaves is cut off when it is reopened. It knows nothing of policies or of
//! worlds.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Serialize};

use super::super::Failure;
use crate::judge::EpisodeRecord;

/// What was asked, part by part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    /// The program's version.
    pub(super) knightwatch: String,
    pub(super) field: String,
    /// A hash of the worlds.
    pub(super) worlds: String,
    pub(super) shifts: String,
    pub(super) policies: String,
    /// A hash of the policies' settings and weights.
    pub(super) settings: String,
    /// A hash of the weights of the cost.
    pub(super) cost: String,
    /// A hash of the configuration of control.
    pub(super) control: String,
}

impl Header {
    fn parts(&self) -> [(&'static str, &str); 8] {
        [
            ("version of knightwatch", &self.knightwatch),
            ("field", &self.field),
            ("list of shifts", &self.shifts),
            ("list of policies", &self.policies),
            ("hash of the worlds", &self.worlds),
            ("hash of settings and weights", &self.settings),
            ("hash of the cost", &self.cost),
            ("hash of the control settings", &self.control),
        ]
    }
}

/// A finished episode.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LedgerLine {
    episode: usize,
    result: EpisodeRecord,
}

/// See the module.
pub(super) struct Ledger {
    path: PathBuf,
    finished: BTreeMap<usize, EpisodeRecord>,
    open: Mutex<Open>,
}

struct Open {
    file: File,
    /// Where the last whole line ends.
    end: u64,
    lines: usize,
}

impl Ledger {
    /// Opens the file, or makes it. `episodes` is how many there are to be.
    ///
    /// # Errors
    /// A file that is none, that somebody else is writing, that is of another evaluation, or that has a line which is no
    /// episode's.
    pub(super) fn open(path: &Path, header: &Header, episodes: usize) -> Result<Self, Failure> {
        let named = |problem: String| Failure::input(format!("{}: {problem}", path.display()));
        let failed = |error: io::Error| named(error.to_string());
        if path.metadata().is_ok_and(|found| !found.is_file()) {
            return Err(named("not a file that a record could be kept in".to_owned()));
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(named("another evaluation is writing it".to_owned()));
            }
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(failed)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let first = serde_json::to_string(header).map_err(Failure::refused)? + "\n";
        if whole == 0 && !first.as_bytes().starts_with(&text) {
            return Err(named("not the record of an evaluation".to_owned()));
        }
        let mut finished = BTreeMap::new();
        for (number, line) in (1..).zip(text[..whole].split_inclusive(|byte| *byte == b'\n')) {
            if number == 1 {
                let found: Header = serde_json::from_slice(line)
                    .map_err(|_| named("line 1: not the record of an evaluation".to_owned()))?;
                is_same(&found, header).map_err(named)?;
                continue;
            }
            let LedgerLine { episode, result } = serde_json::from_slice(line)
                .map_err(|error| named(format!("line {number}: not a finished episode: {error}")))?;
            if episode >= episodes {
                return Err(named(format!(
                    "line {number}: found episode {episode}, expected less than {episodes}"
                )));
            }
            finished.insert(episode, result);
        }
        let end = whole as u64;
        file.set_len(end).and_then(|()| file.seek(SeekFrom::End(0))).map_err(failed)?;
        let ledger = Self {
            path: path.to_owned(),
            open: Mutex::new(Open { file, end, lines: finished.len() }),
            finished,
        };
        if whole == 0 {
            ledger.write(&first)?;
        }
        Ok(ledger)
    }

    /// What came of an episode, where it was finished before.
    pub(super) fn finished(&self, episode: usize) -> Option<EpisodeRecord> {
        self.finished.get(&episode).cloned()
    }

    /// Keeps an episode.
    pub(super) fn keep(&self, episode: usize, result: &EpisodeRecord) -> Result<(), Failure> {
        let line = LedgerLine { episode, result: result.clone() };
        self.write(&(serde_json::to_string(&line).map_err(Failure::refused)? + "\n"))?;
        self.lock().lines += 1;
        Ok(())
    }

    /// Returns once everything is on the disk.
    pub(super) fn settle(&self) -> Result<(), Failure> {
        let open = self.lock();
        open.file.sync_data().map_err(|error| self.failed(&error, open.lines))
    }

    fn write(&self, line: &str) -> Result<(), Failure> {
        let mut open = self.lock();
        let written = open.file.write_all(line.as_bytes());
        if let Err(error) = written {
            // Half a line would spoil what comes after it. Where it cannot be cut off now, it is at the next start.
            let end = open.end;
            let _ = open.file.set_len(end).and_then(|()| open.file.seek(SeekFrom::Start(end)));
            return Err(self.failed(&error, open.lines));
        }
        open.end += line.len() as u64;
        Ok(())
    }

    fn failed(&self, error: &io::Error, lines: usize) -> Failure {
        Failure::refused(format!(
            "{}: {error}; {lines} finished episodes are in it: the same command resumes from there",
            self.path.display()
        ))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the file is of this evaluation; else where they differ.
fn is_same(found: &Header, asked: &Header) -> Result<(), String> {
    let differs =
        found.parts().into_iter().zip(asked.parts()).find(|((_, found), (_, asked))| found != asked);
    differs.map_or(Ok(()), |((part, found), (_, asked))| {
        Err(format!(
            "the record of another evaluation: its {part} is {found:?}, asked for is {asked:?}; \
             name another file, or ask as before"
        ))
    })
}
