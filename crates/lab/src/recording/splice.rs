//! What an incident did: its rows relative to their calm surroundings, if it did anything at all.
//!
//! The range that 99 % of the calm rows keep to is measured on the recording itself, so the same rule fits every
//! recording and nothing is tuned to one. Knows no format and draws no samples.

use super::series::{Row, Series};

/// Calm rows on either side that an interval is compared with.
const SURROUNDINGS: usize = 15;

/// The share of calm rows within which an interval is ordinary.
const ORDINARY: f64 = 0.99;

/// Least ratio of a latency to its surroundings that is worth calling an effect: 10 % more.
pub(super) const MIN_RATIO: f64 = 1.1;

/// Least rise of the error rate that is worth calling an effect: a percentage point.
const MIN_ERRORS: f64 = 0.01;

/// Least successive rows outside the ordinary: a single one is noise as often as not.
const MIN_ROWS: usize = 2;

/// Most calm rows measured; longer recordings are measured at even distances.
const MAX_MEASURED: usize = 5_000;

/// Latencies are compared as logarithms; below a microsecond they count as one.
const MIN_MS: f64 = 1e-3;

/// A span of time in which something happened, with what people call it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Incident {
    /// A name for the flag that carries it, unchecked.
    pub(super) name: String,
    /// What happened, as a clause for people.
    pub(super) about: String,
    /// Rows stamped after this are in it, in milliseconds since the Unix epoch.
    pub(super) after_ms: u64,
    /// Rows stamped up to this are in it.
    pub(super) until_ms: u64,
}

impl Incident {
    fn covers(&self, stamp_ms: u64) -> bool {
        (self.after_ms + 1..=self.until_ms).contains(&stamp_ms)
    }
}

/// One interval of an incident, relative to its surroundings.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Step {
    /// By what each quantile was multiplied; empty where latencies were not measured.
    pub(super) ratios: Vec<f64>,
    /// What was added to the error rate, 0 to 1.
    pub(super) errors: f64,
}

impl Step {
    /// The row of a request with the flag on, where `row` is that of one with it off.
    pub(super) fn applied(&self, row: &Row) -> Row {
        let mut highest = 0.0_f64;
        let scaled = row.quantiles_ms.iter().zip(self.ratios.iter().chain(std::iter::repeat(&1.0)));
        let quantiles_ms = scaled
            .map(|(value, ratio)| {
                // Ratios differ by quantile; their product must not descend.
                highest = highest.max(value * ratio);
                highest
            })
            .collect();
        Row { requests: row.requests, error_rate: (row.error_rate + self.errors).min(1.0), quantiles_ms }
    }
}

/// The intervals of an incident in their order; empty where it had no visible effect.
pub(super) type Profile = Vec<Step>;

/// What rows around an interval usually look like.
struct TypicalRows {
    log_quantiles: Vec<f64>,
    error_rate: f64,
}

/// How far calm rows stray from their surroundings.
#[derive(Debug)]
pub(super) struct Calm {
    /// The logarithm of the ratio that is out of the ordinary, for each quantile.
    log_ratios: Vec<f64>,
    /// The rise of the error rate that is out of the ordinary.
    errors: f64,
}

impl Calm {
    /// Measures the rows of `series` outside all `incidents`.
    pub(super) fn measure(series: &Series, incidents: &[Incident], quantiles: usize) -> Self {
        let calm = calm_rows(series, incidents);
        let mut log_ratios = vec![Vec::new(); quantiles];
        let mut errors = Vec::new();
        for position in (0..calm.len()).step_by(calm.len().div_ceil(MAX_MEASURED).max(1)) {
            let around = position.saturating_sub(SURROUNDINGS)..(position + SURROUNDINGS + 1).min(calm.len());
            let (Some(usual), Some((_, row))) =
                (usual(calm.get(around).unwrap_or(&[]).iter().map(|(_, row)| *row)), calm.get(position))
            else {
                continue;
            };
            errors.push(row.error_rate - usual.error_rate);
            for ((value, usual), all) in
                row.quantiles_ms.iter().zip(&usual.log_quantiles).zip(&mut log_ratios)
            {
                all.push(log(*value) - usual);
            }
        }
        let least = libm::log(MIN_RATIO);
        Self {
            log_ratios: log_ratios
                .iter_mut()
                .map(|all| quantile(all, ORDINARY).unwrap_or(least).max(least))
                .collect(),
            errors: quantile(&mut errors, ORDINARY).unwrap_or(MIN_ERRORS).max(MIN_ERRORS),
        }
    }

    /// What `incident` did in `series`: its longest run of successive rows out of the ordinary. `others` are the
    /// incidents whose rows are no calm surroundings.
    pub(super) fn profile(&self, series: &Series, incident: &Incident, others: &[Incident]) -> Profile {
        let calm = calm_rows(series, others);
        let before = calm.iter().rev().filter(|(stamp, _)| *stamp <= incident.after_ms).take(SURROUNDINGS);
        let after = calm.iter().filter(|(stamp, _)| *stamp > incident.until_ms).take(SURROUNDINGS);
        let Some(usual) = usual(before.chain(after).map(|(_, row)| *row)) else { return Profile::new() };
        let (mut longest, mut run) = (Profile::new(), Profile::new());
        for (slot, row) in series.rows.iter().enumerate() {
            if !incident.covers(series.stamp_ms(slot)) {
                continue;
            }
            match row.as_ref().and_then(|row| self.step(row, &usual)) {
                Some(step) => run.push(step),
                None => run.clear(),
            }
            if run.len() > longest.len() {
                longest.clone_from(&run);
            }
        }
        if longest.len() < MIN_ROWS {
            longest.clear();
        }
        longest
    }

    /// `row` relative to `usual`, where it is out of the ordinary.
    fn step(&self, row: &Row, usual: &TypicalRows) -> Option<Step> {
        let logs: Vec<f64> = row
            .quantiles_ms
            .iter()
            .zip(&usual.log_quantiles)
            .map(|(value, usual)| log(*value) - usual)
            .collect();
        let errors = row.error_rate - usual.error_rate;
        let slow = logs.iter().zip(&self.log_ratios).any(|(found, ordinary)| found > ordinary);
        (slow || errors > self.errors)
            .then(|| Step { ratios: logs.into_iter().map(libm::exp).collect(), errors: errors.max(0.0) })
    }
}

/// The rows outside all incidents, with their time stamps.
fn calm_rows<'a>(series: &'a Series, incidents: &[Incident]) -> Vec<(u64, &'a Row)> {
    let stamped = series.rows.iter().enumerate().map(|(slot, row)| (series.stamp_ms(slot), row));
    stamped
        .filter(|(stamp, _)| !incidents.iter().any(|incident| incident.covers(*stamp)))
        .filter_map(|(stamp, row)| row.as_ref().map(|row| (stamp, row)))
        .collect()
}

/// The medians of rows; `None` without rows.
fn usual<'a>(rows: impl Iterator<Item = &'a Row>) -> Option<TypicalRows> {
    let mut errors = Vec::new();
    let mut logs: Vec<Vec<f64>> = Vec::new();
    for row in rows {
        errors.push(row.error_rate);
        logs.resize_with(logs.len().max(row.quantiles_ms.len()), Vec::new);
        for (value, all) in row.quantiles_ms.iter().zip(&mut logs) {
            all.push(log(*value));
        }
    }
    Some(TypicalRows {
        error_rate: quantile(&mut errors, 0.5)?,
        log_quantiles: logs.iter_mut().filter_map(|all| quantile(all, 0.5)).collect(),
    })
}

fn log(latency_ms: f64) -> f64 {
    libm::log(latency_ms.max(MIN_MS))
}

/// The value with a share `p` of `values` below it; `None` without values.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share of a length"
)]
fn quantile(values: &mut [f64], p: f64) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    values.get(((values.len() as f64 * p) as usize).min(values.len().saturating_sub(1))).copied()
}
