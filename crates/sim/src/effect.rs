//! What a flag's treatment does at one moment: which of its effects are in force, on whom, and how strongly.
//!
//! Also answers whether they would do harm with the flag at 100 %: the truth that policies are judged by. Knows nothing
//! of sampling or telemetry.

use super::{
    scenario::Effect,
    service::{ln_factor, millis},
    shape::{Part, Shape},
};
use knightwatch_core::{flag::Rollout, telemetry::Millis};

/// From how many more failed requests on, as a share of all, a flag is harmful: half of the smallest effect that
/// scenarios are about.
pub const HARMFUL_ERRORS: f64 = 0.000_5;
/// From which ratio of P99s on a flag is harmful: a little below the smallest effect that scenarios are about.
pub const HARMFUL_P99: f64 = 1.03;

/// All that effects depend on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Circumstance<'a> {
    /// The flag's rollout as a share.
    pub(super) share: f64,
    /// The middle of the interval, since the scenario's start.
    pub(super) middle: Millis,
    /// Treatment requests since the flag left 0 %.
    pub(super) exposure: f64,
    /// All flags' rollouts.
    pub(super) rollouts: &'a [Rollout],
}

impl Circumstance<'_> {
    /// The share of users who have another flag on: users of two flags are hashed apart.
    fn other(&self, effect: &Effect) -> f64 {
        effect.with.map_or(1.0, |other| self.rollouts.get(other.index()).copied().unwrap_or_default().share())
    }
}

/// One effect at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Hit {
    /// Share of treatment requests that it hits.
    pub(super) share: f64,
    /// How strongly, 0 to 1.
    pub(super) intensity: f64,
}

/// What an effect does now; `None` when nothing.
pub(super) fn hit(effect: &Effect, now: Circumstance<'_>) -> Option<Hit> {
    if now.share <= effect.above_rollout
        || now.middle < effect.from
        || effect.until.is_some_and(|until| until <= now.middle)
        || now.exposure < effect.after_requests
    {
        return None;
    }
    let grown = if effect.full_after_requests > 0.0 {
        ((now.exposure - effect.after_requests) / effect.full_after_requests).min(1.0)
    } else {
        1.0
    };
    let wave = effect.wave.map_or(1.0, |wave| {
        let period = wave.period.0.max(1);
        let phase = millis(Millis((now.middle - effect.from).0 % period)) / millis(Millis(period));
        if wave.sawtooth { phase } else { f64::from(u8::from(phase < 0.5)) }
    });
    // Buckets below the rollout are on: of those, the share that lies in the segment.
    let segment = effect.segment.map_or(1.0, |(from, to)| (now.share.min(to) - from).max(0.0) / now.share);
    let hit = Hit { share: effect.share * segment * now.other(effect), intensity: grown * wave };
    (hit.share > 0.0 && hit.intensity > 0.0).then_some(hit)
}

/// Adds what treatment does to `parts` (how slow which share of requests is; empty on entry, in order of the effects)
/// and returns the share of requests that fail because of it. `ln_latency` is what treatment shares with control.
pub(super) fn apply(
    effects: &[Effect],
    now: Circumstance<'_>,
    ln_latency: f64,
    parts: &mut Vec<Part>,
) -> f64 {
    let (mut working, mut everywhere, mut plain) = (1.0, ln_latency, 1.0);
    for effect in effects {
        let Some(hit) = hit(effect, now) else { continue };
        working *= 1.0 - hit.share * effect.errors * hit.intensity;
        let ln_factor = ln_factor(effect.latency) * hit.intensity;
        if ln_factor == 0.0 {
            continue;
        }
        if hit.share >= 1.0 {
            everywhere += ln_factor;
        } else {
            // Shares that add up to more than everybody are cut: the first ones named come first.
            let share = hit.share.min(plain);
            plain -= share;
            parts.push(Part { share, ln_factor });
        }
    }
    for part in &mut *parts {
        part.ln_factor += everywhere;
    }
    if plain > 0.0 || parts.is_empty() {
        parts.push(Part { share: plain, ln_factor: everywhere });
    }
    1.0 - working
}

/// What an effect would come to at 100 %: more failed requests, as a share of all, and whether that or its P99 is harm.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Potential {
    /// Share of requests that fail because of it at full strength.
    pub(super) errors: f64,
    /// Whether it is harm.
    pub(super) harmful: bool,
}

/// Works out an effect's potential; `other` is the share of users who have its partner flag on.
pub(super) fn potential(effect: &Effect, shape: &Shape, other: f64) -> Potential {
    let segment = effect.segment.map_or(1.0, |(from, to)| to - from);
    let hits = (effect.share * segment * other).clamp(0.0, 1.0);
    let slow = Part { share: hits, ln_factor: ln_factor(effect.latency) };
    let plain = Part { share: 1.0 - hits, ln_factor: 0.0 };
    let slower = effect.latency > 1.0
        && hits > 0.0
        && shape.p99_ms(&[plain, slow]) / shape.p99_ms(&[Part { share: 1.0, ln_factor: 0.0 }]) >= HARMFUL_P99;
    let errors = hits * effect.errors;
    Potential { errors, harmful: errors >= HARMFUL_ERRORS || slower }
}

/// Whether an effect is in force at 100 %, or will be at some time between `middle` and `end` or with more traffic. How
/// much traffic is left does not matter: what lies in wait beyond the scenario's end is harm all the same.
pub(super) fn still_to_come(effect: &Effect, middle: Millis, end: Millis) -> bool {
    effect.from < end && effect.until.is_none_or(|until| until > middle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Wave;
    use knightwatch_core::flag::FlagId;

    fn now(percent: f64) -> Circumstance<'static> {
        Circumstance {
            share: percent / 100.0,
            middle: Millis::from_secs(65),
            exposure: 1_000.0,
            rollouts: &[],
        }
    }

    #[test]
    fn an_effect_waits_for_its_rollout_its_time_and_its_traffic() {
        let above = Effect { above_rollout: 0.25, ..Effect::default() };
        assert_eq!(hit(&above, now(25.0)), None);
        assert_eq!(hit(&above, now(50.0)), Some(Hit { share: 1.0, intensity: 1.0 }));
        let later = Effect { from: Millis::from_secs(66), ..Effect::default() };
        assert_eq!(hit(&later, now(50.0)), None);
        let over = Effect { until: Some(Millis::from_secs(65)), ..Effect::default() };
        assert_eq!(hit(&over, now(50.0)), None);
        let leak = Effect { after_requests: 500.0, full_after_requests: 1_000.0, ..Effect::default() };
        assert_eq!(hit(&leak, now(50.0)), Some(Hit { share: 1.0, intensity: 0.5 }));
        assert_eq!(hit(&leak, Circumstance { exposure: 499.0, ..now(50.0) }), None);
    }

    #[test]
    fn a_segment_is_hit_only_once_its_buckets_are_on() {
        let effect = Effect { segment: Some((0.2, 0.3)), ..Effect::default() };
        assert_eq!(hit(&effect, now(20.0)), None);
        assert!((hit(&effect, now(25.0)).unwrap().share - 0.2).abs() < 1e-12, "5 of 25 points");
        assert!((hit(&effect, now(100.0)).unwrap().share - 0.1).abs() < 1e-12, "10 of 100 points");
    }

    #[test]
    fn two_flags_meet_only_in_users_who_have_both() {
        let effect = Effect { with: Some(FlagId(1)), ..Effect::default() };
        let rollouts = [Rollout::FULL, Rollout::from_percent(30.0).unwrap()];
        assert_eq!(hit(&effect, now(50.0)), None, "the other flag is not even there");
        let both = Circumstance { rollouts: &rollouts, ..now(50.0) };
        assert_eq!(hit(&effect, both), Some(Hit { share: 0.3, intensity: 1.0 }));
    }

    #[test]
    fn a_sawtooth_grows_and_drops_and_a_pulse_comes_and_goes() {
        let wave = |sawtooth, second| {
            let wave = Some(Wave { sawtooth, period: Millis::from_secs(60) });
            let effect = Effect { wave, ..Effect::default() };
            hit(&effect, Circumstance { middle: Millis::from_secs(second), ..now(50.0) })
                .map(|hit| hit.intensity)
        };
        assert_eq!(wave(true, 60), None);
        assert_eq!(wave(true, 105), Some(0.75));
        assert_eq!(wave(false, 75), Some(1.0));
        assert_eq!(wave(false, 95), None);
    }

    #[test]
    fn effects_combine_as_independent_causes() {
        let half = Effect { errors: 0.5, latency: 2.0, ..Effect::default() };
        let some = Effect { errors: 0.5, latency: 4.0, share: 0.2, ..Effect::default() };
        let mut parts = Vec::new();
        let errors = apply(&[half, some], now(50.0), 0.1, &mut parts);
        assert!((errors - (1.0 - 0.5 * 0.9)).abs() < 1e-12);
        assert_eq!(parts.len(), 2);
        assert!((parts.iter().map(|part| part.share).sum::<f64>() - 1.0).abs() < 1e-12);
        assert!((parts[0].ln_factor - (0.1 + libm::log(8.0))).abs() < 1e-12, "{parts:?}");
        assert!((parts[1].ln_factor - (0.1 + libm::log(2.0))).abs() < 1e-12, "{parts:?}");
    }

    #[test]
    fn shares_of_several_effects_never_exceed_everybody() {
        let most = Effect { latency: 2.0, share: 0.8, ..Effect::default() };
        let mut parts = Vec::new();
        apply(&[most.clone(), most], now(50.0), 0.0, &mut parts);
        assert!((parts.iter().map(|part| part.share).sum::<f64>() - 1.0).abs() < 1e-12, "{parts:?}");
    }

    #[test]
    fn small_effects_count_as_harm_and_none_do_not() {
        let shape = Shape::new(&crate::LatencyModel::default());
        let harmful = |effect: &Effect| potential(effect, &shape, 1.0).harmful;
        assert!(!harmful(&Effect::default()));
        assert!(!harmful(&Effect { latency: 0.7, ..Effect::default() }));
        assert!(harmful(&Effect { errors: 0.001, ..Effect::default() }));
        assert!(harmful(&Effect { latency: 1.05, ..Effect::default() }));
        assert!(harmful(&Effect { latency: 8.0, share: 0.02, ..Effect::default() }));
        assert!(!potential(&Effect { errors: 1.0, ..Effect::default() }, &shape, 0.0).harmful);
    }
}
