//! What the judge says of an episode has to follow from what happened in it, and may depend on nothing else: not on how
//! many threads there were, nor on who else was compared.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use crate::support::command;

use command::Home;
use knightwatch_agent::{PolicyName, PpoMaster, ShieldAlone};
use knightwatch_core::{
    control::{
        Action, ActionMask, Actor, ControlConfig, Entry, Event, Observation, Outcome, Phase, Policy,
        Proposal, Reason,
    },
    flag::Rollout,
    telemetry::Millis,
};
use knightwatch_sim::{Cost, Episode, Family, FlagResult, Generator, Scenario, Split};
use serde_json::Value;

fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-9 * expected.abs().max(1.0), "{found} instead of {expected}");
}

fn shipped(name: &str) -> Scenario {
    Scenario::parse(Scenario::builtin(name).unwrap(), name).unwrap()
}

fn run(scenario: &Scenario, policy: PolicyName, seed: u64) -> Episode {
    Episode::run(scenario, seed, policy.build(seed).as_mut(), &ControlConfig::default(), |_| {})
}

/// When the first flag's rollout changed, since the start, and to what.
fn moves(scenario: &Scenario, episode: &Episode) -> Vec<(Millis, Rollout)> {
    let to = |event: &Event| match event {
        Event::Started { to, .. } => Some(*to),
        Event::Decided(decision) if decision.from != decision.to => Some(decision.to),
        _ => None,
    };
    let own = episode.journal.iter().filter(|entry| entry.event.flag().is_some_and(|id| id.index() == 0));
    own.filter_map(|entry| Some((entry.at.since(scenario.start), to(&entry.event)?))).collect()
}

/// What waiting comes to by hand, in each interval between one change and the next: half a point for control's share, and
/// half a point until all have it.
fn waited(scenario: &Scenario, moves: &[(Millis, Rollout)], end: Millis) -> f64 {
    let ends = moves.iter().skip(1).map(|(at, _)| *at).chain([end]);
    let stays = moves.iter().zip(ends).filter(|((_, rollout), _)| !rollout.is_zero());
    stays
        .map(|((from, rollout), to)| {
            let price = 0.5 * (1.0 - rollout.share()) + if rollout.is_full() { 0.0 } else { 0.5 };
            price * to.since(*from).as_secs_f64() / scenario.interval.as_secs_f64()
        })
        .sum()
}

#[test]
fn a_good_flag_pays_for_waiting_and_for_each_change_until_it_is_out() {
    let scenario = shipped("good");
    let episode = run(&scenario, PolicyName::RULE, 3);
    let moves = moves(&scenario, &episode);
    let flag: &FlagResult = &episode.flags[0];
    assert!(!flag.harmful && flag.complete_at.is_some(), "{flag:?}");
    near(flag.points.waiting, waited(&scenario, &moves, scenario.duration));
    // Its start is a person's doing and free.
    let changes = u32::try_from(moves.len() - 1).unwrap();
    near(flag.points.acting, 0.02 * f64::from(changes));
    near(flag.rollback_points, 0.0);
    near(flag.total_points(), flag.points.waiting + flag.harm + flag.points.acting);
}

#[test]
fn a_bad_flag_pays_for_its_harm_and_its_rollback_and_then_no_more() {
    let scenario = shipped("error-spike");
    let episode = run(&scenario, PolicyName::RULE, 2);
    let flag = &episode.flags[0];
    assert!(flag.harmful && flag.rolled_back_at.is_some(), "{flag:?}");
    assert!(flag.points.errors > 0.0);
    near(flag.harm, flag.points.errors + flag.points.latency);
    near(flag.rollback_points, 2.0);
    // The day after the rollback is free, though the flag stands at 0 %.
    near(flag.points.waiting, waited(&scenario, &moves(&scenario, &episode), scenario.duration));
    let usual = flag.bad_requests;
    let dear = Cost::default().with_harm_weight(600.0);
    let mut policy = PolicyName::RULE.build(2);
    let again = Episode::run_at(&dear, &scenario, 2, policy.as_mut(), &ControlConfig::default(), |_| {});
    near(again.flags[0].bad_requests, usual);
    near(again.flags[0].harm, 3.0 * flag.harm);
    assert_eq!(again.journal, episode.journal, "weights judge; they do not steer");
}

#[test]
fn a_rollback_of_a_good_flag_costs_the_release_on_top() {
    let scenario = shipped("good");
    let flag = (0..20)
        .map(|seed| run(&scenario, PolicyName::RANDOM, seed).flags.remove(0))
        .find(|flag| flag.rolled_back_at.is_some())
        .expect("a policy that answers at random rolls back sooner or later");
    near(flag.rollback_points, 2.0 + 960.0);
}

#[test]
fn what_comes_after_a_person_was_called_costs_nothing() {
    // The fault begins when telemetry is already lost: nobody can see it, and it goes on to the end.
    let silent = |duration: Millis| {
        let text = Scenario::builtin("error-spike")
            .unwrap()
            .replace("duration = \"1 h\"", &format!("duration = \"{} s\"", duration.0 / 1_000));
        let text = format!("{text}\n[flag.telemetry]\nsilent_from = \"4 min\"\n");
        Scenario::parse(&text, "silent").unwrap()
    };
    let scenario = silent(Millis::from_secs(3_600));
    let episode = run(&scenario, PolicyName::SHIELD_ALONE, 2);
    let called = |entry: &&Entry| {
        matches!(&entry.event, Event::Paused { reason: Some(Reason::TelemetryLost { .. }), .. })
    };
    let called = episode.journal.iter().find(called).unwrap().at.since(scenario.start);
    assert!(called > Millis::from_secs(9 * 60), "{called}");
    let flag = &episode.flags[0];
    assert!(flag.harmful && flag.phase == Phase::Paused && !flag.rollout.is_zero(), "{flag:?}");
    near(flag.points.waiting, waited(&scenario, &moves(&scenario, &episode), called));

    // It costs what it would have cost had the world ended then, though it went on failing requests.
    let until_then = run(&silent(called), PolicyName::SHIELD_ALONE, 2);
    assert_eq!(until_then.flags[0].points, flag.points);
    assert!(flag.harm > 0.0, "{flag:?}");
    assert!(flag.bad_requests > 5.0 * until_then.flags[0].bad_requests, "{flag:?}");
}

#[test]
fn what_was_never_started_costs_nothing() {
    let text = Scenario::builtin("error-spike").unwrap();
    let without: String =
        text.lines().filter(|line| !line.starts_with("start = ")).flat_map(|line| [line, "\n"]).collect();
    let scenario = Scenario::parse(&without, "nobody").unwrap();
    assert!(scenario.scheduled_starts().is_empty());
    let flag = run(&scenario, PolicyName::RULE, 1).flags.remove(0);
    assert_eq!((flag.started_at, flag.total_points().to_bits(), flag.harm.to_bits()), (None, 0, 0));
}

/// Passes everything on to the shield alone, and looks at what it answers.
struct Watched(u64);

impl Policy for Watched {
    fn name(&self) -> &'static str {
        "watched"
    }

    fn propose(
        &mut self,
        observations: &[Observation<'_>],
        proposals: &mut Vec<Proposal>,
    ) -> Result<(), knightwatch_core::control::PolicyFault> {
        ShieldAlone.propose(observations, proposals)?;
        assert_eq!(proposals.len(), observations.len());
        for (seen, proposal) in observations.iter().zip(proposals) {
            match (proposal.action, seen.mask) {
                (Action::RaiseTo(to), ActionMask { raise_to: Some(most), .. }) => {
                    assert_eq!(to, most);
                    assert!(to > seen.rollout);
                    self.0 += 1;
                }
                (Action::Hold, ActionMask { raise_to: None, .. }) => {}
                (action, mask) => panic!("{action} under {mask:?}"),
            }
        }
        Ok(())
    }
}

#[test]
fn the_shield_alone_takes_every_raise_whole_and_never_lowers() {
    let generator = Generator { families: Family::ALL.to_vec(), ..Generator::new(Split::Validation) };
    let mut raises = 0;
    for number in 0..36 {
        let (_, scenario) = generator.scenario(number);
        let mut policy = Watched(0);
        let episode =
            Episode::run(&scenario, generator.seed(number), &mut policy, &ControlConfig::default(), |_| {});
        raises += policy.0;
        for entry in &episode.journal {
            let Event::Decided(decision) = &entry.event else { continue };
            if decision.to < decision.from {
                assert_eq!(
                    (&entry.actor, decision.outcome),
                    (&Actor::Shield, Outcome::Enforced),
                    "{}",
                    scenario.name
                );
            }
        }
    }
    assert!(raises > 50, "only {raises} raises");
}

const WORLDS: &str =
    "evaluate generated --split validation --worlds 16 --policy shield-alone --policy rule --by-family";

#[test]
fn an_evaluation_is_the_same_on_any_number_of_threads() {
    let home = Home::new();
    let one = home.run(&format!("{WORLDS} --json --threads 1"));
    one.fine();
    for threads in [2, 5, 64] {
        assert_eq!(one.out, home.run(&format!("{WORLDS} --json --threads {threads}")).fine().out);
    }
    assert_eq!(home.run(WORLDS).fine().out, home.run(&format!("{WORLDS} --threads 3")).fine().out);
    let others = home.run(&format!("{WORLDS} --json --from 16"));
    assert_ne!(one.out, others.fine().out, "other worlds, other results");
}

#[test]
fn a_world_is_judged_the_same_whichever_others_there_are() {
    let home = Home::new();
    let cost = |from: u32, worlds: u32| {
        let line =
            format!("evaluate generated --split test --policy rule --json --from {from} --worlds {worlds}");
        home.run(&line).json().remove(0)["cost"]["mean"].as_f64().unwrap()
    };
    near(cost(3, 2), f64::midpoint(cost(3, 1), cost(4, 1)));
}

#[test]
fn generated_worlds_are_told_part_by_part_and_in_pairs() {
    let home = Home::new();
    let table = home.run(WORLDS);
    table.fine();
    assert!(table.out.starts_with("16 generated validation worlds, number 0 to 15"), "{}", table.out);
    assert!(table.out.lines().all(|line| line.chars().count() <= 100), "{}", table.out);
    assert!(table.out.contains("shield-alone, points"), "{}", table.out);
    let lines = home.run(&format!("{WORLDS} --json")).json();
    let [shield, rule] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!((&shield["policy"], &shield["against"]), (&"shield-alone".into(), &Value::Null));
    assert_eq!(rule["against"]["policy"], "shield-alone");
    let mean = |line: &Value, key: &str| line[key]["mean"].as_f64().unwrap();
    near(mean(&rule["against"], "cost"), mean(rule, "cost") - mean(shield, "cost"));
    for line in &lines {
        let parts = line["families"].as_array().unwrap();
        assert_eq!(parts.len(), Family::TRAINING.len());
        let all: f64 = parts.iter().map(|part| mean(part, "cost") * part["episodes"].as_f64().unwrap()).sum();
        near(all / 16.0, mean(line, "cost"));
        assert!(line["cost"]["low"].as_f64() <= line["cost"]["mean"].as_f64());
        assert!(line["cost"]["mean"].as_f64() <= line["cost"]["high"].as_f64());
        assert!(mean(line, "harm") <= line["harm_cvar95"].as_f64().unwrap());
        assert_eq!(line["field"]["generated"]["split"], "validation");
        assert_eq!(line["weights"]["false_rollback"], 960.0);
    }
    // What was left out of training is met in the test alone, unless it is asked for by name.
    let families = |line: &str| home.run(line).json().remove(0)["field"]["generated"]["families"].clone();
    let test = families("evaluate generated --split test --worlds 1 --policy rule --json");
    assert_eq!(test.as_array().unwrap().len(), Family::ALL.len());
    let one =
        families("evaluate generated --split training --worlds 1 --family interaction --policy rule --json");
    assert_eq!(one, serde_json::json!(["interaction"]));
}

#[test]
fn weights_of_ones_own_change_the_cost_and_nothing_else() {
    let home = Home::new();
    let text = knightwatch_sim::WEIGHTS.replace("\nerrors = 200.0", "\nerrors = 100.0");
    let file = home.file("weights.toml", text.replace("\nlatency = 2.0", "\nlatency = 1.0"));
    let line = "evaluate scenarios --scenario error-spike --seeds 2 --policy rule --json";
    let shipped = home.run(line).json().remove(0);
    let own = home.run_on(&format!("{line} --cost"), &file).json().remove(0);
    near(own["harm"]["mean"].as_f64().unwrap() * 2.0, shipped["harm"]["mean"].as_f64().unwrap());
    assert_eq!(own["bad_requests_per_bad_flag"], shipped["bad_requests_per_bad_flag"]);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let home = Home::new();
    let wrong = home.file("wrong.toml", "[cost]\nwaiting = 1\n");
    let refused = home.run_on("evaluate scenarios --cost", &wrong);
    refused.status(2);
    assert!(refused.err.contains("wrong.toml: ") && refused.err.contains("missing field"), "{}", refused.err);
    for (line, says) in [
        ("evaluate scenarios --worlds 3", "unexpected argument '--worlds'"),
        ("evaluate scenarios --from 3", "unexpected argument '--from'"),
        ("evaluate scenarios --family healthy", "unexpected argument '--family'"),
        ("evaluate generated", "--split <SPLIT>"),
        ("evaluate generated --split validation --seeds 3", "--seeds"),
        ("evaluate generated --split validation --scenario good", "--scenario"),
        ("evaluate generated --split validation --worlds 0", "0 is not in 1..=100000"),
        ("evaluate generated --split everything", "invalid value 'everything'"),
        ("evaluate generated --split test --family nonsense", "nonsense"),
        ("evaluate scenarios --threads 0", "0 is not in 1..=1024"),
        ("evaluate scenarios --cost nowhere.toml", "nowhere.toml"),
    ] {
        let ended = home.run(line);
        ended.status(2);
        assert!(ended.out.is_empty() && ended.err.contains(says), "{line}: {}", ended.err);
    }
}

#[test]
fn where_the_policy_failed_there_is_no_result() {
    let scenario = shipped("good");
    let fine = run(&scenario, PolicyName::RULE, 1);
    assert_eq!(fine.fault(), None);
    let mut broken = PpoMaster::from_file(b"");
    let episode = Episode::run(&scenario, 1, &mut broken, &ControlConfig::default(), |_| {});
    assert!(
        episode.fault().is_some_and(|fault| fault.contains("no usable weights")),
        "{:?}",
        episode.fault()
    );
    for entry in fine.journal.iter().chain(&episode.journal) {
        assert!(Event::KINDS.contains(&entry.event.kind()), "{} is not listed", entry.event.kind());
    }
}

#[test]
fn a_flag_that_is_only_cold_has_done_no_harm_yet() {
    let scenario = Scenario::parse(Scenario::builtin("error-spike").unwrap(), "error-spike").unwrap();
    assert!(scenario.flags[0].warm_up > 0.1 && scenario.scheduled_starts()[0].at < Millis::from_secs(240));
    let from = scenario.flags[0].effects[0].from;
    for seed in 1..=3 {
        let mut policy = PolicyName::RULE.build(seed);
        let episode = Episode::run(&scenario, seed, policy.as_mut(), &ControlConfig::default(), |_| {});
        let harmed = episode.flags[0].harmed_at.unwrap();
        assert!(harmed >= from && harmed <= from + scenario.interval, "{harmed}, its fault comes at {from}");
    }
}
