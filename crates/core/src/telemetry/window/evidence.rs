//! The evidence of one ramp: what was gathered since the last change of rollout, and over the last six intervals.
//!
//! Evidence starts again at each rung, because traffic and margin are others there. The error probability is spent on
//! each rung visited and on each interval looked at. It must not know how old telemetry is, or what the verdict is.

use super::ring::{Interval, RECENT};
use crate::telemetry::{
    Counts, EvidenceConfig, HarmTest, MetricEvidence, evidence::Accumulated, reference::Slow,
};

/// The evidence of one interval, apart from its samples: all six are read at each tick, the samples seldom are.
#[derive(Clone, Copy, Debug, Default)]
struct Harm {
    errors: HarmTest,
    slow: HarmTest,
}

/// What was gathered since the last change of rollout, warm-up left out.
#[derive(Clone, Debug, Default)]
struct SinceChange {
    errors: Accumulated,
    slow: Accumulated,
    intervals: u32,
}

/// One interval whose arms can be compared.
pub(super) struct Comparable<'a> {
    /// Its samples.
    pub(super) interval: &'a Interval,
    /// Requests beyond the P99 threshold, and the threshold; `None` where there is none yet.
    pub(super) slower: Option<(Slow, Counts)>,
    /// Whether control itself is bad. Health is not gathered then: such an interval would say that treatment is bad too,
    /// which is true and not the question.
    pub(super) control_is_bad: bool,
}

/// What the margins are taken from.
#[derive(Clone, Copy)]
pub(super) struct Margins<'a> {
    pub(super) config: &'a EvidenceConfig,
    /// Share of traffic at the next rung, 0 to 1.
    pub(super) next_share: f64,
    /// The baseline's error rate, 0 to 1.
    pub(super) error_rate: f64,
}

impl Margins<'_> {
    fn errors(&self) -> f64 {
        let config = self.config;
        config.margin(config.error_budget, config.min_error_margin, self.error_rate, self.next_share)
    }

    fn slow(&self, slow: Slow) -> f64 {
        let config = self.config;
        config.margin(config.slow_budget, config.min_slow_margin, slow.share, self.next_share)
    }
}

/// The evidence of one ramp.
#[derive(Clone, Debug, Default)]
pub(super) struct RampEvidence {
    since: SinceChange,
    recent: [Harm; RECENT],
    /// Where the next interval's evidence goes.
    next: usize,
    /// Rungs visited in this ramp, the first not counted.
    visits: u32,
    /// Intervals of this ramp.
    intervals: u32,
}

impl RampEvidence {
    /// The rollout has changed: a new rung.
    pub(super) fn begin_rung(&mut self) {
        self.visits = self.visits.saturating_add(1);
        self.since = SinceChange::default();
    }

    /// Takes in an interval. The last six move on also where it cannot be compared: every look is paid for.
    pub(super) fn close(&mut self, comparable: Option<&Comparable<'_>>, margins: Margins<'_>) {
        self.intervals = self.intervals.saturating_add(1);
        let harm = comparable.map_or_else(Harm::default, |comparable| self.gather(comparable, margins));
        self.recent[self.next] = harm;
        self.next = (self.next + 1) % RECENT;
    }

    /// Adds one interval of both arms to what was gathered since the last change.
    fn gather(&mut self, comparable: &Comparable<'_>, margins: Margins<'_>) -> Harm {
        let mut harm = Harm::default();
        let config = margins.config;
        let interval = comparable.interval;
        let counts = Counts {
            treatment: interval.treatment.requests,
            treatment_bad: interval.treatment.errors,
            control: interval.control.requests,
            control_bad: interval.control.errors,
        };
        harm.errors = HarmTest::of(counts, config.tolerated_errors);
        self.since.errors.add_counts(counts);
        self.since.errors.harm.add(&harm.errors);
        if !comparable.control_is_bad {
            self.since.errors.health.add(counts, margins.error_rate, margins.errors());
        }
        if let Some((slow, counts)) = comparable.slower {
            harm.slow = HarmTest::of(counts, config.tolerated_slow);
            self.since.slow.add_counts(counts);
            self.since.slow.harm.add(&harm.slow);
            if !comparable.control_is_bad {
                self.since.slow.health.add(counts, slow.share, margins.slow(slow));
            }
        }
        self.since.intervals = self.since.intervals.saturating_add(1);
        harm
    }

    /// Evidence on errors and on P99. `slow` is the P99 threshold.
    pub(super) fn metrics(&self, margins: Margins<'_>, slow: Option<Slow>) -> [MetricEvidence; 2] {
        let config = margins.config;
        let needed = (config.harm_needed(self.visits), config.harm_needed(self.intervals));
        let health_needed = -libm::log(config.health_alpha);
        let (mut errors, mut slower) = (HarmTest::default(), HarmTest::default());
        for harm in &self.recent {
            errors.add(&harm.errors);
            slower.add(&harm.slow);
        }
        let slow_margin = slow.map_or(0.0, |slow| margins.slow(slow));
        [
            self.since.errors.report(&errors, needed, health_needed, margins.errors()),
            self.since.slow.report(&slower, needed, health_needed, slow_margin),
        ]
    }

    /// Requests of both arms behind the errors since the last change.
    pub(super) const fn counts(&self) -> Counts {
        self.since.errors.counts
    }

    /// Intervals behind the evidence since the last change.
    pub(super) const fn intervals_since_change(&self) -> u32 {
        self.since.intervals
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::window::ring::Slice;

    fn interval(treatment_errors: u64) -> Interval {
        let slice = |errors: u64| Slice { requests: 1_000, errors, ..Slice::default() };
        Interval { treatment: slice(treatment_errors), control: slice(10) }
    }

    fn margins(config: &EvidenceConfig) -> Margins<'_> {
        Margins { config, next_share: 0.5, error_rate: 0.01 }
    }

    fn add(evidence: &mut RampEvidence, config: &EvidenceConfig, errors: u64, control_is_bad: bool) {
        let interval = interval(errors);
        let comparable = Comparable { interval: &interval, slower: None, control_is_bad };
        evidence.close(Some(&comparable), margins(config));
    }

    fn errors(evidence: &RampEvidence, config: &EvidenceConfig) -> MetricEvidence {
        let [errors, _] = evidence.metrics(margins(config), None);
        errors
    }

    #[test]
    fn harm_adds_up_until_it_is_proven() {
        let (mut evidence, config) = (RampEvidence::default(), EvidenceConfig::default());
        add(&mut evidence, &config, 12, false);
        assert!(!errors(&evidence, &config).regressed());
        (0..10).for_each(|_| add(&mut evidence, &config, 60, false));
        assert!(errors(&evidence, &config).regressed());
        assert_eq!((evidence.counts().treatment, evidence.intervals_since_change()), (11_000, 11));
    }

    #[test]
    fn a_new_rung_starts_again_and_needs_more() {
        let (mut evidence, config) = (RampEvidence::default(), EvidenceConfig::default());
        add(&mut evidence, &config, 12, false);
        let before = errors(&evidence, &config);
        evidence.begin_rung();
        assert_eq!((evidence.counts().treatment, evidence.intervals_since_change()), (0, 0));
        let after = errors(&evidence, &config);
        assert!(after.health.abs() < 1e-12 && after.treatment.abs() < 1e-12);
        assert!(after.harm_needed > before.harm_needed, "alpha is spent on each rung");
    }

    #[test]
    fn the_last_six_are_kept_over_a_change() {
        let (mut evidence, config) = (RampEvidence::default(), EvidenceConfig::default());
        (0..3).for_each(|_| add(&mut evidence, &config, 300, false));
        evidence.begin_rung();
        assert!(errors(&evidence, &config).regressed(), "from the last six");
        for _ in 0..RECENT {
            evidence.close(None, margins(&config));
        }
        assert!(!errors(&evidence, &config).regressed(), "six empty ones later nothing is left");
    }

    #[test]
    fn health_is_not_gathered_while_control_is_bad() {
        let (mut evidence, config) = (RampEvidence::default(), EvidenceConfig::default());
        (0..200).for_each(|_| add(&mut evidence, &config, 10, true));
        assert!(errors(&evidence, &config).health.abs() < 1e-12);
        (0..200).for_each(|_| add(&mut evidence, &config, 10, false));
        assert!(errors(&evidence, &config).healthy());
    }
}
