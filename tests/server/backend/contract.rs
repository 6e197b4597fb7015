//! The contract itself. Nothing here knows which backend it is.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use knightwatch_core::{
    control::{Alarm, Command, Event, Phase, Refusal, Seq, SpecChange},
    flag::{FlagKey, Ladder, Rollout},
    telemetry::Millis,
};
use knightwatch_engine::backend::{
    Backend, Change, FlagsOff, Link, OrderError, Pace, Pending, Snapshot, Update,
};
use tokio::sync::mpsc::Receiver;

use crate::support::disk::{order, rearm, set};

/// Far longer than anything takes.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) fn wait<T>(pending: Pending<T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, pending).await.expect("an answer in time") })
}

fn next(updates: &mut Receiver<Update>) -> Update {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let next = async { tokio::time::timeout(PATIENCE, updates.recv()).await.expect("an update in time") };
    runtime.block_on(next).expect("the stream goes on")
}

/// A control room reduced to what it knows: a snapshot and the changes after it.
pub(crate) struct TestClient {
    updates: Receiver<Update>,
    pub(crate) seen: Snapshot,
    /// How many snapshots and how many changes came.
    pub(crate) snapshots: usize,
    pub(crate) changes: usize,
}

impl TestClient {
    pub(crate) fn of(backend: &Arc<dyn Backend>) -> Self {
        let mut updates = backend.subscribe();
        let Update::Snapshot(seen) = next(&mut updates) else { panic!("the first is a snapshot") };
        Self { updates, seen: (*seen).clone(), snapshots: 1, changes: 0 }
    }

    pub(crate) fn hear(&mut self) {
        match next(&mut self.updates) {
            Update::Snapshot(snapshot) => {
                self.snapshots += 1;
                self.seen = (*snapshot).clone();
            }
            Update::Change(change) => {
                self.changes += 1;
                self.apply(&change);
            }
            Update::Link(link) => {
                assert!(matches!(link, Link::Connected), "contact is never lost here: {link:?}");
            }
        }
    }

    fn apply(&mut self, change: &Change) {
        let mut known = self.seen.controller.seq;
        for entry in &change.entries {
            assert_eq!(entry.seq.0, known.0 + 1, "a gap");
            known = entry.seq;
        }
        assert_eq!(known, change.controller.seq, "a gap");
        assert!(change.controller.now >= self.seen.controller.now, "time does not go back");
        self.seen.apply(change);
    }

    pub(crate) fn until(&mut self, wanted: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !wanted(self) {
            assert!(
                begun.elapsed() < PATIENCE,
                "it does not come: {:?} at {}",
                self.seen.controller.seq,
                self.seen.controller.now
            );
            self.hear();
        }
    }
}

/// Lives through about so many intervals, and then stands still.
fn live(backend: &Arc<dyn Backend>, intervals: u64) {
    let mut client = TestClient::of(backend);
    let end = client.seen.controller.now.0 + intervals * client.seen.interval.0;
    backend.set_pace(Pace::Times(3_600)).unwrap();
    client.until(|client| client.seen.controller.now.0 >= end);
    backend.set_pace(Pace::Stopped).unwrap();
    client.until(|client| client.seen.controller.pace == Pace::Stopped);
}

fn first_flag(backend: &Arc<dyn Backend>) -> FlagKey {
    TestClient::of(backend).seen.flags[0].spec.key.clone()
}

pub(crate) fn the_first_update_is_a_snapshot_of_everything(backend: &Arc<dyn Backend>) {
    live(backend, 30);
    let seen = TestClient::of(backend).seen;
    assert_eq!(seen.environment, "test");
    assert!(!seen.flags.is_empty() && seen.flags.len() == seen.history.len());
    assert!(seen.history.iter().all(|points| points.len() >= 30));
    assert_eq!(seen.entries.last().unwrap().seq, seen.controller.seq);
    assert!(seen.flags.iter().enumerate().all(|(index, flag)| flag.id.index() == index));
}

pub(crate) fn changes_apply_without_a_gap(backend: &Arc<dyn Backend>) {
    let mut client = TestClient::of(backend);
    let flag = first_flag(backend);
    // So fast that there is much to tell, and no faster than a reader on a busy machine keeps up with: one that falls behind
    // gets a fresh snapshot, which is another test.
    backend.set_pace(Pace::Times(200)).unwrap();
    let end = client.seen.controller.now.0 + 40 * client.seen.interval.0;
    client.until(|client| client.seen.controller.now.0 >= end);
    for (number, command) in [
        Command::Pause { flag: flag.clone() },
        set(&flag, 12.0),
        Command::AcknowledgeBriefing,
        Command::Rollback { flag: flag.clone() },
    ]
    .into_iter()
    .enumerate()
    {
        // Whether the shield was faster is no matter here.
        let _ = wait(backend.send(order(&format!("order-{number}"), command)));
        let seen = client.changes;
        client.until(|client| client.changes > seen + 3);
    }
    backend.set_pace(Pace::Stopped).unwrap();
    client.until(|client| client.seen.controller.pace == Pace::Stopped);
    assert!(client.changes > 40 && client.snapshots == 1, "{} changes", client.changes);
    let fresh = TestClient::of(backend).seen;
    assert_eq!(client.seen.controller.seq, fresh.controller.seq);
    assert_eq!(client.seen.entries, fresh.entries);
    assert_eq!(client.seen.history, fresh.history);
    for (folded, fresh) in client.seen.flags.iter().zip(&fresh.flags) {
        assert_eq!(folded, fresh);
    }
    assert_eq!(client.seen, fresh);
}

pub(crate) fn a_reader_that_does_not_read_gets_a_fresh_snapshot_and_nobody_waits_for_it(
    backend: &Arc<dyn Backend>,
) {
    let mut lazy = TestClient::of(backend);
    // More than anybody's queue holds.
    live(backend, 300);
    let mut client = TestClient::of(backend);
    lazy.until(|lazy| lazy.snapshots > 1 && lazy.seen.controller.now >= client.seen.controller.now);
    assert_eq!(lazy.seen, client.seen);
    assert!(lazy.changes < 300, "it was not told everything");
    // From there on it hears changes again.
    let told = lazy.changes;
    live(backend, 3);
    lazy.until(|lazy| lazy.changes > told && lazy.seen.controller.pace == Pace::Stopped);
    client.until(|client| {
        client.seen.controller.now == lazy.seen.controller.now && client.seen.controller.pace == Pace::Stopped
    });
    assert_eq!(lazy.seen, client.seen);
}

pub(crate) fn a_reader_that_fell_behind_catches_up_also_when_nothing_happens_any_more(
    backend: &Arc<dyn Backend>,
) {
    let mut lazy = TestClient::of(backend);
    live(backend, 300);
    // Time stands still: without a further event it has to get a new snapshot.
    lazy.until(|lazy| lazy.snapshots == 2);
    assert_eq!(lazy.seen, TestClient::of(backend).seen);
}

pub(crate) fn an_order_is_acknowledged_with_its_entry(backend: &Arc<dyn Backend>) {
    let flag = first_flag(backend);
    let ack = wait(backend.send(order("one", Command::Start { flag: flag.clone() }))).unwrap();
    assert!(ack.durable && ack.done.len() == 1);
    assert!(ack.done[0].contains(flag.as_str()), "{ack:?}");
    let entries = wait(backend.entries(None, 1)).unwrap();
    assert_eq!(entries[0].seq, ack.seq);
    assert_eq!(entries[0].sentence, ack.done[0]);
    assert!(entries[0].sentence.contains("Reason given: a test"), "{}", entries[0].sentence);
    let mut client = TestClient::of(backend);
    client.until(|client| client.seen.controller.seq >= ack.seq);
    let seen = client.seen;
    assert_eq!(seen.flags[0].phase, Phase::Ramping);
    assert_eq!(seen.flags[0].last.as_ref().unwrap().seq, ack.seq);
}

pub(crate) fn a_refused_order_carries_its_reason_and_changes_nothing(backend: &Arc<dyn Backend>) {
    let before = TestClient::of(backend).seen;
    let unknown: FlagKey = "no-such-flag".parse().unwrap();
    for (command, reason) in [
        (Command::Start { flag: unknown }, "there is no flag no-such-flag"),
        (rearm(), "kill-all is not in force"),
        (Command::Resume { flag: before.flags[0].spec.key.clone() }, "only a paused flag is resumed"),
    ] {
        let refused = wait(backend.send(order("one", command))).unwrap_err();
        assert!(matches!(refused, OrderError::Refused(_)), "{refused:?}");
        assert!(refused.to_string().contains(reason), "{refused}");
    }
    assert_eq!(TestClient::of(backend).seen, before);
}

pub(crate) fn the_same_order_acts_once(backend: &Arc<dyn Backend>) {
    let kill = order("one", Command::KillAll);
    let ack = wait(backend.send(kill.clone())).unwrap();
    live(backend, 5);
    assert_eq!(wait(backend.send(kill)).unwrap(), ack);
    let entries = wait(backend.entries(None, usize::MAX)).unwrap();
    assert_eq!(entries.iter().filter(|entry| matches!(entry.event, Event::KilledAll { .. })).count(), 1);
}

pub(crate) fn an_order_id_is_of_one_command_and_kill_all_acts_all_the_same(backend: &Arc<dyn Backend>) {
    let flag = first_flag(backend);
    let start = order("one", Command::Start { flag: flag.clone() });
    let ack = wait(backend.send(start.clone())).unwrap();
    // From afar the answer and the news come by two ways.
    let seen = || {
        let mut client = TestClient::of(backend);
        client.until(|client| client.seen.controller.seq >= ack.seq);
        client.seen
    };
    let before = seen();
    let other = wait(backend.send(order("one", Command::Rollback { flag }))).unwrap_err();
    assert_eq!(other, OrderError::Refused(Refusal::IdUsed { id: "one".to_owned() }));
    assert_eq!(seen(), before, "nothing has changed");
    assert_eq!(wait(backend.send(start.clone())).unwrap(), ack);
    // What stops everything is never refused, and acts once too.
    let killed = wait(backend.send(order("one", Command::KillAll))).unwrap();
    assert!(killed.durable && killed.seq > ack.seq, "{killed:?}");
    // Kill-all is answered before any room has heard of it.
    TestClient::of(backend).until(|client| client.seen.controller.latch.is_some());
    assert_eq!(wait(backend.send(order("one", Command::KillAll))).unwrap(), killed);
    assert_eq!(wait(backend.send(start)).unwrap(), ack);
}

pub(crate) fn a_shelved_alarm_is_seen_by_all_and_comes_back(backend: &Arc<dyn Backend>) {
    let mut client = TestClient::of(backend);
    backend.set_pace(Pace::Times(3_600)).unwrap();
    client.until(|client| !client.seen.controller.alarms.is_empty());
    backend.set_pace(Pace::Stopped).unwrap();
    client.until(|client| client.seen.controller.pace == Pace::Stopped);
    let alarm = client.seen.controller.alarms[0].id;
    let found = |client: &TestClient| -> Alarm {
        client
            .seen
            .controller
            .alarms
            .iter()
            .find(|other| other.id == alarm)
            .expect("it stays counted")
            .clone()
    };
    let long = Command::Shelve { alarm, lasts: Millis::from_secs(9 * 3_600) };
    let refused = wait(backend.send(order("long", long))).unwrap_err();
    assert!(refused.to_string().contains("for 1 min to 8 h, found 9 h"), "{refused}");
    let lasts = Millis::from_secs(300);
    wait(backend.send(order("shelve", Command::Shelve { alarm, lasts }))).unwrap();
    client.until(|client| found(client).shelf.is_some());
    let shelf = found(&client).shelf.unwrap();
    assert_eq!((shelf.why.as_str(), shelf.until), ("a test", Millis(client.seen.controller.now.0 + 300_000)));
    backend.set_pace(Pace::Times(3_600)).unwrap();
    client.until(|client| client.seen.controller.now >= shelf.until);
    backend.set_pace(Pace::Stopped).unwrap();
    client.until(|client| client.seen.controller.pace == Pace::Stopped);
    assert!(client.seen.controller.alarms.iter().all(|other| other.id != alarm || other.shelf.is_none()));
}

pub(crate) fn a_changed_flag_is_told_whole_and_an_archived_one_keeps_its_place(backend: &Arc<dyn Backend>) {
    let mut client = TestClient::of(backend);
    let flag = client.seen.flags[1].spec.key.clone();
    let rungs = [2.0, 50.0, 99.0, 100.0].map(|rung| Rollout::from_percent(rung).unwrap());
    let ladder = Ladder::try_from(rungs.to_vec()).unwrap();
    let change = SpecChange {
        description: Some("for whom".to_owned()),
        ladder: Some(ladder.clone()),
        deployment: None,
    };
    let mut changing = order("change", Command::Change { flag: flag.clone(), change });
    changing.expected = Some(Seq(77));
    let stale = wait(backend.send(changing.clone())).unwrap_err();
    assert!(matches!(stale, OrderError::Refused(Refusal::Changed { .. })), "{stale:?}");
    changing.expected = Some(Seq(0));
    let ack = wait(backend.send(changing)).unwrap();
    client.until(|client| client.seen.controller.seq >= ack.seq);
    let seen = &client.seen.flags[1];
    assert_eq!((seen.spec.description.as_str(), &seen.spec.ladder), ("for whom", &ladder));
    assert_eq!(seen.last.as_ref().unwrap().seq, ack.seq);
    let ack = wait(backend.send(order("archive", Command::Archive { flag: flag.clone() }))).unwrap();
    client.until(|client| client.seen.controller.seq >= ack.seq);
    assert!(client.seen.flags[1].archived.is_some() && client.seen.flags[1].spec.key == flag);
    let refused = wait(backend.send(order("start", Command::Start { flag }))).unwrap_err();
    assert!(matches!(refused, OrderError::Refused(Refusal::Archived { .. })), "{refused:?}");
    live(backend, 5);
    client.until(|client| {
        client.seen.controller.now == TestClient::of(backend).seen.controller.now
            && client.seen.controller.pace == Pace::Stopped
    });
    assert_eq!(client.seen, TestClient::of(backend).seen);
}

pub(crate) fn kill_all_comes_through_while_time_races(backend: &Arc<dyn Backend>) {
    live(backend, 30);
    backend.set_pace(Pace::Times(3_600)).unwrap();
    let mut client = TestClient::of(backend);
    let begun = client.seen.controller.now;
    client.until(|client| client.seen.controller.now > begun);
    let ack = wait(backend.send(order("kill", Command::KillAll))).unwrap();
    assert!(ack.durable);
    let of = u32::try_from(client.seen.flags.iter().filter(|flag| flag.archived.is_none()).count()).unwrap();
    assert!(of > 0);
    assert_eq!(ack.flags_off, Some(FlagsOff { off: of, of }), "counted in the engine's state");
    client.until(|client| client.seen.controller.latch.is_some());
    let latched = client.seen.controller.now;
    client.until(|client| client.seen.controller.now.0 > latched.0 + 20 * client.seen.interval.0);
    assert_eq!(client.seen.controller.latch.as_ref().unwrap().seq, ack.seq);
    assert!(client.seen.flags.iter().all(|flag| flag.rollout.is_zero() && flag.phase == Phase::Killed));
    let after: Vec<_> = wait(backend.entries(None, usize::MAX)).unwrap();
    assert!(after.iter().all(|entry| entry.seq <= ack.seq || !entry.event.is_raise()));
}

pub(crate) fn two_readers_see_the_same_latch(backend: &Arc<dyn Backend>) {
    let (mut one, mut other) = (TestClient::of(backend), TestClient::of(backend));
    wait(backend.send(order("kill", Command::KillAll))).unwrap();
    one.until(|client| client.seen.controller.latch.is_some());
    other.until(|client| client.seen.controller.latch.is_some());
    assert_eq!(one.seen, other.seen);
    assert_eq!(TestClient::of(backend).seen, one.seen);
    wait(backend.send(order("re-arm", rearm()))).unwrap();
    one.until(|client| client.seen.controller.latch.is_none());
    other.until(|client| client.seen.controller.latch.is_none());
    assert!(one.seen.flags.iter().all(|flag| flag.phase == Phase::Killed), "re-arming starts nothing");
    assert_eq!(one.seen, other.seen);
}

pub(crate) fn the_pace_has_its_range(backend: &Arc<dyn Backend>) {
    for wrong in [0, 3_601, u32::MAX] {
        let refused = backend.set_pace(Pace::Times(wrong)).unwrap_err();
        assert_eq!(refused, format!("the speed is between 1× and 3600×, found {wrong}×"));
    }
    let mut client = TestClient::of(backend);
    for pace in [Pace::Times(1), Pace::Real, Pace::Times(3_600), Pace::Stopped] {
        backend.set_pace(pace).unwrap();
        client.until(|client| client.seen.controller.pace == pace);
    }
}

pub(crate) fn the_journal_comes_in_pages(backend: &Arc<dyn Backend>) {
    live(backend, 60);
    let all = wait(backend.entries(None, usize::MAX)).unwrap();
    assert!(all.len() > 20 && all[0].seq == Seq(1));
    let mut pages = Vec::new();
    let mut before = None;
    loop {
        let page = wait(backend.entries(before, 9)).unwrap();
        let Some(first) = page.first() else { break };
        assert!(page.len() <= 9 && page.windows(2).all(|pair| pair[0].seq < pair[1].seq));
        before = Some(first.seq);
        pages.splice(0..0, page);
    }
    assert_eq!(pages, all);
    assert!(wait(backend.entries(Some(Seq(1)), 9)).unwrap().is_empty());
    assert!(wait(backend.entries(None, 0)).unwrap().is_empty());
}

pub(crate) fn a_reader_that_has_gone_is_no_trouble(backend: &Arc<dyn Backend>) {
    drop(TestClient::of(backend));
    drop(backend.send(order("one", Command::KillAll)));
    let mut client = TestClient::of(backend);
    // Nobody waited for the answer; the order stands.
    client.until(|client| client.seen.controller.latch.is_some());
}
