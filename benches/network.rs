//! PPO-Master on the 10 000 flags of a tick: the network alone (budget 0.5 µs a flag), its features, and the whole
//! proposal with and without explanations. The second column is what the items cost: flags a second.
#![allow(missing_docs, clippy::unwrap_used, clippy::cast_precision_loss, reason = "a benchmark")]

use std::{hint::black_box, sync::Arc};

use divan::{Bencher, counter::ItemsCount};
use knightwatch_agent::{
    Features, HarmWeight, MAX_EXPLAINED, Memory, NetworkOutput, PpoMaster, Weights, features,
};
use knightwatch_core::{
    control::{ActionMask, Observation, Phase, Policy},
    flag::{FlagId, Ladder, Rollout},
    telemetry::{ArmStats, MetricEvidence, Millis, Verdict, WindowReport},
};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

const FLAGS: u32 = 10_000;

fn main() {
    divan::main();
}

/// The shipped weights; `hold` and `raise` are added to the logits of holding and of the smallest raise.
fn weights(hold: f32, raise: f32) -> Weights {
    let shipped = PpoMaster::shipped().weights().as_ref().unwrap().clone();
    let mut parameters = shipped.parameters.clone();
    parameters.policy.1[2] += hold;
    parameters.policy.1[3] += raise;
    Weights::new(parameters, shipped.normaliser.clone(), shipped.training.clone())
}

fn inputs() -> Vec<Features> {
    let mut random = Pcg64::seed_from_u64(2);
    (0..FLAGS).map(|_| std::array::from_fn(|_| random.random_range(-3.0..3.0))).collect()
}

#[divan::bench(sample_count = 50)]
fn the_network_on_all_flags_at_once(bencher: Bencher<'_, '_>) {
    let (network, inputs) = (weights(0.0, 0.0).network, inputs());
    let mut answers: Vec<NetworkOutput> = Vec::new();
    bencher.counter(ItemsCount::new(FLAGS)).bench_local(|| {
        answers.clear();
        network.answers(black_box(&inputs), &mut answers);
        black_box(answers.len())
    });
}

#[divan::bench(sample_count = 50)]
fn the_network_on_one_flag_after_another(bencher: Bencher<'_, '_>) {
    let (network, inputs) = (weights(0.0, 0.0).network, inputs());
    bencher.counter(ItemsCount::new(FLAGS)).bench_local(|| {
        for input in black_box(&inputs) {
            black_box(network.answer(input));
        }
    });
}

/// What is seen of the flags of a tick: all at 25 %, healthy.
struct Fleet {
    ladder: Ladder,
    report: WindowReport,
    latest: [Option<ArmStats>; 2],
}

impl Fleet {
    fn new() -> Self {
        let arm = |requests, errors| ArmStats { requests, errors, p99_ms: Some(231.0) };
        let evidence = MetricEvidence {
            treatment: 0.0021,
            control: 0.0019,
            low: -0.0004,
            high: 0.0009,
            harm: 0.4,
            harm_needed: 6.9,
            health: 3.2,
            health_needed: 3.0,
            margin: 0.001,
        };
        let report = WindowReport {
            verdict: Verdict::Healthy,
            errors: evidence,
            p99: evidence,
            treatment: arm(12_000, 25),
            control: arm(36_000, 70),
            treatment_n: 20_000,
            control_n: 60_000,
            age: Some(Millis(0)),
            ..WindowReport::default()
        };
        Self { ladder: Ladder::default(), report, latest: [Some(arm(6_000, 12)), Some(arm(2_000, 4))] }
    }

    fn seen(&self) -> Vec<Observation<'_>> {
        let quarter = Rollout::from_percent(25.0).unwrap();
        let observation = |flag| Observation {
            flag: FlagId(flag),
            ramp: 1,
            now: Millis::from_secs(1_772_442_000),
            interval: Millis::from_secs(10),
            phase: Phase::Ramping,
            rollout: quarter,
            ladder: &self.ladder,
            since_change: Millis::from_secs(90),
            report: &self.report,
            latest: &self.latest,
            slower: None,
            moving_in_service: 3,
            mask: ActionMask { lower: true, raise_to: Some(self.ladder.above(quarter, 2)) },
        };
        (0..FLAGS).map(observation).collect()
    }
}

#[divan::bench(sample_count = 50)]
fn the_features_of_all_flags(bencher: Bencher<'_, '_>) {
    let fleet = Fleet::new();
    let observations = fleet.seen();
    let mut memories = vec![Memory::default(); FLAGS as usize];
    bencher.counter(ItemsCount::new(FLAGS)).bench_local(|| {
        for (seen, memory) in black_box(&observations).iter().zip(&mut memories) {
            black_box(features(seen, HarmWeight::default(), memory));
        }
    });
}

fn propose(bencher: Bencher<'_, '_>, weights: Weights, explained: usize) {
    let fleet = Fleet::new();
    let observations = fleet.seen();
    let mut policy = PpoMaster::new(Ok(Arc::new(weights)));
    let mut proposals = Vec::new();
    policy.propose(&observations, &mut proposals).unwrap();
    let found = proposals.iter().filter(|proposal| proposal.explanation.is_some()).count();
    assert_eq!(found, explained, "not what is to be measured");
    bencher.counter(ItemsCount::new(FLAGS)).bench_local(|| {
        proposals.clear();
        policy.propose(black_box(&observations), &mut proposals).unwrap();
        black_box(proposals.len())
    });
}

#[divan::bench(sample_count = 50)]
fn proposals_that_all_hold(bencher: Bencher<'_, '_>) {
    propose(bencher, weights(100.0, 0.0), 0);
}

#[divan::bench(sample_count = 50)]
fn proposals_that_all_raise_with_the_most_explanations(bencher: Bencher<'_, '_>) {
    propose(bencher, weights(0.0, 100.0), MAX_EXPLAINED);
}
