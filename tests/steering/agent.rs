//! What PPO-Master is for: the shipped weights, on generated worlds that they were never trained on and in the scene that a
//! newcomer watches, against those that it is measured by. All behind the same shield.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::{collections::BTreeMap, sync::Arc};

use knightwatch_agent::{Parameters, PolicyName, PpoMaster, Taste, Weights};
use knightwatch_core::control::{ControlConfig, Phase, Policy};
use knightwatch_sim::{Episode, FlagResult, Generator, Scenario, Split};

/// Validation worlds in a comparison; those that weights are chosen by have larger numbers.
const WORLDS: u64 = 1_000;

/// Threads that live through them.
const THREADS: u64 = 2;

/// What one flag came to.
#[derive(Clone, Copy, Debug)]
struct Fate {
    cost: f64,
    harm: f64,
    /// Of a good flag that got there.
    minutes_to_full: Option<f64>,
}

/// The flags of all worlds, always in the same order.
fn fates(policy: &(dyn Fn() -> Box<dyn Policy> + Sync)) -> Vec<Fate> {
    let generator = Generator::new(Split::Validation);
    let live = |number: u64| {
        let (_, scenario) = generator.scenario(number);
        let seed = generator.seed(number);
        let episode = Episode::run(&scenario, seed, policy().as_mut(), &ControlConfig::default(), |_| {});
        let fate = |flag: &FlagResult| Fate {
            cost: flag.total_points(),
            harm: flag.harm,
            minutes_to_full: flag
                .started_at
                .zip(flag.complete_at)
                .filter(|_| !flag.harmful)
                .map(|(started, at)| at.since(started).as_secs_f64() / 60.0),
        };
        episode.flags.iter().map(fate).collect::<Vec<_>>()
    };
    std::thread::scope(|scope| {
        let part = WORLDS / THREADS;
        let workers: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn(move || (thread * part..(thread + 1) * part).flat_map(live).collect::<Vec<_>>())
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}

/// Whether `agent` costs less and harms less than `opponent` and takes no longer: at most `slack` times as many minutes
/// for the good flags that reach 100 % under both, and at most a twentieth fewer of them.
fn beats(agent: &[Fate], opponent: &[Fate], slack: f64) -> bool {
    let sum = |fates: &[Fate], of: fn(&Fate) -> f64| fates.iter().map(of).sum::<f64>();
    let got_there = |fates: &[Fate]| fates.iter().filter(|fate| fate.minutes_to_full.is_some()).count();
    let both: Vec<(f64, f64)> = agent
        .iter()
        .zip(opponent)
        .filter_map(|(ours, theirs)| ours.minutes_to_full.zip(theirs.minutes_to_full))
        .collect();
    let ours: f64 = both.iter().map(|(ours, _)| ours).sum();
    let theirs: f64 = both.iter().map(|(_, theirs)| theirs).sum();
    let (cost, other) = (sum(agent, |fate| fate.cost), sum(opponent, |fate| fate.cost));
    let (harm, more) = (sum(agent, |fate| fate.harm), sum(opponent, |fate| fate.harm));
    eprintln!(
        "cost {cost:.0} against {other:.0}, harm {harm:.0} against {more:.0}, minutes {ours:.0} against {theirs:.0}, \
         {} at 100 % against {}",
        got_there(agent),
        got_there(opponent)
    );
    !both.is_empty()
        && cost < other
        && harm < more
        && ours <= slack * theirs
        && 20 * got_there(agent) >= 19 * got_there(opponent)
}

/// Whom it is measured by, each with the taste that it is met at: the same weights, more or less in a hurry, since nobody
/// is as fast as the shield alone and as slow as Flagger at once. The shield alone goes up whenever that is allowed:
/// nobody behind the same shield can be faster, so a twentieth more counts as no longer.
const OPPONENTS: [(PolicyName, Taste, f64); 4] = [
    (PolicyName::SHIELD_ALONE, Taste::Factor(0.25), 1.05),
    (PolicyName::RULE, Taste::ByTraffic, 1.0),
    (PolicyName::SCHEDULE, Taste::ByTraffic, 1.0),
    (PolicyName::FLAGGER, Taste::Factor(13.0), 1.0),
];

#[test]
fn it_does_less_harm_than_every_opponent_and_takes_no_longer_and_without_its_weights_it_is_not_so() {
    let shipped = PpoMaster::shipped();
    let shipped = shipped.weights().as_ref().unwrap();
    let zeros = |(weight, bias): &(Vec<f32>, Vec<f32>)| (vec![0.0; weight.len()], vec![0.0; bias.len()]);
    let Parameters { first, second, policy, value } = &shipped.parameters;
    let nothing =
        Parameters { first: zeros(first), second: zeros(second), policy: zeros(policy), value: zeros(value) };
    let nothing = Arc::new(Weights::new(nothing, shipped.normaliser.clone(), BTreeMap::new()));
    let zeroed = fates(&|| Box::new(PpoMaster::new(Ok(Arc::clone(&nothing)))));
    for (name, taste, slack) in OPPONENTS {
        let agent = fates(&|| Box::new(PpoMaster::shipped().with_taste(taste)));
        let opponent = fates(&|| name.build(0));
        assert!(beats(&agent, &opponent, slack), "{name} is not beaten");
        assert!(!beats(&zeroed, &opponent, slack), "{name} is beaten by zeroed weights");
    }
}

fn play(policy: PolicyName, seed: u64) -> BTreeMap<String, FlagResult> {
    let scenario = Scenario::parse(Scenario::builtin("default").unwrap(), "default").unwrap();
    let config = ControlConfig::default();
    let episode = Episode::run(&scenario, seed, policy.build(seed).as_mut(), &config, |_| {});
    episode.flags.into_iter().map(|flag| (flag.flag.to_string(), flag)).collect()
}

#[test]
fn in_the_default_scene_good_flags_are_sooner_there_and_bad_ones_do_less_harm_than_under_the_rule_policy() {
    let (mut sooner, mut later, mut left) = (0, 0, 0);
    let (mut harm, mut cost) = ([0.0, 0.0], [0.0, 0.0]);
    for seed in 1..=12 {
        let (agent, rule) = (play(PolicyName::PPO_MASTER, seed), play(PolicyName::RULE, seed));
        for (key, flag) in &agent {
            let other = &rule[key];
            harm[0] += flag.harm;
            harm[1] += other.harm;
            cost[0] += flag.total_points();
            cost[1] += other.total_points();
            if let (false, Some(theirs)) = (flag.harmful, other.complete_at) {
                match flag.complete_at {
                    Some(ours) => {
                        sooner += u32::from(ours < theirs);
                        later += u32::from(ours > theirs);
                    }
                    None => left += 1,
                }
            }
        }
        assert_eq!(agent["courier-quotes"].rolled_back_at, None, "seed {seed}: the innocent was rolled back");
        assert_ne!(agent["bulk-refunds"].phase, Phase::Complete, "seed {seed}: too little traffic to tell");
    }
    assert!(sooner > 2 * later, "{sooner} sooner, {later} later");
    assert!(harm[0] < harm[1], "harm {harm:?}");
    // With what a rollback of a good flag costs, and waiting for one that is left behind: there may be one in all scenes.
    assert!(cost[0] < cost[1], "cost {cost:?}");
    assert!(left <= 1, "{left} good flags are left behind");
}
