//! From a path to a recording: finds the reader by the header, splices the incidents, and names the flags. Holds what all
//! readers share; knows no format beyond its header.

use std::path::Path;

use super::{
    RecordedFlag, Recording, RecordingOptions,
    error::{RecordingError, quoted},
    lines::Lines,
    nab, nezha, petshop,
    series::Series,
    splice::{Calm, Incident, MIN_RATIO, Profile},
};
use knightwatch_core::flag::{FlagKey, FlagKind, FlagSpec, Ladder, MAX_TEXT, ServiceName, clean_line};

/// Most requests an interval that may be assumed.
const MAX_ASSUMED: u32 = 1_000_000;

/// Most incidents in one list.
const MAX_INCIDENTS: usize = 500;

/// Longest flag key made of an incident's name; a number may follow.
const LONGEST_NAME: usize = 80;

/// The flag without any incident.
const INNOCENT: &str = "no-incident";

/// Least change of an error rate that a description mentions.
const WORTH_MENTIONING: f64 = 0.005;

/// What a reader makes of its file.
pub(super) struct Raw {
    pub(super) title: String,
    /// Source and licence of the data that first came in this format.
    pub(super) source: &'static str,
    pub(super) service: String,
    pub(super) probabilities: Vec<f64>,
    pub(super) series: Series,
    /// Requests an interval that were assumed, where there are no counts.
    pub(super) assumed_requests: Option<u32>,
    pub(super) notes: Vec<String>,
    pub(super) incidents: Vec<Found>,
}

/// An incident, and where its rows are.
pub(super) struct Found {
    pub(super) incident: Incident,
    /// A series of its own, with its own surroundings; the recording itself where absent.
    pub(super) series: Option<Series>,
}

pub(super) fn load(path: &Path, options: &RecordingOptions) -> Result<Recording, RecordingError> {
    if !(1..=MAX_ASSUMED).contains(&options.requests) {
        let found = format!("{} assumed requests an interval", options.requests);
        return Err(RecordingError::new(path, found, format!("1 to {MAX_ASSUMED}")));
    }
    let raw = read(path, options)?;
    if raw.incidents.len() > MAX_INCIDENTS {
        let found = format!("{} incidents", raw.incidents.len());
        return Err(RecordingError::new(path, found, format!("at most {MAX_INCIDENTS}")));
    }
    let flags = flags(path, &raw)?;
    let notes = notes(&raw, &flags);
    let Raw { title, source, service, probabilities, series, assumed_requests, .. } = raw;
    Ok(Recording {
        title: format!("{title} (semi-real)"),
        origin: format!("{} ({source})", clean_line(&path.to_string_lossy())),
        service,
        interval: series.interval,
        start: series.start,
        probabilities,
        rows: series.rows,
        assumed_requests: assumed_requests.is_some(),
        notes,
        flags,
        rejected: series.rejected,
    })
}

/// Chooses the reader by the first line.
fn read(path: &Path, options: &RecordingOptions) -> Result<Raw, RecordingError> {
    let table = path.join(petshop::FOLDER_TABLE);
    let is_folder = path.is_dir();
    if is_folder && !table.is_file() {
        let expected = format!("a recording, or a petshop folder with {} in it", petshop::FOLDER_TABLE);
        return Err(RecordingError::new(path, "a folder", expected));
    }
    let file = if is_folder { table.as_path() } else { path };
    let mut lines = Lines::open(file)?;
    let Some(header) = lines.next()? else {
        return Err(lines.location().error("an empty file", EXPECTED_HEADER));
    };
    if petshop::is_header(&header) {
        petshop::read(file, lines, &header, options)
    } else if nezha::is_header(&header) {
        nezha::read(file, lines, &header, options)
    } else if nab::is_header(&header) {
        nab::read(file, lines, &header, options)
    } else {
        Err(lines.location().error(format!("the header {}", quoted(&header.join(","))), EXPECTED_HEADER))
    }
}

const EXPECTED_HEADER: &str = "a header of Nezha (TimeStamp, SuccessRate(%), LatencyP50(s) and on), of petshop (microservice, and on), \
     or of NAB (timestamp,value)";

/// A file's name without its ending, harmless.
pub(super) fn stem(path: &Path) -> String {
    clean_line(&path.file_stem().unwrap_or_default().to_string_lossy())
}

/// The innocent flag, and one for each incident.
fn flags(path: &Path, raw: &Raw) -> Result<Vec<RecordedFlag>, RecordingError> {
    let here: Vec<Incident> = raw
        .incidents
        .iter()
        .filter(|found| found.series.is_none())
        .map(|found| found.incident.clone())
        .collect();
    let calm = Calm::measure(&raw.series, &here, raw.probabilities.len());
    let mut flags: Vec<RecordedFlag> = Vec::with_capacity(raw.incidents.len() + 1);
    let mut add = |name: &str, description: &str, profile| {
        let key = key(name, |key| flags.iter().any(|flag| flag.spec.key == *key))
            .map_err(|error| RecordingError::new(path, quoted(name), error.to_string()))?;
        let spec = FlagSpec {
            key,
            service: ServiceName(raw.service.as_str().into()),
            kind: FlagKind::Requests,
            description: description.chars().take(MAX_TEXT).collect(),
            ladder: Ladder::default(),
            deployment: None,
        };
        flags.push(RecordedFlag { spec, profile });
        Ok(())
    };
    add(
        INNOCENT,
        "Semi-real. No incident: both arms follow the recording, each with noise of its own. Must not be rolled back.",
        Profile::new(),
    )?;
    for Found { incident, series } in &raw.incidents {
        let profile = match series {
            Some(own) => calm.profile(own, incident, std::slice::from_ref(incident)),
            None => calm.profile(&raw.series, incident, &here),
        };
        let about = clean_line(&incident.about);
        let description = if profile.is_empty() {
            format!(
                "Semi-real. Without visible effect: {about}, which left {} as it was. Must not be rolled back.",
                raw.service
            )
        } else {
            format!(
                "Semi-real. Carries {about}: {}. Must be rolled back.",
                effect(&profile, &raw.probabilities)
            )
        };
        add(&incident.name, &description, profile)?;
    }
    Ok(flags)
}

/// What a profile does, as a clause.
fn effect(profile: &Profile, probabilities: &[f64]) -> String {
    let mut said = Vec::new();
    let ratios = profile.iter().flat_map(|step| step.ratios.iter().copied().zip(probabilities));
    if let Some((ratio, p)) = ratios.max_by(|a, b| a.0.total_cmp(&b.0))
        && ratio >= MIN_RATIO
    {
        said.push(format!("P{:.0} up to {ratio:.1} times", p * 100.0));
    }
    let errors = profile.iter().map(|step| step.errors).fold(0.0, f64::max);
    if errors >= WORTH_MENTIONING {
        said.push(format!("failures up by {:.1} points", errors * 100.0));
    }
    format!("{} over {} intervals", said.join(", "), profile.len())
}

/// A flag key made of an incident's name, with a number where it is taken.
fn key(name: &str, taken: impl Fn(&FlagKey) -> bool) -> Result<FlagKey, knightwatch_core::flag::KeyError> {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let mut base = words.collect::<Vec<_>>().join("-").to_ascii_lowercase();
    base.truncate(LONGEST_NAME);
    if base.is_empty() {
        "incident".clone_into(&mut base);
    }
    let mut key: FlagKey = base.parse()?;
    let mut number = 2_u32;
    while taken(&key) {
        key = format!("{base}-{number}").parse()?;
        number += 1;
    }
    Ok(key)
}

/// What a person must know, as sentences.
fn notes(raw: &Raw, flags: &[RecordedFlag]) -> Vec<String> {
    let faulty = flags.iter().filter(|flag| !flag.profile.is_empty()).count();
    let mut notes = vec![format!(
        "semi-real: the recording is the control arm; incidents spliced onto the treatment arm: {faulty}; \
         requests with the flag on behave as in the incident"
    )];
    if let Some(requests) = raw.assumed_requests {
        notes.push(format!("request counts assumed: {requests} an interval"));
    }
    let quiet = flags.len() - faulty - 1;
    if quiet > 0 {
        notes.push(format!(
            "listed incidents without visible effect on {}: {quiet}; they must not be rolled back",
            raw.service
        ));
    }
    let missing = raw.series.missing();
    if missing > 0 {
        notes.push(format!(
            "{missing} of {} intervals are missing and give no samples",
            raw.series.rows.len()
        ));
    }
    if let Some(line) = raw.series.repeated_line {
        let rows = raw.series.rejected.len();
        notes.push(format!("{rows} rows repeat an interval and were rejected, the first on line {line}"));
    }
    notes.extend(raw.notes.iter().cloned());
    notes
}
