//! Reads text files of unknown quality line by line, with bounded memory, and checks the numbers in them.
//!
//! A file of a hundred megabytes of garbage must be refused at once; every refusal names the line. Knows no format.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    path::Path,
};

use serde::de::DeserializeOwned;

use super::error::{LineLocation, RecordingError, quoted};

/// Largest recording read, in bytes.
const MAX_BYTES: u64 = 64 << 20;

/// Largest list of incidents read, in bytes.
const MAX_LIST_BYTES: u64 = 4 << 20;

/// Longest line, in bytes: a wide table with hundreds of columns has some 10 kB.
const MAX_LINE: u64 = 64 << 10;

/// Longest latency believed, in milliseconds: a day.
const MAX_LATENCY_MS: f64 = 86_400_000.0;

/// Last moment believed, in seconds since the Unix epoch: the year 2100.
const LAST_SECOND: f64 = 4_102_444_800.0;

/// The lines of a text file as cells.
pub(super) struct Lines<'a> {
    path: &'a Path,
    reader: BufReader<File>,
    line: u64,
    buffer: Vec<u8>,
}

/// Opens a regular file of at most `most` bytes.
fn open(path: &Path, most: u64) -> Result<File, RecordingError> {
    const EXPECTED: &str = "a readable file";
    let refuse = |error: std::io::Error| RecordingError::new(path, error.to_string(), EXPECTED);
    let meta = std::fs::metadata(path).map_err(refuse)?;
    if !meta.is_file() {
        let found = if meta.is_dir() { "a folder" } else { "something that is not a file" };
        return Err(RecordingError::new(path, found, EXPECTED));
    }
    if meta.len() > most {
        let found = format!("{} bytes", meta.len());
        return Err(RecordingError::new(path, found, format!("at most {most} bytes")));
    }
    File::open(path).map_err(refuse)
}

/// Reads a JSON document of at most 4 MiB.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path, expected: &str) -> Result<T, RecordingError> {
    // The file may grow while it is read.
    let reader = BufReader::new(open(path, MAX_LIST_BYTES)?.take(MAX_LIST_BYTES));
    serde_json::from_reader(reader).map_err(|error| RecordingError {
        line: u64::try_from(error.line()).ok().filter(|line| *line > 0),
        ..RecordingError::new(path, quoted(&error.to_string()), expected)
    })
}

impl<'a> Lines<'a> {
    pub(super) fn open(path: &'a Path) -> Result<Self, RecordingError> {
        let reader = BufReader::new(open(path, MAX_BYTES)?);
        Ok(Self { path, reader, line: 0, buffer: Vec::new() })
    }

    /// The line last read.
    pub(super) const fn location(&self) -> LineLocation<'a> {
        LineLocation { path: self.path, line: self.line }
    }

    /// The cells of the next line; `None` at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<Vec<String>>, RecordingError> {
        const EXPECTED: &str = "a line of comma-separated text";
        self.buffer.clear();
        self.line += 1;
        let location = self.location();
        let mut limited = self.reader.by_ref().take(MAX_LINE + 1);
        let read = limited
            .read_until(b'\n', &mut self.buffer)
            .map_err(|error| location.error(error.to_string(), EXPECTED))?;
        if read == 0 {
            return Ok(None);
        }
        let text = str::from_utf8(&self.buffer).map_err(|error| {
            location.error(format!("bytes that are not text, at byte {}", error.valid_up_to() + 1), EXPECTED)
        });
        if self.buffer.len() as u64 > MAX_LINE {
            // Cutting at the limit may have split a character, so a long line is judged by its length first.
            return Err(location.error(
                format!("a line longer than {MAX_LINE} bytes"),
                format!("lines of at most {MAX_LINE} bytes"),
            ));
        }
        let text = text?.trim_start_matches('\u{feff}').trim_end_matches(['\n', '\r']);
        if let Some(found) = text.chars().find(|c| c.is_control() && *c != '\t') {
            return Err(location.error(format!("the control character {found:?}"), EXPECTED));
        }
        if text.is_empty() {
            return Err(location.error("an empty line", EXPECTED));
        }
        let mut reader =
            csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
        match reader.records().next() {
            Some(Ok(record)) => Ok(Some(record.iter().map(str::to_owned).collect())),
            Some(Err(error)) => Err(location.error(quoted(&error.to_string()), EXPECTED)),
            None => Err(location.error("an empty line", EXPECTED)),
        }
    }

    /// The cells of the next line, of which there must be `columns`.
    pub(super) fn next_of(&mut self, columns: usize) -> Result<Option<Vec<String>>, RecordingError> {
        let Some(cells) = self.next()? else { return Ok(None) };
        if cells.len() != columns {
            let found = format!("{} columns", cells.len());
            return Err(self.location().error(found, format!("{columns} columns, as in the header")));
        }
        Ok(Some(cells))
    }
}

/// A number between `low` and `high` from a cell; `what` names it in the error.
pub(super) fn number(
    location: LineLocation<'_>,
    cell: &str,
    what: &str,
    low: f64,
    high: f64,
) -> Result<f64, RecordingError> {
    match cell.trim().parse::<f64>() {
        Ok(value) if (low..=high).contains(&value) => Ok(value),
        _ => Err(location.error(quoted(cell), format!("{what}, a number from {low} to {high}"))),
    }
}

/// A latency in milliseconds from a cell whose unit is `unit_ms` milliseconds.
pub(super) fn latency_ms(
    location: LineLocation<'_>,
    cell: &str,
    what: &str,
    unit_ms: f64,
) -> Result<f64, RecordingError> {
    Ok(number(location, cell, what, 0.0, MAX_LATENCY_MS / unit_ms)? * unit_ms)
}

/// A share of failed requests, 0 to 1, from a percentage of successful ones.
pub(super) fn error_rate(location: LineLocation<'_>, cell: &str, what: &str) -> Result<f64, RecordingError> {
    Ok(1.0 - number(location, cell, what, 0.0, 100.0)? / 100.0)
}

/// Milliseconds since the Unix epoch from a cell in seconds.
pub(super) fn unix_ms(location: LineLocation<'_>, cell: &str) -> Result<u64, RecordingError> {
    Ok(to_ms(number(location, cell, "seconds since 1970", 0.0, LAST_SECOND)?))
}

/// Seconds as whole milliseconds.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "within 0 to the year 2100, checked before"
)]
pub(super) fn to_ms(seconds: f64) -> u64 {
    libm::round(seconds.clamp(0.0, LAST_SECOND) * 1_000.0) as u64
}

/// Refuses quantiles that descend.
pub(super) fn ascending(
    location: LineLocation<'_>,
    probabilities: &[f64],
    quantiles_ms: &[f64],
) -> Result<(), RecordingError> {
    let pairs = quantiles_ms.windows(2).zip(probabilities.windows(2));
    for (value, share) in pairs {
        if let ([low, high], [p, q]) = (value, share)
            && low > high
        {
            let (p, q) = (p * 100.0, q * 100.0);
            return Err(location.error(
                format!("P{q:.0} of {high} ms below P{p:.0} of {low} ms"),
                "quantiles that do not descend",
            ));
        }
    }
    Ok(())
}
