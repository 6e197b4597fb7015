//! The folder of session files: how a session without a name of its own is called, and which old ones are let go.
//!
//! Only files that this program named itself are ever deleted, never one that somebody is writing, asked for, or marked.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use super::{
    StoreError,
    lock::{FileLock, beside},
};
use knightwatch_core::telemetry::Millis;

/// How many sessions are kept; older ones are deleted.
pub const KEPT_SESSIONS: usize = 20;

const EXTENSION: &str = "knightwatch";

/// Digits of the time in a name: milliseconds since the Unix epoch, so that names sort by time until the year 5138.
const TIME_DIGITS: usize = 14;

/// Longest part of a name that comes from outside.
const NAME_LENGTH: usize = 60;

/// Where the session `name` that begins at `now` (real time) is kept: `DIR/TIME-NAME.knightwatch`. Whatever is not an
/// ASCII letter, digit, `-` or `_` in the name becomes `-`.
#[must_use]
pub fn session_path(dir: &Path, now: Millis, name: &str) -> PathBuf {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let name: String = name.chars().take(NAME_LENGTH).map(plain).collect();
    dir.join(format!("{:0TIME_DIGITS$}-{name}.{EXTENSION}", now.0))
}

/// Whether [`session_path`] makes such names.
fn is_ours(path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    name.strip_suffix(EXTENSION).and_then(|name| name.strip_suffix('.')).is_some_and(|stem| {
        stem.get(..TIME_DIGITS).is_some_and(|time| time.bytes().all(|byte| byte.is_ascii_digit()))
            && stem[TIME_DIGITS..].starts_with('-')
    })
}

/// Marks the session at `path` as one to keep: [`prune`] leaves it alone for ever. For a file that a person named.
///
/// # Errors
/// When the mark cannot be written.
pub fn keep(path: &Path) -> Result<(), StoreError> {
    let mark = beside(path, ".keep");
    fs::File::create(&mark).map(drop).map_err(|error| StoreError::io("write", &mark, error))
}

/// Deletes the sessions in `dir` that this program named itself, but for the newest [`KEPT_SESSIONS`]; gives what was
/// deleted. Left alone are all other files, sessions that are being written, those marked by [`keep`], and `spared`.
///
/// # Errors
/// When the folder cannot be read or a file cannot be deleted. A folder that is not there has nothing to delete.
pub fn prune(dir: &Path, spared: &[&Path]) -> Result<Vec<PathBuf>, StoreError> {
    let listing = match fs::read_dir(dir) {
        Ok(listing) => listing,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::io("list", dir, error)),
    };
    let mut sessions = Vec::new();
    for file in listing {
        let path = file.map_err(|error| StoreError::io("list", dir, error))?.path();
        if is_ours(&path) {
            sessions.push(path);
        }
    }
    // Names begin with their time.
    sessions.sort_unstable();
    sessions.truncate(sessions.len().saturating_sub(KEPT_SESSIONS));
    let mut deleted = Vec::new();
    for path in sessions {
        let spared = spared.iter().any(|other| same_file(other, &path));
        if spared || beside(&path, ".keep").exists() {
            continue;
        }
        let lock = match FileLock::acquire(&path) {
            Ok(lock) => lock,
            Err(StoreError::Locked { .. }) => continue,
            Err(error) => return Err(error),
        };
        delete(&path)?;
        drop(lock);
        deleted.push(path);
    }
    Ok(deleted)
}

/// Deletes a session that was made a moment ago and came to nothing, with all that lies beside it.
///
/// # Errors
/// [`StoreError::Locked`] while somebody writes it, and what the file system says.
pub fn discard(path: &Path) -> Result<(), StoreError> {
    let lock = FileLock::acquire(path)?;
    delete(path)?;
    drop(lock);
    Ok(())
}

fn delete(path: &Path) -> Result<(), StoreError> {
    let beside = ["-wal", "-shm", ".head", ".keep", ".lock"].map(|suffix| beside(path, suffix));
    // The session first: what is left beside it after a failure is no session.
    for file in std::iter::once(path.to_owned()).chain(beside) {
        match fs::remove_file(&file) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(StoreError::io("delete", &file, error));
            }
            _ => {}
        }
    }
    Ok(())
}

fn same_file(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Journal, SessionMeta};

    #[test]
    fn a_name_from_outside_cannot_leave_the_folder() {
        let path = session_path(Path::new("/s"), Millis(1_772_812_800_000), "../../etc/passwd\u{1b}[2J?");
        assert_eq!(path, Path::new("/s/01772812800000-------etc-passwd--2J-.knightwatch"));
        assert!(is_ours(&path));
        assert!(!is_ours(Path::new("/s/mine.knightwatch")));
        assert!(!is_ours(Path::new("/s/01772812800000-x.txt")));
    }

    #[test]
    fn the_newest_stay_and_nothing_is_deleted_that_somebody_wants() {
        let folder = tempfile::tempdir().unwrap();
        let make = |time: u64| {
            let path = session_path(folder.path(), Millis(time), "default");
            Journal::create(&path, &SessionMeta::default()).unwrap().close().unwrap();
            path
        };
        let old: Vec<PathBuf> = (1..=5).map(make).collect();
        let new: Vec<PathBuf> = (100..100 + KEPT_SESSIONS as u64).map(make).collect();
        let named = folder.path().join("incident-42.knightwatch");
        fs::write(&named, "a person's").unwrap();
        let writing = Journal::open(&old[1]).unwrap();
        keep(&old[2]).unwrap();

        let deleted = prune(folder.path(), &[&old[3]]).unwrap();

        assert_eq!(deleted, [old[0].clone(), old[4].clone()]);
        assert!(old[1].exists() && old[2].exists() && old[3].exists() && named.exists());
        assert!(new.iter().all(|path| path.exists()));
        // Nor anything that stood beside one of them: its head, its lock, its log.
        let left = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name());
        let left: Vec<String> = left.map(|name| name.into_string().unwrap()).collect();
        for gone in [&old[0], &old[4]].map(|path| path.file_name().unwrap().to_str().unwrap()) {
            assert!(!left.iter().any(|name| name.starts_with(gone)), "{gone}: {left:?}");
        }
        drop(writing);
        assert_eq!(prune(&folder.path().join("nowhere"), &[]).unwrap(), Vec::<PathBuf>::new());
    }
}
