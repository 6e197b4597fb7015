//! The kill latch as a small file of its own: kill-all must hold without a database and on a full disk.
//!
//! The file is made in advance, a whole block of it, and afterwards only overwritten in place and synced. Only the exact
//! word for open means open: a torn, empty or unreadable file means set, and so does one that a root shell wrote while the
//! program was dead (`echo set > FILE`). In force is the file or the journal, whichever says so. Knows nothing of flags.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Read, Seek, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{StoreError, chain::canonical, head_file::sync_folder, lock::beside};
use knightwatch_core::{flag::clean_line, telemetry::Millis};

/// The file's size: one sector, which a disk writes whole or not at all.
const SIZE: usize = 512;

/// Longest name kept in it, in characters; at most six bytes each are written.
const MAX_NAME: usize = 60;

const OPEN: &str = "open";
const SET: &str = "set ";

/// Who set the latch, and when, as far as the file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatchRecord {
    /// Who; for a file that was written by hand, a sentence that says so.
    pub by: String,
    /// Controller time; `None` where the file does not say.
    pub at: Option<Millis>,
}

/// The kill latch on disk.
#[derive(Debug)]
pub struct LatchFile {
    path: PathBuf,
    /// Kept open: setting the latch needs no free file handle.
    file: File,
}

impl LatchFile {
    /// Opens the latch at `path`, and makes it, open, where there is none.
    ///
    /// # Errors
    /// When it can be neither opened nor made.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let open = || OpenOptions::new().read(true).write(true).open(path);
        let failed = |error| StoreError::io("open the kill latch", path, error);
        let file = match open() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                make(path).map_err(failed)?;
                open()
            }
            opened => opened,
        };
        Ok(Self { path: path.to_owned(), file: file.map_err(failed)? })
    }

    /// What the file says now: who set the latch, or `None` while it is open. A file that cannot be read is set.
    pub fn read(&mut self) -> Option<LatchRecord> {
        let mut bytes = Vec::with_capacity(SIZE);
        let by_hand = |why: String| Some(LatchRecord { by: why, at: None });
        if let Err(error) =
            self.file.rewind().and_then(|()| (&self.file).take(SIZE as u64).read_to_end(&mut bytes))
        {
            return by_hand(format!("nobody known: the latch file cannot be read ({error})"));
        }
        let text = String::from_utf8_lossy(&bytes);
        let text = text.trim_end();
        if text == OPEN {
            return None;
        }
        match text.strip_prefix(SET).map(serde_json::from_str::<LatchRecord>) {
            Some(Ok(record)) => Some(LatchRecord { by: clean_line(&record.by), at: record.at }),
            _ => by_hand("nobody known: the latch file was written by hand or is damaged".to_owned()),
        }
    }

    /// Sets the latch; on the disk when it returns.
    ///
    /// # Errors
    /// When the disk did not take it: the latch must then be reported as NOT durable.
    pub fn set(&mut self, by: &str, at: Millis) -> Result<(), StoreError> {
        let by: String = clean_line(by).chars().take(MAX_NAME).collect();
        let record = canonical(&LatchRecord { by, at: Some(at) }).unwrap_or_default();
        self.write(&format!("{SET}{record}"))
    }

    /// Opens the latch again; on the disk when it returns.
    ///
    /// # Errors
    /// When the disk did not take it: the latch must then be treated as set.
    pub fn release(&mut self) -> Result<(), StoreError> {
        self.write(OPEN)
    }

    fn write(&mut self, text: &str) -> Result<(), StoreError> {
        let mut write = || -> io::Result<()> {
            self.file.rewind()?;
            self.file.write_all(&block(text))?;
            self.file.sync_data()
        };
        write().map_err(|error| StoreError::NotDurable { path: self.path.clone(), detail: error.to_string() })
    }
}

/// The text as a whole block, filled up with spaces.
fn block(text: &str) -> [u8; SIZE] {
    let mut block = [b' '; SIZE];
    let length = text.len().min(SIZE - 1);
    block[..length].copy_from_slice(&text.as_bytes()[..length]);
    block[SIZE - 1] = b'\n';
    block
}

/// A new latch file that is open, made whole before it has its name.
fn make(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let fresh = beside(path, ".new");
    let mut file = File::create(&fresh)?;
    file.write_all(&block(OPEN))?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    sync_folder(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_set_until_released_also_when_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/latch");
        let mut latch = LatchFile::open(&path).unwrap();
        assert_eq!(latch.read(), None);
        latch.set("ana\u{1b}[2J", Millis(7)).unwrap();
        let mut again = LatchFile::open(&path).unwrap();
        assert_eq!(again.read(), Some(LatchRecord { by: "ana[2J".to_owned(), at: Some(Millis(7)) }));
        again.release().unwrap();
        assert_eq!(LatchFile::open(&path).unwrap().read(), None);
        assert_eq!(fs::metadata(&path).unwrap().len(), SIZE as u64);
    }

    #[test]
    fn whatever_is_not_plainly_open_is_set() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("latch");
        for text in ["set\n", "", "opened", "set {", "\u{0}\u{0}"] {
            fs::write(&path, text).unwrap();
            assert!(LatchFile::open(&path).unwrap().read().is_some(), "{text:?}");
        }
        fs::write(&path, "open\n").unwrap();
        assert_eq!(LatchFile::open(&path).unwrap().read(), None);
    }

    #[test]
    fn the_longest_name_fits_in_its_block() {
        let folder = tempfile::tempdir().unwrap();
        let mut latch = LatchFile::open(&folder.path().join("latch")).unwrap();
        latch.set(&"é".repeat(400), Millis(u64::MAX)).unwrap();
        let record = latch.read().unwrap();
        assert_eq!((record.by.chars().count(), record.at), (MAX_NAME, Some(Millis(u64::MAX))));
    }
}
