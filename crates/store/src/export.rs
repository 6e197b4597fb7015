//! The journal for others: JSON Lines that anyone can verify with `sha256sum`, and CSV for spreadsheets.
//!
//! JSON Lines: the first line is `{"genesis":"HASH","session":{...}}`, each further one
//! `{"prev":"HASH","hash":"HASH","entry":{...}}`, the entry's text exactly as it was hashed, from character 158 of the line
//! up to the one before the last. In a shell, for one line:
//!
//! ```sh
//! prev=$(printf %s "$line" | cut -c10-73); hash=$(printf %s "$line" | cut -c84-147)
//! entry=$(printf %s "$line" | cut -c158-); entry=${entry%?}
//! [ "$(printf %s%s "$prev" "$entry" | sha256sum | cut -c1-64)" = "$hash" ]
//! ```
//!
//! The genesis hash is that of `knightwatch journal 1`, a line feed, and the session's text. All of it is printable ASCII:
//! escape sequences in a reason come out as `\u001b`, and drive no terminal. CSV is for reading, not for proving.

use std::{
    io::{BufRead, Write},
    path::Path,
};

use super::{
    Hash, Head, Journal, StoreError,
    rows::{self, Rows, actor_column},
};
use knightwatch_core::{
    control::{Entry, Seq},
    flag::{FlagKey, clean_line},
};

/// What an export looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// One JSON object a line, with the hashes; complete and verifiable.
    JsonLines,
    /// Comma-separated values with a heading: number, time, actor, flag, kind, sentence, hash.
    Csv,
}

/// `{"prev":"`, `","hash":"` and `","entry":` around two hashes of 64 characters.
const PREV_AT: usize = 9;
const HASH_AT: usize = PREV_AT + 64 + 10;
const ENTRY_AT: usize = HASH_AT + 64 + 10;

/// What stands where the name of a file is expected.
const EXPORT: &str = "the export";

/// Writes the whole journal, in order, checking the chain on the way; gives the head of what was written.
///
/// # Errors
/// When the journal cannot be read or is not whole (what was written up to there is), or `out` cannot be written.
pub fn export(journal: &Journal, format: ExportFormat, out: &mut impl Write) -> Result<Head, StoreError> {
    let head = match format {
        ExportFormat::JsonLines => json_lines(journal, out),
        ExportFormat::Csv => csv(journal, out),
    }?;
    out.flush().map_err(writing)?;
    Ok(head)
}

fn json_lines(journal: &Journal, out: &mut impl Write) -> Result<Head, StoreError> {
    let genesis = journal.genesis_head().hash;
    let meta: String = journal
        .connection
        .query_row("SELECT meta FROM session", [], |row| row.get(0))
        .map_err(|error| StoreError::reading("read", journal.path(), &error))?;
    writeln!(out, r#"{{"genesis":"{genesis}","session":{meta}}}"#).map_err(writing)?;
    each(journal, |head, text, _, prev| {
        writeln!(out, r#"{{"prev":"{prev}","hash":"{}","entry":{text}}}"#, head.hash).map_err(writing)
    })
}

fn csv(journal: &Journal, out: &mut impl Write) -> Result<Head, StoreError> {
    let mut table = csv::Writer::from_writer(out);
    let failed = |error: csv::Error| writing(error.into());
    table
        .write_record(["seq", "at_ms", "time", "actor", "flag", "kind", "sentence", "hash"])
        .map_err(failed)?;
    let head = each(journal, |head, _, entry, _| {
        table
            .write_record([
                entry.seq.0.to_string(),
                entry.at.0.to_string(),
                entry.at.timestamp().map(|at| at.to_string()).unwrap_or_default(),
                cell(&actor_column(&entry.actor)),
                entry.flag.as_ref().map(FlagKey::as_str).map(cell).unwrap_or_default(),
                entry.event.kind().to_owned(),
                cell(&entry.sentence),
                head.hash.to_string(),
            ])
            .map_err(failed)
    })?;
    table.flush().map_err(writing)?;
    Ok(head)
}

/// Text for a cell: cleaned, and never a formula to a spreadsheet.
fn cell(text: &str) -> String {
    let text = clean_line(text);
    if text.starts_with(['=', '+', '-', '@']) { format!("'{text}") } else { text }
}

/// Calls `write` for each entry with the head that it makes, its exact text, itself, and the hash before it.
fn each(
    journal: &Journal,
    mut write: impl FnMut(Head, &str, &Entry, Hash) -> Result<(), StoreError>,
) -> Result<Head, StoreError> {
    let mut head = journal.genesis_head();
    for row in Rows::after(&journal.connection, journal.path(), i64::MIN) {
        let row = row?;
        let (entry, next) = rows::check(head, &row).map_err(|fault| StoreError::Chain {
            path: journal.path().to_owned(),
            fault: rows::refine(&journal.connection, head, fault),
        })?;
        // The text was read as JSON just now, so it is UTF-8.
        write(next, &String::from_utf8_lossy(&row.json), &entry, head.hash)?;
        head = next;
    }
    Ok(head)
}

fn writing(error: std::io::Error) -> StoreError {
    StoreError::io("write", Path::new(EXPORT), error)
}

/// Verifies an export in JSON Lines by itself; gives its head.
pub(super) fn read_export(export: impl BufRead) -> Result<Head, StoreError> {
    let mut head: Option<Head> = None;
    for (number, line) in (1..).zip(export.lines()) {
        let line = line.map_err(|error| StoreError::io("read", Path::new(EXPORT), error))?;
        let wrong = |detail: &str| StoreError::ExportLine { line: number, detail: detail.to_owned() };
        head = Some(match head {
            None => Head { seq: Seq(0), hash: genesis_in(&line).map_err(wrong)? },
            Some(head) => entry_in(&line, head).map_err(|detail| wrong(&detail))?,
        });
    }
    head.ok_or(StoreError::ExportLine { line: 1, detail: "the export is empty".to_owned() })
}

fn genesis_in(line: &str) -> Result<Hash, &'static str> {
    let expected = r#"expected {"genesis":"HASH","session":{...}}"#;
    let rest = line.strip_prefix(r#"{"genesis":""#).ok_or(expected)?;
    let (hash, meta) = rest.split_once(r#"","session":"#).ok_or(expected)?;
    let meta = meta.strip_suffix('}').ok_or(expected)?;
    if hash.parse() == Ok(Hash::genesis(meta)) {
        Ok(Hash::genesis(meta))
    } else {
        Err("the genesis hash is not that of the session's description")
    }
}

fn entry_in(line: &str, head: Head) -> Result<Head, String> {
    let seq = Seq(head.seq.0 + 1);
    let part = |from, to| line.get(from..to).and_then(|hash: &str| hash.parse::<Hash>().ok());
    let text = line.get(ENTRY_AT..line.len().saturating_sub(1)).filter(|_| line.ends_with('}'));
    let (Some(prev), Some(hash), Some(text)) =
        (part(PREV_AT, PREV_AT + 64), part(HASH_AT, HASH_AT + 64), text)
    else {
        return Err(r#"expected {"prev":"HASH","hash":"HASH","entry":{...}}"#.to_owned());
    };
    if hash != Hash::link(prev, text.as_bytes()) {
        return Err(format!("entry {seq} was changed: its hash is not that of its text"));
    }
    let entry: Entry = serde_json::from_str(text).map_err(|error| format!("not a journal entry: {error}"))?;
    if prev != head.hash || entry.seq != seq {
        return Err(format!("expected entry {seq}, found {}: lines are missing, added or moved", entry.seq));
    }
    Ok(Head { seq, hash })
}
