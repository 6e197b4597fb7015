//! People's commands: what they come to, what they go over, and what refuses them.

use super::{
    Actor, Command, ControlConfig, Event, FlagState, Observatory, Order, Phase, Reason, Refusal, Shield,
    State,
};
use crate::{
    flag::{FlagKey, Rollout, ServiceName},
    telemetry::Millis,
};

/// A command that may be carried out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Granted {
    /// What happens.
    pub happened: Vec<(Actor, Event)>,
    /// What the person should know.
    pub warnings: Vec<String>,
}

/// What a command comes to at `now`. Range, exposure caps and the kill latch bind everyone; the rest binds the agent,
/// and a person who goes over it is warned and named.
///
/// # Errors
/// When it is refused; nothing has changed.
pub fn decide(
    state: &State,
    observatory: &Observatory,
    config: &ControlConfig,
    now: Millis,
    order: &Order,
) -> Result<Granted, Refusal> {
    let now = now.max(state.at);
    let shield = Shield::new(&config.shield, config.interval, state, now);
    let by = |event| Granted { happened: vec![(order.actor.clone(), event)], warnings: Vec::new() };
    match &order.command {
        Command::Create { spec } => {
            if state.by_key.contains_key(&spec.key) {
                return Err(Refusal::KeyUsed { flag: spec.key.clone() });
            }
            Ok(by(Event::Created { spec: spec.clone() }))
        }
        Command::Start { flag } => {
            let flag = unlatched(state, flag)?;
            if !flag.phase.needs_start() {
                return Err(wrong_phase(flag, "only an idle, rolled back or killed flag is started"));
            }
            let to = flag.spec.ladder.first();
            bound(&shield, &flag.spec.service, flag.rollout, to)?;
            let mut granted = by(Event::Started { flag: flag.id, to });
            granted.warn(&shield.overrides(flag, None, to));
            Ok(granted)
        }
        Command::Pause { flag } => {
            let flag = unlatched(state, flag)?;
            match flag.phase {
                Phase::Ramping => Ok(by(Event::Paused { flag: flag.id, reason: None })),
                _ => Err(wrong_phase(flag, "only a ramping flag is paused")),
            }
        }
        Command::Resume { flag } => {
            let flag = unlatched(state, flag)?;
            match flag.phase {
                Phase::Paused => Ok(by(Event::Resumed { flag: flag.id })),
                _ => Err(wrong_phase(flag, "only a paused flag is resumed")),
            }
        }
        Command::Rollback { flag } => {
            let flag = known(state, flag)?;
            if flag.rollout.is_zero() {
                return Err(Refusal::Nothing(format!("{} is at 0 % already", flag.spec.key)));
            }
            Ok(by(Event::RolledBack { flag: flag.id, from: flag.rollout }))
        }
        Command::Set { flag, rollout, expires_in, guard_off } => {
            let flag = unlatched(state, flag)?;
            let (from, to) = (flag.rollout, *rollout);
            bound(&shield, &flag.spec.service, from, to)?;
            let overrode = shield.overrides(flag, observatory.report(flag.id), to);
            let until = now + expires_in.unwrap_or(config.shield.human_hold);
            let event = Event::Set {
                flag: flag.id,
                from,
                to,
                until,
                guard_off: *guard_off,
                overrode: overrode.clone(),
            };
            let mut granted = by(event);
            granted.warn(&overrode);
            if *guard_off {
                granted.warnings.push("hard limits are off until the hold expires".to_owned());
            }
            Ok(granted)
        }
        Command::Promote { flag } => {
            let flag = unlatched(state, flag)?;
            if flag.phase == Phase::Complete {
                return Err(wrong_phase(flag, "it is at 100 % already"));
            }
            bound(&shield, &flag.spec.service, flag.rollout, Rollout::FULL)?;
            let overrode = shield.overrides(flag, observatory.report(flag.id), Rollout::FULL);
            let mut granted =
                by(Event::Promoted { flag: flag.id, from: flag.rollout, overrode: overrode.clone() });
            granted.warn(&overrode);
            Ok(granted)
        }
        Command::Release { flag } => {
            let flag = unlatched(state, flag)?;
            if flag.phase.needs_start() {
                return Err(wrong_phase(flag, "start it instead"));
            }
            if flag.held(now).is_none() && flag.phase != Phase::Paused {
                return Err(Refusal::Nothing(format!("nobody holds {}", flag.spec.key)));
            }
            Ok(by(Event::Released { flag: flag.id }))
        }
        Command::KillAll => {
            Ok(by(Event::KilledAll { exposed: u32::try_from(state.exposed()).unwrap_or(u32::MAX) }))
        }
        Command::Rearm { environment } => {
            if state.latch.is_none() {
                return Err(Refusal::NotLatched);
            }
            if environment.trim() != state.environment {
                let (found, expected) = (crate::flag::clean_line(environment), state.environment.clone());
                return Err(Refusal::WrongEnvironment { found, expected });
            }
            if order.reason.trim().is_empty() {
                return Err(Refusal::NeedsReason { what: "re-arming".to_owned() });
            }
            Ok(by(Event::Rearmed))
        }
        Command::Acknowledge { alarm } => {
            let open = |a: &&super::Alarm| a.id == *alarm && a.acknowledged_by.is_none();
            match state.alarms.iter().find(open) {
                Some(alarm) => Ok(by(Event::AlarmAcknowledged { id: alarm.id })),
                None => Err(Refusal::UnknownAlarm(*alarm)),
            }
        }
        Command::AcknowledgeBriefing => Ok(by(Event::BriefingAcknowledged)),
    }
}

impl Granted {
    fn warn(&mut self, reasons: &[Reason]) {
        self.warnings.extend(reasons.iter().map(|reason| format!("went over: {reason}")));
    }
}

fn known<'a>(state: &'a State, key: &FlagKey) -> Result<&'a FlagState, Refusal> {
    state.flag(key).ok_or_else(|| Refusal::UnknownFlag { flag: key.clone() })
}

/// The flag, unless kill-all is in force: then nothing is moved but the latch.
fn unlatched<'a>(state: &'a State, key: &FlagKey) -> Result<&'a FlagState, Refusal> {
    let flag = known(state, key)?;
    match &state.latch {
        Some(latch) => Err(Refusal::Latched { by: latch.by.to_string(), seq: latch.seq }),
        None => Ok(flag),
    }
}

fn wrong_phase(flag: &FlagState, expected: &str) -> Refusal {
    Refusal::WrongPhase { flag: flag.spec.key.clone(), phase: flag.phase, expected: expected.to_owned() }
}

fn bound(shield: &Shield<'_>, service: &ServiceName, from: Rollout, to: Rollout) -> Result<(), Refusal> {
    shield.exposure_allows(service, from, to).map_err(|reason| Refusal::Limit(reason.to_string()))
}
