//! The backend under load: the release binary as a process of its own, asked over real connections.
//!
//! `cargo bench --bench serve` measures everything and prints a table; names of parts after `--` measure those alone:
//! `evaluation`, `kill`, `rooms`, `memory`. Where a budget is a ratio, both sides take turns in the same run.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a benchmark"
)]

#[path = "serve/connection.rs"]
mod connection;
#[path = "serve/evaluation.rs"]
mod evaluation;
#[path = "serve/fleet.rs"]
mod fleet;
#[path = "serve/kill.rs"]
mod kill;
#[path = "serve/memory.rs"]
mod memory;
#[path = "serve/process.rs"]
mod process;
#[path = "serve/rooms.rs"]
mod rooms;
#[path = "../tests/support/served.rs"]
mod served;

use std::time::Duration;

/// One line of the table.
pub(crate) struct Row {
    what: String,
    found: String,
    budget: &'static str,
}

impl Row {
    pub(crate) fn new(what: impl Into<String>, found: impl Into<String>, budget: &'static str) -> Self {
        Self { what: what.into(), found: found.into(), budget }
    }
}

type Part = fn() -> Vec<Row>;

const PARTS: [(&str, Part); 4] = [
    ("evaluation", evaluation::measured),
    ("kill", kill::measured),
    ("rooms", rooms::measured),
    ("memory", memory::measured),
];

fn main() {
    // Cargo adds `--bench`.
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if words.first().is_some_and(|word| word == evaluation::BARE) {
        return evaluation::serve_bare();
    }
    if let Some(unknown) = words.iter().find(|word| PARTS.iter().all(|(name, _)| name != word)) {
        eprintln!("serve: there is no part {unknown:?}; there are evaluation, kill, rooms and memory");
        std::process::exit(2);
    }
    process::open_files();
    let mut rows = Vec::new();
    for (name, part) in PARTS {
        if words.is_empty() || words.iter().any(|word| word == name) {
            eprintln!("measuring: {name}");
            rows.extend(part());
        }
    }
    let width = |of: fn(&Row) -> &str| rows.iter().map(|row| of(row).chars().count()).max().unwrap_or(0);
    let (what, found) = (width(|row| &row.what), width(|row| &row.found));
    for row in &rows {
        println!("{:what$}  {:found$}  {}", row.what, row.found, row.budget);
    }
}

/// The value below which `share` of them are; they are sorted here.
pub(crate) fn quantile<T: Copy + PartialOrd>(values: &mut [T], share: f64) -> T {
    values.sort_by(|a, b| a.partial_cmp(b).unwrap());
    let place = ((values.len() as f64 * share).ceil() as usize).clamp(1, values.len());
    values[place - 1]
}

/// A time with the unit that fits.
pub(crate) fn told(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 1e-3 {
        format!("{:.0} µs", seconds * 1e6)
    } else if seconds < 10.0 {
        format!("{:.1} ms", seconds * 1e3)
    } else {
        format!("{seconds:.1} s")
    }
}

/// p50, p99 and the largest.
pub(crate) fn spread(times: &mut [Duration]) -> String {
    format!(
        "p50 {}, p99 {}, max {}",
        told(quantile(times, 0.5)),
        told(quantile(times, 0.99)),
        told(quantile(times, 1.0))
    )
}
