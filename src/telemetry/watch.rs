//! The watch at 100 %: treatment's errors against the recorded control's, where no live one is left to compare it with.
//!
//! A record is of another time, so that this is a doubt and no proof: whoever hears it asks a live control. Treatment is
//! off the record where its share of failed requests exceeds the recorded one by the margin and four standard errors. These are
//! chance's in both, and beside it what control itself moved from interval to interval while it was there, which does
//! not average out within the time for which it is alike. P99 is left to the hard limits: both in generated worlds and in
//! recorded telemetry it moves so much by itself that nearly every doubt was of a good flag.

use super::{EvidenceConfig, limits::Tally};

/// Standard errors beyond the margin: once in 30 000 by chance alone.
const ERRORS: f64 = 4.0;

/// Fewest failed requests that say anything: of fewer a normal approximation says too much.
const LEAST_FAILED: f64 = 10.0;

/// Intervals for which what moves both arms stays as it is: two minutes of the usual ten seconds.
const ALIKE: f64 = 12.0;

/// Treatment at 100 % since it is there and warm, the old fading away.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Watch {
    intervals: f64,
    errors: Tally,
}

/// What treatment is compared with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    /// Control's share of failed requests, 0 to 1.
    pub(super) share: f64,
    /// How many requests that is of.
    pub(super) requests: f64,
    /// Its variance between intervals, beyond chance.
    pub(super) variance: f64,
}

/// Treatment at 100 % that is worse than the recorded control.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OffRecord {
    /// Its share of failed requests, 0 to 1.
    pub found: f64,
    /// The recorded control's, 0 to 1.
    pub recorded: f64,
    /// Treatment requests behind it.
    pub n: u64,
}

impl Watch {
    /// Takes in an interval; `memory` is what is kept of the past.
    pub(super) fn add(&mut self, (failed, n): Tally, memory: f64) {
        self.intervals = self.intervals * memory + 1.0;
        self.errors = (self.errors.0 * memory + failed, self.errors.1 * memory + n);
    }

    /// How many intervals it stands for.
    pub(super) const fn intervals(&self) -> f64 {
        self.intervals
    }

    /// Whether it is off the record.
    pub(super) fn off(&self, record: &Record, config: &EvidenceConfig) -> Option<OffRecord> {
        let (failed, n) = self.errors;
        let Record { share: usual, requests, variance } = *record;
        if failed < LEAST_FAILED || requests <= 0.0 {
            return None;
        }
        let found = failed / n;
        let pooled = ((failed + usual * requests) / (n + requests)).min(1.0);
        let alike = |intervals: f64| 1.0 / (intervals / ALIKE).max(1.0);
        let remembered = 1.0 / (1.0 - config.memory);
        let variance = pooled * (1.0 - pooled) * (1.0 / n + 1.0 / requests)
            + variance * (alike(self.intervals) + alike(remembered));
        let margin = (config.relative_margin * usual).max(config.least_error_margin).min(config.most_margin);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a sum of counts")]
        let off = OffRecord { found, recorded: usual, n: n as u64 };
        (found - usual > margin + ERRORS * libm::sqrt(variance)).then_some(off)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn off(failed: f64, n: f64, variance: f64) -> bool {
        let mut watch = Watch::default();
        (0..6).for_each(|_| watch.add((failed / 6.0, n / 6.0), 1.0));
        let record = Record { share: 0.001, requests: 20_000.0, variance };
        watch.off(&record, &EvidenceConfig::default()).is_some()
    }

    #[test]
    fn it_takes_the_margin_and_four_standard_errors() {
        // Usual 0.1 %, margin 0.1 %; of 20 000 against 20 000 the standard error at 0.35 % against 0.1 % is 0.047 points.
        assert!(!off(70.0, 20_000.0, 0.0), "0.35 %");
        assert!(off(84.0, 20_000.0, 0.0), "0.42 %");
        assert!(!off(9.0, 20.0, 0.0), "nine are too few, however many they are");
    }

    #[test]
    fn what_moved_control_itself_excuses_as_much() {
        assert!(!off(84.0, 20_000.0, 0.001 * 0.001));
        assert!(off(400.0, 20_000.0, 0.001 * 0.001));
    }

    #[test]
    fn the_old_fades_away() {
        let mut watch = Watch::default();
        (0..1_000).for_each(|_| watch.add((1.0, 100.0), 0.97));
        assert!((watch.intervals() - 1.0 / 0.03).abs() < 1e-9);
        assert!((watch.errors.1 - 100.0 / 0.03).abs() < 1e-6);
    }
}
