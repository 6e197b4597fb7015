//! The default scene under the rule policy: what a newcomer watches has to come true, whatever the seed.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;

use knightwatch::{
    agent::PolicyName,
    control::{ControlConfig, Phase},
    judge::{Episode, FlagResult},
    sim::Scenario,
};

fn play(name: &str, policy: PolicyName, seed: u64) -> Episode {
    let scenario = Scenario::parse(Scenario::builtin(name).unwrap(), name).unwrap();
    Episode::run(&scenario, seed, policy.build(seed).as_mut(), &ControlConfig::default(), |_| {})
}

fn by_key(episode: &Episode) -> BTreeMap<String, FlagResult> {
    episode.flags.iter().map(|flag| (flag.flag.to_string(), flag.clone())).collect()
}

#[test]
fn look() {
    for seed in 1..4 {
        let episode = play("default", PolicyName::Rule, seed);
        println!("seed {seed}");
        for flag in &episode.flags {
            println!(
                "{:32} harmful={:5} start={:>9} full={:>9} back={:>9} {:12} {:>8} bad={:.0}",
                flag.flag,
                flag.harmful,
                flag.started_at.map(|m| m.to_string()).unwrap_or_default(),
                flag.complete_at.map(|m| m.to_string()).unwrap_or_default(),
                flag.rolled_back_at.map(|m| m.to_string()).unwrap_or_default(),
                flag.phase,
                flag.rollout,
                flag.bad_requests
            );
        }
        if seed == 1 {
            for entry in &episode.journal {
                println!("{:>6} {:>7} {}", entry.at.0 / 1000 % 100_000, entry.actor, entry.sentence);
            }
        }
    }
    let _ = by_key;
    let _ = Phase::Complete;
}
