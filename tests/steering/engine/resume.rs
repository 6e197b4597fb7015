//! A session goes on exactly where it was left, and plays back as it was.

use knightwatch_agent::PolicyName;
use knightwatch_core::{
    control::{AlarmKind, Command, ControlConfig, Entry, State},
    telemetry::Millis,
};
use knightwatch_engine::{Engine, OrderError, Recorded};
use knightwatch_sim::Episode;
use proptest::{prelude::*, sample::select};

use super::disk::{Disk, checkout, folded, order, rearm, resumed, scenario, set, setup, steps};

const SCENES: [&str; 5] = ["good", "error-spike", "telemetry-gaps", "late-and-skewed", "default"];

/// What people do in a session: at which step, what.
fn people() -> impl Strategy<Value = Vec<(usize, Command)>> {
    let command = select(vec![
        Command::KillAll,
        rearm(),
        Command::Start { flag: checkout() },
        Command::Pause { flag: checkout() },
        Command::Resume { flag: checkout() },
        set(&checkout(), 20.0),
        Command::Release { flag: checkout() },
    ]);
    proptest::collection::vec((0..STEPS, command), 0..6)
}

const STEPS: usize = 90;

/// Lives through the steps in `range`; what people order comes before its step.
fn live(engine: &mut Engine, people: &[(usize, Command)], range: std::ops::Range<usize>) {
    for step in range {
        for (number, (_, command)) in people.iter().enumerate().filter(|(_, (at, _))| *at == step) {
            // Refused or not is no matter here: it has to be the same.
            let _ = engine.order(&order(&format!("order-{number}"), command.clone()));
        }
        engine.step();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn stopping_and_resuming_anywhere_makes_no_difference(
        seed in 0..1_000_u64,
        scene in select(SCENES.to_vec()),
        policy in select(PolicyName::STEERING.to_vec()),
        mut stops in proptest::collection::vec(0..STEPS, 1..4),
        people in people(),
    ) {
        let scene = scenario(scene);
        let whole = Disk::default();
        let mut engine = Engine::begin(setup(&scene, seed, policy.build(seed), Box::new(whole.clone()))).unwrap();
        live(&mut engine, &people, 0..STEPS);

        let parts = Disk::default();
        let mut part = Engine::begin(setup(&scene, seed, policy.build(seed), Box::new(parts.clone()))).unwrap();
        stops.sort_unstable();
        let mut from = 0;
        for stop in stops {
            live(&mut part, &people, from..stop);
            drop(part);
            part = resumed(&scene, seed, policy, &parts);
            prop_assert_eq!(part.state(), &parts.state());
            from = stop;
        }
        live(&mut part, &people, from..STEPS);
        prop_assert_eq!(parts.entries(), whole.entries());
        prop_assert_eq!(part.state(), engine.state());
        prop_assert_eq!(part.now(), engine.now());
        prop_assert_eq!(&parts.get().ticks, &whole.get().ticks);
    }
}

#[test]
fn a_scheduled_start_that_was_due_when_the_session_was_left_still_comes() {
    // The flag is started at 30 s: after three intervals the next step begins with it.
    let (scene, disk) = (scenario("good"), Disk::default());
    let mut engine = super::disk::begun(&scene, 1, &disk);
    steps(&mut engine, 3);
    assert_eq!(engine.state().flags[0].ramp, 0);
    drop(engine);
    let mut engine = resumed(&scene, 1, PolicyName::RULE, &disk);
    steps(&mut engine, 1);
    assert_eq!(engine.state().flags[0].ramp, 1);
    drop(engine);
    let mut engine = resumed(&scene, 1, PolicyName::RULE, &disk);
    steps(&mut engine, 5);
    assert_eq!(engine.state().flags[0].ramp, 1, "and once only");
}

#[test]
fn the_latch_is_still_set_after_a_restart() {
    let (scene, disk) = (scenario("good"), Disk::default());
    let mut engine = super::disk::begun(&scene, 1, &disk);
    steps(&mut engine, 40);
    engine.order(&order("kill", Command::KillAll)).unwrap();
    let latch = engine.state().latch.clone();
    drop(engine);
    let mut engine = resumed(&scene, 1, PolicyName::RANDOM, &disk);
    assert_eq!(engine.state().latch, latch);
    let news = steps(&mut engine, 40);
    assert!(news.iter().all(|entry| !entry.event.is_raise()), "{news:?}");
    let refused = engine.order(&order("start", Command::Start { flag: checkout() })).unwrap_err();
    assert!(matches!(refused, OrderError::Refused(_)), "{refused}");
}

#[test]
fn time_does_not_go_back_over_a_restart_after_a_failing_disk() {
    let (scene, disk) = (scenario("good"), Disk::default());
    let mut engine = super::disk::begun(&scene, 1, &disk);
    steps(&mut engine, 10);
    disk.fail(true);
    steps(&mut engine, 10);
    disk.fail(false);
    // Paid by the order, before another tick is recorded.
    engine.order(&order("kill", Command::KillAll)).unwrap();
    let (now, state) = (engine.now(), engine.state().clone());
    drop(engine);
    let engine = resumed(&scene, 1, PolicyName::RULE, &disk);
    assert_eq!(engine.now(), now);
    assert_eq!(*engine.state(), state);
}

#[test]
fn a_recorded_session_plays_back_step_by_step_as_it_was() {
    for name in SCENES {
        let (scene, disk) = (scenario(name), Disk::default());
        let mut engine = super::disk::begun(&scene, 5, &disk);
        let mut evidence = Vec::new();
        for step in 0..STEPS {
            if step == 60 {
                engine.order(&order("kill", Command::KillAll)).unwrap();
            }
            engine.step();
            let reports = engine
                .state()
                .flags
                .iter()
                .map(|flag| engine.telemetry_state().report(flag.id).unwrap().clone());
            evidence.push((engine.now(), reports.collect::<Vec<_>>()));
        }
        let entries = disk.entries();
        let recorded = Recorded::new(scene.start, disk.get().ticks.clone(), entries.clone());
        let config = ControlConfig { interval: scene.interval, ..ControlConfig::default() };
        let mut played = Engine::playback(recorded, config, "recorded".to_owned());
        let mut news: Vec<Entry> = Vec::new();
        for (at, reports) in evidence {
            assert!(!played.done());
            news.extend(played.step());
            assert_eq!(played.now(), at);
            assert_eq!(*played.state(), until(&entries, at), "{name}");
            for (flag, report) in played.state().flags.iter().zip(&reports) {
                // Readings rejected on entry are counted, not recorded.
                let mut seen = played.telemetry_state().report(flag.id).unwrap().clone();
                seen.rejected = report.rejected;
                assert_eq!(seen, *report, "{name} at {at}");
            }
            assert_eq!(played.entries(None, usize::MAX).unwrap(), news, "the journal so far");
        }
        assert!(played.done() && played.step().is_empty());
        assert_eq!(news, entries);
        let refused = played.order(&order("kill", Command::KillAll)).unwrap_err();
        assert!(matches!(refused, OrderError::NotSent(_)), "a recording cannot be changed: {refused}");
    }
}

fn until(entries: &[Entry], at: Millis) -> State {
    let past = entries.iter().take_while(|entry| entry.at <= at).count();
    folded(&entries[..past])
}

#[test]
fn the_engine_decides_what_simulate_decides() {
    for (name, policy) in SCENES.into_iter().zip(PolicyName::STEERING.into_iter().cycle()) {
        let (scene, disk) = (scenario(name), Disk::default());
        let mut engine = Engine::begin(setup(&scene, 11, policy.build(11), Box::new(disk.clone()))).unwrap();
        while !engine.done() {
            engine.step();
        }
        let config = ControlConfig::default();
        let episode = Episode::run(&scene, 11, policy.build(11).as_mut(), &config, |_| {});
        let events = |entries: &[Entry]| -> Vec<_> {
            entries
                .iter()
                .skip(1)
                .map(|entry| (entry.seq, entry.at, entry.actor.clone(), entry.event.clone()))
                .collect()
        };
        assert_eq!(events(&disk.entries()), events(&episode.journal), "{name} under {policy}");
        assert!(engine.state().alarm(&AlarmKind::NotDurable).is_none());
    }
}
