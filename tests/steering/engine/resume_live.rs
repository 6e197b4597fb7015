//! An engine over a world that cannot be lived through again: what it knows after a restart, and what it waits for.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use knightwatch_agent::PolicyName;
use knightwatch_connect::{BatchId, Clock, Inlet, Push, PushConfig};
use knightwatch_core::{
    control::{Actor, AlarmKind, Command, ControlConfig, Phase},
    flag::{FlagId, FlagSpec, Ladder, ServiceName},
    telemetry::{Arm, Millis, Reading, Verdict},
};
use knightwatch_engine::{Engine, Setup};

use crate::support::disk::{Disk, folded, order};

const START: u64 = 1_772_442_000_000;

/// A real world whose time is set by hand.
struct World {
    inlet: Arc<Inlet>,
    elapsed: Arc<AtomicU64>,
    source: Option<Push>,
    sent: u32,
}

impl World {
    /// One with the wall clock at `wall`, and a journal that knows `least`.
    fn new(wall: u64, least: Millis) -> Self {
        let elapsed = Arc::new(AtomicU64::new(0));
        let hand = Arc::clone(&elapsed);
        let interval = ControlConfig::default().interval;
        let clock = Clock::driven(Millis(wall), least, interval, move || {
            Duration::from_millis(hand.load(Ordering::SeqCst))
        });
        let inlet = Inlet::new(clock, interval, PushConfig::default());
        let source = Some(Push::new(Arc::clone(&inlet)));
        Self { inlet, elapsed, source, sent: 0 }
    }

    fn setup(&mut self, disk: &Disk) -> Setup {
        let spec = FlagSpec {
            key: "f".parse().unwrap(),
            service: ServiceName("shop".into()),
            kind: knightwatch_core::flag::FlagKind::Requests,
            description: String::new(),
            ladder: Ladder::default(),
            deployment: None,
        };
        Setup {
            environment: "test".to_owned(),
            source_name: "applications".to_owned(),
            seed: None,
            config: ControlConfig::default(),
            specs: vec![spec],
            scheduled_starts: Vec::new(),
            source: Box::new(self.source.take().unwrap()),
            log: disk.reopened(),
            policy: PolicyName::RULE.build(1),
            shadow: None,
        }
    }

    /// An interval passes, in which the application sends of these arms; the engine closes it.
    fn interval(&mut self, engine: &mut Engine, arms: &[Arm]) {
        self.sent += 1;
        let sender = "web-1".into();
        let start = self.inlet.senders_now();
        let readings: Vec<Reading> = arms
            .iter()
            .map(|arm| Reading {
                flag: FlagId(0),
                arm: *arm,
                start,
                span: Millis(1),
                requests: 2_000.0 + f64::from(self.sent),
                errors: 2.0,
                latency: vec![(20.0, 1_900.0), (90.0, 100.0 + f64::from(self.sent))],
                assumed: false,
            })
            .collect();
        let taken = self.inlet.take(&BatchId { sender, sequence: u64::from(self.sent) }, &readings);
        assert!(taken.iter().all(Option::is_none), "{taken:?}");
        self.elapsed.fetch_add(10_000, Ordering::SeqCst);
        engine.step();
    }
}

/// A flag that was raised, half a day before the process was killed.
fn raised() -> (Disk, Millis) {
    let disk = Disk::default();
    let mut world = World::new(START + 2_500, Millis::ZERO);
    let mut engine = Engine::begin(world.setup(&disk)).unwrap();
    engine.order(&order("start", Command::Start { flag: "f".parse().unwrap() })).unwrap();
    for _ in 0..60 {
        if engine.state().flags[0].rollout.percent() > 1.0 {
            break;
        }
        world.interval(&mut engine, &[Arm::Control, Arm::Treatment]);
    }
    assert_eq!(engine.state().flags[0].phase, Phase::Ramping);
    assert!(engine.state().flags[0].rollout.percent() > 1.0);
    world.elapsed.fetch_add(12 * 3_600_000, Ordering::SeqCst);
    (disk, engine.now())
}

#[test]
fn it_knows_what_the_journal_says_holds_without_telemetry_and_resumes_with_it() {
    let (disk, now) = raised();
    let before = disk.state();
    let mut world = World::new(now.0 + 60_000, now);
    let mut engine = Engine::resume_live(world.setup(&disk)).unwrap();
    assert_eq!(*engine.state(), before, "nothing is declared twice");
    assert_eq!(engine.state().flags[0].rollout, before.flags[0].rollout);
    // Half a day at this rollout is not half a day without telemetry: nobody has looked yet.
    for _ in 0..3 {
        world.interval(&mut engine, &[Arm::Control]);
        let flag = &engine.state().flags[0];
        assert_eq!((flag.phase, flag.rollout), (Phase::Ramping, before.flags[0].rollout));
    }
    for _ in 0..30 {
        world.interval(&mut engine, &[Arm::Control, Arm::Treatment]);
    }
    assert!(engine.state().flags[0].rollout > before.flags[0].rollout, "it goes on when telemetry is fresh");
    assert_eq!(*engine.state(), folded(&disk.entries()));
}

#[test]
fn telemetry_that_never_comes_back_is_lost_and_pauses_after_the_deadline() {
    let (disk, now) = raised();
    let mut world = World::new(now.0, now);
    let mut engine = Engine::resume_live(world.setup(&disk)).unwrap();
    world.interval(&mut engine, &[]);
    assert_eq!(engine.telemetry_state().report(FlagId(0)).unwrap().verdict, Verdict::Lost);
    assert!(engine.state().alarm(&AlarmKind::TelemetryLost("f".parse().unwrap())).is_some());
    for _ in 0..28 {
        world.interval(&mut engine, &[]);
        assert_eq!(engine.state().flags[0].phase, Phase::Ramping);
    }
    for _ in 0..3 {
        world.interval(&mut engine, &[]);
    }
    assert_eq!(engine.state().flags[0].phase, Phase::Paused);
}

#[test]
fn a_clock_that_was_set_back_does_not_take_time_back() {
    let (disk, now) = raised();
    let mut world = World::new(now.0 - 3_600_000, now);
    let mut engine = Engine::resume_live(world.setup(&disk)).unwrap();
    assert!(engine.now() >= now);
    let last = disk.last_tick().unwrap();
    world.interval(&mut engine, &[Arm::Control, Arm::Treatment]);
    assert!(disk.last_tick().unwrap() > last, "ticks go on in order");
    let window = engine.telemetry_state().window(FlagId(0)).unwrap();
    assert!(window.latest().iter().all(Option::is_some), "senders that are right are understood");
}

#[test]
fn a_flag_that_is_made_while_it_runs_is_steered_like_any_other() {
    let disk = Disk::default();
    let mut world = World::new(START, Millis::ZERO);
    let mut setup = world.setup(&disk);
    let spec = setup.specs.pop().unwrap();
    let mut engine = Engine::begin(setup).unwrap();
    world.interval(&mut engine, &[]);
    engine.order(&order("create", Command::Create { spec })).unwrap();
    engine.order(&order("start", Command::Start { flag: "f".parse().unwrap() })).unwrap();
    for _ in 0..60 {
        world.interval(&mut engine, &[Arm::Control, Arm::Treatment]);
    }
    assert!(engine.state().flags[0].rollout.percent() > 1.0);
    let raised = disk.entries().into_iter().find(|entry| entry.event.kind() == "raise").unwrap();
    assert_eq!(raised.actor, Actor::Agent);
}
