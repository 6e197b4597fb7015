//! What PPO-Master is for: the shipped weights, on generated worlds that they were never trained on and in the scene that a
//! newcomer watches, against those that it is measured by. All behind the same shield.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::{collections::BTreeMap, sync::Arc};

use knightwatch_agent::{HarmWeight, Parameters, PolicyName, PpoMaster, Weights};
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

/// One policy beside another: each number of the first as a multiple of the second's.
#[derive(Clone, Copy, Debug)]
struct Compared {
    cost: f64,
    harm: f64,
    /// Of the good flags that reach 100 % under both; infinite where there are none.
    minutes: f64,
    /// Of good flags that reach 100 %.
    there: f64,
}

impl Compared {
    fn of(agent: &[Fate], opponent: &[Fate]) -> Self {
        assert_eq!(agent.len(), opponent.len(), "the same flags");
        let sum = |fates: &[Fate], of: fn(&Fate) -> f64| fates.iter().map(of).sum::<f64>();
        let there = |fate: &Fate| f64::from(u8::from(fate.minutes_to_full.is_some()));
        let ratio = |of: fn(&Fate) -> f64| sum(agent, of) / sum(opponent, of);
        let both = agent.iter().zip(opponent);
        let (mut ours, mut theirs) = (0.0, 0.0);
        for (our, their) in both.filter_map(|(our, their)| our.minutes_to_full.zip(their.minutes_to_full)) {
            ours += our;
            theirs += their;
        }
        let minutes = if theirs > 0.0 { ours / theirs } else { f64::INFINITY };
        Self { cost: ratio(|fate| fate.cost), harm: ratio(|fate| fate.harm), minutes, there: ratio(there) }
    }

    /// Whether it costs less and harms less and takes no longer: at most `slack` times as many minutes, and at most a
    /// twentieth fewer of the good flags get there.
    fn dominates(self, slack: f64) -> bool {
        self.cost < 1.0 && self.harm < 1.0 && self.minutes <= slack && self.there >= 0.95
    }
}

/// What is claimed of it beside an opponent.
type Claim = fn(Compared) -> bool;

/// Whom it is measured by, and what holds of it at the one harm weight that ships: the shield alone is faster, Flagger more
/// careful, and the two with a fixed pace are neither.
const OPPONENTS: [(PolicyName, Claim); 4] = [
    (PolicyName::SHIELD_ALONE, |seen| seen.cost < 1.0 && seen.harm < 1.0),
    (PolicyName::RULE, |seen| seen.dominates(1.0)),
    (PolicyName::SCHEDULE, |seen| seen.dominates(1.0)),
    (PolicyName::FLAGGER, |seen| seen.cost < 1.0 && seen.minutes < 1.0),
];

/// The same weights at other harm weights, more or less in a hurry: one for each opponent that the shipped one passes on one
/// side only. The shield alone goes up whenever that is allowed: nobody behind the same shield can be faster, so a
/// twentieth more counts as no longer.
const ELSEWHERE: [(PolicyName, HarmWeight, f64); 2] = [
    (PolicyName::SHIELD_ALONE, HarmWeight::Factor(0.25), 1.05),
    (PolicyName::FLAGGER, HarmWeight::Factor(13.0), 1.0),
];

#[test]
fn at_the_shipped_harm_weight_it_costs_less_than_every_opponent_and_is_dominated_by_none() {
    let shipped = PpoMaster::shipped();
    let shipped = shipped.weights().as_ref().unwrap();
    let zeros = |(weight, bias): &(Vec<f32>, Vec<f32>)| (vec![0.0; weight.len()], vec![0.0; bias.len()]);
    let Parameters { first, second, policy, value } = &shipped.parameters;
    let nothing =
        Parameters { first: zeros(first), second: zeros(second), policy: zeros(policy), value: zeros(value) };
    let nothing = Arc::new(Weights::new(nothing, shipped.normaliser.clone(), BTreeMap::new()));
    let zeroed = fates(&|| Box::new(PpoMaster::new(Ok(Arc::clone(&nothing)))));
    let agent = fates(&|| Box::new(PpoMaster::shipped()));
    for (name, holds) in OPPONENTS {
        let opponent = fates(&|| name.build(0));
        let (seen, without) = (Compared::of(&agent, &opponent), Compared::of(&zeroed, &opponent));
        eprintln!("beside {name}: {seen:.3?}; zeroed {without:.3?}");
        assert!(holds(seen), "beside {name}: {seen:?}");
        assert!(!holds(without), "without its weights it is the same beside {name}: {without:?}");
    }
}

#[test]
fn the_shield_alone_and_flagger_are_each_dominated_at_another_harm_weight() {
    for (name, harm_weight, slack) in ELSEWHERE {
        let agent = fates(&|| Box::new(PpoMaster::shipped().with_harm_weight(harm_weight)));
        let seen = Compared::of(&agent, &fates(&|| name.build(0)));
        eprintln!("beside {name} at {harm_weight}: {seen:.3?}");
        assert!(seen.dominates(slack), "beside {name} at {harm_weight}: {seen:?}");
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
