//! Why a recording was refused: the place, what was found there, and what was expected. Knows no format.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use thiserror::Error;

use knightwatch_core::flag::clean_line;

/// Most characters of a file that an error quotes.
const MAX_QUOTED: usize = 60;

/// Something in a recording that cannot be believed. Nothing was loaded.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct RecordingError {
    /// The file.
    pub path: PathBuf,
    /// The line in it, from 1, where it is about one.
    pub line: Option<u64>,
    /// What was found.
    pub found: String,
    /// What was expected.
    pub expected: String,
}

impl RecordingError {
    pub(super) fn new(path: &Path, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line: None, found: found.into(), expected: expected.into() }
    }
}

impl fmt::Display for RecordingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&clean_line(&self.path.to_string_lossy()))?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        write!(f, ": found {}; expected {}", self.found, self.expected)
    }
}

/// A line of a file, for errors about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct LineLocation<'a> {
    pub(super) path: &'a Path,
    pub(super) line: u64,
}

impl LineLocation<'_> {
    pub(super) fn error(self, found: impl Into<String>, expected: impl Into<String>) -> RecordingError {
        RecordingError { line: Some(self.line), ..RecordingError::new(self.path, found, expected) }
    }
}

/// `text` in quotes, harmless and short.
pub(super) fn quoted(text: &str) -> String {
    let line = clean_line(text);
    let mut short: String = line.chars().take(MAX_QUOTED).collect();
    if short.len() < line.len() {
        short.push('…');
    }
    format!("\"{short}\"")
}
