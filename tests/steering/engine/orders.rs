//! Orders against a disk that works, fails, lies and comes back.

use std::sync::{Arc, Mutex, mpsc};

use knightwatch_agent::PolicyName;
use knightwatch_core::{
    control::{AlarmKind, Command, Entry, Event, OrderId, Phase, Refusal, Seq, State},
    flag::Rollout,
    telemetry::{Millis, Sample},
};
use knightwatch_engine::{Engine, FlagsOff, Log, Observer, OrderError, Pace, run};
use knightwatch_store::{Journal, SessionMeta, StoreError, verify};

use super::disk::{Disk, Gone, begun, checkout, folded, order, rearm, scenario, set, setup, spike, steps};

fn kills(entries: &[Entry]) -> usize {
    entries.iter().filter(|entry| matches!(entry.event, Event::KilledAll { .. })).count()
}

/// Notes when it is told, among what the disk was asked.
struct RecordingObserver(Disk, Arc<Mutex<Vec<String>>>);

impl Observer for RecordingObserver {
    fn happened(&mut self, _: &Engine, _: Pace, news: &[Entry], _: bool) {
        if !news.is_empty() {
            let calls = std::mem::take(&mut self.0.get().calls);
            let mut all = self.1.lock().unwrap();
            all.extend(calls);
            all.push("told".to_owned());
        }
    }
}

#[test]
fn an_order_is_acknowledged_only_after_the_journal_took_it() {
    let disk = Disk::default();
    let engine = begun(&scenario("good"), 1, &disk);
    let (open, gate) = mpsc::channel();
    disk.get().gate = Some(gate);
    disk.get().calls.clear();
    let heard = Arc::default();
    let handle =
        run(engine, Pace::Stopped, Box::new(RecordingObserver(disk.clone(), Arc::clone(&heard)))).unwrap();
    let mut answer = handle.order(order("one", Command::Start { flag: checkout() }));
    assert!(answer.try_recv().is_err(), "the disk has not answered");
    open.send(()).unwrap();
    let ack = answer.blocking_recv().unwrap().unwrap();
    assert!(ack.durable);
    drop(handle);
    assert_eq!(
        *heard.lock().unwrap(),
        [format!("write {}", ack.seq), "written".to_owned(), "told".to_owned()]
    );
}

#[test]
fn an_answer_of_an_older_journal_counts_by_its_id_alone() {
    let (disk, scene) = (Disk::default(), scenario("good"));
    let mut engine = begun(&scene, 1, &disk);
    let (ack, _) = engine.order(&order("one", Command::Start { flag: checkout() })).unwrap();
    let kept = disk.get().answers[&OrderId("one".to_owned())].clone();
    assert!(kept.contains("\"of\":\""), "{kept}");
    // As it was written before: the acknowledgement alone.
    disk.get().answers.insert(OrderId("one".to_owned()), serde_json::to_string(&ack).unwrap());
    let mut engine = super::disk::resumed(&scene, 1, PolicyName::RULE, &disk);
    let other = order("one", Command::Rollback { flag: checkout() });
    assert_eq!(engine.order(&other).unwrap(), (ack, Vec::new()));
}

#[test]
fn after_a_restart_an_order_id_is_still_of_one_command() {
    let (disk, scene) = (Disk::default(), scenario("good"));
    let start = order("one", Command::Start { flag: checkout() });
    let (ack, _) = begun(&scene, 1, &disk).order(&start).unwrap();
    let mut engine = super::disk::resumed(&scene, 1, PolicyName::RULE, &disk);
    let refused = engine.order(&order("one", Command::Rollback { flag: checkout() })).unwrap_err();
    assert_eq!(refused, OrderError::Refused(Refusal::IdUsed { id: "one".to_owned() }));
    assert_eq!(engine.order(&start).unwrap(), (ack, Vec::new()));
}

#[test]
fn a_failing_journal_refuses_an_order_and_nothing_has_changed() {
    let disk = Disk::default();
    let mut engine = begun(&scenario("good"), 1, &disk);
    let before = engine.state().clone();
    disk.fail(true);
    let start = order("one", Command::Start { flag: checkout() });
    for _ in 0..3 {
        let Err(OrderError::NotDurable(why)) = engine.order(&start) else { panic!("acknowledged") };
        assert!(why.contains("it is full"), "{why}");
    }
    assert_eq!(*engine.state(), before);
    assert_eq!(disk.state(), before);
    // A refusal stays a refusal: it says what is wrong with the order, not with the disk.
    let refused = engine.order(&order("two", rearm())).unwrap_err();
    assert!(matches!(refused, OrderError::Refused(_)), "{refused}");
    disk.fail(false);
    let (ack, news) = engine.order(&start).unwrap();
    assert!(ack.durable && news.len() == 1);
    assert_eq!(engine.state().flags[0].phase, Phase::Ramping);
    assert_eq!(disk.state(), *engine.state());
}

#[test]
fn kill_all_without_a_disk_is_in_force_says_so_and_is_journalled_once_when_the_disk_is_back() {
    let (disk, scene) = (Disk::default(), scenario("good"));
    let mut engine = begun(&scene, 1, &disk);
    steps(&mut engine, 30);
    assert!(engine.state().exposed() > 0, "there is traffic to be cut off");
    disk.fail(true);
    let kill = order("kill", Command::KillAll);
    let (ack, _) = engine.order(&kill).unwrap();
    assert!(!ack.durable);
    assert!(ack.warnings.iter().any(|text| text.contains("in force, NOT durable")), "{ack:?}");
    assert_eq!(ack.flags_off, Some(FlagsOff { off: 1, of: 1 }));
    assert!(engine.state().latch.is_some());
    assert_eq!(engine.state().flags[0].rollout, Rollout::ZERO);
    assert!(disk.state().latch.is_none());
    assert_eq!(engine.order(&kill).unwrap(), (ack, Vec::new()), "the same order acts once");
    assert_eq!(kills(&engine.entries(None, 5).unwrap()), 1, "the outbox is shown");
    steps(&mut engine, 3);
    assert_eq!(kills(&disk.entries()), 0);
    disk.fail(false);
    steps(&mut engine, 1);
    assert_eq!(kills(&disk.entries()), 1);
    assert_eq!(disk.state(), *engine.state());
    let (again, news) = engine.order(&kill).unwrap();
    assert!(again.durable && news.is_empty(), "now it is on disk: {again:?}");
    steps(&mut engine, 20);
    assert_eq!(kills(&disk.entries()), 1);
    // The answer is on disk too: the same order acts once also after a restart.
    let mut engine = super::disk::resumed(&scene, 1, PolicyName::RULE, &disk);
    assert!(engine.state().latch.is_some());
    assert_eq!(engine.order(&kill).unwrap(), (again, Vec::new()));
}

#[test]
fn outbox_entries_are_written_in_the_order_in_which_they_happened() {
    let disk = Disk::default();
    let mut engine = begun(&scenario("good"), 1, &disk);
    steps(&mut engine, 30);
    disk.fail(true);
    engine.order(&order("first", Command::KillAll)).unwrap();
    steps(&mut engine, 2);
    engine.order(&order("second", Command::KillAll)).unwrap();
    let shown = engine.entries(None, 4).unwrap();
    disk.fail(false);
    steps(&mut engine, 1);
    let entries = disk.entries();
    let kinds: Vec<_> = entries.iter().map(|entry| entry.event.kind()).collect();
    assert!(kinds.ends_with(&["kill-all", "alarm", "kill-all", "alarm-cleared"]), "{kinds:?}");
    assert_eq!(
        entries[entries.len() - 4..entries.len() - 1],
        shown[1..],
        "as it was shown while it was in the outbox"
    );
}

#[test]
fn a_write_that_reached_the_disk_although_it_was_reported_as_failed_counts_once() {
    let disk = Disk::default();
    let mut engine = begun(&scenario("good"), 1, &disk);
    steps(&mut engine, 1);
    (disk.get().failing, disk.get().lands) = (true, true);
    let start = order("start", Command::Start { flag: checkout() });
    assert!(matches!(engine.order(&start), Err(OrderError::NotDurable(_))));
    assert_eq!(engine.state().flags[0].phase, Phase::Idle, "nobody said that it was done");
    // The kill-all, numbered as the start on the disk is, has to come after it.
    let (ack, _) = engine.order(&order("kill", Command::KillAll)).unwrap();
    assert!(!ack.durable);
    disk.fail(false);
    let news = steps(&mut engine, 1);
    assert!(news.iter().any(|entry| matches!(entry.event, Event::Started { .. })), "it is news: {news:?}");
    assert_eq!(disk.state(), *engine.state());
    assert!(engine.state().latch.is_some());
    assert_eq!(engine.state().flags[0].rollout, Rollout::ZERO);
    assert_eq!(kills(&disk.entries()), 1);
    let (known, news) = engine.order(&start).unwrap();
    assert!(known.durable && news.is_empty(), "it acted: {known:?}");
}

#[test]
fn a_kill_all_whose_write_reached_the_disk_is_not_written_again() {
    let disk = Disk::default();
    let mut engine = begun(&scenario("good"), 1, &disk);
    steps(&mut engine, 30);
    (disk.get().failing, disk.get().lands) = (true, true);
    let kill = order("kill", Command::KillAll);
    assert!(!engine.order(&kill).unwrap().0.durable);
    disk.fail(false);
    steps(&mut engine, 3);
    assert_eq!(kills(&disk.entries()), 1);
    assert_eq!(disk.state(), *engine.state());
    assert!(engine.order(&kill).unwrap().0.durable);
}

/// The disk is there when the engine begins, and gone afterwards.
struct Pulled(Option<Disk>);

impl Log for Pulled {
    fn append(&mut self, order: Option<(&OrderId, &str)>, entries: &[Entry]) -> Result<(), StoreError> {
        match self.0.take() {
            Some(mut disk) => disk.append(order, entries),
            None => Gone.append(order, entries),
        }
    }

    fn append_tick(&mut self, entries: &[Entry], at: Millis, samples: &[Sample]) -> Result<(), StoreError> {
        Gone.append_tick(entries, at, samples)
    }

    fn outcome(&self, order: &OrderId) -> Result<Option<String>, StoreError> {
        Gone.outcome(order)
    }

    fn recover(&mut self) -> Result<Seq, StoreError> {
        Gone.recover()
    }

    fn before(&self, before: Option<Seq>, limit: usize) -> Result<Vec<Entry>, StoreError> {
        Gone.before(before, limit)
    }

    fn all(&self) -> Result<Vec<Entry>, StoreError> {
        Gone.all()
    }
}

#[test]
fn kill_all_acts_where_the_journal_can_be_neither_read_nor_written() {
    let scene = scenario("good");
    let log = Box::new(Pulled(Some(Disk::default())));
    let policy = PolicyName::RULE.build(1);
    let mut engine = Engine::begin(setup(&scene, 1, policy, log)).unwrap();
    let kill = order("kill", Command::KillAll);
    let (ack, news) = engine.order(&kill).unwrap();
    assert!(!ack.durable && news.len() == 1);
    assert_eq!(engine.order(&kill).unwrap(), (ack, Vec::new()), "once, from memory");
    assert!(engine.entries(None, 5).is_err(), "what cannot be read is no empty journal");
    steps(&mut engine, 20);
    assert!(engine.state().latch.is_some() && engine.state().exposed() == 0);
}

#[test]
fn a_scheduled_start_that_met_a_failing_disk_comes_when_it_is_back() {
    let disk = Disk::default();
    let mut engine = begun(&scenario("good"), 1, &disk);
    disk.fail(true);
    steps(&mut engine, 10);
    assert_eq!(engine.state().flags[0].phase, Phase::Idle, "a start is no thing to do without a journal");
    disk.fail(false);
    steps(&mut engine, 1);
    assert_eq!(engine.state().flags[0].phase, Phase::Ramping);
    assert_eq!(disk.state(), *engine.state());
}

#[test]
fn while_the_journal_fails_the_agent_raises_nothing_and_an_alarm_stands() {
    let disk = Disk::default();
    let mut engine = begun(&scenario("good"), 1, &disk);
    steps(&mut engine, 30);
    let held = engine.state().flags[0].rollout;
    assert!(!held.is_zero() && !held.is_full());
    disk.fail(true);
    let news = steps(&mut engine, 100);
    assert!(news.iter().all(|entry| !entry.event.is_raise()), "{news:?}");
    assert_eq!(engine.state().flags[0].rollout, held);
    let alarm = engine.state().alarm(&AlarmKind::NotDurable).expect("an alarm");
    assert!(alarm.text.contains("it is full"), "{}", alarm.text);
    disk.fail(false);
    let news = steps(&mut engine, 1);
    assert!(engine.state().alarm(&AlarmKind::NotDurable).is_none());
    assert!(news.iter().any(|entry| matches!(entry.event, Event::AlarmCleared { .. })));
    steps(&mut engine, 200);
    assert!(engine.state().flags[0].rollout > held, "it goes on");
    let raised =
        |entry: &&Entry| matches!(entry.event, Event::AlarmRaised { kind: AlarmKind::NotDurable, .. });
    assert_eq!(disk.entries().iter().filter(raised).count(), 1, "the alarm was journalled, once");
    assert_eq!(disk.state(), *engine.state());
}

#[test]
fn while_the_journal_fails_the_shield_rolls_back() {
    let disk = Disk::default();
    let mut engine = begun(&spike(), 1, &disk);
    // The errors come in minute 12.
    steps(&mut engine, 70);
    assert!(engine.state().exposed() > 0);
    disk.fail(true);
    let news = steps(&mut engine, 30);
    assert!(news.iter().any(|entry| entry.event.kind() == "rollback"), "{news:?}");
    assert_eq!(engine.state().flags[0].phase, Phase::RolledBack);
    assert!(disk.state().exposed() > 0, "the disk knows nothing of it yet");
    disk.fail(false);
    steps(&mut engine, 1);
    assert_eq!(disk.state(), *engine.state());
    assert_eq!(disk.state().flags[0].phase, Phase::RolledBack);
}

#[test]
fn the_same_order_acts_once_also_after_a_restart_on_the_real_journal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.knightwatch");
    let scene = scenario("good");
    let meta = SessionMeta { started_at: scene.start, interval: scene.interval, ..SessionMeta::default() };
    let journal = Journal::create(&path, &meta).unwrap();
    let policy = || PolicyName::RULE.build(3);
    let mut engine = Engine::begin(setup(&scene, 3, policy(), Box::new(journal))).unwrap();
    steps(&mut engine, 30);
    let orders = [
        order("a", set(&checkout(), 37.5)),
        order("b", Command::Pause { flag: checkout() }),
        order("c", Command::KillAll),
        order("d", rearm()),
        order("e", Command::AcknowledgeBriefing),
    ];
    let answers: Vec<_> =
        orders.iter().filter_map(|order| engine.order(order).ok()).map(|(ack, _)| ack).collect();
    assert_eq!(answers.len(), orders.len(), "{answers:?}");
    let (state, entries) = (engine.state().clone(), engine.entries(None, usize::MAX).unwrap());
    drop(engine);
    let journal = Journal::open(&path).unwrap();
    let until = journal.last_tick().unwrap();
    let mut engine = Engine::resume(setup(&scene, 3, policy(), Box::new(journal)), until).unwrap();
    assert_eq!(*engine.state(), state);
    let again: Vec<_> = orders.iter().filter_map(|order| engine.order(order).ok()).collect();
    assert!(again.iter().all(|(_, news)| news.is_empty()), "{again:?}");
    assert_eq!(again.into_iter().map(|(ack, _)| ack).collect::<Vec<_>>(), answers);
    assert_eq!(engine.entries(None, usize::MAX).unwrap(), entries);
    drop(engine);
    let report = verify(&path).unwrap();
    assert!(
        report.is_sound() && report.recorded == Some(report.head),
        "the second head is up to date: {report}"
    );
    assert_eq!(folded(&entries), state);
}

#[test]
fn a_flag_declared_twice_is_refused_before_anything_is_journalled() {
    let disk = Disk::default();
    let mut setup = setup(&scenario("good"), 1, PolicyName::RULE.build(1), Box::new(disk.clone()));
    let twice = setup.specs[0].clone();
    setup.specs.push(twice);
    let error = Engine::begin(setup).err().unwrap().to_string();
    assert!(error.contains("new-checkout-ui was used before"), "{error}");
    assert_eq!(disk.state(), State::default());
}

#[test]
fn entries_come_in_pages() {
    let disk = Disk::default();
    let mut engine = begun(&scenario("default"), 7, &disk);
    steps(&mut engine, 120);
    let all = engine.entries(None, usize::MAX).unwrap();
    assert_eq!(all, disk.entries());
    let mut pages: Vec<Entry> = Vec::new();
    let mut before = None;
    loop {
        let page = engine.entries(before, 7).unwrap();
        assert!(page.len() <= 7);
        let Some(first) = page.first() else { break };
        before = Some(first.seq);
        pages.splice(0..0, page);
    }
    assert_eq!(pages, all);
}
