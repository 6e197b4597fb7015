//! Rows with time stamps become a series on a grid of intervals. Real exporters jitter by a second, leave rows out and
//! repeat them: a missing row stays missing, a repeated one is rejected and counted. Knows no format.

use super::error::{LineLocation, RecordingError};
use knightwatch_core::telemetry::{Millis, Rejection};

/// Most intervals in one recording, missing ones included: four months of minutes, some 20 MB.
const MAX_INTERVALS: usize = 200_000;

/// Shortest and longest interval, in milliseconds: a second and a day.
const INTERVAL_MS: (u64, u64) = (1_000, 86_400_000);

/// Of so many rows at most one may repeat an interval; more than that is not a glitch but another kind of file.
const ROWS_PER_REPEAT: usize = 100;

/// One recorded interval of one service.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Requests, as recorded or as assumed.
    pub requests: u32,
    /// Share of failed requests, 0 to 1.
    pub error_rate: f64,
    /// Latency at each of the recording's probabilities, in milliseconds, never descending; empty where latencies were
    /// not measured.
    pub quantiles_ms: Vec<f64>,
}

/// A row as read: where, when, and what; `None` where the line says that nothing was measured.
struct Stamped {
    line: u64,
    at_ms: u64,
    row: Option<Row>,
}

/// Rows on a grid of intervals.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) interval: Millis,
    /// The first interval's beginning, a multiple of the interval.
    pub(super) start: Millis,
    /// The time stamp of the first row, from which intervals are counted.
    first_ms: u64,
    pub(super) rows: Vec<Option<Row>>,
    pub(super) rejected: Vec<(usize, Rejection)>,
    /// The first line that repeats an interval.
    pub(super) repeated_line: Option<u64>,
}

impl Series {
    /// When interval `slot` was stamped, in milliseconds since the Unix epoch, jitter left out.
    pub(super) fn stamp_ms(&self, slot: usize) -> u64 {
        self.first_ms + self.interval.0 * slot as u64
    }

    /// How many intervals have no row.
    pub(super) fn missing(&self) -> usize {
        self.rows.iter().filter(|row| row.is_none()).count()
    }
}

/// Collects rows in the order of the file.
#[derive(Default)]
pub(super) struct Builder {
    rows: Vec<Stamped>,
}

impl Builder {
    /// Takes the next row, stamped `at_ms` milliseconds since the Unix epoch.
    pub(super) fn push(
        &mut self,
        location: LineLocation<'_>,
        at_ms: u64,
        row: Option<Row>,
    ) -> Result<(), RecordingError> {
        if let Some(last) = self.rows.last()
            && at_ms < last.at_ms
        {
            return Err(location.error(
                format!("a time stamp {} before the line above", Millis(last.at_ms - at_ms)),
                "time stamps that do not go back",
            ));
        }
        if self.rows.len() == MAX_INTERVALS {
            return Err(location.error("yet another row", format!("at most {MAX_INTERVALS} rows")));
        }
        self.rows.push(Stamped { line: location.line, at_ms, row });
        Ok(())
    }

    /// Puts the rows on a grid whose interval is the usual spacing of the time stamps.
    pub(super) fn finish(self, end: LineLocation<'_>) -> Result<Series, RecordingError> {
        let too_few = || end.error("the end of the file", "at least two rows with different time stamps");
        let first_ms = self.rows.first().ok_or_else(too_few)?.at_ms;
        let mut gaps: Vec<u64> = self
            .rows
            .windows(2)
            .filter_map(|pair| if let [a, b] = pair { Some(b.at_ms - a.at_ms) } else { None })
            .filter(|gap| *gap > 0)
            .collect();
        gaps.sort_unstable();
        let usual = *gaps.get(gaps.len() / 2).ok_or_else(too_few)?;
        let interval = usual.saturating_add(500) / 1_000 * 1_000;
        if !(INTERVAL_MS.0..=INTERVAL_MS.1).contains(&interval) {
            return Err(end.error(format!("rows {} apart", Millis(usual)), "rows between 1 s and 1 d apart"));
        }
        let mut series = Series {
            interval: Millis(interval),
            start: Millis(first_ms / interval * interval),
            first_ms,
            rows: Vec::with_capacity(self.rows.len()),
            rejected: Vec::new(),
            repeated_line: None,
        };
        let max_repeats = self.rows.len() / ROWS_PER_REPEAT;
        for Stamped { line, at_ms, row } in self.rows {
            // Rounded, not cut: exporters stamp a row a second early or late.
            let slot = usize::try_from((at_ms - first_ms + interval / 2) / interval).unwrap_or(usize::MAX);
            let location = LineLocation { line, ..end };
            if slot >= MAX_INTERVALS {
                return Err(location.error(
                    format!("a time stamp {} after the first", Millis(at_ms - first_ms)),
                    format!("at most {MAX_INTERVALS} intervals of {}", series.interval),
                ));
            }
            if slot < series.rows.len() {
                series.rejected.push((slot, Rejection::Duplicate));
                let first = *series.repeated_line.get_or_insert(line);
                if series.rejected.len() > max_repeats {
                    return Err(LineLocation { line: first, ..end }.error(
                        "a second row for the same interval",
                        format!(
                            "one row an interval of {}, but for one glitch in {ROWS_PER_REPEAT} rows",
                            series.interval
                        ),
                    ));
                }
                continue;
            }
            series.rows.resize(slot, None);
            series.rows.push(row);
        }
        Ok(series)
    }
}
