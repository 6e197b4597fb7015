//! NAB: one average every few minutes, with labelled windows of known failures beside it. There are neither counts nor
//! quantiles nor error rates, so all three are assumed and said to be. Knows nothing of splicing.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use super::{
    RecordingOptions,
    error::{LineLocation, RecordingError, quoted},
    lines::{Lines, latency_ms, read_json},
    load::{Found, Raw, stem},
    series::{Builder, Row, Series},
    shape::{ASSUMED_PROBABILITIES, ASSUMED_SIGMA, spread_average},
    splice::Incident,
};

const HEADER: [&str; 2] = ["timestamp", "value"];

/// The list of windows, where none is named.
const LIST: &str = "combined_windows.json";

const MOMENT: &str = "a moment in UTC such as 2014-03-07 03:41:00";

/// Labelled windows of each file, by its path in the source's own tree.
type Windows = BTreeMap<String, Vec<(String, String)>>;

pub(super) fn is_header(cells: &[String]) -> bool {
    cells == HEADER
}

pub(super) fn read(
    path: &Path,
    mut lines: Lines<'_>,
    header: &[String],
    options: &RecordingOptions,
) -> Result<Raw, RecordingError> {
    let mut builder = Builder::default();
    while let Some(cells) = lines.next_of(header.len())? {
        let location = lines.location();
        let [time, value] = cells.as_slice() else { continue };
        let quantiles_ms =
            spread_average(latency_ms(location, value, "an average latency in milliseconds", 1.0)?);
        let row = Row { requests: options.requests, error_rate: 0.0, quantiles_ms };
        builder.push(location, moment_ms(location, time)?, Some(row))?;
    }
    let series = builder.finish(lines.location())?;
    let mut notes = vec![
        format!(
            "values are read as average latency in ms; its spread is assumed log-normal with sigma {ASSUMED_SIGMA}"
        ),
        "no error rate was recorded: every request counts as successful".to_owned(),
    ];
    let incidents = incidents(path, options, &series, &mut notes)?;
    Ok(Raw {
        title: format!("NAB {}", stem(path)),
        source: "format of numenta/NAB, MIT",
        service: stem(path),
        probabilities: ASSUMED_PROBABILITIES.to_vec(),
        series,
        assumed_requests: Some(options.requests),
        notes,
        incidents,
    })
}

fn parse_ms(text: &str) -> Option<u64> {
    let civil: jiff::civil::DateTime = text.trim().parse().ok()?;
    let at = jiff::tz::TimeZone::UTC.to_timestamp(civil).ok()?;
    u64::try_from(at.as_millisecond()).ok()
}

fn moment_ms(location: LineLocation<'_>, cell: &str) -> Result<u64, RecordingError> {
    parse_ms(cell).ok_or_else(|| location.error(quoted(cell), MOMENT))
}

/// A moment without the fraction of a second that labels carry.
fn whole_seconds(moment: &str) -> &str {
    moment.split('.').next().unwrap_or(moment)
}

/// The labelled windows of this file.
fn incidents(
    path: &Path,
    options: &RecordingOptions,
    series: &Series,
    notes: &mut Vec<String>,
) -> Result<Vec<Found>, RecordingError> {
    let beside: PathBuf = path.with_file_name(LIST);
    let Some(list) = options.incidents.clone().or_else(|| beside.is_file().then_some(beside)) else {
        notes.push("no list of windows beside the recording: no incidents".to_owned());
        return Ok(Vec::new());
    };
    let all: Windows = read_json(&list, "labelled windows by file, each from and to")?;
    let Some(windows) = all.into_iter().find(|(file, _)| Path::new(file).file_name() == path.file_name())
    else {
        notes.push("the list of windows does not name the recording: no incidents".to_owned());
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for (from, to) in windows.1 {
        let moment = |text: &str| {
            parse_ms(text)
                .ok_or_else(|| RecordingError::new(&list, format!("the window {}", quoted(text)), MOMENT))
        };
        let (from_ms, until_ms) = (moment(&from)?, moment(&to)?);
        if until_ms < from_ms {
            let found = format!("a window to {} from {}", quoted(&to), quoted(&from));
            return Err(RecordingError::new(&list, found, "windows that end after they begin"));
        }
        let day = from.split(['T', ' ']).next().unwrap_or_default();
        found.push(Found {
            incident: Incident {
                name: format!("failure-{day}"),
                about: format!("the failure labelled {} to {}", whole_seconds(&from), whole_seconds(&to)),
                // The window's first row belongs to it.
                after_ms: from_ms.saturating_sub(series.interval.0 / 2),
                until_ms,
            },
            series: None,
        });
    }
    Ok(found)
}
