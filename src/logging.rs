//! Logs, to a file in the state folder and never to the screen.
//!
//! Writing is done on a thread of its own. Text from outside ends up in logs, and logs end up in terminals: what could
//! drive one is escaped here, once for every line. Knows nothing of who logs what.

use std::{
    env, fmt,
    io::{self, Write},
    path::{Path, PathBuf},
};

use thiserror::Error;
use tracing_appender::{
    non_blocking::{NonBlockingBuilder, WorkerGuard},
    rolling::{RollingFileAppender, Rotation},
};
use tracing_subscriber::EnvFilter;

/// Names the level, or levels per module: `debug`, `knightwatch::engine=trace,info`.
pub const VARIABLE: &str = "KNIGHTWATCH_LOG";

/// The level where nothing else is asked for.
const LEVEL: &str = "info";

/// Days of logs that are kept.
const KEPT: usize = 7;

/// Why there are no logs.
#[derive(Debug, Error)]
pub enum LogError {
    /// The level is none.
    #[error(
        "{VARIABLE}={value:?}: {problem}; expected a level (error, warn, info, debug, trace, off) or \
         levels per module such as 'knightwatch::engine=debug,info'"
    )]
    Level {
        /// What was found.
        value: String,
        /// What is wrong with it.
        problem: String,
    },
    /// No file can be written there.
    #[error("no log can be written in {}: {problem}", folder.display())]
    Folder {
        /// Where.
        folder: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Somebody else takes the logs already.
    #[error("logging was set up twice")]
    Twice,
}

/// Keeps the logs going. Dropping it writes what is left.
#[derive(Debug)]
#[must_use = "logging ends when this is dropped"]
pub struct Guard {
    _worker: WorkerGuard,
}

/// Begins to log to `knightwatch.YYYY-MM-DD.log` in `dir`, which is made where it is missing. The level comes from
/// [`VARIABLE`].
///
/// # Errors
/// When the level is none, no file can be written in `dir`, or logging is set up already.
pub fn init(dir: &Path) -> Result<Guard, LogError> {
    let filter = filter(env::var(VARIABLE).ok().as_deref())?;
    let in_folder = |problem: String| LogError::Folder { folder: dir.to_owned(), problem };
    std::fs::create_dir_all(dir).map_err(|error| in_folder(error.to_string()))?;
    let file = RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix("knightwatch")
        .filename_suffix("log")
        .max_log_files(KEPT)
        .build(dir)
        .map_err(|error| in_folder(error.to_string()))?;
    let (writer, worker) = NonBlockingBuilder::default().thread_name("log").finish(Escaped(file));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_thread_names(true)
        .with_writer(writer)
        .finish();
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LogError::Twice)?;
    Ok(Guard { _worker: worker })
}

/// Begins to log to standard error, for a service: a line an event, as text or as JSON. The level comes from [`VARIABLE`].
///
/// # Errors
/// When the level is none, or logging is set up already.
pub fn to_stderr(json: bool) -> Result<Guard, LogError> {
    let filter = filter(env::var(VARIABLE).ok().as_deref())?;
    let (writer, worker) = NonBlockingBuilder::default().thread_name("log").finish(Escaped(io::stderr()));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(writer);
    let set = if json {
        tracing::subscriber::set_global_default(builder.json().flatten_event(true).finish())
    } else {
        tracing::subscriber::set_global_default(builder.finish())
    };
    set.map_err(|_| LogError::Twice)?;
    Ok(Guard { _worker: worker })
}

fn filter(value: Option<&str>) -> Result<EnvFilter, LogError> {
    let value = value.map(str::trim).filter(|value| !value.is_empty()).unwrap_or(LEVEL);
    EnvFilter::builder()
        .parse(value)
        .map_err(|error| LogError::Level { value: value.to_owned(), problem: error.to_string() })
}

/// Escapes what could drive a terminal. The subscriber writes one whole line at a time.
#[derive(Debug)]
struct Escaped<W>(W);

impl<W: Write> Write for Escaped<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(bytes);
        let (text, end) = line.strip_suffix('\n').map_or((&*line, ""), |text| (text, "\n"));
        if text.chars().any(is_hostile) {
            self.0.write_all(format!("{}{end}", Harmless(text)).as_bytes())?;
        } else {
            self.0.write_all(line.as_bytes())?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Shows text with what is hostile in it as `\u{1b}`: a log has to say what was there.
struct Harmless<'a>(&'a str);

impl fmt::Display for Harmless<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            if is_hostile(c) { write!(f, "{}", c.escape_unicode())? } else { write!(f, "{c}")? }
        }
        Ok(())
    }
}

/// Controls, and what hides or reorders text: bidirectional overrides, zero-width characters, tags.
fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(line: &str) -> String {
        let mut out = Escaped(Vec::new());
        out.write_all(line.as_bytes()).unwrap();
        String::from_utf8(out.0).unwrap()
    }

    #[test]
    fn a_line_cannot_drive_a_terminal_or_forge_another_line() {
        assert_eq!(logged("plain – text\n"), "plain – text\n");
        assert_eq!(logged("a\u{1b}]0;owned\u{7}b\n"), "a\\u{1b}]0;owned\\u{7}b\n");
        assert_eq!(logged("one\ntwo\r\n"), "one\\u{a}two\\u{d}\n");
        assert_eq!(logged("safe\u{202e}evil\u{9b}2J"), "safe\\u{202e}evil\\u{9b}2J");
    }

    #[test]
    fn a_level_that_is_none_is_refused_by_name() {
        assert!(filter(None).is_ok());
        assert!(filter(Some("")).is_ok());
        assert!(filter(Some("knightwatch::engine=trace,warn")).is_ok());
        let error = filter(Some("knightwatch=loud")).unwrap_err().to_string();
        assert!(error.contains("KNIGHTWATCH_LOG") && error.contains("loud"), "{error}");
    }

    #[test]
    fn what_is_logged_ends_up_in_the_file_and_a_second_set_up_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("state");
        let guard = init(&folder).unwrap();
        tracing::info!(flag = "pay\u{1b}[2J", "raised");
        drop(guard);
        let file = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
        let text = std::fs::read_to_string(file).unwrap();
        assert!(text.contains("raised") && !text.contains('\u{1b}'), "{text:?}");
        assert!(matches!(init(&folder), Err(LogError::Twice)));
    }

    #[test]
    fn a_folder_that_cannot_be_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = init(&file.join("state")).unwrap_err().to_string();
        assert!(error.contains("file/state"), "{error}");
    }
}
