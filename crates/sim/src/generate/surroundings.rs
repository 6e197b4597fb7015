//! What a generated flag is rolled out in: a service, and flags that do no harm yet.
//!
//! Drawn the same way for every family, so that nothing here tells which it is. What goes wrong is not known here.

use std::sync::Arc;

use super::{
    super::{Bursts, Effect, FlagModel, LatencyModel, ServiceModel, WireModel},
    Family, INTERVAL,
    ranges::{self, Dice},
};
use knightwatch_core::{
    flag::{FlagKey, FlagKind, FlagSpec, Ladder, ServiceName},
    telemetry::Millis,
};

/// Names of services. A name is part of the world's noise, which makes each of them another course of events.
const SERVICES: [&str; 8] =
    ["storefront", "checkout", "payments", "search", "catalogue", "accounts", "shipping", "recommendations"];
/// Keys of first flags.
const FIRST: [&str; 8] = [
    "new-checkout-ui",
    "one-page-basket",
    "card-token-vault",
    "query-rewriting",
    "catalogue-edge-cache",
    "loyalty-banner",
    "courier-quotes",
    "two-tower-ranking",
];
/// Keys of second flags, so that no scenario has one twice.
const SECOND: [&str; 4] = ["brotli-responses", "gift-wrapping", "instant-suggestions", "streaming-images"];

/// 2026-03-02T00:00:00Z, since the Unix epoch.
const MIDNIGHT: Millis = Millis(1_772_409_600_000);

/// A time span from seconds, to the millisecond; 0 for what is negative.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
pub(super) fn seconds(seconds: f64) -> Millis {
    Millis(libm::round(seconds * 1_000.0) as u64)
}

/// When it begins: some time of a Monday in March 2026.
pub(super) fn start(dice: &mut Dice) -> Millis {
    MIDNIGHT + seconds(3_600.0 * dice.draw(&ranges::HOUR))
}

/// A service, and the share of its traffic that asks for each flag.
pub(super) fn service(dice: &mut Dice, family: Family) -> (ServiceModel, f64) {
    let a_flags = dice.draw(match family {
        Family::LowTraffic => &ranges::LOW_TRAFFIC,
        _ => &ranges::TRAFFIC,
    });
    let asking = dice.draw(&ranges::ASKING);
    let latency = latency(dice);
    let errors = dice.draw(&ranges::BASE_ERRORS);
    let utilisation = dice.draw(&ranges::UTILISATION);
    let model = ServiceModel {
        name: ServiceName(Arc::from(dice.pick(&SERVICES))),
        requests_per_second: a_flags / asking / INTERVAL.as_secs_f64(),
        traffic_sd: dice.draw(&ranges::TRAFFIC_SD),
        traffic_memory: dice.draw(&ranges::TRAFFIC_MEMORY),
        daily_swing: dice.draw(&ranges::DAILY_SWING),
        daily_peak_hour: dice.draw(&ranges::HOUR),
        latency,
        errors: if dice.chance(ranges::NO_ERRORS) { 0.0 } else { errors },
        utilisation: if dice.chance(ranges::QUEUES) { utilisation } else { 0.0 },
        variability: dice.draw(&ranges::VARIABILITY),
        bursts: if dice.chance(ranges::BURSTS * dice.difficulty) {
            let per_hour = dice.draw(&ranges::BURSTS_PER_HOUR);
            bursts(dice, per_hour)
        } else {
            Bursts::default()
        },
    };
    (model, asking)
}

fn latency(dice: &mut Dice) -> LatencyModel {
    let has_cache = dice.chance(ranges::CACHE);
    let cache_hits = dice.draw(&ranges::CACHE_HITS);
    LatencyModel {
        p50_ms: dice.draw(&ranges::P50_MS),
        sigma: dice.draw(&ranges::SIGMA),
        tail: dice.draw(&ranges::TAIL),
        tail_alpha: dice.draw(&ranges::TAIL_ALPHA),
        cache_hits: if has_cache { cache_hits } else { 0.0 },
        cache_speedup: dice.draw(&ranges::CACHE_SPEEDUP),
        noise_sd: dice.draw(&ranges::NOISE_SD),
        noise_memory: dice.draw(&ranges::NOISE_MEMORY),
    }
}

/// Bursts of trouble in both arms, so many an hour.
pub(super) fn bursts(dice: &mut Dice, per_hour: f64) -> Bursts {
    Bursts {
        per_hour,
        length: seconds(dice.draw(&ranges::BURST_SECS)),
        errors: dice.draw(&ranges::BURST_ERRORS),
        latency: dice.draw(&ranges::BURST_LATENCY),
    }
}

/// A flag that does no harm, the first or the second one of a service; `None` if its key is none, which a test rules
/// out.
pub(super) fn flag(
    dice: &mut Dice,
    service: &ServiceModel,
    asking: f64,
    is_first: bool,
) -> Option<FlagModel> {
    let key: FlagKey = if is_first { dice.pick(&FIRST) } else { dice.pick(&SECOND) }.parse().ok()?;
    let spec = FlagSpec {
        key,
        service: service.name.clone(),
        kind: FlagKind::Requests,
        description: String::new(),
        ladder: Ladder::default(),
        deployment: None,
    };
    let (warm_up, is_warm) = (dice.draw(&ranges::WARM_UP), dice.chance(ranges::NO_WARM_UP));
    Some(FlagModel {
        spec,
        service: 0,
        traffic: asking,
        slowness: dice.draw(&ranges::SLOWNESS),
        warm_up: if is_warm { 0.0 } else { warm_up },
        warm_up_time: seconds(dice.draw(&ranges::WARM_UP_SECS)),
        effects: usual(dice).into_iter().collect(),
        wire: WireModel::default(),
    })
}

/// What a flag does beside any harm: mostly nothing, or a mild difference, or it makes requests faster.
fn usual(dice: &mut Dice) -> Option<Effect> {
    let latency = dice.draw(&ranges::FASTER_LATENCY);
    if dice.chance(ranges::FASTER) {
        return Some(Effect { latency, ..Effect::default() });
    }
    let is_mild = dice.chance(ranges::MILD * dice.difficulty);
    is_mild.then(|| mild(dice))
}

/// A difference below what counts as harm, in errors, latency or both.
pub(super) fn mild(dice: &mut Dice) -> Effect {
    let (errors, latency) = (dice.draw(&ranges::MILD_ERRORS), dice.draw(&ranges::MILD_LATENCY));
    let (errors, latency) = dice.pick(&[(errors, 1.0), (0.0, latency), (errors, latency)]);
    Effect { errors, latency, ..Effect::default() }
}

/// Requests of a flag in an interval of usual traffic.
pub(super) fn typical_requests(service: &ServiceModel, flag: &FlagModel) -> f64 {
    service.requests_per_second * flag.traffic * INTERVAL.as_secs_f64()
}
