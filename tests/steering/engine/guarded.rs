//! The policy behind its deadline: stalls, panics and the death of its thread mean hold and an alarm, never a stopped
//! engine; the shield still rolls back.

use std::{
    panic::panic_any,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use knightwatch_core::{
    control::{Action, ActionMask, AlarmKind, Observation, Phase, Policy, PolicyFault, Proposal},
    flag::{FlagId, Ladder, Rollout},
    telemetry::{Millis, WindowReport},
};
use knightwatch_engine::{Engine, Guarded};

use super::disk::{Disk, scenario, setup, spike, steps};

/// Long enough for an answer that comes, on any machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Short enough to be waited for.
const DEADLINE: Duration = Duration::from_millis(100);

/// What the policy does when it is asked.
enum PuppetAnswer {
    Raise,
    Panic,
    /// Panics with something whose end panics too: its thread does not survive that.
    Die,
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("the panic's own message panics");
    }
}

/// Answers only when it is told to, and says when it is asked.
struct Puppet {
    asked: mpsc::Sender<()>,
    told: mpsc::Receiver<PuppetAnswer>,
}

impl Policy for Puppet {
    fn name(&self) -> &'static str {
        "puppet"
    }

    fn propose(&mut self, seen: &[Observation<'_>], out: &mut Vec<Proposal>) -> Result<(), PolicyFault> {
        let _ = self.asked.send(());
        // Whoever pulls the strings has gone: it holds.
        let answer = self.told.recv().unwrap_or(PuppetAnswer::Raise);
        match answer {
            PuppetAnswer::Raise => {
                let raise = |seen: &Observation<'_>| {
                    Proposal::to(Action::RaiseTo(seen.mask.raise_to.unwrap_or(Rollout::FULL)))
                };
                out.extend(seen.iter().map(raise));
                Ok(())
            }
            PuppetAnswer::Panic => panic!("the weights are gone"),
            PuppetAnswer::Die => panic_any(Bomb),
        }
    }
}

fn puppet(deadline: Duration) -> (Guarded, mpsc::Sender<PuppetAnswer>, mpsc::Receiver<()>) {
    let (asked, was_asked) = mpsc::channel();
    let (tell, told) = mpsc::channel();
    (Guarded::new(Box::new(Puppet { asked, told }), deadline).unwrap(), tell, was_asked)
}

/// Asks about one flag.
fn ask(guarded: &mut Guarded) -> Result<Vec<Proposal>, PolicyFault> {
    let (ladder, report) = (Ladder::default(), WindowReport::default());
    let seen = Observation {
        flag: FlagId(0),
        ramp: 1,
        now: Millis::from_secs(100),
        interval: Millis::from_secs(10),
        phase: Phase::Ramping,
        rollout: Rollout::ZERO,
        ladder: &ladder,
        since_change: Millis::ZERO,
        report: &report,
        latest: &[None; 2],
        slower: None,
        moving_in_service: 0,
        mask: ActionMask::default(),
    };
    let mut proposals = Vec::new();
    guarded.propose(&[seen], &mut proposals).map(|()| proposals)
}

#[test]
fn a_stalled_policy_is_not_asked_again_until_it_has_answered_and_its_late_answer_counts_for_nothing() {
    let (mut guarded, tell, asked) = puppet(DEADLINE);
    assert_eq!(guarded.name(), "puppet");
    assert_eq!(ask(&mut guarded), Err(PolicyFault::Stalled(Millis(100))));
    asked.recv_timeout(PATIENCE).unwrap();
    let begun = Instant::now();
    for _ in 0..100 {
        assert!(matches!(ask(&mut guarded), Err(PolicyFault::Stalled(_))));
    }
    assert!(begun.elapsed() < 50 * DEADLINE, "while it owes an answer nobody waits for it");
    assert!(asked.try_recv().is_err(), "nor asks it");
    // The late answer is a panic; what counts is the answer to the question after it.
    tell.send(PuppetAnswer::Panic).unwrap();
    tell.send(PuppetAnswer::Raise).unwrap();
    let begun = Instant::now();
    let answer = loop {
        match ask(&mut guarded) {
            Err(PolicyFault::Stalled(_)) if begun.elapsed() < PATIENCE => thread::yield_now(),
            answer => break answer,
        }
    };
    assert_eq!(answer.unwrap().len(), 1);
}

#[test]
fn a_policy_that_panics_is_told_and_asked_again() {
    let (mut guarded, tell, _asked) = puppet(PATIENCE);
    tell.send(PuppetAnswer::Panic).unwrap();
    assert_eq!(ask(&mut guarded), Err(PolicyFault::Panicked("the weights are gone".to_owned())));
    tell.send(PuppetAnswer::Raise).unwrap();
    assert_eq!(ask(&mut guarded).unwrap().len(), 1);
}

#[test]
fn a_policy_whose_thread_has_died_is_a_fault_for_ever_and_stops_nothing() {
    let (mut guarded, tell, _asked) = puppet(PATIENCE);
    tell.send(PuppetAnswer::Die).unwrap();
    for _ in 0..3 {
        assert_eq!(ask(&mut guarded), Err(PolicyFault::Panicked("its thread has ended".to_owned())));
    }
}

#[test]
fn under_a_stalled_policy_everything_holds_an_alarm_stands_and_the_shield_rolls_back() {
    let (guarded, tell, asked) = puppet(DEADLINE);
    let disk = Disk::default();
    let mut engine = Engine::begin(setup(&spike(), 1, Box::new(guarded), Box::new(disk.clone()))).unwrap();
    // Started at 30 s, asked from the fourth step on.
    steps(&mut engine, 4);
    asked.recv_timeout(PATIENCE).unwrap();
    let alarm = engine.state().alarm(&AlarmKind::PolicyFault).expect("an alarm");
    assert!(alarm.text.contains("did not answer within 100 ms"), "{}", alarm.text);
    let news = steps(&mut engine, 60);
    assert!(news.iter().all(|entry| !entry.event.is_raise()), "{news:?}");
    let rollout = engine.state().flags[0].rollout;
    assert_eq!(rollout, Ladder::default().first());
    assert!(engine.state().alarm(&AlarmKind::PolicyFault).is_some(), "as long as it stalls");
    // A person has more at stake; the errors come in minute 12, while the policy still stalls.
    engine.order(&super::disk::order("set", super::disk::set(&super::disk::checkout(), 50.0))).unwrap();
    let news = steps(&mut engine, 40);
    assert!(news.iter().any(|entry| entry.event.kind() == "rollback"), "{news:?}");
    assert_eq!(engine.state().flags[0].rollout, Rollout::ZERO);
    drop(tell);
}

#[test]
fn the_alarm_ends_when_the_policy_answers_again() {
    let (guarded, tell, asked) = puppet(DEADLINE);
    let disk = Disk::default();
    let mut engine =
        Engine::begin(setup(&scenario("good"), 1, Box::new(guarded), Box::new(disk.clone()))).unwrap();
    steps(&mut engine, 4);
    assert!(engine.state().alarm(&AlarmKind::PolicyFault).is_some());
    asked.recv_timeout(PATIENCE).unwrap();
    // The late answer, and one to each question that comes.
    for _ in 0..400 {
        tell.send(PuppetAnswer::Raise).unwrap();
    }
    let begun = Instant::now();
    while engine.state().alarm(&AlarmKind::PolicyFault).is_some() {
        assert!(begun.elapsed() < PATIENCE && !engine.done(), "the alarm still stands");
        // Each step that finds no answer yet costs simulated time: the answer is waited for, not raced.
        if asked.recv_timeout(DEADLINE).is_err() {
            thread::yield_now();
        }
        engine.step();
    }
    steps(&mut engine, 60);
    assert!(engine.state().flags[0].rollout > Ladder::default().first(), "and the agent goes on");
}
