//! What if another policy had steered: the same world again, exactly, and what it would have come to.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use crate::support::command;

use std::path::{Path, PathBuf};

use command::{Ended, Home, ended};
use knightwatch_agent::PolicyName;
use knightwatch_core::{
    control::{Actor, Command, ControlConfig, Order, OrderId},
    flag::{FlagKey, Rollout},
    telemetry::Millis,
};
use knightwatch_engine::{Engine, ScheduledStart, Setup};
use knightwatch_sim::{Scenario, World};
use knightwatch_store::{Journal, SessionMeta};
use serde_json::Value;

const MINUTE: Millis = Millis::from_secs(60);

/// An order of a person, so many minutes after the start.
type Given = (u64, Command);

fn scenario(name: &str) -> Scenario {
    Scenario::parse(Scenario::builtin(name).unwrap(), name).unwrap()
}

fn key(scenario: &Scenario) -> FlagKey {
    scenario.flags[0].spec.key.clone()
}

/// A session of `scenario` under `policy`, with these orders of ada's, for so many minutes.
fn session(
    home: &Home,
    name: &str,
    policy: PolicyName,
    seed: u64,
    orders: &[Given],
    minutes: u64,
) -> PathBuf {
    let scenario = scenario(name);
    let path = home.path(format!("{name}-{policy}.knightwatch"));
    let meta = SessionMeta {
        environment: "simulation".to_owned(),
        source: format!("scenario {name} (seed {seed})"),
        policy: policy.to_string(),
        seed: Some(seed),
        interval: scenario.interval,
        started_at: scenario.start,
        simulated: true,
        scenario: Some(Scenario::builtin(name).unwrap().to_owned()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let scheduled_starts = scenario.scheduled_starts().iter().map(|scheduled| ScheduledStart {
        at: scenario.start + scheduled.at,
        flag: scheduled.flag,
        operator: scheduled.operator.clone(),
    });
    let setup = Setup {
        environment: meta.environment.clone(),
        source_name: meta.source.clone(),
        seed: meta.seed,
        config: ControlConfig { interval: scenario.interval, ..ControlConfig::default() },
        specs: scenario.specs(),
        scheduled_starts: scheduled_starts.collect(),
        source: Box::new(World::new(&scenario, seed)),
        log: Box::new(Journal::create(&path, &meta).unwrap()),
        policy: policy.build(seed),
        shadow: None,
    };
    let mut engine = Engine::begin(setup).unwrap();
    let mut orders = orders.iter().enumerate().peekable();
    while !engine.done() && engine.now() < scenario.start + Millis(minutes * MINUTE.0) {
        engine.step();
        let since = engine.now().since(scenario.start);
        while let Some((number, (_, command))) = orders.next_if(|(_, (at, _))| Millis(at * MINUTE.0) <= since)
        {
            let order = Order {
                id: OrderId(format!("order-{number}")),
                actor: Actor::Person("ada".to_owned()),
                authenticated: None,
                reason: "because".to_owned(),
                expected: None,
                command: command.clone(),
            };
            engine.order(&order).unwrap();
        }
    }
    assert!(orders.next().is_none(), "every order was given");
    path
}

/// What `--json` says.
fn what_if(home: &Home, policy: &str, session: &Path) -> Value {
    let said = home.run_on(&format!("what-if --json --policy {policy}"), session);
    said.fine();
    assert_eq!(said.out.lines().count(), 1);
    serde_json::from_str(&said.out).unwrap()
}

/// The flags of one side.
fn side(what_if: &Value, which: &str) -> Vec<Value> {
    what_if["flags"].as_array().unwrap().iter().map(|both| both[which].clone()).collect()
}

/// What `simulate` makes of it: entries, and what came of the flags.
fn simulated(home: &Home, scenario: &str, policy: &str, seed: u64) -> (Vec<Value>, Vec<Value>) {
    let mut lines = ended(
        home.control_room(&format!("simulate --scenario {scenario} --policy {policy} --seed {seed} --json"))
            .spawn()
            .unwrap(),
    )
    .json();
    let flags = lines.pop().unwrap()["flags"].as_array().unwrap().clone();
    (lines, flags)
}

/// When and where to a flag was moved.
fn moves(entries: &[Value], flag: &str) -> Vec<(u64, String)> {
    let of = entries
        .iter()
        .filter(|entry| entry["flag"] == flag && entry["event"]["from"] != entry["event"]["to"]);
    of.map(|entry| (entry["at"].as_u64().unwrap(), entry["event"]["to"].to_string())).collect()
}

fn same(what_if: &Value) {
    assert_eq!(what_if["divergences"], Value::Array(Vec::new()));
    assert_eq!(what_if["skipped"], Value::Array(Vec::new()));
    assert_eq!(side(what_if, "recorded"), side(what_if, "what_if"));
    assert_eq!(what_if["total_recorded"], what_if["total_what_if"]);
    for (name, difference) in what_if["difference"].as_object().unwrap() {
        assert!(difference.as_f64().unwrap().abs() <= 0.0, "{name}: {difference}");
    }
}

#[test]
fn under_its_own_policy_a_session_parts_nowhere_and_costs_the_same_to_the_digit() {
    for (scenario, policy) in [("default", "ppo-master"), ("wakes-at-50", "rule"), ("power-peg", "random")] {
        let home = Home::new();
        let path = home.path("own.knightwatch");
        ended(
            home.control_room(&format!("watch --scenario {scenario} --policy {policy} --seed 3 --session"))
                .arg(&path)
                .spawn()
                .unwrap(),
        )
        .fine();
        let what_if = what_if(&home, policy, &path);
        same(&what_if);
        let (_, flags) = simulated(&home, scenario, policy, 3);
        assert_eq!(side(&what_if, "recorded"), flags, "and what was recorded is what simulate says");
        assert!(what_if["total_recorded"]["cost"].as_f64().unwrap() > 0.0, "{what_if}");
    }
}

#[test]
fn under_another_policy_it_is_what_simulate_makes_of_that_policy() {
    let home = Home::new();
    let scenario = scenario("default");
    let path = session(&home, "default", PolicyName::RULE, 5, &[], u64::MAX / MINUTE.0 / 2);
    let what_if = what_if(&home, "schedule", &path);
    let (recorded, was) = simulated(&home, "default", "rule", 5);
    let (instead, would_be) = simulated(&home, "default", "schedule", 5);
    assert_eq!(side(&what_if, "recorded"), was);
    assert_eq!(side(&what_if, "what_if"), would_be);
    let mut diverged = 0;
    for flag in &scenario.flags {
        let flag = flag.spec.key.as_str();
        let (mut one, mut other) = (moves(&recorded, flag).into_iter(), moves(&instead, flag).into_iter());
        let first = loop {
            match (one.next(), other.next()) {
                (one, other) if one == other && one.is_some() => {}
                (one, other) => break one.into_iter().chain(other).map(|(at, _)| at).min(),
            }
        };
        let found: Vec<&Value> =
            what_if["divergences"].as_array().unwrap().iter().filter(|p| p["flag"] == flag).collect();
        let expected: Vec<u64> = first.into_iter().map(|at| at - scenario.start.0).collect();
        assert_eq!(found.iter().map(|p| p["at"].as_u64().unwrap()).collect::<Vec<_>>(), expected, "{flag}");
        diverged += found.len();
        for divergence in found {
            assert_ne!(divergence["recorded"]["to"], divergence["what_if"]["to"], "{divergence}");
            for side in ["recorded", "what_if"] {
                assert!(divergence[side]["what"].as_str().unwrap().starts_with(flag), "{divergence}");
            }
        }
    }
    assert!(diverged > 0);
    let sum = |flags: &[Value]| flags.iter().map(|flag| flag["bad_requests"].as_f64().unwrap()).sum::<f64>();
    let difference = what_if["difference"]["bad_requests"].as_f64().unwrap();
    assert!((difference - (sum(&would_be) - sum(&was))).abs() < 1e-6, "{difference}");
}

#[test]
fn what_people_ordered_is_ordered_again_and_changes_nothing_under_the_same_policy() {
    let home = Home::new();
    let flag = key(&scenario("good"));
    let to = Rollout::from_percent(10.0).unwrap();
    let orders = [
        (4, Command::Pause { flag: flag.clone() }),
        (6, Command::Resume { flag: flag.clone() }),
        (
            9,
            Command::Set {
                flag: flag.clone(),
                rollout: to,
                expires_in: Some(Millis(5 * MINUTE.0)),
                guard_off: true,
            },
        ),
        (10, Command::Release { flag: flag.clone() }),
        (11, Command::KillAll),
        (12, Command::Rearm { environment: "simulation".to_owned() }),
        (13, Command::Start { flag: flag.clone() }),
        (15, Command::Promote { flag: flag.clone() }),
        (17, Command::Rollback { flag }),
    ];
    let path = session(&home, "good", PolicyName::RULE, 2, &orders, 19);
    let own = what_if(&home, "rule", &path);
    same(&own);
    let flag = &side(&own, "recorded")[0];
    assert_eq!(flag["complete_at"], 15 * MINUTE.0, "{flag}");
    assert_eq!(flag["rolled_back_at"], 11 * MINUTE.0, "by kill-all: {flag}");
    assert_eq!(
        (&flag["phase"], flag["rollback_points"].as_f64().unwrap() > 0.0),
        (&"rolled_back".into(), true)
    );
    let other = what_if(&home, "schedule", &path);
    assert_eq!(side(&other, "what_if")[0]["complete_at"], 15 * MINUTE.0, "promoted by ada there too");
}

#[test]
fn an_order_that_makes_no_sense_any_more_is_named() {
    let home = Home::new();
    let good = scenario("good");
    let complete_at = |policy: &str| {
        let flags = simulated(&home, "good", policy, 2).1;
        flags[0]["complete_at"].as_u64().unwrap_or(good.duration.0) / MINUTE.0
    };
    let pause_at = complete_at("shield-alone") + 2;
    assert!(pause_at < complete_at("schedule"), "it still ramps then");
    let pause = (pause_at, Command::Pause { flag: key(&good) });
    let path = session(&home, "good", PolicyName::SCHEDULE, 2, &[pause], pause_at + 3);
    same(&what_if(&home, "schedule", &path));
    let sooner = what_if(&home, "shield-alone", &path);
    let skipped = sooner["skipped"].as_array().unwrap();
    assert_eq!(skipped.len(), 1, "{sooner}");
    assert_eq!(
        (&skipped[0]["by"]["person"], &skipped[0]["at"]),
        (&"ada".into(), &(pause_at * MINUTE.0).into())
    );
    assert_eq!(skipped[0]["order"]["command"], "pause");
    assert!(skipped[0]["why"].as_str().unwrap().ends_with("only a ramping flag is paused"), "{sooner}");
    let said = home.run_on("what-if --policy shield-alone", &path);
    assert!(said.fine().out.contains("ada's pause of "), "{}", said.out);
}

#[test]
fn the_text_says_where_they_part_and_what_it_would_have_cost() {
    let home = Home::new();
    let path = home.path("spike.knightwatch");
    ended(
        home.control_room("watch --scenario wakes-at-50 --policy schedule --seed 3 --until done --session")
            .arg(&path)
            .spawn()
            .unwrap(),
    );
    let said = home.run_on("what-if --policy ppo-master", &path);
    said.fine();
    let flag = key(&scenario("wakes-at-50"));
    let head = said.out.lines().next().unwrap();
    assert!(head.contains("steered by schedule; what if by ppo-master"), "{head}");
    assert!(head.contains("left after "), "it was not lived through to its end: {head}");
    for part in [&format!("{flag}  after "), "  recorded  ", "  what if   ", "difference", "rolled back"] {
        assert!(said.out.contains(part), "{part}: {}", said.out);
    }
    let table = said.out.lines().skip_while(|line| !line.starts_with("flag"));
    for line in table.take_while(|line| !line.starts_with("To 100 %")) {
        assert!(line.chars().count() <= 80, "{line}");
    }
    let own = home.run_on("what-if --policy schedule", &path);
    assert!(own.fine().out.contains("No divergence"), "{}", own.out);
}

fn refused(ended: &Ended, says: &str) {
    assert_eq!((ended.status.code(), ended.out.as_str()), (Some(2), ""), "{ended:?}");
    assert!(ended.err.contains(says), "{says}: {}", ended.err);
}

#[test]
fn what_cannot_be_told_is_refused() {
    let home = Home::new();
    let path = session(&home, "good", PolicyName::RULE, 2, &[], 5);
    refused(&home.run_on("what-if --policy nosuch", &path), "invalid value 'nosuch'");
    refused(&home.run_on("what-if --policy rule --seed 3", &path), "--seed");
    refused(&home.run_on("what-if --policy rule --harm-weight 2", &path), "only ppo-master has any");
    refused(&home.run_on("what-if --json", &path), "--policy <POLICY>");
    let bare = |name: &str, simulated: bool| {
        let path = home.path(name);
        let meta = SessionMeta { simulated, ..SessionMeta::default() };
        drop(Journal::create(&path, &meta).unwrap());
        home.run_on("what-if --policy rule", &path)
    };
    refused(&bare("real", false), "a session on real telemetry");
    refused(&bare("played", true), "has no scenario to live through again");
    let change = |sql: &str| {
        let changed = home.path("changed.knightwatch");
        std::fs::copy(&path, &changed).unwrap();
        let _ = std::fs::remove_file(home.path("changed.knightwatch.head"));
        rusqlite::Connection::open(&changed).unwrap().execute_batch(sql).unwrap();
        home.run_on("what-if --policy rule", &changed)
    };
    refused(&change("DELETE FROM tick"), "no telemetry was recorded in it");
    let other = "UPDATE tick SET samples = (SELECT samples FROM tick ORDER BY at LIMIT 1 OFFSET 9) \
                 WHERE at = (SELECT at FROM tick ORDER BY at LIMIT 1 OFFSET 6)";
    refused(&change(other), "after 1 min of it this program's world is not the recorded one");
    let torn = change("DELETE FROM entry WHERE seq = 3");
    assert_eq!((torn.status.code(), torn.out.as_str()), (Some(1), ""), "{torn:?}");
    assert!(torn.err.contains('3'), "{}", torn.err);
}
