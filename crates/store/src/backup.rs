//! Backup and restore of a journal: a copy that is whole at one moment, also while it is being written; and back.
//!
//! Nothing is overwritten: a backup needs a name that is free, and what a restore replaces is put aside under a name that
//! says when. Only a backup whose chain is sound is restored.

use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use super::{
    Journal, StoreError, VerifyReport, head_file,
    lock::{FileLock, beside},
    schema, verify,
};
use knightwatch_core::telemetry::Millis;

/// Who may read and write a copy: its owner alone.
const OWN: u32 = 0o600;

/// Writes a copy of the journal at `path` to `to`, as it is at one moment, with its head beside it.
///
/// # Errors
/// When there is no journal, `to` exists already, or the disk does not take it; nothing is left of it then.
pub fn backup(path: &Path, to: &Path) -> Result<VerifyReport, StoreError> {
    if to.symlink_metadata().is_ok() {
        return Err(StoreError::Exists { path: to.to_owned() });
    }
    let name = to.to_str().ok_or_else(|| {
        let text = "the name is not UTF-8 text";
        StoreError::io("write", to, std::io::Error::new(ErrorKind::InvalidInput, text))
    })?;
    // SQLite fills an empty file as it would make one, but for who may read it: as with the journal, its owner alone.
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, OWN);
    options.open(to).map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => StoreError::Exists { path: to.to_owned() },
        _ => StoreError::io("write", to, error),
    })?;
    let copy = || -> Result<VerifyReport, StoreError> {
        let connection = schema::open_reader(path)?;
        connection
            .execute("VACUUM INTO ?1", [name])
            .map_err(|error| StoreError::reading("back up", path, &error))?;
        let synced = fs::File::open(to).and_then(|file| file.sync_all());
        synced.map_err(|error| StoreError::io("write", to, error))?;
        head_file::write(to, Journal::open_read_only(to)?.head())?;
        verify(to)
    };
    copy().inspect_err(|_| {
        // Ours, and not whole.
        let _ = fs::remove_file(to);
    })
}

/// Puts the backup `from` in the place of the journal at `path`; what was there is put aside, and its new name returned.
///
/// # Errors
/// When the backup is not sound, the journal is in use, or the disk does not take it; the journal is as it was then.
pub fn restore(from: &Path, path: &Path, now: Millis) -> Result<Option<PathBuf>, StoreError> {
    let report = verify(from)?;
    if let Some(fault) = report.fault {
        return Err(StoreError::Chain { path: from.to_owned(), fault });
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| StoreError::io("make", folder, error))?;
    }
    let lock = FileLock::acquire(path)?;
    // A copy first: the backup stays where it is, and the place is taken only by what is whole.
    let fresh = beside(path, ".restored");
    let _ = fs::remove_file(&fresh);
    fs::copy(from, &fresh).map_err(|error| StoreError::io("copy", from, error))?;
    // Whatever has become of the backup meanwhile.
    let own = fs::Permissions::from_mode(OWN);
    fs::set_permissions(&fresh, own).map_err(|error| StoreError::io("write", &fresh, error))?;
    let synced = fs::File::open(&fresh).and_then(|file| file.sync_all());
    synced.map_err(|error| StoreError::io("write", &fresh, error))?;
    let aside = path.symlink_metadata().is_ok().then(|| beside(path, &format!(".before-{}", now.0)));
    if let Some(aside) = &aside {
        // The database goes first, its log and head after it: what is left of a half-done move is no journal.
        for suffix in ["", "-wal", "-shm", ".head"] {
            let (old, new) = (beside(path, suffix), beside(aside, suffix));
            match fs::rename(&old, &new) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(StoreError::io("move", &old, error));
                }
                _ => {}
            }
        }
    }
    fs::rename(&fresh, path).map_err(|error| StoreError::io("move", &fresh, error))?;
    head_file::write(path, report.head)?;
    head_file::sync_folder(path).map_err(|error| StoreError::io("write", path, error))?;
    drop(lock);
    Ok(aside)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SessionMeta;
    use knightwatch_core::control::{Actor, Entry, Event, Seq};

    fn entry(seq: u64) -> Entry {
        let (seq, at, actor) = (Seq(seq), Millis(seq), Actor::System);
        Entry { seq, at, actor, flag: None, event: Event::Rearmed, sentence: "re-armed".to_owned() }
    }

    #[test]
    fn a_backup_is_taken_while_writing_and_comes_back_whole() {
        let folder = tempfile::tempdir().unwrap();
        let (path, copy) = (folder.path().join("j"), folder.path().join("copy"));
        let mut journal = Journal::create(&path, &SessionMeta::default()).unwrap();
        journal.append(None, &[entry(1), entry(2)]).unwrap();
        let report = backup(&path, &copy).unwrap();
        assert!(report.is_sound() && report.entries == 2, "{report}");
        assert!(matches!(backup(&path, &copy), Err(StoreError::Exists { .. })), "nothing is overwritten");
        journal.append(None, &[entry(3)]).unwrap();
        assert!(matches!(restore(&copy, &path, Millis(9)), Err(StoreError::Locked { .. })), "it is in use");
        drop(journal);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&copy), mode(&path), "nobody reads in a copy what they may not read in the journal");
        assert_eq!(mode(&copy), 0o600);
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o644)).unwrap();
        let aside = restore(&copy, &path, Millis(9)).unwrap().unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(Journal::open(&path).unwrap().head().seq, Seq(2));
        assert_eq!(Journal::open(&aside).unwrap().head().seq, Seq(3), "what was there is kept");
    }

    #[test]
    fn a_backup_that_was_changed_is_not_restored() {
        let folder = tempfile::tempdir().unwrap();
        let (path, copy) = (folder.path().join("j"), folder.path().join("copy"));
        Journal::create(&path, &SessionMeta::default()).unwrap().append(None, &[entry(1)]).unwrap();
        backup(&path, &copy).unwrap();
        rusqlite::Connection::open(&copy).unwrap().execute("UPDATE entry SET at = 7", []).unwrap();
        assert!(matches!(restore(&copy, &path, Millis(9)), Err(StoreError::Chain { .. })));
        assert_eq!(Journal::open(&path).unwrap().head().seq, Seq(1));
        assert!(backup(&folder.path().join("none"), &folder.path().join("x")).is_err());
        assert!(!folder.path().join("x").exists());
    }
}
