//! Scenarios and the world they make: what is refused and where, and what a world promises to those who judge by it.

use std::{collections::BTreeMap, path::Path};

use knightwatch::{
    flag::{FlagId, Rollout},
    sim::{Scenario, World},
    telemetry::{Arm, Feed, Histogram, Millis, Sample},
};
use proptest::prelude::*;

fn builtin(name: &str) -> Scenario {
    Scenario::parse(Scenario::builtin(name).unwrap(), name).unwrap()
}

fn percent(percent: f64) -> Rollout {
    Rollout::from_percent(percent).unwrap()
}

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

fn index(scenario: &Scenario, key: &str) -> FlagId {
    let place = scenario.flags.iter().position(|flag| flag.spec.key.as_str() == key).unwrap();
    FlagId(u32::try_from(place).unwrap())
}

// ---- files ----------------------------------------------------------------------------------------------------------

#[test]
fn every_shipped_scenario_parses_and_is_built_in_under_its_own_name() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/scenarios");
    let mut shipped = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let file = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            let scenario = Scenario::parse(&text, &file).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(scenario.name, file);
            assert!(!scenario.title.is_empty() && !scenario.story.is_empty(), "{file}");
            assert_eq!(Scenario::builtin(&file), Some(text.as_str()), "{file} is not built in");
            shipped.push(file);
        }
    }
    assert_eq!(shipped.len(), Scenario::builtins().len());
}

#[test]
fn the_default_scene_begins_at_once_and_has_a_dozen_flags() {
    let scenario = builtin("default");
    assert!(scenario.flags.len() >= 12);
    assert_eq!(scenario.interval, Millis::from_secs(10));
    assert_eq!(scenario.cues()[0].at, Millis::ZERO);
    assert!(scenario.cues().windows(2).all(|pair| pair[0].at <= pair[1].at));
    assert_eq!(scenario.cues().len(), scenario.flags.len(), "a person starts each of them");
    let jobs = &scenario.flags[index(&scenario, "use-new-postgres-index").index()].spec;
    assert_eq!(jobs.ladder.first(), percent(5.0));
}

#[test]
fn a_fleet_is_replicated_with_staggered_starts() {
    let scenario = builtin("fleet-1000");
    assert_eq!(scenario.flags.len(), 1_000);
    let keys: std::collections::BTreeSet<_> = scenario.specs().into_iter().map(|spec| spec.key).collect();
    assert_eq!(keys.len(), 1_000);
    let second = index(&scenario, "storefront-good-0002");
    let cue = scenario.cues().iter().find(|cue| cue.flag == second).unwrap();
    assert_eq!(cue.at, Millis::from_secs(20));
}

// ---- bad files ------------------------------------------------------------------------------------------------------

const HEAD: &str = "name = 't'\nduration = '1 h'\n[[service]]\nname = 'checkout'\nrequests_per_second = 10\n";

/// The problems of a file that begins with [`HEAD`] (5 lines), as `line:column: text`.
fn problems(rest: &str) -> String {
    let error = Scenario::parse(&format!("{HEAD}{rest}"), "shop.toml").unwrap_err();
    error.to_string().replace("shop.toml:", "")
}

#[test]
fn an_unknown_key_is_named_with_its_place_and_the_nearest_key() {
    assert_eq!(
        problems("error_percent = 3\n"),
        "6:1: service \"checkout\": unknown key \"error_percent\"; did you mean \"errors_percent\"?"
    );
    let found = problems(
        "[[flag]]\nkey = 'a'\nservice = 'checkout'\n  [[flag.effect]]\n  errors_percent = 1\n  banana = 1\n",
    );
    assert!(
        found.starts_with(
            "11:3: flag \"a\": effect: unknown key \"banana\"; known keys are above_rollout_percent"
        ),
        "{found}"
    );
}

#[test]
fn a_rollout_of_140_percent_is_refused() {
    assert_eq!(
        problems("[[flag]]\nkey = 'a'\nservice = 'checkout'\nladder_percent = [1, 140, 99, 100]\n"),
        "9:22: flag \"a\": ladder_percent: found 140, expected a rollout from 0 to 100 %"
    );
    assert_eq!(
        problems("[[flag]]\nkey = 'a'\nservice = 'checkout'\ntraffic_percent = 140\n"),
        "9:19: flag \"a\": traffic_percent: found 140, expected a number from 0 to 100 %"
    );
}

#[test]
fn a_ladder_that_goes_down_or_ends_early_is_refused() {
    let flag = |ladder: &str| {
        problems(&format!("[[flag]]\nkey = 'a'\nservice = 'checkout'\nladder_percent = {ladder}\n"))
    };
    assert_eq!(flag("[50, 1, 99, 100]"), "9:19: ladder_percent: rungs ascend from above 0 %; 1 % does not");
    assert!(flag("[1, 50]").starts_with("9:19: ladder_percent: a ladder ends with 99 %"));
}

#[test]
fn not_a_number_and_infinity_are_refused() {
    assert_eq!(
        problems("p50_ms = nan\nsigma = -inf\n"),
        "6:10: service \"checkout\": p50_ms: found nan, expected a number from 1 to 10000 ms\n\
         7:9: service \"checkout\": sigma: found -inf, expected a number from 0.1 to 2"
    );
}

#[test]
fn a_file_cut_in_the_middle_is_refused_where_it_was_cut() {
    let found = problems("[[flag]]\nkey = 'new-chec");
    assert!(found.starts_with("7:") && found.contains("not valid TOML"), "{found}");
    let text = Scenario::builtin("default").unwrap();
    for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)).step_by(97) {
        // Cut anywhere, it is a smaller scenario or a clear error, never a panic.
        if let Err(error) = Scenario::parse(&text[..end], "cut.toml") {
            assert!(!error.problems.is_empty());
        }
    }
}

#[test]
fn a_key_used_twice_is_refused() {
    let flag = "[[flag]]\nkey = 'a'\nservice = 'checkout'\n";
    assert_eq!(
        problems(&format!("{flag}{flag}")),
        "9:1: flag \"a\": the key is used twice; keys are never reused"
    );
    let found = problems("p50_ms = 3\np50_ms = 4\n");
    assert!(found.starts_with("7:1: not valid TOML: duplicate key"), "{found}");
    assert!(
        problems("[[service]]\nname = 'checkout'\nrequests_per_second = 1\n")
            .starts_with("6:1: service \"checkout\": the name")
    );
}

#[test]
fn an_unknown_service_is_refused_with_the_nearest() {
    assert_eq!(
        problems("[[flag]]\nkey = 'a'\nservice = 'chekout'\n"),
        "8:11: flag \"a\": unknown service \"chekout\"; did you mean \"checkout\"?"
    );
    assert_eq!(
        problems("[[outage]]\nservices = ['moon']\nfrom = '1 min'\n"),
        "7:13: outage: unknown service \"moon\"; services are checkout"
    );
}

#[test]
fn time_spans_are_positive_and_have_units() {
    let text = HEAD.replace("'1 h'", "'-5 min'");
    let error = Scenario::parse(&text, "shop.toml").unwrap_err().to_string();
    assert_eq!(
        error,
        "shop.toml:2:12: scenario \"t\": duration: found \"-5 min\", expected a time span such as \"90 s\" or \"1 h 30 min\", from 1 min to 7 d 0 h"
    );
    let text = HEAD.replace("'1 h'", "60");
    assert!(
        Scenario::parse(&text, "shop.toml")
            .unwrap_err()
            .to_string()
            .contains("2:12: scenario \"t\": duration: found 60,")
    );
    let text = HEAD.replace("duration = '1 h'", "");
    assert!(Scenario::parse(&text, "shop.toml").unwrap_err().to_string().contains("duration is missing"));
}

#[test]
fn a_hostile_name_is_refused_and_cannot_reach_the_terminal() {
    let found = problems("[[flag]]\nkey = \"a\\u001b[2J\\u202e\"\nservice = 'checkout'\n");
    assert!(found.starts_with("7:7: key: found \"a[2J\": a flag key has"), "{found:?}");
    let error = Scenario::parse("\u{1b}]0;owned\u{7}", "a\u{1b}b.toml").unwrap_err().to_string();
    assert!(!error.chars().any(|c| c.is_control() && c != '\n'), "{error:?}");
}

#[test]
fn garbage_beyond_the_limit_is_refused_unread() {
    let garbage = "x = [".repeat(20_000_000);
    let error = Scenario::parse(&garbage, "huge.toml").unwrap_err();
    assert_eq!(
        error.to_string(),
        "huge.toml:1:1: found 100000000 bytes, expected a scenario of at most 1048576"
    );
    let error = Scenario::parse(&"[".repeat(500_000), "deep.toml").unwrap_err();
    assert!(!error.problems.is_empty());
    let error = Scenario::parse(&"a = \n".repeat(100_000), "long.toml").unwrap_err();
    assert_eq!(error.problems.len(), 50);
    assert!(error.to_string().contains("more problems"));
}

#[test]
fn everything_that_is_wrong_is_said_at_once_and_in_order() {
    let found = problems(
        "sigma = 9\n[[flag]]\nkey = 'a'\nservice = 'moon'\nwave = 1\n[[flag.effect]]\nfrom = '9 min'\nuntil = '1 min'\n[[interaction]]\nflags = ['a']\nlatency = 2\n",
    );
    let lines: Vec<_> = found.lines().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(lines, ["6", "9", "10", "11", "11", "14", "15"], "{found}");
}

#[test]
fn too_many_flags_are_refused() {
    let found = problems(
        "[[flag]]\nkey = 'a'\nservice = 'checkout'\nreplicate = 10_000\n[[flag]]\nkey = 'b'\nservice = 'checkout'\n",
    );
    assert!(found.starts_with("10:1: flag \"b\": found more than 10000 flags"), "{found}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn no_text_makes_the_parser_panic(text in "(\\[\\[?(service|flag|flag.effect|outage|interaction)\\]?\\]|[a-z_]{1,12} = ('[^']{0,9}'|-?[0-9.e]{1,9}|\\[.{0,9}\\]|\\{\\})|.{0,20}|\n){0,30}") {
        let _ = Scenario::parse(&text, "any.toml");
        let _ = Scenario::parse(&format!("{HEAD}{text}"), "any.toml");
    }
}

// ---- the world ------------------------------------------------------------------------------------------------------

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
    treatment.iter().for_each(|sample| histogram.merge(&sample.latency));
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
fn truth_at(name: &str, at: f64, minute: u64) -> knightwatch::sim::Truth {
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
    assert_eq!(excess("error-spike", 10.0, 11), 0.0);
    assert!(excess("error-spike", 10.0, 13) > 0.07);
    assert!(truth_at("slow-leak", 50.0, 2).p99_ratio() < truth_at("slow-leak", 50.0, 15).p99_ratio());
    assert!(truth_at("latency-above-25", 25.0, 5).p99_ratio() < 1.01);
    assert!(truth_at("latency-above-25", 50.0, 5).p99_ratio() > 2.4);
    let outage = truth_at("dependency-outage", 50.0, 12);
    assert!(!outage.harmful && outage.error_rate_control > 0.2 && outage.bad_requests < 1e-6);
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
fn a_rollback_starts_a_leak_anew() {
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
