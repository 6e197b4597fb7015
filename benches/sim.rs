//! How fast the world turns, in flag-steps a second: one flag, one interval, both arms with 64 buckets each. The budget
//! is 150 000 on one core.

use std::hint::black_box;

use divan::{Bencher, counter::ItemsCount};
use knightwatch_core::{flag::Rollout, telemetry::Feed};
use knightwatch_sim::{Scenario, World};

fn main() {
    divan::main();
}

/// Steps a scenario with all flags at 25 %.
fn step(bencher: Bencher, name: &str) {
    let scenario = Scenario::builtin(name).and_then(|text| Scenario::parse(text, name).ok());
    let Some(scenario) = scenario else { return };
    let rollouts = vec![Rollout::from_percent(25.0).unwrap_or_default(); scenario.flags.len()];
    let mut world = World::new(&scenario, 1);
    let mut feed = Feed::default();
    bencher.counter(ItemsCount::new(scenario.flags.len())).bench_local(|| {
        world.step(black_box(&rollouts), &mut feed);
        feed.samples.len()
    });
}

/// A thousand flags: the budget's case.
#[divan::bench]
fn fleet_1000(bencher: Bencher) {
    step(bencher, "fleet-1000");
}

/// Sixteen flags with most kinds of faults.
#[divan::bench]
fn default_scene(bencher: Bencher) {
    step(bencher, "default");
}

/// One good flag: what training steps most.
#[divan::bench]
fn good(bencher: Bencher) {
    step(bencher, "good");
}

/// Making a world, which training does at every reset.
#[divan::bench]
fn new_world(bencher: Bencher) {
    let scenario = Scenario::builtin("good").and_then(|text| Scenario::parse(text, "good").ok());
    let Some(scenario) = scenario else { return };
    bencher.bench_local(|| World::new(black_box(&scenario), 1));
}
