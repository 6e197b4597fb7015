//! From TOML to the flags of a scenario: their keys, copies, effects and telemetry.
//!
//! Services and outages come from the file above; what an effect does once the world runs is not known here.

use garde::Validate;
use serde::Deserialize;

use super::{
    super::{
        reader::{
            Field, Keys, Section, TimeSpan, integer, list, number, percent, required, signed_span, span,
            text, word,
        },
        scenario::{Effect, FlagModel, ScheduledStart, ServiceModel, Wave, WireModel},
    },
    Flags, P, WEEK, check_harm, name, service_index,
};
use knightwatch_core::{
    flag::{FlagId, FlagKey, FlagKind, FlagSpec, Ladder, Rollout, clean_line},
    telemetry::Millis,
};

/// Most flags in a scenario, copies included.
const MAX_FLAGS: usize = 10_000;
/// Who starts a flag where the scenario does not say.
const OPERATOR: &str = "release-engineer";

/// The keys of a flag.
#[derive(Default, Deserialize, Validate)]
#[serde(default)]
struct FlagKeys {
    #[garde(custom(required), custom(text))]
    key: Field<String>,
    #[garde(custom(required), custom(text))]
    service: Field<String>,
    #[garde(custom(list))]
    ladder_percent: Field<Vec<Field<f64>>>,
    #[garde(custom(word(&["requests", "jobs"])))]
    kind: Field<FlagKind>,
    #[garde(custom(text))]
    description: Field<String>,
    #[garde(custom(percent(100.0)))]
    traffic_percent: Field<f64>,
    #[garde(custom(number(0.01..=100.0, " times")))]
    slowness: Field<f64>,
    #[garde(custom(percent(1_000.0)))]
    warm_up_percent: Field<f64>,
    #[garde(custom(span(Millis::from_secs(1)..=Millis::from_secs(600))))]
    warm_up_time: Field<TimeSpan>,
    #[garde(custom(span(Millis::ZERO..=WEEK)))]
    start: Field<TimeSpan>,
    #[garde(custom(text))]
    operator: Field<String>,
    #[garde(custom(integer(1..=10_000)))]
    replicate: Field<u32>,
    #[garde(custom(span(Millis::ZERO..=Millis::from_secs(3_600))))]
    stagger: Field<TimeSpan>,
}

impl Keys for FlagKeys {
    const KIND: &'static str = "flag";
    const TABLES: &'static [&'static str] = &["effect", "telemetry"];
}

/// Reads one flag and puts it, with its copies, at the end of `flags`.
pub(super) fn flag(p: P<'_, '_>, section: &Section<'_, '_>, services: &[ServiceModel], flags: &mut Flags) {
    let keys: FlagKeys = section.read(p);
    let key = name(p, section, "key", &keys.key);
    let service = keys.service.valid().and_then(|name| {
        let who = format!("flag {:?}", key.as_deref().unwrap_or_default());
        service_index(p, services, name, section.place("service"), &who)
    });
    let ladder = ladder(p, section, keys.ladder_percent.elements());
    let description = keys.description.valid().map(|text| clean_line(text)).unwrap_or_default();
    let start = keys.start.millis();
    let operator = keys.operator.valid().map(|text| clean_line(text)).filter(|name| !name.is_empty());
    let copies = keys.replicate.or(1);
    let stagger = keys.stagger.millis().unwrap_or(Millis::ZERO);
    let effect_sections = section.tables(p, "effect", Some(section.title()));
    let effects: Vec<Effect> = effect_sections.iter().map(|section| effect(p, section)).collect();
    let wire = section.table(p, "telemetry").map(|section| wire(p, &section)).unwrap_or_default();
    let at = section.at;
    let (Some(key), Some(service)) = (key, service) else { return };

    let is_single = copies == 1;
    if flags.models.len() + copies as usize > MAX_FLAGS {
        p.add(
            at,
            format!(
                "flag {key:?}: found more than {MAX_FLAGS} flags, copies included, expected at most that many"
            ),
        );
        return;
    }
    for copy in 1..=copies {
        let full = if is_single { key.clone() } else { format!("{key}-{copy:04}") };
        if is_single && flags.by_key(&full).is_some() {
            p.add(at, format!("flag {full:?}: the key is used twice; keys are never reused"));
            return;
        }
        let Ok(full) = full.parse::<FlagKey>() else {
            p.add(at, format!("flag {key:?}: too long a key to be replicated, which adds five characters"));
            return;
        };
        let id = FlagId(u32::try_from(flags.models.len()).unwrap_or(u32::MAX));
        if let Some(start) = start {
            let at = start + Millis(stagger.0 * u64::from(copy - 1));
            flags.scheduled_starts.push(ScheduledStart {
                at,
                flag: id,
                operator: operator.clone().unwrap_or_else(|| OPERATOR.to_owned()),
            });
        }
        flags.models.push(FlagModel {
            spec: FlagSpec {
                key: full,
                service: services[service].name.clone(),
                kind: keys.kind.or(FlagKind::Requests),
                description: description.clone(),
                ladder: ladder.clone(),
                deployment: None,
            },
            service,
            traffic: keys.traffic_percent.fraction_or(100.0),
            slowness: keys.slowness.or(1.0),
            warm_up: keys.warm_up_percent.fraction_or(20.0),
            warm_up_time: keys.warm_up_time.millis().unwrap_or(Millis::from_secs(20)),
            effects: effects.clone(),
            wire: wire.clone(),
        });
    }
}

/// The rungs, written in percent.
fn ladder(p: P<'_, '_>, section: &Section<'_, '_>, rungs: &[Field<f64>]) -> Ladder {
    if rungs.is_empty() {
        return Ladder::default();
    }
    let mut ladder = Vec::new();
    for (place, rung) in rungs.iter().enumerate() {
        match rung.valid().and_then(|percent| Rollout::from_percent(*percent).ok()) {
            Some(rollout) => ladder.push(rollout),
            None => section.wrong_element(p, "ladder_percent", place, "a rollout from 0 to 100 %"),
        }
    }
    if ladder.len() < rungs.len() {
        return Ladder::default();
    }
    Ladder::try_from(ladder).unwrap_or_else(|error| {
        p.add(section.element_place("ladder_percent", 0), format!("ladder_percent: {error}"));
        Ladder::default()
    })
}

/// The keys of an effect.
#[derive(Default, Deserialize, Validate)]
#[serde(default)]
struct EffectKeys {
    #[garde(custom(percent(100.0)))]
    errors_percent: Field<f64>,
    #[garde(custom(number(0.01..=100.0, " times")))]
    latency: Field<f64>,
    #[garde(custom(percent(100.0)))]
    share_percent: Field<f64>,
    #[garde(custom(span(Millis::ZERO..=WEEK)))]
    from: Field<TimeSpan>,
    #[garde(custom(span(Millis::ZERO..=WEEK)))]
    until: Field<TimeSpan>,
    #[garde(custom(percent(100.0)))]
    above_rollout_percent: Field<f64>,
    #[garde(custom(number(0.0..=1e12, " requests")))]
    after_requests: Field<f64>,
    #[garde(custom(number(0.0..=1e12, " requests")))]
    full_after_requests: Field<f64>,
    #[garde(custom(segment))]
    segment_percent: Field<Vec<f64>>,
    #[garde(custom(word(&["pulse", "sawtooth"])))]
    wave: Field<WaveShape>,
    #[garde(custom(span(Millis::from_secs(1)..=WEEK)))]
    period: Field<TimeSpan>,
}

impl Keys for EffectKeys {
    const KIND: &'static str = "effect";
}

/// How a wave grows.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WaveShape {
    Pulse,
    Sawtooth,
}

/// Checks a range of buckets, written as two percentages.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that garde calls")]
fn segment(field: &Field<Vec<f64>>, (): &()) -> garde::Result {
    let is_range =
        |ends: &Vec<f64>| matches!(ends[..], [from, to] if 0.0 <= from && from < to && to <= 100.0);
    field.check(is_range, || "two ascending percentages from 0 to 100, as in [20, 30]".to_owned())
}

fn effect(p: P<'_, '_>, section: &Section<'_, '_>) -> Effect {
    let keys: EffectKeys = section.read(p);
    let errors = keys.errors_percent.fraction_or(0.0);
    let latency = keys.latency.or(1.0);
    check_harm(p, section, errors, latency);
    let from = keys.from.millis().unwrap_or(Millis::ZERO);
    let until = keys.until.millis();
    if until.is_some_and(|until| until <= from) {
        section.complain(p, "until is not after from");
    }
    let wave = match (keys.wave.valid(), keys.period.millis()) {
        (Some(shape), Some(period)) => Some(Wave { sawtooth: *shape == WaveShape::Sawtooth, period }),
        (None, None) => None,
        _ => {
            section.complain(p, "wave and period are given together or not at all");
            None
        }
    };
    let segment = match keys.segment_percent.elements() {
        [from, to] => Some((from / 100.0, to / 100.0)),
        _ => None,
    };
    Effect {
        errors,
        latency,
        share: keys.share_percent.fraction_or(100.0),
        from,
        until,
        above_rollout: keys.above_rollout_percent.fraction_or(0.0),
        after_requests: keys.after_requests.or(0.0),
        full_after_requests: keys.full_after_requests.or(0.0),
        segment,
        wave,
        with: None,
    }
}

/// The keys of a flag's telemetry.
#[derive(Default, Deserialize, Validate)]
#[serde(default)]
struct WireKeys {
    #[garde(custom(percent(95.0)))]
    gap_percent: Field<f64>,
    #[garde(custom(span(Millis::from_secs(1)..=WEEK)))]
    gap_length: Field<TimeSpan>,
    #[garde(custom(span(Millis::ZERO..=WEEK)))]
    silent_from: Field<TimeSpan>,
    #[garde(custom(span(Millis::ZERO..=WEEK)))]
    silent_until: Field<TimeSpan>,
    #[garde(custom(percent(100.0)))]
    late_percent: Field<f64>,
    #[garde(custom(integer(1..=1_000)))]
    late_by: Field<u32>,
    #[garde(custom(percent(100.0)))]
    duplicate_percent: Field<f64>,
    #[garde(custom(percent(100.0)))]
    skew_percent: Field<f64>,
    #[garde(custom(signed_span(WEEK)))]
    skew: Field<TimeSpan>,
    #[garde(custom(percent(100.0)))]
    garbage_percent: Field<f64>,
    #[garde(custom(percent(100.0)))]
    lost_treatment_percent: Field<f64>,
    #[garde(custom(percent(100.0)))]
    lost_failures_percent: Field<f64>,
    #[garde(custom(span(Millis::ZERO..=WEEK)))]
    frozen_from: Field<TimeSpan>,
}

impl Keys for WireKeys {
    const KIND: &'static str = "telemetry";
}

fn wire(p: P<'_, '_>, section: &Section<'_, '_>) -> WireModel {
    let keys: WireKeys = section.read(p);
    let model = WireModel {
        gaps: keys.gap_percent.fraction_or(0.0),
        gap_length: keys.gap_length.millis().unwrap_or(Millis::from_secs(60)),
        silent_from: keys.silent_from.millis(),
        silent_until: keys.silent_until.millis(),
        late: keys.late_percent.fraction_or(0.0),
        late_by: keys.late_by.or(1),
        duplicates: keys.duplicate_percent.fraction_or(0.0),
        skewed: keys.skew_percent.fraction_or(0.0),
        skew_ms: keys.skew.valid().map_or(0, |skew| skew.0),
        garbage: keys.garbage_percent.fraction_or(0.0),
        lost_treatment: keys.lost_treatment_percent.fraction_or(0.0),
        lost_failures: keys.lost_failures_percent.fraction_or(0.0),
        frozen_from: keys.frozen_from.millis(),
    };
    if model.silent_until.is_some_and(|until| model.silent_from.is_none_or(|from| until <= from)) {
        section.complain(p, "silent_until needs a silent_from before it");
    }
    if (model.skewed > 0.0) != (model.skew_ms != 0) {
        section.complain(p, "skew_percent and skew are given together or not at all");
    }
    model
}
