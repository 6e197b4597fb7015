//! A scenario: a world written down. Services, flags, what goes wrong and when.
//!
//! Plain data in plain units (shares from 0 to 1, factors, milliseconds), so that tests, the judge and training can
//! vary it in code. Where it comes from and how it runs is not its business.

use knightwatch_core::{
    flag::{FlagId, FlagSpec, ServiceName},
    telemetry::Millis,
};

/// A world to run flags in.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Its name: what `--scenario` takes.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// What happens in it and why, as Markdown.
    pub story: String,
    /// When it begins, since the Unix epoch.
    pub start: Millis,
    /// How long it runs.
    pub duration: Millis,
    /// The control interval: one step of the world.
    pub interval: Millis,
    /// What one failed request costs, in dollars; 0 where no one counts.
    pub cost_per_bad_request: f64,
    /// The services.
    pub services: Vec<ServiceModel>,
    /// The flags, by [`FlagId`].
    pub flags: Vec<FlagModel>,
    /// What hits both arms of some services at known times.
    pub outages: Vec<Outage>,
    pub(super) scheduled_starts: Vec<ScheduledStart>,
}

/// A person starts a flag at this time: from idle only a person does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduledStart {
    /// When, since the scenario's start.
    pub at: Millis,
    /// Which flag.
    pub flag: FlagId,
    /// Who starts it.
    pub operator: String,
}

/// One service: its traffic, its latencies, its errors.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceModel {
    /// Its name.
    pub name: ServiceName,
    /// Usual requests a second, over the whole service.
    pub requests_per_second: f64,
    /// Standard deviation of ln traffic around its daily course.
    pub traffic_sd: f64,
    /// Autocorrelation of that over one minute, 0 to below 1.
    pub traffic_memory: f64,
    /// How far traffic swings over a day, as a share of the usual, 0 to 1.
    pub daily_swing: f64,
    /// Hour of the day, in UTC, at which traffic peaks.
    pub daily_peak_hour: f64,
    /// Its latencies when nothing is wrong.
    pub latency: LatencyModel,
    /// Share of requests that fail when nothing is wrong.
    pub errors: f64,
    /// Share of its capacity that usual traffic takes, 0 to 0.95; 0 means no limit.
    pub utilisation: f64,
    /// Squared coefficient of variation of its service times, `C^2` of the queueing formula.
    pub variability: f64,
    /// Bursts of trouble in something it depends on: both arms suffer.
    pub bursts: Bursts,
}

/// Latencies: a lognormal body of cache hits and misses, with a Pareto tail.
#[derive(Clone, Debug, PartialEq)]
pub struct LatencyModel {
    /// Median of a cache miss (of every request where there is no cache), in milliseconds.
    pub p50_ms: f64,
    /// Standard deviation of ln latency in the body, 0.1 to 2.
    pub sigma: f64,
    /// Share of requests in the tail, 0 to 0.2.
    pub tail: f64,
    /// Exponent of the Pareto tail: the smaller, the heavier. Above 1.
    pub tail_alpha: f64,
    /// Share of the body that the cache answers, 0 to 1.
    pub cache_hits: f64,
    /// How many times faster a hit is than a miss.
    pub cache_speedup: f64,
    /// Standard deviation of the shock on ln latency that both arms share.
    pub noise_sd: f64,
    /// Autocorrelation of that shock over one minute, 0 to below 1.
    pub noise_memory: f64,
}

impl Default for LatencyModel {
    fn default() -> Self {
        Self {
            p50_ms: 40.0,
            sigma: 0.6,
            tail: 0.02,
            tail_alpha: 2.5,
            cache_hits: 0.0,
            cache_speedup: 4.0,
            noise_sd: 0.2,
            noise_memory: 0.3,
        }
    }
}

/// Trouble that comes and goes at random, on both arms.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bursts {
    /// How many begin in an hour, on average; 0 means none.
    pub per_hour: f64,
    /// How long one lasts, on average.
    pub length: Millis,
    /// Share of requests that fail in one, in addition.
    pub errors: f64,
    /// How many times slower requests are in one.
    pub latency: f64,
}

/// Trouble at a known time, on both arms of some services.
#[derive(Clone, Debug, PartialEq)]
pub struct Outage {
    /// Indices into the scenario's services.
    pub services: Vec<usize>,
    /// When it begins, since the scenario's start.
    pub from: Millis,
    /// When it ends.
    pub until: Millis,
    /// Share of requests that fail in it, in addition.
    pub errors: f64,
    /// How many times slower requests are in it.
    pub latency: f64,
    /// How many times as much traffic there is in it: clients that try again, or a crowd.
    pub traffic: f64,
}

/// One flag: whose traffic it sees, and what its treatment does.
#[derive(Clone, Debug, PartialEq)]
pub struct FlagModel {
    /// Its declaration.
    pub spec: FlagSpec,
    /// Index of its service.
    pub service: usize,
    /// Share of the service's traffic that asks for it, 0 to 1.
    pub traffic: f64,
    /// How many times slower than the service's usual request those are.
    pub slowness: f64,
    /// How much slower treatment is just after a raise: 0.5 is half as slow again.
    pub warm_up: f64,
    /// Time in which that falls to 1/e.
    pub warm_up_time: Millis,
    /// What its treatment does.
    pub effects: Vec<Effect>,
    /// What its telemetry does.
    pub wire: WireModel,
}

/// Something that treatment does, and when. Without conditions it is always in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Effect {
    /// Share of the requests it hits that fail, in addition, 0 to 1.
    pub errors: f64,
    /// How many times slower the requests it hits are.
    pub latency: f64,
    /// Share of treatment requests that it hits, 0 to 1.
    pub share: f64,
    /// In force from then on, since the scenario's start.
    pub from: Millis,
    /// In force until then.
    pub until: Option<Millis>,
    /// In force only above this share of rollout, 0 to 1.
    pub above_rollout: f64,
    /// In force once so many treatment requests have been served since the flag left 0 %.
    pub after_requests: f64,
    /// Grows to its full strength over so many further treatment requests; 0 means at once.
    pub full_after_requests: f64,
    /// Hits only users whose bucket lies in this range, as shares from 0 to 1.
    pub segment: Option<(f64, f64)>,
    /// Comes and goes.
    pub wave: Option<Wave>,
    /// Hits only users who also have this flag on.
    pub with: Option<FlagId>,
}

impl Default for Effect {
    fn default() -> Self {
        Self {
            errors: 0.0,
            latency: 1.0,
            share: 1.0,
            from: Millis::ZERO,
            until: None,
            above_rollout: 0.0,
            after_requests: 0.0,
            full_after_requests: 0.0,
            segment: None,
            wave: None,
            with: None,
        }
    }
}

/// How an effect comes and goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wave {
    /// Whether it grows over the period and drops (a sawtooth), or is on for half of it (a pulse).
    pub sawtooth: bool,
    /// From one beginning to the next.
    pub period: Millis,
}

/// What happens to a flag's telemetry between the service and the controller.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WireModel {
    /// Share of the time in which nothing arrives (a Gilbert-Elliott channel), 0 to 0.95.
    pub gaps: f64,
    /// How long such a gap lasts, on average.
    pub gap_length: Millis,
    /// Nothing arrives from then...
    pub silent_from: Option<Millis>,
    /// ... until then.
    pub silent_until: Option<Millis>,
    /// Share of samples that arrive late.
    pub late: f64,
    /// By how many control intervals, at least 1.
    pub late_by: u32,
    /// Share of samples that arrive twice.
    pub duplicates: f64,
    /// Share of samples whose clock is wrong.
    pub skewed: f64,
    /// By how much, in milliseconds; negative is behind.
    pub skew_ms: i64,
    /// Share of readings that are garbage.
    pub garbage: f64,
    /// Share of treatment requests that never reach telemetry: a sample-ratio mismatch.
    pub lost_treatment: f64,
    /// Share of failed treatment requests that never reach telemetry: what breaks cannot report.
    pub lost_failures: f64,
    /// From then on the last sample is repeated with new times: frozen telemetry.
    pub frozen_from: Option<Millis>,
}

impl WireModel {
    /// Whether samples simply arrive.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let Self {
            lost_treatment: _,
            lost_failures: _,
            gap_length: _,
            late_by: _,
            skew_ms: _,
            silent_until: _,
            ..
        } = self;
        self.gaps == 0.0
            && self.silent_from.is_none()
            && self.late == 0.0
            && self.duplicates == 0.0
            && self.skewed == 0.0
            && self.garbage == 0.0
            && self.frozen_from.is_none()
    }
}

impl Scenario {
    /// The declarations of all flags, by [`FlagId`].
    #[must_use]
    pub fn specs(&self) -> Vec<FlagSpec> {
        self.flags.iter().map(|flag| flag.spec.clone()).collect()
    }

    /// Who starts which flag when, in the order of time.
    #[must_use]
    pub fn scheduled_starts(&self) -> &[ScheduledStart] {
        &self.scheduled_starts
    }

    /// The same world with its flags started at other times. Kept in the order of time.
    pub fn set_scheduled_starts(&mut self, mut scheduled_starts: Vec<ScheduledStart>) {
        scheduled_starts.sort_by_key(|scheduled| (scheduled.at, scheduled.flag));
        self.scheduled_starts = scheduled_starts;
    }

    /// How many control intervals it runs.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.duration.0.div_ceil(self.interval.0.max(1))
    }
}
