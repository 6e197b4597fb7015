//! Breaches of the hard limits, by the last interval and by the last six.
//!
//! Both arms are compared interval by interval; at 100 % treatment is compared with the baseline. It must not know the
//! evidence or the verdict: a broken limit needs neither.

use super::ring::{Interval, Ring};
use crate::telemetry::{
    Breach, HardLimits, Metric,
    limits::{Excess, HARD_SLOW, Tally, hard_edge},
    reference::{Reference, Slow},
};

/// What the hard limits are checked on.
#[derive(Clone, Copy)]
pub(super) struct Check<'a> {
    pub(super) limits: &'a HardLimits,
    /// Scales the limits: 1 for the limits themselves, less for an early warning.
    pub(super) part: f64,
    pub(super) ring: &'a Ring,
    /// In place of control, where none is live.
    pub(super) baseline: Option<&'a Reference>,
    /// The P99 threshold.
    pub(super) slow: Option<Slow>,
    /// During warm-up P99 is not checked.
    pub(super) warming_up: bool,
}

impl Check<'_> {
    /// The hard limit broken by the last interval or the last six, if any.
    pub(super) fn breach(&self) -> Option<Breach> {
        self.breach_of(self.ring.newest()).or_else(|| {
            // The six are stratified only where their plain sums are at least half as bad as the limit: few are.
            self.suspicious().then(|| self.breach_of(self.ring.intervals())).flatten()
        })
    }

    /// The limit on errors, as a share.
    fn error_limit(&self) -> f64 {
        self.limits.errors * self.part / 100.0
    }

    /// The baseline's errors, or those of a live control.
    fn control_errors(&self, live: impl FnOnce() -> Tally) -> Tally {
        self.baseline.map_or_else(live, |baseline| (baseline.errors(), baseline.requests()))
    }

    /// The baseline's requests beyond bucket `edge`, or those of a live control.
    fn control_beyond(&self, edge: usize, live: impl FnOnce() -> Tally) -> Tally {
        self.baseline.map_or_else(live, |baseline| (baseline.at_or_above(edge), baseline.latencies()))
    }

    /// Whether the sums of the last six intervals are at least half as bad as a limit.
    fn suspicious(&self) -> bool {
        let worse = |(bad_t, n_t): Tally, (bad_c, n_c): Tally, limit: f64| {
            n_t > 0.0 && n_c > 0.0 && bad_t / n_t - bad_c / n_c > limit / 2.0
        };
        let (treatment, control) = (self.ring.treatment(), self.ring.control());
        if worse(treatment.errors(), self.control_errors(|| control.errors()), self.error_limit()) {
            return true;
        }
        self.slow.is_some_and(|slow| {
            let edge = hard_edge(slow, self.limits, self.part);
            let control = self.control_beyond(edge, || control.beyond(edge));
            worse(treatment.beyond(edge), control, HARD_SLOW)
        })
    }

    fn breach_of(&self, intervals: &[Interval]) -> Option<Breach> {
        let breach = |metric, excess, limit, found: &Excess| Breach {
            metric,
            excess,
            limit,
            n: found.n(),
            intervals: u32::try_from(intervals.len()).unwrap_or(u32::MAX),
        };
        let limit = self.error_limit();
        let errors = Excess::over(intervals.iter().map(|interval| {
            (interval.treatment.errors(), self.control_errors(|| interval.control.errors()))
        }));
        if let Some(excess) = errors.beyond(limit, self.limits.min_samples) {
            return Some(breach(Metric::Errors, excess, limit, &errors));
        }
        if self.warming_up {
            return None;
        }
        let edge = hard_edge(self.slow?, self.limits, self.part);
        let slower = Excess::over(intervals.iter().map(|interval| {
            let control = self.control_beyond(edge, || interval.control.beyond(edge));
            (interval.treatment.beyond(edge), control)
        }));
        let excess = slower.beyond(HARD_SLOW, self.limits.min_samples)?;
        Some(breach(Metric::P99, excess, HARD_SLOW, &slower))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        flag::FlagId,
        telemetry::{Arm, Histogram, Millis, Sample, window::ring::Slice},
    };

    fn slice(requests: u32, errors: u32, ms: f64) -> Slice {
        let mut latency = Histogram::default();
        latency.record(ms, requests);
        Slice { requests: u64::from(requests), errors: u64::from(errors), measured: latency.total(), latency }
    }

    fn ring(intervals: impl IntoIterator<Item = Interval>) -> Ring {
        let mut ring = Ring::default();
        intervals.into_iter().for_each(|interval| ring.push(&interval));
        ring
    }

    const LIMITS: HardLimits = HardLimits { errors: 5.0, p99_ratio: 3.0, min_samples: 100 };

    fn check(ring: &Ring) -> Check<'_> {
        let slow = Slow { edge: crate::telemetry::bucket_of(100.0), ms: 100.0, share: 0.01 };
        Check { limits: &LIMITS, part: 1.0, ring, baseline: None, slow: Some(slow), warming_up: false }
    }

    #[test]
    fn the_last_interval_alone_can_break_a_limit() {
        let good = || Interval { treatment: slice(200, 0, 50.0), control: slice(200, 0, 50.0) };
        let bad = Interval { treatment: slice(200, 60, 50.0), control: slice(200, 0, 50.0) };
        let breach = check(&ring([good(), good(), bad])).breach().unwrap();
        assert_eq!((breach.metric, breach.n, breach.intervals), (Metric::Errors, 200, 1));
        assert!((breach.excess - 0.3).abs() < 1e-12 && (breach.limit - 0.05).abs() < 1e-12);
        assert_eq!(check(&ring([good(), good()])).breach(), None);
    }

    #[test]
    fn six_intervals_break_it_where_one_has_too_few_requests() {
        let bad = || Interval { treatment: slice(40, 20, 50.0), control: slice(40, 0, 50.0) };
        assert_eq!(check(&ring([bad(), bad()])).breach(), None, "80 requests");
        let breach = check(&ring([bad(), bad(), bad()])).breach().unwrap();
        assert_eq!((breach.n, breach.intervals), (120, 6));
    }

    #[test]
    fn a_long_p99_breaks_it_once_warm() {
        let ring = ring([Interval { treatment: slice(200, 0, 900.0), control: slice(200, 0, 50.0) }]);
        let breach = check(&ring).breach().unwrap();
        assert_eq!((breach.metric, breach.n), (Metric::P99, 200));
        assert_eq!(Check { warming_up: true, ..check(&ring) }.breach(), None);
        assert_eq!(Check { slow: None, ..check(&ring) }.breach(), None);
    }

    #[test]
    fn an_early_warning_has_half_the_limit() {
        let ring = ring([Interval { treatment: slice(10_000, 400, 50.0), control: slice(10_000, 0, 50.0) }]);
        assert_eq!(check(&ring).breach(), None, "4 % are below the limit of 5 %");
        let warning = Check { part: 0.5, ..check(&ring) }.breach().unwrap();
        assert!((warning.limit - 0.025).abs() < 1e-12);
    }

    #[test]
    fn without_a_live_control_the_baseline_is_compared() {
        let control = Sample {
            flag: FlagId(0),
            arm: Arm::Control,
            start: Millis::ZERO,
            span: Millis::from_secs(10),
            requests: 10_000,
            errors: 100,
            latency: Histogram::default(),
            assumed: false,
        };
        let mut baseline = Reference::default();
        baseline.learn(&control, 0.97);
        let ring = ring([Interval { treatment: slice(1_000, 200, 50.0), control: Slice::default() }]);
        assert_eq!(check(&ring).breach(), None, "no control, no comparison");
        let breach = Check { baseline: Some(&baseline), ..check(&ring) }.breach().unwrap();
        assert!((breach.excess - 0.19).abs() < 1e-12, "{breach:?}");
    }
}
