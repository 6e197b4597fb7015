//! The invariants of control that need no disk and no terminal, each with a test
//! that fails without it, and a seeded simulation that injects faults at random and checks all of them after each step.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::float_cmp,
    reason = "a test"
)]

mod complete;

use crate::support::fleet;

use std::collections::BTreeMap;

use fleet::{Behaviour, Fleet, key};
use knightwatch_agent::{PolicyName, Random};
use knightwatch_core::{
    control::{
        Action, Actor, AlarmKind, Command, Entry, Event, Observation, Outcome, Phase, Policy, PolicyFault,
        Proposal, State,
    },
    flag::{FlagId, Rollout, ServiceName},
    telemetry::{Feed, Millis, Rejection, Verdict},
};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_pcg::Pcg64;

/// Always wants the most.
struct Greedy;

impl Policy for Greedy {
    fn name(&self) -> &'static str {
        "greedy"
    }

    fn propose(&mut self, seen: &[Observation<'_>], out: &mut Vec<Proposal>) -> Result<(), PolicyFault> {
        out.extend(seen.iter().map(|_| Proposal::to(Action::RaiseTo(Rollout::FULL))));
        Ok(())
    }
}

/// Breaks in one way or another.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Broken {
    Panics,
    TooFew,
    NotANumber,
    Gives,
}

impl Policy for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn propose(&mut self, seen: &[Observation<'_>], out: &mut Vec<Proposal>) -> Result<(), PolicyFault> {
        match self {
            Self::Panics => panic!("the weights are gone"),
            Self::TooFew => {}
            Self::NotANumber => out.extend(seen.iter().map(|_| Proposal {
                action: Action::RaiseTo(Rollout::FULL),
                probabilities: Some([f32::NAN; 6]),
                ..Proposal::HOLD
            })),
            Self::Gives => return Err(PolicyFault::Stalled(Millis(250))),
        }
        Ok(())
    }
}

fn raises(entries: &[Entry]) -> Vec<&Entry> {
    entries.iter().filter(|entry| entry.event.is_raise()).collect()
}

#[test]
fn good_flags_reach_full_rollout_and_bad_ones_go_back() {
    let mut fleet = Fleet::new(4, 7);
    fleet.behaviours[1].errors_treatment = 0.02;
    fleet.behaviours[2].slower = 2.0;
    fleet.behaviours[3].errors_treatment = 0.5;
    fleet.run(PolicyName::RULE.build(0).as_mut(), 12);
    fleet.start_all();
    fleet.run(PolicyName::RULE.build(0).as_mut(), 200);
    assert_eq!(fleet.state.flags[0].phase, Phase::Complete, "the good flag");
    for bad in 1..4 {
        assert_eq!(fleet.state.flags[bad].phase, Phase::RolledBack, "bad flag {bad}");
        assert_eq!(fleet.rollout(bad), Rollout::ZERO);
    }
}

/// Invariant 2.
#[test]
fn after_kill_all_nothing_is_raised_until_rearmed_and_rearming_moves_nothing() {
    let mut fleet = Fleet::new(3, 1);
    fleet.start_all();
    fleet.run(&mut Greedy, 30);
    assert!(!raises(&fleet.journal).is_empty(), "it raises as long as it may");
    let kill = fleet.order(Command::KillAll).unwrap();
    assert_eq!(kill.len(), 1, "kill-all is one event");
    let number = kill[0].seq;
    for index in 0..3 {
        let set =
            Command::Set { flag: key(index), rollout: Rollout::FULL, expires_in: None, guard_off: false };
        for raise in [Command::Start { flag: key(index) }, Command::Promote { flag: key(index) }, set] {
            let refused = fleet.order(raise.clone()).unwrap_err();
            assert!(refused.to_string().contains("kill-all is in force"), "{raise:?}: {refused}");
        }
    }
    fleet.run(&mut Greedy, 60);
    let after: Vec<Entry> = fleet.journal.iter().filter(|entry| entry.seq > number).cloned().collect();
    assert!(raises(&after).is_empty(), "{:?}", raises(&after));
    assert!(fleet.order(Command::Rearm { environment: "prod".to_owned() }).is_err(), "another environment");
    let before = fleet.state.flags.clone();
    fleet.order(Command::Rearm { environment: "test".to_owned() }).unwrap();
    assert_eq!(before, fleet.state.flags, "re-arming alone changes no flag");
    fleet.run(&mut Greedy, 30);
    assert!(fleet.state.flags.iter().all(|flag| flag.phase == Phase::Killed), "only a person starts a flag");
}

/// Invariant 5.
#[test]
fn missing_or_absurd_telemetry_never_raises_and_is_never_shown_as_zero() {
    for fault in ["none", "nothing", "control only", "treatment only", "rejected", "no traffic"] {
        let mut fleet = Fleet::new(1, 3);
        fleet.run(&mut Greedy, 10);
        fleet.start_all();
        fleet.run(&mut Greedy, 4);
        let at = fleet.rollout(0);
        for _ in 0..50 {
            let mut feed = fleet.feed();
            match fault {
                "none" => {}
                "nothing" => feed.samples.clear(),
                "control only" => feed.samples.retain(|s| s.arm == knightwatch_core::telemetry::Arm::Control),
                "treatment only" => {
                    feed.samples.retain(|s| s.arm == knightwatch_core::telemetry::Arm::Treatment);
                }
                "rejected" => {
                    feed.samples.clear();
                    feed.rejected.push((FlagId(0), Rejection::NotFinite));
                }
                _ => {
                    for sample in &mut feed.samples {
                        (sample.requests, sample.errors) = (0, 0);
                        sample.latency = knightwatch_core::telemetry::Histogram::default();
                    }
                }
            }
            let entries = fleet.tick_with(&mut Greedy, &feed);
            assert!(fault == "none" || raises(&entries).is_empty(), "{fault}");
        }
        if fault == "none" {
            assert!(fleet.rollout(0) > at, "it is the faults that hold it");
            continue;
        }
        assert_eq!(fleet.rollout(0), at, "{fault}: neither raised nor rolled back");
        let report = fleet.telemetry_state.report(FlagId(0)).unwrap();
        if fault == "no traffic" {
            assert_eq!(report.verdict, Verdict::Insufficient);
            assert_eq!(report.treatment.error_rate(), None);
            assert_eq!(report.treatment.p99_ms, None);
        } else {
            assert_eq!(report.verdict, Verdict::Lost, "{fault}");
            assert!(fleet.state.alarm(&AlarmKind::TelemetryLost(key(0))).is_some(), "{fault}");
            assert_eq!(fleet.state.flags[0].phase, Phase::Paused, "{fault}: beyond its deadline");
            assert!(fleet.telemetry_state.window(FlagId(0)).unwrap().latest().iter().any(Option::is_none));
        }
    }
}

/// Invariant 8.
#[test]
fn a_persons_override_keeps_the_agent_off_until_it_expires() {
    let mut fleet = Fleet::new(1, 5);
    fleet.run(&mut Greedy, 10);
    fleet.start_all();
    fleet.run(&mut Greedy, 10);
    let set = Command::Set {
        flag: key(0),
        rollout: Rollout::from_percent(30.0).unwrap(),
        expires_in: Some(Millis::from_secs(600)),
        guard_off: false,
    };
    fleet.order(set).unwrap();
    // A restart: the state is nothing but the fold of the journal.
    let mut again = State::default();
    for entry in &fleet.journal {
        again.apply(entry);
    }
    assert_eq!(again, fleet.state);
    for _ in 0..59 {
        let entries = fleet.tick(&mut Greedy);
        let acted =
            entries.iter().any(|entry| entry.actor == Actor::Agent && entry.event.flag() == Some(FlagId(0)));
        assert!(!acted, "{entries:?}");
        assert_eq!(fleet.rollout(0).percent(), 30.0);
    }
    fleet.run(&mut Greedy, 30);
    assert!(fleet.rollout(0).percent() > 30.0, "afterwards the agent goes on");
    // The shield's hard limits act also under a hold.
    let set = Command::Set { flag: key(0), rollout: Rollout::LAST_RUNG, expires_in: None, guard_off: false };
    fleet.order(set).unwrap();
    fleet.behaviours[0].errors_treatment = 0.6;
    fleet.run(&mut Greedy, 2);
    assert_eq!(fleet.rollout(0), Rollout::ZERO);
}

#[test]
fn hard_limits_are_off_only_where_a_person_said_so_and_only_until_it_expires() {
    let mut fleet = Fleet::new(1, 5);
    fleet.run(&mut Greedy, 10);
    fleet.start_all();
    fleet.behaviours[0].errors_treatment = 0.6;
    let set = Command::Set {
        flag: key(0),
        rollout: Rollout::from_percent(50.0).unwrap(),
        expires_in: Some(Millis::from_secs(100)),
        guard_off: true,
    };
    fleet.order(set).unwrap();
    fleet.run(&mut Greedy, 9);
    assert_eq!(fleet.rollout(0).percent(), 50.0, "the guard is off");
    fleet.run(&mut Greedy, 2);
    assert_eq!(fleet.rollout(0), Rollout::ZERO, "the guard is back");
}

/// Invariant 9.
#[test]
fn a_broken_policy_means_hold_and_an_alarm_and_the_shield_still_rolls_back() {
    for mut broken in [Broken::Panics, Broken::TooFew, Broken::NotANumber, Broken::Gives] {
        let mut fleet = Fleet::new(2, 9);
        fleet.run(&mut Greedy, 10);
        fleet.start_all();
        fleet.run(&mut Greedy, 12);
        let at = fleet.rollout(0);
        fleet.behaviours[1].errors_treatment = 0.7;
        fleet.run(&mut broken, 12);
        assert_eq!(fleet.rollout(0), at, "{broken:?}: holds");
        assert_eq!(fleet.rollout(1), Rollout::ZERO, "{broken:?}: the shield rolls back");
        let alarm = fleet.state.alarm(&AlarmKind::PolicyFault).cloned();
        assert!(alarm.is_some_and(|alarm| alarm.text.contains("holds everywhere")), "{broken:?}");
        fleet.run(&mut Greedy, 1);
        assert!(
            fleet.state.alarm(&AlarmKind::PolicyFault).is_none(),
            "{broken:?}: over when it answers again"
        );
    }
}

#[test]
fn an_innocent_flag_survives_its_dependency_and_raises_freeze() {
    let mut fleet = Fleet::new(1, 11);
    fleet.run(&mut Greedy, 20);
    fleet.start_all();
    fleet.run(&mut Greedy, 30);
    let at = fleet.rollout(0);
    fleet.behaviours[0] = Behaviour { errors_control: 0.3, errors_treatment: 0.3, ..fleet.behaviours[0] };
    let mut frozen = Vec::new();
    for _ in 0..30 {
        frozen.extend(fleet.tick(&mut Greedy));
    }
    assert!(raises(&frozen[1..]).is_empty());
    assert_eq!(fleet.rollout(0), at);
    assert!(fleet.state.alarm(&AlarmKind::Dependency(ServiceName("service-0".into()))).is_some());
    fleet.behaviours[0] = Behaviour::default();
    fleet.run(&mut Greedy, 60);
    assert!(fleet.rollout(0) > at, "goes on when the dependency is back");
    assert!(fleet.state.alarm(&AlarmKind::Dependency(ServiceName("service-0".into()))).is_none());
}

/// The error guarantee of the whole chain: windows, both metrics, all rungs, looked at after every interval.
#[test]
fn harmless_flags_are_hardly_ever_called_regressed() {
    let mut fleet = Fleet::new(150, 13);
    for (index, behaviour) in fleet.behaviours.iter_mut().enumerate() {
        behaviour.requests = [200, 600, 1_500][index % 3];
    }
    fleet.config.shield.exposure.per_service = 1e9;
    fleet.start_all();
    fleet.run(PolicyName::RULE.build(0).as_mut(), 150);
    let back = fleet.state.flags.iter().filter(|flag| flag.phase == Phase::RolledBack).count();
    // One per cent of 150 is 1.5; five would be far out.
    assert!(back <= 4, "{back} of 150 harmless flags were rolled back");
    let done = fleet.state.flags.iter().filter(|flag| flag.phase == Phase::Complete).count();
    assert!(done > 30, "only {done} of 150 got through");
}

/// Exposure and step caps, from the journal alone (invariant 7).
fn check_caps(fleet: &Fleet) {
    let shield = &fleet.config.shield;
    let mut moved: Vec<(Millis, ServiceName, f64)> = Vec::new();
    let mut state = State::default();
    for entry in &fleet.journal {
        let change = match &entry.event {
            Event::Started { flag, to } => Some((*flag, Rollout::ZERO, *to)),
            Event::Promoted { flag, from, .. } => Some((*flag, *from, Rollout::FULL)),
            Event::Set { flag, from, to, .. } => Some((*flag, *from, *to)),
            Event::Decided(decision) => Some((decision.flag, decision.from, decision.to)),
            _ => None,
        };
        if let Some((id, from, to)) = change {
            let flag = &state.flags[id.index()];
            assert_eq!(flag.rollout, from, "an entry's `from` is what was in force");
            if to > from {
                assert!(state.latch.is_none(), "raised under the kill latch");
                let points = to.percent() - from.percent();
                moved.push((entry.at, flag.spec.service.clone(), points));
                let within = |at: &Millis| entry.at.since(*at) < shield.exposure.window;
                let fleet_sum: f64 = moved.iter().filter(|(at, ..)| within(at)).map(|(.., p)| p).sum();
                let sum: f64 = moved
                    .iter()
                    .filter(|(at, service, _)| within(at) && *service == flag.spec.service)
                    .map(|(.., p)| p)
                    .sum();
                assert!(sum <= shield.exposure.per_service + 1e-9, "{sum} points in {}", flag.spec.service);
                assert!(fleet_sum <= shield.exposure.fleet + 1e-9, "{fleet_sum} points in the fleet");
            }
        }
        if let Event::Decided(decision) = &entry.event
            && decision.to > decision.from
        {
            let flag = &state.flags[decision.flag.index()];
            assert_eq!(entry.actor, Actor::Agent);
            assert_eq!(flag.phase, Phase::Ramping, "{entry:?}");
            assert!(flag.held(entry.at).is_none(), "raised under a hold");
            let rungs = flag.spec.ladder.steps_between(decision.from, decision.to);
            assert!(rungs <= shield.max_rungs, "{rungs} rungs at once");
            assert!(!decision.to.is_full() || decision.from >= Rollout::LAST_RUNG, "no bake before 100 %");
            assert!(entry.at.since(flag.changed_at) >= shield.dwell, "no dwell");
            assert!(decision.outcome == Outcome::Allowed || decision.outcome == Outcome::Clipped);
        }
        state.apply(entry);
    }
    assert_eq!(state, fleet.state, "the state is the fold of the journal");
}

/// Invariant 7.
#[test]
fn the_shields_caps_hold_under_a_policy_that_answers_at_random() {
    for seed in 0..6 {
        let mut fleet = Fleet::new(12, seed);
        fleet.config.shield.exposure.per_service = 45.0;
        fleet.config.shield.exposure.fleet = 70.0;
        for behaviour in &mut fleet.behaviours {
            behaviour.requests = 600;
        }
        fleet.run(&mut Greedy, 8);
        for index in 0..12 {
            fleet.order(Command::Start { flag: key(index) }).unwrap();
        }
        fleet.run(&mut Random::new(seed), 150);
        check_caps(&fleet);
        let acted = fleet.journal.iter().filter(|entry| entry.actor == Actor::Agent).count();
        assert!(acted > 5, "the policy did act ({acted})");
    }
}

/// One seeded run with faults of every kind thrown in, checked after every step. How often a flag was raised, and in how many
/// steps the latch was set.
fn storm(seed: u64) -> [usize; 2] {
    let mut met = [0; 2];
    let mut dice = Pcg64::seed_from_u64(seed ^ 0x5eed);
    let flags = dice.random_range(2..7);
    let mut fleet = Fleet::new(flags, seed);
    // Under faults of every kind at once hardly anything is ever raised: some storms are light, so that there is something
    // that could go wrong.
    let (requests, faults, orders) = match seed % 3 {
        0 => (0..900, 24, 0.5),
        1 => (300..2_000, 400, 0.05),
        _ => (1_000..4_000, 2_000, 0.02),
    };
    for behaviour in &mut fleet.behaviours {
        behaviour.requests = dice.random_range(requests.clone());
        if dice.random::<f64>() < 0.3 {
            behaviour.errors_treatment = dice.random::<f64>();
        }
        if dice.random::<f64>() < 0.3 {
            behaviour.slower = 1.0 + 4.0 * dice.random::<f64>();
        }
    }
    let mut held_back: Vec<knightwatch_core::telemetry::Sample> = Vec::new();
    for step in 0..120 {
        if step == 0 {
            for index in 0..flags {
                let _ = fleet.order(Command::Start { flag: key(index) });
            }
        }
        if dice.random_bool(orders) {
            let flag = key(dice.random_range(0..flags));
            let rollout = Rollout::from_basis_points(dice.random_range(0..=10_000)).unwrap();
            let expires_in = Some(Millis::from_secs(dice.random_range(0..300)));
            let command = match dice.random_range(0..14) {
                0 => Command::Pause { flag },
                1 => Command::Resume { flag },
                2 => Command::Rollback { flag },
                3 => Command::Set { flag, rollout, expires_in, guard_off: dice.random() },
                4 => Command::Promote { flag },
                5 => Command::Release { flag },
                6 if step > 60 => Command::KillAll,
                7 => Command::Rearm { environment: "test".to_owned() },
                _ => Command::Start { flag },
            };
            // Refusals are part of the weather; what is granted is checked below.
            let _ = fleet.order(command);
        }
        let before = fleet.state.clone();
        let mut feed = fleet.feed();
        spoil(&mut feed, &mut held_back, &mut dice, faults);
        let mut policy: Box<dyn Policy> = match dice.random_range(0..if faults > 24 { 60 } else { 6 }) {
            0 => Box::new(Broken::Panics),
            1 => Box::new(Broken::NotANumber),
            2 => Box::new(Random::new(seed + step)),
            3 => PolicyName::RULE.build(0),
            _ => Box::new(Greedy),
        };
        let entries = fleet.tick_with(policy.as_mut(), &feed);
        let fresh = arrived(&feed, fleet.now);
        for entry in raises(&entries) {
            assert!(before.latch.is_none(), "seed {seed}: raised under the latch");
            let id = entry.event.flag().unwrap();
            assert_eq!(
                fresh.get(&id),
                Some(&2),
                "seed {seed} step {step}: raised without both arms' telemetry"
            );
            assert!(before.flags[id.index()].held(fleet.now).is_none(), "seed {seed}: raised under a hold");
        }
        met[0] += raises(&entries).len();
        if before.latch.is_some() {
            met[1] += 1;
            assert!(fleet.state.flags.iter().all(|flag| flag.rollout.is_zero()), "seed {seed}");
        }
    }
    check_caps(&fleet);
    met
}

/// How many arms of each flag arrived in time.
fn arrived(feed: &Feed, now: Millis) -> BTreeMap<FlagId, usize> {
    let mut arms: BTreeMap<FlagId, std::collections::BTreeSet<_>> = BTreeMap::new();
    for sample in feed.samples.iter().filter(|sample| sample.end() == now) {
        arms.entry(sample.flag).or_default().insert(sample.arm);
    }
    arms.into_iter().map(|(flag, arms)| (flag, arms.len())).collect()
}

/// Spoils seven samples in so many, each in another way.
fn spoil(
    feed: &mut Feed,
    held_back: &mut Vec<knightwatch_core::telemetry::Sample>,
    dice: &mut Pcg64,
    many: u32,
) {
    feed.samples.append(held_back);
    for index in (0..feed.samples.len()).rev() {
        match dice.random_range(0..many) {
            0 => drop(feed.samples.remove(index)),
            1 => held_back.push(feed.samples.remove(index)),
            2 => feed.samples.push(feed.samples[index]),
            3 => feed.samples[index].start = feed.samples[index].start + Millis::from_secs(3 * 86_400),
            4 => feed.samples[index].start = feed.samples[index].start.since(Millis::from_secs(3_600)),
            5 => feed.samples[index].flag = FlagId(900),
            6 => {
                let flag = feed.samples.remove(index).flag;
                feed.rejected.push((flag, Rejection::NotFinite));
            }
            _ => {}
        }
    }
    feed.samples.shuffle(dice);
}

#[test]
fn a_storm_of_faults_breaks_no_invariant() {
    let mut met = [0; 2];
    for seed in 0..60 {
        let [raised, latched] = storm(seed);
        met = [met[0] + raised, met[1] + latched];
    }
    assert!(met[0] > 100 && met[1] > 100, "raises and latched steps, to be looked at: {met:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Invariant 6.
    #[test]
    fn duplicated_and_reordered_samples_give_the_same_decisions(seed in 0_u64..1_000) {
        let mut clean = Fleet::new(4, seed);
        let mut spoilt = Fleet::new(4, seed);
        for fleet in [&mut clean, &mut spoilt] {
            fleet.behaviours[1].errors_treatment = 0.03;
            fleet.start_all();
        }
        let mut dice = Pcg64::seed_from_u64(seed);
        for _ in 0..60 {
            let feed = clean.feed();
            let mut other = spoilt.feed();
            prop_assert_eq!(feed.samples.len(), other.samples.len());
            let copies = other.samples.clone();
            other.samples.extend(copies.iter().filter(|_| dice.random::<bool>()));
            other.samples.shuffle(&mut dice);
            let one = clean.tick_with(PolicyName::RULE.build(0).as_mut(), &feed);
            let two = spoilt.tick_with(PolicyName::RULE.build(0).as_mut(), &other);
            prop_assert_eq!(one, two);
        }
    }

    #[test]
    fn a_late_sample_never_rewrites_a_past_decision(seed in 0_u64..1_000, late in 1_usize..5) {
        let mut fleet = Fleet::new(1, seed);
        // Beside it one whose telemetry never comes at all: what comes too late is as good as that.
        let mut without = Fleet::new(1, seed);
        fleet.start_all();
        without.start_all();
        let decided = |entries: Vec<Entry>| -> Vec<(Actor, Event)> {
            let about_telemetry = |event: &Event| matches!(event, Event::AlarmRaised { .. } | Event::AlarmCleared { .. });
            let others = entries.into_iter().filter(|entry| !about_telemetry(&entry.event));
            others.map(|entry| (entry.actor, entry.event)).collect()
        };
        let mut waiting: Vec<Feed> = Vec::new();
        for _ in 0..30 {
            let mut feed = fleet.feed();
            waiting.push(feed.clone());
            feed.samples.clear();
            if waiting.len() > late {
                feed = waiting.remove(0);
            }
            let entries = fleet.tick_with(&mut Greedy, &feed);
            prop_assert!(raises(&entries).is_empty());
            prop_assert_eq!(decided(entries), decided(without.tick_with(&mut Greedy, &Feed::default())));
            let (found, expected) = (&fleet.state.flags[0], &without.state.flags[0]);
            prop_assert_eq!((found.phase, found.rollout), (expected.phase, expected.rollout));
        }
        let rejected = fleet.telemetry_state.window(FlagId(0)).unwrap().rejected()[Rejection::Late as usize];
        prop_assert!(rejected > 0);
    }
}

/// Invariant 5, for a source that hangs and repeats its last answer with new times.
#[test]
fn frozen_telemetry_is_as_good_as_none() {
    let mut fleet = Fleet::new(1, 21);
    fleet.run(&mut Greedy, 10);
    fleet.start_all();
    fleet.run(&mut Greedy, 8);
    let at = fleet.rollout(0);
    let last = fleet.feed();
    for repeat in 0..20 {
        let mut feed = last.clone();
        for sample in &mut feed.samples {
            sample.start = fleet.now;
        }
        let entries = fleet.tick_with(&mut Greedy, &feed);
        // The first time it is an answer like any other.
        assert!(repeat == 0 || raises(&entries).is_empty(), "raised on repeat {repeat}: {entries:?}");
    }
    assert!(fleet.rollout(0) >= at, "nor is it a reason to go back");
    assert_eq!(fleet.telemetry_state.report(FlagId(0)).unwrap().verdict, Verdict::Lost);
    let reached = fleet.rollout(0);
    fleet.run(&mut Greedy, 30);
    assert!(fleet.rollout(0) > reached, "goes on when the source wakes");
}
