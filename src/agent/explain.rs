//! Why PPO-Master chose what it chose, by occlusion: how its choice changes when it does not see a feature.
//!
//! The odds of the choice against the other legal ones are compared with those where one feature is at its training
//! mean (Zeiler and Fergus, 2014, section 4; Robnik-Šikonja and Kononenko, 2008, for the difference of log-odds). That
//! says what moved the network, not what is true of the flag. Features are said in words and units; what is done with
//! that is not this file's business.

use super::{CHOICES, Choice, FEATURE_COUNT, FEATURES, Feature, Features, Unit, Weights};
use crate::{control::grouped, telemetry::Millis};

/// What is said of larger values, so that a logarithm undone is still a number that fits a line.
const MOST: f64 = 25.0;

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
    let odds = |logits| log_odds(logits, *legal, chosen);
    let seen = answers.last().map_or(0.0, |answer| odds(&answer.logits));
    let mut all = [0.0; FEATURE_COUNT];
    for (influence, answer) in all.iter_mut().zip(&answers) {
        let difference = narrow(seen - odds(&answer.logits));
        *influence = if difference.is_finite() { difference } else { 0.0 };
    }
    all
}

/// The logit of `chosen` minus the logarithm of the summed exponentials of the other legal ones.
fn log_odds(logits: &[f32; CHOICES], legal: [bool; CHOICES], chosen: Choice) -> f64 {
    let others = || {
        let all = logits.iter().zip(legal).zip(Choice::ALL);
        all.filter(|((_, legal), choice)| *legal && *choice != chosen)
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
    // No feature gets near; what is read from a file might.
    let value = value.clamp(-MOST, MOST);
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
        // Evidence to the contrary is no less than none.
        Unit::Needed if value <= 0.0 => "none".to_owned(),
        Unit::Needed if value >= 1.0 => "complete".to_owned(),
        Unit::Needed => format!("{:.0} % of what is needed", value * 100.0),
        Unit::LnRatio => format!("{} times control's", factor(value)),
        Unit::LnCount => grouped(whole(libm::expm1(value))),
        Unit::Share => format!("{} %", digits(value * 100.0)),
        Unit::LnShare => format!("{} %", digits(libm::exp(value) * 100.0)),
        Unit::LnMinutes => Millis::from_secs(whole(libm::expm1(value) * 60.0)).to_string(),
        Unit::Rungs => format!("{value:.0} rung{}", if (value - 1.0).abs() < 0.5 { "" } else { "s" }),
        Unit::YesNo => if value > 0.5 { "yes" } else { "no" }.to_owned(),
        Unit::LnFactor if feature.key == "missing.share" => format!("{} times what it shows", factor(value)),
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

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp, clippy::cast_possible_truncation, reason = "a test")]

    use std::collections::BTreeMap;

    use super::*;
    use crate::agent::{HIDDEN, Normaliser, Parameters};

    fn place(key: &str) -> usize {
        FEATURES.iter().position(|feature| feature.key == key).unwrap()
    }

    /// A network that looks at four features only: three for rolling back, of which one says less and one the
    /// opposite, and one for step down.
    fn simple() -> Weights {
        let unit = |row: usize, column: usize, width: usize| row * width + column;
        let mut all = Parameters {
            first: (vec![0.0; HIDDEN * FEATURE_COUNT], vec![0.0; HIDDEN]),
            second: (vec![0.0; HIDDEN * HIDDEN], vec![0.0; HIDDEN]),
            policy: (vec![0.0; CHOICES * HIDDEN], vec![0.0; CHOICES]),
            value: (vec![0.0; HIDDEN], vec![0.0]),
        };
        for (row, key) in ["errors.z", "trend.p99", "healthy", "age"].into_iter().enumerate() {
            all.first.0[unit(row, place(key), FEATURE_COUNT)] = 0.2;
            all.second.0[unit(row, row, HIDDEN)] = 1.0;
        }
        for (row, weight) in [3.0, 1.0, -2.0].into_iter().enumerate() {
            all.policy.0[unit(Choice::RollBack as usize, row, HIDDEN)] = weight;
        }
        all.policy.0[unit(Choice::StepDown as usize, 3, HIDDEN)] = 5.0;
        Weights::new(all, Normaliser::default(), BTreeMap::new())
    }

    fn seen() -> Features {
        let mut features = [0.0; FEATURE_COUNT];
        for (key, value) in
            [("errors.z", 3.2), ("trend.p99", 0.34), ("healthy", 1.0), ("age", 2.0), ("others", 4.0)]
        {
            features[place(key)] = value;
        }
        features
    }

    #[test]
    fn what_the_network_looks_at_has_influence_and_nothing_else_has_any() {
        let legal = [true, false, true, false, false, false];
        let all = influences(&simple(), &seen(), &legal, Choice::RollBack);
        let (errors, p99, healthy) = (all[place("errors.z")], all[place("trend.p99")], all[place("healthy")]);
        assert!(errors > p99 && p99 > 0.0 && healthy < 0.0, "{errors} {p99} {healthy}");
        // Against hold alone, whose logit is 0, the difference is that of the logit.
        assert!((p99 - libm::tanhf(libm::tanhf(0.2 * 0.34))).abs() < 1e-4, "{p99}");
        assert_eq!(all.iter().filter(|influence| **influence != 0.0).count(), 3);
        assert_eq!(
            moved_by(&all, &seen()),
            [
                "errors since the last change (3.2 standard errors)",
                "where P99 is going (1.4 times control's)"
            ]
        );
        let with_step =
            influences(&simple(), &seen(), &[true, true, true, false, false, false], Choice::RollBack);
        assert!(
            with_step[place("age")] < 0.0,
            "what speaks for another legal choice speaks against this one"
        );
        let alone = influences(&simple(), &seen(), &[false, false, true, false, false, false], Choice::Hold);
        assert_eq!(alone, [0.0; FEATURE_COUNT], "there was no choice");
        assert!(moved_by(&alone, &seen()).is_empty());
    }

    #[test]
    fn a_feature_at_its_training_mean_moves_nothing() {
        let mut weights = simple();
        weights.normaliser.mean[place("errors.z")] = 3.2;
        let legal = [true, false, true, false, false, false];
        let all = influences(&weights, &seen(), &legal, Choice::RollBack);
        assert_eq!(all[place("errors.z")], 0.0);
    }

    #[test]
    fn values_are_said_with_their_logarithms_undone() {
        let said = |key: &str, value: f64| in_words(&FEATURES[place(key)], value as f32);
        assert_eq!(said("errors.z", -1.04), "-1 standard errors");
        assert_eq!(said("errors.excess", (1.0 + 0.0042 * 1e4_f64).ln()), "+0.42 percentage points");
        assert_eq!(said("last.errors.excess", -(1.0 + 0.01 * 1e4_f64).ln()), "-1.00 percentage points");
        assert_eq!(said("control.errors", (1.0 + 0.002 * 1e4_f64).ln()), "0.20 %");
        assert_eq!(said("ramp.spent", (1.0 + 0.03 * 1e4_f64).ln()), "3.00 % of an interval's");
        assert_eq!(said("errors.low", 1.8), "1.8 times the margin");
        assert_eq!(said("slow.harm", 0.85), "85 % of what is needed");
        assert_eq!(said("slow.harm", -0.2), "none");
        assert_eq!(said("slow.harm", 1.3), "complete");
        assert_eq!(said("last.p99", 1.8_f64.ln()), "1.8 times control's");
        assert_eq!(said("last.p99", 1.04_f64.ln()), "1.04 times control's");
        assert_eq!(said("last.p99", 0.0), "1 times control's");
        assert_eq!(said("n.treatment", 12_400_f64.ln_1p()), "12 400");
        assert_eq!(said("rollout", 0.25), "25 %");
        assert_eq!(said("rollout.ln", 0.01_f64.ln()), "1 %");
        assert_eq!(said("rungs.open", 1.0), "1 rung");
        assert_eq!(said("rungs.above", 5.0), "5 rungs");
        assert_eq!(said("since.change", 4_f64.ln_1p()), "4 min");
        assert_eq!(said("age", 0.0), "0 s");
        assert_eq!(said("warming", 1.0), "yes");
        assert_eq!(said("interval", 6_f64.ln()), "6 times the usual");
        assert_eq!(said("taste", f64::NAN), "not a number");
        for feature in &FEATURES {
            assert!(![1e30, -1e30].iter().any(|value| in_words(feature, *value).len() > 40));
        }
    }
}
