//! `knightwatch explain` and `--weights`, through the real program.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use crate::support::{command, weights};

use command::{Ended, Home};
use knightwatch_agent::{FEATURE_COUNT, FEATURES, explain};
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
    for name in ["roll back", "step down", "hold", "raise 1", "raise 2", "raise 3"] {
        assert!(told.out.lines().any(|line| line.starts_with(name)), "{name}: {}", told.out);
    }
    assert!(told.out.contains("raise 3       shut: the shield would not let it pass"), "{}", told.out);
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
    // What is set may weigh most, and explains nothing.
    let telling =
        features.iter().filter(|seen| seen["feature"] != "harm_weight" && seen["feature"] != "interval");
    assert_eq!(moved_by(&raise).len(), 2);
    for (clause, seen) in moved_by(&raise).into_iter().zip(telling) {
        let text = |key: &str| seen[key].as_str().unwrap();
        let feature = FEATURES.iter().find(|feature| feature.key == text("feature")).unwrap();
        #[expect(clippy::cast_possible_truncation, reason = "it was one")]
        let value = seen["value"].as_f64().unwrap() as f32;
        assert_eq!(clause, explain::clause(feature, value));
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
    let told = home.run(&format!("explain {seq}"));
    told.fine();
    assert!(told.out.contains(&hash) && told.out.contains("are not at hand"), "{}", told.out);
    assert_eq!(moved_by(&raise).len(), 2);
    for clause in moved_by(&raise) {
        assert!(told.out.contains(&format!("moved by  {clause}")), "{}", told.out);
    }
    let other = home.run(&format!("explain {seq} --weights other.safetensors"));
    other.status(2);
    let said = format!("and #{seq} was decided by {hash}");
    assert!(
        other.err.contains("other.safetensors: holds the weights ") && other.err.contains(&said),
        "{}",
        other.err
    );
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
    let own = entry(&home, |entry| entry["event"]["outcome"] == "enforced");
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
fn broken_weights_hold_and_alarm_where_somebody_watches_and_are_refused_where_they_are_named() {
    for (what, bytes, said) in weights::broken() {
        let home = Home::new();
        let name = format!("{what}.safetensors");
        home.file(&name, bytes);
        home.file("mine.toml", format!("[agent]\nweights = \"{name}\"\n"));
        // What only the configuration names may have broken on the disk: it must not lock anybody out.
        let watched = home.run("--config mine.toml watch --scenario error-spike");
        watched.fine();
        let alarm = format!("Alarm: the policy has no usable weights: {name}: ");
        assert!(
            watched.out.lines().any(|l| l.contains(&alarm) && l.contains(said)),
            "{what}: {}",
            watched.out
        );
        let first = watched.out.lines().next().unwrap();
        assert!(first.contains("steered by ppo-master (no usable weights)"), "{what}: {first}");
        assert!(!watched.out.contains(" raised from "), "{what}: {}", watched.out);
        assert!(watched.out.contains(" rolled back from "), "{what}: {}", watched.out);
        for line in ["--config mine.toml config --check", "--config mine.toml simulate --scenario good"] {
            let ended = home.run(line);
            ended.status(2);
            assert!(ended.err.contains(&name) && ended.err.contains(said), "{what}: {}", ended.err);
        }
        let before = home.files();
        for verb in ["simulate --scenario good", "watch --scenario good"] {
            let ended = home.run(&format!("{verb} --policy ppo-master --weights {name}"));
            ended.status(2);
            assert!(ended.err.contains(&name) && ended.err.contains(said), "{what}: {}", ended.err);
            assert_eq!(ended.out, "", "nothing was simulated");
        }
        assert_eq!(home.files(), before, "no session was begun");
    }
    let home = Home::new();
    for verb in ["simulate --scenario good --policy ppo-master", "watch --until done"] {
        let ended = home.run(&format!("{verb} --weights nowhere.safetensors"));
        ended.status(2);
        let said = "nowhere.safetensors: no usable weights: it cannot be read";
        assert!(ended.err.contains(said), "{verb}: {}", ended.err);
        assert_eq!(ended.out, "", "{verb}");
    }
    home.file("mine.toml", "[agent]\nweights = \"nowhere.safetensors\"\n");
    home.run("--config mine.toml simulate --scenario good --policy ppo-master").status(2);
    home.run("--config mine.toml simulate --scenario good --policy rule").fine();
}

#[test]
fn options_that_would_do_nothing_are_refused() {
    let home = Home::new();
    home.run("watch --scenario good --policy rule --session s").fine();
    for (line, said) in [
        ("simulate --policy rule --harm-weight 3", "--harm-weight: only ppo-master has any"),
        ("simulate --policy rule --weights x", "--weights: only ppo-master has any"),
        ("watch --policy rule --harm-weight 3", "--harm-weight: only ppo-master has any"),
        ("replay s --text --harm-weight 3", "unexpected argument '--harm-weight'"),
        ("simulate --harm-weight -1", "expected by-traffic or a factor from 0.03 to 32, found \"-1\""),
        ("explain -1", "expected the number of an entry, as in 42 or #42"),
        ("audit show --kind zzz", "possible values: session"),
    ] {
        let ended = home.run(line);
        ended.status(2);
        assert!(ended.err.contains(said), "{line}: {}", ended.err);
    }
}

#[test]
fn a_resumed_session_keeps_its_harm_weight_and_weights_and_says_so() {
    let home = Home::new();
    home.file("mine.safetensors", weights::eager(4).to_bytes().unwrap());
    home.file("other.safetensors", weights::eager(9).to_bytes().unwrap());
    home.file("mine.toml", "[agent]\nharm_weight = 2.0\n");
    let watch = "watch --scenario good --until done";
    let begun = home.run(&format!("{watch} --session s --harm-weight 16 --weights mine.safetensors"));
    begun.fine();
    let first = begun.out.lines().next().unwrap();
    assert!(first.contains("steered by ppo-master (harm weight 16, weights "), "{first}");
    assert!(home.run("status --session s").fine().out.contains("ppo-master (harm weight 16, weights "));
    // Also from another folder's point of view, and whatever the configuration has come to say.
    let again = home.run(&format!("--config mine.toml {watch} --session s"));
    let resumed: Vec<_> = again.out.lines().filter(|line| line.contains("Session resumed")).collect();
    let [resumed] = resumed.as_slice() else { panic!("{}", again.out) };
    assert!(resumed.contains("steered by ppo-master (harm weight 16, weights "), "{resumed}");
    for (asked, said) in [
        ("--harm-weight 5", "has harm-weight 16, not 5; omit --harm-weight"),
        ("--harm-weight by-traffic", "has harm-weight 16, not by-traffic; omit --harm-weight"),
        ("--weights other.safetensors", "; omit --weights to resume it"),
    ] {
        let ended = home.run(&format!("{watch} --session s {asked}"));
        ended.status(2);
        assert!(ended.err.contains(said), "{}", ended.err);
    }
    home.run(&format!("{watch} --session s --harm-weight 16 --weights mine.safetensors"));
    std::fs::copy(home.path("other.safetensors"), home.path("mine.safetensors")).unwrap();
    let changed = home.run(&format!("{watch} --session s"));
    changed.status(2);
    assert!(changed.err.contains("name the session's weights with --weights"), "{}", changed.err);
    // The policy that took over is the one that goes on.
    home.run(&format!("{watch} --session s --policy rule"));
    let last = home.run(&format!("{watch} --session s"));
    let resumed = last.out.lines().rfind(|line| line.contains("Session resumed")).unwrap();
    assert!(resumed.ends_with("steered by rule."), "{resumed}");
    home.run("audit verify --session s").fine();
    // The configuration's harm weight is that of a new session.
    let fresh = home.run("--config mine.toml watch --scenario good");
    assert!(
        fresh.out.lines().next().unwrap().ends_with("steered by ppo-master (harm weight 2)."),
        "{}",
        fresh.out
    );
    home.file("wrong.toml", "[agent]\nharm_weight = 99\n");
    let wrong = home.run("--config wrong.toml config --check");
    wrong.status(2);
    assert!(
        wrong.err.contains("wrong.toml:2:15: expected by-traffic or a factor from 0.03 to 32, found 99"),
        "{}",
        wrong.err
    );
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
