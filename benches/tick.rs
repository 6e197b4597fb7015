//! One controller tick over 10 000 flags, evidence and policy included, I/O not: budget 20 ms.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use divan::Bencher;
use knightwatch_agent::PolicyName;
use knightwatch_core::{
    control::{Actor, ControlConfig, Event, Moment, Policy, State, TelemetryState, tick},
    flag::{FlagId, Rollout},
    telemetry::{Feed, Millis},
};
use knightwatch_sim::{Scenario, World};

fn main() {
    divan::main();
}

/// A fleet of 10 000 flags at 25 %, all ramping, with telemetry of both arms.
struct Fleet {
    state: State,
    telemetry_state: TelemetryState,
    policy: Box<dyn Policy>,
    config: ControlConfig,
    feed: Feed,
    /// The next interval's: the two take turns, since a source that repeats itself is not believed.
    other: Feed,
    now: Millis,
}

const FLAGS: usize = 10_000;

impl Fleet {
    fn new() -> Self {
        let text = Scenario::builtin("fleet-1000").unwrap();
        let mut scenario = Scenario::parse(text, "fleet-1000").unwrap();
        let few = scenario.flags.clone();
        scenario.flags = (0..FLAGS)
            .map(|index| {
                let mut flag = few[index % few.len()].clone();
                flag.spec.key = format!("flag-{index}").parse().unwrap();
                flag
            })
            .collect();
        let mut state = State::default();
        let happened =
            scenario.specs().into_iter().map(|spec| (Actor::System, Event::Created { spec })).collect();
        for entry in state.entries(scenario.start, happened, "") {
            state.apply(&entry);
        }
        let quarter = Rollout::from_percent(25.0).unwrap();
        let happened = (0..FLAGS)
            .map(|index| {
                let flag = FlagId(u32::try_from(index).unwrap());
                (Actor::Person("bench".to_owned()), Event::Started { flag, to: quarter })
            })
            .collect();
        for entry in state.entries(scenario.start, happened, "") {
            state.apply(&entry);
        }
        let mut world = World::new(&scenario, 1);
        let mut fleet = Self {
            state,
            telemetry_state: TelemetryState::new(),
            policy: PolicyName::default().build(0),
            config: ControlConfig::default(),
            feed: Feed::default(),
            other: Feed::default(),
            now: scenario.start,
        };
        let rollouts = vec![quarter; FLAGS];
        // Beyond the warm-up, so that evidence is gathered; what is decided is not folded in, so all stay at 25 %.
        for _ in 0..6 {
            world.step(&rollouts, &mut fleet.feed);
            fleet.tick();
            std::mem::swap(&mut fleet.feed, &mut fleet.other);
        }
        world.step(&rollouts, &mut fleet.other);
        fleet
    }

    fn tick(&mut self) -> usize {
        let end = self.now + self.config.interval;
        let moment = Moment { end, now: end };
        let Self { state, telemetry_state, policy, config, feed, .. } = self;
        let happened = tick(state, telemetry_state, policy.as_mut(), config, feed, moment);
        self.now = end;
        std::mem::swap(&mut self.feed, &mut self.other);
        for sample in &mut self.feed.samples {
            sample.start = end;
        }
        happened.len()
    }
}

#[divan::bench(sample_count = 50)]
fn a_tick_over_10_000_flags(bencher: Bencher<'_, '_>) {
    let mut fleet = Fleet::new();
    bencher.bench_local(|| divan::black_box(fleet.tick()));
}
