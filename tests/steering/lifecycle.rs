//! What becomes of flags, alarms and the latch beyond their daily round: shelved, changed, archived, re-armed by two. Each
//! run is folded again from its journal, written out and read in, and has to come out the same.
#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation, reason = "a test")]
#![allow(clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "the sampler")]

use crate::support::fleet;

use fleet::{Fleet, key};
use knightwatch_agent::PolicyName;
use knightwatch_core::{
    control::{
        Actor, Alarm, AlarmId, AlarmKind, Command, Entry, Event, Latch, Order, OrderId, Phase, PolicyFault,
        Priority, Refusal, SpecChange, State, decide,
    },
    flag::{Deployment, Ladder, Rollout, ServiceName},
    telemetry::Millis,
};

const MINUTE: Millis = Millis::from_secs(60);

/// The state that the journal comes to, as it lies on a disk.
fn replayed(journal: &[Entry]) -> State {
    let mut state = State::default();
    for entry in journal {
        let text = serde_json::to_string(entry).unwrap();
        state.apply(&serde_json::from_str(&text).unwrap());
    }
    state
}

fn same_again(fleet: &Fleet) {
    assert_eq!(replayed(&fleet.journal), fleet.state);
    for entry in &fleet.journal {
        assert!(Event::KINDS.contains(&entry.event.kind()), "{}", entry.event.kind());
    }
}

fn rule() -> Box<dyn knightwatch_core::control::Policy> {
    PolicyName::RULE.build(0)
}

/// A fleet whose flag 1 was rolled back, with its alarm.
fn with_an_alarm() -> (Fleet, Alarm) {
    let mut fleet = Fleet::new(3, 5);
    fleet.behaviours[1].errors_treatment = 0.5;
    fleet.run(rule().as_mut(), 12);
    fleet.start_all();
    fleet.run(rule().as_mut(), 12);
    let alarm = fleet.state.alarms.iter().find(|alarm| alarm.kind == AlarmKind::RolledBack(key(1)));
    let alarm = alarm.expect("it was rolled back").clone();
    (fleet, alarm)
}

#[test]
fn a_shelved_alarm_stays_counted_and_comes_back_by_itself() {
    let (mut fleet, alarm) = with_an_alarm();
    let shelve = |lasts| Command::Shelve { alarm: alarm.id, lasts };
    let refused = fleet.order_by("ada", None, " ", shelve(MINUTE)).unwrap_err();
    assert_eq!(refused.to_string(), "shelving an alarm needs a reason");
    for wrong in [Millis::ZERO, Millis::from_secs(59), Millis::from_secs(8 * 3_600 + 1), Millis(u64::MAX)] {
        let refused = fleet.order(shelve(wrong)).unwrap_err();
        assert!(refused.to_string().starts_with("an alarm is shelved for 1 min to 8 h, found "), "{refused}");
    }
    let unknown = Command::Shelve { alarm: AlarmId(99), lasts: MINUTE };
    assert_eq!(fleet.order(unknown).unwrap_err(), Refusal::NoAlarm(AlarmId(99)));
    assert!(alarm.is_open());
    fleet.order(shelve(MINUTE)).unwrap();
    let on_shelf = |fleet: &Fleet| {
        let alarm = fleet.state.alarms.iter().find(|other| other.id == alarm.id).expect("it stays counted");
        alarm.shelf.clone()
    };
    let shelf = on_shelf(&fleet).unwrap();
    assert_eq!((shelf.by.as_str(), shelf.why.as_str()), ("ada", "because"));
    fleet.run(rule().as_mut(), 5);
    assert!(on_shelf(&fleet).is_some(), "50 s");
    same_again(&fleet);
    fleet.run(rule().as_mut(), 1);
    assert!(on_shelf(&fleet).is_none(), "60 s");
    let back = fleet.journal.iter().filter(|entry| matches!(entry.event, Event::AlarmUnshelved { .. }));
    let back: Vec<&Entry> = back.collect();
    assert!(back.len() == 1 && back[0].sentence.contains(&alarm.text), "{back:?}");
    assert_eq!(back[0].flag, Some(key(1)));
    same_again(&fleet);
}

#[test]
fn what_is_critical_is_never_hidden() {
    struct Stalls;
    impl knightwatch_core::control::Policy for Stalls {
        fn name(&self) -> &'static str {
            "stalls"
        }
        fn propose(
            &mut self,
            _: &[knightwatch_core::control::Observation<'_>],
            _: &mut Vec<knightwatch_core::control::Proposal>,
        ) -> Result<(), PolicyFault> {
            Err(PolicyFault::Stalled(Millis(250)))
        }
    }
    let mut fleet = Fleet::new(1, 5);
    fleet.start_all();
    fleet.tick(&mut Stalls);
    let alarm = fleet.state.alarm(&AlarmKind::PolicyFault).expect("an alarm").clone();
    assert_eq!(alarm.priority(), Priority::Critical);
    let refused = fleet.order(Command::Shelve { alarm: alarm.id, lasts: MINUTE }).unwrap_err();
    assert!(refused.to_string().contains("the highest priority is never hidden"), "{refused}");
}

#[test]
fn a_new_rollback_is_not_hidden_by_the_shelf_of_the_one_before() {
    let (mut fleet, alarm) = with_an_alarm();
    fleet.order(Command::Shelve { alarm: alarm.id, lasts: Millis::from_secs(3_600) }).unwrap();
    fleet.order(Command::Start { flag: key(1) }).unwrap();
    fleet.run(rule().as_mut(), 30);
    let again = fleet.state.alarms.iter().find(|other| other.kind == alarm.kind).unwrap();
    assert!(again.raised_at > alarm.raised_at && again.is_open(), "{again:?}");
    same_again(&fleet);
}

fn rearm() -> Command {
    Command::Rearm { environment: "test".to_owned() }
}

fn latch(fleet: &Fleet) -> &Latch {
    fleet.state.latch.as_ref().expect("the latch")
}

#[test]
fn re_arming_by_two_takes_another_person_than_the_one_who_asked() {
    let mut fleet = Fleet::new(2, 5);
    fleet.config.rearm.two_people = true;
    fleet.start_all();
    fleet.order(Command::KillAll).unwrap();
    assert!(fleet.order_by("ana", Some("ana"), "", rearm()).is_err(), "without a reason");
    let asked = fleet.order_by("ana", Some("ana"), "over", rearm()).unwrap();
    assert_eq!(asked[0].event.kind(), "re-arm-asked");
    assert!(asked[0].sentence.contains("requested by ana"), "{}", asked[0].sentence);
    let until = latch(&fleet).asked_at(fleet.now).unwrap().until;
    assert_eq!(until, Millis(fleet.now.0 + 600_000));
    same_again(&fleet);
    // The same person, whatever they claim to be.
    for claimed in ["ana", "ana (says bob)", "bob"] {
        let refused = fleet.order_by(claimed, Some("ana"), "over", rearm()).unwrap_err();
        let said = refused.to_string();
        assert!(
            said.starts_with("needs another person: ana requested it at ") && said.contains("UTC"),
            "{said}"
        );
    }
    assert!(fleet.state.latch.is_some());
    // Whoever agrees reads the environment's name too.
    let wrong = Command::Rearm { environment: "prod".to_owned() };
    assert!(fleet.order_by("bob", Some("bob"), "over", wrong).is_err());
    let agreed = fleet.order_by("bob", Some("bob"), "over", rearm()).unwrap();
    assert!(agreed[0].event == Event::Rearmed && fleet.state.latch.is_none());
    assert!(fleet.state.flags.iter().all(|flag| flag.phase == Phase::Killed), "it starts nothing");
    same_again(&fleet);
}

#[test]
fn asking_to_re_arm_is_over_after_its_time_and_with_another_kill_all() {
    let mut fleet = Fleet::new(2, 5);
    fleet.config.rearm.two_people = true;
    fleet.order(Command::KillAll).unwrap();
    fleet.order_by("ana", Some("ana"), "over", rearm()).unwrap();
    // Another kill-all in between.
    fleet.order(Command::KillAll).unwrap();
    assert!(latch(&fleet).asked.is_none());
    fleet.order_by("bob", Some("bob"), "over", rearm()).unwrap();
    assert!(fleet.state.latch.is_some(), "bob only asks now");
    fleet.now = Millis(fleet.now.0 + 600_000);
    assert!(latch(&fleet).asked_at(fleet.now).is_none());
    let again = fleet.order_by("ana", Some("ana"), "over", rearm()).unwrap();
    assert_eq!(again[0].event.kind(), "re-arm-asked", "bob's is too old");
    fleet.order_by("bob", Some("bob"), "over", rearm()).unwrap();
    assert!(fleet.state.latch.is_none());
    same_again(&fleet);
}

/// What a person is warned of who starts flag 1.
fn warned(fleet: &Fleet) -> Vec<String> {
    let order = Order {
        id: OrderId("look".to_owned()),
        actor: Actor::Person("ada".to_owned()),
        authenticated: None,
        reason: String::new(),
        expected: None,
        command: Command::Start { flag: key(1) },
    };
    decide(&fleet.state, &fleet.telemetry_state, &fleet.config, fleet.now, &order).unwrap().warnings
}

#[test]
fn a_start_says_that_the_last_ramp_was_rolled_back_also_after_a_kill_all() {
    let (mut fleet, alarm) = with_an_alarm();
    fleet.order(Command::KillAll).unwrap();
    fleet.order(rearm()).unwrap();
    assert_eq!(fleet.state.flags[1].last.as_ref().unwrap().what, "killed");
    let said = format!("its last ramp ended with an automatic rollback at {}", alarm.raised_at.stamp());
    assert!(warned(&fleet).contains(&said), "{:?}", warned(&fleet));
    same_again(&fleet);
    // The next ramp has nothing to do with it.
    fleet.order(Command::Start { flag: key(1) }).unwrap();
    fleet.order(Command::Rollback { flag: key(1) }).unwrap();
    assert!(!warned(&fleet).contains(&said), "{:?}", warned(&fleet));
}

#[test]
fn a_fault_of_the_definitions_is_one_alarm_until_it_is_over_and_another_fault_is_news() {
    let mut fleet = Fleet::new(1, 5);
    let definitions = |fault: Option<&str>| Command::Definitions { fault: fault.map(str::to_owned) };
    let nothing = |refused: Result<_, Refusal>| matches!(refused, Err(Refusal::Nothing(_)));
    assert!(nothing(fleet.order(definitions(None))));
    fleet.order(definitions(Some("a.json, line 1"))).unwrap();
    let alarm = fleet.state.alarm(&AlarmKind::Definitions).expect("an alarm").clone();
    assert_eq!(alarm.text, "Flag definitions were not changed: a.json, line 1.");
    fleet.run(rule().as_mut(), 3);
    assert_eq!(fleet.state.alarm(&AlarmKind::Definitions), Some(&alarm), "no tick ends it");
    assert!(nothing(fleet.order(definitions(Some("a.json, line 1")))));
    fleet.order(Command::Acknowledge { alarm: alarm.id }).unwrap();
    fleet.order(definitions(Some("a.json, line 2"))).unwrap();
    let other = fleet.state.alarm(&AlarmKind::Definitions).expect("an alarm");
    assert!(other.is_open() && other.id == alarm.id && other.text.contains("line 2"), "{other:?}");
    fleet.order(definitions(None)).unwrap();
    assert!(fleet.state.alarm(&AlarmKind::Definitions).is_none());
    same_again(&fleet);
}

#[test]
fn another_kill_all_leaves_in_the_latch_who_was_first_and_why() {
    let mut fleet = Fleet::new(2, 5);
    fleet.start_all();
    let first = fleet.order_by("root", None, "db on fire", Command::KillAll).unwrap();
    let (set, at) = (latch(&fleet).clone(), fleet.now);
    assert_eq!((set.by.to_string().as_str(), set.reason.as_str(), set.exposed), ("root", "db on fire", 2));
    fleet.now = Millis(fleet.now.0 + 60_000);
    let second = fleet.order_by("alice", None, "me too", Command::KillAll).unwrap();
    assert!(second[0].sentence.contains("me too"), "it is in the journal: {second:?}");
    assert_eq!(*latch(&fleet), set);
    assert_eq!((set.at, set.seq), (at, first[0].seq));
    let last = fleet.state.flags[0].last.clone().unwrap();
    assert_eq!(
        (last.by.to_string().as_str(), last.at),
        ("root", at),
        "it killed nothing that was not killed"
    );
    same_again(&fleet);
    // One without a reason, and one after the latch was open, which is a latch of its own.
    fleet.order_by("root", None, "over", rearm()).unwrap();
    fleet.order_by("alice", None, "", Command::KillAll).unwrap();
    assert_eq!((latch(&fleet).by.to_string().as_str(), latch(&fleet).reason.as_str()), ("alice", ""));
}

fn ladder(percent: &[f64]) -> Ladder {
    let rungs: Vec<Rollout> = percent.iter().map(|rung| Rollout::from_percent(*rung).unwrap()).collect();
    Ladder::try_from(rungs).unwrap()
}

fn change(index: usize, change: SpecChange) -> Command {
    Command::Change { flag: key(index), change }
}

#[test]
fn a_change_moves_nothing_and_a_ramping_flag_must_be_on_the_new_ladder() {
    let mut fleet = Fleet::new(2, 5);
    let described = SpecChange { description: Some("what it is for".to_owned()), ..SpecChange::default() };
    fleet.order(change(0, described.clone())).unwrap();
    assert_eq!(fleet.state.flags[0].spec.description, "what it is for");
    assert_eq!(fleet.state.flags[0].version(), fleet.state.seq, "the ETag is another one");
    assert!(matches!(fleet.order(change(0, described)), Err(Refusal::Nothing(_))));
    assert!(matches!(fleet.order(change(0, SpecChange::default())), Err(Refusal::Nothing(_))));
    fleet.start_all();
    let set = Command::Set {
        flag: key(0),
        rollout: Rollout::from_percent(5.0).unwrap(),
        expires_in: None,
        guard_off: false,
    };
    fleet.order(set).unwrap();
    let before = fleet.state.flags[0].clone();
    let without = SpecChange { ladder: Some(ladder(&[1.0, 10.0, 99.0, 100.0])), ..SpecChange::default() };
    let refused = fleet.order(change(0, without.clone())).unwrap_err();
    assert!(refused.to_string().contains("at 5 %, which is no rung of the new ladder"), "{refused}");
    assert_eq!(fleet.state.flags[0], before);
    let with = SpecChange { ladder: Some(ladder(&[1.0, 5.0, 99.0, 100.0])), ..SpecChange::default() };
    let done = fleet.order(change(0, with)).unwrap();
    assert!(
        !done[0].event.is_raise() && done[0].sentence.contains("ladder 1 %, 5 %, 99 %, 100 %"),
        "{done:?}"
    );
    let after = &fleet.state.flags[0];
    assert_eq!(
        (after.rollout, after.phase, after.changed_at),
        (before.rollout, before.phase, before.changed_at)
    );
    // At rest there is nothing that it could move.
    fleet.order(Command::Rollback { flag: key(1) }).unwrap();
    fleet.order(change(1, without)).unwrap();
    same_again(&fleet);
}

#[test]
fn a_start_that_waits_keeps_the_deployment_that_it_waits_for() {
    let mut fleet = Fleet::new(1, 5);
    let wanted = Deployment { service: ServiceName("checkout".into()), artifact: None };
    let waits = SpecChange { deployment: Some(Some(wanted)), ..SpecChange::default() };
    fleet.order(change(0, waits)).unwrap();
    fleet.order(Command::Start { flag: key(0) }).unwrap();
    assert!(fleet.state.flags[0].waiting.is_some());
    let none = SpecChange { deployment: Some(None), ..SpecChange::default() };
    let refused = fleet.order(change(0, none.clone())).unwrap_err();
    assert!(refused.to_string().contains("roll it back first"), "{refused}");
    fleet.order(Command::Rollback { flag: key(0) }).unwrap();
    fleet.order(change(0, none)).unwrap();
    assert!(fleet.state.flags[0].spec.deployment.is_none());
    fleet.run(rule().as_mut(), 3);
    assert!(fleet.state.flags[0].rollout.is_zero(), "a change starts nothing");
    same_again(&fleet);
}

#[test]
fn an_archived_flag_is_out_of_everything_and_its_key_is_never_used_again() {
    let (mut fleet, _) = with_an_alarm();
    let archive = |index| Command::Archive { flag: key(index) };
    let refused = fleet.order(archive(0)).unwrap_err();
    assert!(matches!(refused, Refusal::WrongPhase { .. }), "it is moving: {refused}");
    fleet.order(archive(1)).unwrap();
    assert!(fleet.state.alarms.iter().all(|alarm| alarm.kind.flag() != Some(&key(1))), "no alarm of it");
    let spec = fleet.state.flags[1].spec.clone();
    assert_eq!(fleet.order(Command::Create { spec }).unwrap_err(), Refusal::KeyUsed { flag: key(1) });
    for command in [
        archive(1),
        Command::Start { flag: key(1) },
        Command::Rollback { flag: key(1) },
        Command::Promote { flag: key(1) },
        change(1, SpecChange { description: Some("x".to_owned()), ..SpecChange::default() }),
    ] {
        let refused = fleet.order(command).unwrap_err();
        assert!(refused.to_string().contains("flag-1 was archived at "), "{refused}");
    }
    // Nothing happens to it any more, whatever its telemetry says; kill-all has nothing to kill there.
    let before = fleet.state.flags[1].clone();
    fleet.run(rule().as_mut(), 30);
    fleet.order(Command::KillAll).unwrap();
    assert_eq!(fleet.state.flags[1], before);
    assert_eq!(fleet.state.alive().count(), 2);
    // A killed one is at rest too.
    fleet.order(archive(2)).unwrap();
    same_again(&fleet);
}

#[test]
fn a_complete_flag_that_is_archived_is_on_for_nobody_and_that_is_said() {
    let mut fleet = Fleet::new(1, 5);
    fleet.order(Command::Promote { flag: key(0) }).unwrap();
    fleet.run(rule().as_mut(), 3);
    let done = fleet.order(Command::Archive { flag: key(0) }).unwrap();
    assert!(done[0].sentence.contains("get the default in their own code"), "{}", done[0].sentence);
    assert_eq!(fleet.rollout(0), Rollout::ZERO);
    assert_eq!(fleet.state.exposed(), 0);
    fleet.behaviours[0].errors_treatment = 0.5;
    fleet.run(rule().as_mut(), 30);
    assert!(fleet.state.alarms.is_empty(), "{:?}", fleet.state.alarms);
    same_again(&fleet);
}
