//! Files of flag definitions: read together, and watched for changes.
//!
//! They are looked at twice a second instead of being told of by the kernel, because editors replace files, mounts of
//! Kubernetes replace what links point to, and network disks tell nobody. A file is read once it has stood still for one
//! look, so that one half written is not.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use thiserror::Error;

use knightwatch_core::flag::{
    clean_line,
    definition::{DefinitionErrors, Definitions, MAX_FILE, SourceFile},
};

/// How often files are looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Why files of definitions cannot be used.
#[derive(Debug, Error)]
pub enum FlagFilesError {
    /// A file cannot be read.
    #[error("{}: {error}", clean_line(&.path.display().to_string()))]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// What stands in them is wrong.
    #[error(transparent)]
    Wrong(#[from] DefinitionErrors),
}

/// What tells that a file is another one, or has another content. Taken before reading, it misses no change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp(Option<(u64, u64, u64, i64, i64)>);

impl Stamp {
    /// Of the file as it is now, or of its absence.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let of = |data: fs::Metadata| (data.dev(), data.ino(), data.len(), data.mtime(), data.mtime_nsec());
        Self(fs::metadata(path).ok().map(of))
    }
}

/// Files of definitions.
#[derive(Clone, Debug)]
pub struct FlagFiles {
    paths: Vec<PathBuf>,
    stamps: Vec<Stamp>,
}

impl FlagFiles {
    /// Reads all files for the first time.
    ///
    /// # Errors
    /// When one cannot be read, or what stands in them is wrong.
    pub fn open(paths: Vec<PathBuf>) -> Result<(Self, Definitions), FlagFilesError> {
        let mut files = Self { paths, stamps: Vec::new() };
        files.stamps = files.look();
        let definitions = files.read()?;
        Ok((files, definitions))
    }

    fn look(&self) -> Vec<Stamp> {
        self.paths.iter().map(|path| Stamp::of(path)).collect()
    }

    fn read(&self) -> Result<Definitions, FlagFilesError> {
        let mut texts = Vec::with_capacity(self.paths.len());
        for path in &self.paths {
            let mut bytes = Vec::new();
            // One byte more than is allowed is enough to be refused.
            let read =
                File::open(path).and_then(|file| file.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes));
            read.map_err(|error| FlagFilesError::Unreadable { path: path.clone(), error })?;
            texts.push((path.display().to_string(), bytes));
        }
        let sources: Vec<SourceFile<'_>> =
            texts.iter().map(|(name, bytes)| SourceFile { name, bytes }).collect();
        Ok(Definitions::parse(&sources)?)
    }

    /// Reads all of them again whenever one has changed, and returns the result, until the watch is dropped.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn watch(
        mut self,
        mut changed: impl FnMut(Result<Definitions, FlagFilesError>) + Send + 'static,
    ) -> io::Result<FlagWatch> {
        let ending = Arc::new((Mutex::new(false), Condvar::new()));
        let ended = Arc::clone(&ending);
        let thread = thread::Builder::new().name("flag-files".to_owned()).spawn(move || {
            let mut before = self.stamps.clone();
            let (over, wake) = &*ended;
            let mut guard = over.lock().unwrap_or_else(PoisonError::into_inner);
            while !*guard {
                guard = wake.wait_timeout(guard, LOOK).unwrap_or_else(PoisonError::into_inner).0;
                if *guard {
                    break;
                }
                drop(guard);
                let now = self.look();
                if now != self.stamps && now == before {
                    self.stamps.clone_from(&now);
                    changed(self.read());
                }
                before = now;
                guard = over.lock().unwrap_or_else(PoisonError::into_inner);
            }
        })?;
        Ok(FlagWatch { ending, thread: Some(thread) })
    }
}

/// A watch over files; it ends when this is dropped.
#[derive(Debug)]
pub struct FlagWatch {
    ending: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for FlagWatch {
    fn drop(&mut self) {
        let (over, wake) = &*self.ending;
        *over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        wake.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic over there has been logged already.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const PATIENCE: Duration = Duration::from_mins(1);

    fn flags(key: &str) -> String {
        format!(r#"{{"flags": {{"{key}": {{"state": "ENABLED", "variants": {{"a": 1}}}}}}}}"#)
    }

    #[test]
    fn a_change_is_noticed_however_it_is_made_and_a_mistake_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one.json"), folder.path().join("two.json"));
        fs::write(&one, flags("a")).unwrap();
        fs::write(&two, flags("b")).unwrap();
        let (files, definitions) = FlagFiles::open(vec![one.clone(), two.clone()]).unwrap();
        assert_eq!(definitions.len(), 2);
        let (tell, told) = mpsc::channel();
        let watch = files.watch(move |read| tell.send(read.map(|all| all.len())).unwrap()).unwrap();
        // Written in place.
        fs::write(&one, r#"{"flags": {}}"#).unwrap();
        assert_eq!(told.recv_timeout(PATIENCE).unwrap().unwrap(), 1);
        // Replaced, with a mistake.
        fs::write(folder.path().join("new"), flags("b")).unwrap();
        fs::rename(folder.path().join("new"), &one).unwrap();
        let error = told.recv_timeout(PATIENCE).unwrap().unwrap_err().to_string();
        assert!(error.contains("defined in") && error.contains("two.json"), "{error}");
        // Gone, and back.
        fs::remove_file(&two).unwrap();
        let error = told.recv_timeout(PATIENCE).unwrap().unwrap_err();
        assert!(matches!(error, FlagFilesError::Unreadable { .. }), "{error}");
        fs::write(&two, flags("c")).unwrap();
        assert_eq!(told.recv_timeout(PATIENCE).unwrap().unwrap(), 2);
        drop(watch);
        assert!(told.recv().is_err(), "the thread has ended");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let error = FlagFiles::open(vec![PathBuf::from("/nowhere/flags.json")]).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/flags.json: "), "{error}");
    }
}
