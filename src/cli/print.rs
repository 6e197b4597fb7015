//! Plain output: text from the journal, made harmless, and JSON.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use serde::Serialize;

use super::{Failure, Outcome};
use knightwatch_core::{control::Entry, telemetry::Millis};
use knightwatch_store::StoreError;

/// Writes a line to standard output. A reader that has gone away is no fault of ours: the program ends quietly.
///
/// # Errors
/// Standard output cannot be written to; nothing is said where its reader has gone away.
pub fn line(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    written(writeln!(out, "{}", knightwatch_core::flag::clean_whole(text)).and_then(|()| out.flush()))
}

/// Writes text as it is: for what this program has made itself.
///
/// # Errors
/// Standard output cannot be written to; nothing is said where its reader has gone away.
pub fn raw(text: &str) -> Result<(), Failure> {
    bytes(text.as_bytes())
}

/// The same of a file that was asked for on standard output.
///
/// # Errors
/// Standard output cannot be written to; nothing is said where its reader has gone away.
pub fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    written(out.write_all(bytes).and_then(|()| out.flush()))
}

/// Writes a value as one line of JSON.
///
/// # Errors
/// Standard output cannot be written to; nothing is said where its reader has gone away.
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    raw(&json_line(value)?)
}

/// The same line, with its end, for wherever it goes.
///
/// # Errors
/// A value that cannot be serialised.
pub fn json_line(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string(value).map_err(Failure::refused)?;
    Ok(harmless_json(&text) + "\n")
}

/// The same JSON with whatever could drive a terminal as `\uXXXX`. Such characters can only stand within strings.
#[must_use]
pub fn harmless_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        // The line breaks of pretty JSON stand between its tokens.
        if c != '\n' && knightwatch_core::flag::is_hostile(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// Hands standard output to `write`, buffered. As with [`line()`], a reader that has gone away ends the program quietly.
///
/// # Errors
/// What `write` returns.
pub fn stream<T>(
    write: impl FnOnce(&mut Watched<io::StdoutLock<'static>>) -> Result<T, StoreError>,
) -> Result<T, Failure> {
    let mut out = Watched { out: io::stdout().lock(), gone: false };
    write(&mut out).map_err(|error| if out.gone { QUIET } else { Failure::store(error) })
}

/// Remembers whether the reader has gone: not every error on the way still says so.
pub struct Watched<W> {
    out: W,
    gone: bool,
}

impl<W: Write> Watched<W> {
    fn note<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        result.inspect_err(|error| self.gone |= error.kind() == io::ErrorKind::BrokenPipe)
    }
}

impl<W: Write> Write for Watched<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes);
        self.note(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = self.out.flush();
        self.note(flushed)
    }
}

/// Ends the program without a word.
const QUIET: Failure = Failure { status: 0, text: String::new() };

fn written(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(QUIET),
        Err(error) => Err(Failure::refused(format!("cannot write: {error}"))),
    }
}

/// A moment as people read it: `2026-03-02 09:12:30`, UTC.
#[must_use]
pub fn moment(at: Millis) -> String {
    at.timestamp().map_or_else(|| "?".to_owned(), |at| at.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// An entry as one line: number, time, actor, sentence.
#[must_use]
pub fn entry(entry: &Entry) -> String {
    format!("{:>6} {}  {:<12} {}", entry.seq, moment(entry.at), entry.actor, entry.sentence)
}

/// Everything went as hoped.
pub const DONE: Outcome = Ok(0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_its_meaning_and_drives_no_terminal() {
        let hostile = "a\u{9b}2J\u{202e}b\u{e0041}\u{1b}[0m\u{e9}";
        let text = harmless_json(&serde_json::to_string(hostile).unwrap());
        assert!(!text.chars().any(knightwatch_core::flag::is_hostile), "{text:?}");
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), hostile);
    }
}
