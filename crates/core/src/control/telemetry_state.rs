//! What is remembered of telemetry between ticks: a window for each flag, and what came of it last.
//!
//! It is the fold of samples, as the state is the fold of events. It sorts out what arrives (late, twice, skewed, for no
//! flag that is known) so that the order of arrival makes no difference, and knows nothing of policies.

use std::collections::BTreeMap;

use super::{
    Action, ControlConfig, FlagState, Moment, Proposal, Reason, Ruling, Shield, State, shield::Drifting,
};
use crate::{
    flag::{FlagId, ServiceName},
    telemetry::{Context, Feed, Metric, Millis, Rejection, Sample, Window, WindowReport},
};

/// Complete flags of one service that break a limit in the same interval before it is not any one flag's doing.
const TOGETHER: u32 = 2;

/// Of so many complete flags of a service one leans by chance now and then, and says nothing of the others.
const FEW: u32 = 8;

/// Part of a hard limit at which a complete flag raises an alarm.
pub(super) const EARLY_WARNING: f64 = 0.5;

/// What came of a flag at the last tick: what the flag screen shows.
#[derive(Clone, Debug, Default)]
pub struct FlagTelemetry {
    /// The evidence.
    pub report: WindowReport,
    /// What the policy wanted; `None` when it was not asked.
    pub proposal: Option<Proposal>,
    /// What the shield made of it; `None` when nothing was proposed.
    pub ruling: Option<Ruling>,
    /// Ticks in a row with the same ruling.
    pub repeated: u32,
    /// Holds since the last journalled decision.
    pub holds: u32,
    /// The last veto journalled: a repeated one is counted, not journalled.
    pub(super) vetoed: Option<(std::mem::Discriminant<Action>, std::mem::Discriminant<Reason>)>,
    /// Intervals since the last rejected sample that speaks of a broken source.
    pub(super) clean_intervals: u32,
    pub(super) rejected_before: u32,
}

/// What is remembered of telemetry: the fold of samples, as [`State`] is the fold of events. Not journalled; after a
/// restart it is empty, and everything holds until telemetry is fresh.
#[derive(Debug, Default)]
pub struct TelemetryState {
    pub(super) windows: Vec<Window>,
    pub(super) by_flag: Vec<FlagTelemetry>,
    /// Samples of intervals not yet closed.
    pending: Vec<Sample>,
    /// For each flag, the numbers of its control and treatment samples ([`one_of`]).
    slots: Vec<[Option<u32>; 2]>,
    pub(super) proposals: Vec<Proposal>,
    /// Samples for no flag that is known.
    strays: u32,
    /// Since when anything could be seen.
    pub(super) begun: Millis,
}

impl TelemetryState {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty one of a controller that was started at `begun`: what it has never seen has been missing since then, however
    /// long the flag has been where it is.
    #[must_use]
    pub fn beginning(begun: Millis) -> Self {
        Self { begun, ..Self::default() }
    }

    /// The evidence on a flag as of the last tick.
    #[must_use]
    pub fn report(&self, flag: FlagId) -> Option<&WindowReport> {
        self.by_flag.get(flag.index()).map(|flag_telemetry| &flag_telemetry.report)
    }

    /// What came of a flag at the last tick.
    #[must_use]
    pub fn flag_telemetry(&self, flag: FlagId) -> Option<&FlagTelemetry> {
        self.by_flag.get(flag.index())
    }

    /// The window of a flag.
    #[must_use]
    pub fn window(&self, flag: FlagId) -> Option<&Window> {
        self.windows.get(flag.index())
    }

    /// Takes in a feed and closes the interval that ends at `moment.end`.
    pub fn observe(&mut self, state: &State, config: &ControlConfig, feed: &Feed, moment: Moment) {
        let flags = state.flags.len();
        self.windows.resize_with(flags, Window::default);
        self.by_flag.resize_with(flags, FlagTelemetry::default);
        self.slots.clear();
        self.slots.resize(flags, [None; 2]);
        for (flag, why) in &feed.rejected {
            self.reject(*flag, *why);
        }
        self.sort_out(config, feed, moment);
        for flag in &state.flags {
            let context = Context { begun: self.begun, ..context(config, flag, moment) };
            let [control, treatment] = self.slots[flag.id.index()]
                .map(|slot| slot.and_then(|slot| one_of(&self.pending, feed, slot)));
            let window = &mut self.windows[flag.id.index()];
            window.close(&context, control, treatment);
            self.by_flag[flag.id.index()].report = window.report(&context);
        }
        // What lies in the future is not kept: the source's clock is wrong, and its next sample may be right.
        let open = |sample: &Sample| {
            sample.span == config.interval && sample.end() > moment.end && sample.start <= moment.now
        };
        self.pending.retain(open);
        self.pending.extend(feed.samples.iter().filter(|sample| open(sample)));
    }

    /// Finds for each flag and arm the sample of the interval to be closed; counts what cannot be used. The order of
    /// arrival makes no difference: of two that contradict each other the one with more requests counts.
    fn sort_out(&mut self, config: &ControlConfig, feed: &Feed, moment: Moment) {
        for here in 0_u32.. {
            let Some(sample) = one_of(&self.pending, feed, here) else { break };
            let fits = sample.span == config.interval;
            if fits && sample.end() > moment.end && sample.start <= moment.now {
                // Of an interval still open; its turn comes.
                continue;
            }
            let flag = sample.flag;
            let Some(slots) = self.slots.get_mut(flag.index()) else {
                self.strays = self.strays.saturating_add(1);
                continue;
            };
            let on_grid = moment.end.0.abs_diff(sample.end().0).is_multiple_of(config.interval.0.max(1));
            let why = if !fits || !on_grid {
                Rejection::Misaligned
            } else if sample.start > moment.now {
                Rejection::Skewed
            } else if sample.end() < moment.end {
                Rejection::Late
            } else {
                let slot = &mut slots[sample.arm as usize];
                let Some(other) = slot.and_then(|slot| one_of(&self.pending, feed, slot)) else {
                    *slot = Some(here);
                    continue;
                };
                let rank = |s: &Sample| (s.requests, s.errors, *s.latency.counts());
                if rank(sample) > rank(other) {
                    *slot = Some(here);
                }
                Rejection::Duplicate
            };
            self.reject(flag, why);
        }
    }

    /// Services whose trouble is not one flag's doing, with how many flags show it: control itself is bad, or several
    /// complete flags are worse than their records in the same interval.
    pub(super) fn troubled(&self, state: &State, config: &ControlConfig) -> BTreeMap<ServiceName, u32> {
        let mut bad_control: BTreeMap<ServiceName, u32> = BTreeMap::new();
        let mut breaking: BTreeMap<ServiceName, u32> = BTreeMap::new();
        for flag in state.alive() {
            let (window, flag_telemetry) = (&self.windows[flag.id.index()], &self.by_flag[flag.id.index()]);
            if flag_telemetry.report.dependency {
                *bad_control.entry(flag.spec.service.clone()).or_default() += 1;
            }
            let breaks = || window.breach(&config.shield.hard, false, EARLY_WARNING).is_some();
            if flag.rollout.is_full() && breaks() {
                *breaking.entry(flag.spec.service.clone()).or_default() += 1;
            }
        }
        breaking.retain(|_, flags| *flags >= TOGETHER);
        for (service, flags) in breaking {
            *bad_control.entry(service).or_default() += flags;
        }
        bad_control
    }

    /// Services of which several of the flags that the shield watches at 100 % are off their records in a metric, or at
    /// least on the way, and no small part of them: time has passed for the service, and no flag of it is to be
    /// rechecked for that.
    pub(super) fn drifting(&self, state: &State, shield: &Shield<'_>) -> Drifting {
        let mut trending: BTreeMap<(&ServiceName, Metric), u32> = BTreeMap::new();
        let mut watched: BTreeMap<&ServiceName, u32> = BTreeMap::new();
        for flag in state.alive().filter(|flag| shield.watches(flag)) {
            *watched.entry(&flag.spec.service).or_default() += 1;
            let window = &self.windows[flag.id.index()];
            for metric in Metric::ALL.into_iter().filter(|metric| window.trending_worse(*metric)) {
                *trending.entry((&flag.spec.service, metric)).or_default() += 1;
            }
        }
        let several = trending.into_iter().filter(|((service, _), flags)| {
            *flags >= TOGETHER && *flags * FEW >= watched.get(service).copied().unwrap_or(0)
        });
        several.map(|((service, metric), _)| (service.clone(), metric)).collect()
    }

    fn reject(&mut self, flag: FlagId, why: Rejection) {
        match self.windows.get_mut(flag.index()) {
            Some(window) => window.reject(why),
            None => self.strays = self.strays.saturating_add(1),
        }
    }

    /// Samples that came for no flag that is known.
    #[must_use]
    pub const fn strays(&self) -> u32 {
        self.strays
    }
}

/// The sample with this number: those still pending come first, then those of the feed.
fn one_of<'a>(pending: &'a [Sample], feed: &'a Feed, number: u32) -> Option<&'a Sample> {
    let number = number as usize;
    pending.get(number).or_else(|| feed.samples.get(number - pending.len()))
}

fn context<'a>(config: &'a ControlConfig, flag: &FlagState, moment: Moment) -> Context<'a> {
    Context {
        config: &config.evidence,
        end: moment.end,
        now: moment.now,
        stale_after: config.shield.stale_after,
        interval: config.interval,
        ramp: flag.ramp,
        changed_at: flag.changed_at,
        begun: Millis::ZERO,
        rollout: flag.rollout,
        next: flag.spec.ladder.above(flag.rollout, 1),
    }
}
