//! The shield: deterministic rules that have the last word on every write to a flag.
//!
//! It stands twice around the policy: as a mask before it proposes, so that it can learn what is allowed, and as a
//! veto after it. Both come from the same functions. Rolling back is never frozen, capped or delayed. The rules are in the
//! modules below, each family in its own; this file composes them in their order. It must not know which policy proposes.

mod complete;
mod context;
mod exposure;
#[cfg(test)]
mod fixture;
mod limits;
mod mask;
mod recheck;

use std::collections::BTreeMap;

pub(super) use self::recheck::Drifting;
use self::{context::Context, exposure::Exposure, mask::Mask};
use super::{Action, ActionMask, FlagState, Outcome, Reason, ShieldConfig, State};
use crate::{
    flag::{Rollout, ServiceName},
    telemetry::{Millis, Verdict, Window, WindowReport},
};

/// What the shield made of a proposal.
#[derive(Clone, Debug, PartialEq)]
pub struct Ruling {
    /// Allowed, clipped, vetoed, or by the shield itself.
    pub outcome: Outcome,
    /// What is done.
    pub action: Action,
    /// The rollout afterwards.
    pub to: Rollout,
    /// Why.
    pub reason: Reason,
}

/// The rules at one moment.
pub struct Shield<'a> {
    context: Context<'a>,
    /// Raises within the exposure window, with those granted in this very tick.
    exposure: Exposure,
    /// Services whose raises are frozen by a dependency's trouble.
    frozen: Option<&'a BTreeMap<ServiceName, u32>>,
    /// Services whose flags at 100 % have moved together, and in what.
    drifting: Option<&'a Drifting>,
}

impl<'a> Shield<'a> {
    /// The rules as they are at `now`.
    #[must_use]
    pub fn new(config: &'a ShieldConfig, interval: Millis, state: &'a State, now: Millis) -> Self {
        let context = Context { config, interval, now, begun: Millis::ZERO };
        let exposure = Exposure::at(state, &config.exposure, now);
        Self { context, exposure, frozen: None, drifting: None }
    }

    /// The same, of a controller that has looked since `begun`.
    #[must_use]
    pub(super) fn since(self, begun: Millis) -> Self {
        Self { context: Context { begun, ..self.context }, ..self }
    }

    /// The same, with the raises of these services frozen.
    #[must_use]
    pub(super) fn freezing(self, services: &'a BTreeMap<ServiceName, u32>) -> Self {
        Self { frozen: Some(services), ..self }
    }

    /// The same, without rechecks of flags that have only moved with their service.
    #[must_use]
    pub(super) fn attributing_to_service(self, drifting: &'a Drifting) -> Self {
        Self { drifting: Some(drifting), ..self }
    }

    /// Whether the hard limits guard this flag: it has traffic, and no person has switched them off.
    #[must_use]
    pub fn guards(&self, flag: &FlagState) -> bool {
        self.context.guards(flag)
    }

    /// What the shield does by itself, whatever is proposed: roll back on a broken hard limit, on a `regressed`
    /// verdict, and where a recheck had no answer. At 100 % a limit is broken against the baseline only, and a dependency
    /// breaks it as well: the flag goes down to the probe at once, where a live control says in the next intervals
    /// which of the two it was. One that is only over its baseline goes there too.
    #[must_use]
    pub fn enforced(&self, flag: &FlagState, window: &Window, report: &WindowReport) -> Option<Ruling> {
        let context = &self.context;
        if !context.guards(flag) {
            return None;
        }
        let ruling = |(action, to), reason| Some(Ruling { outcome: Outcome::Enforced, action, to, reason });
        let roll_back = (Action::RollBack, Rollout::ZERO);
        if let Some(reason) = complete::without_answer(context, flag, report) {
            return ruling(roll_back, reason);
        }
        if report.verdict == Verdict::Lost {
            return None;
        }
        if let Some(reason) = limits::broken(&context.config.hard, flag, window) {
            return ruling(complete::answer_to_broken_limit(flag), reason);
        }
        if let Some(reason) = recheck::wanted(context, self.drifting, flag, window, report) {
            return ruling((Action::StepDown, Rollout::PROBE), reason);
        }
        limits::regressed(flag, report).and_then(|reason| ruling(roll_back, reason))
    }

    /// Whether a flag has reached 100 % and is still watched for small harm.
    #[must_use]
    pub(super) fn watches(&self, flag: &FlagState) -> bool {
        complete::watches(&self.context, flag)
    }

    /// What a policy may do with this flag right now.
    #[must_use]
    pub fn mask(&self, flag: &FlagState, report: &WindowReport) -> ActionMask {
        self.moves().of(flag, report)
    }

    fn moves(&self) -> Mask<'_> {
        Mask { context: self.context, exposure: &self.exposure, frozen: self.frozen }
    }

    /// What becomes of a proposal. What is granted counts towards the exposure caps of the rest of this tick.
    pub fn rule(&mut self, flag: &FlagState, report: &WindowReport, proposed: Action) -> Ruling {
        let veto =
            |reason| Ruling { outcome: Outcome::Vetoed, action: Action::Hold, to: flag.rollout, reason };
        let allow = |action, to| Ruling {
            outcome: Outcome::Allowed,
            action,
            to,
            reason: Reason::Judgement { verdict: report.verdict },
        };
        match proposed {
            // A hold is always allowed; what stands in the way of a raise is worth saying.
            Action::Hold => match self.moves().raising(flag, report) {
                Err(reason) => Ruling { reason, ..allow(Action::Hold, flag.rollout) },
                Ok(_) => allow(Action::Hold, flag.rollout),
            },
            Action::RollBack | Action::StepDown => {
                if let Err(reason) = self.moves().lowering(flag, report) {
                    veto(reason)
                } else {
                    let to = flag.spec.ladder.below(flag.rollout);
                    // A step down from the first rung is a rollback, and is called one.
                    let ruling = if proposed == Action::RollBack || to.is_zero() {
                        allow(Action::RollBack, Rollout::ZERO)
                    } else {
                        allow(Action::StepDown, to)
                    };
                    Ruling { reason: Reason::OwnJudgement { verdict: report.verdict }, ..ruling }
                }
            }
            Action::RaiseTo(target) if target <= flag.rollout => {
                veto(Reason::Nonsense { found: format!("a raise to {target} at {}", flag.rollout) })
            }
            Action::RaiseTo(target) => match self.moves().raising(flag, report) {
                Err(reason) => veto(reason),
                Ok((most, why)) => {
                    let to = target.min(most);
                    self.exposure.note(
                        &flag.spec.service,
                        to.basis_points().saturating_sub(flag.rollout.basis_points()),
                    );
                    match why {
                        Some(reason) if to < target => {
                            Ruling { outcome: Outcome::Clipped, action: Action::RaiseTo(to), to, reason }
                        }
                        _ => allow(Action::RaiseTo(to), to),
                    }
                }
            },
        }
    }

    /// Where a flag that has waited for its deployment starts; `None` while it has to wait on: for a freeze window's end,
    /// for its service, or for the exposure caps, towards which it counts.
    pub(super) fn starting(&mut self, flag: &FlagState) -> Option<Rollout> {
        let (service, to) = (&flag.spec.service, flag.spec.ladder.first());
        let frozen = self.moves().troubled(service) || self.context.freeze_window().is_some();
        if frozen || self.exposure_allows(service, flag.rollout, to).is_err() {
            return None;
        }
        self.exposure.note(service, to.basis_points());
        Some(to)
    }

    /// What binds people too: the exposure caps.
    ///
    /// # Errors
    /// The cap that going from `from` to `to` would break.
    pub fn exposure_allows(&self, service: &ServiceName, from: Rollout, to: Rollout) -> Result<(), Reason> {
        let raise = to.basis_points().saturating_sub(from.basis_points());
        if raise == 0 {
            return Ok(());
        }
        self.exposure.broken_by(&self.context.config.exposure, service, raise).map_or(Ok(()), Err)
    }

    /// Which of the agent's rules a person's raise to `to` goes over: warned of, and named in the journal.
    #[must_use]
    pub fn overrides(&self, flag: &FlagState, report: Option<&WindowReport>, to: Rollout) -> Vec<Reason> {
        self.moves().overrides(flag, report, to)
    }
}
