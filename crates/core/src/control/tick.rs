//! The tick: one pass of samples, evidence, policy and shield over all flags.
//!
//! A pure function: state, what is remembered of telemetry, a policy and the time go in, events come out. The engine,
//! `simulate`, the judge and training all call this one; there is no second loop anywhere.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::{
    Action, Actor, AlarmKind, ControlConfig, Decision, Event, FlagState, FlagTelemetry, Happened, Moment,
    Observation, Outcome, Phase, Policy, PolicyFault, Proposal, Reason, Ruling, Shelf, Shield, State,
    TelemetryState, Waiting, report_text::evidence_text, watch::Alarms,
};
use crate::{
    flag::{FlagId, Rollout, ServiceName},
    telemetry::{Feed, Millis, WindowReport},
};

/// One tick. Returns what happened, in order; the caller journals it and then folds it into the state.
pub fn tick(
    state: &State,
    telemetry_state: &mut TelemetryState,
    policy: &mut dyn Policy,
    config: &ControlConfig,
    feed: &Feed,
    moment: Moment,
) -> Vec<Happened> {
    let mut happened = Vec::new();
    telemetry_state.observe(state, config, feed, moment);
    for flag in &state.flags {
        if flag.hold.as_ref().is_some_and(|hold| hold.until <= moment.now) {
            happened.push((Actor::System, Event::HoldExpired { flag: flag.id }));
        }
    }
    let is_over = |shelf: &Shelf| shelf.until <= moment.now;
    for alarm in state.alarms.iter().filter(|alarm| alarm.shelf.as_ref().is_some_and(is_over)) {
        happened.push((Actor::System, Event::AlarmUnshelved { id: alarm.id }));
    }
    let troubled = telemetry_state.troubled(state, config);
    let begun = telemetry_state.begun;
    let shield = Shield::new(&config.shield, config.interval, state, moment.now).since(begun);
    let drifting = telemetry_state.drifting(state, &shield);
    let mut shield = shield.freezing(&troubled).attributing_to_service(&drifting);
    let mut alarms = Alarms::new(state);
    let mut asked = Vec::new();
    for flag in state.alive() {
        // The order was a person's; what it waited for has come.
        if let Some((waiting, to)) = start(state, &mut shield, flag) {
            happened.push((waiting.by.clone(), Event::Started { flag: flag.id, to }));
        }
        let TelemetryState { windows, by_flag, .. } = &mut *telemetry_state;
        let (window, flag_telemetry) = (&windows[flag.id.index()], &mut by_flag[flag.id.index()]);
        // At 100 % there is no live control to tell a dependency from the flag; the service's other flags can.
        let attributed_to_service = flag.rollout.is_full() && troubled.contains_key(&flag.spec.service);
        let enforced =
            shield.enforced(flag, window, &flag_telemetry.report).filter(|_| !attributed_to_service);
        match enforced {
            Some(ruling) => {
                flag_telemetry.proposal = None;
                settle(flag, flag_telemetry, Action::Hold, ruling, &mut alarms, &mut happened);
            }
            None if flag.phase == Phase::Ramping => asked.push(flag.id),
            None => {
                flag_telemetry.proposal = None;
                flag_telemetry.ruling = None;
            }
        }
        let since = moment.now.since(flag.changed_at.max(begun));
        lost_beyond_deadline(flag, flag_telemetry, config, since, &mut happened);
    }
    let fault = ask(state, telemetry_state, policy, config, &shield, &asked, moment);
    for (index, id) in asked.iter().enumerate() {
        let flag = &state.flags[id.index()];
        let proposal = std::mem::take(&mut telemetry_state.proposals[index]);
        let flag_telemetry = &mut telemetry_state.by_flag[id.index()];
        let proposed = proposal.action;
        let ruling = shield.rule(flag, &flag_telemetry.report, proposed);
        flag_telemetry.proposal = fault.is_none().then_some(proposal);
        settle(flag, flag_telemetry, proposed, ruling, &mut alarms, &mut happened);
    }
    alarms.policy(fault.as_ref());
    alarms.telemetry(telemetry_state, config, &troubled);
    happened.append(&mut alarms.happened);
    happened
}

/// Who ordered the start of a flag whose deployment has come, and where it starts.
pub(super) fn start<'a>(
    state: &State,
    shield: &mut Shield<'_>,
    flag: &'a FlagState,
) -> Option<(&'a Waiting, Rollout)> {
    let waiting = flag.waiting.as_ref()?;
    let due = state.latch.is_none() && state.is_deployed(flag.spec.deployment.as_ref());
    // Asked last: what is granted counts towards the exposure caps.
    if due { Some((waiting, shield.starting(flag)?)) } else { None }
}

/// Asks the policy about the flags in `asked`. On any fault every proposal is to hold, and the fault is returned.
fn ask(
    state: &State,
    telemetry_state: &mut TelemetryState,
    policy: &mut dyn Policy,
    config: &ControlConfig,
    shield: &Shield<'_>,
    asked: &[FlagId],
    moment: Moment,
) -> Option<PolicyFault> {
    let mut proposals = std::mem::take(&mut telemetry_state.proposals);
    proposals.clear();
    let observations = observations(state, telemetry_state, config, shield, asked, moment);
    let answer = propose(state, policy, asked, &observations, &mut proposals);
    if answer.is_err() {
        proposals.clear();
        proposals.resize(asked.len(), Proposal::HOLD);
    }
    drop(observations);
    telemetry_state.proposals = proposals;
    answer.err()
}

/// What a policy is to see of the flags in `asked`.
pub(super) fn observations<'a>(
    state: &'a State,
    telemetry_state: &'a TelemetryState,
    config: &ControlConfig,
    shield: &Shield<'_>,
    asked: &[FlagId],
    moment: Moment,
) -> Vec<Observation<'a>> {
    let mut moving: BTreeMap<&ServiceName, u32> = BTreeMap::new();
    for id in asked {
        *moving.entry(&state.flags[id.index()].spec.service).or_default() += 1;
    }
    asked
        .iter()
        .map(|id| {
            let flag = &state.flags[id.index()];
            let report = &telemetry_state.by_flag[id.index()].report;
            let window = &telemetry_state.windows[id.index()];
            Observation {
                flag: flag.id,
                ramp: flag.ramp,
                now: moment.now,
                interval: config.interval,
                phase: flag.phase,
                rollout: flag.rollout,
                ladder: &flag.spec.ladder,
                since_change: moment.now.since(flag.changed_at),
                report,
                latest: window.latest(),
                slower: window.slower(),
                moving_in_service: moving.get(&flag.spec.service).copied().unwrap_or(1).saturating_sub(1),
                mask: shield.mask(flag, report),
            }
        })
        .collect()
}

/// Has a policy write a proposal for each flag in `asked`; a panic, and what is none, is a fault.
pub(super) fn propose(
    state: &State,
    policy: &mut dyn Policy,
    asked: &[FlagId],
    observations: &[Observation<'_>],
    proposals: &mut Vec<Proposal>,
) -> Result<(), PolicyFault> {
    if observations.is_empty() {
        return Ok(());
    }
    catch_unwind(AssertUnwindSafe(|| policy.propose(observations, proposals)))
        .unwrap_or_else(|panic| Err(PolicyFault::panicked(panic.as_ref())))
        .and_then(|()| sane(asked, proposals))
        .map_err(|fault| {
            fault.naming(|id| {
                let flag = state.flags.get(id.index());
                flag.map_or_else(|| format!("flag number {}", id.0), |flag| flag.spec.key.to_string())
            })
        })
}

/// Whether there is one finite proposal for each flag.
fn sane(asked: &[FlagId], proposals: &[Proposal]) -> Result<(), PolicyFault> {
    if proposals.len() != asked.len() {
        let found = format!("{} proposals for {} flags", proposals.len(), asked.len());
        return Err(PolicyFault::Nonsense(found));
    }
    match proposals.iter().find(|proposal| !proposal.is_finite()) {
        Some(_) => Err(PolicyFault::Nonsense("a probability or value that is not a number".to_owned())),
        None => Ok(()),
    }
}

/// Turns a ruling into an event where it is news, and counts it where it is not.
fn settle(
    flag: &FlagState,
    flag_telemetry: &mut FlagTelemetry,
    proposed: Action,
    ruling: Ruling,
    alarms: &mut Alarms<'_>,
    happened: &mut Vec<Happened>,
) {
    let same = flag_telemetry.ruling.as_ref().is_some_and(|last| {
        last.outcome == ruling.outcome
            && std::mem::discriminant(&last.reason) == std::mem::discriminant(&ruling.reason)
    });
    flag_telemetry.repeated = if same { flag_telemetry.repeated.saturating_add(1) } else { 1 };
    let news = match (ruling.outcome, ruling.action) {
        (Outcome::Vetoed, _) => {
            let veto = (std::mem::discriminant(&proposed), std::mem::discriminant(&ruling.reason));
            let news = flag_telemetry.vetoed != Some(veto);
            flag_telemetry.vetoed = Some(veto);
            news
        }
        (_, Action::Hold) => false,
        _ => {
            flag_telemetry.vetoed = None;
            true
        }
    };
    if news {
        let decision = Decision {
            holds: std::mem::take(&mut flag_telemetry.holds),
            explanation: flag_telemetry.proposal.as_ref().and_then(|proposal| proposal.explanation.clone()),
            ..decision(flag, proposed, &ruling, &flag_telemetry.report)
        };
        let by_shield = matches!(ruling.outcome, Outcome::Enforced | Outcome::Vetoed);
        if ruling.action == Action::RollBack {
            let who = if by_shield { "shield" } else { "agent" };
            let text = format!(
                "{} was rolled back from {} by the {who}: {}.",
                flag.spec.key, flag.rollout, ruling.reason
            );
            alarms.raise(AlarmKind::RolledBack(flag.spec.key.clone()), text);
        }
        happened.push((if by_shield { Actor::Shield } else { Actor::Agent }, Event::Decided(decision)));
    } else {
        flag_telemetry.holds = flag_telemetry.holds.saturating_add(1);
    }
    flag_telemetry.ruling = Some(ruling);
}

/// A ruling on `flag` as it stood, with what it goes by.
pub(super) fn decision(
    flag: &FlagState,
    proposed: Action,
    ruling: &Ruling,
    report: &WindowReport,
) -> Decision {
    Decision {
        flag: flag.id,
        proposed,
        outcome: ruling.outcome,
        action: ruling.action,
        from: flag.rollout,
        to: ruling.to,
        reason: ruling.reason.clone(),
        evidence: evidence_text(&ruling.reason, report),
        holds: 0,
        explanation: None,
    }
}

/// Why a flag that was not moved at the last tick was not: what was ruled then, or, where nobody was asked, what would have
/// stood in the way of a raise. No journal has it: repeated holds are only counted. `None` for a flag that was not observed.
#[must_use]
pub fn held(
    state: &State,
    telemetry_state: &TelemetryState,
    config: &ControlConfig,
    flag: FlagId,
    now: Millis,
) -> Option<Decision> {
    let flag_telemetry = telemetry_state.flag_telemetry(flag)?;
    let flag = state.flags.get(flag.index())?;
    let proposed = flag_telemetry.proposal.as_ref().map(|proposal| proposal.action).unwrap_or_default();
    let ruling = if let Some(ruling) = &flag_telemetry.ruling {
        ruling.clone()
    } else {
        let troubled = telemetry_state.troubled(state, config);
        Shield::new(&config.shield, config.interval, state, now)
            .since(telemetry_state.begun)
            .freezing(&troubled)
            .rule(flag, &flag_telemetry.report, proposed)
    };
    Some(decision(flag, proposed, &ruling, &flag_telemetry.report))
}

fn lost_beyond_deadline(
    flag: &FlagState,
    flag_telemetry: &FlagTelemetry,
    config: &ControlConfig,
    since: Millis,
    happened: &mut Vec<Happened>,
) {
    if flag.phase != Phase::Ramping {
        return;
    }
    if let Some(age) = config.shield.escalates(&flag_telemetry.report, since) {
        let reason = Some(Reason::TelemetryLost { age, deadline: config.shield.lost_deadline });
        happened.push((Actor::Shield, Event::Paused { flag: flag.id, reason }));
    }
}
