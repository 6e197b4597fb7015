//! A small fleet with a sampler of its own, for tests of control: each arm's requests fail and are slow by the rates
//! that the test sets. The simulator proper is not used here, so that neither hides a mistake of the other.
#![allow(dead_code, clippy::unwrap_used, reason = "shared by several tests, each of which uses part of it")]

use knightwatch_core::{
    control::{
        Actor, Command, ControlConfig, Entry, Event, Happened, Moment, Order, OrderId, Policy, Refusal, Seq,
        State, TelemetryState, decide, tick,
    },
    flag::{FlagId, FlagKey, FlagSpec, Rollout, ServiceName},
    telemetry::{Arm, Feed, Histogram, Millis, Sample},
};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

/// How one flag behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Behaviour {
    pub(crate) requests: u32,
    pub(crate) errors_control: f64,
    pub(crate) errors_treatment: f64,
    /// Multiplies treatment's latencies.
    pub(crate) slower: f64,
    /// Multiplies control's.
    pub(crate) slower_control: f64,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            requests: 2_000,
            errors_control: 0.002,
            errors_treatment: 0.002,
            slower: 1.0,
            slower_control: 1.0,
        }
    }
}

pub(crate) struct Fleet {
    pub(crate) state: State,
    pub(crate) telemetry_state: TelemetryState,
    pub(crate) config: ControlConfig,
    pub(crate) journal: Vec<Entry>,
    pub(crate) behaviours: Vec<Behaviour>,
    pub(crate) now: Millis,
    orders: u64,
    rng: Pcg64,
}

pub(crate) const INTERVAL: Millis = Millis::from_secs(10);

impl Fleet {
    pub(crate) fn new(flags: usize, seed: u64) -> Self {
        let mut fleet = Self {
            state: State::default(),
            telemetry_state: TelemetryState::new(),
            config: ControlConfig::default(),
            journal: Vec::new(),
            behaviours: vec![Behaviour::default(); flags],
            now: Millis::from_secs(1_772_442_000),
            orders: 0,
            rng: Pcg64::seed_from_u64(seed),
        };
        let started = Event::SessionStarted {
            environment: "test".to_owned(),
            source: "fleet".to_owned(),
            policy: "test".to_owned(),
            seed: Some(seed),
            settings: None,
        };
        let mut happened = vec![(Actor::System, started)];
        for index in 0..flags {
            let spec = FlagSpec {
                key: key(index),
                service: ServiceName(format!("service-{}", index % 3).into()),
                kind: knightwatch_core::flag::FlagKind::Requests,
                description: String::new(),
                ladder: knightwatch_core::flag::Ladder::default(),
                deployment: None,
            };
            happened.push((Actor::System, Event::Created { spec }));
        }
        fleet.keep(happened, "");
        fleet
    }

    pub(crate) fn keep(&mut self, happened: Vec<Happened>, note: &str) -> Vec<Entry> {
        let entries = self.state.entries(self.now, happened, note);
        for entry in &entries {
            assert_eq!(entry.seq, Seq(self.state.seq.0 + 1), "numbers have no gaps");
            self.state.apply(entry);
        }
        self.journal.extend(entries.iter().cloned());
        entries
    }

    pub(crate) fn order(&mut self, command: Command) -> Result<Vec<Entry>, Refusal> {
        self.order_by("ada", None, "because", command)
    }

    /// An order by somebody who says to be `name`, and authenticated as `who`.
    pub(crate) fn order_by(
        &mut self,
        name: &str,
        who: Option<&str>,
        reason: &str,
        command: Command,
    ) -> Result<Vec<Entry>, Refusal> {
        self.orders += 1;
        let order = Order {
            id: OrderId(format!("order-{}", self.orders)),
            actor: Actor::Person(name.to_owned()),
            authenticated: who.map(str::to_owned),
            reason: reason.to_owned(),
            expected: None,
            command,
        };
        let granted = decide(&self.state, &self.telemetry_state, &self.config, self.now, &order)?;
        Ok(self.keep(granted.happened, &order.reason))
    }

    pub(crate) fn start_all(&mut self) {
        self.config.shield.exposure.fleet = 1e9;
        for index in 0..self.state.flags.len() {
            self.order(Command::Start { flag: key(index) }).unwrap();
        }
    }

    /// The telemetry of the next interval.
    pub(crate) fn feed(&mut self) -> Feed {
        let mut feed = Feed::default();
        for index in 0..self.state.flags.len() {
            let behaviour = self.behaviours[index];
            let rollout = self.state.flags[index].rollout;
            for arm in [Arm::Control, Arm::Treatment] {
                let (share, errors, slower) = match arm {
                    Arm::Control => {
                        (1.0 - rollout.share(), behaviour.errors_control, behaviour.slower_control)
                    }
                    Arm::Treatment => (rollout.share(), behaviour.errors_treatment, behaviour.slower),
                };
                let requests = (f64::from(behaviour.requests) * share).round() as u32;
                if share > 0.0 {
                    let flag = FlagId(index as u32);
                    feed.samples.push(self.sample(flag, arm, requests, errors, slower));
                }
            }
        }
        feed
    }

    fn sample(&mut self, flag: FlagId, arm: Arm, requests: u32, error_rate: f64, slower: f64) -> Sample {
        let (mut errors, mut latency) = (0, Histogram::default());
        for _ in 0..requests {
            errors += u32::from(self.rng.random::<f64>() < error_rate);
            // A Weibull body with a heavy tail: P99 about 400 ms.
            let u: f64 = self.rng.random();
            latency.record(40.0 * (-(1.0 - u).ln()).powf(1.5) * slower, 1);
        }
        Sample { flag, arm, start: self.now, span: INTERVAL, requests, errors, latency, assumed: false }
    }

    pub(crate) fn tick_with(&mut self, policy: &mut dyn Policy, feed: &Feed) -> Vec<Entry> {
        self.now = self.now + INTERVAL;
        let moment = Moment { end: self.now, now: self.now };
        let happened = tick(&self.state, &mut self.telemetry_state, policy, &self.config, feed, moment);
        self.keep(happened, "")
    }

    pub(crate) fn tick(&mut self, policy: &mut dyn Policy) -> Vec<Entry> {
        let feed = self.feed();
        self.tick_with(policy, &feed)
    }

    pub(crate) fn run(&mut self, policy: &mut dyn Policy, ticks: usize) {
        for _ in 0..ticks {
            self.tick(policy);
        }
    }

    pub(crate) fn rollout(&self, index: usize) -> Rollout {
        self.state.flags[index].rollout
    }

    pub(crate) fn random(&mut self) -> &mut Pcg64 {
        &mut self.rng
    }
}

pub(crate) fn key(index: usize) -> FlagKey {
    format!("flag-{index}").parse().unwrap()
}
