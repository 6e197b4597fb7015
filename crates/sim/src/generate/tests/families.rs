//! Each family does what it says, in the world's own truth: when there is harm, to whom, and what telemetry makes of it.

use super::*;
use knightwatch_core::telemetry::{Arm, Millis};

/// An excess of errors up to here is mild, not harm.
const MILD: f64 = 0.000_201;

fn percent(percent: f64) -> Rollout {
    Rollout::from_percent(percent).unwrap()
}

/// The first flag's truths over so many intervals at these rollouts.
fn live(scenario: &Scenario, rollouts: &[Rollout], steps: usize) -> Vec<Truth> {
    let (mut world, mut feed) = (World::new(scenario, 1), Feed::default());
    let step = |_| {
        world.step(rollouts, &mut feed);
        *world.truth(FlagId(0))
    };
    (0..steps).map(step).collect()
}

/// Scenarios of a family by whether the first flag does harm.
fn drawn(family: Family, harm: bool) -> Vec<Scenario> {
    let all = (0..120).map(|number| of(family).scenario(number).1);
    let found: Vec<_> = all.filter(|scenario| harmful(scenario)[0] == harm).collect();
    assert!(found.len() > 15, "{family}: {} with harm {harm}", found.len());
    found
}

fn excess(truth: &Truth) -> f64 {
    truth.error_rate_treatment - truth.error_rate_control
}

/// The largest excess of errors at this rollout within so many intervals.
fn worst(scenario: &Scenario, rollout: Rollout, steps: usize) -> f64 {
    live(scenario, &[rollout], steps).iter().map(excess).fold(0.0, f64::max)
}

/// The effect that does the harm: the last one.
fn harm(scenario: &Scenario) -> &crate::Effect {
    scenario.flags[0].effects.last().unwrap()
}

/// Only its harm: nothing usual beside it, no warm-up, nothing from outside.
fn alone(mut scenario: Scenario) -> Scenario {
    let flag = &mut scenario.flags[0];
    flag.warm_up = 0.0;
    flag.effects = flag.effects.last().cloned().into_iter().collect();
    scenario
}

#[test]
fn good_flags_of_every_family_fail_no_more_than_mildly() {
    for family in Family::ALL {
        for scenario in (0..60).map(|number| of(family).scenario(number).1) {
            if !harmful(&scenario)[0] {
                let both = [Rollout::FULL; 2];
                let failing = live(&scenario, &both, 240).iter().map(excess).fold(0.0, f64::max);
                // Two mild differences may meet, in one flag.
                assert!(failing <= 2.0 * MILD, "{}: {failing}", scenario.name);
            }
        }
    }
}

#[test]
fn error_steps_fail_requests_from_the_first_interval_on() {
    let sizes: Vec<_> = drawn(Family::ErrorStep, true).iter().map(|s| worst(s, percent(1.0), 1)).collect();
    let span = sizes.iter().fold((1.0_f64, 0.0_f64), |(low, high), size| (low.min(*size), high.max(*size)));
    assert!(span.0 > 0.000_9 && span.0 < 0.004 && span.1 > 0.3, "from 0.1 to 100 %: {span:?}");
}

#[test]
fn errors_above_a_rollout_are_not_there_below_it() {
    for scenario in drawn(Family::ErrorAbove, true) {
        let above = 100.0 * harm(&scenario).above_rollout;
        assert!((5.0..=75.0).contains(&above));
        assert!(worst(&scenario, percent(above - 0.1), 3) <= MILD, "{}", scenario.name);
        assert!(worst(&scenario, percent(above + 0.1), 3) > MILD, "{}", scenario.name);
    }
}

#[test]
fn later_errors_come_late_and_some_very_late() {
    let mut first_seen = Vec::new();
    for scenario in drawn(Family::ErrorLater, true) {
        let truths = live(&scenario, &[Rollout::FULL], 240);
        if let Some(step) = truths.iter().position(|truth| excess(truth) > 2.0 * MILD) {
            first_seen.push(step);
        }
        assert!(truths[0].harmful, "{}: known before it shows", scenario.name);
    }
    let share = |range: std::ops::Range<usize>| first_seen.iter().filter(|step| range.contains(step)).count();
    assert!(share(0..60) > 20 && share(60..240) > 10, "{first_seen:?}");
}

#[test]
fn latency_steps_lengthen_p99_by_what_was_drawn() {
    let mut ratios = Vec::new();
    for scenario in drawn(Family::LatencyStep, true).into_iter().map(alone) {
        let truth = live(&scenario, &[percent(1.0)], 1)[0];
        let ratio = truth.p99_ratio();
        assert!((1.049..20.1).contains(&ratio), "{}: {ratio}", scenario.name);
        assert!(excess(&truth) <= MILD);
        if harm(&scenario).share >= 1.0 {
            assert!((ratio / harm(&scenario).latency - 1.0).abs() < 1e-6);
        } else {
            assert!(
                harm(&scenario).latency >= ratio && harm(&scenario).share > 0.01,
                "the tail alone is slow"
            );
        }
        ratios.push(ratio);
    }
    let small = ratios.iter().filter(|ratio| **ratio < 2.0).count();
    assert!(small > 8 && ratios.len() - small > 20, "log-uniform: {ratios:?}");
}

#[test]
fn a_slow_tail_makes_p99_as_long_as_was_asked_for() {
    for (number, ratio) in [(1, 1.05), (2, 1.5), (3, 4.0), (4, 12.0)] {
        for share in [0.015, 0.05, 0.3] {
            let mut scenario = of(Family::Healthy).scenario(number).1;
            let latency = super::fault::latency_for(&scenario.services[0].latency, ratio, share);
            scenario.flags[0].effects = vec![crate::Effect { latency, share, ..Default::default() }];
            scenario.flags[0].warm_up = 0.0;
            let found = live(&scenario, &[Rollout::FULL], 1)[0].p99_ratio();
            assert!(
                (found / ratio - 1.0).abs() < 0.002,
                "{share} of requests {latency} times: {found}, not {ratio}"
            );
        }
    }
}

#[test]
fn latency_above_a_rollout_is_not_there_below_it() {
    for scenario in drawn(Family::LatencyAbove, true).into_iter().map(alone) {
        let above = 100.0 * harm(&scenario).above_rollout;
        let ratio = |at| live(&scenario, &[percent(at)], 1)[0].p99_ratio();
        assert!((ratio(above - 0.1) - 1.0).abs() < 1e-9 && ratio(above + 0.1) > 1.03, "{}", scenario.name);
    }
}

#[test]
fn leaks_grow_with_the_requests_served() {
    for scenario in drawn(Family::SlowLeak, true).into_iter().map(alone) {
        let truths = live(&scenario, &[Rollout::FULL], 240);
        let size = |truth: &Truth| excess(truth) + truth.p99_ratio();
        assert!((size(&truths[0]) - 1.0).abs() < 1e-9, "{}: nothing has leaked yet", scenario.name);
        assert!(size(&truths[30]) > size(&truths[3]) && size(&truths[3]) > 1.0, "{}", scenario.name);
        let slow = live(&scenario, &[percent(1.0)], 31);
        assert!(size(&slow[30]) < size(&truths[30]), "{}: a small rollout leaks less", scenario.name);
    }
}

#[test]
fn a_delayed_leak_does_nothing_in_its_first_minutes_at_full_traffic() {
    let mut shown = 0;
    for scenario in drawn(Family::DelayedLeak, true).into_iter().map(alone) {
        let truths = live(&scenario, &[Rollout::FULL], 240);
        let size = |truth: &Truth| excess(truth) + truth.p99_ratio() - 1.0;
        assert!(truths[..12].iter().all(|truth| size(truth).abs() < 1e-9), "{}", scenario.name);
        shown += usize::from(size(&truths[239]) > 0.0);
    }
    assert!(shown > 60, "only {shown} begin within the horizon at 100 %");
}

#[test]
fn waves_come_and_go() {
    for scenario in drawn(Family::Sawtooth, true).into_iter().map(alone) {
        let truths = live(&scenario, &[Rollout::FULL], 120);
        let sizes = truths.iter().map(|truth| excess(truth) + truth.p99_ratio() - 1.0);
        let (low, high) =
            sizes.fold((f64::MAX, 0.0_f64), |(low, high), size| (low.min(size), high.max(size)));
        assert!(low < 0.6 * high, "{}: {low} to {high}", scenario.name);
    }
}

#[test]
fn power_peg_is_quiet_until_far_in_and_then_all_at_once() {
    for scenario in drawn(Family::PowerPeg, true) {
        assert!(worst(&scenario, percent(50.0), 3) <= MILD, "{}: half way up", scenario.name);
        let truths = live(&scenario, &[Rollout::FULL], 240);
        let woken = truths.iter().map(excess).fold(0.0, f64::max);
        assert!(woken > 0.25, "{}: {woken} at 100 %", scenario.name);
    }
}

#[test]
fn a_dependency_that_fails_hits_both_arms_alike() {
    let mut troubled = 0;
    for scenario in drawn(Family::Dependency, false) {
        for outage in &scenario.outages {
            let at = usize::try_from(outage.from.0.div_ceil(10_000)).unwrap();
            let truth = live(&scenario, &[percent(50.0)], at + 1)[at];
            let [control, treatment] = [truth.error_rate_control, truth.error_rate_treatment];
            assert!(
                control + 1e-12 >= outage.errors && (treatment - control).abs() <= 2.0 * MILD,
                "{}",
                scenario.name
            );
            troubled += usize::from(control > 0.05);
        }
        assert!(!scenario.outages.is_empty() || scenario.services[0].bursts.per_hour >= 4.0);
    }
    assert!(troubled > 3, "{troubled}");
}

#[test]
fn a_retry_storm_slows_both_arms_by_traffic_alone() {
    let mut slower = 0;
    for scenario in drawn(Family::RetryStorm, false) {
        let storm = &scenario.outages[0];
        assert!(storm.traffic >= 1.2 && (storm.latency - 1.0).abs() < 1e-12);
        let at = usize::try_from(storm.from.0.div_ceil(10_000)).unwrap();
        let mut calm = scenario.clone();
        calm.outages.clear();
        let p99 = |of: &Scenario| live(of, &[percent(50.0)], at + 1)[at].p99_control_ms;
        slower += usize::from(p99(&scenario) > 1.05 * p99(&calm));
    }
    assert!(slower > 15, "{slower}");
}

#[test]
fn bad_telemetry_is_bad_whatever_the_flag_is() {
    for scenario in [true, false].into_iter().flat_map(|harm| drawn(Family::Telemetry, harm)) {
        assert!(!scenario.flags[0].wire.is_clean(), "{}", scenario.name);
    }
}

/// Telemetry's requests and failures in an arm of the first flag, over some intervals at 50 %.
fn seen(scenario: &Scenario, arm: Arm) -> (u32, u32) {
    let (mut world, mut feed) = (World::new(scenario, 1), Feed::default());
    let mut total = (0, 0);
    for _ in 0..10 {
        world.step(&[percent(50.0)], &mut feed);
        for sample in feed.samples.iter().filter(|sample| sample.flag == FlagId(0) && sample.arm == arm) {
            total = (total.0 + sample.requests, total.1 + sample.errors);
        }
    }
    total
}

#[test]
fn what_is_lost_of_treatment_shows_in_the_ratio_of_the_arms_or_hides_failures() {
    let (mut fewer, mut hidden) = (0, 0);
    for scenario in drawn(Family::SampleRatio, true) {
        let wire = &scenario.flags[0].wire;
        let [control, treatment] = [Arm::Control, Arm::Treatment].map(|arm| seen(&scenario, arm));
        if wire.lost_treatment > 0.2 {
            assert!(treatment.0 < control.0, "{}", scenario.name);
            fewer += 1;
        }
        if wire.lost_failures > 0.7 && harm(&scenario).errors > 0.1 {
            // At 50 % both arms have as many requests.
            let seen = f64::from(treatment.1) / f64::from(control.0);
            assert!(seen < 0.6 * harm(&scenario).errors, "{}: {seen} is seen", scenario.name);
            hidden += 1;
        }
        assert!(harm(&scenario).errors >= 0.02);
    }
    assert!(fewer > 5 && hidden > 5, "{fewer} {hidden}");
}

#[test]
fn frozen_telemetry_repeats_itself_after_the_start() {
    for scenario in drawn(Family::FrozenTelemetry, true) {
        let frozen = scenario.flags[0].wire.frozen_from.unwrap();
        assert!(frozen >= scenario.scheduled_starts()[0].at + Millis::from_secs(20), "{}", scenario.name);
        let (mut world, mut feed) = (World::new(&scenario, 1), Feed::default());
        let mut counts = BTreeSet::new();
        for step in 0..240 {
            world.step(&[percent(50.0)], &mut feed);
            if Millis(step * 10_000) >= frozen {
                counts.insert(feed.samples.iter().map(|sample| sample.requests).take(2).collect::<Vec<_>>());
            }
        }
        assert!(counts.len() == 1, "{}: {} different samples", scenario.name, counts.len());
    }
}

#[test]
fn two_flags_that_hurt_together_are_harmless_apart() {
    for scenario in drawn(Family::Interaction, true) {
        assert_eq!(harmful(&scenario), [true, true]);
        let alone = live(&scenario, &[Rollout::FULL], 3);
        assert!(alone.iter().all(|truth| excess(truth) <= MILD && !truth.harmful), "{}", scenario.name);
    }
}

#[test]
fn a_segment_is_hit_once_it_is_reached_and_the_others_never() {
    for scenario in drawn(Family::SegmentBug, true) {
        let (from, to) = harm(&scenario).segment.unwrap();
        let below = Rollout::from_percent(libm::floor(100.0 * from)).unwrap();
        assert!(worst(&scenario, below, 2) <= MILD, "{}: below its buckets", scenario.name);
        let full = worst(&scenario, Rollout::FULL, 2);
        let share = (to - from) * harm(&scenario).errors;
        assert!((0.9 * share..share + MILD).contains(&full), "{}: {full}, not {share}", scenario.name);
    }
}
