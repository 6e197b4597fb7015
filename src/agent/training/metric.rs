//! The table of what a training measures: name, unit, scale, and where it is in a point.
//!
//! The screen, the pictures and the lines all go through it, so that a metric is called and scaled the same everywhere.

use super::TrainingPoint;

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

/// Every metric of an iteration, the most telling first. Harm on validation is not among them: it is measured now and
/// then only, and against an opponent.
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

/// Above so many times the opponent's harm the axis of harm is cut off: the beginning of a training would hide its end.
const CUT: f64 = 4.0;

/// The ends of the axis of harm, for its largest value and the opponent's; and whether values go beyond it.
#[must_use]
pub fn harm_ends(high: f64, opponent: Option<f64>) -> ((f64, f64), bool) {
    let cut = opponent.filter(|opponent| *opponent > 0.0).map_or(f64::INFINITY, |opponent| opponent * CUT);
    let high = opponent.map_or(high, |opponent| high.max(opponent));
    let ends = Scale::FromZero.ends(std::iter::once(high.min(cut)));
    (ends, high > ends.1)
}

impl Scale {
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
    fn the_axis_of_harm_is_not_made_for_its_beginning() {
        assert_eq!(harm_ends(9.0, Some(4.0)), ((0.0, 10.0), false));
        assert_eq!(harm_ends(900.0, Some(4.0)), ((0.0, 20.0), true));
        assert_eq!(harm_ends(1.0, Some(4.0)), ((0.0, 5.0), false), "the opponent is always in it");
        assert_eq!(harm_ends(900.0, None), ((0.0, 1_000.0), false));
    }

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), METRICS.len());
    }
}
