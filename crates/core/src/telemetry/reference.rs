//! The baseline: what earlier control windows looked like, with the old fading away.
//!
//! It gives the threshold q of the P99 comparison (taken from *earlier* windows, so that the control arm's own noise
//! in the window under test plays no part), the error rate that a healthy treatment is measured by, and the control
//! of a flag that is at 100 % and has no other.

use super::{ArmStats, BUCKET_COUNT, Histogram, Sample, lower_edge_ms};

/// Fewest requests of an interval that says something of how much intervals differ.
const MIN_SPREAD: f64 = 20.0;

/// Intervals after which a rechecked baseline is mostly of what came since.
const SETTLING: u32 = 10;

/// Weight, in requests, of the guess that precedes all data: an error rate of 0.1 %.
const PRIOR_REQUESTS: f64 = 500.0;
const PRIOR_ERRORS: f64 = 0.5;

/// Share of requests that are slow by definition: those beyond P99.
const SLOW_SHARE: f64 = 0.01;

/// Fewest requests from which a P99 threshold is taken: below about 100 it is the maximum.
const MIN_REQUESTS: f64 = 100.0;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reference {
    counts: [f32; BUCKET_COUNT],
    latencies: f64,
    requests: f64,
    errors: f64,
    spread: Spread,
    /// Intervals until differences from the record are control's own again, and not the record's age.
    settling: u32,
}

impl Default for Reference {
    fn default() -> Self {
        Self {
            counts: [0.0; BUCKET_COUNT],
            latencies: 0.0,
            requests: 0.0,
            errors: 0.0,
            spread: Spread::default(),
            settling: 0,
        }
    }
}

/// By how much more than chance control's error rate differs from interval to interval: the method of moments, the
/// squared difference from the record less the binomial variance, weighted by requests. At 99 % few are left in control, and of
/// twenty one that fails by chance is five points.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Spread {
    weight: f64,
    squared: f64,
}

impl Spread {
    /// An interval in which `bad` of `n` requests failed, where `usual` is the record's share.
    fn add(&mut self, (bad, n): (f64, f64), usual: f64, baseline_decay: f64) {
        if n < MIN_SPREAD {
            return;
        }
        let difference = bad / n - usual;
        self.weight = self.weight * baseline_decay + n;
        self.squared =
            self.squared * baseline_decay + n * (difference * difference - usual * (1.0 - usual) / n);
    }

    /// The variance between intervals.
    fn variance(self) -> f64 {
        if self.weight > 0.0 { (self.squared / self.weight).max(0.0) } else { 0.0 }
    }
}

/// The threshold beyond which a request is slow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Slow {
    /// First bucket that counts as slow.
    pub(super) edge: usize,
    /// Its lower edge, in milliseconds.
    pub(super) ms: f64,
    /// Share of control's requests beyond it; near 1 %, as far as buckets allow.
    pub(super) share: f64,
}

impl Reference {
    /// Takes in a control sample; `baseline_decay` is what is kept of the past.
    pub(super) fn learn(&mut self, sample: &Sample, baseline_decay: f64) {
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let total = sample.latency.total() as f64;
        self.settling = self.settling.saturating_sub(1);
        if self.requests >= MIN_REQUESTS && self.settling == 0 {
            let errors = (f64::from(sample.errors), f64::from(sample.requests));
            self.spread.add(errors, self.error_share(), baseline_decay);
        }
        #[expect(clippy::cast_possible_truncation, reason = "a factor near one; f32 is fine enough")]
        let keep = baseline_decay as f32;
        for (mine, new) in self.counts.iter_mut().zip(sample.latency.counts()) {
            #[expect(clippy::cast_precision_loss, reason = "relative precision is all that matters")]
            let new = *new as f32;
            *mine = *mine * keep + new;
        }
        self.latencies = self.latencies * baseline_decay + total;
        self.requests = self.requests * baseline_decay + f64::from(sample.requests);
        self.errors = self.errors * baseline_decay + f64::from(sample.errors);
    }

    /// Keeps so much of its weight, 0 to 1; its shares stay as they are until it learns on.
    pub(super) fn fade(&mut self, keep: f64) {
        #[expect(clippy::cast_possible_truncation, reason = "a factor; f32 is fine enough")]
        let small = keep as f32;
        self.counts.iter_mut().for_each(|count| *count *= small);
        self.latencies *= keep;
        self.requests *= keep;
        self.errors *= keep;
        self.spread = Spread::default();
        self.settling = SETTLING;
    }

    /// The error rate, 0 to 1, drawn towards 0.1 % while there is little to go by.
    pub(super) fn error_rate(&self) -> f64 {
        (self.errors + PRIOR_ERRORS) / (self.requests + PRIOR_REQUESTS)
    }

    /// The error rate without that guess: where little is seen and much fails, it would be far off.
    pub(super) fn error_share(&self) -> f64 {
        (self.errors + 0.5) / (self.requests + 1.0)
    }

    /// The variance of control's error rate between intervals, beyond chance.
    pub(super) fn errors_variance(&self) -> f64 {
        self.spread.variance()
    }

    /// Requests it stands for.
    pub(super) const fn requests(&self) -> f64 {
        self.requests
    }

    pub(super) const fn errors(&self) -> f64 {
        self.errors
    }

    pub(super) const fn latencies(&self) -> f64 {
        self.latencies
    }

    /// Requests at or beyond bucket `edge`.
    pub(super) fn at_or_above(&self, edge: usize) -> f64 {
        self.counts[edge.min(BUCKET_COUNT)..].iter().map(|count| f64::from(*count)).sum()
    }

    /// The bucket edge whose share beyond comes nearest to 1 % (on a logarithmic scale).
    pub(super) fn slow(&self) -> Option<Slow> {
        if self.latencies < MIN_REQUESTS {
            return None;
        }
        let target = SLOW_SHARE * self.latencies;
        let mut above = 0.0;
        for edge in (1..BUCKET_COUNT).rev() {
            let beyond = above;
            above += f64::from(self.counts[edge]);
            if above < target {
                continue;
            }
            // The edge above this one is the last with less than 1 % beyond it; the nearer of the two counts.
            let (edge, above) = if beyond > 0.0 && target / beyond < above / target {
                (edge + 1, beyond)
            } else {
                (edge, above)
            };
            return Some(Slow { edge, ms: lower_edge_ms(edge), share: above / self.latencies });
        }
        // P99 lies in the first bucket: whatever leaves that is slow. Half a request stands for none at all.
        Some(Slow { edge: 1, ms: lower_edge_ms(1), share: above.max(0.5) / self.latencies })
    }

    /// As the statistics of an arm.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rounded counts, never negative"
    )]
    pub(super) fn stats(&self) -> ArmStats {
        let mut histogram = Histogram::default();
        for (index, count) in self.counts.iter().enumerate() {
            histogram.add_to_bucket(index, libm::roundf(*count) as u32);
        }
        ArmStats {
            requests: libm::round(self.requests) as u64,
            errors: libm::round(self.errors) as u64,
            p99_ms: histogram.quantile_ms(0.99),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        flag::FlagId,
        telemetry::{Arm, Millis},
    };

    fn sample(latencies: &[(f64, u32)]) -> Sample {
        let mut latency = Histogram::default();
        for (ms, requests) in latencies {
            latency.record(*ms, *requests);
        }
        Sample {
            flag: FlagId(0),
            arm: Arm::Control,
            start: Millis::ZERO,
            span: Millis::from_secs(10),
            requests: u32::try_from(latency.total()).unwrap(),
            errors: 0,
            latency,
            assumed: false,
        }
    }

    #[test]
    fn a_few_stragglers_far_out_do_not_move_the_threshold() {
        let mut reference = Reference::default();
        reference.learn(&sample(&[(50.0, 9_880), (420.0, 100), (5_000.0, 15), (40_000.0, 5)]), 0.97);
        let slow = reference.slow().unwrap();
        assert!((300.0..420.0).contains(&slow.ms), "{slow:?}");
        assert!((0.011..0.013).contains(&slow.share), "{slow:?}");
    }

    #[test]
    fn the_nearer_of_two_edges_is_taken() {
        let mut reference = Reference::default();
        // 0.9 % beyond 400 ms, 40 % beyond 100 ms: 400 ms it is.
        reference.learn(&sample(&[(50.0, 6_000), (100.0, 3_910), (420.0, 90)]), 0.97);
        let slow = reference.slow().unwrap();
        assert!((0.008..0.01).contains(&slow.share), "{slow:?}");
    }

    #[test]
    fn a_service_faster_than_the_first_edge_has_a_threshold() {
        let mut reference = Reference::default();
        reference.learn(&sample(&[(0.4, 10_000)]), 0.97);
        let slow = reference.slow().unwrap();
        assert_eq!(slow.edge, 1);
        assert!(slow.share > 0.0 && slow.share < 0.001, "{slow:?}");
    }

    #[test]
    fn too_little_gives_no_threshold() {
        let mut reference = Reference::default();
        reference.learn(&sample(&[(50.0, 99)]), 0.97);
        assert_eq!(reference.slow(), None);
    }

    fn failing(errors: u32) -> Sample {
        Sample { errors, ..sample(&[(50.0, 1_000)]) }
    }

    #[test]
    fn what_control_moves_beyond_chance_is_its_spread() {
        let mut steady = Reference::default();
        (0..200).for_each(|at| steady.learn(&failing(90 + 5 * (at % 5)), 0.97));
        assert!(steady.errors_variance() < 1e-9, "no more than chance: {}", steady.errors_variance());
        let mut moving = Reference::default();
        // 5 % and 15 % in turn: a standard deviation of five points.
        (0..200).for_each(|at| moving.learn(&failing(50 + 100 * (at % 2)), 0.97));
        let sd = moving.errors_variance().sqrt();
        assert!((sd - 0.05).abs() < 0.005, "{sd}");
    }

    #[test]
    fn a_service_of_which_little_is_seen_and_much_fails_has_no_spread_either() {
        let mut reference = Reference::default();
        let failing = Sample { requests: 50, errors: 5, ..sample(&[(50.0, 50)]) };
        (0..60).for_each(|_| reference.learn(&failing, 0.97));
        assert!(reference.errors_variance() < 1e-9, "{}", reference.errors_variance());
    }

    #[test]
    fn what_fails_by_chance_among_few_is_no_spread() {
        let mut reference = Reference::default();
        (0..60).for_each(|_| reference.learn(&failing(2), 0.97));
        for at in 0..12 {
            let few = Sample { requests: 20, errors: u32::from(at == 6), ..sample(&[(50.0, 20)]) };
            reference.learn(&few, 0.97);
        }
        let sd = reference.errors_variance().sqrt();
        assert!(sd < 0.002, "{sd}");
    }

    #[test]
    fn a_baseline_that_was_rechecked_follows_what_comes_then() {
        let mut reference = Reference::default();
        (0..100).for_each(|_| reference.learn(&failing(10), 0.97));
        let (before, weight) = (reference.error_rate(), reference.requests());
        reference.fade(0.1);
        assert!((reference.requests() - 0.1 * weight).abs() < 1e-6);
        (0..20).for_each(|_| reference.learn(&failing(50), 0.97));
        assert!(before < 0.012 && reference.error_rate() > 0.042, "{before} {}", reference.error_rate());
        assert!(reference.errors_variance() < 1e-4, "its age is no spread: {}", reference.errors_variance());
    }
}
