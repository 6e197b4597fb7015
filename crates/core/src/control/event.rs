//! What has happened, and what is said of it. Events are the only thing that changes state, and what the journal keeps.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{
    Action, AlarmId, AlarmKind, Command, DeployKind, Explanation, Outcome, PolicySettings, Reason,
    SpecChange, State, policy_in_words,
};
use crate::{
    flag::{Deployment, FlagId, FlagKey, FlagSpec, Rollout},
    telemetry::Millis,
};

/// An entry's number in the journal: from 1, without gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Seq(pub u64);

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("#{}", self.0))
    }
}

/// Who acted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Actor {
    /// The policy in charge.
    Agent,
    /// The deterministic rules around it.
    Shield,
    /// A person, by name.
    Person(String),
    /// knightwatch itself.
    System,
}

impl Actor {
    /// The actor that people call so.
    #[must_use]
    pub fn named(name: &str) -> Self {
        match name {
            "agent" => Self::Agent,
            "shield" => Self::Shield,
            "system" => Self::System,
            person => Self::Person(person.to_owned()),
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Agent => "agent",
            Self::Shield => "shield",
            Self::Person(name) => name,
            Self::System => "system",
        })
    }
}

/// Something that happened, and who did it.
pub type Happened = (Actor, Event);

/// What became of a proposal, or what the shield did by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// Which flag.
    pub flag: FlagId,
    /// What the policy wanted.
    pub proposed: Action,
    /// What the shield made of it.
    pub outcome: Outcome,
    /// What is done.
    pub action: Action,
    /// The rollout before.
    pub from: Rollout,
    /// The rollout after.
    pub to: Rollout,
    /// Why.
    pub reason: Reason,
    /// What the evidence was, in one clause: both arms' numbers with their sample sizes.
    pub evidence: String,
    /// How many holds went unrecorded before this on the flag.
    pub holds: u32,
    /// Why the policy proposed it, where it explains itself. Absent in older journals, whose hashes stay as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explanation: Option<Box<Explanation>>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A session began: where, on what, under which policy.
    SessionStarted {
        /// The environment's name.
        environment: String,
        /// What is being steered, for people: a scenario, a recording.
        source: String,
        /// The policy in charge.
        policy: String,
        /// The seed, where there is one.
        seed: Option<u64>,
        /// How the policy is set. Absent where it cannot be, and in older journals, whose hashes stay as they are.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        settings: Option<PolicySettings>,
    },
    /// A session goes on after it was left, under which policy.
    SessionResumed {
        /// The policy in charge.
        policy: String,
        /// How the policy is set, where it can be.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        settings: Option<PolicySettings>,
    },
    /// A flag was declared.
    Created {
        /// The declaration.
        spec: FlagSpec,
    },
    /// What is declared of a flag was changed.
    Changed {
        /// Which flag.
        flag: FlagId,
        /// What became different.
        change: SpecChange,
    },
    /// A flag was put away for good.
    Archived {
        /// Which flag.
        flag: FlagId,
        /// The rollout before: nobody gets `on` from here on.
        from: Rollout,
    },
    /// A flag was put on its first rung.
    Started {
        /// Which flag.
        flag: FlagId,
        /// The first rung.
        to: Rollout,
    },
    /// A flag's start was ordered, and waits for its deployment.
    Waiting {
        /// Which flag.
        flag: FlagId,
    },
    /// A pipeline said what runs now.
    Deployed {
        /// How it came about.
        kind: DeployKind,
        /// What runs.
        what: Deployment,
    },
    /// A proposal was ruled on.
    Decided(Decision),
    /// No raises from here on.
    Paused {
        /// Which flag.
        flag: FlagId,
        /// Why, where the program paused it by itself.
        reason: Option<Reason>,
    },
    /// The agent goes on.
    Resumed {
        /// Which flag.
        flag: FlagId,
    },
    /// A person rolled a flag back.
    RolledBack {
        /// Which flag.
        flag: FlagId,
        /// The rollout before.
        from: Rollout,
    },
    /// A person set the share.
    Set {
        /// Which flag.
        flag: FlagId,
        /// The rollout before.
        from: Rollout,
        /// The rollout after.
        to: Rollout,
        /// Until when the agent keeps off.
        until: Millis,
        /// Whether the shield's hard limits are off until then.
        guard_off: bool,
        /// Which of the agent's rules this overrode.
        overrode: Vec<Reason>,
    },
    /// A person went straight to 100 %.
    Promoted {
        /// Which flag.
        flag: FlagId,
        /// The rollout before.
        from: Rollout,
        /// Which of the agent's rules this overrode.
        overrode: Vec<Reason>,
    },
    /// A person handed a flag back to the agent.
    Released {
        /// Which flag.
        flag: FlagId,
    },
    /// A hold ran out and the agent may act again.
    HoldExpired {
        /// Which flag.
        flag: FlagId,
    },
    /// Kill-all: latched, everything at 0 %, every phase `killed`. One event, however many flags.
    KilledAll {
        /// How many flags had treatment traffic.
        exposed: u32,
    },
    /// A person asked for re-arming; another one has to agree.
    RearmAsked {
        /// Who they authenticated as: the one who agrees must be another.
        who: String,
        /// Until when.
        until: Millis,
    },
    /// The latch is open; every flag stays `killed`.
    Rearmed,
    /// An alarm began.
    AlarmRaised {
        /// Its number.
        id: AlarmId,
        /// What it is about.
        kind: AlarmKind,
        /// One plain sentence.
        text: String,
    },
    /// An alarm's cause is over.
    AlarmCleared {
        /// Its number.
        id: AlarmId,
    },
    /// A person acknowledged an alarm.
    AlarmAcknowledged {
        /// Its number.
        id: AlarmId,
    },
    /// Somebody took an alarm out of sight for a time.
    AlarmShelved {
        /// Its number.
        id: AlarmId,
        /// Until when.
        until: Millis,
        /// Why, in the person's words.
        why: String,
    },
    /// The time on the shelf is over: the alarm is in sight again.
    AlarmUnshelved {
        /// Its number.
        id: AlarmId,
    },
    /// Somebody has read the briefing.
    BriefingAcknowledged,
    /// What a shadow would have done begins to differ from what was done, differs in another way, or, where both are the
    /// same, agrees again.
    Shadow {
        /// Which flag.
        flag: FlagId,
        /// The shadow's policy.
        policy: String,
        /// What it would have done, behind the same shield.
        would: Action,
        /// What was done.
        did: Action,
        /// The rollout before.
        from: Rollout,
        /// What the shield's ruling on it went by; the policy's own grounds are not known.
        reason: Reason,
        /// What the evidence was, as in [`Decision`].
        evidence: String,
    },
    /// A shadow gave no usable answer: nothing else is touched by it. Said once.
    ShadowFaulty {
        /// The shadow's policy.
        policy: String,
        /// What it did.
        fault: String,
    },
}

impl Event {
    /// Every kind that [`Self::kind`] gives.
    pub const KINDS: [&'static str; 30] = [
        "session",
        "session-resumed",
        "create",
        "change",
        "archive",
        "start",
        "wait",
        "deployment",
        "raise",
        "hold",
        "step-down",
        "rollback",
        "veto",
        "pause",
        "resume",
        "set",
        "promote",
        "release",
        "hold-expired",
        "kill-all",
        "re-arm-asked",
        "re-arm",
        "alarm",
        "alarm-cleared",
        "alarm-acknowledged",
        "alarm-shelved",
        "alarm-unshelved",
        "briefing",
        "shadow",
        "shadow-fault",
    ];

    /// The flag it is about, where it is about one that exists already.
    #[must_use]
    pub const fn flag(&self) -> Option<FlagId> {
        match self {
            Self::Changed { flag, .. }
            | Self::Archived { flag, .. }
            | Self::Started { flag, .. }
            | Self::Waiting { flag }
            | Self::Decided(Decision { flag, .. })
            | Self::Paused { flag, .. }
            | Self::Resumed { flag }
            | Self::RolledBack { flag, .. }
            | Self::Set { flag, .. }
            | Self::Promoted { flag, .. }
            | Self::Released { flag }
            | Self::HoldExpired { flag }
            | Self::Shadow { flag, .. } => Some(*flag),
            Self::SessionStarted { .. }
            | Self::SessionResumed { .. }
            | Self::Created { .. }
            | Self::Deployed { .. }
            | Self::KilledAll { .. }
            | Self::RearmAsked { .. }
            | Self::Rearmed
            | Self::AlarmRaised { .. }
            | Self::AlarmCleared { .. }
            | Self::AlarmAcknowledged { .. }
            | Self::AlarmShelved { .. }
            | Self::AlarmUnshelved { .. }
            | Self::BriefingAcknowledged
            | Self::ShadowFaulty { .. } => None,
        }
    }

    /// The kind of event in one word, as filters and machines use it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::SessionStarted { .. } => "session",
            Self::SessionResumed { .. } => "session-resumed",
            Self::Created { .. } => "create",
            Self::Changed { .. } => "change",
            Self::Archived { .. } => "archive",
            Self::Started { .. } => "start",
            Self::Waiting { .. } => "wait",
            Self::Deployed { .. } => "deployment",
            Self::Decided(decision) => match (decision.outcome, decision.action) {
                (Outcome::Vetoed, _) => "veto",
                (_, Action::RollBack) => "rollback",
                (_, Action::StepDown) => "step-down",
                (_, Action::Hold) => "hold",
                (_, Action::RaiseTo(_)) => "raise",
            },
            Self::Paused { .. } => "pause",
            Self::Resumed { .. } => "resume",
            Self::RolledBack { .. } => "rollback",
            Self::Set { .. } => "set",
            Self::Promoted { .. } => "promote",
            Self::Released { .. } => "release",
            Self::HoldExpired { .. } => "hold-expired",
            Self::KilledAll { .. } => "kill-all",
            Self::RearmAsked { .. } => "re-arm-asked",
            Self::Rearmed => "re-arm",
            Self::AlarmRaised { .. } => "alarm",
            Self::AlarmCleared { .. } => "alarm-cleared",
            Self::AlarmAcknowledged { .. } => "alarm-acknowledged",
            Self::AlarmShelved { .. } => "alarm-shelved",
            Self::AlarmUnshelved { .. } => "alarm-unshelved",
            Self::BriefingAcknowledged => "briefing",
            Self::Shadow { .. } => "shadow",
            Self::ShadowFaulty { .. } => "shadow-fault",
        }
    }

    /// Whether any flag may look different after it, and not only the one that it names.
    #[must_use]
    pub const fn affects_all_flags(&self) -> bool {
        match self {
            Self::SessionStarted { .. }
            | Self::SessionResumed { .. }
            | Self::Deployed { .. }
            | Self::KilledAll { .. }
            | Self::Rearmed => true,
            Self::Created { .. }
            | Self::Started { .. }
            | Self::Waiting { .. }
            | Self::Decided(_)
            | Self::Paused { .. }
            | Self::Resumed { .. }
            | Self::RolledBack { .. }
            | Self::Set { .. }
            | Self::Promoted { .. }
            | Self::Released { .. }
            | Self::HoldExpired { .. }
            | Self::Changed { .. }
            | Self::Archived { .. }
            | Self::RearmAsked { .. }
            | Self::AlarmRaised { .. }
            | Self::AlarmCleared { .. }
            | Self::AlarmAcknowledged { .. }
            | Self::AlarmShelved { .. }
            | Self::AlarmUnshelved { .. }
            | Self::BriefingAcknowledged
            | Self::Shadow { .. }
            | Self::ShadowFaulty { .. } => false,
        }
    }

    /// The event as one plain sentence: what the log shows, the journal keeps and a screen reader reads. `state` is the state
    /// before it.
    pub(super) fn sentence(&self, flag: Option<&FlagKey>, state: &State, at: Millis) -> String {
        let key = flag.map_or("the fleet", FlagKey::as_str);
        match self {
            Self::SessionStarted { environment, source, policy, settings, .. } => {
                let policy = policy_in_words(policy, settings.as_ref());
                format!("Session on {environment}: {source}, steered by {policy}.")
            }
            Self::SessionResumed { policy, settings } => {
                format!("Session resumed, steered by {}.", policy_in_words(policy, settings.as_ref()))
            }
            Self::Created { spec } => format!("{key} created in {}.", spec.service),
            Self::Changed { change, .. } => format!("{key} changed: {change}."),
            Self::Archived { from, .. } if from.is_full() => format!(
                "{key} archived at 100 %: applications that still ask for it get the default in their own code."
            ),
            Self::Archived { .. } => format!("{key} archived; its key is never used again."),
            Self::Waiting { flag } => {
                let wanted = state.flags.get(flag.index()).and_then(|flag| flag.spec.deployment.as_ref());
                let wanted = wanted.map(|wanted| format!(" of {wanted}")).unwrap_or_default();
                format!("{key} starts when the deployment{wanted} is reported.")
            }
            Self::Deployed { kind, what } => format!("Deployment: {what} {}.", kind.as_str()),
            Self::Started { flag, to }
                if state.flags.get(flag.index()).is_some_and(|flag| flag.waiting.is_some()) =>
            {
                format!("{key} started at {to}: its deployment was reported; the agent takes over.")
            }
            Self::Started { to, .. } => format!("{key} started at {to}; the agent takes over."),
            Self::Decided(decision) => decided(key, decision),
            Self::Paused { reason: None, .. } => format!("{key} paused."),
            Self::Paused { reason: Some(reason), .. } => format!("{key} paused: {reason}."),
            Self::Resumed { .. } => format!("{key} resumed; the agent continues."),
            Self::RolledBack { from, .. } => format!("{key} rolled back from {from} to 0 %."),
            Self::Set { from, to, until, guard_off, overrode, .. } => format!(
                "{key} set from {from} to {to} for {}{}.{}",
                until.since(at),
                if *guard_off { ", hard limits off" } else { "" },
                overridden(overrode)
            ),
            Self::Promoted { from, overrode, .. } => {
                format!("{key} promoted from {from} to 100 %.{}", overridden(overrode))
            }
            Self::Released { .. } => format!("{key} handed back to the agent."),
            Self::HoldExpired { .. } => format!("The hold on {key} has run out; the agent may act again."),
            Self::KilledAll { exposed } => format!(
                "KILL-ALL: every flag off ({exposed} had traffic, {} in all); the agent is locked out until re-armed.",
                state.alive().count()
            ),
            Self::RearmAsked { who, until } => {
                format!("Re-arming requested by {who}: another person must confirm by {}.", until.stamp())
            }
            Self::Rearmed => "Re-armed: the latch is open, every flag stays off until started.".to_owned(),
            Self::AlarmRaised { text, .. } => format!("Alarm: {text}"),
            Self::AlarmCleared { id } => format!("Alarm cleared: {}", alarm_text(state, *id)),
            Self::AlarmAcknowledged { id } => format!("Alarm acknowledged: {}", alarm_text(state, *id)),
            Self::AlarmShelved { id, until, .. } => {
                let lasts = until.since(at);
                format!("Alarm shelved for {lasts}, until {}: {}", until.stamp(), alarm_text(state, *id))
            }
            Self::AlarmUnshelved { id } => {
                format!("Alarm unshelved, its shelving has expired: {}", alarm_text(state, *id))
            }
            Self::BriefingAcknowledged => "Briefing read and acknowledged.".to_owned(),
            Self::Shadow { policy, would, did, from, .. } if would == did => {
                format!("{key} at {from}: the shadow {policy} agrees again: {did}.")
            }
            Self::Shadow { policy, would, did, from, reason, evidence, .. } => {
                // Whether that was what moved it, nobody can say of a policy that may not even have looked.
                let evidence = if evidence.is_empty() { String::new() } else { format!(" ({evidence})") };
                format!(
                    "{key} at {from}: the shadow {policy} would {would}; the decision was: {did}. Observed: {reason}{evidence}."
                )
            }
            Self::ShadowFaulty { policy, fault } => format!(
                "The shadow {policy} gives no usable answer: {fault}. Nothing else is affected; this is reported once."
            ),
        }
    }

    /// Whether it raises somebody's exposure: what must not happen while kill-all is in force.
    #[must_use]
    pub fn is_raise(&self) -> bool {
        match self {
            Self::Started { .. } => true,
            Self::Promoted { from, .. } => !from.is_full(),
            Self::Set { from, to, .. } | Self::Decided(Decision { from, to, .. }) => to > from,
            _ => false,
        }
    }
}

/// One line of the journal: an event with its number, time and actor, and the sentence that people read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number.
    pub seq: Seq,
    /// Controller time.
    pub at: Millis,
    /// Who acted.
    pub actor: Actor,
    /// The flag it is about, where it is about one.
    pub flag: Option<FlagKey>,
    /// What happened.
    pub event: Event,
    /// The same as one plain sentence, with the person's reason where one was given.
    pub sentence: String,
}

impl Entry {
    /// The order that an entry came of; `None` for what steers nothing: alarms, and the briefing.
    #[must_use]
    pub fn command(&self, environment: &str) -> Option<Command> {
        let flag = self.flag.clone();
        Some(match &self.event {
            Event::Created { spec } => Command::Create { spec: spec.clone() },
            Event::Changed { change, .. } => Command::Change { flag: flag?, change: change.clone() },
            Event::Archived { .. } => Command::Archive { flag: flag? },
            Event::Started { .. } | Event::Waiting { .. } => Command::Start { flag: flag? },
            Event::Deployed { kind, what } => Command::Deployed { kind: *kind, what: what.clone() },
            Event::Paused { .. } => Command::Pause { flag: flag? },
            Event::Resumed { .. } => Command::Resume { flag: flag? },
            Event::RolledBack { .. } => Command::Rollback { flag: flag? },
            Event::Set { to, until, guard_off, .. } => Command::Set {
                flag: flag?,
                rollout: *to,
                expires_in: Some(until.since(self.at)),
                guard_off: *guard_off,
            },
            Event::Promoted { .. } => Command::Promote { flag: flag? },
            Event::Released { .. } => Command::Release { flag: flag? },
            Event::KilledAll { .. } => Command::KillAll,
            Event::RearmAsked { .. } | Event::Rearmed => {
                Command::Rearm { environment: environment.to_owned() }
            }
            Event::SessionStarted { .. }
            | Event::SessionResumed { .. }
            | Event::Decided(_)
            | Event::HoldExpired { .. }
            | Event::AlarmRaised { .. }
            | Event::AlarmCleared { .. }
            | Event::AlarmAcknowledged { .. }
            | Event::AlarmShelved { .. }
            | Event::AlarmUnshelved { .. }
            | Event::BriefingAcknowledged
            | Event::Shadow { .. }
            | Event::ShadowFaulty { .. } => return None,
        })
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
        (Outcome::Enforced, Action::RollBack) => {
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

fn overridden(reasons: &[Reason]) -> String {
    if reasons.is_empty() {
        return String::new();
    }
    let all: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    format!(" Overrode: {}.", all.join("; "))
}
