//! What PPO-Master remembers of a flag between ticks: trends, and the rungs before. The evidence restarts at each
//! rung; this does not. After a restart it is empty, and fills again.

use super::comparison::{Comparison, real, sigmas};
use knightwatch_core::{control::Observation, flag::Rollout, telemetry::Millis};

/// Weight of the newest interval in the quick average.
const QUICK: f64 = 0.5;

/// Weight of the newest interval in the slow average.
const SLOW: f64 = 0.15;

/// The memory of one flag within one ramp.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    ramp: u32,
    began: Millis,
    now: Millis,
    rollout: Rollout,
    errors: Averages,
    p99: Averages,
    /// The z-scores of the rung at the last tick, and of the rungs before it.
    rung: (f64, f64),
    before: (Stouffer, Stouffer),
    worst_errors: f64,
    spent: f64,
    /// Requests a second of late, both arms together, and the most that they came to in this ramp; 0 before there were any.
    rate: f64,
    most: f64,
    missing: Stouffer,
    /// Treatment requests since the last change: as many as there should be, and as many as there are.
    expected: f64,
    shown: f64,
}

/// A quick and a slow exponential average; their difference is the trend.
#[derive(Clone, Copy, Debug, Default)]
struct Averages {
    quick: f64,
    slow: f64,
}

impl Averages {
    fn add(&mut self, value: f64) {
        self.quick += QUICK * (value - self.quick);
        self.slow += SLOW * (value - self.slow);
    }
}

/// Sums z-scores (Stouffer's method): the sum over the root of how many.
#[derive(Clone, Copy, Debug, Default)]
struct Stouffer {
    sum: f64,
    count: f64,
}

impl Stouffer {
    fn add(&mut self, z: f64) {
        self.sum += z;
        self.count += 1.0;
    }

    fn z(self) -> f64 {
        if self.count > 0.0 { sigmas(self.sum / self.count.sqrt()) } else { 0.0 }
    }
}

impl Memory {
    /// Takes note of one tick: the last interval, and the z-scores of errors and slow requests since the last change.
    pub(super) fn note(&mut self, seen: &Observation<'_>, last: &Comparison, rung: (f64, f64)) {
        if self.ramp != seen.ramp {
            let began = seen.now.since(seen.since_change);
            let rate = self.rate;
            *self =
                Self { ramp: seen.ramp, began, rollout: seen.rollout, rate, most: rate, ..Self::default() };
        }
        if self.rollout != seen.rollout {
            self.before.0.add(self.rung.0);
            self.before.1.add(self.rung.1);
            self.missing = Stouffer::default();
            (self.expected, self.shown) = (0.0, 0.0);
            self.rollout = seen.rollout;
        }
        self.now = seen.now;
        self.rung = rung;
        self.errors.add(last.errors_z);
        self.p99.add(last.ln_p99);
        self.worst_errors = self.worst_errors.max(self.errors.quick);
        let share = seen.rollout.share();
        self.spent += (share * last.excess).max(0.0);
        if seen.latest.iter().all(Option::is_some) && last.requests > 0 && !seen.rollout.is_full() {
            // Treatment's count is binomial given both arms': fewer than its share means that some never report.
            let n = real(last.requests);
            let z = (n * share - real(last.treatment)) / (n * share * (1.0 - share)).sqrt();
            self.missing.add(sigmas(z));
        }
        if seen.latest.iter().all(Option::is_some) && last.requests > 0 {
            let rate = real(last.requests) / seen.interval.as_secs_f64();
            self.rate = if self.rate > 0.0 { self.rate + SLOW * (rate - self.rate) } else { rate };
            self.most = self.most.max(self.rate);
        }
        if let [Some(control), _] = seen.latest
            && !seen.rollout.is_full()
        {
            // Control is the other part of all requests, so it says how many treatment has.
            self.expected += real(control.requests) * share / (1.0 - share);
            self.shown += real(last.treatment);
        }
    }

    pub(super) fn errors_trend(&self) -> f64 {
        self.errors.quick - self.errors.slow
    }

    pub(super) fn p99_trend(&self) -> f64 {
        self.p99.quick - self.p99.slow
    }

    pub(super) const fn errors(&self) -> f64 {
        self.errors.slow
    }

    pub(super) const fn p99(&self) -> f64 {
        self.p99.slow
    }

    pub(super) fn errors_before(&self) -> f64 {
        self.before.0.z()
    }

    pub(super) fn slow_before(&self) -> f64 {
        self.before.1.z()
    }

    pub(super) const fn worst_errors(&self) -> f64 {
        self.worst_errors
    }

    /// Failed requests beyond control's rate that the ramp has cost so far, as a share of one interval's requests.
    pub(super) const fn spent(&self) -> f64 {
        self.spent
    }

    /// Requests a second at the ramp's busiest, both arms together, as far as telemetry shows them: fewer are no reason for
    /// haste, and may be those that broke. 0 before there were any.
    pub(super) const fn busiest(&self) -> f64 {
        self.most
    }

    pub(super) fn missing(&self) -> f64 {
        self.missing.z()
    }

    /// Natural logarithm of how many times more treatment requests there should be than telemetry shows.
    pub(super) fn missing_share(&self) -> f64 {
        libm::log((self.expected + 10.0) / (self.shown + 10.0)).clamp(-3.0, 6.0)
    }

    pub(super) fn ramp_time(&self) -> Millis {
        self.now.since(self.began)
    }
}
