//! From TOML to a scenario: the names of all keys, their ranges and their defaults.
//!
//! `config/scenarios/README.md` lists the same keys for people; a test fails where the two differ. Flags have a file of
//! their own. Nothing here runs anything.

mod flag;

use std::sync::Arc;

use garde::Validate;
use serde::Deserialize;
use toml::value::Datetime;

use super::{
    problem::ScenarioError,
    reader::{
        Field, Keys, Problems, Section, TimeSpan, list, nearest, number, parse_table, percent, required,
        shorten, span, text,
    },
    scenario::{Bursts, Effect, FlagModel, LatencyModel, Outage, Scenario, ScheduledStart, ServiceModel},
    service::ln_factor,
};
use knightwatch_core::{
    flag::{FlagId, FlagKey, ServiceName, clean, clean_line},
    telemetry::Millis,
};

/// Largest scenario file, in bytes. The largest shipped one is about 12 kB.
pub const MAX_SCENARIO_BYTES: usize = 1 << 20;
/// Longest time in a scenario.
const WEEK: Millis = Millis::from_secs(7 * 86_400);

type P<'p, 't> = &'p mut Problems<'t>;

impl Scenario {
    /// Reads a scenario from TOML. `file` is what errors call the text.
    ///
    /// # Errors
    /// When the text is larger than [`MAX_SCENARIO_BYTES`], is not TOML, or says something that makes no sense: all
    /// problems at once, each with line, column, what was found and what was expected.
    pub fn parse(text: &str, file: &str) -> Result<Self, ScenarioError> {
        let mut problems = Problems::new(text);
        let scenario = read(text, &mut problems);
        match (problems.into_error(file), scenario) {
            (None, Some(scenario)) => Ok(scenario),
            (error, _) => {
                Err(error.unwrap_or_else(|| ScenarioError { file: file.to_owned(), problems: Vec::new() }))
            }
        }
    }
}

/// Reads a scenario and notes what is wrong; `None` only when there is a problem.
pub(super) fn read(text: &str, problems: &mut Problems<'_>) -> Option<Scenario> {
    if text.len() > MAX_SCENARIO_BYTES {
        problems.add(
            0,
            format!("found {} bytes, expected a scenario of at most {MAX_SCENARIO_BYTES}", text.len()),
        );
        return None;
    }
    let table = parse_table(text, problems)?;
    let root = Section::root("scenario", table.get_ref()).named("name");
    let keys: ScenarioKeys = root.read(problems);
    let name = name(problems, &root, "name", &keys.name);

    let mut services: Vec<ServiceModel> = Vec::new();
    for section in root.tables(problems, "service", None) {
        let service = service(problems, &section.named("name"), &services);
        services.push(service);
    }
    let mut flags = Flags::default();
    for section in root.tables(problems, "flag", None) {
        flag::flag(problems, &section.named("key"), &services, &mut flags);
    }
    for section in root.tables(problems, "interaction", None) {
        interaction(problems, &section, &mut flags.models);
    }
    let mut outages = Vec::new();
    for section in root.tables(problems, "outage", None) {
        outages.push(outage(problems, &section, &services));
    }
    if services.is_empty() {
        root.complain(problems, "there is no [[service]]; a scenario has at least one");
    }
    let duration = keys.duration.millis();
    if let Some(duration) = duration
        && !flags.scheduled_starts.is_empty()
        && flags.scheduled_starts.iter().all(|scheduled| scheduled.at >= duration)
    {
        let first = flags.scheduled_starts.iter().map(|scheduled| scheduled.at).min().unwrap_or_default();
        root.complain(
            problems,
            &format!("no flag is started before the scenario ends: found duration {duration}, the first start at {first}"),
        );
    }
    let mut scenario = Scenario {
        name: name?,
        title: keys.title.valid().map(|text| clean_line(text)).unwrap_or_default(),
        story: keys.story.valid().map(|text| story(text)).unwrap_or_default(),
        start: keys.start.or(Start::DEFAULT).0,
        duration: duration?,
        interval: keys.interval.millis().unwrap_or(Millis::from_secs(10)),
        cost_per_bad_request: keys.cost_per_bad_request.or(0.0),
        services,
        flags: flags.models,
        outages,
        scheduled_starts: Vec::new(),
    };
    scenario.set_scheduled_starts(flags.scheduled_starts);
    Some(scenario)
}

/// Flags as they are read.
#[derive(Default)]
struct Flags {
    models: Vec<FlagModel>,
    scheduled_starts: Vec<ScheduledStart>,
}

impl Flags {
    fn by_key(&self, key: &str) -> Option<&FlagModel> {
        self.models.iter().find(|flag| flag.spec.key.as_str() == key)
    }
}

/// Keeps a story's lines, makes each of them harmless.
fn story(text: &str) -> String {
    let lines: Vec<_> = text.trim().lines().map(|line| clean(line).trim_end().to_owned()).collect();
    lines.join("\n")
}

/// A name, of the same characters as a flag key.
fn name(problems: P<'_, '_>, section: &Section<'_, '_>, key: &str, field: &Field<String>) -> Option<String> {
    let text = field.valid()?;
    match text.parse::<FlagKey>() {
        Ok(_) => Some(text.clone()),
        Err(error) => {
            problems.add(section.place(key), format!("{key}: found {:?}: {error}", shorten(text)));
            None
        }
    }
}

/// The keys of the file itself.
#[derive(Default, Deserialize, Validate)]
#[serde(default)]
struct ScenarioKeys {
    #[garde(custom(required), custom(text))]
    name: Field<String>,
    #[garde(custom(text))]
    title: Field<String>,
    #[garde(custom(text))]
    story: Field<String>,
    #[garde(custom(moment))]
    start: Field<Start>,
    #[garde(custom(required), custom(span(Millis::from_secs(60)..=WEEK)))]
    duration: Field<TimeSpan>,
    #[garde(custom(span(Millis::from_secs(1)..=Millis::from_secs(600))))]
    interval: Field<TimeSpan>,
    #[garde(custom(number(0.0..=1e9, " dollars")))]
    cost_per_bad_request: Field<f64>,
}

impl Keys for ScenarioKeys {
    const KIND: &'static str = "scenario";
    const TABLES: &'static [&'static str] = &["flag", "interaction", "outage", "service"];
}

/// When a scenario begins.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "Datetime")]
struct Start(Millis);

impl Start {
    /// A Monday morning: 2026-03-02T09:00:00Z.
    const DEFAULT: Self = Self(Millis(1_772_442_000_000));
}

impl TryFrom<Datetime> for Start {
    type Error = &'static str;

    fn try_from(datetime: Datetime) -> Result<Self, &'static str> {
        let moment = datetime.to_string().parse::<jiff::Timestamp>().map_err(|_| "no moment in time")?;
        u64::try_from(moment.as_millisecond()).map(|ms| Self(Millis(ms))).map_err(|_| "before 1970")
    }
}

/// Checks a moment in time.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that garde calls")]
fn moment(field: &Field<Start>, (): &()) -> garde::Result {
    let expected = || "a date and time with an offset, since 1970, such as 2026-03-02T09:00:00Z".to_owned();
    field.check(|_| true, expected)
}

/// The keys of a service.
#[derive(Default, Deserialize, Validate)]
#[serde(default)]
struct ServiceKeys {
    #[garde(custom(required), custom(text))]
    name: Field<String>,
    #[garde(custom(required), custom(number(0.0..=1e6, " requests a second")))]
    requests_per_second: Field<f64>,
    #[garde(custom(number(0.0..=2.0, "")))]
    traffic_sd: Field<f64>,
    #[garde(custom(number(0.0..=0.999, "")))]
    traffic_memory: Field<f64>,
    #[garde(custom(percent(100.0)))]
    daily_swing_percent: Field<f64>,
    #[garde(custom(number(0.0..=24.0, " hours, UTC")))]
    daily_peak_hour: Field<f64>,
    #[garde(custom(number(1.0..=10_000.0, " ms")))]
    p50_ms: Field<f64>,
    #[garde(custom(number(0.1..=2.0, "")))]
    sigma: Field<f64>,
    #[garde(custom(percent(20.0)))]
    tail_percent: Field<f64>,
    #[garde(custom(number(1.1..=10.0, "")))]
    tail_alpha: Field<f64>,
    #[garde(custom(percent(100.0)))]
    cache_hit_percent: Field<f64>,
    #[garde(custom(number(1.0..=100.0, "")))]
    cache_speedup: Field<f64>,
    #[garde(custom(number(0.0..=1.0, "")))]
    noise_sd: Field<f64>,
    #[garde(custom(number(0.0..=0.999, "")))]
    noise_memory: Field<f64>,
    #[garde(custom(percent(100.0)))]
    errors_percent: Field<f64>,
    #[garde(custom(percent(95.0)))]
    utilisation_percent: Field<f64>,
    #[garde(custom(number(0.0..=100.0, "")))]
    variability: Field<f64>,
}

impl Keys for ServiceKeys {
    const KIND: &'static str = "service";
    const TABLES: &'static [&'static str] = &["bursts"];
}

fn service(p: P<'_, '_>, section: &Section<'_, '_>, others: &[ServiceModel]) -> ServiceModel {
    let keys: ServiceKeys = section.read(p);
    let name = name(p, section, "name", &keys.name);
    if let Some(name) = name.as_deref().filter(|name| others.iter().any(|other| other.name.as_str() == *name))
    {
        section.complain(p, &format!("the name {name:?} is used twice"));
    }
    let defaults = LatencyModel::default();
    ServiceModel {
        name: ServiceName(Arc::from(name.as_deref().unwrap_or_default())),
        requests_per_second: keys.requests_per_second.or(1.0),
        traffic_sd: keys.traffic_sd.or(0.08),
        traffic_memory: keys.traffic_memory.or(0.9),
        daily_swing: keys.daily_swing_percent.fraction_or(0.0),
        daily_peak_hour: keys.daily_peak_hour.or(14.0),
        latency: LatencyModel {
            p50_ms: keys.p50_ms.or(defaults.p50_ms),
            sigma: keys.sigma.or(defaults.sigma),
            tail: keys.tail_percent.fraction_or(100.0 * defaults.tail),
            tail_alpha: keys.tail_alpha.or(defaults.tail_alpha),
            cache_hits: keys.cache_hit_percent.fraction_or(100.0 * defaults.cache_hits),
            cache_speedup: keys.cache_speedup.or(defaults.cache_speedup),
            noise_sd: keys.noise_sd.or(defaults.noise_sd),
            noise_memory: keys.noise_memory.or(defaults.noise_memory),
        },
        errors: keys.errors_percent.fraction_or(0.2),
        utilisation: keys.utilisation_percent.fraction_or(0.0),
        variability: keys.variability.or(1.0),
        bursts: section.table(p, "bursts").map(|section| bursts(p, &section)).unwrap_or_default(),
    }
}

/// The keys of a service's bursts.
#[derive(Default, Deserialize, Validate)]
#[serde(default)]
struct BurstsKeys {
    #[garde(custom(number(0.0..=60.0, " an hour")))]
    per_hour: Field<f64>,
    #[garde(custom(span(Millis::from_secs(1)..=WEEK)))]
    length: Field<TimeSpan>,
    #[garde(custom(percent(100.0)))]
    errors_percent: Field<f64>,
    #[garde(custom(number(0.01..=100.0, " times")))]
    latency: Field<f64>,
}

impl Keys for BurstsKeys {
    const KIND: &'static str = "bursts";
}

fn bursts(p: P<'_, '_>, section: &Section<'_, '_>) -> Bursts {
    let keys: BurstsKeys = section.read(p);
    Bursts {
        per_hour: keys.per_hour.or(1.0),
        length: keys.length.millis().unwrap_or(Millis::from_secs(60)),
        errors: keys.errors_percent.fraction_or(0.0),
        latency: keys.latency.or(1.0),
    }
}

/// The index of a service by its name; a problem where there is none.
fn service_index(p: P<'_, '_>, services: &[ServiceModel], name: &str, at: usize, who: &str) -> Option<usize> {
    let index = services.iter().position(|service| service.name.as_str() == name);
    if index.is_none() {
        let names = || services.iter().map(|service| service.name.as_str());
        let hint = match nearest(name, names()) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("services are {}", names().collect::<Vec<_>>().join(", ")),
        };
        p.add(at, format!("{who}: unknown service {:?}; {hint}", shorten(name)));
    }
    index
}

/// The keys of an interaction.
#[derive(Default, Deserialize, Validate)]
#[serde(default)]
struct InteractionKeys {
    #[garde(custom(list))]
    flags: Field<Vec<Field<String>>>,
    #[garde(custom(percent(100.0)))]
    errors_percent: Field<f64>,
    #[garde(custom(number(0.01..=100.0, " times")))]
    latency: Field<f64>,
}

impl Keys for InteractionKeys {
    const KIND: &'static str = "interaction";
}

/// Two flags that hurt only together: each of them gets an effect with the other as its partner.
fn interaction(p: P<'_, '_>, section: &Section<'_, '_>, flags: &mut [FlagModel]) {
    let keys: InteractionKeys = section.read(p);
    let named = keys.flags.elements();
    let mut ids = Vec::new();
    for (place, key) in named.iter().enumerate() {
        let key = key.valid().map_or("", String::as_str);
        match flags.iter().position(|flag| flag.spec.key.as_str() == key) {
            Some(index) => ids.push(index),
            None => section.wrong_element(p, "flags", place, &expected_flag(key, flags)),
        }
    }
    if named.len() != 2 || (ids.len() == 2 && ids[0] == ids[1]) {
        let found = named.len();
        section.complain(p, &format!("flags: found {found}, expected the keys of two different flags"));
    }
    let errors = keys.errors_percent.fraction_or(0.0);
    let latency = keys.latency.or(1.0);
    check_harm(p, section, errors, latency);
    if let [one, two] = ids[..] {
        for (flag, partner) in [(one, two), (two, one)] {
            let with = u32::try_from(partner).ok().map(FlagId);
            flags[flag].effects.push(Effect { errors, latency, with, ..Effect::default() });
        }
    }
}

/// Reports an effect that changes nothing.
fn check_harm(p: P<'_, '_>, section: &Section<'_, '_>, errors: f64, latency: f64) {
    if errors == 0.0 && ln_factor(latency) == 0.0 {
        section.complain(p, "it does nothing; give errors_percent or latency");
    }
}

fn expected_flag(key: &str, flags: &[FlagModel]) -> String {
    nearest(key, flags.iter().map(|flag| flag.spec.key.as_str()))
        .map_or_else(|| "the key of a flag in this file".to_owned(), |near| format!("perhaps {near:?}"))
}

/// The keys of an outage.
#[derive(Default, Deserialize, Validate)]
#[serde(default)]
struct OutageKeys {
    #[garde(custom(list))]
    services: Field<Vec<Field<String>>>,
    #[garde(custom(span(Millis::ZERO..=WEEK)))]
    from: Field<TimeSpan>,
    #[garde(custom(span(Millis::ZERO..=WEEK)))]
    until: Field<TimeSpan>,
    #[garde(custom(percent(100.0)))]
    errors_percent: Field<f64>,
    #[garde(custom(number(0.01..=100.0, " times")))]
    latency: Field<f64>,
    #[garde(custom(number(0.0..=100.0, " times")))]
    traffic: Field<f64>,
}

impl Keys for OutageKeys {
    const KIND: &'static str = "outage";
}

fn outage(p: P<'_, '_>, section: &Section<'_, '_>, services: &[ServiceModel]) -> Outage {
    let keys: OutageKeys = section.read(p);
    let named = keys.services.elements();
    if named.is_empty() {
        section.complain(p, "services is missing: the names of the services it hits");
    }
    let mut hit = Vec::new();
    for (place, name) in named.iter().enumerate() {
        match name.valid() {
            Some(name) => {
                let at = section.element_place("services", place);
                hit.extend(service_index(p, services, name, at, "outage"));
            }
            None => section.wrong_element(p, "services", place, "the name of a service"),
        }
    }
    let from = keys.from.millis().unwrap_or(Millis::ZERO);
    let until = keys.until.millis().unwrap_or(WEEK);
    if until <= from {
        section.complain(p, "until is not after from");
    }
    Outage {
        services: hit,
        from,
        until,
        errors: keys.errors_percent.fraction_or(0.0),
        latency: keys.latency.or(1.0),
        traffic: keys.traffic.or(1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_lists_every_key_there_is() {
        let readme = include_str!("../../../config/scenarios/README.md");
        let (_, rest) = readme.split_once("```toml\n").unwrap();
        let (reference, _) = rest.split_once("```").unwrap();
        let mut problems = Problems::new(reference);
        let scenario = read(reference, &mut problems);
        assert_eq!(problems.absent(), Vec::<String>::new(), "keys that the reference does not list");
        assert_eq!(problems.into_error("README.md").map(|error| error.to_string()), None);
        assert!(scenario.is_some());
    }
}
