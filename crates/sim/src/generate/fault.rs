//! What goes wrong in a generated scenario, family by family: in the flag, around it, or with its telemetry.
//!
//! Of every family but the healthy one a part does no harm: its flag differs mildly under the same conditions, or both
//! arms suffer at once. Sizes come from the table of ranges; how the world plays them out is not known here.

use super::{
    super::{Effect, LatencyModel, Outage, Scenario, Wave, WireModel, shape},
    Family, HORIZON,
    ranges::{self, Dice, Range},
    surroundings::{bursts, mild, seconds, typical_requests},
};
use knightwatch_core::{flag::FlagId, telemetry::Millis};

/// The flag that something is wrong with.
pub(super) const FIRST: usize = 0;
/// The most by which a request can be slower: the table of latencies reaches to 1 024.
const SLOWEST: f64 = 500.0;
/// Halvings in search of a quantile: 40 / 2^45 of ln milliseconds is about 10^-12.
const HALVINGS: u32 = 45;

/// What harm is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Errors,
    Latency,
}

/// What a family draws its flag's harm from.
struct Fault<'a> {
    dice: &'a mut Dice,
    latency: LatencyModel,
    /// Requests in a control interval of usual traffic: the unit of exposure.
    usual: f64,
    /// When the flag is started.
    started: Millis,
    is_harmful: bool,
    errors: &'static Range,
    p99: &'static Range,
}

/// Puts what is wrong into a scenario that has a service and its flags. `started` is when the first one is.
pub(super) fn add(dice: &mut Dice, family: Family, started: Millis, scenario: &mut Scenario) {
    let (Some(service), Some(flag)) = (scenario.services.first(), scenario.flags.get(FIRST)) else { return };
    let is_harmful = family != Family::Healthy && !dice.chance(ranges::HARMLESS);
    let mut fault = Fault {
        latency: service.latency.clone(),
        usual: typical_requests(service, flag),
        started,
        is_harmful,
        errors: if family == Family::LowTraffic { &ranges::LOW_TRAFFIC_ERRORS } else { &ranges::ERRORS },
        p99: if family == Family::LowTraffic { &ranges::LOW_TRAFFIC_P99 } else { &ranges::P99_RATIO },
        dice,
    };
    let effect = fault.effect(family);
    if is_harmful && effect.as_ref().is_some_and(|effect| effect.latency > 1.0) {
        // Faster by more than it is slower would be called harm and be none.
        scenario.flags.iter_mut().for_each(|flag| flag.effects.retain(|usual| usual.latency >= 1.0));
    }
    if !is_harmful && is_of_the_flag(family) && fault.dice.chance(ranges::BOTH_ARMS) {
        scenario.outages.push(outage(fault.dice));
    } else if family == Family::Interaction {
        interact(scenario, effect);
    } else if let Some(flag) = scenario.flags.get_mut(FIRST) {
        flag.effects.extend(effect);
        flag.wire = wire(fault.dice, family, started);
    }
    surround(fault.dice, family, scenario);
}

/// Whether the family is about what the flag does, with surroundings and telemetry as usual.
fn is_of_the_flag(family: Family) -> bool {
    match family {
        Family::ErrorStep
        | Family::ErrorAbove
        | Family::ErrorLater
        | Family::LatencyStep
        | Family::LatencyAbove
        | Family::SlowLeak
        | Family::Sawtooth
        | Family::PowerPeg
        | Family::LowTraffic
        | Family::DelayedLeak
        | Family::Interaction
        | Family::SegmentBug => true,
        Family::Healthy
        | Family::Dependency
        | Family::RetryStorm
        | Family::Telemetry
        | Family::SampleRatio
        | Family::FrozenTelemetry => false,
    }
}

/// Both flags hurt, or differ mildly, in users who have both.
fn interact(scenario: &mut Scenario, effect: Option<Effect>) {
    let Some(effect) = effect else { return };
    for (flag, partner) in scenario.flags.iter_mut().zip([FlagId(1), FlagId(0)]) {
        flag.effects.push(Effect { with: Some(partner), ..effect.clone() });
    }
}

impl Fault<'_> {
    /// What the first flag does, by family; `None` where nothing.
    fn effect(&mut self, family: Family) -> Option<Effect> {
        Some(match family {
            Family::Healthy => return None,
            Family::ErrorStep => self.size(Kind::Errors),
            Family::ErrorAbove => self.above(Kind::Errors),
            Family::ErrorLater | Family::FrozenTelemetry => self.later(),
            Family::LatencyStep => self.size(Kind::Latency),
            Family::LatencyAbove => self.above(Kind::Latency),
            Family::SlowLeak => {
                Effect { full_after_requests: self.requests(&ranges::LEAK_INTERVALS), ..self.any() }
            }
            Family::Sawtooth => {
                let period = seconds(self.dice.draw(&ranges::WAVE_SECS));
                let wave = Some(Wave { sawtooth: self.dice.chance(0.5), period });
                Effect { wave, ..self.any() }
            }
            Family::PowerPeg => self.power_peg(),
            Family::Dependency | Family::RetryStorm | Family::Telemetry | Family::LowTraffic => self.plain(),
            // What fails silently has to fail often: otherwise there is nothing to be missed.
            Family::SampleRatio => self.sized(Kind::Errors, &ranges::UNSEEN_ERRORS),
            Family::DelayedLeak => Effect {
                after_requests: self.requests(&ranges::DELAYED_INTERVALS),
                full_after_requests: self.requests(&ranges::DELAYED_GROWTH_INTERVALS),
                ..self.any()
            },
            Family::Interaction => self.any(),
            Family::SegmentBug => {
                let width = self.dice.draw(&ranges::SEGMENT_WIDTH);
                let from = self.dice.draws.uniform() * (1.0 - width);
                let hit = self.sized(Kind::Errors, &ranges::SEGMENT_ERRORS);
                Effect { segment: Some((from, from + width)), ..hit }
            }
        })
    }

    /// A fault of the plain kind, where the family is about something else.
    fn plain(&mut self) -> Effect {
        let kind = self.dice.pick(&[Kind::Errors, Kind::Latency]);
        if self.dice.chance(0.5) { self.size(kind) } else { self.above(kind) }
    }

    /// Errors or latency.
    fn any(&mut self) -> Effect {
        let kind = self.dice.pick(&[Kind::Errors, Kind::Latency]);
        self.size(kind)
    }

    /// Harm above some rollout only.
    fn above(&mut self, kind: Kind) -> Effect {
        Effect { above_rollout: self.dice.draw(&ranges::ABOVE), ..self.size(kind) }
    }

    /// Errors that begin after a time, or after so much traffic.
    fn later(&mut self) -> Effect {
        let from = self.started + seconds(self.dice.draw(&ranges::LATER_SECS));
        let after_requests = self.requests(&ranges::LATER_INTERVALS);
        let size = self.size(Kind::Errors);
        if self.dice.chance(0.5) { Effect { from, ..size } } else { Effect { after_requests, ..size } }
    }

    /// Nothing until dead code is reached, at a rollout or after so much traffic; then everything.
    fn power_peg(&mut self) -> Effect {
        let above_rollout = self.dice.draw(&ranges::PEG_ABOVE);
        let after_requests = self.requests(&ranges::PEG_INTERVALS);
        let (errors, latency) = (self.dice.draw(&ranges::PEG_ERRORS), self.dice.draw(&ranges::PEG_LATENCY));
        let everything = Effect { errors, latency, ..Effect::default() };
        let size = if self.is_harmful { everything } else { mild(self.dice) };
        if self.dice.chance(0.5) {
            Effect { above_rollout, ..size }
        } else {
            Effect { after_requests, ..size }
        }
    }

    /// An amount of traffic, drawn in control intervals of usual traffic at 100 %.
    fn requests(&mut self, range: &Range) -> f64 {
        self.dice.draw(range) * self.usual
    }

    /// The size of the harm, in force always; a mild difference where the flag is good.
    fn size(&mut self, kind: Kind) -> Effect {
        self.sized(kind, self.errors)
    }

    fn sized(&mut self, kind: Kind, errors: &Range) -> Effect {
        if !self.is_harmful {
            return mild(self.dice);
        }
        match kind {
            Kind::Errors => Effect { errors: self.dice.draw(errors), ..Effect::default() },
            Kind::Latency => self.slower(),
        }
    }

    /// Slower for everybody or for a share, such that the P99 is as many times longer as was drawn.
    fn slower(&mut self) -> Effect {
        let ratio = self.dice.draw(self.p99);
        let share = self.dice.draw(&ranges::TAIL_SHARE);
        if self.dice.chance(ranges::TAIL_ONLY) {
            let latency = latency_for(&self.latency, ratio, share);
            Effect { latency, share, ..Effect::default() }
        } else {
            Effect { latency: ratio, ..Effect::default() }
        }
    }
}

/// How many times slower `share` of the requests (above 1 %) have to be for the P99 to be `ratio` times as long.
///
/// With S the share of requests slower than a time, and x the new P99, `share * S(x / f) + (1 - share) * S(x) = 1 %`.
pub(super) fn latency_for(model: &LatencyModel, ratio: f64, share: f64) -> f64 {
    let now = quantile(model, shape::SLOW_SHARE) + libm::log(ratio);
    let slower_than = shape::survival(model);
    let of_the_slow = (shape::SLOW_SHARE - (1.0 - share) * slower_than(now)) / share;
    libm::exp(now - quantile(model, of_the_slow)).clamp(ratio, SLOWEST)
}

/// The time, as ln of milliseconds, that this share of requests is slower than.
fn quantile(model: &LatencyModel, slower: f64) -> f64 {
    let slower_than = shape::survival(model);
    let (mut low, mut high) = (-20.0, 20.0);
    for _ in 0..HALVINGS {
        let middle = 0.5 * (low + high);
        if slower_than(middle) > slower { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// What happens around the flag: to both arms alike.
fn surround(dice: &mut Dice, family: Family, scenario: &mut Scenario) {
    match family {
        Family::Dependency => {
            let per_hour = dice.draw(&ranges::MANY_BURSTS_PER_HOUR);
            let bursts = bursts(dice, per_hour);
            let outages = dice.pick(&[1, 1, 2, 3]);
            if dice.chance(0.3)
                && let Some(service) = scenario.services.first_mut()
            {
                service.bursts = bursts;
            } else {
                scenario.outages.extend((0..outages).map(|_| outage(dice)));
            }
        }
        Family::RetryStorm => {
            let storm = Outage {
                traffic: dice.draw(&ranges::STORM_TRAFFIC),
                errors: dice.draw(&ranges::STORM_ERRORS),
                latency: 1.0,
                ..outage(dice)
            };
            scenario.outages.push(storm);
            let utilisation = dice.draw(&ranges::STORM_UTILISATION);
            if let Some(service) = scenario.services.first_mut() {
                service.utilisation = utilisation;
            }
        }
        _ => {}
    }
}

/// Trouble in both arms for some time.
fn outage(dice: &mut Dice) -> Outage {
    let from = seconds(dice.draw(&ranges::TROUBLE_FROM_SECS));
    let length = seconds(dice.draw(&ranges::TROUBLE_SECS));
    let (errors, latency) = (dice.draw(&ranges::OUTAGE_ERRORS), dice.draw(&ranges::OUTAGE_LATENCY));
    let (errors, latency) = dice.pick(&[(errors, 1.0), (0.0, latency), (errors, latency)]);
    let traffic = dice.draw(&ranges::OUTAGE_TRAFFIC);
    Outage { services: vec![0], from, until: (from + length).min(HORIZON), errors, latency, traffic }
}

/// What the family does to telemetry.
fn wire(dice: &mut Dice, family: Family, started: Millis) -> WireModel {
    let clean = WireModel::default();
    match family {
        Family::Telemetry => unreliable(dice),
        Family::SampleRatio => {
            let (requests, failures) =
                (dice.draw(&ranges::LOST_TREATMENT), dice.draw(&ranges::LOST_FAILURES));
            let (lost_treatment, lost_failures) =
                dice.pick(&[(requests, 0.0), (0.0, failures), (0.0, failures)]);
            WireModel { lost_treatment, lost_failures, ..clean }
        }
        Family::FrozenTelemetry => {
            let frozen_from = Some(started + seconds(dice.draw(&ranges::FROZEN_SECS)));
            WireModel { frozen_from, ..clean }
        }
        _ => clean,
    }
}

/// Telemetry with one to three of the ways to fail.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a handful of intervals; two days in ms"
)]
fn unreliable(dice: &mut Dice) -> WireModel {
    let mut model = WireModel::default();
    for _ in 0..dice.pick(&[1, 2, 3]) {
        match dice.pick(&[0, 1, 2, 3, 4, 5]) {
            0 => {
                model.gaps = dice.draw(&ranges::GAPS);
                model.gap_length = seconds(dice.draw(&ranges::GAP_SECS));
            }
            1 => {
                model.late = dice.draw(&ranges::LATE);
                model.late_by = libm::round(dice.draw(&ranges::LATE_BY)) as u32;
            }
            2 => model.duplicates = dice.draw(&ranges::LATE),
            3 => {
                let skew_ms = (dice.draw(&ranges::SKEW_SECS) * 1_000.0) as i64;
                model.skewed = dice.draw(&ranges::SPOILT);
                model.skew_ms = if dice.chance(0.5) { skew_ms } else { -skew_ms };
            }
            4 => model.garbage = dice.draw(&ranges::SPOILT),
            _ => {
                let from = seconds(dice.draw(&ranges::TROUBLE_FROM_SECS));
                model.silent_from = Some(from);
                model.silent_until = Some(from + seconds(dice.draw(&ranges::TROUBLE_SECS)));
            }
        }
    }
    model
}
