//! The watch at 100 %: treatment against the baseline, where no live one is left to compare it with.
//!
//! A baseline is of another time, so a breach is no proof: the flag is rechecked against a live control. Treatment is
//! over its baseline where its share of failed requests exceeds the recorded one by the margin and four standard
//! errors. These are chance's in both, and beside it what control itself moved from interval to interval while it was
//! there, which does not average out within the time for which it is alike.
//!
//! P99 moves so much by itself, in generated worlds as in recorded telemetry, that the same rule would recheck good
//! flags nearly always. It is over its baseline where it has been half as long again for a while: intervals in which it
//! was are counted up, others down. How long a burst takes is counted and not how bad it is, so that one outage of a
//! minute means nothing.

use super::{
    BUCKET_COUNT, EvidenceConfig, Metric, bucket_of,
    limits::{HARD_SLOW, Tally},
    reference::Slow,
};

/// Standard errors beyond the margin: once in 30 000 looks by chance alone.
const ERRORS: f64 = 4.0;

/// Part of margin and standard errors at which a flag leans as far as another that is over its baseline.
const TRENDING_PART: f64 = 0.5;

/// Requests below which there is no record.
pub(super) const MIN_BASELINE: f64 = 100.0;

/// Fewest failed requests that say anything: of fewer a normal approximation says too much.
const MIN_FAILED: f64 = 10.0;

/// Fewest of which it leans.
const MIN_FAILED_TRENDING: f64 = 5.0;

/// Intervals for which what moves both arms stays as it is: two minutes of the usual ten seconds.
const ALIKE: f64 = 12.0;

/// Intervals in the shorter of the two looks at errors: those of the recent window.
pub(super) const SIX: u32 = 6;

/// Looks in a row that it takes to be over its baseline.
const CONFIRMED: u32 = 2;

/// Times the recorded P99 from which on it is another.
const LONGER: f64 = 1.5;

/// By how many more intervals with a longer P99 than without one it is over its baseline.
const LASTING: u32 = 12;

/// Fewest requests of which a P99 is counted, up or down.
const MIN_MEASURED: f64 = 20.0;

/// Fewest requests beyond it that are more than stragglers.
const MIN_LONGER: f64 = 3.0;

/// Times control's share beyond it that they have to be.
const MORE: f64 = 2.0;

/// Treatment at 100 % since it is there and warm, the old fading away.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct BaselineMonitor {
    intervals: f64,
    /// Without the fading.
    seen: u32,
    errors: Tally,
    /// Intervals with a longer P99 less those without, never below 0.
    longer: u32,
    /// By metric.
    looks: [Look; 2],
    /// Looks in a row that found it over its baseline.
    breached_for: [u32; 2],
}

/// What an interval of treatment at 100 % has shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    pub(super) errors: Tally,
    /// The same over the last six.
    pub(super) six: Tally,
    /// None where there is no P99 to compare with.
    pub(super) longer: Option<Longer>,
}

/// Requests beyond [`longer_edge`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Longer {
    pub(super) now: Tally,
    /// The same over the last six intervals.
    pub(super) six: Tally,
    /// Control's.
    pub(super) baseline: Tally,
}

/// What a look came to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Look {
    /// How it is worse than the baseline, where it is.
    breach: Option<BaselineBreach>,
    /// At least on the way there: enough to say that a neighbour who is off is not alone.
    trending_worse: bool,
}

impl Look {
    /// The worse of two; the first where both are off.
    fn or(self, other: Self) -> Self {
        Self {
            breach: self.breach.or(other.breach),
            trending_worse: self.trending_worse || other.trending_worse,
        }
    }
}

/// What treatment is compared with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Baseline {
    /// Control's share of failed requests, 0 to 1.
    pub(super) share: f64,
    /// How many requests that is of.
    pub(super) requests: f64,
    /// Its variance between intervals, beyond chance.
    pub(super) variance: f64,
}

/// Treatment at 100 % that is worse than the baseline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BaselineBreach {
    /// In what.
    pub metric: Metric,
    /// Its share of failed requests, or of those that took more than half as long again as the recorded P99; 0 to 1.
    pub found: f64,
    /// The baseline's, 0 to 1.
    pub baseline: f64,
    /// Treatment requests behind it.
    pub n: u64,
}

impl BaselineMonitor {
    /// Takes in an interval of which telemetry has come.
    pub(super) fn take_in(&mut self, shown: &Shown, baseline: &Baseline, config: &EvidenceConfig) {
        self.add(shown.errors, config.baseline_decay);
        // The last six may still hold what came before the change.
        let of_six = if self.seen >= SIX {
            look(shown.six, f64::from(SIX), baseline, config)
        } else {
            Look::default()
        };
        let of_errors = of_six.or(look(self.errors, self.intervals, baseline, config));
        let of_p99 = shown.longer.map_or(Look::default(), |longer| {
            self.add_longer(longer.now, longer.baseline);
            self.look_longer(longer.six, longer.baseline)
        });
        self.looks = [of_errors, of_p99];
        for (breached_for, look) in self.breached_for.iter_mut().zip(&self.looks) {
            *breached_for = if look.breach.is_some() { breached_for.saturating_add(1) } else { 0 };
        }
    }

    /// Forgets what it came to: what that was of is too long ago.
    pub(super) fn forget(&mut self) {
        (self.looks, self.breached_for) = (<[Look; 2]>::default(), [0; 2]);
    }

    /// Whether the last look found it over its baseline.
    pub(super) fn is_breached(&self) -> bool {
        self.looks.iter().any(|look| look.breach.is_some())
    }

    /// In what it is over its baseline, where the look before said so too: what changes the service shows in its other
    /// flags by then.
    pub(super) fn confirmed(&self) -> impl Iterator<Item = BaselineBreach> {
        let confirmed =
            self.looks.iter().zip(self.breached_for).filter(|(_, breached_for)| *breached_for >= CONFIRMED);
        confirmed.filter_map(|(look, _)| look.breach)
    }

    /// Whether it is at least on the way there.
    pub(super) const fn trending_worse(&self, metric: Metric) -> bool {
        self.looks[metric as usize].trending_worse
    }

    /// Takes in failed requests; `baseline_decay` is what is kept of the past.
    fn add(&mut self, (failed, n): Tally, baseline_decay: f64) {
        self.intervals = self.intervals * baseline_decay + 1.0;
        self.seen = self.seen.saturating_add(1);
        self.errors = (self.errors.0 * baseline_decay + failed, self.errors.1 * baseline_decay + n);
    }

    /// Counts an interval up or down by its requests beyond [`longer_edge`]; `baseline` are control's.
    fn add_longer(&mut self, (beyond, n): Tally, baseline: Tally) {
        if n < MIN_MEASURED {
            return;
        }
        // Where time-outs are usual, nearly 1 % may lie there anyhow.
        let usual = HARD_SLOW.max(MORE * share(baseline));
        self.longer = if beyond >= MIN_LONGER && beyond > usual * n {
            // Beyond twice as many nothing is counted, so that what is over is over.
            (self.longer + 1).min(2 * LASTING)
        } else {
            self.longer.saturating_sub(1)
        };
    }

    /// Whether P99 is over its baseline: `recent` and `baseline` are shares beyond [`longer_edge`], and of how many
    /// requests.
    fn look_longer(&self, recent: Tally, baseline: Tally) -> Look {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a sum of counts")]
        let n = recent.1 as u64;
        let breach =
            BaselineBreach { metric: Metric::P99, found: share(recent), baseline: share(baseline), n };
        Look {
            breach: (self.longer >= LASTING).then_some(breach),
            trending_worse: f64::from(self.longer) >= TRENDING_PART * f64::from(LASTING),
        }
    }
}

/// Whether failed requests over so many intervals are over its baseline.
fn look((failed, n): Tally, intervals: f64, baseline: &Baseline, config: &EvidenceConfig) -> Look {
    let Baseline { share: usual, requests, variance } = *baseline;
    if n <= 0.0 || requests < MIN_BASELINE {
        return Look::default();
    }
    let found = failed / n;
    let pooled = ((failed + usual * requests) / (n + requests)).min(1.0);
    let alike = |over: f64| 1.0 / (over / ALIKE).max(1.0);
    let remembered = 1.0 / (1.0 - config.baseline_decay);
    let variance = pooled * (1.0 - pooled) * (1.0 / n + 1.0 / requests)
        + variance * (alike(intervals) + alike(remembered));
    let margin = (config.relative_margin * usual).max(config.min_error_margin).min(config.max_margin);
    let limit = margin + ERRORS * libm::sqrt(variance);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a sum of counts")]
    let breach = BaselineBreach { metric: Metric::Errors, found, baseline: usual, n: n as u64 };
    Look {
        breach: (failed >= MIN_FAILED && found - usual > limit).then_some(breach),
        trending_worse: failed >= MIN_FAILED_TRENDING && found - usual > TRENDING_PART * limit,
    }
}

/// Bad requests of all.
fn share((bad, n): Tally) -> f64 {
    if n > 0.0 { bad / n } else { 0.0 }
}

/// The first bucket of which requests took more than half as long again as the recorded P99: more than 1 % of them there is
/// a P99 so much longer. None where that is beyond the last one.
pub(super) fn longer_edge(slow: Slow) -> Option<usize> {
    Some(bucket_of(slow.ms * LONGER) + 1).filter(|edge| *edge < BUCKET_COUNT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breach(failed: f64, n: f64, variance: f64) -> bool {
        let mut monitor = BaselineMonitor::default();
        (0..6).for_each(|_| monitor.add((failed / 6.0, n / 6.0), 1.0));
        let baseline = Baseline { share: 0.001, requests: 20_000.0, variance };
        look(monitor.errors, monitor.intervals, &baseline, &EvidenceConfig::default()).breach.is_some()
    }

    #[test]
    fn it_takes_the_margin_and_four_standard_errors() {
        // Usual 0.1 %, margin 0.1 %; of 20 000 against 20 000 the standard error at 0.35 % against 0.1 % is 0.047 points.
        assert!(!breach(70.0, 20_000.0, 0.0), "0.35 %");
        assert!(breach(84.0, 20_000.0, 0.0), "0.42 %");
        assert!(!breach(9.0, 20.0, 0.0), "nine are too few, however many they are");
    }

    #[test]
    fn what_moved_control_itself_is_tolerated_as_much() {
        assert!(!breach(84.0, 20_000.0, 0.001 * 0.001));
        assert!(breach(400.0, 20_000.0, 0.001 * 0.001));
    }

    #[test]
    fn the_old_fades_away() {
        let mut monitor = BaselineMonitor::default();
        (0..1_000).for_each(|_| monitor.add((1.0, 100.0), 0.97));
        assert!((monitor.intervals - 1.0 / 0.03).abs() < 1e-9);
        assert_eq!(monitor.seen, 1_000);
        assert!((monitor.errors.1 - 100.0 / 0.03).abs() < 1e-6);
    }

    #[test]
    fn half_as_far_it_is_trending_worse() {
        let after = |failed: f64| {
            let mut monitor = BaselineMonitor::default();
            (0..6).for_each(|_| monitor.add((failed / 6.0, 20_000.0 / 6.0), 1.0));
            let baseline = Baseline { share: 0.001, requests: 20_000.0, variance: 0.0 };
            look(monitor.errors, monitor.intervals, &baseline, &EvidenceConfig::default())
        };
        assert!(!after(30.0).trending_worse);
        assert!(after(50.0).trending_worse && after(50.0).breach.is_none());
        assert!(after(84.0).trending_worse && after(84.0).breach.is_some());
    }

    #[test]
    fn a_longer_p99_has_to_last() {
        let look = |intervals: &[(usize, f64)]| {
            let mut monitor = BaselineMonitor::default();
            for (times, beyond) in intervals {
                (0..*times).for_each(|_| monitor.add_longer((*beyond, 1_000.0), (10.0, 10_000.0)));
            }
            monitor.look_longer((60.0, 6_000.0), (10.0, 10_000.0))
        };
        assert_eq!(look(&[(5, 500.0)]), Look::default(), "a burst, however bad");
        assert!(look(&[(6, 11.0)]).trending_worse && look(&[(11, 11.0)]).breach.is_none());
        let breach = look(&[(12, 11.0)]).breach.unwrap();
        assert_eq!((breach.metric, breach.n), (Metric::P99, 6_000));
        assert!((breach.found - 0.01).abs() < 1e-12 && (breach.baseline - 0.001).abs() < 1e-12);
        assert_eq!(look(&[(200, 10.0)]), Look::default(), "1 % is no longer P99");
        assert_eq!(look(&[(200, 500.0), (24, 0.0)]), Look::default(), "over is over");
        let mut little = BaselineMonitor::default();
        (0..100).for_each(|_| little.add_longer((19.0, 19.0), (0.0, 1.0)));
        assert_eq!(little.look_longer((114.0, 114.0), (0.0, 1.0)), Look::default());
    }

    #[test]
    fn stragglers_and_usual_time_outs_make_no_longer_p99() {
        let longer = |beyond: f64, n: f64, baseline: f64| {
            let mut monitor = BaselineMonitor::default();
            (0..100).for_each(|_| monitor.add_longer((beyond, n), (baseline, 10_000.0)));
            monitor.look_longer((6.0 * beyond, 6.0 * n), (baseline, 10_000.0)).breach.is_some()
        };
        assert!(!longer(2.0, 90.0, 10.0), "two of ninety");
        assert!(longer(3.0, 90.0, 10.0));
        assert!(!longer(18.0, 1_000.0, 90.0), "twice what it was");
        assert!(longer(19.0, 1_000.0, 90.0));
        let far = Slow {
            edge: BUCKET_COUNT - 1,
            ms: crate::telemetry::lower_edge_ms(BUCKET_COUNT - 1),
            share: 0.01,
        };
        assert_eq!(longer_edge(far), None, "beyond the last bucket nothing can be told apart");
    }

    #[test]
    fn without_a_record_nothing_is_off_it() {
        let mut monitor = BaselineMonitor::default();
        (0..6).for_each(|_| monitor.add((100.0, 1_000.0), 1.0));
        let baseline = Baseline { share: 0.001, requests: 99.0, variance: 0.0 };
        assert_eq!(
            look(monitor.errors, monitor.intervals, &baseline, &EvidenceConfig::default()),
            Look::default()
        );
    }
}
