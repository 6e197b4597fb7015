//! Windows: the recent samples of one flag, both arms, and what they come to.
//!
//! A window is fed one interval at a time, after that interval is closed; it never sees a sample twice and never
//! goes back. Everything is merged incrementally: one interval costs a few hundred additions, whatever has been.

use super::{
    Arm, ArmStats, BUCKET_COUNT, Breach, Counts, EvidenceConfig, HardLimits, HarmTest, Histogram, Metric,
    Millis, Rejection, Sample, Verdict, WindowReport,
    evidence::Accumulated,
    limits::{Excess, HARD_ERRORS, HARD_SLOW, Tally, hard_edge},
    reference::{Reference, Slow},
    watch::{LEAST_RECORD, Longer, OffRecord, Record, SIX, Shown, Watch, longer_edge},
};
use crate::flag::Rollout;

/// Intervals in the recent window.
const RECENT: usize = SIX as usize;

/// Fewest requests at which two equal intervals are no coincidence.
const LEAST_TO_FREEZE: u32 = 50;

/// Treatment requests that there should be for none at all to be no chance: once in e^20.
const LEAST_TO_MISS: u32 = 20;

/// Share of requests beyond its former P99 at which control itself is bad.
const DEPENDENCY_SLOW: f64 = 0.10;

/// Errors above its record, as a share, at which control itself is bad.
const DEPENDENCY_ERRORS: f64 = 0.05;

/// Intervals that control must have been good again before a dependency's trouble counts as over: until none of it is
/// left in the recent window, which would be blamed on a flag at 100 % or pass for health.
const DEPENDENCY_OVER: u32 = 6;

/// Intervals of which a flag that is at 100 % and has no record makes one: as many as a record remembers.
const OWN_RECORD: u32 = 33;
/// What is left of the weight of a record that treatment at 100 % was off.
const DOUBTED: f64 = 0.1;
/// Intervals of trouble after which it is the new normal and control is recorded again.
const DEPENDENCY_NORMAL: u32 = 90;

/// What a window has to know of its flag at a tick.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Settings.
    pub config: &'a EvidenceConfig,
    /// End of the interval.
    pub end: Millis,
    /// Controller time.
    pub now: Millis,
    /// From which age on telemetry is lost.
    pub stale_after: Millis,
    /// The control interval.
    pub interval: Millis,
    /// Which ramp.
    pub ramp: u32,
    /// When the rollout last changed.
    pub changed_at: Millis,
    /// Since when this controller has looked.
    pub begun: Millis,
    /// The rollout.
    pub rollout: Rollout,
    /// The next rung.
    pub next: Rollout,
}

/// One interval of one arm, as the recent window keeps it.
#[derive(Clone, Copy, Debug, Default)]
struct Slice {
    requests: u64,
    errors: u64,
    /// The total of `latency`: 0 where latencies were not measured.
    measured: u64,
    latency: Histogram,
}

impl Slice {
    fn of(sample: Option<&Sample>) -> Self {
        sample.map_or_else(Self::default, |sample| Self {
            requests: u64::from(sample.requests),
            errors: u64::from(sample.errors),
            measured: sample.latency.total(),
            latency: sample.latency,
        })
    }

    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.measured += other.measured;
        self.latency.merge(&other.latency);
    }

    fn take(&mut self, other: &Self) {
        self.requests -= other.requests;
        self.errors -= other.errors;
        self.measured -= other.measured;
        self.latency.subtract(&other.latency);
    }

    fn stats(&self) -> ArmStats {
        let p99_ms = self.latency.quantile_of(self.measured, 0.99);
        ArmStats { requests: self.requests, errors: self.errors, p99_ms }
    }
}

/// One interval of both arms.
#[derive(Clone, Copy, Debug, Default)]
struct Interval {
    treatment: Slice,
    control: Slice,
}

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

/// The recent past of one flag.
#[derive(Clone, Debug, Default)]
pub struct Window {
    ramp: u32,
    changed_at: Millis,
    /// When this ramp began, or when it was changed last before this window began to look.
    started_at: Millis,
    rollout: Rollout,
    /// When it was last raised: those who are new to treatment warm it up, whatever happens meanwhile.
    raised_at: Millis,
    /// Rungs visited in this ramp: evidence begins anew at each, and alpha is spent on each.
    visits: u32,
    /// Intervals of this ramp.
    ramp_intervals: u32,
    ring: [Interval; RECENT],
    harms: [Harm; RECENT],
    next_slot: usize,
    treatment: Slice,
    control: Slice,
    since: SinceChange,
    /// What a flag at 100 % shows beside its record.
    watch: Watch,
    /// Intervals in which a flag that is at 100 %, and has no record, still makes one of itself.
    own_record: u32,
    /// That the record is not control's but treatment's own: it serves until there is a control again.
    is_own: bool,
    reference: Reference,
    /// The threshold of the interval last closed.
    slow: Option<Slow>,
    seen: [Option<Millis>; 2],
    /// What control and treatment repeat, while they repeat themselves.
    frozen: [Option<Box<[u32; BUCKET_COUNT]>>; 2],
    latest: [Option<ArmStats>; 2],
    slower: Option<Counts>,
    warming_up: bool,
    assumed: bool,
    trouble: u32,
    since_trouble: u32,
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
        self.begin_anew(context);
        let (control, treatment) = (self.unless_frozen(control), self.unless_frozen(treatment));
        let treatment = treatment.filter(|treatment| !is_silent(context.rollout, control, treatment));
        for (slot, sample) in [control, treatment].into_iter().enumerate() {
            if let Some(sample) = sample {
                self.seen[slot] = Some(sample.end());
                self.assumed = sample.assumed;
            }
        }
        self.slow = self.reference.slow();
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
        // A control that is unlike what treatment was is not bad for that.
        let trouble = control.is_some() && !self.is_own && self.control_is_bad(&interval.control);
        // The six intervals move on also where one is empty: every look is paid for.
        self.ramp_intervals = self.ramp_intervals.saturating_add(1);
        let harm = if comparable && !self.warming_up {
            self.compare(context, &interval, trouble)
        } else {
            Harm::default()
        };
        self.harms[self.next_slot] = harm;
        let old = std::mem::replace(&mut self.ring[self.next_slot], interval);
        self.next_slot = (self.next_slot + 1) % RECENT;
        self.treatment.take(&old.treatment);
        self.control.take(&old.control);
        self.treatment.add(&interval.treatment);
        self.control.add(&interval.control);
        self.watch(context, &interval.treatment);
        self.record_itself(context, treatment);
        if let Some(control) = control.filter(|control| control.requests > 0) {
            if std::mem::take(&mut self.is_own) {
                self.reference = Reference::default();
            }
            self.note_trouble(trouble);
            if self.trouble == 0 || self.trouble > DEPENDENCY_NORMAL {
                self.reference.learn(control, context.config.memory);
            }
        }
    }

    /// The sample, unless it is to the letter what the interval before was: a source that repeats itself reports nothing.
    /// Two intervals of real traffic agree in every bucket about as often as a shuffled deck comes out in order.
    fn unless_frozen<'s>(&mut self, sample: Option<&'s Sample>) -> Option<&'s Sample> {
        let sample = sample?;
        let before = &self.ring[(self.next_slot + RECENT - 1) % RECENT];
        let before = if sample.arm == Arm::Control { &before.control } else { &before.treatment };
        let same = before.requests == u64::from(sample.requests)
            && before.errors == u64::from(sample.errors)
            && before.latency == sample.latency;
        // What is repeated is kept to compare with, also while it is not believed.
        let goes_on = self.frozen[sample.arm as usize]
            .as_deref()
            .is_some_and(|frozen| *frozen == *sample.latency.counts());
        if sample.requests >= LEAST_TO_FREEZE && (same || goes_on) {
            self.frozen[sample.arm as usize] = Some(Box::new(*sample.latency.counts()));
            self.reject(Rejection::Duplicate);
            return None;
        }
        self.frozen[sample.arm as usize] = None;
        Some(sample)
    }

    /// A new ramp forgets everything but the recorded control; a change of rollout forgets what was gathered since the
    /// last one.
    fn begin_anew(&mut self, context: &Context<'_>) {
        if self.ramp != context.ramp {
            let reference = std::mem::take(&mut self.reference);
            let (control, rejected, assumed) = (self.seen[0], self.rejected, self.assumed);
            let (trouble, since_trouble) = (self.trouble, self.since_trouble);
            let is_own = self.is_own;
            *self = Self { is_own, reference, assumed, trouble, since_trouble, rejected, ..Self::default() };
            self.seen[0] = control;
            self.ramp = context.ramp;
            self.changed_at = context.changed_at;
            self.started_at = context.changed_at;
            self.raised_at = context.changed_at;
        } else if self.changed_at != context.changed_at {
            self.changed_at = context.changed_at;
            if context.rollout > self.rollout {
                self.raised_at = context.changed_at;
            }
            // What was doubted is the record as much as the flag: what a live control shows now counts for more.
            if std::mem::take(&mut self.watch).is_off() {
                self.reference.fade(DOUBTED);
            }
            self.visits = self.visits.saturating_add(1);
            self.since = SinceChange::default();
        }
        self.rollout = context.rollout;
    }

    /// A flag that was at 100 % when this controller began to look, or was taken there at once, has no control that could be
    /// recorded. How it is once it is warm is what it is held to from then on: better than nothing, and nothing is what it would be.
    /// What goes bad meanwhile becomes part of it, unless it is bad enough to be seen.
    fn record_itself(&mut self, context: &Context<'_>, treatment: Option<&Sample>) {
        if !context.rollout.is_full() {
            self.own_record = 0;
            return;
        }
        if self.reference.requests() < LEAST_RECORD {
            self.own_record = if self.is_own { self.own_record.max(1) } else { OWN_RECORD };
            self.is_own = true;
        }
        let is_usual = !self.warming_up && !self.watch.is_off();
        let learnt = treatment.filter(|treatment| is_usual && treatment.requests > 0 && self.own_record > 0);
        if let Some(treatment) = learnt {
            self.own_record -= 1;
            self.reference.learn(treatment, context.config.memory);
        }
    }

    /// At 100 %, warm, treatment is compared with the record: over the last six intervals and over as many as the record
    /// remembers.
    fn watch(&mut self, context: &Context<'_>, treatment: &Slice) {
        if !context.rollout.is_full() || self.warming_up {
            self.watch = Watch::default();
            return;
        }
        // Where a sample is missing, what was known is still known; where six are, nothing is.
        if treatment.requests == 0 {
            if self.treatment.requests == 0 {
                self.watch.forget();
            }
            return;
        }
        let reference = &self.reference;
        let record = Record {
            share: reference.error_share(),
            requests: reference.requests(),
            variance: reference.errors_variance(),
        };
        let longer = self.slow.and_then(longer_edge).map(|edge| Longer {
            now: treatment.beyond(edge),
            six: self.treatment.beyond(edge),
            recorded: (reference.at_or_above(edge), reference.latencies()),
        });
        let shown = Shown { errors: treatment.errors(), six: self.treatment.errors(), longer };
        self.watch.take_in(&shown, &record, context.config);
    }

    /// At 100 %: in what treatment is worse than the recorded control, as far as a record can say: more of it fails, or its P99
    /// has been longer for a while.
    pub fn off_record(&self) -> impl Iterator<Item = OffRecord> {
        self.watch.confirmed()
    }

    /// At 100 %: that treatment is at least on the way there.
    #[must_use]
    pub const fn leans(&self, metric: Metric) -> bool {
        self.watch.leans(metric)
    }

    /// Whether control is worse than its own record: both arms bad is a dependency, not the flag.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    fn control_is_bad(&self, control: &Slice) -> bool {
        if control.requests == 0 || self.reference.requests() < LEAST_RECORD {
            return false;
        }
        let beyond = |bad: f64, n: f64, usual: f64, limit: f64| {
            let sd = libm::sqrt(usual.max(0.5 / n) / n);
            n > 0.0 && bad / n - usual > limit + HARD_ERRORS * sd
        };
        let usual = self.reference.error_rate();
        if beyond(control.errors as f64, control.requests as f64, usual, DEPENDENCY_ERRORS) {
            return true;
        }
        self.slow.is_some_and(|slow| {
            let n = control.measured as f64;
            beyond(control.latency.at_or_above(slow.edge) as f64, n, slow.share, DEPENDENCY_SLOW)
        })
    }

    fn note_trouble(&mut self, trouble: bool) {
        if trouble {
            self.trouble = self.trouble.saturating_add(1);
            self.since_trouble = 0;
        } else if self.trouble > 0 {
            self.since_trouble += 1;
            if self.since_trouble >= DEPENDENCY_OVER {
                self.trouble = 0;
            }
        }
    }

    /// Adds one interval of both arms to the evidence. Health is not gathered while control itself is bad: such an
    /// interval would say that treatment is bad too, which is true and not the question.
    fn compare(&mut self, context: &Context<'_>, interval: &Interval, trouble: bool) -> Harm {
        let mut harm = Harm::default();
        let config = context.config;
        let next_share = context.next.share();
        let counts = Counts {
            treatment: interval.treatment.requests,
            treatment_bad: interval.treatment.errors,
            control: interval.control.requests,
            control_bad: interval.control.errors,
        };
        harm.errors = HarmTest::of(counts, config.tolerated_errors);
        self.since.errors.add_counts(counts);
        self.since.errors.harm.add(&harm.errors);
        let usual = self.reference.error_rate();
        if !trouble {
            let margin = config.margin(config.error_budget, config.least_error_margin, usual, next_share);
            self.since.errors.health.add(counts, usual, margin);
        }
        if let Some((slow, counts)) = self.slow.zip(self.slower) {
            harm.slow = HarmTest::of(counts, config.tolerated_slow);
            self.since.slow.add_counts(counts);
            self.since.slow.harm.add(&harm.slow);
            if !trouble {
                let margin =
                    config.margin(config.slow_budget, config.least_slow_margin, slow.share, next_share);
                self.since.slow.health.add(counts, slow.share, margin);
            }
        }
        self.since.intervals = self.since.intervals.saturating_add(1);
        harm
    }

    /// Age of the telemetry of the arms that have traffic at this rollout: the older of the two.
    fn age(&self, context: &Context<'_>) -> Option<Millis> {
        let since = |slot: usize| {
            // A flag that has just started has had no treatment to report yet.
            let expected_from = if slot == 1 { context.changed_at.max(context.begun) } else { Millis::ZERO };
            // Nor control, where the ramp began under this controller's eyes: never heard, it counts from there. What ran before
            // the controller did is lost until it is heard.
            let silent_from = match slot {
                1 => Some(expected_from),
                _ => Some(self.started_at).filter(|started| *started >= context.begun),
            };
            let from = self.seen[slot].map(|seen| seen.max(expected_from)).or(silent_from)?;
            Some(context.now.since(from))
        };
        match (context.rollout.is_zero(), context.rollout.is_full()) {
            // Of a flag that is off nothing is expected.
            (true, _) => self.seen[0].and_then(|_| since(0)),
            (_, true) => since(1),
            _ => Some(since(0)?.max(since(1)?)),
        }
    }

    /// What it all comes to.
    #[must_use]
    pub fn report(&self, context: &Context<'_>) -> WindowReport {
        let config = context.config;
        let needed = (config.harm_needed(self.visits), config.harm_needed(self.ramp_intervals));
        let health_needed = -libm::log(config.health_alpha);
        let (mut errors_recent, mut slow_recent) = (HarmTest::default(), HarmTest::default());
        for harm in &self.harms {
            errors_recent.add(&harm.errors);
            slow_recent.add(&harm.slow);
        }
        let next_share = context.next.share();
        let usual = self.reference.error_rate();
        let margin = config.margin(config.error_budget, config.least_error_margin, usual, next_share);
        let errors = self.since.errors.report(&errors_recent, needed, health_needed, margin);
        let slow_margin = self.slow.map_or(0.0, |slow| {
            config.margin(config.slow_budget, config.least_slow_margin, slow.share, next_share)
        });
        let p99 = self.since.slow.report(&slow_recent, needed, health_needed, slow_margin);
        let age = self.age(context);
        let live = !context.rollout.is_full();
        let verdict = match age {
            Some(age) if age > context.stale_after && !context.rollout.is_zero() => Verdict::Lost,
            None if !context.rollout.is_zero() => Verdict::Lost,
            _ if context.rollout.is_zero() || !live => Verdict::Insufficient,
            _ if errors.regressed() || p99.regressed() => Verdict::Regressed,
            _ if errors.healthy() && p99.healthy() => Verdict::Healthy,
            _ => Verdict::Insufficient,
        };
        WindowReport {
            verdict,
            treatment: self.treatment.stats(),
            control: if live { self.control.stats() } else { self.reference.stats() },
            control_recorded: !live,
            errors,
            p99,
            slow_ms: self.slow.map(|slow| slow.ms),
            treatment_n: self.since.errors.counts.treatment,
            control_n: self.since.errors.counts.control,
            intervals: self.since.intervals,
            warming_up: self.warming_up,
            age,
            dependency: self.trouble > 0 && self.trouble <= DEPENDENCY_NORMAL,
            rejected: self.rejected,
        }
    }

    /// The hard limit broken by the last interval or the last six, if any. At 100 % treatment is compared with the
    /// recorded control. `part` scales the limits: 1 for the limits themselves, less for an early warning.
    #[must_use]
    pub fn breach(&self, limits: &HardLimits, live: bool, part: f64) -> Option<Breach> {
        let last = (self.next_slot + RECENT - 1) % RECENT;
        self.breach_of(&self.ring[last..=last], limits, live, part).or_else(|| {
            // The six are stratified only where their plain sums are at least half as bad as the limit: few are.
            self.suspicious(limits, live, part)
                .then(|| self.breach_of(&self.ring, limits, live, part))
                .flatten()
        })
    }

    /// Whether the sums of the last six intervals are at least half as bad as a limit.
    fn suspicious(&self, limits: &HardLimits, live: bool, part: f64) -> bool {
        let worse = |(bad_t, n_t): Tally, (bad_c, n_c): Tally, limit: f64| {
            n_t > 0.0 && n_c > 0.0 && bad_t / n_t - bad_c / n_c > limit / 2.0
        };
        let recorded = (self.reference.errors(), self.reference.requests());
        let control = if live { self.control.errors() } else { recorded };
        if worse(self.treatment.errors(), control, limits.errors * part / 100.0) {
            return true;
        }
        self.slow.is_some_and(|slow| {
            let edge = hard_edge(slow, limits, part);
            let recorded = || (self.reference.at_or_above(edge), self.reference.latencies());
            let control = if live { self.control.beyond(edge) } else { recorded() };
            worse(self.treatment.beyond(edge), control, HARD_SLOW)
        })
    }

    fn breach_of(
        &self,
        intervals: &[Interval],
        limits: &HardLimits,
        live: bool,
        part: f64,
    ) -> Option<Breach> {
        let recorded = &self.reference;
        let limit = limits.errors * part / 100.0;
        let errors = Excess::over(intervals.iter().map(|interval| {
            let control =
                if live { interval.control.errors() } else { (recorded.errors(), recorded.requests()) };
            (interval.treatment.errors(), control)
        }));
        if let Some(excess) = errors.beyond(limit, limits.min_samples) {
            return Some(Breach {
                metric: Metric::Errors,
                excess,
                limit,
                n: errors.n(),
                intervals: whole(intervals.len()),
            });
        }
        if self.warming_up {
            return None;
        }
        let edge = hard_edge(self.slow?, limits, part);
        let slower = Excess::over(intervals.iter().map(|interval| {
            let recorded = || (recorded.at_or_above(edge), recorded.latencies());
            let control = if live { interval.control.beyond(edge) } else { recorded() };
            (interval.treatment.beyond(edge), control)
        }));
        let excess = slower.beyond(HARD_SLOW, limits.min_samples)?;
        Some(Breach {
            metric: Metric::P99,
            excess,
            limit: HARD_SLOW,
            n: slower.n(),
            intervals: whole(intervals.len()),
        })
    }
}

fn whole(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Whether treatment reports no request at all where control's traffic says that there are many: then it is its telemetry
/// that is missing, not its traffic. What fails before it can report looks like this.
fn is_silent(rollout: Rollout, control: Option<&Sample>, treatment: &Sample) -> bool {
    let share = rollout.share();
    let expected = |control: &Sample| f64::from(control.requests) * share / (1.0 - share);
    treatment.requests == 0
        && !rollout.is_full()
        && control.is_some_and(|control| expected(control) >= f64::from(LEAST_TO_MISS))
}

impl Slice {
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    fn errors(&self) -> Tally {
        (self.errors as f64, self.requests as f64)
    }

    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    fn beyond(&self, edge: usize) -> Tally {
        (self.latency.at_or_above(edge) as f64, self.measured as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{flag::FlagId, telemetry::Arm};

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
