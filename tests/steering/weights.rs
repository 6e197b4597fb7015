//! PPO-Master under the real tick: what it says of its own moves, and what happens when its weights are no good.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test"
)]

use crate::support::{fleet, weights};

use std::sync::Arc;

use fleet::Fleet;
use knightwatch_agent::{Choice, Features, PolicyName, PpoMaster, Weights, explain};
use knightwatch_core::{
    control::{Actor, AlarmKind, ControlConfig, Decision, Entry, Event, Outcome, Phase, Priority},
    flag::Rollout,
};
use knightwatch_sim::{Episode, Scenario};

fn decisions(journal: &[Entry]) -> impl Iterator<Item = (&Entry, &Decision)> {
    journal.iter().filter_map(|entry| match &entry.event {
        Event::Decided(decision) => Some((entry, decision)),
        _ => None,
    })
}

#[test]
fn every_own_move_says_what_it_saw_and_what_moved_it() {
    let weights = weights::eager(3);
    let mut policy = PpoMaster::new(Ok(Arc::new(weights.clone())));
    let mut fleet = Fleet::new(2, 5);
    fleet.start_all();
    fleet.run(&mut policy, 120);
    let mut raises = 0;
    for (entry, decision) in decisions(&fleet.journal) {
        let explanation = decision.explanation.as_ref().unwrap_or_else(|| panic!("{}", entry.sentence));
        let features = Features::try_from(explanation.features.as_slice()).unwrap();
        let chosen = Choice::likeliest(&explanation.probabilities);
        let influences = explain::influences(&weights, &features, &explanation.legal, chosen);
        assert_eq!(explanation.moved_by, explain::moved_by(&influences, &features));
        assert_eq!(explanation.weights, weights.hash);
        for (legal, p) in explanation.legal.iter().zip(explanation.probabilities) {
            assert_eq!(*legal, p > 0.0, "what the shield would not allow has no probability");
        }
        let clause = format!("; moved most by {}.", explanation.moved_by.join(" and "));
        let own = entry.actor == Actor::Agent;
        assert_eq!(entry.sentence.contains(&clause), own, "{}", entry.sentence);
        assert_eq!(own, matches!(decision.outcome, Outcome::Allowed | Outcome::Clipped));
        raises += usize::from(own);
        let text = serde_json::to_string(entry).unwrap();
        assert_eq!(serde_json::from_str::<Entry>(&text).unwrap(), *entry, "it is read as it was written");
    }
    assert!(raises >= 10, "two flags climb their ladders: {raises}");
    assert!(fleet.state.flags.iter().all(|flag| flag.phase == Phase::Complete));
}

#[test]
fn a_policy_that_does_not_explain_itself_leaves_the_journal_as_it_was() {
    let mut fleet = Fleet::new(1, 5);
    fleet.start_all();
    fleet.run(PolicyName::RULE.build(0).as_mut(), 60);
    assert!(decisions(&fleet.journal).count() > 2, "it decides");
    for (entry, decision) in decisions(&fleet.journal) {
        assert_eq!(decision.explanation, None);
        let text = serde_json::to_string(entry).unwrap();
        assert!(!text.contains("explanation"), "{text}");
        assert!(!entry.sentence.contains("moved most"), "{}", entry.sentence);
    }
    // As it was written before there were explanations: the hash covers these very bytes.
    let old = r#"{"seq":7,"at":1772442130000,"actor":"agent","flag":"flag-0","event":{"event":"decided","flag":0,"proposed":{"raise_to":500},"outcome":"allowed","action":{"raise_to":500},"from":100,"to":500,"reason":{"code":"judgement","verdict":"healthy"},"evidence":"","holds":3},"sentence":"flag-0 raised from 1 % to 5 %."}"#;
    let entry: Entry = serde_json::from_str(old).unwrap();
    assert_eq!(serde_json::to_string(&entry).unwrap(), old);
}

/// Invariant 9.
#[test]
fn weights_that_are_no_good_mean_hold_and_an_alarm_and_the_shield_still_rolls_back() {
    for (what, bytes, said) in weights::broken() {
        let mut policy = PpoMaster::from_file(&bytes).named("my.safetensors");
        let mut fleet = Fleet::new(2, 7);
        fleet.run(&mut policy, 10);
        fleet.start_all();
        fleet.run(&mut policy, 4);
        let alarm = fleet.state.alarm(&AlarmKind::PolicyFault).unwrap_or_else(|| panic!("{what}: no alarm"));
        assert_eq!(alarm.priority(), Priority::Critical);
        let begins = "the policy has no usable weights: my.safetensors: ";
        assert!(alarm.text.starts_with(begins) && alarm.text.contains(said), "{what}: {}", alarm.text);
        let first = fleet.rollout(0);
        fleet.behaviours[1].errors_treatment = 0.6;
        fleet.run(&mut policy, 60);
        assert_eq!(fleet.rollout(0), first, "{what}: a good flag stays where it was");
        assert_eq!(fleet.state.flags[0].phase, Phase::Ramping);
        assert_eq!(fleet.rollout(1), Rollout::ZERO, "{what}: a bad one goes back");
        assert!(decisions(&fleet.journal).all(|(entry, _)| entry.actor == Actor::Shield), "{what}");
        assert!(fleet.telemetry_state.flag_telemetry(fleet.state.flags[0].id).unwrap().proposal.is_none());
    }
}

#[test]
fn an_episode_without_usable_weights_raises_nothing_and_says_so_once() {
    let scenario = Scenario::parse(Scenario::builtin("good").unwrap(), "good").unwrap();
    let mut policy = PpoMaster::from_file(b"").named("gone.safetensors");
    let episode = Episode::run(&scenario, 1, &mut policy, &ControlConfig::default(), |_| {});
    assert!(decisions(&episode.journal).next().is_none());
    let alarms = episode.journal.iter().filter(|entry| matches!(entry.event, Event::AlarmRaised { .. }));
    assert_eq!(alarms.count(), 1);
    assert!(episode.state().alarm(&AlarmKind::PolicyFault).unwrap().text.contains("gone.safetensors"));
    let flag = episode.state().flag(&scenario.flags[0].spec.key).unwrap();
    assert_eq!(flag.phase, Phase::Ramping);
}

#[test]
fn weights_that_fail_only_as_they_decide_hold_and_the_alarm_names_the_flag() {
    // No file of these would be read; a learner's own could come to this.
    let mut all = weights::eager(3);
    all.parameters.policy.0.fill(f32::MAX);
    let all = Weights::new(all.parameters, all.normaliser, all.training);
    let mut policy = PpoMaster::new(Ok(Arc::new(all))).named("mine");
    let mut fleet = Fleet::new(2, 7);
    fleet.start_all();
    fleet.run(&mut policy, 4);
    let alarm = fleet.state.alarm(&AlarmKind::PolicyFault).unwrap();
    let said = "the policy has no usable weights: mine: on flag-0 their answer is not a finite number";
    assert!(alarm.text.starts_with(said), "{}", alarm.text);
}
