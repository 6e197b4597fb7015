//! Why PPO-Master chose what it chose, by occlusion: how its choice changes when it does not see a feature.
//!
//! The odds of the choice against the other legal ones are compared with those where one feature is at its training
//! mean (Zeiler and Fergus, 2014, section 4; Robnik-Šikonja and Kononenko, 2008, for the difference of log-odds). That
//! says what moved the network, not what is true of the flag. Features are said in words and units; what is done with
//! that is not this file's business.

use super::{CHOICES, Choice, FEATURE_COUNT, FEATURES, Feature, Features, Unit, Weights};
use crate::{control::grouped, telemetry::Millis};

/// How much each feature moved the choice, in nats of log-odds, by position: above 0 towards `chosen`, below 0 away
/// from it. All 0 where nothing else was legal.
#[must_use]
pub fn influences(
    weights: &Weights,
    features: &Features,
    legal: &[bool; CHOICES],
    chosen: Choice,
) -> [f32; FEATURE_COUNT] {
    let input = weights.normaliser.apply(features);
    let mut inputs = [input; FEATURE_COUNT + 1];
    for (hidden, input) in inputs.iter_mut().take(FEATURE_COUNT).enumerate() {
        input[hidden] = 0.0;
    }
    let mut answers = Vec::with_capacity(inputs.len());
    weights.network.answers(&inputs, &mut answers);
    let odds = |logits| log_odds(logits, legal, chosen);
    let seen = answers.last().map_or(0.0, |answer| odds(&answer.logits));
    let mut all = [0.0; FEATURE_COUNT];
    for (influence, answer) in all.iter_mut().zip(&answers) {
        let difference = narrow(seen - odds(&answer.logits));
        *influence = if difference.is_finite() { difference } else { 0.0 };
    }
    all
}

/// The logit of `chosen` minus the logarithm of the summed exponentials of the other legal ones.
fn log_odds(logits: &[f32; CHOICES], legal: &[bool; CHOICES], chosen: Choice) -> f64 {
    let others = || {
        let all = logits.iter().zip(legal).zip(Choice::ALL);
        all.filter(|((_, legal), choice)| **legal && *choice != chosen)
            .map(|((logit, _), _)| f64::from(*logit))
    };
    let most = others().fold(f64::NEG_INFINITY, f64::max);
    if most == f64::NEG_INFINITY {
        return 0.0;
    }
    let sum: f64 = others().map(|logit| libm::exp(logit - most)).sum();
    f64::from(logits[chosen as usize]) - most - libm::log(sum)
}

/// The positions of the two that moved the choice most towards it, most first; fewer where fewer did.
#[must_use]
pub fn moved_most(influences: &[f32; FEATURE_COUNT]) -> Vec<usize> {
    let mut towards: Vec<usize> = (0..FEATURE_COUNT).filter(|at| influences[*at] > 0.0).collect();
    towards.sort_by(|a, b| influences[*b].total_cmp(&influences[*a]).then(a.cmp(b)));
    towards.truncate(2);
    towards
}

/// Those two as clauses: `errors since the last change (3.2 standard errors)`.
#[must_use]
pub fn moved_by(influences: &[f32; FEATURE_COUNT], features: &Features) -> Vec<String> {
    let clause = |at: usize| format!("{} ({})", FEATURES[at].about, in_words(&FEATURES[at], features[at]));
    moved_most(influences).into_iter().map(clause).collect()
}

/// A feature's value as people read it, with its unit: logarithms are undone.
#[must_use]
pub fn in_words(feature: &Feature, value: f32) -> String {
    let value = f64::from(value);
    if !value.is_finite() {
        return "not a number".to_owned();
    }
    match feature.unit {
        Unit::Sigmas => format!("{} standard errors", digits(value)),
        Unit::LogShare => {
            let percent = libm::copysign(libm::expm1(value.abs()) / 100.0, value);
            match feature.key {
                // A level, not a difference.
                "control.errors" => format!("{percent:.2} %"),
                "ramp.spent" => format!("{percent:.2} % of an interval's"),
                _ => format!("{percent:+.2} percentage points"),
            }
        }
        Unit::Margins => format!("{} times the margin", digits(value)),
        Unit::Needed => format!("{:.0} % of the proof needed", value * 100.0),
        Unit::LnRatio => format!("{} times control's", factor(value)),
        Unit::LnCount => grouped(whole(libm::expm1(value))),
        Unit::Share => format!("{} %", digits(value * 100.0)),
        Unit::LnShare => format!("{} %", digits(libm::exp(value) * 100.0)),
        Unit::LnMinutes => Millis::from_secs(whole(libm::expm1(value) * 60.0)).to_string(),
        Unit::Rungs => format!("{value:.0} rung{}", if (value - 1.0).abs() < 0.5 { "" } else { "s" }),
        Unit::YesNo => if value > 0.5 { "yes" } else { "no" }.to_owned(),
        Unit::LnFactor => format!("{} times the usual", factor(value)),
    }
}

/// One decimal, without it where it says nothing.
fn digits(value: f64) -> String {
    let text = format!("{value:.1}");
    let text = text.strip_suffix(".0").unwrap_or(&text);
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// A factor from its logarithm: two decimals where one would hide the difference from 1.
fn factor(ln: f64) -> String {
    let factor = libm::exp(ln);
    if (0.001..0.15).contains(&(factor - 1.0).abs()) || factor < 0.95 {
        format!("{factor:.2}")
    } else {
        digits(factor)
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "kept between 0 and 2^52")]
fn whole(value: f64) -> u64 {
    libm::round(value.clamp(0.0, 4.5e15)) as u64
}

#[expect(clippy::cast_possible_truncation, reason = "shown and compared, never computed with")]
fn narrow(value: f64) -> f32 {
    value as f32
}
