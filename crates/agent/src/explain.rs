//! Why PPO-Master chose what it chose, by occlusion: how its choice changes when it does not see a feature.
//!
//! The odds of the choice against the other legal ones are compared with those where one feature is at its training
//! mean (Zeiler and Fergus, 2014, section 4; Robnik-Šikonja and Kononenko, 2008, for the difference of log-odds). That
//! says what moved the network, not what is true of the flag. Features are said in words and units; what is done with
//! that is not this file's business.

use super::{
    CHOICES, Choice, FEATURE_COUNT, FEATURES, Feature, Features, Unit, Weights,
    feature::{MAX_MARGINS, MAX_SIGMAS, MIN_MARGINS},
};
use knightwatch_core::{control::grouped, telemetry::Millis};

/// What `ln(treatment / control)` is clipped at: twenty times as much.
const MAX_LN_RATIO: f64 = 3.0;

/// Less than this from a clip is at it: the network's numbers are short.
const NEARLY: f64 = 1e-3;

/// What is said of larger values, so that a logarithm undone is still a number that fits a line.
const MAX: f64 = 25.0;

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

/// What is set, and what follows from the traffic alone: they weigh in every choice and say nothing of how the flag does.
const CONSTANT: [&str; 2] = ["harm_weight", "interval"];

/// The positions of the two that moved the choice most towards it, most first; fewer where fewer did. What is set
/// is not among them.
#[must_use]
pub fn moved_most(influences: &[f32; FEATURE_COUNT]) -> Vec<usize> {
    let mut towards: Vec<usize> = (0..FEATURE_COUNT)
        .filter(|at| influences[*at] > 0.0 && !CONSTANT.contains(&FEATURES[*at].key))
        .collect();
    towards.sort_by(|a, b| influences[*b].total_cmp(&influences[*a]).then(a.cmp(b)));
    towards.truncate(2);
    towards
}

/// Those two as clauses: `errors since the last change (3.2 standard errors above control)`.
#[must_use]
pub fn moved_by(influences: &[f32; FEATURE_COUNT], features: &Features) -> Vec<String> {
    moved_most(influences).into_iter().map(|at| clause(&FEATURES[at], features[at])).collect()
}

/// A feature and its value in one clause. Evidence that there is none of is no sign, not a sign of none.
#[must_use]
pub fn clause(feature: &Feature, value: f32) -> String {
    if feature.unit == Unit::Needed && value <= 0.0 {
        return match feature.about.strip_prefix("proof that ") {
            Some(worse) if worse.ends_with("no worse") => format!("no proof that {worse}"),
            Some(worse) => format!("no sign that {worse}"),
            None => format!("no {}", feature.about),
        };
    }
    format!("{} ({})", feature.about, in_words(feature, value))
}

/// A feature's value as people read it, with its unit: logarithms are undone.
#[must_use]
pub fn in_words(feature: &Feature, value: f32) -> String {
    let value = f64::from(value);
    if !value.is_finite() {
        return "not a number".to_owned();
    }
    // No feature gets near; what is read from a file might.
    let value = value.clamp(-MAX, MAX);
    match feature.unit {
        Unit::Sigmas => sigmas(feature.key, value),
        Unit::LogShare => {
            let percent = libm::copysign(libm::expm1(value.abs()) / 100.0, value);
            match feature.key {
                // A level, not a difference.
                "control.errors" => format!("{percent:.2} %"),
                "ramp.spent" => format!("{percent:.2} % of an interval's"),
                _ => format!("{percent:+.2} percentage points"),
            }
        }
        Unit::Margins => {
            let clipped = value >= MAX_MARGINS || value <= MIN_MARGINS;
            let below = if value < 0.0 { " below 0" } else { "" };
            format!("{}{} times the margin{below}", digits(value.abs()), or_more(clipped))
        }
        // Evidence to the contrary is no less than none.
        Unit::Needed if value <= 0.0 => "none".to_owned(),
        Unit::Needed if value >= 1.0 => "complete".to_owned(),
        Unit::Needed => format!("{:.0} % of what is needed", value * 100.0),
        Unit::LnRatio if value.abs() >= MAX_LN_RATIO - NEARLY => {
            format!("{} times control's or {}", factor(value), if value < 0.0 { "less" } else { "more" })
        }
        Unit::LnRatio => format!("{} times control's", factor(value)),
        Unit::LnCount => grouped(rounded(libm::expm1(value))),
        Unit::Share => format!("{} %", digits(value * 100.0)),
        Unit::LnShare => format!("{} %", digits(libm::exp(value) * 100.0)),
        Unit::LnMinutes => Millis::from_secs(rounded(libm::expm1(value) * 60.0)).to_string(),
        Unit::Rungs => format!("{value:.0} rung{}", if (value - 1.0).abs() < 0.5 { "" } else { "s" }),
        Unit::YesNo => if value > 0.5 { "yes" } else { "no" }.to_owned(),
        Unit::LnFactor if feature.key == "missing.share" => format!("{} times what it shows", factor(value)),
        Unit::LnFactor if feature.key == "harm_weight" => format!("{} times the judge's", factor(value)),
        Unit::LnFactor => format!("{} times the usual", factor(value)),
    }
}

/// How far treatment is from control in standard errors, with the sign in words. At the clip more would look the same.
fn sigmas(key: &str, value: f64) -> String {
    let said = digits(value.abs());
    if said == "0" {
        return "0 standard errors".to_owned();
    }
    let which = match (key, value < 0.0) {
        ("missing.z", false) => "",
        ("missing.z", true) => " too many",
        ("trend.errors", false) => " up",
        ("trend.errors", true) => " down",
        (_, false) => " above control",
        (_, true) => " below control",
    };
    let plural = if said == "1" { "" } else { "s" };
    format!("{said}{} standard error{plural}{which}", or_more(value.abs() >= MAX_SIGMAS - NEARLY))
}

const fn or_more(clipped: bool) -> &'static str {
    if clipped { " or more" } else { "" }
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
fn rounded(value: f64) -> u64 {
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
    use crate::{HIDDEN, Normaliser, Parameters};

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
                "errors since the last change (3.2 standard errors above control)",
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
    fn what_is_the_same_all_session_long_explains_nothing() {
        let mut all = [0.0; FEATURE_COUNT];
        for (key, influence) in [("harm_weight", 3.0), ("interval", 2.0), ("age", 1.0)] {
            all[place(key)] = influence;
        }
        assert_eq!(moved_most(&all), [place("age")]);
    }

    #[test]
    fn evidence_that_there_is_none_of_is_no_sign() {
        let said = |key: &str, value: f32| clause(&FEATURES[place(key)], value);
        assert_eq!(said("slow.harm", -0.7), "no sign that P99 is worse");
        assert_eq!(said("errors.health", 0.0), "no proof that errors are no worse");
        assert_eq!(said("slow.harm", 0.85), "proof that P99 is worse (85 % of what is needed)");
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
        assert_eq!(said("errors.z", -1.04), "1 standard error below control");
        assert_eq!(said("errors.z", 8.0), "8 or more standard errors above control");
        assert_eq!(said("six.p99", 3.0), "20.1 times control's or more");
        assert_eq!(said("errors.high", 8.0), "8 or more times the margin");
        assert_eq!(said("errors.low", -1.2), "1.2 times the margin below 0");
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
        assert_eq!(said("harm_weight", f64::NAN), "not a number");
        for feature in &FEATURES {
            assert!(![1e30, -1e30].iter().any(|value| in_words(feature, *value).len() > 40));
        }
    }
}
