//! What generated scenarios have to be: the same for a number, apart between splits, alike in their ranges, about as
//! often good as not, and each what its family says. Asked of the world they make, not of the generator.

use std::collections::BTreeSet;

use super::*;
use crate::{
    flag::Rollout,
    sim::{Truth, World},
    telemetry::Feed,
};

/// An excess of errors below this is mild, not harm.
const MILD: f64 = 0.000_201;

fn of(family: Family) -> Generator {
    Generator { families: vec![family], ..Generator::new(Split::Training) }
}

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

/// Which flags do harm with all others at 100 %.
fn harmful(scenario: &Scenario) -> Vec<bool> {
    let mut world = World::new(scenario, 1);
    world.step(&[Rollout::FULL, Rollout::FULL], &mut Feed::default());
    world.truths().iter().map(|truth| truth.harmful).collect()
}

/// Scenarios of a family whose first flag does harm.
fn harmful_ones(family: Family, among: u64) -> Vec<Scenario> {
    let all = (0..among).map(|number| of(family).scenario(number).1);
    let found: Vec<_> = all.filter(|scenario| harmful(scenario)[0]).collect();
    assert!(found.len() as u64 * 2 > among, "{family}: {} of {among}", found.len());
    found
}

fn excess(truth: &Truth) -> f64 {
    truth.error_rate_treatment - truth.error_rate_control
}

#[test]
fn a_number_gives_the_same_scenario_every_time_and_any_number_will_do() {
    let generator = Generator::new(Split::Training);
    for number in [0, 1, 7, 1 << 20, (1 << NUMBER_BITS) - 1, u64::MAX] {
        assert_eq!(generator.scenario(number), generator.scenario(number));
    }
    assert_ne!(generator.scenario(3).1.services, generator.scenario(3 + 15).1.services);
}
