//! The ranges that generated scenarios are drawn from, each with its reason, in one table.
//!
//! A range has two ends for a beginner (large plain effects, much traffic, little noise) and two for the real thing; the
//! curriculum's difficulty goes from the one pair to the other. What is done with a drawn number is not known here.

use super::super::{effect::HARMFUL_ERRORS, effect::HARMFUL_P99, noise::Draws};

/// How a number lies between the ends of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    /// Evenly.
    Linear,
    /// Its logarithm evenly: small and large effects alike.
    Log,
    /// Its logarithm as the mean of two even draws: the middle of the range is common, its ends are rare.
    Peaked,
}

/// What a number is drawn from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    /// The ends at difficulty 0.
    easy: [f64; 2],
    /// The ends at difficulty 1.
    full: [f64; 2],
    scale: Scale,
}

const fn linear(easy: [f64; 2], full: [f64; 2]) -> Range {
    Range { easy, full, scale: Scale::Linear }
}

const fn log(easy: [f64; 2], full: [f64; 2]) -> Range {
    // At compile time: the logarithm of a bound at or below zero is no bound.
    assert!(easy[0] > 0.0 && full[0] > 0.0);
    Range { easy, full, scale: Scale::Log }
}

/// One stream of draws, at one difficulty.
pub(super) struct Dice {
    pub(super) draws: Draws,
    /// From 0 (the easy ends) to 1 (the full ones).
    pub(super) difficulty: f64,
}

impl Dice {
    /// A number from a range.
    pub(super) fn draw(&mut self, range: &Range) -> f64 {
        let between = |[low, high]: [f64; 2], share: f64| low + (high - low) * share;
        let even = range.scale == Scale::Linear;
        let ends = [0, 1].map(|end| {
            let ends = [range.easy[end], range.full[end]];
            between(if even { ends } else { ends.map(libm::log) }, self.difficulty)
        });
        match range.scale {
            Scale::Linear => between(ends, self.draws.uniform()),
            Scale::Log => libm::exp(between(ends, self.draws.uniform())),
            Scale::Peaked => libm::exp(between(ends, 0.5 * (self.draws.uniform() + self.draws.uniform()))),
        }
    }

    /// True with probability `p`.
    pub(super) fn chance(&mut self, p: f64) -> bool {
        self.draws.chance(p)
    }

    /// One of several things, each as likely.
    pub(super) fn pick<T: Copy, const N: usize>(&mut self, of: &[T; N]) -> T {
        const { assert!(N > 0) };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "below the length of a short list"
        )]
        let index = (self.draws.uniform() * N as f64) as usize;
        of[index.min(N - 1)]
    }
}

// ---- how often ------------------------------------------------------------------------------------------------------

/// Share of scenarios of a bad family whose flag does no harm. With [`SECOND_FLAG`] and the healthy family, 40 to 45 %
/// of all flags are good: an agent that always or never rolls back is wrong about as often.
pub(super) const HARMLESS: f64 = 0.3;
/// Of those, the share in which both arms suffer instead: the same sight at a glance, and not the flag's doing.
pub(super) const BOTH_ARMS: f64 = 0.3;
/// Share of scenarios with a second flag (a good one) on the same service.
pub(super) const SECOND_FLAG: f64 = 0.15;
/// Share of flags with a mild difference that is no harm: few releases change nothing at all. Times the difficulty.
pub(super) const MILD: f64 = 0.4;
/// Share of flags that make treatment faster: what a good release is often for.
pub(super) const FASTER: f64 = 0.15;
/// Share of services in which no request fails when nothing is wrong.
pub(super) const NO_ERRORS: f64 = 0.15;
/// Share of services with a cache.
pub(super) const CACHE: f64 = 0.5;
/// Share of services that queue when traffic swells.
pub(super) const QUEUES: f64 = 0.5;
/// Share of flags that have nothing to warm up.
pub(super) const NO_WARM_UP: f64 = 0.25;
/// Share of services with bursts of trouble in both arms. Times the difficulty.
pub(super) const BURSTS: f64 = 0.1;
/// Share of slow treatments that are slow only for a share of the requests: P50 does not move, P99 does.
pub(super) const TAIL_ONLY: f64 = 0.5;

// ---- services -------------------------------------------------------------------------------------------------------

/// A flag's requests in a control interval, both arms together. Peaked: three in four lie between 300 and 20 000.
pub(super) const TRAFFIC: Range =
    Range { easy: [5_000.0, 20_000.0], full: [30.0, 100_000.0], scale: Scale::Peaked };
/// The same where hardly anyone asks.
pub(super) const LOW_TRAFFIC: Range = log([40.0, 100.0], [1.0, 100.0]);
/// Share of a service's requests that ask for the flag.
pub(super) const ASKING: Range = linear([0.8, 1.0], [0.2, 1.0]);
/// Share of requests that fail when nothing is wrong.
pub(super) const BASE_ERRORS: Range = log([0.000_1, 0.002], [0.000_1, 0.02]);
/// Median latency of a cache miss, in milliseconds.
pub(super) const P50_MS: Range = log([20.0, 100.0], [8.0, 400.0]);
/// Standard deviation of ln latency in the body.
pub(super) const SIGMA: Range = linear([0.5, 0.7], [0.5, 1.2]);
/// Share of requests in the Pareto tail.
pub(super) const TAIL: Range = linear([0.01, 0.02], [0.01, 0.05]);
/// Exponent of that tail; below 2 its variance is infinite, which real tails come close to.
pub(super) const TAIL_ALPHA: Range = linear([2.5, 4.0], [1.8, 4.0]);
/// Share of the body that the cache answers.
pub(super) const CACHE_HITS: Range = linear([0.3, 0.6], [0.2, 0.9]);
/// How many times faster a hit is.
pub(super) const CACHE_SPEEDUP: Range = log([3.0, 4.0], [2.0, 10.0]);
/// Standard deviation of the shock on ln latency that both arms share. Recorded P99 a minute has 0.1 to 0.6; of that the
/// sampling of a P99, the queue and the bursts, which come on top here, have their part.
pub(super) const NOISE_SD: Range = linear([0.05, 0.1], [0.05, 0.35]);
/// Its autocorrelation over a minute, as recorded.
pub(super) const NOISE_MEMORY: Range = linear([0.3, 0.65], [0.3, 0.65]);
/// Standard deviation of ln traffic around its daily course.
pub(super) const TRAFFIC_SD: Range = linear([0.02, 0.05], [0.02, 0.2]);
/// Its autocorrelation over a minute.
pub(super) const TRAFFIC_MEMORY: Range = linear([0.6, 0.95], [0.6, 0.95]);
/// Swing of traffic over the day, as a share of the usual.
pub(super) const DAILY_SWING: Range = linear([0.0, 0.1], [0.0, 0.4]);
/// An hour of the day, for the peak of traffic and for the start.
pub(super) const HOUR: Range = linear([0.0, 24.0], [0.0, 24.0]);
/// Share of capacity that usual traffic takes. Above 0.6 the swings of traffic alone, by way of the queue, would move
/// P99 by more than the recorded sd of ln 0.6.
pub(super) const UTILISATION: Range = linear([0.1, 0.3], [0.1, 0.6]);
/// Squared coefficient of variation of service times: 1 is exponential.
pub(super) const VARIABILITY: Range = linear([0.5, 1.0], [0.5, 3.0]);
/// Bursts of trouble an hour.
pub(super) const BURSTS_PER_HOUR: Range = linear([1.0, 2.0], [1.0, 4.0]);
/// The same where a dependency is the trouble: several within a rollout.
pub(super) const MANY_BURSTS_PER_HOUR: Range = linear([4.0, 6.0], [4.0, 15.0]);
/// How long one lasts, in seconds.
pub(super) const BURST_SECS: Range = log([20.0, 60.0], [20.0, 180.0]);
/// Share of requests that fail in one.
pub(super) const BURST_ERRORS: Range = log([0.01, 0.05], [0.005, 0.2]);
/// How many times slower requests are in one.
pub(super) const BURST_LATENCY: Range = log([1.2, 2.0], [1.1, 5.0]);

// ---- flags ----------------------------------------------------------------------------------------------------------

/// When the flag is started, in seconds: control has been recorded for some intervals.
pub(super) const START_SECS: Range = linear([30.0, 60.0], [30.0, 120.0]);
/// When a second flag is started, in seconds: some together with the first, some far behind.
pub(super) const SECOND_START_SECS: Range = linear([30.0, 120.0], [30.0, 900.0]);
/// How many times slower than the service's usual request the flag's are.
pub(super) const SLOWNESS: Range = log([1.0, 1.0], [0.7, 1.5]);
/// How much slower treatment is just after a raise: an agent must not take it for harm.
pub(super) const WARM_UP: Range = linear([0.0, 0.2], [0.0, 1.5]);
/// Time in which that falls to 1/e, in seconds. Most of it is over within the 30 s that the evidence leaves out by
/// default: who runs a service that warms up for longer sets that.
pub(super) const WARM_UP_SECS: Range = log([5.0, 15.0], [5.0, 20.0]);
/// Share of requests that fail because of a mild difference.
pub(super) const MILD_ERRORS: Range = log([0.000_01, 0.000_1], [0.000_01, 0.000_2]);
/// How many times slower a mild difference makes requests.
pub(super) const MILD_LATENCY: Range = linear([1.0, 1.01], [1.0, 1.02]);
/// How many times slower a better treatment is: below 1.
pub(super) const FASTER_LATENCY: Range = linear([0.8, 1.0], [0.6, 1.0]);

// A mild difference is no harm.
const _: () = assert!(MILD_ERRORS.full[1] < HARMFUL_ERRORS && MILD_LATENCY.full[1] < HARMFUL_P99);

// ---- harm -----------------------------------------------------------------------------------------------------------

/// Share of treatment requests that fail.
pub(super) const ERRORS: Range = log([0.05, 0.5], [0.001, 1.0]);
/// Treatment's P99 as a multiple of control's.
pub(super) const P99_RATIO: Range = log([1.8, 6.0], [1.05, 20.0]);
/// Share of requests that are slow where only the tail suffers: above the 1 % that P99 is about.
pub(super) const TAIL_SHARE: Range = log([0.05, 0.3], [0.015, 0.3]);
/// Share of rollout above which there is harm.
pub(super) const ABOVE: Range = linear([0.05, 0.25], [0.05, 0.75]);
/// When harm begins, in seconds after the start: at the end of the range the flag may long be at 100 %.
pub(super) const LATER_SECS: Range = linear([120.0, 480.0], [60.0, 2_160.0]);
/// After how much traffic it begins, in control intervals of the flag's usual traffic at 100 %.
pub(super) const LATER_INTERVALS: Range = log([0.5, 5.0], [0.05, 60.0]);
/// Over how much traffic a leak grows to its full size, in the same unit.
pub(super) const LEAK_INTERVALS: Range = log([5.0, 20.0], [5.0, 120.0]);
/// Period of a wave, in seconds: from shorter than the evidence's six intervals to much longer.
pub(super) const WAVE_SECS: Range = log([60.0, 120.0], [30.0, 600.0]);
/// Above which share of rollout dead code is reached: a part of them only at 100 %.
pub(super) const PEG_ABOVE: Range = linear([0.5, 0.74], [0.5, 0.995]);
/// After how much traffic, in control intervals of usual traffic at 100 %.
pub(super) const PEG_INTERVALS: Range = log([3.0, 10.0], [3.0, 60.0]);
/// Share of requests that fail then.
pub(super) const PEG_ERRORS: Range = linear([0.5, 1.0], [0.3, 1.0]);
/// How many times slower requests are then.
pub(super) const PEG_LATENCY: Range = log([2.0, 6.0], [1.5, 10.0]);
/// Share of requests that fail where failures do not report: many, or nothing would be missed.
pub(super) const UNSEEN_ERRORS: Range = log([0.1, 0.6], [0.02, 1.0]);
/// Share of requests that fail where there are few: less would not be seen within the horizon by anyone.
pub(super) const LOW_TRAFFIC_ERRORS: Range = log([0.2, 1.0], [0.02, 1.0]);
/// P99 ratio where there are few requests.
pub(super) const LOW_TRAFFIC_P99: Range = log([3.0, 10.0], [1.5, 20.0]);
/// After how much traffic a delayed leak begins: 5 to 20 minutes at 100 %, long after a leak from the start would show.
pub(super) const DELAYED_INTERVALS: Range = log([30.0, 60.0], [30.0, 120.0]);
/// Over how much more it grows.
pub(super) const DELAYED_GROWTH_INTERVALS: Range = log([5.0, 20.0], [5.0, 60.0]);
/// Width of a segment, as a share of all users.
pub(super) const SEGMENT_WIDTH: Range = log([0.05, 0.2], [0.01, 0.2]);
/// Share of its requests that fail.
pub(super) const SEGMENT_ERRORS: Range = linear([0.5, 1.0], [0.2, 1.0]);

// ---- surroundings ---------------------------------------------------------------------------------------------------

/// When trouble in both arms or on the wire begins, in seconds.
pub(super) const TROUBLE_FROM_SECS: Range = linear([180.0, 600.0], [30.0, 1_800.0]);
/// How long it lasts, in seconds.
pub(super) const TROUBLE_SECS: Range = log([60.0, 180.0], [30.0, 600.0]);
/// Share of both arms' requests that fail in an outage.
pub(super) const OUTAGE_ERRORS: Range = log([0.1, 0.3], [0.01, 0.6]);
/// How many times slower both arms are in it.
pub(super) const OUTAGE_LATENCY: Range = log([1.5, 3.0], [1.1, 8.0]);
/// How much traffic there is in it, as a multiple.
pub(super) const OUTAGE_TRAFFIC: Range = linear([0.9, 1.1], [0.6, 1.3]);
/// How much traffic there is in a retry storm.
pub(super) const STORM_TRAFFIC: Range = log([1.3, 1.6], [1.2, 4.0]);
/// Share of capacity taken before it: near enough to the knee to be pushed over.
pub(super) const STORM_UTILISATION: Range = linear([0.5, 0.6], [0.4, 0.75]);
/// Share of both arms' requests that fail in it.
pub(super) const STORM_ERRORS: Range = log([0.005, 0.02], [0.005, 0.1]);

// ---- telemetry ------------------------------------------------------------------------------------------------------

/// Share of the time in which nothing arrives.
pub(super) const GAPS: Range = linear([0.05, 0.15], [0.05, 0.5]);
/// How long a gap lasts, in seconds.
pub(super) const GAP_SECS: Range = log([20.0, 60.0], [20.0, 180.0]);
/// Share of samples that come late, or twice.
pub(super) const LATE: Range = linear([0.05, 0.2], [0.05, 0.5]);
/// By how many control intervals.
pub(super) const LATE_BY: Range = linear([1.0, 3.0], [1.0, 6.0]);
/// Share of samples with a wrong clock, or of readings that are garbage.
pub(super) const SPOILT: Range = linear([0.02, 0.1], [0.02, 0.3]);
/// By how much a clock is wrong, in seconds: up to three days.
pub(super) const SKEW_SECS: Range = log([60.0, 3_600.0], [5.0, 259_200.0]);
/// Share of treatment requests that never reach telemetry.
pub(super) const LOST_TREATMENT: Range = linear([0.2, 0.5], [0.03, 0.7]);
/// Share of failed treatment requests that never do.
pub(super) const LOST_FAILURES: Range = linear([0.8, 1.0], [0.3, 1.0]);
/// When telemetry freezes, in seconds after the start.
pub(super) const FROZEN_SECS: Range = linear([120.0, 300.0], [20.0, 1_200.0]);
