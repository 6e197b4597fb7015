//! Every event as one plain sentence: what the log shows, the journal keeps and a screen reader reads.

use super::{Action, Decision, Event, Outcome, Reason, State, policy_in_words};
use crate::{flag::FlagKey, telemetry::Millis};

/// What happened at `at`, which the state before it does not know.
pub(super) fn sentence(event: &Event, flag: Option<&FlagKey>, state: &State, at: Millis) -> String {
    let key = flag.map_or("the fleet", FlagKey::as_str);
    match event {
        Event::SessionStarted { environment, source, policy, settings, .. } => {
            let policy = policy_in_words(policy, settings.as_ref());
            format!("Session on {environment}: {source}, steered by {policy}.")
        }
        Event::SessionResumed { policy, settings } => {
            format!("Session resumed, steered by {}.", policy_in_words(policy, settings.as_ref()))
        }
        Event::Created { spec } => format!("{key} created in {}.", spec.service),
        Event::Changed { change, .. } => format!("{key} changed: {change}."),
        Event::Archived { from, .. } if from.is_full() => format!(
            "{key} archived at 100 %: applications that still ask for it get the default in their own code."
        ),
        Event::Archived { .. } => format!("{key} archived; its key is never used again."),
        Event::Waiting { flag } => {
            let wanted = state.flags.get(flag.index()).and_then(|flag| flag.spec.deployment.as_ref());
            let wanted = wanted.map(|wanted| format!(" of {wanted}")).unwrap_or_default();
            format!("{key} starts when the deployment{wanted} is there.")
        }
        Event::Deployed { kind, what } => format!("Deployment: {what} {}.", kind.as_str()),
        Event::Started { flag, to }
            if state.flags.get(flag.index()).is_some_and(|flag| flag.waiting.is_some()) =>
        {
            format!(
                "{key} started at {to}, as ordered for when its deployment is there; the agent takes over."
            )
        }
        Event::Started { to, .. } => format!("{key} started at {to}; the agent takes over."),
        Event::Decided(decision) => decided(key, decision),
        Event::Paused { reason: None, .. } => format!("{key} paused."),
        Event::Paused { reason: Some(reason), .. } => format!("{key} paused: {reason}."),
        Event::Resumed { .. } => format!("{key} resumed; the agent goes on."),
        Event::RolledBack { from, .. } => format!("{key} rolled back from {from} to 0 %."),
        Event::Set { from, to, until, guard_off, overrode, .. } => format!(
            "{key} set from {from} to {to} for {}{}.{}",
            until.since(at),
            if *guard_off { ", hard limits off" } else { "" },
            went_over(overrode)
        ),
        Event::Promoted { from, overrode, .. } => {
            format!("{key} promoted from {from} to 100 %.{}", went_over(overrode))
        }
        Event::Released { .. } => format!("{key} handed back to the agent."),
        Event::HoldExpired { .. } => format!("The hold on {key} has run out; the agent may act again."),
        Event::KilledAll { exposed } => format!(
            "KILL-ALL: every flag off ({exposed} had traffic, {} in all); the agent is locked out until re-armed.",
            state.alive().count()
        ),
        Event::RearmAsked { who, until } => {
            format!("Re-arming asked for by {who}: another person has until {} to agree.", until.stamp())
        }
        Event::Rearmed => "Re-armed: the latch is open, every flag stays off until started.".to_owned(),
        Event::AlarmRaised { text, .. } => format!("Alarm: {text}"),
        Event::AlarmCleared { id } => format!("Alarm over: {}", alarm_text(state, *id)),
        Event::AlarmAcknowledged { id } => format!("Alarm acknowledged: {}", alarm_text(state, *id)),
        Event::AlarmShelved { id, until, .. } => {
            let lasts = until.since(at);
            format!("Alarm shelved for {lasts}, until {}: {}", until.stamp(), alarm_text(state, *id))
        }
        Event::AlarmUnshelved { id } => {
            format!("Alarm back, its time on the shelf is over: {}", alarm_text(state, *id))
        }
        Event::BriefingAcknowledged => "Briefing read and acknowledged.".to_owned(),
        Event::Shadow { policy, would, did, from, .. } if would == did => {
            format!("{key} at {from}: the shadow {policy} agrees again: {did}.")
        }
        Event::Shadow { policy, would, did, from, reason, evidence, .. } => {
            // Whether that was what moved it, nobody can say of a policy that may not even have looked.
            let evidence = if evidence.is_empty() { String::new() } else { format!(" ({evidence})") };
            format!(
                "{key} at {from}: the shadow {policy} would {would}; done was: {did}. What there was to see: {reason}{evidence}."
            )
        }
        Event::ShadowFaulty { policy, fault } => format!(
            "The shadow {policy} gives no usable answer: {fault}. Nothing else is touched by it; this is said once."
        ),
    }
}

fn alarm_text(state: &State, id: super::AlarmId) -> String {
    state
        .alarms
        .iter()
        .find(|alarm| alarm.id == id)
        .map_or_else(|| format!("number {}.", id.0), |alarm| alarm.text.clone())
}

fn decided(key: &str, decision: &Decision) -> String {
    let Decision { proposed, outcome, action, from, to, reason, evidence, holds, explanation, .. } = decision;
    let after = match holds {
        0 => String::new(),
        1 => " After 1 hold.".to_owned(),
        holds => format!(" After {holds} holds."),
    };
    let evidence = if evidence.is_empty() { String::new() } else { format!(" ({evidence})") };
    // Only of its own moves: a veto and what the shield does by itself have the shield's reasons.
    let own = matches!(outcome, Outcome::Allowed | Outcome::Clipped);
    let moved = explanation.as_ref().filter(|_| own).and_then(|explanation| explanation.moved_most());
    let evidence = match moved {
        Some(moved) => format!("{evidence}; moved most by {moved}"),
        None => evidence,
    };
    match (outcome, action) {
        (Outcome::Vetoed, _) => {
            format!("{key} stays at {from}: vetoed {proposed}: {reason}{evidence}.{after}")
        }
        (_, Action::Hold) => format!("{key} stays at {from}: {reason}{evidence}.{after}"),
        (Outcome::Obliged, Action::RollBack) => {
            format!("{key} rolled back from {from} to 0 %: {reason}{evidence}.{after}")
        }
        (Outcome::Clipped, _) => {
            format!("{key} moved from {from} to {to}, clipped from {proposed}: {reason}{evidence}.{after}")
        }
        (_, Action::RollBack) => format!("{key} rolled back from {from} to 0 %: {reason}{evidence}.{after}"),
        (_, Action::StepDown) => {
            format!("{key} stepped down from {from} to {to}: {reason}{evidence}.{after}")
        }
        (_, Action::RaiseTo(_)) => format!("{key} raised from {from} to {to}: {reason}{evidence}.{after}"),
    }
}

fn went_over(reasons: &[Reason]) -> String {
    if reasons.is_empty() {
        return String::new();
    }
    let all: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    format!(" Went over: {}.", all.join("; "))
}
