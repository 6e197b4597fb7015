//! Shadow mode: whatever a second policy does beside the one in charge, what is decided is the same to the last entry, and what
//! it would have done is journalled once for each way in which that differs.

use std::{sync::mpsc, time::Duration};

use knightwatch_agent::PolicyName;
use knightwatch_core::{
    control::{
        Action, Actor, AlarmKind, Decision, Entry, Event, Observation, Outcome, Phase, Policy, PolicyFault,
        Proposal, Seq, Shadow,
    },
    flag::FlagId,
    telemetry::Millis,
};
use knightwatch_engine::{Engine, Guarded, Setup};

use super::disk::{Disk, scenario, setup};

/// Long enough for an answer that comes, on any machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A shadow that does not behave.
enum Bad {
    Holds,
    Panics,
    Raves,
    /// Answers only when it is told to; nobody does.
    Stalls(mpsc::Receiver<()>),
}

impl Policy for Bad {
    fn name(&self) -> &'static str {
        "bad"
    }

    fn propose(&mut self, seen: &[Observation<'_>], out: &mut Vec<Proposal>) -> Result<(), PolicyFault> {
        match self {
            Self::Holds => out.extend(seen.iter().map(|_| Proposal::HOLD)),
            Self::Panics => panic!("the shadow panics"),
            Self::Raves => out.extend(
                seen.iter().map(|_| Proposal { value: Some(f32::NAN), ..Proposal::to(Action::RollBack) }),
            ),
            Self::Stalls(told) => {
                let _ = told.recv();
                return Err(PolicyFault::Unfit("told to answer".to_owned()));
            }
        }
        Ok(())
    }
}

fn guarded(policy: Box<dyn Policy>, deadline: Duration) -> Shadow {
    Shadow::new(Box::new(Guarded::new(policy, deadline).unwrap()))
}

fn of(policy: PolicyName) -> Shadow {
    guarded(policy.build(3), PATIENCE)
}

fn made(name: &str, lead: PolicyName, shadow: Option<Shadow>, disk: &Disk) -> Setup {
    Setup { shadow, ..setup(&scenario(name), 3, lead.build(3), Box::new(disk.clone())) }
}

/// A session lived through to its end: the engine, and everything it has journalled.
fn lived(name: &str, lead: PolicyName, shadow: Option<Shadow>) -> (Engine, Vec<Entry>) {
    let disk = Disk::default();
    let mut engine = Engine::begin(made(name, lead, shadow, &disk)).unwrap();
    while !engine.done() {
        engine.step();
    }
    let entries = engine.entries(None, usize::MAX).unwrap();
    let numbers: Vec<Seq> = entries.iter().map(|entry| entry.seq).collect();
    assert_eq!(numbers, (1..=entries.len() as u64).map(Seq).collect::<Vec<_>>(), "without gaps");
    (engine, entries)
}

fn is_shadow(entry: &Entry) -> bool {
    matches!(entry.event, Event::Shadow { .. } | Event::ShadowFaulty { .. })
}

/// What was decided, without the numbers.
fn decided(entries: &[Entry]) -> Vec<(Millis, Actor, Event, String)> {
    let others = entries.iter().filter(|entry| !is_shadow(entry)).cloned();
    others.map(|entry| (entry.at, entry.actor, entry.event, entry.sentence)).collect()
}

fn faults(entries: &[Entry]) -> Vec<&str> {
    let faults = entries.iter().filter_map(|entry| match &entry.event {
        Event::ShadowFaulty { policy, fault } => {
            assert_eq!((policy.as_str(), &entry.actor), ("bad", &Actor::System));
            Some(fault.as_str())
        }
        _ => None,
    });
    faults.collect()
}

#[test]
fn what_is_decided_is_the_same_with_any_shadow() {
    for (name, lead) in [("default", PolicyName::RULE), ("power-peg", PolicyName::PPO_MASTER)] {
        let (alone, entries) = lived(name, lead, None);
        let expected = decided(&entries);
        assert!(expected.iter().any(|(_, _, event, _)| matches!(event, Event::Decided(_))));
        for shadow in [PolicyName::PPO_MASTER, PolicyName::RANDOM, PolicyName::SCHEDULE] {
            let (beside, entries) = lived(name, lead, Some(of(shadow)));
            assert_eq!(decided(&entries), expected, "{shadow} beside {lead} on {name}");
            for (flag, other) in alone.state().flags.iter().zip(&beside.state().flags) {
                assert_eq!((flag.phase, flag.rollout, flag.ramp), (other.phase, other.rollout, other.ramp));
            }
            assert!(shadow == lead || entries.iter().any(is_shadow), "{shadow} does something else");
        }
    }
}

#[test]
fn a_shadow_that_panics_stalls_or_raves_changes_nothing_and_is_said_once() {
    let expected = decided(&lived("good", PolicyName::RULE, None).1);
    // Kept, so that the one who stalls is never told.
    let (_tell, told) = mpsc::channel();
    let stalls = guarded(Box::new(Bad::Stalls(told)), Duration::from_millis(1));
    let cases = [
        (guarded(Box::new(Bad::Panics), PATIENCE), "the policy panicked: the shadow panics"),
        (guarded(Box::new(Bad::Raves), PATIENCE), "the policy's answer is invalid: "),
        (stalls, "the policy did not answer within 1 ms"),
    ];
    for (shadow, says) in cases {
        let (engine, entries) = lived("good", PolicyName::RULE, Some(shadow));
        assert_eq!(decided(&entries), expected, "{says}");
        let faults = faults(&entries);
        assert!(faults.len() == 1 && faults[0].starts_with(says), "{faults:?}");
        assert!(engine.state().alarm(&AlarmKind::PolicyFault).is_none(), "nothing holds");
        assert_eq!(entries.iter().filter(|entry| is_shadow(entry)).count(), 1);
    }
}

#[test]
fn a_shadow_of_the_same_kind_never_differs() {
    for lead in [PolicyName::RULE, PolicyName::PPO_MASTER, PolicyName::RANDOM] {
        let (_, entries) = lived("default", lead, Some(of(lead)));
        let news: Vec<&Entry> = entries.iter().filter(|entry| is_shadow(entry)).collect();
        assert!(news.is_empty(), "{lead}: {news:?}");
    }
}

/// What is expected of a shadow that always holds: it differs where the policy in charge moves something, and agrees again
/// at the next tick, where there still is something to decide.
fn expected(entries: &[Entry], interval: Millis) -> Vec<(Millis, FlagId, Action)> {
    let mut expected = Vec::new();
    let moves = entries.iter().filter_map(|entry| match &entry.event {
        Event::Decided(decision) if decision.outcome != Outcome::Enforced && decision.from != decision.to => {
            Some((entry.at, decision))
        }
        _ => None,
    });
    for (at, Decision { flag, action, to, .. }) in moves {
        expected.push((at, *flag, *action));
        if !to.is_full() && !to.is_zero() {
            expected.push((at + interval, *flag, Action::Hold));
        }
    }
    expected.sort_by_key(|(at, flag, _)| (*at, *flag));
    expected
}

#[test]
fn it_is_journalled_where_it_begins_to_differ_and_where_it_agrees_again() {
    let good = scenario("good");
    let (engine, entries) = lived("good", PolicyName::RULE, Some(guarded(Box::new(Bad::Holds), PATIENCE)));
    assert_eq!(engine.state().flags[0].phase, Phase::Complete);
    let mut found = Vec::new();
    for entry in &entries {
        if let Event::Shadow { flag, policy, would, did, from, reason, .. } = &entry.event {
            assert_eq!((policy.as_str(), *would, &entry.actor), ("bad", Action::Hold, &Actor::System));
            assert_eq!(entry.flag.as_ref(), Some(&good.flags[0].spec.key));
            if would == did {
                assert!(entry.sentence.contains("the shadow bad agrees again: hold"), "{}", entry.sentence);
            } else {
                let says = format!(
                    "at {from}: the shadow bad would hold; the decision was: {did}. Observed: {reason}"
                );
                assert!(entry.sentence.contains(&says), "{says}: {}", entry.sentence);
            }
            found.push((entry.at, *flag, *did));
        }
    }
    assert!(found.len() > 6, "{found:?}");
    assert_eq!(found, expected(&entries, good.interval));
    assert!(entries.iter().all(|entry| Event::KINDS.contains(&entry.event.kind())));
}

#[test]
fn after_a_restart_it_resumes_where_it_was() {
    let (_, whole) = lived("default", PolicyName::RULE, Some(of(PolicyName::PPO_MASTER)));
    let disk = Disk::default();
    let mut engine =
        Engine::begin(made("default", PolicyName::RULE, Some(of(PolicyName::PPO_MASTER)), &disk)).unwrap();
    for part in [40, 41, 97] {
        for _ in 0..part {
            engine.step();
        }
        let until = engine.now();
        drop(engine);
        let setup = Setup {
            log: disk.reopened(),
            ..made("default", PolicyName::RULE, Some(of(PolicyName::PPO_MASTER)), &disk)
        };
        engine = Engine::resume(setup, until).unwrap();
    }
    while !engine.done() {
        engine.step();
    }
    assert!(whole.iter().any(is_shadow));
    assert_eq!(engine.entries(None, usize::MAX).unwrap(), whole);
}
