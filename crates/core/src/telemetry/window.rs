//! Windows: the recent samples of one flag, both arms, and what they come to.
//!
//! A window is fed one interval at a time, after that interval is closed; it never sees a sample twice and never
//! goes back. Everything is merged incrementally: one interval costs a few hundred additions, whatever has been. This file
//! composes the parts in the modules below, each with one responsibility; the parts do not know each other's state.

mod baseline;
mod breach;
mod context;
mod dependency;
mod evidence;
mod freshness;
mod frozen;
mod report;
mod ring;

pub use self::context::Context;
use self::{
    baseline::LearnedBaseline,
    breach::Check,
    dependency::{DependencyMonitor, control_is_bad},
    evidence::{Comparable, Margins, RampEvidence},
    freshness::{Freshness, is_silent},
    frozen::FrozenDetector,
    report::Parts,
    ring::{Interval, Ring, Slice},
};
use super::{
    Arm, ArmStats, Breach, Counts, HardLimits, Metric, Millis, Rejection, Sample, WindowReport,
    baseline_monitor::{BaselineBreach, BaselineMonitor, Longer, Shown, longer_edge},
    reference::Slow,
};
use crate::flag::Rollout;

/// The recent past of one flag.
#[derive(Clone, Debug, Default)]
pub struct Window {
    ramp: u32,
    changed_at: Millis,
    rollout: Rollout,
    /// When it was last raised: those who are new to treatment warm it up, whatever happens meanwhile.
    raised_at: Millis,
    ring: Ring,
    evidence: RampEvidence,
    /// What a flag at 100 % shows beside its baseline.
    monitor: BaselineMonitor,
    baseline: LearnedBaseline,
    /// The threshold of the interval last closed.
    slow: Option<Slow>,
    freshness: Freshness,
    frozen: FrozenDetector,
    dependency: DependencyMonitor,
    latest: [Option<ArmStats>; 2],
    slower: Option<Counts>,
    warming_up: bool,
    assumed: bool,
    rejected: [u32; Rejection::ALL.len()],
}

impl Window {
    /// Counts something that was not accepted.
    pub fn reject(&mut self, why: Rejection) {
        let slot = &mut self.rejected[why as usize];
        *slot = slot.saturating_add(1);
    }

    /// How much was not accepted, by reason.
    #[must_use]
    pub const fn rejected(&self) -> &[u32; Rejection::ALL.len()] {
        &self.rejected
    }

    /// The last closed interval of control and treatment; `None` where there was no sample.
    #[must_use]
    pub const fn latest(&self) -> &[Option<ArmStats>; 2] {
        &self.latest
    }

    /// Requests slower than the P99 of earlier control windows, in the interval last closed; `None` where an arm had no
    /// sample or no request, or there is no such P99 yet.
    #[must_use]
    pub const fn slower(&self) -> Option<Counts> {
        self.slower
    }

    /// Whether request counts are assumed.
    #[must_use]
    pub const fn assumed(&self) -> bool {
        self.assumed
    }

    /// Closes an interval with what arrived of it.
    pub fn close(&mut self, context: &Context<'_>, control: Option<&Sample>, treatment: Option<&Sample>) {
        self.follow(context);
        let (control, treatment) = (self.unless_frozen(control), self.unless_frozen(treatment));
        let treatment = treatment.filter(|treatment| !is_silent(context.rollout, control, treatment));
        for sample in [control, treatment].into_iter().flatten() {
            self.freshness.hear(sample);
            self.assumed = sample.assumed;
        }
        self.slow = self.baseline.reference().slow();
        let interval = Interval { treatment: Slice::of(treatment), control: Slice::of(control) };
        self.latest =
            [control.map(|_| interval.control.stats()), treatment.map(|_| interval.treatment.stats())];
        let start = context.end.since(context.interval);
        self.warming_up = start < self.raised_at + context.config.warmup;
        let comparable = control.is_some() && interval.treatment.requests > 0 && !context.rollout.is_full();
        self.slower = self.slow.filter(|_| comparable).map(|slow| Counts {
            treatment: interval.treatment.measured,
            treatment_bad: interval.treatment.latency.at_or_above(slow.edge),
            control: interval.control.measured,
            control_bad: interval.control.latency.at_or_above(slow.edge),
        });
        let control_is_bad = control.is_some()
            && !self.baseline.is_own()
            && control_is_bad(&interval.control, self.baseline.reference(), self.slow);
        let slower = self.slow.zip(self.slower);
        let compared = (comparable && !self.warming_up).then_some(Comparable {
            interval: &interval,
            slower,
            control_is_bad,
        });
        let margins = margins(&self.baseline, context);
        self.evidence.close(compared.as_ref(), margins);
        self.ring.push(&interval);
        self.monitor(context, &interval.treatment);
        let baseline_decay = context.config.baseline_decay;
        let usual = !self.warming_up && !self.monitor.is_breached();
        self.baseline.learn_treatment(context.rollout.is_full(), treatment, usual, baseline_decay);
        if let Some(control) = control.filter(|control| control.requests > 0) {
            self.dependency.note(control_is_bad);
            self.baseline.learn_control(control, !self.dependency.in_trouble(), baseline_decay);
        }
    }

    /// The sample, unless its source repeats itself: then it reports nothing.
    fn unless_frozen<'s>(&mut self, sample: Option<&'s Sample>) -> Option<&'s Sample> {
        let sample = sample?;
        let [before] = self.ring.newest() else { return Some(sample) };
        let before = if sample.arm == Arm::Control { &before.control } else { &before.treatment };
        if self.frozen.repeats(before, sample) {
            self.reject(Rejection::Duplicate);
            return None;
        }
        Some(sample)
    }

    /// Follows the flag to its rollout. A new ramp forgets everything but the baseline; a change of rollout forgets what was
    /// gathered since the last one.
    fn follow(&mut self, context: &Context<'_>) {
        if self.ramp != context.ramp {
            *self = Self {
                ramp: context.ramp,
                changed_at: context.changed_at,
                raised_at: context.changed_at,
                baseline: std::mem::take(&mut self.baseline),
                freshness: self.freshness,
                dependency: self.dependency,
                assumed: self.assumed,
                rejected: self.rejected,
                ..Self::default()
            };
            self.baseline.begin_ramp();
            self.freshness.begin_ramp(context.changed_at);
        } else if self.changed_at != context.changed_at {
            self.changed_at = context.changed_at;
            if context.rollout > self.rollout {
                self.raised_at = context.changed_at;
            }
            if std::mem::take(&mut self.monitor).is_breached() {
                self.baseline.distrust();
            }
            self.evidence.begin_rung();
        }
        self.rollout = context.rollout;
    }

    /// At 100 %, warm, treatment is compared with the baseline: over the last six intervals and over as many as the baseline
    /// remembers.
    fn monitor(&mut self, context: &Context<'_>, treatment: &Slice) {
        if !context.rollout.is_full() || self.warming_up {
            self.monitor = BaselineMonitor::default();
            return;
        }
        let six = self.ring.treatment();
        // Where a sample is missing, what was known is still known; where six are, nothing is.
        if treatment.requests == 0 {
            if six.requests == 0 {
                self.monitor.forget();
            }
            return;
        }
        let reference = self.baseline.reference();
        let longer = self.slow.and_then(longer_edge).map(|edge| Longer {
            now: treatment.beyond(edge),
            six: six.beyond(edge),
            baseline: (reference.at_or_above(edge), reference.latencies()),
        });
        let shown = Shown { errors: treatment.errors(), six: six.errors(), longer };
        self.monitor.take_in(&shown, &self.baseline.record(), context.config);
    }

    /// At 100 %: in what treatment is worse than the baseline, as far as a record can say: more of it fails, or its P99
    /// has been longer for a while.
    pub fn baseline_breaches(&self) -> impl Iterator<Item = BaselineBreach> {
        self.monitor.confirmed()
    }

    /// At 100 %: that treatment is at least on the way there.
    #[must_use]
    pub const fn trending_worse(&self, metric: Metric) -> bool {
        self.monitor.trending_worse(metric)
    }

    /// What it all comes to.
    #[must_use]
    pub fn report(&self, context: &Context<'_>) -> WindowReport {
        let parts = Parts {
            ring: &self.ring,
            baseline: &self.baseline,
            evidence: &self.evidence,
            margins: margins(&self.baseline, context),
            slow: self.slow,
            age: self.freshness.age(context),
            warming_up: self.warming_up,
            dependency: self.dependency.in_trouble(),
            rejected: self.rejected,
        };
        parts.report(context)
    }

    /// The hard limit broken by the last interval or the last six, if any. At 100 % treatment is compared with the
    /// baseline. `part` scales the limits: 1 for the limits themselves, less for an early warning.
    #[must_use]
    pub fn breach(&self, limits: &HardLimits, live: bool, part: f64) -> Option<Breach> {
        let baseline = (!live).then(|| self.baseline.reference());
        let (ring, slow, warming_up) = (&self.ring, self.slow, self.warming_up);
        Check { limits, part, ring, baseline, slow, warming_up }.breach()
    }
}

fn margins<'a>(baseline: &LearnedBaseline, context: &Context<'a>) -> Margins<'a> {
    let error_rate = baseline.reference().error_rate();
    Margins { config: context.config, next_share: context.next.share(), error_rate }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        flag::FlagId,
        telemetry::{Arm, EvidenceConfig, Histogram, Verdict},
    };

    fn sample(arm: Arm, at: u64, requests: u32, errors: u32) -> Sample {
        let mut latency = Histogram::default();
        latency.record(50.0, requests);
        let span = Millis::from_secs(10);
        Sample {
            flag: FlagId(0),
            arm,
            start: Millis(at * 10_000),
            span,
            requests,
            errors,
            latency,
            assumed: false,
        }
    }

    fn close(window: &mut Window, config: &EvidenceConfig, at: u64, control: &Sample, treatment: &Sample) {
        let context = context_at(config, Millis((at + 1) * 10_000));
        window.close(&context, Some(control), Some(treatment));
    }

    fn context_at(config: &EvidenceConfig, end: Millis) -> Context<'_> {
        Context {
            config,
            end,
            now: end,
            stale_after: Millis::from_secs(30),
            interval: Millis::from_secs(10),
            ramp: 1,
            changed_at: Millis::ZERO,
            begun: Millis::ZERO,
            rollout: Rollout::from_percent(50.0).unwrap(),
            next: Rollout::LAST_RUNG,
        }
    }

    #[test]
    fn a_flag_raised_just_before_an_outage_is_not_blamed_for_it() {
        let (mut window, config) = (Window::default(), EvidenceConfig::default());
        // Three quiet intervals at a small share, then an outage of both arms at a large one.
        for at in 0..3 {
            let (control, treatment) =
                (sample(Arm::Control, at, 9_000, 20), sample(Arm::Treatment, at, 1_000, 2));
            close(&mut window, &config, at, &control, &treatment);
        }
        for at in 3..6 {
            let (control, treatment) =
                (sample(Arm::Control, at, 100, 30), sample(Arm::Treatment, at, 9_900, 2_970));
            close(&mut window, &config, at, &control, &treatment);
        }
        assert_eq!(window.breach(&HardLimits::default(), true, 1.0), None);
    }

    #[test]
    fn a_spike_breaks_the_limit_at_once() {
        let (mut window, config) = (Window::default(), EvidenceConfig::default());
        let (control, treatment) = (sample(Arm::Control, 0, 900, 2), sample(Arm::Treatment, 0, 100, 40));
        close(&mut window, &config, 0, &control, &treatment);
        let breach = window.breach(&HardLimits::default(), true, 1.0).unwrap();
        assert_eq!(breach.metric, Metric::Errors);
        assert!(breach.excess > 0.3);
    }

    #[test]
    fn a_treatment_that_falls_silent_while_control_is_busy_is_lost_and_not_without_traffic() {
        let verdict_after = |control_requests: u32| {
            let (mut window, config) = (Window::default(), EvidenceConfig::default());
            for at in 0..6 {
                let treated = if at < 2 { control_requests } else { 0 };
                let control = sample(Arm::Control, at, control_requests, u32::from(at % 2 == 0));
                close(&mut window, &config, at, &control, &sample(Arm::Treatment, at, treated, 0));
            }
            let end = Millis(60_000);
            window.report(&context_at(&config, end)).verdict
        };
        assert_eq!(verdict_after(9_000), Verdict::Lost);
        assert_ne!(verdict_after(10), Verdict::Lost);
    }

    #[test]
    fn arms_that_were_never_heard_are_lost_once_they_have_been_silent_for_as_long_as_any() {
        let config = EvidenceConfig::default();
        let verdict = |begun: u64, at: u64, heard: bool| {
            let mut window = Window::default();
            let context = Context { begun: Millis(begun), ..context_at(&config, Millis(at)) };
            let treatment = sample(Arm::Treatment, at / 10_000 - 1, 900, 2);
            window.close(&context, None, heard.then_some(&treatment));
            window.report(&context).verdict
        };
        for heard in [true, false] {
            assert_ne!(verdict(0, 30_000, heard), Verdict::Lost, "they have only just begun");
            assert_eq!(verdict(0, 40_000, heard), Verdict::Lost);
            // What ran before the controller did was heard before: it is lost until it is heard again.
            assert_eq!(verdict(70_000, 80_000, heard), Verdict::Lost);
        }
        let off = Context { rollout: Rollout::ZERO, ..context_at(&config, Millis(40_000)) };
        assert_eq!(Window::default().report(&off).age, None, "of a flag that is off nothing is expected");
    }

    #[test]
    fn few_requests_break_nothing() {
        let (mut window, config) = (Window::default(), EvidenceConfig::default());
        let (control, treatment) = (sample(Arm::Control, 0, 900, 2), sample(Arm::Treatment, 0, 99, 99));
        close(&mut window, &config, 0, &control, &treatment);
        assert_eq!(window.breach(&HardLimits::default(), true, 1.0), None);
    }
}
