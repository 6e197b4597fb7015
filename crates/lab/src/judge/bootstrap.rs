//! How sure a mean over scenarios is: the paired bootstrap.
//!
//! Scenarios are resampled with replacement, and the statistic is taken each time; what lies between the 2.5 % and
//! 97.5 % quantiles is its interval (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13: the
//! percentile interval). Policies that met the same scenarios are compared scenario by scenario, so that what makes
//! a scenario hard for both cancels out. Of fewer than about twenty scenarios the interval is too short, of one it has no
//! width at all. It knows nothing of what the numbers mean.

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::Serialize;

use knightwatch_core::telemetry::normal_quantile;

/// A mean and the interval that it is known to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Estimate {
    /// Over the scenarios as they were.
    pub mean: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// How often scenarios are resampled, for which confidence, from which seed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bootstrap {
    /// Resamples; at least 1 is used. 2 000 put the ends of a 95 % interval where they belong to within a few per cent
    /// of its width.
    pub resamples: u32,
    /// The share of intervals that hold the truth, between 0 and 1.
    pub confidence: f64,
    /// The same seed and number of scenarios give the same resamples, whatever is resampled.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { resamples: 2_000, confidence: 0.95, seed: 0 }
    }
}

impl Bootstrap {
    /// The mean of `values`, one for each scenario. None where there is no scenario.
    #[must_use]
    pub fn mean(&self, values: &[f64]) -> Option<Estimate> {
        let terms: Vec<_> = values.iter().map(|value| (*value, 1.0)).collect();
        self.ratio(&terms)
    }

    /// The mean of `of[i] - than[i]`, scenario by scenario. None where there is no scenario, or not as many of each.
    #[must_use]
    pub fn difference(&self, of: &[f64], than: &[f64]) -> Option<Estimate> {
        if of.len() != than.len() {
            return None;
        }
        let terms: Vec<_> = of.iter().zip(than).map(|(of, than)| (of - than, 1.0)).collect();
        self.ratio(&terms)
    }

    /// A sum over a sum, such as failures over flags, where a scenario adds to both: `(numerator, denominator)` for
    /// each scenario. None where the denominators do not come to more than 0; a resample in which they do not says nothing
    /// and is left out.
    #[must_use]
    pub fn ratio(&self, terms: &[(f64, f64)]) -> Option<Estimate> {
        let (above, below) = sum(terms.iter());
        if below <= 0.0 {
            return None;
        }
        let mut generator = Pcg64Mcg::seed_from_u64(self.seed);
        let ratios = (0..self.resamples.max(1)).filter_map(|_| {
            let drawn = terms.iter().map(|_| &terms[below_bound(&mut generator, terms.len())]);
            let (above, below) = sum(drawn);
            (below > 0.0).then(|| above / below)
        });
        Some(self.between(above / below, ratios.collect()))
    }

    /// A share of things, such as bad flags that were missed: `(hits, things)` for each scenario. As [`Self::ratio`]; but where all
    /// or none are hits, every resample says the same, and the interval is Wilson's ("Probable inference, the law of succession,
    /// and statistical inference", 1927) for as many things as there are.
    #[must_use]
    pub fn share(&self, terms: &[(f64, f64)]) -> Option<Estimate> {
        let drawn = self.ratio(terms)?;
        let (hits, of) = sum(terms.iter());
        if hits > 0.0 && hits < of {
            return Some(drawn);
        }
        let z = normal_quantile(f64::midpoint(1.0, self.confidence.clamp(0.0, 1.0 - f64::EPSILON)));
        let far = z * z / (of + z * z);
        Some(if hits > 0.0 { Estimate { low: 1.0 - far, ..drawn } } else { Estimate { high: far, ..drawn } })
    }

    /// The mean of the largest `share` of all values (`CVaR` at 1 - `share`), where a scenario has any number of them; they
    /// are resampled scenario by scenario. None where there is no value.
    #[must_use]
    pub fn tail<'a>(&self, scenarios: impl IntoIterator<Item = &'a [f64]>, share: f64) -> Option<Estimate> {
        let (mean, drawn) = self.tails(scenarios, share)?;
        Some(self.between(mean, drawn.into_iter().flatten().collect()))
    }

    /// Such a mean over another on the same scenarios, which are resampled for both at once. None where there is no value of
    /// either, or the other's mean is not above 0.
    #[must_use]
    pub fn tails_ratio<'a>(
        &self,
        of: impl IntoIterator<Item = &'a [f64]>,
        over: impl IntoIterator<Item = &'a [f64]>,
        share: f64,
    ) -> Option<Estimate> {
        let ((of, above), (over, below)) = (self.tails(of, share)?, self.tails(over, share)?);
        let ratio = |(above, below): (f64, f64)| (below > 0.0).then(|| above / below);
        let drawn = above.into_iter().zip(below).filter_map(|(above, below)| ratio((above?, below?)));
        Some(self.between(ratio((of, over))?, drawn.collect()))
    }

    /// The mean of the largest `share` of all values, and of each resample; of one without a value None.
    fn tails<'a>(
        &self,
        scenarios: impl IntoIterator<Item = &'a [f64]>,
        share: f64,
    ) -> Option<(f64, Vec<Option<f64>>)> {
        let mut values: Vec<(usize, f64)> = Vec::new();
        let mut count = 0;
        for (scenario, its) in scenarios.into_iter().enumerate() {
            values.extend(its.iter().map(|value| (scenario, *value)));
            count += 1;
        }
        values.sort_by(|one, other| other.1.total_cmp(&one.1));
        let mut times = vec![1_u32; count];
        let mean = mean_of_worst(values.iter().map(|(_, value)| (*value, 1.0)), share)?;
        let mut generator = Pcg64Mcg::seed_from_u64(self.seed);
        let drawn = (0..self.resamples.max(1)).map(|_| {
            times.fill(0);
            for _ in 0..count {
                times[below_bound(&mut generator, count)] += 1;
            }
            mean_of_worst(values.iter().map(|(scenario, value)| (*value, f64::from(times[*scenario]))), share)
        });
        Some((mean, drawn.collect()))
    }

    /// A statistic with the interval between the quantiles of its resamples.
    fn between(&self, mean: f64, mut resamples: Vec<f64>) -> Estimate {
        resamples.sort_by(f64::total_cmp);
        let tail = (1.0 - self.confidence.clamp(0.0, 1.0)) / 2.0;
        let at = |share| quantile(&resamples, share).unwrap_or(mean);
        Estimate { mean, low: at(tail), high: at(1.0 - tail) }
    }
}

/// The mean of the largest `share` of the values, which come with their weights and the largest first; of a value that
/// lies on the border only its part counts. None where there is no weight. Rockafellar and Uryasev, "Conditional
/// value-at-risk for general loss distributions" (2002), for a finite sample.
fn mean_of_worst(values: impl Iterator<Item = (f64, f64)> + Clone, share: f64) -> Option<f64> {
    let weight = share * values.clone().map(|(_, weight)| weight).sum::<f64>();
    if weight <= 0.0 {
        return None;
    }
    let (mut left, mut sum) = (weight, 0.0);
    for (value, weight) in values {
        let part = left.min(weight);
        sum += part * value;
        left -= part;
        if left <= 0.0 {
            break;
        }
    }
    Some(sum / weight)
}

/// The mean of `values` and its standard error; both 0 where there is none.
#[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
pub(super) fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let n = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    (mean, libm::sqrt(squares) / n)
}

fn sum<'a>(terms: impl Iterator<Item = &'a (f64, f64)>) -> (f64, f64) {
    terms.fold((0.0, 0.0), |(above, below), term| (above + term.0, below + term.1))
}

/// A number below `bound`, each as likely to within 2^-32, and the same on any machine.
fn below_bound(generator: &mut Pcg64Mcg, bound: usize) -> usize {
    let drawn = ((generator.next_u64() >> 32) * bound as u64) >> 32;
    usize::try_from(drawn).unwrap_or_default()
}

/// The quantile of sorted values, straight between the two nearest; None where there is none.
pub(super) fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
    let place = share.clamp(0.0, 1.0) * last as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and the last index"
    )]
    let index = place as usize;
    let (low, high) = (sorted[index], sorted[(index + 1).min(last)]);
    Some(low + (high - low) * (place - libm::floor(place)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uniform(generator: &mut Pcg64Mcg) -> f64 {
        f64::from(u32::try_from(generator.next_u64() >> 32).unwrap()) / 4_294_967_296.0
    }

    #[test]
    fn nothing_seen_among_a_few_is_not_nothing() {
        let bootstrap = Bootstrap::default();
        let none = bootstrap.share(&[(0.0, 50.0), (0.0, 50.0)]).unwrap();
        // Wilson for 0 of 100 at 95 %: 3.70 %.
        assert!(
            none.mean.abs() < 1e-12 && none.low.abs() < 1e-12 && (none.high - 0.037).abs() < 5e-5,
            "{none:?}"
        );
        let all = bootstrap.share(&[(50.0, 50.0), (50.0, 50.0)]).unwrap();
        assert!((all.low - 0.963).abs() < 5e-5 && (all.high - 1.0).abs() < 1e-12, "{all:?}");
        let some = [(1.0, 50.0), (0.0, 50.0)];
        assert_eq!(bootstrap.share(&some), bootstrap.ratio(&some));
        assert_eq!(bootstrap.share(&[(0.0, 0.0)]), None);
    }

    #[test]
    fn of_nothing_there_is_no_mean() {
        let bootstrap = Bootstrap::default();
        assert_eq!(bootstrap.mean(&[]), None);
        assert_eq!(bootstrap.difference(&[1.0], &[]), None);
        assert_eq!(bootstrap.ratio(&[(0.0, 0.0), (3.0, 0.0)]), None);
    }

    #[test]
    fn what_does_not_vary_is_known_exactly() {
        let estimate = Bootstrap::default().mean(&[4.5; 30]).unwrap();
        assert_eq!(estimate, Estimate { mean: 4.5, low: 4.5, high: 4.5 });
    }

    #[test]
    fn of_two_scenarios_nothing_between_them_can_be_excluded() {
        // Both the same one in a quarter of the resamples each: far more than 2.5 %.
        let estimate = Bootstrap::default().mean(&[0.0, 1.0]).unwrap();
        assert_eq!(estimate, Estimate { mean: 0.5, low: 0.0, high: 1.0 });
    }

    #[test]
    fn half_of_a_hundred_is_known_to_a_tenth() {
        // Binomial: the 2.5 % and 97.5 % quantiles of 100 draws at 1/2 are 40 and 60.
        let values: Vec<f64> = (0..100).map(|index| f64::from(index % 2)).collect();
        let estimate = Bootstrap { resamples: 20_000, ..Bootstrap::default() }.mean(&values).unwrap();
        assert!((estimate.low - 0.40).abs() < 0.011 && (estimate.high - 0.60).abs() < 0.011, "{estimate:?}");
    }

    #[test]
    fn a_pair_is_compared_scenario_by_scenario() {
        // Scenarios differ by hundreds, the policies by exactly one.
        let than: Vec<f64> = (0..50).map(|index| f64::from(index * index)).collect();
        let of: Vec<f64> = than.iter().map(|value| value + 1.0).collect();
        let estimate = Bootstrap::default().difference(&of, &than).unwrap();
        assert_eq!(estimate, Estimate { mean: 1.0, low: 1.0, high: 1.0 });
        let alone = Bootstrap::default().mean(&of).unwrap();
        assert!(alone.high - alone.low > 100.0, "{alone:?}");
    }

    #[test]
    fn a_ratio_weighs_scenarios_by_their_denominator() {
        let estimate = Bootstrap::default().ratio(&[(1.0, 1.0), (0.0, 3.0), (7.0, 0.0)]).unwrap();
        assert!((estimate.mean - 2.0).abs() < 1e-12, "{estimate:?}");
    }

    #[test]
    fn the_tail_is_the_mean_of_the_worst_twentieth() {
        let tail =
            |values: &[f64]| Bootstrap::default().tail(values.chunks(1), 0.05).map(|estimate| estimate.mean);
        let values: Vec<f64> = (1..=40).map(f64::from).collect();
        assert!((tail(&values).unwrap() - 39.5).abs() < 1e-12);
        // Of 30 values it is the worst one and half of the next.
        assert!((tail(&values[..30]).unwrap() - (30.0 + 0.5 * 29.0) / 1.5).abs() < 1e-12);
        assert!((tail(&[3.0, 9.0]).unwrap() - 9.0).abs() < 1e-12, "of a few the worst");
        assert_eq!(tail(&[]), None);
    }

    #[test]
    fn tails_are_compared_scenario_by_scenario() {
        let values: Vec<f64> = (1..=60).map(|index| f64::from(index * index)).collect();
        let halves: Vec<f64> = values.iter().map(|value| value / 2.0).collect();
        let half = Bootstrap::default().tails_ratio(halves.chunks(1), values.chunks(1), 0.05).unwrap();
        assert_eq!(half, Estimate { mean: 0.5, low: 0.5, high: 0.5 });
        // Of other scenarios the ratio is known far worse.
        let turned: Vec<f64> = halves.iter().rev().copied().collect();
        let apart = Bootstrap::default().tails_ratio(turned.chunks(1), values.chunks(1), 0.05).unwrap();
        assert!(apart.low < 0.49 && apart.high > 0.51, "{apart:?}");
        assert_eq!(Bootstrap::default().tails_ratio(values.chunks(1), [&[0.0][..]; 60], 0.05), None);
    }

    #[test]
    fn a_tail_is_resampled_scenario_by_scenario() {
        // All that is bad is in one scenario of ten: it is left out of 35 resamples in 100, and then there is no tail.
        let mut scenarios = vec![vec![0.0; 4]; 9];
        scenarios.push(vec![8.0; 4]);
        let estimate = Bootstrap::default().tail(scenarios.iter().map(Vec::as_slice), 0.05).unwrap();
        assert_eq!(estimate, Estimate { mean: 8.0, low: 0.0, high: 8.0 });
        assert_eq!(Bootstrap::default().tail([&[][..], &[]], 0.05), None);
    }

    #[test]
    fn ninety_five_of_a_hundred_intervals_hold_the_truth() {
        // Skewed data, exponential of mean 1; the percentile interval is known to be a little short on such.
        let mut generator = Pcg64Mcg::seed_from_u64(11);
        let mut mean_held = 0;
        let mut difference_held = 0;
        for seed in 0..1_000 {
            let bootstrap = Bootstrap { resamples: 400, seed, ..Bootstrap::default() };
            let mut draw = || -libm::log(1.0 - uniform(&mut generator));
            let hardness: Vec<f64> = (0..100).map(|_| draw()).collect();
            let other: Vec<f64> = hardness.iter().map(|hard| 0.5 * hard + 0.5 * draw()).collect();
            let mean = bootstrap.mean(&hardness).unwrap();
            mean_held += i32::from(mean.low <= 1.0 && 1.0 <= mean.high);
            let difference = bootstrap.difference(&hardness, &other).unwrap();
            difference_held += i32::from(difference.low <= 0.0 && 0.0 <= difference.high);
        }
        assert!((915..=970).contains(&mean_held), "{mean_held} of 1000");
        assert!((920..=975).contains(&difference_held), "{difference_held} of 1000");
    }

    #[test]
    fn a_quantile_lies_straight_between_its_neighbours() {
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&[3.0], 0.9), Some(3.0));
        assert_eq!(quantile(&[0.0, 1.0, 2.0, 4.0], 0.5), Some(1.5));
        assert_eq!(quantile(&[0.0, 1.0, 2.0, 4.0], 1.0), Some(4.0));
    }
}
