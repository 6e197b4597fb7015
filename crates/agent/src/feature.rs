//! The features: what PPO-Master's network sees of a flag, in which order, and how each is said to people.
//!
//! The table below is the schema; its hash travels with the weights, and weights of another schema are refused. What
//! is computed here is the same in training and in production. Nothing in it is the simulator's truth.

use sha2::{Digest, Sha256};

pub(super) use super::comparison::{MAX_SIGMAS, real};
use super::{
    comparison::{Comparison, difference_z},
    harm_weight::HarmWeight,
    memory::Memory,
};
use knightwatch_core::{
    control::Observation,
    telemetry::{MetricEvidence, Millis, Verdict},
};

/// How many features there are.
pub const FEATURE_COUNT: usize = FEATURES.len();

/// What the network sees of one flag, before normalisation.
pub type Features = [f32; FEATURE_COUNT];

/// One feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Feature {
    /// Its name in the schema.
    pub key: &'static str,
    /// What it is, for people, in a clause.
    pub about: &'static str,
    /// How its value is to be read.
    pub unit: Unit,
}

/// How a feature's value is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Standard errors, -8 to 8.
    Sigmas,
    /// Signed `ln(1 + |share| * 10 000)`.
    LogShare,
    /// Multiples of the margin, -4 to 8.
    Margins,
    /// Evidence as a part of what is needed, -1 to 1.5.
    Needed,
    /// Natural logarithm of treatment over control, -3 to 3.
    LnRatio,
    /// `ln(1 + n)`.
    LnCount,
    /// A share, 0 to 1.
    Share,
    /// Natural logarithm of a share.
    LnShare,
    /// `ln(1 + minutes)`.
    LnMinutes,
    /// Rungs of the ladder.
    Rungs,
    /// 0 or 1.
    YesNo,
    /// Natural logarithm of a factor.
    LnFactor,
}

/// Bounds of an interval's end in margins.
pub(super) const MIN_MARGINS: f64 = -4.0;
pub(super) const MAX_MARGINS: f64 = 8.0;

const fn feature(key: &'static str, about: &'static str, unit: Unit) -> Feature {
    Feature { key, about, unit }
}

/// The schema: the order of the network's inputs.
pub const FEATURES: [Feature; 48] = [
    feature("errors.z", "errors since the last change", Unit::Sigmas),
    feature("errors.excess", "excess of errors since the last change", Unit::LogShare),
    feature("errors.low", "lower end of the error interval", Unit::Margins),
    feature("errors.high", "upper end of the error interval", Unit::Margins),
    feature("errors.harm", "proof that errors are worse", Unit::Needed),
    feature("errors.health", "proof that errors are no worse", Unit::Needed),
    feature("slow.z", "slow requests since the last change", Unit::Sigmas),
    feature("slow.excess", "excess of slow requests since the last change", Unit::LogShare),
    feature("slow.low", "lower end of the P99 interval", Unit::Margins),
    feature("slow.high", "upper end of the P99 interval", Unit::Margins),
    feature("slow.harm", "proof that P99 is worse", Unit::Needed),
    feature("slow.health", "proof that P99 is no worse", Unit::Needed),
    feature("six.errors.z", "errors over the last six intervals", Unit::Sigmas),
    feature("six.p99", "P99 over the last six intervals", Unit::LnRatio),
    feature("last.errors.z", "errors in the last interval", Unit::Sigmas),
    feature("last.errors.excess", "excess of errors in the last interval", Unit::LogShare),
    feature("last.p99", "P99 in the last interval", Unit::LnRatio),
    feature("six.p99.z", "P99 over the last six intervals, for so many requests", Unit::Sigmas),
    feature("last.p99.z", "P99 in the last interval, for so many requests", Unit::Sigmas),
    feature("trend.errors", "where errors are going", Unit::Sigmas),
    feature("trend.p99", "where P99 is going", Unit::LnRatio),
    feature("smooth.errors", "errors of late", Unit::Sigmas),
    feature("smooth.p99", "P99 of late", Unit::LnRatio),
    feature("ramp.errors.z", "errors on the rungs before", Unit::Sigmas),
    feature("ramp.slow.z", "slow requests on the rungs before", Unit::Sigmas),
    feature("ramp.errors.worst", "the worst errors of the ramp", Unit::Sigmas),
    feature("ramp.spent", "failed requests that the ramp has cost the service", Unit::LogShare),
    feature("missing.z", "treatment requests that telemetry does not show", Unit::Sigmas),
    feature("missing.share", "how much of the treatment telemetry does not show", Unit::LnFactor),
    feature("n.treatment", "treatment requests since the last change", Unit::LnCount),
    feature("n.control", "control requests since the last change", Unit::LnCount),
    feature("n.interval", "requests in the last interval", Unit::LnCount),
    feature("control.errors", "the errors that control has", Unit::LogShare),
    feature("rollout", "the rollout", Unit::Share),
    feature("rollout.ln", "how small the rollout is", Unit::LnShare),
    feature("rungs.above", "rungs left to climb", Unit::Rungs),
    feature("rungs.open", "rungs that the shield would allow", Unit::Rungs),
    feature("since.change", "time since the last change", Unit::LnMinutes),
    feature("since.start", "time since the ramp began", Unit::LnMinutes),
    feature("warming", "the warm-up after the last change", Unit::YesNo),
    feature("age", "the telemetry's age", Unit::LnMinutes),
    feature("dependency", "a dependency's trouble", Unit::YesNo),
    feature("others", "other flags of the service that move", Unit::LnCount),
    feature("healthy", "a healthy verdict", Unit::YesNo),
    feature("may.lower", "whether it may be lowered", Unit::YesNo),
    feature("interval", "the control interval", Unit::LnFactor),
    feature("warming.p99", "P99 during the warm-up", Unit::LnRatio),
    feature("harm_weight", "how much harm weighs against waiting", Unit::LnFactor),
];

/// The hash of the schema, in hexadecimal: names, order and units.
#[must_use]
pub fn schema_hash() -> String {
    let mut hash = Sha256::new();
    for Feature { key, unit, .. } in FEATURES {
        hash.update(key.as_bytes());
        hash.update(format!(" {unit:?}\n").as_bytes());
    }
    const_hex::encode(&hash.finalize()[..16])
}

/// Fills in what the network sees, and takes note of the interval in `memory`, which belongs to this flag.
#[must_use]
pub fn features(seen: &Observation<'_>, harm_weight: HarmWeight, memory: &mut Memory) -> Features {
    let report = seen.report;
    let [control, treatment] = *seen.latest;
    let last = Comparison::of(treatment, control);
    let six = Comparison::of(Some(report.treatment), Some(report.control));
    let counts = (report.treatment_n, report.control_n);
    let errors_z = z(&report.errors, counts);
    let slow_z = z(&report.p99, counts);
    memory.note(seen, &last, (errors_z, slow_z));
    let rungs = seen.ladder.rungs().len();
    let open = seen.mask.raise_to.map_or(0, |most| seen.ladder.steps_between(seen.rollout, most));
    let share = seen.rollout.share();
    let minutes = |time: Millis| libm::log1p(time.as_secs_f64() / 60.0);
    let yes = |yes: bool| f64::from(u8::from(yes));
    let values: [f64; FEATURE_COUNT] = [
        errors_z,
        log_share(report.errors.treatment - report.errors.control),
        margins(report.errors.low, report.errors.margin),
        margins(report.errors.high, report.errors.margin),
        needed(report.errors.harm, report.errors.harm_needed),
        needed(report.errors.health, report.errors.health_needed),
        slow_z,
        log_share(report.p99.treatment - report.p99.control),
        margins(report.p99.low, report.p99.margin),
        margins(report.p99.high, report.p99.margin),
        needed(report.p99.harm, report.p99.harm_needed),
        needed(report.p99.health, report.p99.health_needed),
        six.errors_z,
        six.ln_p99,
        last.errors_z,
        log_share(last.excess),
        last.ln_p99,
        six.p99_z(),
        last.p99_z(),
        memory.errors_trend(),
        memory.p99_trend(),
        memory.errors(),
        memory.p99(),
        memory.errors_before(),
        memory.slow_before(),
        memory.worst_errors(),
        log_share(memory.spent()),
        memory.missing(),
        memory.missing_share(),
        ln_count(report.treatment_n),
        ln_count(report.control_n),
        ln_count(last.requests),
        log_share(report.control.error_rate().unwrap_or(0.0)),
        share,
        libm::log(share.max(1e-4)),
        count(rungs.saturating_sub(seen.ladder.index(seen.rollout))),
        count(open),
        minutes(seen.since_change),
        minutes(memory.ramp_time()),
        yes(report.warming_up),
        minutes(report.age.unwrap_or(Millis::from_secs(3600))),
        yes(report.dependency),
        libm::log1p(f64::from(seen.moving_in_service)),
        yes(report.verdict == Verdict::Healthy),
        yes(seen.mask.lower),
        libm::log((seen.interval.as_secs_f64() / 10.0).max(1e-3)),
        if report.warming_up { last.ln_p99 } else { 0.0 },
        libm::log(harm_weight.factor(memory.busiest())),
    ];
    values.map(narrow)
}

fn z(evidence: &MetricEvidence, counts: (u64, u64)) -> f64 {
    difference_z((evidence.treatment, evidence.control), counts)
}

fn log_share(share: f64) -> f64 {
    libm::copysign(libm::log1p(share.abs() * 1e4), share)
}

fn margins(end: f64, margin: f64) -> f64 {
    if margin > 0.0 { (end / margin).clamp(MIN_MARGINS, MAX_MARGINS) } else { 0.0 }
}

fn needed(evidence: f64, needed: f64) -> f64 {
    if needed > 0.0 { (evidence / needed).clamp(-1.0, 1.5) } else { 0.0 }
}

fn ln_count(n: u64) -> f64 {
    libm::log1p(real(n))
}

#[expect(clippy::cast_precision_loss, reason = "a ladder has few rungs")]
fn count(n: usize) -> f64 {
    n as f64
}

/// To the network's precision. Telemetry that is not a number never gets here; if it did, the output would not be
/// finite and the agent would hold.
#[expect(clippy::cast_possible_truncation, reason = "features are of order one")]
fn narrow(value: f64) -> f32 {
    value as f32
}
