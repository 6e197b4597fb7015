//! The table of what a training measures: name, unit, scale, and where it is in a point.
//!
//! The screen, the pictures and the lines all go through it, so that a metric is called and scaled the same everywhere.

use super::{Opponent, TrainingPoint, Validation};

/// How the axis of a metric is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// From 0 to a round number above the largest value.
    FromZero,
    /// Between round numbers around all values: the metric may be negative.
    Free,
    /// From 0 to 100 %, lower only where values are, and then not below -100 %.
    Share,
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// What it is called.
    pub name: &'static str,
    /// Its unit; empty where it has none.
    pub unit: &'static str,
    /// How its axis is chosen.
    pub scale: Scale,
    /// Its finite value in a point, in its unit.
    pub value: fn(&TrainingPoint) -> Option<f64>,
}

fn finite(value: Option<f64>) -> Option<f64> {
    value.filter(|value| value.is_finite())
}

fn in_percent(value: Option<f64>) -> Option<f64> {
    finite(value).map(|value| value * 100.0)
}

/// Every metric of an iteration, the most telling first. Cost and harm on validation are not among them: they are
/// measured now and then only, and against opponents.
pub const METRICS: &[Metric] = &[
    Metric { name: "reward", unit: "an episode", scale: Scale::Free, value: |point| finite(point.reward) },
    Metric { name: "entropy", unit: "nats", scale: Scale::FromZero, value: |point| finite(point.entropy) },
    Metric { name: "KL", unit: "nats", scale: Scale::FromZero, value: |point| finite(point.approx_kl) },
    Metric {
        name: "clipped",
        unit: "%",
        scale: Scale::FromZero,
        value: |point| in_percent(point.clip_fraction),
    },
    Metric {
        name: "explained variance",
        unit: "%",
        scale: Scale::Share,
        value: |point| in_percent(point.explained_variance),
    },
    Metric {
        name: "speed",
        unit: "steps/s",
        scale: Scale::FromZero,
        value: |point| finite(point.steps_per_second),
    },
    Metric {
        name: "episode length",
        unit: "intervals",
        scale: Scale::FromZero,
        value: |point| finite(point.episode_length),
    },
    Metric {
        name: "difficulty",
        unit: "%",
        scale: Scale::Share,
        value: |point| in_percent(point.difficulty),
    },
    Metric { name: "value loss", unit: "", scale: Scale::FromZero, value: |point| finite(point.value_loss) },
    Metric { name: "policy loss", unit: "", scale: Scale::Free, value: |point| finite(point.policy_loss) },
    Metric {
        name: "learning rate",
        unit: "",
        scale: Scale::FromZero,
        value: |point| finite(point.learning_rate),
    },
];

/// The next of 1, 2, 3, 5, 7, 10, 20 ... at or above a positive value.
fn round_above(value: f64) -> f64 {
    let decade = libm::pow(10.0, libm::floor(libm::log10(value)));
    let round = [1.0, 2.0, 3.0, 5.0, 7.0, 10.0].into_iter().map(|step| step * decade);
    round.into_iter().find(|step| *step >= value * 0.999).unwrap_or(value)
}

/// What a validation is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Measure {
    /// What it is called.
    pub name: &'static str,
    /// Its value in a validation.
    pub of: fn(&Validation) -> f64,
    /// Its value for a baseline.
    pub of_opponent: fn(&Opponent) -> f64,
}

/// All that a flag costs: what the weights that are kept are chosen by.
pub const COST: Measure =
    Measure { name: "cost", of: |found| found.cost, of_opponent: |opponent| opponent.cost };

/// Of that what users suffer.
pub const HARM: Measure =
    Measure { name: "harm", of: |found| found.harm, of_opponent: |opponent| opponent.harm };

/// Above so many times the worst opponent the axis is cut off: the beginning of a training would hide its end.
const CUT: f64 = 1.5;

impl Measure {
    /// The ends of its axis, for what the policy came to and the baselines' levels; and whether values go beyond the upper
    /// one.
    #[must_use]
    pub fn ends(self, values: impl Iterator<Item = f64>, levels: &[(f64, &str)]) -> ((f64, f64), bool) {
        let cut =
            levels.last().filter(|(level, _)| *level > 0.0).map_or(f64::INFINITY, |(level, _)| level * CUT);
        let mut high = f64::NEG_INFINITY;
        let values = values.filter(|value| value.is_finite()).inspect(|value| high = high.max(*value));
        let all: Vec<f64> = values.map(|value| value.min(cut)).collect();
        let ends = Scale::Free.ends(all.into_iter().chain(levels.iter().map(|(level, _)| *level)));
        (ends, high > ends.1)
    }
}

/// Of the values at either end of the axis this share may lie beyond it, where that opens it up.
const BEYOND: f64 = 0.02;

/// By so many times the rest of the values have to be spread wider with the outermost ones for those to be left out.
const WIDER: f64 = 1.5;

/// The ends of an axis, and whether values lie below and above them.
pub type Ends = ((f64, f64), (bool, bool));

impl Scale {
    /// The ends of the axis for these values, without the few outermost ones where those would flatten all others: the
    /// beginning of a training would hide the rest. And whether values lie below and above them.
    #[must_use]
    pub fn robust_ends(self, values: impl Iterator<Item = f64>) -> Ends {
        let mut all: Vec<f64> = values.filter(|value| value.is_finite()).collect();
        all.sort_by(f64::total_cmp);
        let (Some(least), Some(most)) = (all.first().copied(), all.last().copied()) else {
            return (self.ends(std::iter::empty()), (false, false));
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a part of a count"
        )]
        let left_out = (all.len() as f64 * BEYOND) as usize;
        let (low, high) = (all[left_out], all[all.len() - 1 - left_out]);
        // Where the axis begins at 0, what counts is how far the upper end is from there.
        let (spread, rest) = if self == Self::FromZero { (most, high) } else { (most - least, high - low) };
        let ends = if rest > 0.0 && spread > WIDER * rest {
            self.ends([low, high].into_iter())
        } else {
            self.ends([least, most].into_iter())
        };
        (ends, (least < ends.0 && self != Self::Share, most > ends.1))
    }

    /// The ends of the axis for these values: lower below upper, always. Without values 0 to 1, or to 100 %.
    #[must_use]
    pub fn ends(self, values: impl Iterator<Item = f64>) -> (f64, f64) {
        let found = values.filter(|value| value.is_finite()).fold(None, |ends, value| match ends {
            None => Some((value, value)),
            Some((low, high)) => Some((f64::min(low, value), f64::max(high, value))),
        });
        match (self, found) {
            (Self::Share, found) => {
                let low = found.map_or(0.0, |(low, _)| low);
                (if low < 0.0 { -round_above(-low).min(100.0) } else { 0.0 }, 100.0)
            }
            (_, None) => (0.0, 1.0),
            (Self::FromZero, Some((_, high))) => (0.0, if high > 0.0 { round_above(high) } else { 1.0 }),
            (Self::Free, Some((low, high))) => {
                let spread = high - low;
                // A constant gets an axis around it.
                let spread = match spread {
                    spread if spread > 0.0 => spread,
                    _ if low != 0.0 => low.abs(),
                    _ => 1.0,
                };
                let step = round_above(spread / 2.0);
                let (below, above) = (libm::floor(low / step) * step, libm::ceil(high / step) * step);
                if below < above { (below, above) } else { (below, below + step) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers_around_every_value() {
        let ends = |scale: Scale, values: &[f64]| scale.ends(values.iter().copied());
        assert_eq!(ends(Scale::FromZero, &[0.2, 42.0]), (0.0, 50.0));
        assert_eq!(ends(Scale::FromZero, &[]), (0.0, 1.0));
        assert_eq!(ends(Scale::FromZero, &[0.0, 0.0]), (0.0, 1.0));
        assert_eq!(ends(Scale::Free, &[-31.0, -4.0]), (-40.0, 0.0));
        assert_eq!(ends(Scale::Free, &[3.0, 3.0]), (2.0, 4.0));
        assert_eq!(ends(Scale::Free, &[-0.25]), (-0.4, -0.2));
        assert_eq!(ends(Scale::Free, &[0.0]), (0.0, 0.5));
        assert_eq!(ends(Scale::Share, &[-12.0, 80.0]), (-20.0, 100.0));
        assert_eq!(ends(Scale::Share, &[-900.0]), (-100.0, 100.0));
        assert_eq!(ends(Scale::Share, &[f64::NAN]), (0.0, 100.0));
    }

    #[test]
    fn an_axis_is_not_made_for_the_beginning_of_a_training() {
        let ends = |values: &[f64], levels: &[(f64, &str)]| COST.ends(values.iter().copied(), levels);
        let rivals = [(174.0, "rule"), (253.0, "flagger")];
        assert_eq!(ends(&[181.0, 150.0], &rivals), ((140.0, 280.0), false), "every rival is in it");
        let (found, more) = ends(&[9_000.0, 150.0], &rivals);
        assert!(more && found.1 < 500.0, "{found:?}");
        assert_eq!(ends(&[900.0, 800.0], &[]).0, (800.0, 900.0));
        let mut reward: Vec<f64> = (0..100).map(|at| -100.0 - f64::from(at % 10)).collect();
        reward[0] = -1_500.0;
        let (found, beyond) = Scale::Free.robust_ends(reward.iter().copied());
        assert!(found.0 >= -120.0 && beyond == (true, false), "{found:?} {beyond:?}");
        let (found, beyond) = Scale::FromZero.robust_ends([0.02; 99].into_iter().chain([1.0]));
        assert_eq!((found, beyond), ((0.0, 0.02), (false, true)));
        let (found, beyond) = Scale::FromZero.robust_ends((1..=100).map(f64::from));
        assert_eq!((found, beyond), ((0.0, 100.0), (false, false)), "nothing stands apart");
        assert_eq!(Scale::Free.robust_ends([f64::NAN].into_iter()), ((0.0, 1.0), (false, false)));
    }

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), METRICS.len());
    }
}
