//! Whatever happens to an engine, a snapshot with every change applied equals a fresh one: in memory and through the wire.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use proptest::{prelude::*, sample::Index};

use super::*;
use crate::{
    Log, ScheduledStart, Setup,
    backend::wire::{CHANGE, Decoder, Encoder, SNAPSHOT},
};
use knightwatch_agent::PolicyName;
use knightwatch_core::{
    control::{Actor, AlarmId, ControlConfig, DeployKind, OrderId, Seq, SpecChange},
    flag::{Deployment, FlagKey, FlagKind, Ladder, Rollout, ServiceName},
    telemetry::Sample,
};
use knightwatch_sim::{Scenario, World};
use knightwatch_store::StoreError;

/// A journal in memory, which takes nothing while `full`.
#[derive(Clone, Default)]
struct Disk {
    entries: Arc<Mutex<Vec<Entry>>>,
    full: Arc<AtomicBool>,
}

impl Disk {
    fn write(&self, entries: &[Entry]) -> Result<(), StoreError> {
        if self.full.load(Ordering::Relaxed) {
            return Err(StoreError::NotDurable { path: "disk".into(), detail: "it is full".to_owned() });
        }
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(entries);
        Ok(())
    }

    fn read(&self) -> Vec<Entry> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Log for Disk {
    fn append(&mut self, _: Option<(&OrderId, &str)>, entries: &[Entry]) -> Result<(), StoreError> {
        self.write(entries)
    }

    fn append_tick(&mut self, entries: &[Entry], _: Millis, _: &[Sample]) -> Result<(), StoreError> {
        self.write(entries)
    }

    fn outcome(&self, _: &OrderId) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    fn recover(&mut self) -> Result<Seq, StoreError> {
        self.write(&[])?;
        Ok(self.read().last().map_or(Seq(0), |entry| entry.seq))
    }

    fn before(&self, before: Option<Seq>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let mut entries = self.read();
        entries.retain(|entry| before.is_none_or(|before| entry.seq < before));
        Ok(entries.split_off(entries.len().saturating_sub(limit)))
    }

    fn all(&self) -> Result<Vec<Entry>, StoreError> {
        Ok(self.read())
    }
}

/// Somebody at the other end of a wire.
struct Remote {
    decoder: Decoder,
    seen: Arc<Snapshot>,
}

impl Remote {
    fn join(snapshot: &Snapshot) -> Self {
        let mut decoder = Decoder::default();
        let text = Encoder::snapshot(snapshot).unwrap();
        let Update::Snapshot(seen) = decoder.decode(SNAPSHOT, &text).unwrap() else {
            panic!("not a snapshot")
        };
        Self { decoder, seen }
    }

    fn hear(&mut self, text: &str) {
        let Update::Change(change) = self.decoder.decode(CHANGE, text).unwrap() else {
            panic!("not a change")
        };
        Arc::make_mut(&mut self.seen).apply(&change);
    }
}

/// An engine, its observer, and those who were told of it.
struct Fleet {
    engine: Engine,
    disk: Disk,
    views: Views,
    pace: Pace,
    orders: usize,
    memory: Snapshot,
    encoder: Encoder,
    remotes: Vec<Remote>,
}

impl Fleet {
    fn new() -> Self {
        let scenario = Scenario::parse(Scenario::builtin("default").unwrap(), "default").unwrap();
        let (disk, pace) = (Disk::default(), Pace::Stopped);
        let scheduled_starts = scenario.scheduled_starts().iter().map(|scheduled| ScheduledStart {
            at: scenario.start + scheduled.at,
            flag: scheduled.flag,
            operator: scheduled.operator.clone(),
        });
        let setup = Setup {
            environment: "test".to_owned(),
            source_name: "a test".to_owned(),
            seed: Some(1),
            config: ControlConfig { interval: scenario.interval, ..ControlConfig::default() },
            specs: scenario.specs(),
            scheduled_starts: scheduled_starts.collect(),
            source: Box::new(World::new(&scenario, 1)),
            log: Box::new(disk.clone()),
            policy: PolicyName::RULE.build(1),
            shadow: None,
        };
        let engine = Engine::begin(setup).unwrap();
        let about = "a test".to_owned();
        let options = EmbeddedOptions { pace, about, simulated: true, fast_forward: Millis::ZERO };
        let views = Views::new(&engine, options, Subscribers::default(), None);
        let memory = views.snapshot(&engine, pace);
        let mut encoder = Encoder::default();
        encoder.start_from(&memory).unwrap();
        let remotes = vec![Remote::join(&memory)];
        Self { engine, disk, views, pace, orders: 0, memory, encoder, remotes }
    }

    /// What the engine's loop does after something has happened. Everybody must know all of it.
    fn happened(&mut self, news: &[Entry], ticked: bool) -> (Change, String) {
        self.views.remember(&self.engine, news, ticked);
        let change = self.views.change(&self.engine, self.pace, news, ticked);
        self.memory.apply(&change);
        let text = self.encoder.change(&change).unwrap();
        let fresh = self.views.snapshot(&self.engine, self.pace);
        assert_eq!(self.memory, fresh, "in memory");
        for remote in &mut self.remotes {
            remote.hear(&text);
            assert_eq!(*remote.seen, fresh, "through the wire");
        }
        (change, text)
    }

    fn tick(&mut self) -> (Change, String) {
        let news = self.engine.step();
        self.happened(&news, true)
    }

    /// Whether it was carried out.
    fn order(&mut self, command: Command) -> bool {
        self.orders += 1;
        let order = Order {
            id: OrderId(self.orders.to_string()),
            actor: Actor::Person("ada".to_owned()),
            authenticated: None,
            reason: "a test".to_owned(),
            expected: None,
            command,
        };
        let done = self.engine.order(&order);
        if let Ok((_, news)) = &done {
            self.happened(news, false);
        }
        done.is_ok()
    }

    fn key(&self, index: Index) -> FlagKey {
        index.get(&self.engine.state().flags).spec.key.clone()
    }

    fn spec(&self, deployment: Option<Deployment>) -> FlagSpec {
        FlagSpec {
            key: format!("flag-{}", self.orders).parse().unwrap(),
            service: ServiceName("shop".into()),
            kind: FlagKind::Requests,
            description: String::new(),
            ladder: Ladder::default(),
            deployment,
        }
    }

    fn act(&mut self, step: &Step) {
        match step {
            Step::Ticks(count) => {
                for _ in 0..*count {
                    if !self.engine.done() {
                        self.tick();
                    }
                }
            }
            Step::Pace(pace) => {
                self.pace = *pace;
                self.happened(&[], false);
            }
            Step::Join => self.remotes.push(Remote::join(&self.memory)),
            Step::Disk { full } => self.disk.full.store(*full, Ordering::Relaxed),
            Step::Create { waits } => {
                let spec = self.spec(waits.then(shop));
                self.order(Command::Create { spec });
            }
            Step::OfFlag(command, flag) => {
                let command = command(self.key(*flag));
                self.order(command);
            }
            Step::OfAlarm(command, alarm) => {
                if let Some(alarm) = self.engine.state().alarms.get(alarm.index(8)) {
                    let command = command(alarm.id);
                    self.order(command);
                }
            }
            Step::Order(command) => {
                self.order(command.clone());
            }
        }
    }
}

fn shop() -> Deployment {
    Deployment { service: ServiceName("shop".into()), artifact: None }
}

#[derive(Clone, Debug)]
enum Step {
    Ticks(u8),
    Pace(Pace),
    /// Somebody else begins to listen.
    Join,
    Disk {
        full: bool,
    },
    Create {
        waits: bool,
    },
    OfFlag(fn(FlagKey) -> Command, Index),
    OfAlarm(fn(AlarmId) -> Command, Index),
    Order(Command),
}

fn of_flag() -> impl Strategy<Value = Step> {
    let commands: Vec<fn(FlagKey) -> Command> = vec![
        |flag| Command::Start { flag },
        |flag| Command::Pause { flag },
        |flag| Command::Resume { flag },
        |flag| Command::Rollback { flag },
        |flag| Command::Promote { flag },
        |flag| Command::Release { flag },
        |flag| Command::Archive { flag },
        |flag| Command::Set {
            flag,
            rollout: Rollout::from_percent(12.0).unwrap(),
            expires_in: Some(Millis::from_secs(60)),
            guard_off: true,
        },
        |flag| Command::Change {
            flag,
            change: SpecChange { deployment: Some(Some(shop())), ..SpecChange::default() },
        },
        |flag| Command::Change {
            flag,
            change: SpecChange {
                description: Some("for whom".to_owned()),
                deployment: Some(None),
                ..SpecChange::default()
            },
        },
    ];
    (prop::sample::select(commands), any::<Index>()).prop_map(|(command, flag)| Step::OfFlag(command, flag))
}

fn of_alarm() -> impl Strategy<Value = Step> {
    let commands: Vec<fn(AlarmId) -> Command> = vec![|alarm| Command::Acknowledge { alarm }, |alarm| {
        Command::Shelve { alarm, lasts: Millis::from_secs(60) }
    }];
    (prop::sample::select(commands), any::<Index>())
        .prop_map(|(command, alarm)| Step::OfAlarm(command, alarm))
}

fn step() -> impl Strategy<Value = Step> {
    let orders = vec![
        Command::KillAll,
        Command::Rearm { environment: "test".to_owned() },
        Command::Deployed { kind: DeployKind::Deployed, what: shop() },
        Command::Definitions { fault: Some("a bad file".to_owned()) },
        Command::Definitions { fault: None },
        Command::AcknowledgeBriefing,
    ];
    prop_oneof![
        6 => (1_u8..20).prop_map(Step::Ticks),
        8 => of_flag(),
        2 => of_alarm(),
        2 => any::<bool>().prop_map(|waits| Step::Create { waits }),
        3 => prop::sample::select(orders).prop_map(Step::Order),
        1 => prop::sample::select(vec![Pace::Real, Pace::Times(60), Pace::Stopped]).prop_map(Step::Pace),
        1 => Just(Step::Join),
        1 => any::<bool>().prop_map(|full| Step::Disk { full }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_snapshot_with_every_change_applied_equals_a_fresh_one(
        steps in prop::collection::vec(step(), 1..50)
    ) {
        let mut fleet = Fleet::new();
        for step in &steps {
            fleet.act(step);
        }
    }
}

#[test]
fn more_points_and_entries_than_are_kept() {
    let mut fleet = Fleet::new();
    let begun = fleet.memory.entries.len();
    for _ in 0..NEWEST {
        let spec = fleet.spec(None);
        assert!(fleet.order(Command::Create { spec }));
    }
    assert_eq!(fleet.memory.entries.len(), NEWEST);
    assert_eq!(fleet.memory.entries[0].seq, Seq(begun as u64 + 1));
    for _ in 0..250 {
        fleet.tick();
    }
    assert_eq!(fleet.memory.history[0].len(), 240);
}

#[test]
fn what_no_longer_fits_among_the_newest_entries_is_given_back() {
    let mut fleet = Fleet::new();
    let first = fleet.memory.entries[0].clone();
    let mut change = fleet.views.change(&fleet.engine, fleet.pace, &[], false);
    change.entries = vec![first.clone(); NEWEST];
    let before = fleet.memory.entries.clone();
    assert_eq!(fleet.memory.apply(&change), before);
    assert_eq!(fleet.memory.entries, change.entries);
}

#[test]
fn a_tick_is_told_in_much_less_than_all_flags() {
    let mut fleet = Fleet::new();
    for _ in 0..30 {
        fleet.tick();
    }
    let (mut patches, mut whole) = (0, 0);
    for _ in 0..30 {
        let (change, text) = fleet.tick();
        patches += text.len();
        whole += serde_json::to_string(&change).unwrap().len();
    }
    assert!(patches * 2 < whole, "{patches} of {whole} bytes");
}
