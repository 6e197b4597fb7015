//! The dependency monitor: whether control itself is worse than its baseline.
//!
//! Where both arms are bad, a dependency is at fault and not the flag. Trouble ends some intervals after control has
//! recovered. Trouble that lasts becomes the new normal, so that nothing is frozen for ever. The monitor looks at control
//! alone. It must not know treatment.

use super::ring::Slice;
use crate::telemetry::{
    baseline_monitor::MIN_BASELINE,
    limits::HARD_ERRORS,
    reference::{Reference, Slow},
};

/// Share of requests beyond its former P99 at which control itself is bad.
const DEPENDENCY_SLOW: f64 = 0.10;

/// Errors above its baseline, as a share, at which control itself is bad.
const DEPENDENCY_ERRORS: f64 = 0.05;

/// Intervals that control must have been good again before trouble counts as over: until none of it is left in the recent
/// window, where it would be blamed on a flag at 100 % or pass for health.
const DEPENDENCY_OVER: u32 = 6;

/// Intervals of trouble after which it is the new normal and the baseline learns from control again.
const DEPENDENCY_NORMAL: u32 = 90;

/// How long control has been bad, and how long it has been good since.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DependencyMonitor {
    trouble: u32,
    since_trouble: u32,
}

impl DependencyMonitor {
    /// Takes in whether control was bad in an interval in which it had requests.
    pub(super) const fn note(&mut self, bad: bool) {
        if bad {
            self.trouble = self.trouble.saturating_add(1);
            self.since_trouble = 0;
        } else if self.trouble > 0 {
            self.since_trouble += 1;
            if self.since_trouble >= DEPENDENCY_OVER {
                self.trouble = 0;
            }
        }
    }

    /// Whether a dependency is in trouble: control is bad, or not yet good for long enough.
    pub(super) const fn in_trouble(self) -> bool {
        self.trouble > 0 && self.trouble <= DEPENDENCY_NORMAL
    }
}

/// Whether control is worse than its own baseline. `slow` is the baseline's P99 threshold.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub(super) fn control_is_bad(control: &Slice, baseline: &Reference, slow: Option<Slow>) -> bool {
    if control.requests == 0 || baseline.requests() < MIN_BASELINE {
        return false;
    }
    let beyond = |bad: f64, n: f64, usual: f64, limit: f64| {
        let sd = libm::sqrt(usual.max(0.5 / n) / n);
        n > 0.0 && bad / n - usual > limit + HARD_ERRORS * sd
    };
    let usual = baseline.error_rate();
    if beyond(control.errors as f64, control.requests as f64, usual, DEPENDENCY_ERRORS) {
        return true;
    }
    slow.is_some_and(|slow| {
        let n = control.measured as f64;
        beyond(control.latency.at_or_above(slow.edge) as f64, n, slow.share, DEPENDENCY_SLOW)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        flag::FlagId,
        telemetry::{Arm, Histogram, Millis, Sample},
    };

    fn control(requests: u32, errors: u32, ms: f64) -> Sample {
        let mut latency = Histogram::default();
        latency.record(ms, requests);
        Sample {
            flag: FlagId(0),
            arm: Arm::Control,
            start: Millis::ZERO,
            span: Millis::from_secs(10),
            requests,
            errors,
            latency,
            assumed: false,
        }
    }

    fn is_bad(baseline: &Reference, sample: &Sample) -> bool {
        control_is_bad(&Slice::of(Some(sample)), baseline, baseline.slow())
    }

    #[test]
    fn control_is_bad_where_it_is_worse_than_its_baseline() {
        let mut baseline = Reference::default();
        let mut usual = Sample { requests: 1_000, ..control(990, 1, 50.0) };
        usual.latency.record(100.0, 10);
        (0..10).for_each(|_| baseline.learn(&usual, 0.97));
        assert!(!is_bad(&baseline, &control(1_000, 1, 50.0)));
        assert!(is_bad(&baseline, &control(1_000, 100, 50.0)), "10 % fail");
        assert!(is_bad(&baseline, &control(1_000, 1, 500.0)), "all are slow");
        assert!(!is_bad(&baseline, &control(0, 0, 50.0)), "no requests say nothing");
    }

    #[test]
    fn without_a_baseline_control_is_never_bad() {
        let mut baseline = Reference::default();
        baseline.learn(&control(99, 0, 50.0), 0.97);
        assert!(!is_bad(&baseline, &control(1_000, 1_000, 5_000.0)));
    }

    #[test]
    fn trouble_ends_after_six_good_intervals_in_a_row() {
        let mut monitor = DependencyMonitor::default();
        assert!(!monitor.in_trouble());
        monitor.note(true);
        for _ in 1..DEPENDENCY_OVER {
            monitor.note(false);
            assert!(monitor.in_trouble());
        }
        monitor.note(true);
        for _ in 1..DEPENDENCY_OVER {
            monitor.note(false);
            assert!(monitor.in_trouble(), "a bad interval between starts the count again");
        }
        monitor.note(false);
        assert!(!monitor.in_trouble());
    }

    #[test]
    fn trouble_that_lasts_becomes_normal() {
        let mut monitor = DependencyMonitor::default();
        (0..DEPENDENCY_NORMAL).for_each(|_| monitor.note(true));
        assert!(monitor.in_trouble());
        monitor.note(true);
        assert!(!monitor.in_trouble());
    }
}
