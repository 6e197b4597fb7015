//! The contract of a backend: what the control room may count on, whoever is behind the trait. Each test is a function
//! over [`Backend`] on a simulated fleet whose time stands still until it is set going, and is run here on the embedded
//! one and, over HTTP, on the real process.
#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation, reason = "a test")]

mod contract;

use crate::support::disk;

use std::sync::Arc;

use knightwatch_agent::PolicyName;
use knightwatch_core::{
    control::{Event, Seq},
    telemetry::Millis,
};
use knightwatch_engine::{
    Engine, Recorded,
    backend::{Backend, Embedded, EmbeddedOptions, Pace, Update},
};
use knightwatch_store::{Journal, SessionMeta};

use disk::{Disk, begun, scenario, setup, steps};

fn options(pace: Pace) -> EmbeddedOptions {
    EmbeddedOptions { pace, about: "a test".to_owned(), simulated: true, fast_forward: Millis::ZERO }
}

/// An embedded backend on the default fleet, standing still.
fn embedded() -> Arc<dyn Backend> {
    let engine = begun(&scenario("default"), 7, &Disk::default());
    Arc::new(Embedded::start(engine, options(Pace::Stopped)).unwrap())
}

macro_rules! contract {
    ($($name:ident)*) => {
        mod on_the_embedded_one {
            $(
                #[test]
                fn $name() {
                    crate::backend::contract::$name(&crate::backend::embedded());
                }
            )*
        }
        mod on_a_remote_one {
            $(
                #[test]
                fn $name() {
                    let served = crate::support::served::Served::start(&["--speed", "0", "--policy", "rule"]);
                    crate::backend::contract::$name(&served.backend());
                }
            )*
        }
    };
}

contract! {
    the_first_update_is_a_snapshot_of_everything
    changes_apply_without_a_gap
    a_reader_that_does_not_read_gets_a_fresh_snapshot_and_nobody_waits_for_it
    a_reader_that_fell_behind_catches_up_also_when_nothing_happens_any_more
    an_order_is_acknowledged_with_its_entry
    a_refused_order_carries_its_reason_and_changes_nothing
    the_same_order_acts_once
    an_order_id_is_of_one_command_and_kill_all_acts_all_the_same
    a_shelved_alarm_is_seen_by_all_and_comes_back
    a_changed_flag_is_told_whole_and_an_archived_one_keeps_its_place
    kill_all_comes_through_while_time_races
    two_readers_see_the_same_latch
    the_pace_has_its_range
    the_journal_comes_in_pages
    a_reader_that_has_gone_is_no_trouble
}

#[test]
fn dropping_it_ends_the_engine_and_closes_its_journal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.knightwatch");
    let scene = scenario("good");
    let meta = SessionMeta { started_at: scene.start, interval: scene.interval, ..SessionMeta::default() };
    let log = Box::new(Journal::create(&path, &meta).unwrap());
    let engine = Engine::begin(setup(&scene, 1, PolicyName::RULE.build(1), log)).unwrap();
    let backend = Embedded::start(engine, options(Pace::Times(3_600))).unwrap();
    let mut updates = backend.subscribe();
    assert!(matches!(updates.blocking_recv(), Some(Update::Snapshot(_))));
    drop(backend);
    while updates.blocking_recv().is_some() {}
    // Its lock is gone and its second head is up to date, at once.
    let journal = Journal::open(&path).unwrap();
    let report = knightwatch_store::verify(&path).unwrap();
    assert_eq!(report.recorded, Some(journal.head()), "{report}");
}

#[test]
fn a_session_is_lived_through_ahead_before_anything_is_shown() {
    let fast_forward = Millis::from_secs(300);
    let engine = begun(&scenario("good"), 1, &Disk::default());
    let backend =
        Embedded::start(engine, EmbeddedOptions { fast_forward, ..options(Pace::Stopped) }).unwrap();
    let Some(Update::Snapshot(snapshot)) = backend.subscribe().blocking_recv() else { panic!("a snapshot") };
    assert_eq!(snapshot.controller.now, scenario("good").start + fast_forward);
    assert_eq!(snapshot.history[0].len(), 30, "a point an interval");
    assert!(snapshot.entries.iter().any(|entry| matches!(entry.event, Event::Started { .. })));
}

#[test]
fn a_recording_plays_to_its_end_and_takes_no_orders() {
    let (disk, scene) = (Disk::default(), scenario("good"));
    let mut engine = begun(&scene, 1, &disk);
    steps(&mut engine, 60);
    let entries = disk.entries();
    let recorded = Recorded::new(scene.start, disk.get().ticks.clone(), entries.clone());
    let config = knightwatch_core::control::ControlConfig { interval: scene.interval, ..Default::default() };
    let played = Engine::playback(recorded, config, "recorded".to_owned());
    let backend: Arc<dyn Backend> = Arc::new(Embedded::start(played, options(Pace::Times(3_600))).unwrap());
    let mut client = contract::TestClient::of(&backend);
    client.until(|client| client.seen.controller.done);
    assert_eq!(client.seen.controller.seq, Seq(entries.len() as u64));
    assert_eq!(contract::wait(backend.entries(None, usize::MAX)).unwrap(), entries);
    let refused =
        contract::wait(backend.send(disk::order("kill", knightwatch_core::control::Command::KillAll)));
    assert!(refused.unwrap_err().to_string().contains("recording"));
}

#[test]
fn when_the_engine_dies_every_stream_ends_and_no_order_seems_unsent_that_was_taken() {
    struct Dies;
    impl knightwatch_core::control::Policy for Dies {
        fn name(&self) -> &'static str {
            "dies"
        }
        fn propose(
            &mut self,
            _: &[knightwatch_core::control::Observation<'_>],
            _: &mut Vec<knightwatch_core::control::Proposal>,
        ) -> Result<(), knightwatch_core::control::PolicyFault> {
            // The tick catches the panic; the end of what it carries is beyond its reach.
            std::panic::panic_any(Bomb)
        }
    }
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("nothing catches this one");
        }
    }
    let log = Box::new(Disk::default());
    let engine = Engine::begin(setup(&scenario("good"), 1, Box::new(Dies), log)).unwrap();
    let backend: Arc<dyn Backend> = Arc::new(Embedded::start(engine, options(Pace::Times(3_600))).unwrap());
    let mut updates = backend.subscribe();
    while updates.blocking_recv().is_some() {}
    let mut late = backend.subscribe();
    assert!(late.blocking_recv().is_none(), "nobody waits for an engine that has ended");
    let lost = contract::wait(backend.send(disk::order("kill", knightwatch_core::control::Command::KillAll)));
    assert!(lost.unwrap_err().to_string().contains("the engine has ended"));
    assert!(contract::wait(backend.entries(None, 1)).is_err());
}
