//! One writer per session file, across processes: an advisory lock on `<file>.lock`, which also names the holder.
//!
//! The lock is on a file of its own because closing any handle on the database itself would drop SQLite's own locks. The
//! operating system lets go of it when the process ends, however it ends; the file stays and means nothing unlocked.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
};

use super::StoreError;

/// `<file><suffix>`, beside the session file.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Held while a session is written; let go when dropped.
#[derive(Debug)]
pub(super) struct FileLock {
    _file: File,
}

impl FileLock {
    /// Locks the session at `path`, at once or not at all.
    pub(super) fn acquire(path: &Path) -> Result<Self, StoreError> {
        let lock_path = beside(path, ".lock");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&lock_path).map_err(|e| StoreError::io("open", &lock_path, e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Locked { path: path.to_owned(), pid: holder(&mut file) });
            }
            Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", &lock_path, error)),
        }
        // Only for the other one's message: the lock holds also where this cannot be written, as on a full disk.
        let named = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        if let Err(error) = named {
            tracing::warn!("cannot write {}: {error}", lock_path.display());
        }
        Ok(Self { _file: file })
    }
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_one_hears_who_the_first_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("session");
        let first = FileLock::acquire(&path).unwrap();
        let refused = FileLock::acquire(&path).unwrap_err();
        assert!(matches!(refused, StoreError::Locked { pid: Some(pid), .. } if pid == std::process::id()));
        assert!(refused.to_string().contains(&format!("(process {})", std::process::id())), "{refused}");
        drop(first);
        FileLock::acquire(&path).unwrap();
    }
}
