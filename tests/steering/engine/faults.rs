//! One seeded simulation: a disk that fails, lies and comes back at random, restarts at any point, people who order at
//! random. After each step what must always hold is looked at.

use std::collections::BTreeMap;

use knightwatch_agent::PolicyName;
use knightwatch_core::{
    control::{Command, Entry, Event, Order, Seq},
    flag::FlagKey,
};
use knightwatch_engine::{Ack, Engine, OrderError};
use rand::{Rng, RngExt, SeedableRng, seq::IndexedRandom};
use rand_pcg::Pcg64;

use super::disk::{Disk, begun, folded, order, rearm, resumed, scenario, set};

/// No raise has a number above a kill-all's until a person has re-armed.
fn nothing_raised_while_latched(entries: &[Entry]) {
    let mut latched: Option<Seq> = None;
    for entry in entries {
        match entry.event {
            Event::KilledAll { .. } => latched = Some(entry.seq),
            Event::Rearmed => latched = None,
            _ => assert!(!(latched.is_some() && entry.event.is_raise()), "{latched:?}: {entry:?}"),
        }
    }
}

fn any_command(random: &mut impl Rng, keys: &[FlagKey]) -> Command {
    let flag = keys.choose(random).unwrap().clone();
    match random.random_range(0..10) {
        0 => Command::KillAll,
        1 | 2 => rearm(),
        3 | 4 => Command::Start { flag },
        5 => Command::Pause { flag },
        6 => Command::Resume { flag },
        7 => Command::Rollback { flag },
        8 => Command::Release { flag },
        _ => set(&flag, f64::from(random.random_range(0..100_u32))),
    }
}

/// What was answered, as the person remembers it.
type Answered = BTreeMap<String, (Order, Ack)>;

fn check(seed: u64, engine: &Engine, disk: &Disk, answered: &Answered) {
    let inner = disk.get();
    let numbers: Vec<u64> = inner.entries.iter().map(|entry| entry.seq.0).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "seed {seed}: no gaps on disk");
    nothing_raised_while_latched(&inner.entries);
    for (order, ack) in answered.values().filter(|(_, ack)| ack.durable) {
        assert!(inner.answers.contains_key(&order.id), "seed {seed}: {} was acknowledged", order.id);
        assert!(ack.seq.0 <= inner.entries.len() as u64, "seed {seed}: {ack:?}");
    }
    drop(inner);
    let shown = engine.entries(None, usize::MAX).unwrap();
    assert_eq!(folded(&shown), *engine.state(), "seed {seed}: the state is the fold of what is shown");
}

fn lived_through(seed: u64) {
    let mut random = Pcg64::seed_from_u64(seed);
    let scene = scenario("default");
    let world = random.random_range(0..1_000);
    let keys: Vec<FlagKey> = scene.flags.iter().map(|flag| flag.spec.key.clone()).collect();
    let disk = Disk::default();
    let mut engine = begun(&scene, world, &disk);
    let mut answered = Answered::new();
    for step in 0..150 {
        if random.random_bool(0.1) {
            let (failing, lands) = (random.random_bool(0.6), random.random_bool(0.5));
            let mut inner = disk.get();
            (inner.failing, inner.lands) = (failing, lands);
        }
        if random.random_bool(0.2) {
            let order = order(&format!("order-{step}"), any_command(&mut random, &keys));
            let before = engine.state().clone();
            match engine.order(&order) {
                Ok((ack, _)) => {
                    assert!(ack.durable || order.command == Command::KillAll, "seed {seed}: {ack:?}");
                    answered.insert(order.id.0.clone(), (order, ack));
                }
                Err(OrderError::NotDurable(_)) => {
                    assert!(before.seq <= engine.state().seq, "seed {seed}: numbers never go back");
                    assert_eq!(before.latch.is_some(), engine.state().latch.is_some(), "seed {seed}");
                }
                Err(OrderError::Refused(_)) => {}
                Err(other) => panic!("seed {seed}: {other}"),
            }
            check(seed, &engine, &disk, &answered);
        }
        if random.random_bool(0.1)
            && let Some((order, ack)) = answered.values().nth(random.random_range(0..answered.len().max(1)))
        {
            let (again, news) = engine.order(order).unwrap();
            assert!(
                news.iter()
                    .all(|entry| !matches!(entry.event, Event::KilledAll { .. }) || again.seq != entry.seq)
                    && (again.done == ack.done),
                "seed {seed}: {} acts once: {ack:?}, {again:?}",
                order.id
            );
        }
        if random.random_bool(0.02) {
            // What was in force without a disk ends with its process; nobody was told that it was durable.
            drop(engine);
            answered.retain(|_, (order, ack)| ack.durable || disk.get().answers.contains_key(&order.id));
            engine = resumed(&scene, world, PolicyName::RULE, &disk);
            assert_eq!(*engine.state(), disk.state(), "seed {seed}: nothing else than what is on the disk");
        }
        engine.step();
        check(seed, &engine, &disk, &answered);
    }
    disk.fail(false);
    engine.step();
    assert_eq!(disk.state(), *engine.state(), "seed {seed}: the outbox is flushed");
    for (order, _) in answered.values() {
        assert!(disk.get().answers.contains_key(&order.id), "seed {seed}: {}", order.id);
    }
}

#[test]
fn whatever_the_disk_does_what_was_acknowledged_stands_and_nothing_acts_twice() {
    for seed in 0..60 {
        lived_through(seed);
    }
}
