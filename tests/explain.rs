//! `knightwatch explain` and `--weights`, through the real program.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

#[path = "support/command.rs"]
mod command;
#[path = "support/weights.rs"]
mod weights;

use command::{Ended, Home};
use knightwatch::agent::FEATURE_COUNT;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// A home with eager weights and a session that they steered.
fn steered(scenario: &str) -> (Home, String) {
    let home = Home::new();
    let bytes = weights::eager(4).to_bytes().unwrap();
    let digest = Sha256::digest(&bytes);
    let hash = format!("{:016x}", u64::from_be_bytes(digest[..8].try_into().unwrap()));
    home.file("mine.safetensors", bytes);
    home.run(&format!("watch --scenario {scenario} --policy ppo-master --weights mine.safetensors")).fine();
    (home, hash)
}

/// The first entry of the newest session that fits.
fn entry(home: &Home, fits: impl Fn(&Value) -> bool) -> Value {
    home.run("audit show --json").json().into_iter().find(fits).unwrap()
}

fn moved_by(entry: &Value) -> Vec<&str> {
    let all = entry["event"]["explanation"]["moved_by"].as_array().unwrap();
    all.iter().map(|clause| clause.as_str().unwrap()).collect()
}

#[track_caller]
fn nothing_more(ended: &Ended, sentence: &Value, why: &str) {
    ended.status(1);
    assert!(ended.out.contains(sentence.as_str().unwrap()), "{}", ended.out);
    assert!(ended.err.contains(why), "{}", ended.err);
    assert_eq!(ended.out.lines().count(), 1);
}

#[test]
fn a_move_of_the_agent_is_explained_by_all_that_it_saw() {
    let (home, hash) = steered("good");
    let raise = entry(&home, |entry| entry["actor"] == "agent");
    let seq = raise["seq"].as_u64().unwrap();
    let told = home.run(&format!("explain {seq} --weights mine.safetensors"));
    told.fine();
    assert!(told.out.contains(raise["sentence"].as_str().unwrap()), "{}", told.out);
    assert!(told.out.contains(&format!("weights   {hash}, not the shipped ones")), "{}", told.out);
    for name in ["roll back", "step down", "hold", "raise small", "raise medium", "raise large"] {
        assert!(told.out.lines().any(|line| line.starts_with(name)), "{name}: {}", told.out);
    }
    assert!(told.out.contains("raise large   not allowed by the"), "{}", told.out);
    assert!(told.out.contains("value     "), "{}", told.out);
    let json = home.run(&format!("explain #{seq} --weights mine.safetensors --json")).json();
    let [report] = json.as_slice() else { panic!("one object: {json:?}") };
    assert_eq!(report["entry"], raise);
    assert_eq!(report["nothing"], Value::Null);
    let explained = &report["explained"];
    assert_eq!(explained["weights"]["hash"], hash.as_str());
    assert_eq!(
        (&explained["weights"]["at_hand"], &explained["weights"]["shipped"]),
        (&true.into(), &false.into())
    );
    let features = explained["features"].as_array().unwrap();
    assert_eq!(features.len(), FEATURE_COUNT);
    let influences: Vec<f64> = features.iter().map(|seen| seen["influence"].as_f64().unwrap()).collect();
    assert!(influences.is_sorted_by(|a, b| a >= b), "{influences:?}");
    for (clause, seen) in moved_by(&raise).into_iter().zip(features) {
        let text = |key: &str| seen[key].as_str().unwrap();
        assert_eq!(clause, format!("{} ({})", text("about"), text("in_words")));
        assert!(told.out.contains(&format!("{}: {}", text("about"), text("in_words"))), "{}", told.out);
    }
    let sum: f64 =
        explained["choices"].as_array().unwrap().iter().map(|c| c["probability"].as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-5, "{sum}");
}

#[test]
fn without_its_weights_what_was_noted_at_the_time_is_told() {
    let (home, hash) = steered("good");
    let raise = entry(&home, |entry| entry["actor"] == "agent");
    let seq = raise["seq"].as_u64().unwrap();
    home.file("other.safetensors", weights::eager(9).to_bytes().unwrap());
    for weights in ["", " --weights other.safetensors"] {
        let told = home.run(&format!("explain {seq}{weights}"));
        told.fine();
        assert!(told.out.contains(&hash) && told.out.contains("are not at hand"), "{}", told.out);
        for clause in moved_by(&raise) {
            assert!(told.out.contains(&format!("moved by  {clause}")), "{}", told.out);
        }
    }
    // The configuration's weights are at hand.
    home.file("mine.toml", "[agent]\nweights = \"mine.safetensors\"\n");
    let told = home.run(&format!("--config mine.toml explain {seq}"));
    told.fine();
    assert!(told.out.contains("What it saw"), "{}", told.out);
    let broken = home.run(&format!("explain {seq} --weights nowhere.safetensors"));
    broken.status(2);
    assert!(
        broken.err.contains("nowhere.safetensors: no usable weights: it cannot be read"),
        "{}",
        broken.err
    );
}

#[test]
fn what_no_policy_explains_is_told_with_the_reason_why_not() {
    let (home, _) = steered("error-spike");
    let explain = |entry: &Value| home.run(&format!("explain {}", entry["seq"]));
    let started = entry(&home, |entry| entry["event"]["event"] == "started");
    let ended = explain(&started);
    nothing_more(&ended, &started["sentence"], "is no decision of a policy but what");
    let own = entry(&home, |entry| entry["event"]["outcome"] == "obliged");
    nothing_more(&explain(&own), &own["sentence"], "is the shield's own: it acts by fixed rules");
    let json = home.run(&format!("explain {} --json", own["seq"]));
    json.status(1);
    let report: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((&report["entry"], &report["explained"]), (&own, &Value::Null));
    assert!(report["nothing"].as_str().unwrap().contains("the shield's own"));

    let home = Home::new();
    home.run("watch --scenario good --policy rule").fine();
    let raise = entry(&home, |entry| entry["actor"] == "agent");
    let ended = home.run(&format!("explain {}", raise["seq"]));
    nothing_more(&ended, &raise["sentence"], "was proposed by rule, which does not explain itself");
    let last = home.run("audit show --json").json().last().unwrap()["seq"].as_u64().unwrap();
    for beyond in [0, last + 1] {
        let ended = home.run(&format!("explain {beyond}"));
        ended.status(2);
        assert!(ended.err.contains(&format!("there is no entry #{beyond}: ")), "{}", ended.err);
        assert!(ended.err.contains(&format!("has entries #1 to #{last}")), "{}", ended.err);
    }
    let ended = home.run("explain seven");
    ended.status(2);
    assert!(ended.err.contains("expected the number of an entry, as in 42 or #42"), "{}", ended.err);
}

/// Invariant 9, on the command line.
#[test]
fn broken_weights_hold_and_alarm_where_somebody_watches_and_are_refused_where_a_result_is_asked_for() {
    for (what, bytes, said) in weights::broken() {
        let home = Home::new();
        let name = format!("{what}.safetensors");
        home.file(&name, bytes);
        let watched = home.run(&format!("watch --scenario error-spike --policy ppo-master --weights {name}"));
        watched.fine();
        let alarm = format!("Alarm: the policy has no usable weights: {name}: ");
        assert!(
            watched.out.lines().any(|l| l.contains(&alarm) && l.contains(said)),
            "{what}: {}",
            watched.out
        );
        assert!(!watched.out.contains(" raised from "), "{what}: {}", watched.out);
        assert!(watched.out.contains(" rolled back from "), "{what}: {}", watched.out);
        if what == "huge" {
            // What comes of large numbers shows only when it decides: everything holds, here too.
            let ended = home.run(&format!("simulate --scenario good --policy ppo-master --weights {name}"));
            assert!(ended.fine().out.contains(&alarm), "{}", ended.out);
            continue;
        }
        for verb in ["simulate --scenario good", "evaluate --seeds 1 --scenario good"] {
            let ended = home.run(&format!("{verb} --policy ppo-master --weights {name}"));
            ended.status(2);
            assert!(ended.err.contains(&name) && ended.err.contains(said), "{what}: {}", ended.err);
            assert_eq!(ended.out, "", "nothing was simulated");
        }
    }
    let home = Home::new();
    let ended = home.run("simulate --scenario good --policy ppo-master --weights nowhere.safetensors");
    ended.status(2);
    assert!(ended.err.contains("nowhere.safetensors: no usable weights: it cannot be read"), "{}", ended.err);
    home.file("mine.toml", "[agent]\nweights = \"nowhere.safetensors\"\n");
    home.run("--config mine.toml simulate --scenario good --policy ppo-master").status(2);
    home.run("--config mine.toml simulate --scenario good --policy rule").fine();
    let ended = home.run("simulate --scenario good --policy rule --weights nowhere.safetensors");
    ended.status(2);
    assert!(ended.err.contains("only ppo-master decides by weights"), "{}", ended.err);
}

#[test]
fn named_weights_steer_and_the_same_seed_gives_the_same_bytes() {
    let home = Home::new();
    home.file("mine.safetensors", weights::eager(4).to_bytes().unwrap());
    let line = "simulate --scenario good --policy ppo-master --weights mine.safetensors";
    let run = home.run(line);
    run.fine();
    assert!(
        run.out.contains("raised from 99 % to 100 %") && run.out.contains("; moved most by "),
        "{}",
        run.out
    );
    assert_eq!(run.out, home.run(line).out);
}
