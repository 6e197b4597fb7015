//! People's commands: what they come to, what they go over, and what refuses them.

use super::{
    Actor, AlarmId, AlarmKind, Command, ControlConfig, DeployKind, Deployed, Event, FlagState, Order, Phase,
    Reason, Refusal, Shield, SpecChange, State, TelemetryState, watch::Alarms,
};
use crate::{
    flag::{Deployment, FlagKey, FlagSpec, Rollout},
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
    telemetry_state: &TelemetryState,
    config: &ControlConfig,
    now: Millis,
    order: &Order,
) -> Result<Granted, Refusal> {
    let now = now.max(state.at);
    let shield = Shield::new(&config.shield, config.interval, state, now);
    unchanged(state, order)?;
    let context = CommandContext { state, telemetry_state, config, now, order, shield };
    match &order.command {
        Command::Create { spec } if state.by_key.contains_key(&spec.key) => {
            Err(Refusal::KeyUsed { flag: spec.key.clone() })
        }
        Command::Create { spec } => Ok(context.granted(Event::Created { spec: spec.clone() })),
        Command::Change { flag, change } => context.change(known(state, flag)?, change),
        Command::Archive { flag } => context.archive(known(state, flag)?),
        Command::Start { flag } => context.start(unlatched(state, flag)?),
        Command::Pause { flag } => match unlatched(state, flag)? {
            flag if flag.phase == Phase::Ramping => {
                Ok(context.granted(Event::Paused { flag: flag.id, reason: None }))
            }
            flag => Err(wrong_phase(flag, "only a ramping flag is paused")),
        },
        Command::Resume { flag } => match unlatched(state, flag)? {
            flag if flag.phase == Phase::Paused => Ok(context.granted(Event::Resumed { flag: flag.id })),
            flag => Err(wrong_phase(flag, "only a paused flag is resumed")),
        },
        // Down is always allowed, also under the latch, where there is nothing left to take down.
        Command::Rollback { flag } => match known(state, flag)? {
            flag if flag.rollout.is_zero() && flag.waiting.is_none() => {
                Err(Refusal::Nothing(format!("{} is at 0 % already", flag.spec.key)))
            }
            flag => Ok(context.granted(Event::RolledBack { flag: flag.id, from: flag.rollout })),
        },
        Command::Set { flag, rollout, expires_in, guard_off } => {
            context.set(unlatched(state, flag)?, *rollout, *expires_in, *guard_off)
        }
        Command::Promote { flag } => context.promote(unlatched(state, flag)?),
        Command::Release { flag } => context.release(unlatched(state, flag)?),
        Command::KillAll => {
            let exposed = u32::try_from(state.exposed()).unwrap_or(u32::MAX);
            Ok(context.granted(Event::KilledAll { exposed }))
        }
        Command::Rearm { environment } => context.rearm(environment),
        Command::Deployed { kind, what } => Ok(context.deployed(*kind, what)),
        Command::Definitions { fault } => context.definitions(fault.as_deref()),
        Command::Acknowledge { alarm } => {
            let open = |a: &&super::Alarm| a.id == *alarm && a.acknowledged_by.is_none();
            let found = state.alarms.iter().find(open).ok_or(Refusal::UnknownAlarm(*alarm))?;
            Ok(context.granted(Event::AlarmAcknowledged { id: found.id }))
        }
        Command::Shelve { alarm, lasts } => context.shelve(*alarm, *lasts),
        Command::AcknowledgeBriefing => Ok(context.granted(Event::BriefingAcknowledged)),
    }
}

/// An order with everything that its decision needs.
struct CommandContext<'a> {
    state: &'a State,
    telemetry_state: &'a TelemetryState,
    config: &'a ControlConfig,
    now: Millis,
    order: &'a Order,
    shield: Shield<'a>,
}

impl CommandContext<'_> {
    fn granted(&self, event: Event) -> Granted {
        Granted { happened: vec![(self.order.actor.clone(), event)], warnings: Vec::new() }
    }

    /// A deployment. Where it was taken back, flags whose code came with it are not touched, since nobody ordered that, but
    /// a person is called.
    fn deployed(&self, kind: DeployKind, what: &Deployment) -> Granted {
        let mut granted = self.granted(Event::Deployed { kind, what: what.clone() });
        if kind != DeployKind::RolledBack {
            return granted;
        }
        let heard = Deployed { at: self.now, by: self.order.actor.clone(), kind, what: what.clone() };
        let mut alarms = Alarms::new(self.state);
        for flag in self.state.alive().filter(|flag| !flag.rollout.is_zero()) {
            let FlagSpec { key, service, deployment, .. } = &flag.spec;
            let lost_its_code = deployment.as_ref().map_or(*service == what.service, |wanted| {
                wanted.service == what.service && !heard.is(wanted)
            });
            if lost_its_code {
                let text = format!(
                    "{key} is still at {} although {} was rolled back: its code may be gone.",
                    flag.rollout, what.service
                );
                granted.warnings.push(text.trim_end_matches('.').to_owned());
                alarms.raise(AlarmKind::LeftOn(key.clone()), text);
            }
        }
        granted.happened.append(&mut alarms.happened);
        granted
    }

    /// An alarm of its own, until the definitions that should be in force are.
    fn definitions(&self, fault: Option<&str>) -> Result<Granted, Refusal> {
        let mut alarms = Alarms::new(self.state);
        alarms.definitions(fault);
        if alarms.happened.is_empty() {
            return Err(Refusal::Nothing("the same is known of the flag definitions already".to_owned()));
        }
        Ok(Granted { happened: alarms.happened, warnings: Vec::new() })
    }

    /// The exposure caps bind people too.
    fn bound(&self, flag: &FlagState, to: Rollout) -> Result<(), Refusal> {
        let allowed = self.shield.exposure_allows(&flag.spec.service, flag.rollout, to);
        allowed.map_err(|reason| Refusal::Limit(reason.to_string()))
    }

    fn overrides(&self, flag: &FlagState, to: Rollout) -> Vec<Reason> {
        self.shield.overrides(flag, self.telemetry_state.report(flag.id), to)
    }

    /// A new ladder moves nothing: of a flag that the agent moves it must have the rung that the flag is on, or the next
    /// step would be of a size that neither ladder has.
    fn change(&self, flag: &FlagState, change: &SpecChange) -> Result<Granted, Refusal> {
        let change = change.against(&flag.spec);
        if change.is_empty() {
            return Err(Refusal::Nothing(format!("{} already has this declaration", flag.spec.key)));
        }
        let moving = matches!(flag.phase, Phase::Ramping | Phase::Paused);
        if let Some(ladder) = change.ladder.as_ref().filter(|_| moving)
            && !ladder.rungs().contains(&flag.rollout)
        {
            let expected = format!("at {}, which is no rung of the new ladder", flag.rollout);
            return Err(wrong_phase(flag, &expected));
        }
        // Otherwise the change itself could start it.
        if flag.waiting.is_some() && change.deployment.is_some() {
            let expected =
                "its start waits for its deployment; roll it back first, that takes the start back";
            return Err(wrong_phase(flag, expected));
        }
        Ok(self.granted(Event::Changed { flag: flag.id, change }))
    }

    fn archive(&self, flag: &FlagState) -> Result<Granted, Refusal> {
        if !flag.phase.is_settled() {
            return Err(wrong_phase(flag, "only an idle, rolled back, killed or complete flag is archived"));
        }
        if flag.waiting.is_some() {
            return Err(wrong_phase(flag, "its start waits for its deployment; roll it back first"));
        }
        let mut granted = self.granted(Event::Archived { flag: flag.id, from: flag.rollout });
        if flag.rollout.is_full() {
            let key = &flag.spec.key;
            let warning = format!(
                "applications that still evaluate {key} now get the default in their own code instead of on"
            );
            granted.warnings.push(warning);
        }
        Ok(granted)
    }

    fn shelve(&self, id: AlarmId, lasts: Millis) -> Result<Granted, Refusal> {
        let alarm = self.state.alarms.iter().find(|alarm| alarm.id == id).ok_or(Refusal::NoAlarm(id))?;
        if let Some(why) = alarm.unshelvable(lasts) {
            return Err(Refusal::Limit(why));
        }
        let why = self.reason("shelving an alarm")?;
        Ok(self.granted(Event::AlarmShelved { id, until: self.now + lasts, why }))
    }

    /// The person's reason, for `what` is refused without.
    fn reason(&self, what: &str) -> Result<String, Refusal> {
        let reason = crate::flag::clean_line(&self.order.reason);
        if reason.trim().is_empty() {
            Err(Refusal::NeedsReason { what: what.to_owned() })
        } else {
            Ok(reason)
        }
    }

    fn start(&self, flag: &FlagState) -> Result<Granted, Refusal> {
        if !flag.phase.needs_start() {
            return Err(wrong_phase(flag, "only an idle, rolled back or killed flag is started"));
        }
        let wanted = flag.spec.deployment.as_ref();
        if let Some(wanted) = wanted.filter(|wanted| !self.state.is_deployed(Some(wanted))) {
            if let Some(waiting) = &flag.waiting {
                let (key, by) = (&flag.spec.key, &waiting.by);
                let text = format!("{key} already waits for the deployment of {wanted}, ordered by {by}");
                return Err(Refusal::Nothing(text));
            }
            let mut granted = self.granted(Event::Waiting { flag: flag.id });
            granted.warnings.push(format!("it starts when {wanted} is deployed, not before"));
            return Ok(granted);
        }
        let to = flag.spec.ladder.first();
        self.bound(flag, to)?;
        let mut granted =
            self.granted(Event::Started { flag: flag.id, to }).warned(&self.overrides(flag, to));
        // Its line says so no more once kill-all has come over it.
        if let Some(at) = flag.auto_rolled_back_at {
            granted
                .warnings
                .push(format!("its last ramp ended with an automatic rollback at {}", at.stamp()));
        }
        Ok(granted)
    }

    fn set(
        &self,
        flag: &FlagState,
        to: Rollout,
        expires_in: Option<Millis>,
        guard_off: bool,
    ) -> Result<Granted, Refusal> {
        self.bound(flag, to)?;
        let overrode = self.overrides(flag, to);
        let until = self.now + expires_in.unwrap_or(self.config.shield.human_hold);
        let (id, from) = (flag.id, flag.rollout);
        let event = Event::Set { flag: id, from, to, until, guard_off, overrode: overrode.clone() };
        let mut granted = self.granted(event).warned(&overrode);
        if guard_off {
            granted.warnings.push("hard limits are off until the hold expires".to_owned());
        }
        Ok(granted)
    }

    fn promote(&self, flag: &FlagState) -> Result<Granted, Refusal> {
        if flag.phase == Phase::Complete {
            return Err(wrong_phase(flag, "it is at 100 % already"));
        }
        self.bound(flag, Rollout::FULL)?;
        let overrode = self.overrides(flag, Rollout::FULL);
        let event = Event::Promoted { flag: flag.id, from: flag.rollout, overrode: overrode.clone() };
        Ok(self.granted(event).warned(&overrode))
    }

    fn release(&self, flag: &FlagState) -> Result<Granted, Refusal> {
        if flag.phase.needs_start() {
            return Err(wrong_phase(flag, "start it instead"));
        }
        if flag.held(self.now).is_none() && flag.phase != Phase::Paused {
            return Err(Refusal::Nothing(format!("{} is not under manual control", flag.spec.key)));
        }
        Ok(self.granted(Event::Released { flag: flag.id }))
    }

    fn rearm(&self, environment: &str) -> Result<Granted, Refusal> {
        let latch = self.state.latch.as_ref().ok_or(Refusal::NotLatched)?;
        if environment.trim() != self.state.environment {
            let (found, expected) = (crate::flag::clean_line(environment), self.state.environment.clone());
            return Err(Refusal::WrongEnvironment { found, expected });
        }
        self.reason("re-arming")?;
        if !self.config.rearm.two_people {
            return Ok(self.granted(Event::Rearmed));
        }
        // What was claimed makes nobody another person.
        let who = self.order.authenticated.clone().unwrap_or_else(|| self.order.actor.to_string());
        match latch.asked_at(self.now) {
            Some(asked) if asked.who == who => {
                Err(Refusal::NeedsAnother { by: asked.who.clone(), at: asked.at, until: asked.until })
            }
            Some(_) => Ok(self.granted(Event::Rearmed)),
            None => {
                let until = self.now + self.config.rearm.request_ttl;
                let mut granted = self.granted(Event::RearmAsked { who, until });
                granted.warnings.push("kill-all stays in force: another person has to re-arm too".to_owned());
                Ok(granted)
            }
        }
    }
}

impl Granted {
    fn warned(mut self, reasons: &[Reason]) -> Self {
        self.warnings.extend(reasons.iter().map(|reason| format!("overrode: {reason}")));
        self
    }
}

/// Refuses an order on a flag that is not as it was seen. What makes things safer never asks.
fn unchanged(state: &State, order: &Order) -> Result<(), Refusal> {
    let exempt = order.command.spec().is_some_and(|spec| spec.stops);
    let Some(expected) = order.expected.filter(|_| !exempt) else { return Ok(()) };
    let Some(flag) = order.command.flag().and_then(|key| state.flag(key)) else { return Ok(()) };
    let found = flag.version();
    if found == expected {
        return Ok(());
    }
    Err(Refusal::Changed { flag: flag.spec.key.clone(), expected, found })
}

fn known<'a>(state: &'a State, key: &FlagKey) -> Result<&'a FlagState, Refusal> {
    let flag = state.flag(key).ok_or_else(|| Refusal::UnknownFlag { flag: key.clone() })?;
    match &flag.archived {
        Some(archived) => {
            let (flag, at, by) = (key.clone(), archived.at, archived.by.to_string());
            Err(Refusal::Archived { flag, at, by })
        }
        None => Ok(flag),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        control::{Entry, ORDERS, OrderId, Seq},
        flag::{FlagKind, Ladder, ServiceName},
    };

    /// A state in which a person holds the flag `dark-mode` at 25 %.
    fn held() -> State {
        let mut state = State::default();
        let spec = FlagSpec {
            key: "dark-mode".parse().unwrap(),
            service: ServiceName("web".into()),
            kind: FlagKind::Requests,
            description: String::new(),
            ladder: Ladder::default(),
            deployment: None,
        };
        carry_out(&mut state, Command::Create { spec }, None).unwrap();
        let rollout = Rollout::from_percent(25.0).unwrap();
        carry_out(&mut state, set(rollout), None).unwrap();
        state
    }

    fn flag() -> FlagKey {
        "dark-mode".parse().unwrap()
    }

    fn set(rollout: Rollout) -> Command {
        Command::Set { flag: flag(), rollout, expires_in: Some(Millis::from_secs(600)), guard_off: false }
    }

    /// What an order by `ana` comes to, folded into the state.
    fn carry_out(state: &mut State, command: Command, expected: Option<Seq>) -> Result<Vec<Entry>, Refusal> {
        let order = Order {
            id: OrderId("1".to_owned()),
            actor: Actor::Person("ana".to_owned()),
            authenticated: None,
            reason: String::new(),
            expected,
            command,
        };
        let (telemetry_state, config) = (TelemetryState::new(), ControlConfig::default());
        let granted = decide(state, &telemetry_state, &config, Millis::from_secs(60), &order)?;
        let entries = state.entries(Millis::from_secs(60), granted.happened, "");
        for entry in &entries {
            state.apply(entry);
        }
        Ok(entries)
    }

    #[test]
    fn only_what_makes_things_safer_is_given_on_a_flag_that_has_changed_since() {
        for spec in ORDERS.iter().filter(|spec| spec.parameters.is_empty()) {
            let target = spec.target.field().filter(|field| *field == "flag").map(|_| "dark-mode".into());
            let Ok(command) = spec.command(target, serde_json::Map::new()) else { continue };
            let answer = carry_out(&mut held(), command.clone(), Some(Seq(1)));
            let refused = matches!(answer, Err(Refusal::Changed { .. }));
            assert_eq!(refused, command.flag().is_some() && !spec.stops, "{}: {answer:?}", spec.name);
        }
    }
}
