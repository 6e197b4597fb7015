//! petshop: a shop of some forty services, five-minute rows in a wide table with four header rows, and for each injected
//! issue a short table of its own. Counts, availability and quantiles are all recorded. Knows nothing of splicing.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{
    RecordingOptions,
    error::{RecordingError, quoted},
    lines::{Lines, ascending, error_rate, latency_ms, number, read_json, to_ms, unix_ms},
    load::{Found, Raw, stem},
    series::{Builder, Row, Series},
    splice::Incident,
};
use knightwatch_core::flag::clean_line;

/// The table of normal life in a folder.
pub(super) const FOLDER_TABLE: &str = "noissue/metrics.csv";

/// The folder of issues, beside the table's own.
const ISSUES: &str = "train";

/// The table of an issue, and what is known of it.
const ISSUE_FILES: (&str, &str) = ("metrics.csv", "target.json");

/// The first cell of each of the four header rows.
const HEADERS: [&str; 4] = ["microservice", "metric", "statistic", "unix_timestamp"];

/// The service played where there is no issue to name one: the shop's front end.
const FRONT_END: &str = "PetSite";

/// Most issues in one folder.
const MAX_ISSUES: usize = 100;

/// Most requests believed in one interval.
const MAX_REQUESTS: f64 = 1e9;

/// How many intervals after the time in `target.json` an issue's effect is looked for.
const INTERVALS_AFTER: u64 = 2;

/// What is known of an issue.
#[derive(Deserialize)]
struct Issue {
    target: Target,
    root_cause: Cause,
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Target {
    node: String,
    metric: String,
    timestamp: f64,
}

#[derive(Deserialize)]
struct Cause {
    node: String,
}

#[derive(Deserialize)]
struct Metadata {
    reproducibility: Option<Reproducibility>,
}

#[derive(Deserialize)]
struct Reproducibility {
    command: String,
}

/// Where a service's numbers stand in a row.
struct Columns {
    requests: usize,
    availability: usize,
    /// Ascending by probability.
    latencies: Vec<(f64, usize)>,
}

pub(super) fn is_header(cells: &[String]) -> bool {
    cells.first().is_some_and(|cell| cell == HEADERS[0])
}

pub(super) fn read(
    path: &Path,
    lines: Lines<'_>,
    header: &[String],
    options: &RecordingOptions,
) -> Result<Raw, RecordingError> {
    let folders = if options.issues.is_empty() { issues_beside(path)? } else { options.issues.clone() };
    let mut issues = Vec::new();
    for folder in folders {
        let list = folder.join(ISSUE_FILES.1);
        let issue: Issue = read_json(
            &list,
            "an issue with target.node, target.metric, target.timestamp and root_cause.node",
        )?;
        issues.push((folder, issue));
    }
    let service = options
        .service
        .clone()
        .or_else(|| issues.first().map(|(_, issue)| issue.target.node.clone()))
        .unwrap_or_else(|| FRONT_END.to_owned());
    let (series, probabilities) = table(lines, header, &service)?;
    let mut incidents = Vec::new();
    for (folder, issue) in &issues {
        incidents.push(found(folder, issue, &service, &probabilities)?);
    }
    let notes = if incidents.is_empty() {
        vec!["no issues beside the recording: no incidents".to_owned()]
    } else {
        vec![]
    };
    Ok(Raw {
        title: format!("petshop {}", path.parent().and_then(Path::parent).map_or_else(|| stem(path), stem)),
        source: "format of amazon-science/petshop-root-cause-analysis, data CC-BY-4.0",
        service: clean_line(&service),
        probabilities,
        series,
        assumed_requests: None,
        notes,
        incidents,
    })
}

/// The folders of issues in `train`, beside the folder of the table, by name.
fn issues_beside(path: &Path) -> Result<Vec<PathBuf>, RecordingError> {
    let Some(folder) = path.parent().and_then(Path::parent).map(|root| root.join(ISSUES)) else {
        return Ok(Vec::new());
    };
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let refuse = |error: std::io::Error| {
        RecordingError::new(&folder, error.to_string(), "a readable folder of issues")
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(refuse)? {
        let path = entry.map_err(refuse)?.path();
        if path.join(ISSUE_FILES.1).is_file() {
            found.push(path);
        }
        if found.len() > MAX_ISSUES {
            let expected = format!("at most {MAX_ISSUES}");
            return Err(RecordingError::new(&folder, "more issues", expected));
        }
    }
    found.sort();
    Ok(found)
}

/// One issue, with the few rows that were recorded of it.
fn found(
    folder: &Path,
    issue: &Issue,
    service: &str,
    probabilities: &[f64],
) -> Result<Found, RecordingError> {
    let file = folder.join(ISSUE_FILES.0);
    let mut lines = Lines::open(&file)?;
    let header = match lines.next()? {
        Some(header) if is_header(&header) => header,
        _ => return Err(lines.location().error("another header", format!("a header row of {}", HEADERS[0]))),
    };
    let (series, own) = table(lines, &header, service)?;
    if own != probabilities {
        return Err(RecordingError::new(&file, "other latency columns", "those of the recording itself"));
    }
    let at_ms = to_ms(issue.target.timestamp);
    let cause = issue.root_cause.node.split('_').next().unwrap_or_default();
    let command = issue.metadata.as_ref().and_then(|known| known.reproducibility.as_ref());
    let done = command.map_or_else(String::new, |known| format!(" by `{}`", clean_line(&known.command)));
    Ok(Found {
        incident: Incident {
            name: format!("{cause}-{}-{}", issue.target.metric, stem(folder)),
            about: format!(
                "an injected issue in {cause} on the {} of {}{done}",
                issue.target.metric, issue.target.node
            ),
            // Rows are stamped with their beginning: the one before the given time holds it.
            after_ms: at_ms.saturating_sub(series.interval.0),
            until_ms: at_ms + INTERVALS_AFTER * series.interval.0,
        },
        series: Some(series),
    })
}

/// The rows of one service in a table whose first header row has been read.
fn table(
    mut lines: Lines<'_>,
    services: &[String],
    service: &str,
) -> Result<(Series, Vec<f64>), RecordingError> {
    let mut header = |expected: &str| {
        let cells = lines.next_of(services.len())?;
        match cells {
            Some(cells) if cells.first().is_some_and(|cell| cell == expected) => Ok(cells),
            Some(cells) => {
                let found = quoted(cells.first().map_or("", String::as_str));
                Err(lines.location().error(found, format!("a header row of {expected}")))
            }
            None => Err(lines.location().error("the end of the file", format!("a header row of {expected}"))),
        }
    };
    let (metrics, statistics) = (header(HEADERS[1])?, header(HEADERS[2])?);
    header(HEADERS[3])?;
    let location = lines.location();
    let columns = columns(services, &metrics, &statistics, service).map_err(|missing| {
        location.error(
            format!("no column for {missing} of {}", quoted(service)),
            "a service with requests, availability and latency",
        )
    })?;
    let probabilities: Vec<f64> = columns.latencies.iter().map(|(p, _)| *p).collect();
    let mut builder = Builder::default();
    while let Some(cells) = lines.next_of(services.len())? {
        let location = lines.location();
        let time = cells.first().map_or("", String::as_str);
        let row = columns.row(&lines, &cells, &probabilities)?;
        builder.push(location, unix_ms(location, time)?, row)?;
    }
    Ok((builder.finish(lines.location())?, probabilities))
}

/// The columns of `service`, or the name of what it lacks.
fn columns(
    services: &[String],
    metrics: &[String],
    statistics: &[String],
    service: &str,
) -> Result<Columns, &'static str> {
    let mine = || {
        let all = services.iter().zip(metrics).zip(statistics).enumerate().skip(1);
        all.filter(|(_, ((name, _), _))| *name == service)
            .map(|(at, ((_, metric), statistic))| (at, metric, statistic))
    };
    let one = |metric: &str, statistic: &str| {
        mine().find(|(_, m, s)| *m == metric && *s == statistic).map(|(at, _, _)| at)
    };
    let mut latencies: Vec<(f64, usize)> = mine()
        .filter(|(_, metric, _)| *metric == "latency")
        .filter_map(|(at, _, s)| Some((percentile(s)?, at)))
        .collect();
    latencies.sort_by(|a, b| a.0.total_cmp(&b.0));
    if latencies.is_empty() {
        return Err("latency quantiles");
    }
    Ok(Columns {
        requests: one("requests", "Sum").ok_or("requests")?,
        availability: one("availability", "Average").ok_or("availability")?,
        latencies,
    })
}

/// The probability of a statistic such as `p99`.
fn percentile(statistic: &str) -> Option<f64> {
    let percent: u8 = statistic.strip_prefix('p')?.parse().ok()?;
    (1..=99).contains(&percent).then(|| f64::from(percent) / 100.0)
}

impl Columns {
    /// The service's row; `None` where it has no counts, or counts without an availability: that is missing, not zero.
    fn row(
        &self,
        lines: &Lines<'_>,
        cells: &[String],
        probabilities: &[f64],
    ) -> Result<Option<Row>, RecordingError> {
        let location = lines.location();
        let cell = |at: usize| cells.get(at).map_or("", |cell| cell.trim());
        let quantile = |at: usize| latency_ms(location, cell(at), "a latency in seconds", 1_000.0);
        let measured = self.latencies.iter().filter(|(_, at)| !cell(*at).is_empty()).count();
        let quantiles_ms = match measured {
            0 => Vec::new(),
            n if n == self.latencies.len() => {
                self.latencies.iter().map(|(_, at)| quantile(*at)).collect::<Result<Vec<_>, _>>()?
            }
            n => {
                let found = format!("{n} of {} latency quantiles", self.latencies.len());
                return Err(location.error(found, "all of them or none"));
            }
        };
        ascending(location, probabilities, &quantiles_ms)?;
        let availability = match cell(self.availability) {
            "" => None,
            text => Some(error_rate(location, text, "an availability in %")?),
        };
        if cell(self.requests).is_empty() {
            return Ok(None);
        }
        let requests = number(location, cell(self.requests), "a count of requests", 0.0, MAX_REQUESTS)?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0 to a billion")]
        let requests = libm::round(requests) as u32;
        Ok(match availability {
            None if requests > 0 => None,
            availability => Some(Row { requests, error_rate: availability.unwrap_or(0.0), quantiles_ms }),
        })
    }
}
