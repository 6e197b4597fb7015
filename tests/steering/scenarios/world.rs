//! The world: what it promises to those who decide by its samples and judge by its truth.
#![allow(
    clippy::float_cmp,
    clippy::cast_precision_loss,
    reason = "exact values are compared on purpose; counts are small"
)]

use std::collections::BTreeMap;

use knightwatch_core::{
    flag::{FlagId, Rollout},
    telemetry::{Arm, Feed, Histogram, Millis, Sample},
};
use knightwatch_sim::{Scenario, Truth, World};
use proptest::prelude::*;

use super::{builtin, index, percent};

/// Runs a world for `steps` at fixed rollouts and gives all that arrived.
fn run(scenario: &Scenario, seed: u64, steps: u64, rollouts: &[Rollout]) -> (Vec<Sample>, World) {
    let mut world = World::new(scenario, seed);
    let (mut feed, mut samples) = (Feed::default(), Vec::new());
    for _ in 0..steps {
        world.step(rollouts, &mut feed);
        samples.append(&mut feed.samples);
    }
    (samples, world)
}

/// A world with some of everything, kept apart from the shipped ones so that they can be tuned.
const EVERYTHING: &str = "
name = 'everything'
start = 2026-03-02T09:00:00Z
duration = '1 h'
[[service]]
name = 'a'
requests_per_second = 90
daily_swing_percent = 30
utilisation_percent = 70
cache_hit_percent = 40
[service.bursts]
per_hour = 6
errors_percent = 5
latency = 2
[[flag]]
key = 'one'
service = 'a'
[[flag.effect]]
errors_percent = 5
latency = 3
share_percent = 20
above_rollout_percent = 5
[[flag.effect]]
latency = 1.3
wave = 'sawtooth'
period = '2 min'
[[flag]]
key = 'two'
service = 'a'
traffic_percent = 3
[flag.telemetry]
gap_percent = 10
late_percent = 10
duplicate_percent = 10
garbage_percent = 5
[[interaction]]
flags = ['one', 'two']
errors_percent = 50
";

#[test]
fn the_same_seed_gives_the_same_bytes_on_any_machine() {
    let scenario = Scenario::parse(EVERYTHING, "everything.toml").unwrap();
    let rollouts = [percent(25.0), percent(50.0)];
    let (first, _) = run(&scenario, 7, 360, &rollouts);
    let (second, _) = run(&scenario, 7, 360, &rollouts);
    assert_eq!(first, second);
    let (other, _) = run(&scenario, 8, 360, &rollouts);
    assert_ne!(first, other);
    // A number that any change of a draw, a formula or their order would change: agree on it on purpose.
    let digest = first.iter().fold(0_u64, |digest, sample| {
        let counts =
            sample.latency.counts().iter().fold(0_u64, |d, c| d.wrapping_mul(31).wrapping_add(u64::from(*c)));
        digest.wrapping_mul(1_000_003).wrapping_add(counts ^ (u64::from(sample.errors) << 40))
    });
    assert_eq!(digest, DIGEST);
}

/// Of [`EVERYTHING`] under seed 7, the rollouts at 25 % and 50 %, 360 intervals.
const DIGEST: u64 = 9_457_944_434_832_060_564;

#[test]
fn an_arm_without_users_sends_nothing() {
    let scenario = builtin("good");
    let arms = |at: f64| {
        let (samples, _) = run(&scenario, 1, 10, &[percent(at)]);
        let count = |arm| samples.iter().filter(|sample| sample.arm == arm).count();
        (count(Arm::Control), count(Arm::Treatment))
    };
    assert_eq!(arms(0.0), (10, 0));
    assert_eq!(arms(1.0), (10, 10));
    assert_eq!(arms(100.0), (0, 10));
    let (samples, _) = run(&scenario, 1, 10, &[]);
    assert!(samples.iter().all(|sample| sample.arm == Arm::Control), "a missing rollout is 0 %");
}

#[test]
fn samples_lie_on_the_grid_of_control_intervals() {
    let scenario = builtin("good");
    let (samples, world) = run(&scenario, 1, 5, &[percent(50.0)]);
    let starts: Vec<_> = samples.iter().step_by(2).map(|sample| sample.start - scenario.start).collect();
    assert_eq!(starts, [0, 10, 20, 30, 40].map(Millis::from_secs));
    assert!(samples.iter().all(|sample| sample.span == scenario.interval));
    assert_eq!(world.now(), scenario.start + Millis::from_secs(50));
    assert!(!world.done());
}

#[test]
fn a_world_is_done_after_its_duration() {
    let scenario = builtin("good");
    let (_, world) = run(&scenario, 1, scenario.steps() - 1, &[Rollout::ZERO]);
    assert!(!world.done());
    let (_, world) = run(&scenario, 1, scenario.steps(), &[Rollout::ZERO]);
    assert!(world.done());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn counts_add_up(seed: u64, at in 0.0_f64..=100.0) {
        let scenario = builtin("default");
        let (samples, _) = run(&scenario, seed, 30, &vec![percent(at); scenario.flags.len()]);
        prop_assert!(!samples.is_empty());
        for sample in samples {
            prop_assert_eq!(sample.latency.total(), u64::from(sample.requests));
            prop_assert!(sample.errors <= sample.requests);
        }
    }

    #[test]
    fn treatment_gets_about_its_share(seed: u64, at in 1.0_f64..=99.0) {
        let scenario = builtin("good");
        let (samples, _) = run(&scenario, seed, 100, &[percent(at)]);
        let of = |arm| samples.iter().filter(|s| s.arm == arm).map(|s| f64::from(s.requests)).sum::<f64>();
        let (treatment, all) = (of(Arm::Treatment), of(Arm::Treatment) + of(Arm::Control));
        let s = percent(at).share();
        let sd = (s * (1.0 - s) / all).sqrt();
        prop_assert!((treatment / all - s).abs() < 6.0 * sd, "{} of {all} at {s}", treatment);
    }

    #[test]
    fn raising_a_flag_leaves_the_noise_of_all_others_alone(seed: u64, first in 0.0_f64..=100.0, second in 0.0_f64..=100.0) {
        let scenario = builtin("default");
        let raised = index(&scenario, "power-peg");
        let others = |at: f64| {
            let mut rollouts = vec![percent(10.0); scenario.flags.len()];
            rollouts[raised.index()] = percent(at);
            let (mut samples, _) = run(&scenario, seed, 25, &rollouts);
            samples.retain(|sample| sample.flag != raised);
            samples
        };
        prop_assert_eq!(others(first), others(second));
    }

    #[test]
    fn what_a_flag_did_before_does_not_change_the_noise_of_now(seed: u64, before in 0.0_f64..=40.0) {
        let mut scenario = builtin("good");
        scenario.flags[0].warm_up = 0.0;
        let last = |before: f64| {
            let mut world = World::new(&scenario, seed);
            let mut feed = Feed::default();
            for step in 0..20 {
                world.step(&[percent(if step < 15 { before } else { 50.0 })], &mut feed);
            }
            feed.samples
        };
        prop_assert_eq!(last(before), last(0.0));
    }
}

/// Per-minute P99 of the control arm of a flag, over `minutes`, as natural logarithms.
fn p99_by_minute(samples: &[Sample], flag: FlagId) -> Vec<f64> {
    let mut minutes: BTreeMap<u64, Histogram> = BTreeMap::new();
    for sample in samples.iter().filter(|sample| sample.flag == flag && sample.arm == Arm::Control) {
        minutes.entry(sample.start.0 / 60_000).or_default().merge(&sample.latency);
    }
    minutes.values().filter_map(|minute| minute.quantile_ms(0.99)).map(f64::ln).collect()
}

#[test]
fn control_p99_is_as_restless_as_recorded_ones() {
    // Recorded per-minute P99: sd(ln) 0.1 to 0.6, lag-1 autocorrelation 0.3 to 0.65.
    let scenario = builtin("default");
    let rollouts = vec![percent(10.0); scenario.flags.len()];
    let (samples, _) = run(&scenario, 11, 6 * 600, &rollouts);
    for key in [
        "new-checkout-ui",
        "brotli-responses",
        "card-token-vault",
        "query-rewriting",
        "catalogue-edge-cache",
        "two-tower-ranking",
        "cart-over-grpc",
        "use-new-postgres-index",
    ] {
        let series = p99_by_minute(&samples, index(&scenario, key));
        let n = series.len() as f64;
        let mean = series.iter().sum::<f64>() / n;
        let variance = series.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
        let lagged = series.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum::<f64>() / n;
        let (sd, autocorrelation) = (variance.sqrt(), lagged / variance);
        println!("{key}: sd {sd:.3}, autocorrelation {autocorrelation:.3}");
        assert!((0.1..=0.6).contains(&sd), "{key}: sd(ln) {sd}");
        assert!((0.3..=0.65).contains(&autocorrelation), "{key}: autocorrelation {autocorrelation}");
    }
}

#[test]
fn both_arms_of_a_good_flag_are_alike() {
    let (samples, world) = run(&builtin("good"), 3, 360, &[percent(50.0)]);
    let arm = |arm| {
        let mut histogram = Histogram::default();
        let (mut errors, mut requests) = (0.0, 0.0);
        for sample in samples.iter().filter(|sample| sample.arm == arm).skip(30) {
            histogram.merge(&sample.latency);
            errors += f64::from(sample.errors);
            requests += f64::from(sample.requests);
        }
        (histogram.quantile_ms(0.99).unwrap(), errors / requests, requests)
    };
    let ((p99_t, errors_t, n), (p99_c, errors_c, _)) = (arm(Arm::Treatment), arm(Arm::Control));
    assert!((p99_t / p99_c - 1.0).abs() < 0.02, "{p99_t} {p99_c}");
    assert!((errors_t - errors_c).abs() < 6.0 * (2.0 * 0.003 / n).sqrt(), "{errors_t} {errors_c}");
    let truth = world.truth(FlagId(0));
    assert_eq!(truth.total_bad_requests, 0.0);
    assert!(!truth.harmful);
}

#[test]
fn what_is_sampled_agrees_with_the_truth() {
    let mut scenario = builtin("wakes-at-50");
    scenario.services[0].latency.noise_sd = 0.0;
    let (samples, world) = run(&scenario, 3, 300, &[percent(75.0)]);
    let treatment: Vec<_> = samples.iter().filter(|s| s.arm == Arm::Treatment).skip(60).collect();
    let mut histogram = Histogram::default();
    for sample in &treatment {
        histogram.merge(&sample.latency);
    }
    let errors: u64 = treatment.iter().map(|sample| u64::from(sample.errors)).sum();
    let truth = world.truth(FlagId(0));
    let rate = errors as f64 / histogram.total() as f64;
    assert!((rate / truth.error_rate_treatment - 1.0).abs() < 0.02, "{rate} {truth:?}");
    let p99 = histogram.quantile_ms(0.99).unwrap();
    assert!((p99 / truth.p99_treatment_ms - 1.0).abs() < 0.05, "{p99} {truth:?}");
    assert!((truth.p99_ratio() - 4.0).abs() < 0.01, "{truth:?}");
    let bad = truth.requests * 0.75 * (truth.error_rate_treatment - truth.error_rate_control);
    assert!((truth.bad_requests - bad).abs() < 1e-9);
}

/// Whether a scenario's first flag is harmful at its beginning, and what it does at a rollout after some minutes.
fn truth_at(name: &str, at: f64, minute: u64) -> Truth {
    let scenario = builtin(name);
    let (_, world) = run(&scenario, 5, minute * 6, &vec![percent(at); scenario.flags.len()]);
    *world.truth(FlagId(0))
}

#[test]
fn each_themed_scenario_does_what_it_says() {
    let excess = |name, at, minute| {
        let truth = truth_at(name, at, minute);
        truth.error_rate_treatment - truth.error_rate_control
    };
    assert!(truth_at("error-spike", 10.0, 1).harmful, "it is harmful before it shows");
    assert_eq!(excess("error-spike", 10.0, 4), 0.0);
    assert!(excess("error-spike", 10.0, 6) > 0.07);
    assert!(truth_at("slow-leak", 50.0, 2).p99_ratio() < truth_at("slow-leak", 50.0, 15).p99_ratio());
    assert!(truth_at("latency-above-25", 25.0, 5).p99_ratio() < 1.01);
    assert!(truth_at("latency-above-25", 50.0, 5).p99_ratio() > 2.4);
    let outage = truth_at("dependency-outage", 50.0, 7);
    assert!(!outage.harmful && outage.error_rate_control > 0.2 && outage.bad_requests < 1e-6);
    let storm = (truth_at("retry-storm", 50.0, 3), truth_at("retry-storm", 50.0, 7));
    assert!(storm.1.p99_control_ms > 2.0 * storm.0.p99_control_ms, "{storm:?}");
    assert!(!storm.1.harmful && storm.1.bad_requests < 1e-6 && (storm.1.p99_ratio() - 1.0).abs() < 1e-6);
    assert!(excess("frozen-telemetry", 50.0, 13) > 0.09);
    assert!(excess("sample-ratio-mismatch", 50.0, 5) > 0.1);
    assert!(excess("interaction", 50.0, 5) > 0.03);
    assert!(truth_at("low-traffic", 50.0, 5).requests < 1.0);
    assert!(!truth_at("low-traffic", 50.0, 5).harmful);
    assert_eq!(excess("segment-bug", 30.0, 5), 0.0);
    assert!(excess("segment-bug", 50.0, 5) > 0.05);
    assert_eq!(excess("wakes-at-50", 25.0, 5), 0.0);
    assert!(excess("wakes-at-50", 50.0, 5) > 0.02);
    assert!((excess("tiny-effect", 50.0, 5) - 0.001).abs() < 1e-4);
    assert!((truth_at("p99-5-percent", 50.0, 5).p99_ratio() - 1.05).abs() < 0.001);
    for harmful in [
        "slow-leak",
        "latency-above-25",
        "segment-bug",
        "wakes-at-50",
        "tiny-effect",
        "p99-5-percent",
        "sawtooth",
    ] {
        assert!(truth_at(harmful, 1.0, 1).harmful, "{harmful}");
    }
    for good in ["good", "dependency-outage", "telemetry-gaps", "late-and-skewed"] {
        assert!(!truth_at(good, 100.0, 1).harmful, "{good}");
    }
}

#[test]
fn two_flags_are_harmful_only_while_the_other_is_on() {
    let scenario = builtin("interaction");
    let harmful = |one, two| {
        let (_, world) = run(&scenario, 2, 3, &[percent(one), percent(two)]);
        (world.truth(FlagId(0)).harmful, world.truth(FlagId(1)).harmful)
    };
    assert_eq!(harmful(50.0, 0.0), (false, true));
    assert_eq!(harmful(50.0, 50.0), (true, true));
    assert_eq!(harmful(0.0, 50.0), (true, false));
}

#[test]
fn treatment_is_slow_after_a_raise_and_warms_up() {
    let scenario = builtin("good");
    let mut world = World::new(&scenario, 4);
    let mut feed = Feed::default();
    let mut ratio = |at: f64, steps: u64| {
        for _ in 0..steps {
            world.step(&[percent(at)], &mut feed);
        }
        world.truth(FlagId(0)).p99_ratio()
    };
    assert!(ratio(1.0, 1) > 1.1);
    assert!((ratio(1.0, 20) - 1.0).abs() < 1e-3);
    assert!(ratio(5.0, 1) > 1.1);
    ratio(5.0, 20);
    assert!((ratio(1.0, 1) - 1.0).abs() < 1e-3, "a step down needs no warm-up");
}

#[test]
fn a_rollback_restarts_a_leak() {
    let scenario = builtin("slow-leak");
    let mut world = World::new(&scenario, 4);
    let mut feed = Feed::default();
    let mut ratio = |at: f64, steps: u64| {
        for _ in 0..steps {
            world.step(&[percent(at)], &mut feed);
        }
        world.truth(FlagId(0)).p99_ratio()
    };
    assert!(ratio(50.0, 60) > 2.0);
    ratio(0.0, 1);
    assert!(ratio(1.0, 20) < 1.05);
}

#[test]
fn telemetry_faults_are_seen_in_the_feed_and_not_in_the_truth() {
    let scenario = builtin("late-and-skewed");
    let mut world = World::new(&scenario, 6);
    let mut feed = Feed::default();
    let (mut late, mut skewed, mut rejected, mut doubles) = (0, 0, 0, 0);
    for _ in 0..scenario.steps() {
        let begun = world.now();
        world.step(&[percent(50.0)], &mut feed);
        late += feed.samples.iter().filter(|sample| sample.start < begun).count();
        skewed += feed.samples.iter().filter(|sample| sample.start > begun).count();
        doubles += feed.samples.windows(2).filter(|pair| pair[0] == pair[1]).count();
        rejected += feed.rejected.len();
    }
    assert!(late > 50 && skewed > 5 && rejected > 10 && doubles > 20, "{late} {skewed} {rejected} {doubles}");
    assert_eq!(world.truth(FlagId(0)).total_bad_requests, 0.0);
    let (gaps, _) = run(&builtin("telemetry-gaps"), 6, 360, &[percent(50.0)]);
    assert!(gaps.len() < 600, "{}", gaps.len());
}

#[test]
fn a_sample_ratio_mismatch_loses_treatment_only() {
    let mut scenario = builtin("good");
    scenario.flags[0].wire.lost_treatment = 0.2;
    let (samples, _) = run(&scenario, 6, 100, &[percent(50.0)]);
    let of = |arm| samples.iter().filter(|s| s.arm == arm).map(|s| f64::from(s.requests)).sum::<f64>();
    assert!((of(Arm::Treatment) / of(Arm::Control) - 0.8).abs() < 0.01);
}

#[test]
fn failures_that_cannot_report_look_like_health_with_too_few_samples() {
    let (samples, world) = run(&builtin("sample-ratio-mismatch"), 6, 100, &[percent(50.0)]);
    let of = |arm| samples.iter().filter(|s| s.arm == arm).map(|s| f64::from(s.requests)).sum::<f64>();
    assert!((of(Arm::Treatment) / of(Arm::Control) - 0.85).abs() < 0.01);
    assert!(samples.iter().filter(|sample| sample.arm == Arm::Treatment).all(|sample| sample.errors == 0));
    assert!(world.truth(FlagId(0)).error_rate_treatment > 0.15 && world.truth(FlagId(0)).harmful);
}

#[test]
fn power_peg_sleeps_then_loses_460_million_at_full_rollout() {
    let scenario = builtin("power-peg");
    let flag = index(&scenario, "retail-liquidity-program");
    let rollouts: Vec<_> = scenario.flags.iter().map(|_| Rollout::FULL).collect();
    let (_, world) = run(&scenario, 1, scenario.steps(), &rollouts);
    let lost = world.truth(flag).total_cost;
    assert!((400e6..520e6).contains(&lost), "lost {lost}");
    let mut rollouts = vec![Rollout::ZERO; scenario.flags.len()];
    rollouts[flag.index()] = percent(1.0);
    let (_, world) = run(&scenario, 1, 12, &rollouts);
    assert_eq!(world.truth(flag).total_cost, 0.0, "asleep");
    assert!(world.truth(flag).harmful && world.truth(flag).cost_at_full > 1e6);
    let (_, world) = run(&scenario, 1, 60, &rollouts);
    let truth = world.truth(flag);
    assert!(truth.error_rate_treatment > 0.999 && truth.cost > 0.0);
    assert!(truth.cost < 0.02 * truth.cost_at_full, "at 1 % it costs a hundredth");
}

#[test]
fn frozen_telemetry_looks_healthy_while_the_truth_is_not() {
    let scenario = builtin("frozen-telemetry");
    let (samples, world) = run(&scenario, 3, 100, &[percent(50.0)]);
    let shown: Vec<_> = samples.iter().rev().filter(|sample| sample.arm == Arm::Treatment).take(20).collect();
    assert!(shown.windows(2).all(|pair| pair[0].errors == pair[1].errors && pair[0].start != pair[1].start));
    assert!(f64::from(shown[0].errors) < 0.02 * f64::from(shown[0].requests));
    assert!(world.truth(FlagId(0)).error_rate_treatment > 0.1);
}

#[test]
fn a_step_allocates_no_new_samples() {
    let scenario = builtin("good");
    let mut world = World::new(&scenario, 1);
    let mut feed = Feed::default();
    world.step(&[percent(50.0)], &mut feed);
    let (place, room) = (feed.samples.as_ptr(), feed.samples.capacity());
    for _ in 0..50 {
        world.step(&[percent(50.0)], &mut feed);
    }
    assert_eq!((feed.samples.as_ptr(), feed.samples.capacity()), (place, room));
}
