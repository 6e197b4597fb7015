//! Real recordings through the real tick: the shield and a policy that only ever wants more.

use knightwatch_core::{
    control::{
        Action, Actor, Command, ControlConfig, Event, Moment, Observation, Order, OrderId, Phase, Policy,
        PolicyFault, Proposal, State, TelemetryState, decide, tick,
    },
    flag::Rollout,
    telemetry::{Feed, Millis},
};
use knightwatch_lab::recording::{Playback, Recording};

use super::{NAB, NEZHA, PETSHOP, recorded};

/// Raises as far as it is let.
struct AlwaysRaise;

impl Policy for AlwaysRaise {
    fn name(&self) -> &'static str {
        "always-raise"
    }

    fn propose(
        &mut self,
        observations: &[Observation<'_>],
        proposals: &mut Vec<Proposal>,
    ) -> Result<(), PolicyFault> {
        proposals.extend(observations.iter().map(|seen| match seen.mask.raise_to {
            Some(to) => Proposal::to(Action::RaiseTo(seen.ladder.above(seen.rollout, 1).min(to))),
            None => Proposal::HOLD,
        }));
        Ok(())
    }
}

/// Where every flag ended, and the highest rollout it ever had.
struct Ended {
    recording: Recording,
    state: State,
    highest: Vec<Rollout>,
}

fn steer(name: &str, skipped: usize, seed: u64) -> Ended {
    let mut recording = recorded(name);
    recording.rows.drain(..skipped);
    let mut config = ControlConfig { interval: recording.interval, ..ControlConfig::default() };
    // The defaults are for 10 s; a row every few minutes would be stale on arrival.
    config.shield.stale_after = Millis(recording.interval.0 * 3);
    config.shield.lost_deadline = Millis(recording.interval.0 * 30);
    let (mut state, mut telemetry_state, mut policy) = (State::default(), TelemetryState::new(), AlwaysRaise);
    let fold = |state: &mut State, at, happened| {
        for entry in state.entries(at, happened, "") {
            state.apply(&entry);
        }
    };
    let specs = recording.specs();
    let created = specs.iter().map(|spec| (Actor::System, Event::Created { spec: spec.clone() })).collect();
    fold(&mut state, recording.start, created);
    let mut scheduled_starts = recording.scheduled_starts().into_iter().peekable();
    let mut playback = Playback::new(recording.clone(), seed);
    let mut feed = Feed::default();
    let mut highest = vec![Rollout::ZERO; specs.len()];
    while !playback.done() {
        while let Some((_, flag, by)) =
            scheduled_starts.next_if(|(at, _, _)| recording.start + *at <= playback.now())
        {
            let order = Order {
                id: OrderId(flag.0.to_string()),
                actor: Actor::Person(by),
                authenticated: None,
                reason: String::new(),
                expected: None,
                command: Command::Start { flag: specs[flag.index()].key.clone() },
            };
            let granted = decide(&state, &telemetry_state, &config, playback.now(), &order).unwrap();
            fold(&mut state, playback.now(), granted.happened);
        }
        let rollouts: Vec<Rollout> = state.flags.iter().map(|flag| flag.rollout).collect();
        playback.step(&rollouts, &mut feed);
        let moment = Moment { end: playback.now(), now: playback.now() };
        let happened = tick(&state, &mut telemetry_state, &mut policy, &config, &feed, moment);
        fold(&mut state, moment.now, happened);
        for flag in &state.flags {
            highest[flag.id.index()] = highest[flag.id.index()].max(flag.rollout);
        }
    }
    Ended { recording, state, highest }
}

/// Every flag with a recorded incident in it is rolled back before half of the traffic has it; every other one reaches 100 %
/// and stays, unless `outages` are recorded: at 100 % no live control is left that would show them as such.
fn told_apart(name: &str, skipped: usize, outages: bool) {
    for seed in 1..=3 {
        let ended = steer(name, skipped, seed);
        for flag in &ended.state.flags {
            let (highest, key) = (ended.highest[flag.id.index()], &flag.spec.key);
            let said =
                format!("{name}, seed {seed}: {key} is {} at {}, once {highest}", flag.phase, flag.rollout);
            if ended.recording.faulty(flag.id) {
                assert_eq!(flag.phase, Phase::RolledBack, "{said}");
                assert!(highest < Rollout::from_percent(50.0).unwrap(), "{said}");
            } else {
                assert!(highest.is_full() && (outages || flag.phase == Phase::Complete), "{said}");
            }
        }
    }
}

#[test]
fn petshops_issues_are_rolled_back_and_nothing_else() {
    told_apart(PETSHOP, 0, false);
}

#[test]
fn the_system_failure_of_nab_is_rolled_back_and_nothing_else() {
    told_apart(NAB, 0, false);
}

/// The first hours of the recording hold the incidents themselves, which there strike both arms; this is about the rest.
#[test]
fn nezhas_faults_are_rolled_back_in_its_calm_hours_and_nothing_else() {
    told_apart(NEZHA, 300, false);
}

#[test]
fn nezhas_own_incidents_strike_both_arms_and_stop_no_innocent_ramp() {
    told_apart(NEZHA, 0, true);
}
