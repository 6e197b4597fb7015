//! SIGKILL at any point: what was acknowledged is stored, the chain verifies, the session resumes, the kill latch is still
//! set. The engine runs in this test binary started again, and the whole program once more as itself.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use crate::support::{command, disk, name_of};

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use command::Home;
use disk::{folded, order, rearm, scenario, set, setup};
use knightwatch_agent::PolicyName;
use knightwatch_core::control::{Command as Wanted, OrderId};
use knightwatch_engine::{Ack, Engine};
use knightwatch_store::{Journal, SessionMeta, verify};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

const CHILD: &str = "KNIGHTWATCH_TEST_CRASH";
const SCENE: &str = "default";
const SEED: u64 = 7;

fn resume(path: &Path) -> Engine {
    let log = Journal::open(path).unwrap();
    let until = log.last_tick().unwrap_or(log.meta().started_at);
    Engine::resume(setup(&scenario(SCENE), SEED, PolicyName::RULE.build(SEED), Box::new(log)), until).unwrap()
}

/// Continues the session for ever: steps, and orders of all kinds, each said once it is acknowledged. Does nothing
/// unless it is the child.
#[test]
fn helper_orders_until_killed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let mut engine = resume(Path::new(&path));
    let keys: Vec<_> = engine.state().flags.iter().map(|flag| flag.spec.key.clone()).collect();
    let begun = engine.state().seq.0;
    for number in 0_usize.. {
        let flag = keys[number % keys.len()].clone();
        let wanted = match number % 7 {
            0 => Wanted::Start { flag },
            1 => set(&flag, 20.0),
            2 => Wanted::AcknowledgeBriefing,
            3 => Wanted::Rollback { flag },
            // Not at once: most kills meet it latched, some do not.
            4 if number % 21 == 4 => Wanted::KillAll,
            5 if number % 84 == 5 => rearm(),
            _ => Wanted::Pause { flag },
        };
        let id = format!("order-{begun}-{number}");
        if let Ok((ack, _)) = engine.order(&order(&id, wanted)) {
            assert!(ack.durable);
            let latch = engine.state().latch.as_ref().map_or(0, |latch| latch.seq.0);
            println!("\nacknowledged {id} {} {latch}", ack.seq.0);
        }
        engine.step();
    }
}

fn child(path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([name_of(&helper_orders_until_killed), "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// An order that the child has said to be acknowledged: its id, its entry, and the latch's entry then (0 when open).
fn acknowledged(line: &str) -> Option<(String, u64, u64)> {
    let mut words = line.strip_prefix("acknowledged ")?.split(' ');
    let (id, seq, latch) = (words.next()?, words.next()?, words.next()?);
    Some((id.to_owned(), seq.parse().ok()?, latch.parse().ok()?))
}

#[test]
fn whatever_was_acknowledged_survives_a_kill_at_any_point_and_the_latch_stays_set() {
    const KILLS: usize = 24;
    let home = Home::new();
    let path = home.path("s.knightwatch");
    let scene = scenario(SCENE);
    let meta = SessionMeta {
        environment: "test".to_owned(),
        seed: Some(SEED),
        interval: scene.interval,
        started_at: scene.start,
        ..SessionMeta::default()
    };
    let log = Journal::create(&path, &meta).unwrap();
    drop(Engine::begin(setup(&scene, SEED, PolicyName::RULE.build(SEED), Box::new(log))).unwrap());
    let mut random = Pcg64::seed_from_u64(0x6b6e);
    let mut all: BTreeMap<String, u64> = BTreeMap::new();
    let mut latched = 0;
    for kill in 0..KILLS {
        let mut child = child(&path);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // The child goes on while this counts, so that the kill meets it anywhere.
        let patience = random.random_range(0..40_usize);
        let mut said = Vec::new();
        while said.len() < patience {
            let line = lines.next().expect("the child goes on until it is killed").unwrap();
            said.extend(acknowledged(&line));
        }
        child.kill().unwrap();
        said.extend(lines.map_while(Result::ok).filter_map(|line| acknowledged(&line)));
        child.wait().unwrap();

        let report = verify(&path).unwrap();
        assert!(report.is_sound(), "kill {kill}: {report}");
        let mut engine = resume(&path);
        let entries = engine.entries(None, usize::MAX).unwrap();
        assert_eq!(folded(&entries), *engine.state(), "kill {kill}");
        if let Some((id, seq, latch)) = said.last() {
            assert!(*seq <= report.head.seq.0, "kill {kill}: {id} was acknowledged as {seq}");
            let re_armed = entries.iter().any(|entry| entry.seq.0 > *seq && entry.event.kind() == "re-arm");
            if *latch > 0 && !re_armed {
                latched += 1;
                assert!(engine.state().latch.is_some(), "kill {kill}: the latch of entry {latch} is gone");
                assert_eq!(engine.state().exposed(), 0);
            }
        }
        all.extend(said.into_iter().map(|(id, seq, _)| (id, seq)));
        drop(engine.step());
        drop(engine);
        let journal = Journal::open_read_only(&path).unwrap();
        for (id, seq) in &all {
            let answer = journal.outcome(&OrderId(id.clone())).unwrap();
            let answer = answer.unwrap_or_else(|| panic!("kill {kill}: {id} was acknowledged and is gone"));
            let ack: Ack = serde_json::from_str(&answer).unwrap();
            assert_eq!(ack.seq.0, *seq, "kill {kill}: {id}");
            assert_eq!(ack.done, [entries[usize::try_from(*seq).unwrap() - 1].sentence.clone()]);
        }
    }
    assert!(all.len() > KILLS && latched > 0, "{} orders, {latched} kills while latched", all.len());
}

#[test]
fn the_program_killed_at_any_point_resumes_as_if_nothing_had_been() {
    const KILLS: usize = 20;
    let home = Home::new();
    let whole = home.run_on("watch --scenario default --session", &home.path("whole.knightwatch"));
    whole.fine();
    let path = home.path("killed.knightwatch");
    let mut random = Pcg64::seed_from_u64(0x6b68);
    let mut shown = 0;
    for kill in 0..KILLS {
        let mut child =
            home.command("watch --scenario default --speed 3600 --session").arg(&path).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // All that was there already is printed first.
        let patience = shown + random.random_range(1..6_usize);
        let mut said: Vec<String> = lines.by_ref().take(patience).map(Result::unwrap).collect();
        child.kill().unwrap();
        said.extend(lines.map_while(Result::ok));
        child.wait().unwrap();
        shown = said.len();
        let stored = home.run_on("audit show --session", &path);
        stored.fine();
        // A line is printed after its entry is on disk; the last may be cut short.
        for (line, stored) in said.iter().zip(stored.out.lines()).take(shown - 1) {
            assert_eq!(line, stored, "kill {kill}");
        }
        assert!(stored.out.lines().count() >= shown, "kill {kill}");
        home.run_on("audit verify --session", &path).fine();
    }
    let rest = home.run_on("watch --session", &path);
    let (rest, whole) = (command::uninterrupted(&rest.fine().out), command::uninterrupted(&whole.out));
    assert_eq!(rest, whole, "the same session as without a single kill");
}
