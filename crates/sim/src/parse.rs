//! From TOML to a scenario: the names of all keys, their ranges and their defaults.
//!
//! `config/scenarios/README.md` lists the same keys for people; a test fails where the two differ. Flags have a file of
//! their own. Nothing here runs anything.

mod flag;

use std::sync::Arc;

use super::{
    problem::ScenarioError,
    reader::{Found, Problems, Section, nearest, parse_table, shorten},
    scenario::{Bursts, Cue, Effect, FlagModel, LatencyModel, Outage, Scenario, ServiceModel},
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
    let mut root = Section::new("scenario", table.get_ref(), 0);
    let name = name(problems, &mut root, "name");
    let title = root.text(problems, "title").map(|(text, _)| clean_line(text)).unwrap_or_default();
    let story = root.text(problems, "story").map(|(text, _)| story(text)).unwrap_or_default();
    let start = start(problems, &mut root);
    let duration = root.span(problems, "duration", Millis::from_secs(60)..=WEEK);
    let interval = root.span(problems, "interval", Millis::from_secs(1)..=Millis::from_secs(600));
    let cost_per_bad_request = root.number(problems, "cost_per_bad_request", 0.0, 0.0..=1e9, " dollars");

    let mut services: Vec<ServiceModel> = Vec::new();
    for section in root.tables(problems, "service", "service") {
        let service = service(problems, section, &services);
        services.push(service);
    }
    let mut flags = Flags::default();
    for section in root.tables(problems, "flag", "flag") {
        flag::flag(problems, section, &services, &mut flags);
    }
    for section in root.tables(problems, "interaction", "interaction") {
        interaction(problems, section, &mut flags.models);
    }
    let mut outages = Vec::new();
    for section in root.tables(problems, "outage", "outage") {
        outages.push(outage(problems, section, &services));
    }
    if services.is_empty() {
        root.complain(problems, "there is no [[service]]; a scenario has at least one");
    }
    if duration.is_none() && root.get(problems, "duration").is_none() {
        root.complain(problems, "duration is missing");
    }
    if let Some(duration) = duration
        && !flags.cues.is_empty()
        && flags.cues.iter().all(|cue| cue.at >= duration)
    {
        let first = flags.cues.iter().map(|cue| cue.at).min().unwrap_or_default();
        root.complain(
            problems,
            &format!("no flag is started before the scenario ends: found duration {duration}, the first start at {first}"),
        );
    }
    root.finish(problems);
    let mut scenario = Scenario {
        name: name?,
        title,
        story,
        start,
        duration: duration?,
        interval: interval.unwrap_or(Millis::from_secs(10)),
        cost_per_bad_request,
        services,
        flags: flags.models,
        outages,
        cues: Vec::new(),
    };
    scenario.set_cues(flags.cues);
    Some(scenario)
}

/// Flags as they are read.
#[derive(Default)]
struct Flags {
    models: Vec<FlagModel>,
    cues: Vec<Cue>,
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

/// A name that has to be there, of the same characters as a flag key.
fn name(problems: P<'_, '_>, section: &mut Section<'_, '_>, key: &'static str) -> Option<String> {
    let (text, at) = section.needed_text(problems, key)?;
    match text.parse::<FlagKey>() {
        Ok(_) => {
            section.call(text);
            Some(text.to_owned())
        }
        Err(error) => {
            problems.add(at, format!("{key}: found {:?}: {error}", shorten(text)));
            None
        }
    }
}

/// When the scenario begins: a Monday morning in March 2026 where it does not say.
fn start(problems: P<'_, '_>, root: &mut Section<'_, '_>) -> Millis {
    /// 2026-03-02T09:00:00Z.
    const DEFAULT: Millis = Millis(1_772_442_000_000);
    let Some(found) = root.get(problems, "start") else { return DEFAULT };
    let moment = match found.value {
        toml::de::DeValue::Datetime(when) => when.to_string().parse::<jiff::Timestamp>().ok(),
        _ => None,
    };
    moment.and_then(|moment| u64::try_from(moment.as_millisecond()).ok()).map_or_else(
        || {
            root.wrong(
                problems,
                "start",
                &found,
                "a date and time with an offset, since 1970, such as 2026-03-02T09:00:00Z",
            );
            DEFAULT
        },
        Millis,
    )
}

fn service(problems: P<'_, '_>, mut section: Section<'_, '_>, others: &[ServiceModel]) -> ServiceModel {
    let p = problems;
    let name = name(p, &mut section, "name");
    if let Some(name) = name.as_deref().filter(|name| others.iter().any(|other| other.name.as_str() == *name))
    {
        section.complain(p, &format!("the name {name:?} is used twice"));
    }
    let s = &mut section;
    if s.get(p, "requests_per_second").is_none() {
        s.complain(p, "requests_per_second is missing");
    }
    let defaults = LatencyModel::default();
    let model = ServiceModel {
        name: ServiceName(Arc::from(name.as_deref().unwrap_or_default())),
        requests_per_second: s.number(p, "requests_per_second", 1.0, 0.0..=1e6, " requests a second"),
        traffic_sd: s.number(p, "traffic_sd", 0.08, 0.0..=2.0, ""),
        traffic_memory: s.number(p, "traffic_memory", 0.9, 0.0..=0.999, ""),
        daily_swing: s.percent(p, "daily_swing_percent", 0.0, 100.0),
        daily_peak_hour: s.number(p, "daily_peak_hour", 14.0, 0.0..=24.0, " hours, UTC"),
        latency: LatencyModel {
            p50_ms: s.number(p, "p50_ms", defaults.p50_ms, 1.0..=10_000.0, " ms"),
            sigma: s.number(p, "sigma", defaults.sigma, 0.1..=2.0, ""),
            tail: s.percent(p, "tail_percent", 100.0 * defaults.tail, 20.0),
            tail_alpha: s.number(p, "tail_alpha", defaults.tail_alpha, 1.1..=10.0, ""),
            cache_hits: s.percent(p, "cache_hit_percent", 100.0 * defaults.cache_hits, 100.0),
            cache_speedup: s.number(p, "cache_speedup", defaults.cache_speedup, 1.0..=100.0, ""),
            noise_sd: s.number(p, "noise_sd", defaults.noise_sd, 0.0..=1.0, ""),
            noise_memory: s.number(p, "noise_memory", defaults.noise_memory, 0.0..=0.999, ""),
        },
        errors: s.percent(p, "errors_percent", 0.2, 100.0),
        utilisation: s.percent(p, "utilisation_percent", 0.0, 95.0),
        variability: s.number(p, "variability", 1.0, 0.0..=100.0, ""),
        bursts: s
            .table(p, "bursts", "bursts")
            .map(|bursts_section| bursts(p, bursts_section))
            .unwrap_or_default(),
    };
    section.finish(p);
    model
}

fn bursts(p: P<'_, '_>, mut s: Section<'_, '_>) -> Bursts {
    let bursts = Bursts {
        per_hour: s.number(p, "per_hour", 1.0, 0.0..=60.0, " an hour"),
        length: s.span(p, "length", Millis::from_secs(1)..=WEEK).unwrap_or(Millis::from_secs(60)),
        errors: s.percent(p, "errors_percent", 0.0, 100.0),
        latency: s.number(p, "latency", 1.0, 0.01..=100.0, " times"),
    };
    s.finish(p);
    bursts
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

/// Two flags that hurt only together: each of them gets an effect with the other as its partner.
fn interaction(p: P<'_, '_>, mut section: Section<'_, '_>, flags: &mut [FlagModel]) {
    let s = &mut section;
    let named = s.list(p, "flags");
    let mut ids = Vec::new();
    for found in &named {
        let key = found.value.as_str().unwrap_or_default();
        match flags.iter().position(|flag| flag.spec.key.as_str() == key) {
            Some(index) => ids.push(index),
            None => unknown_flag(p, s, found, flags),
        }
    }
    if named.len() != 2 || (ids.len() == 2 && ids[0] == ids[1]) {
        s.complain(p, &format!("flags: found {}, expected the keys of two different flags", named.len()));
    }
    let errors = s.percent(p, "errors_percent", 0.0, 100.0);
    let latency = s.number(p, "latency", 1.0, 0.01..=100.0, " times");
    if errors == 0.0 && ln_factor(latency) == 0.0 {
        s.complain(p, "it does nothing; give errors_percent or latency");
    }
    section.finish(p);
    if let [one, two] = ids[..] {
        for (flag, partner) in [(one, two), (two, one)] {
            let with = u32::try_from(partner).ok().map(FlagId);
            flags[flag].effects.push(Effect { errors, latency, with, ..Effect::default() });
        }
    }
}

fn unknown_flag(p: P<'_, '_>, s: &Section<'_, '_>, found: &Found<'_, '_>, flags: &[FlagModel]) {
    let keys = flags.iter().map(|flag| flag.spec.key.as_str());
    let near = nearest(found.value.as_str().unwrap_or_default(), keys);
    let expected =
        near.map_or_else(|| "the key of a flag in this file".to_owned(), |key| format!("perhaps {key:?}"));
    s.wrong(p, "flags", found, &expected);
}

fn outage(p: P<'_, '_>, mut section: Section<'_, '_>, services: &[ServiceModel]) -> Outage {
    let s = &mut section;
    let named = s.list(p, "services");
    if named.is_empty() {
        s.complain(p, "services is missing: the names of the services it hits");
    }
    let mut hit = Vec::new();
    for found in &named {
        match found.value.as_str() {
            Some(name) => hit.extend(service_index(p, services, name, found.at, "outage")),
            None => s.wrong(p, "services", found, "the name of a service"),
        }
    }
    let from = s.span(p, "from", Millis::ZERO..=WEEK).unwrap_or(Millis::ZERO);
    let until = s.span(p, "until", Millis::ZERO..=WEEK).unwrap_or(WEEK);
    if until <= from {
        s.complain(p, "until is not after from");
    }
    let outage = Outage {
        services: hit,
        from,
        until,
        errors: s.percent(p, "errors_percent", 0.0, 100.0),
        latency: s.number(p, "latency", 1.0, 0.01..=100.0, " times"),
        traffic: s.number(p, "traffic", 1.0, 0.0..=100.0, " times"),
    };
    section.finish(p);
    outage
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
