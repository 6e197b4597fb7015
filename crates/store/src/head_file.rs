//! The second place where the head of the chain is kept: `<file>.head`, one line, replaced atomically.
//!
//! Cutting the newest entries off a journal leaves a chain that is whole; this file still knows how long it was. It is
//! behind the journal by at most [`HEAD_EVERY`] - 1 entries and never ahead of it: it is written after the commit.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

use super::{ChainFault, Head, StoreError, lock::beside};

/// Entries between two writings of the second head.
pub const HEAD_EVERY: u64 = 64;

const HEADING: &str = "knightwatch head ";

/// `<file>.head`.
pub(super) fn head_path(path: &Path) -> PathBuf {
    beside(path, ".head")
}

/// The recorded head; `None` where there is no such file, a fault where it says something else than a head.
pub(super) fn read(path: &Path) -> Result<Option<Head>, StoreError> {
    let place = head_path(path);
    let bytes = match fs::read(&place) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::io("read", &place, error)),
    };
    let text = String::from_utf8_lossy(&bytes);
    let parsed = text.strip_prefix(HEADING).and_then(|rest| rest.strip_suffix('\n')).map(str::parse);
    if let Some(Ok(head)) = parsed {
        return Ok(Some(head));
    }
    let found: String = text.chars().take(60).collect();
    let detail = format!("expected `{HEADING}SEQ:HASH` and a line end, found {found:?}");
    let fault = ChainFault::HeadFile { place: place.display().to_string(), detail };
    Err(StoreError::Chain { path: path.to_owned(), fault })
}

/// Writes the head: a new file, synced, renamed over the old one, the folder synced.
pub(super) fn write(path: &Path, head: Head) -> Result<(), StoreError> {
    let place = head_path(path);
    let fresh = beside(path, ".head.new");
    let replace = || -> io::Result<()> {
        let mut file = File::create(&fresh)?;
        writeln!(file, "{HEADING}{head}")?;
        file.sync_all()?;
        fs::rename(&fresh, &place)?;
        sync_folder(path)
    };
    replace().map_err(|error| {
        // What could not be finished is worth nothing; the old file is still there.
        let _ = fs::remove_file(&fresh);
        StoreError::io("write", &place, error)
    })
}

/// Makes new names in the folder of `path` durable.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Hash;
    use knightwatch_core::control::Seq;

    #[test]
    fn a_head_is_read_back_and_a_changed_one_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        assert_eq!(read(&path).unwrap(), None);
        let head = Head { seq: Seq(7), hash: Hash::genesis("a") };
        write(&path, head).unwrap();
        assert_eq!(read(&path).unwrap(), Some(head));
        fs::write(head_path(&path), "knightwatch head 7:12\n").unwrap();
        let fault = read(&path).unwrap_err().to_string();
        assert!(fault.contains("expected `knightwatch head SEQ:HASH`"), "{fault}");
    }
}
