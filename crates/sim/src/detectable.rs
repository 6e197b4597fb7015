//! Whether a flag's harm could be seen at all: what ten minutes of telemetry would show of it at 50 % of its traffic.
//!
//! A policy that lets a bad flag pass has missed something only where there was something to see. That must not depend on
//! the policy, so it is worked out from the scenario alone. From the time that the flag is started, its effects run as at 100 %
//! (whatever waits for a rollout or for an exposure gets it as early as that is possible), half of its usual traffic is in
//! each arm, and what telemetry loses for good is lost. Over every ten minutes of that, the expected z-score of the difference
//! in failed requests, and of that in requests slower than control's P99, is taken; the largest of all is the flag's:
//!
//! ```text
//! z = (p_T - p_C) / sqrt(p'_T (1 - p'_T) / (n_T + 2) + p'_C (1 - p'_C) / (n_C + 2)),   p' = (n p + 1) / (n + 2)
//! ```
//!
//! The variance is Agresti and Caffo's (The American Statistician 54, 2000), which does not vanish where nothing fails or
//! everything does. Nothing is drawn: noise, bursts, outages and the time of day are left out, and no policy is known here.

use super::{
    effect::{Circumstance, apply},
    scenario::{FlagModel, Scenario, ServiceModel},
    shape::{SLOW_SHARE, Shape},
};
use knightwatch_core::{
    flag::{FlagId, Rollout},
    telemetry::Millis,
};

/// From which expected z-score on harm counts as detectable: about one in four million by chance.
pub const DETECTABLE: f64 = 5.0;
/// How long telemetry is looked at.
const LOOK: Millis = Millis::from_secs(600);
/// The share of the flag's traffic in treatment meanwhile.
const TREATED: f64 = 0.5;

/// Expected counts in one arm.
#[derive(Clone, Copy, Debug, Default)]
struct Arm {
    requests: f64,
    failed: f64,
    slow: f64,
}

/// Expected counts of an interval, or of several.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    treatment: Arm,
    control: Arm,
}

impl Scenario {
    /// The expected z-score that an observer could reach for each flag, by [`FlagId`]; 0 for one that is never started.
    /// Harm is detectable from [`DETECTABLE`] on. Pure and quick: a small part of living through the scenario.
    #[must_use]
    pub fn detectability(&self) -> Vec<f64> {
        let shapes: Vec<Shape> = self.services.iter().map(|service| Shape::new(&service.latency)).collect();
        let scored = self.flags.iter().zip(0_u32..).map(|(flag, id)| {
            let scheduled = self.scheduled_starts().iter().find(|scheduled| scheduled.flag == FlagId(id));
            let service = self.services.get(flag.service).zip(shapes.get(flag.service));
            scheduled
                .zip(service)
                .map_or(0.0, |(scheduled, (service, shape))| self.score(flag, service, shape, scheduled.at))
        });
        scored.collect()
    }

    fn score(&self, flag: &FlagModel, service: &ServiceModel, shape: &Shape, started: Millis) -> f64 {
        let interval = Millis(self.interval.0.max(1));
        let usual = flag.traffic * service.requests_per_second * interval.as_secs_f64();
        let intervals = usize::try_from(LOOK.0.div_ceil(interval.0)).unwrap_or(usize::MAX);
        let mut rollouts = vec![Rollout::ZERO; self.flags.len()];
        let (mut seen, mut parts) = (Vec::new(), Vec::new());
        let mut exposure = 0.0;
        let mut from = Millis(started.0.div_ceil(interval.0) * interval.0);
        while from < self.duration {
            let middle = from + Millis(interval.0 / 2);
            for scheduled in self.scheduled_starts().iter().filter(|scheduled| scheduled.at <= middle) {
                if let Some(rollout) = rollouts.get_mut(scheduled.flag.index()) {
                    *rollout = Rollout::FULL;
                }
            }
            let now = Circumstance { share: 1.0, middle, exposure, rollouts: &rollouts };
            parts.clear();
            let added = apply(&flag.effects, now, 0.0, &mut parts);
            seen.push(expected(flag, service.errors, usual, middle, added, shape.slower(&parts)));
            exposure += usual;
            from = from + interval;
        }
        let first = 0..seen.len().saturating_sub(intervals.saturating_sub(1)).max(1);
        first.map(|first| z(seen.iter().skip(first).take(intervals))).fold(0.0, f64::max)
    }
}

/// What telemetry would count in an interval.
fn expected(flag: &FlagModel, errors: f64, usual: f64, middle: Millis, added: f64, slow: f64) -> Seen {
    let wire = &flag.wire;
    let is_silent = wire.frozen_from.is_some_and(|from| from <= middle)
        || wire
            .silent_from
            .is_some_and(|from| from <= middle && wire.silent_until.is_none_or(|until| middle < until));
    if is_silent {
        return Seen::default();
    }
    let requests = usual * (1.0 - wire.gaps) * (1.0 - wire.garbage) * (1.0 - wire.skewed);
    let control = requests * (1.0 - TREATED);
    let failing = 1.0 - (1.0 - errors) * (1.0 - added);
    let kept = 1.0 - wire.lost_failures * failing;
    let treatment = requests * TREATED * (1.0 - wire.lost_treatment) * kept;
    let reported = if kept > 0.0 { failing * (1.0 - wire.lost_failures) / kept } else { 0.0 };
    Seen {
        control: Arm { requests: control, failed: control * errors, slow: control * SLOW_SHARE },
        treatment: Arm { requests: treatment, failed: treatment * reported, slow: treatment * slow },
    }
}

/// The larger z-score of both metrics over some intervals.
fn z<'a>(intervals: impl Iterator<Item = &'a Seen>) -> f64 {
    let add = |sum: Arm, arm: Arm| Arm {
        requests: sum.requests + arm.requests,
        failed: sum.failed + arm.failed,
        slow: sum.slow + arm.slow,
    };
    let Seen { treatment, control } = intervals.fold(Seen::default(), |sum, seen| Seen {
        treatment: add(sum.treatment, seen.treatment),
        control: add(sum.control, seen.control),
    });
    if treatment.requests <= 0.0 || control.requests <= 0.0 {
        return 0.0;
    }
    let of = |bad: fn(&Arm) -> f64| {
        let variance = |arm: &Arm| {
            let share = (bad(arm) + 1.0) / (arm.requests + 2.0);
            share * (1.0 - share) / (arm.requests + 2.0)
        };
        let difference = bad(&treatment) / treatment.requests - bad(&control) / control.requests;
        difference / libm::sqrt(variance(&treatment) + variance(&control))
    };
    of(|arm| arm.failed).max(of(|arm| arm.slow))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One flag on 20 requests a second, 1 % of which fail anyhow: 6 000 in each arm in ten minutes.
    fn score(flag: &str, effect: &str) -> f64 {
        let text = format!(
            "name = 't'\nduration = '1 h'\n[[service]]\nname = 's'\nrequests_per_second = 20\nerrors_percent = 1\n\
             [[flag]]\nkey = 'f'\nservice = 's'\nstart = '1 min'\n{flag}\n[[flag.effect]]\n{effect}"
        );
        Scenario::parse(&text, "t.toml").unwrap().detectability()[0]
    }

    #[test]
    fn it_is_the_z_score_of_ten_minutes_at_half_the_traffic() {
        // 2 % against 1 % of 6 000: 0.01 / sqrt(0.0196 / 6000 + 0.0099 / 6000), and Agresti and Caffo take a little off.
        let z = score("", "errors_percent = 1.0101");
        assert!((z - 4.50).abs() < 0.05, "{z}");
        let z = score("traffic_percent = 25", "errors_percent = 1.0101");
        assert!((z - 2.25).abs() < 0.06, "a quarter of the traffic, half the score: {z}");
        assert!(score("", "errors_percent = 0.0001").abs() < 0.01);
        assert!(score("", "latency = 0.5").abs() < 1e-9, "faster is no harm");
    }

    #[test]
    fn a_longer_p99_is_seen_in_the_share_of_slow_requests() {
        assert!(score("", "latency = 1.02") < DETECTABLE);
        assert!(score("", "latency = 2") > DETECTABLE);
    }

    #[test]
    fn what_begins_shortly_before_the_end_leaves_less_to_see() {
        let at = |from: &str| score("", &format!("errors_percent = 1.0101\nfrom = '{from}'"));
        assert!((at("49 min") - at("1 min")).abs() < 1e-9);
        assert!(at("55 min") < 0.8 * at("1 min"));
        assert!(at("2 h").abs() < 1e-9, "after the end there is nothing");
    }

    #[test]
    fn what_waits_for_rollout_or_traffic_gets_it_as_early_as_it_can() {
        assert!((score("", "errors_percent = 1.0101\nabove_rollout_percent = 90") - 4.50).abs() < 0.05);
        assert!((score("", "errors_percent = 1.0101\nafter_requests = 20000") - 4.50).abs() < 0.05);
        assert!(score("", "errors_percent = 1.0101\nafter_requests = 200000").abs() < 1e-9, "72 000 an hour");
    }

    #[test]
    fn what_telemetry_loses_cannot_be_seen() {
        let plain = score("", "errors_percent = 5");
        let with = |telemetry: &str| {
            score("", &format!("errors_percent = 5\nfrom = '20 min'\n[flag.telemetry]\n{telemetry}"))
        };
        assert!((with("late_percent = 10\nlate_by = 1") - plain).abs() < 1e-9);
        assert!(with("lost_failures_percent = 90").abs() < 1.0);
        assert!(with("frozen_from = '10 min'").abs() < 1e-9);
        assert!(with("silent_from = '10 min'\nsilent_until = '25 min'") > DETECTABLE);
        assert!(with("silent_from = '10 min'").abs() < 1e-9);
    }
}
