//! The shipped scenarios under the rule policy: what a newcomer watches has to come true, whatever the seed.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;

use knightwatch_agent::PolicyName;
use knightwatch_core::{
    control::{ControlConfig, Phase},
    telemetry::Millis,
};
use knightwatch_sim::{Episode, FlagResult, Scenario};

fn play(name: &str, policy: PolicyName, seed: u64) -> BTreeMap<String, FlagResult> {
    let scenario = Scenario::parse(Scenario::builtin(name).unwrap(), name).unwrap();
    let config = ControlConfig::default();
    let episode = Episode::run(&scenario, seed, policy.build(seed).as_mut(), &config, |_| {});
    episode.flags.into_iter().map(|flag| (flag.flag.to_string(), flag)).collect()
}

/// Simulated time that a newcomer sees within 30 seconds at the default speed of 30×.
const HALF_A_MINUTE_OF_WATCHING: Millis = Millis::from_secs(15 * 60);

#[test]
fn the_default_scene_plays_as_it_is_told() {
    for seed in [7, 1, 2, 3, 4, 5] {
        let flags = play("default", PolicyName::RULE, seed);
        assert!(flags.len() >= 12);
        for good in ["new-checkout-ui", "catalogue-edge-cache", "brotli-responses", "loyalty-banner"] {
            assert!(flags[good].complete_at.is_some(), "seed {seed}: {good} did not reach 100 %");
            assert_eq!(flags[good].rolled_back_at, None, "seed {seed}: {good} was rolled back");
        }
        let bad = [
            "card-token-vault",
            "use-new-postgres-index",
            "streaming-images",
            "two-tower-ranking",
            "stronger-password-hash",
            "power-peg",
        ];
        for bad in bad {
            assert!(flags[bad].harmful, "seed {seed}: {bad} is not harmful in truth");
            assert!(flags[bad].rolled_back_at.is_some(), "seed {seed}: {bad} was not rolled back");
            assert!(flags[bad].rollout.is_zero(), "seed {seed}: {bad}");
        }
        // The innocent one, in its courier's outage.
        assert_eq!(flags["courier-quotes"].rolled_back_at, None, "seed {seed}: the innocent was rolled back");
        // Two that hurt only together: at least one goes, and no more harm is left.
        let together =
            ["instant-suggestions", "query-rewriting"].map(|key| flags[key].rolled_back_at.is_some());
        assert!(together.contains(&true), "seed {seed}: neither of the pair was rolled back");
        // Hardly any traffic: neither up nor down.
        assert_eq!(flags["bulk-refunds"].phase, Phase::Ramping, "seed {seed}");
        assert!(flags["bulk-refunds"].rollout.percent() <= 5.0, "seed {seed}");
        let first = flags.values().filter_map(|flag| flag.rolled_back_at).min().unwrap();
        assert!(first < HALF_A_MINUTE_OF_WATCHING, "seed {seed}: the first rollback comes after {first}");
    }
}

#[test]
fn the_job_flag_starts_at_five_per_cent_and_goes_back_once_above_twenty_five() {
    let flags = play("default", PolicyName::RULE, 7);
    let job = &flags["use-new-postgres-index"];
    assert!(job.bad_requests < 1_000.0, "its harm is latency, not errors");
    let journal = {
        let scenario = Scenario::parse(Scenario::builtin("default").unwrap(), "default").unwrap();
        Episode::run(&scenario, 7, PolicyName::RULE.build(7).as_mut(), &ControlConfig::default(), |_| {})
            .journal
    };
    let said: Vec<&str> = journal
        .iter()
        .filter(|entry| entry.flag.as_ref().is_some_and(|key| key.as_str() == "use-new-postgres-index"))
        .map(|entry| entry.sentence.as_str())
        .collect();
    assert!(said.iter().any(|sentence| sentence.contains("started at 5 %")), "{said:#?}");
    assert!(said.iter().any(|sentence| sentence.contains("raised from 25 % to 50 %")), "{said:#?}");
    assert!(said.iter().any(|sentence| sentence.contains("rolled back from 50 %")), "{said:#?}");
}

#[test]
fn the_rule_policy_gets_good_flags_through_sooner_than_the_schedule_and_loses_none() {
    let mut sooner = 0;
    for seed in 0..8 {
        let time = |policy| play("good", policy, seed).into_values().next().unwrap();
        let (rule, schedule) = (time(PolicyName::RULE), time(PolicyName::SCHEDULE));
        assert_eq!(rule.rolled_back_at, None, "seed {seed}");
        let rule = rule.complete_at.unwrap();
        sooner += u32::from(schedule.complete_at.is_none_or(|schedule| rule < schedule));
    }
    assert!(sooner >= 7, "only {sooner} of 8");
}

#[test]
fn the_same_seed_gives_the_same_journal() {
    let run = |seed| {
        let scenario = Scenario::parse(Scenario::builtin("default").unwrap(), "default").unwrap();
        let mut policy = PolicyName::RANDOM.build(seed);
        Episode::run(&scenario, seed, policy.as_mut(), &ControlConfig::default(), |_| {}).journal
    };
    assert_eq!(run(11), run(11));
    assert_ne!(run(11), run(12));
}
