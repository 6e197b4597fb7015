//! From TOML to the flags of a scenario: their keys, copies, effects and telemetry.
//!
//! Services and outages come from the file above; what an effect does once the world runs is not known here.

use super::{
    super::{
        reader::{Section, number},
        scenario::{Cue, Effect, FlagModel, ServiceModel, Wave, WireModel},
        service::ln_factor,
    },
    Flags, P, WEEK, name, service_index,
};
use knightwatch_core::{
    flag::{FlagId, FlagKey, FlagKind, FlagSpec, Ladder, Rollout, clean_line},
    telemetry::Millis,
};

/// Most flags in a scenario, copies included.
const MAX_FLAGS: usize = 10_000;
/// Who starts a flag where the scenario does not say.
const OPERATOR: &str = "release-engineer";

/// Reads one flag and puts it, with its copies, at the end of `flags`.
pub(super) fn flag(p: P<'_, '_>, mut section: Section<'_, '_>, services: &[ServiceModel], flags: &mut Flags) {
    let s = &mut section;
    let key = name(p, s, "key");
    let service = s.needed_text(p, "service").and_then(|(name, at)| {
        let who = format!("flag {:?}", key.as_deref().unwrap_or_default());
        service_index(p, services, name, at, &who)
    });
    let ladder = ladder(p, s);
    let kind = choice(p, s, "kind", &[("requests", FlagKind::Requests), ("jobs", FlagKind::Jobs)]);
    let description = s.text(p, "description").map(|(text, _)| clean_line(text)).unwrap_or_default();
    let traffic = s.percent(p, "traffic_percent", 100.0, 100.0);
    let slowness = s.number(p, "slowness", 1.0, 0.01..=100.0, " times");
    let warm_up = s.percent(p, "warm_up_percent", 20.0, 1_000.0);
    let warm_up_time = s.span(p, "warm_up_time", Millis::from_secs(1)..=Millis::from_secs(600));
    let start = s.span(p, "start", Millis::ZERO..=WEEK);
    let operator = s.text(p, "operator").map(|(text, _)| clean_line(text)).filter(|name| !name.is_empty());
    let copies = s.whole(p, "replicate", 1, 1..=10_000);
    let stagger = s.span(p, "stagger", Millis::ZERO..=Millis::from_secs(3_600)).unwrap_or(Millis::ZERO);
    let effect_sections = s.tables(p, "effect", "effect");
    let effects: Vec<Effect> = effect_sections.into_iter().map(|section| effect(p, section)).collect();
    let wire = s.table(p, "telemetry", "telemetry").map(|section| wire(p, section)).unwrap_or_default();
    let at = s.at;
    section.finish(p);
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
            flags.cues.push(Cue {
                at,
                flag: id,
                operator: operator.clone().unwrap_or_else(|| OPERATOR.to_owned()),
            });
        }
        flags.models.push(FlagModel {
            spec: FlagSpec {
                key: full,
                service: services[service].name.clone(),
                kind,
                description: description.clone(),
                ladder: ladder.clone(),
                deployment: None,
            },
            service,
            traffic,
            slowness,
            warm_up,
            warm_up_time: warm_up_time.unwrap_or(Millis::from_secs(20)),
            effects: effects.clone(),
            wire: wire.clone(),
        });
    }
}

/// One of several words; the first one where the key is not given.
fn choice<T: Copy + Default>(
    p: P<'_, '_>,
    s: &mut Section<'_, '_>,
    key: &'static str,
    words: &[(&str, T)],
) -> T {
    let Some(found) = s.get(p, key) else { return T::default() };
    let chosen =
        words.iter().find(|(word, _)| found.value.as_str() == Some(word)).map(|(_, meaning)| *meaning);
    chosen.unwrap_or_else(|| {
        let expected: Vec<_> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
        s.wrong(p, key, &found, &expected.join(" or "));
        T::default()
    })
}

/// The rungs, written in percent.
fn ladder(p: P<'_, '_>, s: &mut Section<'_, '_>) -> Ladder {
    let rungs = s.list(p, "ladder_percent");
    let Some(at) = rungs.first().map(|rung| rung.at) else { return Ladder::default() };
    let mut ladder = Vec::new();
    for rung in &rungs {
        match number(rung.value).and_then(|percent| Rollout::from_percent(percent).ok()) {
            Some(rollout) => ladder.push(rollout),
            None => s.wrong(p, "ladder_percent", rung, "a rollout from 0 to 100 %"),
        }
    }
    if ladder.len() < rungs.len() {
        return Ladder::default();
    }
    Ladder::try_from(ladder).unwrap_or_else(|error| {
        p.add(at, format!("ladder_percent: {error}"));
        Ladder::default()
    })
}

fn effect(p: P<'_, '_>, mut section: Section<'_, '_>) -> Effect {
    let s = &mut section;
    let errors = s.percent(p, "errors_percent", 0.0, 100.0);
    let latency = s.number(p, "latency", 1.0, 0.01..=100.0, " times");
    if errors == 0.0 && ln_factor(latency) == 0.0 {
        s.complain(p, "it does nothing; give errors_percent or latency");
    }
    let from = s.span(p, "from", Millis::ZERO..=WEEK).unwrap_or(Millis::ZERO);
    let until = s.span(p, "until", Millis::ZERO..=WEEK);
    if until.is_some_and(|until| until <= from) {
        s.complain(p, "until is not after from");
    }
    let sawtooth = choice(p, s, "wave", &[("pulse", Some(false)), ("sawtooth", Some(true))]);
    let period = s.span(p, "period", Millis::from_secs(1)..=WEEK);
    let wave = match (sawtooth, period) {
        (Some(sawtooth), Some(period)) => Some(Wave { sawtooth, period }),
        (None, None) => None,
        _ => {
            s.complain(p, "wave and period are given together or not at all");
            None
        }
    };
    let effect = Effect {
        errors,
        latency,
        share: s.percent(p, "share_percent", 100.0, 100.0),
        from,
        until,
        above_rollout: s.percent(p, "above_rollout_percent", 0.0, 100.0),
        after_requests: s.number(p, "after_requests", 0.0, 0.0..=1e12, " requests"),
        full_after_requests: s.number(p, "full_after_requests", 0.0, 0.0..=1e12, " requests"),
        segment: segment(p, s),
        wave,
        with: None,
    };
    section.finish(p);
    effect
}

/// A range of buckets, written as two percentages.
fn segment(p: P<'_, '_>, s: &mut Section<'_, '_>) -> Option<(f64, f64)> {
    let ends = s.list(p, "segment_percent");
    let first = ends.first()?;
    let numbers: Vec<f64> = ends.iter().filter_map(|end| number(end.value)).collect();
    match numbers[..] {
        [from, to] if 0.0 <= from && from < to && to <= 100.0 => Some((from / 100.0, to / 100.0)),
        _ => {
            s.wrong(p, "segment_percent", first, "two ascending percentages from 0 to 100, as in [20, 30]");
            None
        }
    }
}

fn wire(p: P<'_, '_>, mut section: Section<'_, '_>) -> WireModel {
    let s = &mut section;
    let model = WireModel {
        gaps: s.percent(p, "gap_percent", 0.0, 95.0),
        gap_length: s.span(p, "gap_length", Millis::from_secs(1)..=WEEK).unwrap_or(Millis::from_secs(60)),
        silent_from: s.span(p, "silent_from", Millis::ZERO..=WEEK),
        silent_until: s.span(p, "silent_until", Millis::ZERO..=WEEK),
        late: s.percent(p, "late_percent", 0.0, 100.0),
        late_by: s.whole(p, "late_by", 1, 1..=1_000),
        duplicates: s.percent(p, "duplicate_percent", 0.0, 100.0),
        skewed: s.percent(p, "skew_percent", 0.0, 100.0),
        skew_ms: s.signed_span(p, "skew", WEEK),
        garbage: s.percent(p, "garbage_percent", 0.0, 100.0),
        lost_treatment: s.percent(p, "lost_treatment_percent", 0.0, 100.0),
        lost_failures: s.percent(p, "lost_failures_percent", 0.0, 100.0),
        frozen_from: s.span(p, "frozen_from", Millis::ZERO..=WEEK),
    };
    if model.silent_until.is_some_and(|until| model.silent_from.is_none_or(|from| until <= from)) {
        s.complain(p, "silent_until needs a silent_from before it");
    }
    if (model.skewed > 0.0) != (model.skew_ms != 0) {
        s.complain(p, "skew_percent and skew are given together or not at all");
    }
    section.finish(p);
    model
}
