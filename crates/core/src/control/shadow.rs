//! Shadow mode: a second policy decides beside the one in charge, on the same evidence and behind the same shield, and nothing
//! that it says is done.
//!
//! It is asked when the tick has decided already, so that whatever it does, panics and nonsense included, it touches nothing.
//! What it would have done is news only when that begins to differ from what was done, differs in another way, or agrees
//! again. It must not know the policy in charge.

use std::mem::{Discriminant, discriminant};

use super::{
    Action, Actor, ControlConfig, Decision, Entry, Event, Happened, Moment, Outcome, Phase, Policy,
    PolicyFault, Shield, State, TelemetryState,
    tick::{decision, observations, propose, start},
};
use crate::flag::FlagId;

/// A policy that decides beside the one in charge.
pub struct Shadow {
    policy: Box<dyn Policy>,
    /// By [`FlagId`]: what it would have done and what was done instead, where the two differed when last looked at.
    differs: Vec<Option<[Action; 2]>>,
    /// That it gave no usable answer was said: once is enough.
    faulted: bool,
}

impl Shadow {
    /// With this policy. Where it may stall it has a thread and a deadline of its own.
    #[must_use]
    pub fn new(policy: Box<dyn Policy>) -> Self {
        Self { policy, differs: Vec::new(), faulted: false }
    }

    /// Its policy's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.policy.name()
    }

    /// Looks at a tick that has just decided, and whose decisions are not in `state` yet. Returns what is news.
    pub fn look(
        &mut self,
        state: &State,
        telemetry_state: &TelemetryState,
        config: &ControlConfig,
        moment: Moment,
    ) -> Vec<Happened> {
        let would = match consult(state, telemetry_state, self.policy.as_mut(), config, moment) {
            Ok(would) => would,
            Err(_) if self.faulted => return Vec::new(),
            Err(fault) => {
                self.faulted = true;
                let policy = self.name().to_owned();
                return vec![(Actor::System, Event::ShadowFaulty { policy, fault: fault.to_string() })];
            }
        };
        let mut now = vec![None; state.flags.len()];
        let mut happened = Vec::new();
        for would in would {
            let index = would.flag.index();
            let Some(ruling) = telemetry_state
                .flag_telemetry(would.flag)
                .and_then(|flag_telemetry| flag_telemetry.ruling.as_ref())
            else {
                continue;
            };
            let both = [would.action, ruling.action];
            let before = self.differs.get(index).copied().flatten();
            now[index] = (both[0] != both[1]).then_some(both);
            if kinds(now[index]) != kinds(before) {
                let Decision { flag, from, reason, evidence, .. } = would;
                let [would, did] = both;
                let policy = self.name().to_owned();
                let event = Event::Shadow { flag, policy, would, did, from, reason, evidence };
                happened.push((Actor::System, event));
            }
        }
        self.differs = now;
        happened
    }

    /// Takes from the journal what was news before a session was left that goes on in `state`. Where the same time was
    /// looked at again, what was never journalled is news still; otherwise the journal's word is all there is.
    pub fn recall<'a>(&mut self, journal: impl IntoIterator<Item = &'a Entry>, state: &State) {
        let mut told = vec![None; state.flags.len()];
        for entry in journal {
            if let Event::Shadow { flag, policy, would, did, .. } = &entry.event
                && policy == self.policy.name()
                && let Some(told) = told.get_mut(flag.index())
            {
                *told = (would != did).then_some([*would, *did]);
            }
        }
        let again = !self.differs.is_empty();
        self.differs.resize(told.len(), None);
        for ((differs, told), flag) in self.differs.iter_mut().zip(told).zip(&state.flags) {
            // Where nothing is decided any more nothing differs.
            let told = told.filter(|_| flag.phase == Phase::Ramping);
            *differs = if again { differs.filter(|both| kinds(Some(*both)) == kinds(told)) } else { told };
        }
    }
}

/// In which way two actions differ: the rollout that a raise goes to makes no news of its own.
fn kinds(differs: Option<[Action; 2]>) -> Option<[Discriminant<Action>; 2]> {
    differs.map(|both| both.map(|action| discriminant(&action)))
}

/// What `policy` would have come to on each flag that the policy in charge was asked about.
fn consult(
    state: &State,
    telemetry_state: &TelemetryState,
    policy: &mut dyn Policy,
    config: &ControlConfig,
    moment: Moment,
) -> Result<Vec<Decision>, PolicyFault> {
    let troubled = telemetry_state.troubled(state, config);
    let mut shield = Shield::new(&config.shield, config.interval, state, moment.now)
        .since(telemetry_state.begun)
        .freezing(&troubled);
    for flag in state.alive() {
        // It takes its part of the exposure caps, whoever steers.
        let _ = start(state, &mut shield, flag);
    }
    let decided = |flag: FlagId| {
        let ruling =
            telemetry_state.flag_telemetry(flag).and_then(|flag_telemetry| flag_telemetry.ruling.as_ref());
        ruling.is_some_and(|ruling| ruling.outcome != Outcome::Enforced)
    };
    let asked = state.alive().filter(|flag| flag.phase == Phase::Ramping && decided(flag.id));
    let asked: Vec<FlagId> = asked.map(|flag| flag.id).collect();
    let mut proposals = Vec::with_capacity(asked.len());
    let observations = observations(state, telemetry_state, config, &shield, &asked, moment);
    propose(state, policy, &asked, &observations, &mut proposals)?;
    drop(observations);
    let rule = |(id, proposal): (&FlagId, super::Proposal)| {
        let (flag, report) = (&state.flags[id.index()], &telemetry_state.by_flag[id.index()].report);
        let ruling = shield.rule(flag, report, proposal.action);
        decision(flag, proposal.action, &ruling, report)
    };
    Ok(asked.iter().zip(proposals).map(rule).collect())
}
