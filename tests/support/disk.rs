//! A journal in memory that fails on demand, in each of the ways a disk fails, and what else the tests of the engine
//! share: the engine on a shipped scenario, and orders.
#![allow(dead_code, clippy::unwrap_used, reason = "shared by several tests, each of which uses part of it")]

use std::{
    collections::BTreeMap,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, mpsc},
};

use knightwatch_agent::PolicyName;
use knightwatch_core::{
    control::{Actor, Command, ControlConfig, Entry, Order, OrderId, Policy, Seq, State},
    flag::{FlagKey, Rollout},
    telemetry::{Millis, Sample},
};
use knightwatch_engine::{Engine, Log, ScheduledStart, Setup};
use knightwatch_sim::{Scenario, World};
use knightwatch_store::StoreError;

/// What is on the disk, and how it behaves. Outlives the engine, as a disk does.
#[derive(Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<Inner>>);

#[derive(Default)]
pub(crate) struct Inner {
    pub(crate) entries: Vec<Entry>,
    pub(crate) answers: BTreeMap<OrderId, String>,
    pub(crate) ticks: Vec<(Millis, Vec<Sample>)>,
    /// Writes fail.
    pub(crate) failing: bool,
    /// A write that is reported as failed is on the disk all the same.
    pub(crate) lands: bool,
    /// After a failed write nothing more is taken until it was recovered.
    refusing: bool,
    /// Each write waits until something comes in here.
    pub(crate) gate: Option<mpsc::Receiver<()>>,
    /// What was asked of it, in order.
    pub(crate) calls: Vec<String>,
}

impl Disk {
    pub(crate) fn get(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    pub(crate) fn fail(&self, failing: bool) {
        self.get().failing = failing;
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.get().entries.clone()
    }

    /// The state that the journal on the disk comes to.
    pub(crate) fn state(&self) -> State {
        folded(&self.get().entries)
    }

    pub(crate) fn last_tick(&self) -> Option<Millis> {
        self.get().ticks.last().map(|(at, _)| *at)
    }

    /// A new process: whatever stood in the way of writing is gone.
    pub(crate) fn reopened(&self) -> Box<dyn Log> {
        let mut inner = self.get();
        (inner.failing, inner.refusing) = (false, false);
        drop(inner);
        Box::new(self.clone())
    }
}

pub(crate) fn folded(entries: &[Entry]) -> State {
    let mut state = State::default();
    for entry in entries {
        state.apply(entry);
    }
    state
}

fn broken() -> StoreError {
    StoreError::NotDurable { path: PathBuf::from("disk"), detail: "it is full".to_owned() }
}

impl Inner {
    fn write(
        &mut self,
        order: Option<(&OrderId, &str)>,
        entries: &[Entry],
        tick: Option<(Millis, &[Sample])>,
    ) -> Result<(), StoreError> {
        let numbers: Vec<String> = entries.iter().map(|entry| entry.seq.to_string()).collect();
        self.calls.push(format!("write {}", numbers.join(" ")).trim_end().to_owned());
        if let Some(gate) = &self.gate {
            gate.recv().unwrap();
        }
        if self.refusing {
            return Err(StoreError::Refusing { path: PathBuf::from("disk"), since: "it is full".to_owned() });
        }
        if let Some((id, _)) = order
            && let Some(outcome) = self.answers.get(id)
        {
            return Err(StoreError::Repeated { order: id.clone(), outcome: outcome.clone() });
        }
        for (expected, entry) in (self.entries.len() as u64 + 1..).map(Seq).zip(entries) {
            if entry.seq != expected {
                return Err(StoreError::OutOfOrder { expected, found: entry.seq });
            }
        }
        if !self.failing || self.lands {
            self.entries.extend_from_slice(entries);
            self.answers.extend(order.map(|(id, answer)| (id.clone(), answer.to_owned())));
            self.ticks.extend(tick.map(|(at, samples)| (at, samples.to_vec())));
        }
        if self.failing {
            self.refusing = true;
            return Err(broken());
        }
        self.calls.push("written".to_owned());
        Ok(())
    }
}

impl Log for Disk {
    fn append(&mut self, order: Option<(&OrderId, &str)>, entries: &[Entry]) -> Result<(), StoreError> {
        self.get().write(order, entries, None)
    }

    fn append_tick(&mut self, entries: &[Entry], at: Millis, samples: &[Sample]) -> Result<(), StoreError> {
        self.get().write(None, entries, Some((at, samples)))
    }

    fn outcome(&self, order: &OrderId) -> Result<Option<String>, StoreError> {
        Ok(self.get().answers.get(order).cloned())
    }

    fn recover(&mut self) -> Result<Seq, StoreError> {
        let mut inner = self.get();
        if inner.failing {
            return Err(broken());
        }
        inner.refusing = false;
        Ok(Seq(inner.entries.len() as u64))
    }

    fn before(&self, before: Option<Seq>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let mut entries = self.entries();
        entries.retain(|entry| before.is_none_or(|before| entry.seq < before));
        Ok(entries.split_off(entries.len().saturating_sub(limit)))
    }

    fn all(&self) -> Result<Vec<Entry>, StoreError> {
        Ok(self.entries())
    }
}

/// A log that cannot be read or written at all, as when its disk was pulled out.
pub(crate) struct Gone;

impl Log for Gone {
    fn append(&mut self, _: Option<(&OrderId, &str)>, _: &[Entry]) -> Result<(), StoreError> {
        Err(broken())
    }

    fn append_tick(&mut self, _: &[Entry], _: Millis, _: &[Sample]) -> Result<(), StoreError> {
        Err(broken())
    }

    fn outcome(&self, _: &OrderId) -> Result<Option<String>, StoreError> {
        Err(StoreError::Io { action: "read", path: PathBuf::from("disk"), source: io::Error::other("gone") })
    }

    fn recover(&mut self) -> Result<Seq, StoreError> {
        Err(broken())
    }

    fn before(&self, _: Option<Seq>, _: usize) -> Result<Vec<Entry>, StoreError> {
        Err(broken())
    }

    fn all(&self) -> Result<Vec<Entry>, StoreError> {
        Err(broken())
    }
}

/// A shipped scenario.
pub(crate) fn scenario(name: &str) -> Scenario {
    Scenario::parse(Scenario::builtin(name).unwrap(), name).unwrap()
}

/// What an engine on a scenario is made of.
pub(crate) fn setup(scenario: &Scenario, seed: u64, policy: Box<dyn Policy>, log: Box<dyn Log>) -> Setup {
    let scheduled_starts = scenario.scheduled_starts().iter().map(|scheduled| ScheduledStart {
        at: scenario.start + scheduled.at,
        flag: scheduled.flag,
        operator: scheduled.operator.clone(),
    });
    Setup {
        environment: "test".to_owned(),
        source_name: format!("scenario {} (seed {seed})", scenario.name),
        seed: Some(seed),
        config: ControlConfig { interval: scenario.interval, ..ControlConfig::default() },
        specs: scenario.specs(),
        scheduled_starts: scheduled_starts.collect(),
        source: Box::new(World::new(scenario, seed)),
        log,
        policy,
        shadow: None,
    }
}

/// A fresh engine under fixed rules.
pub(crate) fn begun(scenario: &Scenario, seed: u64, disk: &Disk) -> Engine {
    Engine::begin(setup(scenario, seed, PolicyName::RULE.build(seed), Box::new(disk.clone()))).unwrap()
}

/// The engine that goes on after a restart, on what is on the disk.
pub(crate) fn resumed(scenario: &Scenario, seed: u64, policy: PolicyName, disk: &Disk) -> Engine {
    let until = disk.last_tick().unwrap_or(scenario.start);
    Engine::resume(setup(scenario, seed, policy.build(seed), disk.reopened()), until).unwrap()
}

pub(crate) fn steps(engine: &mut Engine, count: usize) -> Vec<Entry> {
    (0..count).flat_map(|_| engine.step()).collect()
}

pub(crate) fn order(id: &str, command: Command) -> Order {
    Order {
        id: OrderId(id.to_owned()),
        actor: Actor::Person("ada".to_owned()),
        authenticated: None,
        reason: "a test".to_owned(),
        expected: None,
        command,
    }
}

pub(crate) fn set(flag: &FlagKey, percent: f64) -> Command {
    let rollout = Rollout::from_percent(percent).unwrap();
    Command::Set { flag: flag.clone(), rollout, expires_in: None, guard_off: false }
}

pub(crate) fn rearm() -> Command {
    Command::Rearm { environment: "test".to_owned() }
}

/// The only flag of the small scenarios.
pub(crate) fn checkout() -> FlagKey {
    "new-checkout-ui".parse().unwrap()
}

/// One flag whose treatment begins to fail, one request in twelve, in minute 12. Of its own, so that the shipped ones may
/// change.
pub(crate) fn spike() -> Scenario {
    let text = Scenario::builtin("good").unwrap().to_owned();
    let text = text + "\n[[flag.effect]]\nerrors_percent = 8\nfrom = \"12 min\"\n";
    Scenario::parse(&text, "spike").unwrap()
}
