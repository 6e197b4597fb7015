//! What PPO-Master is for: the shipped weights, on generated worlds that they were never trained on and in the scene that a
//! newcomer watches, against those that it is measured by. All behind the same shield.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::{collections::BTreeMap, sync::Arc};

use knightwatch::{
    agent::{Parameters, PolicyName, PpoMaster, Weights},
    control::{ControlConfig, Phase, Policy},
    judge::{Episode, FlagResult},
    sim::{Generator, Scenario, Split},
};

/// Validation worlds in a comparison, and the first of them.
const WORLDS: std::ops::Range<u64> = 0..450;

/// What a policy came to, over all flags of all worlds.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    cost: f64,
    harm: f64,
    minutes: f64,
    complete: f64,
}

fn compare(policy: &dyn Fn() -> Box<dyn Policy>) -> Sum {
    let generator = Generator::new(Split::Validation);
    let mut sum = Sum::default();
    for number in WORLDS {
        let (_, scenario) = generator.scenario(number);
        let seed = generator.seed(number);
        let episode = Episode::run(&scenario, seed, policy().as_mut(), &ControlConfig::default(), |_| {});
        for flag in &episode.flags {
            sum.cost += flag.total_points();
            sum.harm += flag.harm;
            if let (false, Some(started), Some(at)) = (flag.harmful, flag.started_at, flag.complete_at) {
                sum.complete += 1.0;
                sum.minutes += at.since(started).as_secs_f64() / 60.0;
            }
        }
    }
    sum
}

/// Whether `agent` costs less and harms less than `opponent`, and is no slower where it gets to 100 %.
fn beats(agent: &Sum, opponent: &Sum) -> bool {
    agent.complete > 0.0
        && agent.cost < opponent.cost
        && agent.harm < opponent.harm
        && agent.minutes / agent.complete <= opponent.minutes / opponent.complete
}

/// Whom it is measured by, each with the taste that it is met at: the same weights, more or less in a hurry, since nobody
/// is as fast as the shield alone and as slow as Flagger at once.
const OPPONENTS: [(PolicyName, f32); 4] = [
    (PolicyName::ShieldAlone, 1.0),
    (PolicyName::Rule, 1.0),
    (PolicyName::Schedule, 1.0),
    (PolicyName::Flagger, 32.0),
];

#[test]
fn it_does_less_harm_than_every_opponent_and_is_no_slower_and_without_its_weights_it_is_not_so() {
    let shipped = PpoMaster::shipped();
    let shipped = shipped.weights().as_ref().unwrap();
    let zeros = |(weight, bias): &(Vec<f32>, Vec<f32>)| (vec![0.0; weight.len()], vec![0.0; bias.len()]);
    let Parameters { first, second, policy, value } = &shipped.parameters;
    let nothing =
        Parameters { first: zeros(first), second: zeros(second), policy: zeros(policy), value: zeros(value) };
    let nothing = Arc::new(Weights::new(nothing, shipped.normaliser.clone(), BTreeMap::new()));
    let zeroed = compare(&|| Box::new(PpoMaster::new(Ok(Arc::clone(&nothing)))));
    for (name, taste) in OPPONENTS {
        let agent = compare(&|| Box::new(PpoMaster::shipped().with_taste(taste)));
        let opponent = compare(&|| name.build(0));
        assert!(beats(&agent, &opponent), "{name}: {opponent:?} against {agent:?}");
        assert!(!beats(&zeroed, &opponent), "{name}: {opponent:?} against zeroed weights: {zeroed:?}");
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
    for seed in [7, 1, 2, 3, 4, 5] {
        let (agent, rule) = (play(PolicyName::PpoMaster, seed), play(PolicyName::Rule, seed));
        let (mut sooner, mut later, mut harm) = (0, 0, [0.0, 0.0]);
        for (key, flag) in &agent {
            let other = &rule[key];
            harm[0] += flag.harm;
            harm[1] += other.harm;
            if !flag.harmful && other.complete_at.is_some() {
                let at = flag.complete_at;
                assert!(at.is_some(), "seed {seed}: {key} did not reach 100 %: {flag:?}");
                sooner += u32::from(at < other.complete_at);
                later += u32::from(at > other.complete_at);
            }
        }
        assert!(sooner >= 3 * later && sooner > 0, "seed {seed}: {sooner} sooner, {later} later");
        assert!(harm[0] < harm[1], "seed {seed}: harm {harm:?}");
        assert_eq!(agent["courier-quotes"].rolled_back_at, None, "seed {seed}: the innocent was rolled back");
        assert_ne!(agent["bulk-refunds"].phase, Phase::Complete, "seed {seed}");
    }
}
