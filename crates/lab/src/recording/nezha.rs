//! Nezha: the front end of a microservice shop, a row a minute, with a list of injected faults beside it. The rows have
//! success rates and quantiles in seconds but no request counts. Knows nothing of splicing.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use super::{
    RecordingOptions,
    error::{LineLocation, RecordingError, quoted},
    lines::{Lines, ascending, error_rate, latency_ms, read_json, unix_ms},
    load::{Found, Raw, stem},
    series::{Builder, Row, Series},
    splice::Incident,
};
use knightwatch_core::{flag::clean_line, telemetry::Millis};

const TIME: &str = "TimeStamp";
const SERVICE: &str = "ServiceName";
const SUCCESS: &str = "SuccessRate(%)";

/// What the fault list says of a fault is when it began, not when it ended: this many rows after that are looked at.
const ROWS_AFTER_INJECTION: u64 = 5;

/// A fault as listed.
#[derive(Deserialize)]
struct Fault {
    #[serde(rename = "inject_timestamp")]
    seconds: String,
    #[serde(rename = "inject_pod")]
    pod: String,
    #[serde(rename = "inject_type")]
    kind: String,
}

/// The probability of a column such as `LatencyP99(s)`.
fn latency_column(name: &str) -> Option<f64> {
    let percent: u8 = name.strip_prefix("LatencyP")?.strip_suffix("(s)")?.parse().ok()?;
    (1..=99).contains(&percent).then(|| f64::from(percent) / 100.0)
}

pub(super) fn is_header(cells: &[String]) -> bool {
    let has = |name: &str| cells.iter().any(|cell| cell == name);
    has(TIME) && has(SUCCESS) && cells.iter().any(|cell| latency_column(cell).is_some())
}

pub(super) fn read(
    path: &Path,
    mut lines: Lines<'_>,
    header: &[String],
    options: &RecordingOptions,
) -> Result<Raw, RecordingError> {
    let column = |name: &str| header.iter().position(|cell| cell == name);
    let missing = |name| lines.location().error("a header without it", format!("a column {name}"));
    let time = column(TIME).ok_or_else(|| missing(TIME))?;
    let success = column(SUCCESS).ok_or_else(|| missing(SUCCESS))?;
    let named = column(SERVICE);
    let mut latencies: Vec<(f64, usize)> =
        header.iter().enumerate().filter_map(|(at, name)| latency_column(name).map(|p| (p, at))).collect();
    latencies.sort_by(|a, b| a.0.total_cmp(&b.0));
    let probabilities: Vec<f64> = latencies.iter().map(|(p, _)| *p).collect();

    let mut builder = Builder::default();
    let mut service: Option<String> = None;
    while let Some(cells) = lines.next_of(header.len())? {
        let location = lines.location();
        let cell = |at: usize| cells.get(at).map_or("", String::as_str);
        if let Some(at) = named {
            same_service(location, &mut service, cell(at))?;
        }
        let mut quantiles_ms = Vec::with_capacity(latencies.len());
        for (_, at) in &latencies {
            quantiles_ms.push(latency_ms(location, cell(*at), "a latency in seconds", 1_000.0)?);
        }
        ascending(location, &probabilities, &quantiles_ms)?;
        let error_rate = error_rate(location, cell(success), "a success rate in %")?;
        let row = Row { requests: options.requests, error_rate, quantiles_ms };
        builder.push(location, unix_ms(location, cell(time))?, Some(row))?;
    }
    let series = builder.finish(lines.location())?;
    let mut notes = Vec::new();
    let incidents = if let Some(list) = options.incidents.clone().or_else(|| list_beside(path)) {
        faults(&list, &series, &mut notes)?
    } else {
        notes.push("no fault list beside the recording: no incidents".to_owned());
        Vec::new()
    };
    Ok(Raw {
        title: format!("Nezha {}", stem(path)),
        source: "format of IntelligentDDS/Nezha, MIT",
        service: service.unwrap_or_else(|| stem(path)),
        probabilities,
        series,
        assumed_requests: Some(options.requests),
        notes,
        incidents,
    })
}

/// One file, one service: rows of two would be played as one.
fn same_service(
    location: LineLocation<'_>,
    known: &mut Option<String>,
    found: &str,
) -> Result<(), RecordingError> {
    let found = clean_line(found);
    match known {
        Some(known) if *known != found => Err(location
            .error(format!("a row of {}", quoted(&found)), format!("rows of {} alone", quoted(known)))),
        Some(_) => Ok(()),
        None if found.is_empty() => Err(location.error("an empty cell", "the name of a service")),
        None => {
            *known = Some(found);
            Ok(())
        }
    }
}

/// `2022-08-22-fault_list.json` beside `2022-08-22-front_service.csv`.
fn list_beside(path: &Path) -> Option<PathBuf> {
    let stem = path.file_stem()?.to_str()?;
    let (prefix, _) = stem.rsplit_once('-')?;
    let list = path.with_file_name(format!("{prefix}-fault_list.json"));
    list.is_file().then_some(list)
}

/// The listed faults, by time; those outside the recording are left out and noted.
fn faults(list: &Path, series: &Series, notes: &mut Vec<String>) -> Result<Vec<Found>, RecordingError> {
    let by_hour: BTreeMap<String, Vec<Fault>> =
        read_json(list, "a list of faults by hour, each with inject_timestamp, inject_pod and inject_type")?;
    let mut found = Vec::new();
    let mut outside = 0;
    let recorded = series.stamp_ms(0)..series.stamp_ms(series.rows.len());
    for fault in by_hour.into_values().flatten() {
        let at = fault.seconds.trim().parse::<u32>().map_err(|_| {
            RecordingError::new(
                list,
                format!("inject_timestamp {}", quoted(&fault.seconds)),
                "whole seconds since 1970",
            )
        })?;
        let after_ms = u64::from(at) * 1_000;
        if !recorded.contains(&after_ms) {
            outside += 1;
            continue;
        }
        let (service, kind) = (service_of(&fault.pod), fault.kind);
        found.push(Found {
            incident: Incident {
                name: format!("{service}-{kind}"),
                about: format!("{} of {service}, injected {}", kind.replace('_', " "), utc(after_ms)),
                after_ms,
                until_ms: after_ms + ROWS_AFTER_INJECTION * series.interval.0,
            },
            series: None,
        });
    }
    found.sort_by_key(|found| found.incident.after_ms);
    if outside > 0 {
        notes.push(format!("{outside} listed faults lie outside the recording"));
    }
    Ok(found)
}

/// The service of a pod: its name without the two hashes that the scheduler adds.
fn service_of(pod: &str) -> &str {
    pod.rsplitn(3, '-').nth(2).unwrap_or(pod)
}

/// A moment as people write it.
fn utc(at_ms: u64) -> String {
    let second = i64::try_from(Millis(at_ms).0 / 1_000).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(second).map_or_else(|_| format!("{second} s"), |at| at.to_string())
}
