//! The shield: deterministic rules that have the last word on every write to a flag.
//!
//! It stands twice around the policy: as a mask before it proposes, so that it can learn what is allowed, and as a
//! veto after it. Both come from the same functions. Rolling back is never frozen, capped or delayed.

use std::collections::BTreeMap;

use super::{
    Action, ActionMask, Actor, ExposureLimits, FlagState, Outcome, Phase, Reason, ShieldConfig, State,
    observatory::Drifting,
};
use crate::{
    flag::{Rollout, ServiceName},
    telemetry::{Metric, Millis, Verdict, Window, WindowReport},
};

/// Intervals within which a probe has to have an answer: both arms with enough requests.
const PROBE_INTERVALS: u64 = 3;

/// How long after a doubt a flag at 100 % is not doubted again; each further time twice as long. The same in intervals, where
/// these are long.
const DOUBT_AGAIN: Millis = Millis::from_secs(30 * 60);
const DOUBT_AGAIN_INTERVALS: u64 = 180;

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
    config: &'a ShieldConfig,
    interval: Millis,
    now: Millis,
    /// Since when this controller has looked.
    begun: Millis,
    exposure: Exposure,
    /// Services whose raises are frozen by a dependency's trouble.
    frozen: Option<&'a BTreeMap<ServiceName, u32>>,
    /// Services whose flags at 100 % have moved together, and in what.
    drifting: Option<&'a Drifting>,
}

/// Raises within the exposure window, in basis points, with those of this very tick.
struct Exposure {
    per_service: BTreeMap<ServiceName, u64>,
    fleet: u64,
}

impl Exposure {
    fn at(state: &State, limits: &ExposureLimits, now: Millis) -> Self {
        let mut per_service = BTreeMap::new();
        let mut fleet = 0;
        for (service, raises) in &state.raises {
            let moved: u64 = raises
                .iter()
                .rev()
                .take_while(|raise| now.since(raise.at) < limits.window)
                .map(|raise| u64::from(raise.basis_points))
                .sum();
            if moved > 0 {
                per_service.insert(service.clone(), moved);
                fleet += moved;
            }
        }
        Self { per_service, fleet }
    }

    /// The cap that a raise by `basis_points` would break, if any.
    fn broken_by(&self, limits: &ExposureLimits, service: &ServiceName, basis_points: u16) -> Option<Reason> {
        let extra = u64::from(basis_points);
        let in_service = self.per_service.get(service).copied().unwrap_or(0) + extra;
        let caps =
            [(Some(service), in_service, limits.per_service), (None, self.fleet + extra, limits.fleet)];
        caps.into_iter().find_map(|(service, moved, limit)| {
            #[expect(clippy::cast_precision_loss, reason = "basis points are far below 2^52")]
            let would_be = moved as f64 / 100.0;
            (would_be > limit).then(|| Reason::Exposure {
                service: service.cloned(),
                would_be,
                limit,
                window: limits.window,
            })
        })
    }

    fn note(&mut self, service: &ServiceName, basis_points: u16) {
        *self.per_service.entry(service.clone()).or_default() += u64::from(basis_points);
        self.fleet += u64::from(basis_points);
    }
}

impl<'a> Shield<'a> {
    /// The rules as they are at `now`.
    #[must_use]
    pub fn new(config: &'a ShieldConfig, interval: Millis, state: &'a State, now: Millis) -> Self {
        let exposure = Exposure::at(state, &config.exposure, now);
        Self { config, interval, now, begun: Millis::ZERO, exposure, frozen: None, drifting: None }
    }

    /// The same, of a controller that has looked since `begun`.
    #[must_use]
    pub(super) fn since(self, begun: Millis) -> Self {
        Self { begun, ..self }
    }

    /// The same, with the raises of these services frozen.
    #[must_use]
    pub(super) fn freezing(self, services: &'a BTreeMap<ServiceName, u32>) -> Self {
        Self { frozen: Some(services), ..self }
    }

    /// The same, with no doubt of flags that have only moved with their service.
    #[must_use]
    pub(super) fn excusing(self, drifting: &'a Drifting) -> Self {
        Self { drifting: Some(drifting), ..self }
    }

    /// Whether the hard limits guard this flag: it has traffic, and no person has switched them off.
    #[must_use]
    pub fn guards(&self, flag: &FlagState) -> bool {
        matches!(flag.phase, Phase::Ramping | Phase::Paused | Phase::Complete)
            && !flag.rollout.is_zero()
            && flag.guard_off_until.is_none_or(|until| until <= self.now)
    }

    /// What the shield does by itself, whatever is proposed: roll back on a broken hard limit, on a `regressed` verdict, and
    /// where a probe had no answer. At 100 % a limit is broken against the record only, and a dependency breaks it as
    /// well: the flag goes down to the probe at once, where a live control says in the next intervals which of the two it was.
    /// One that is only off its record goes there too.
    #[must_use]
    pub fn obliged(&self, flag: &FlagState, window: &Window, report: &WindowReport) -> Option<Ruling> {
        if !self.guards(flag) {
            return None;
        }
        let ruling = |action, to, reason| Some(Ruling { outcome: Outcome::Obliged, action, to, reason });
        let roll_back = |reason| ruling(Action::RollBack, Rollout::ZERO, reason);
        if let Some(since) = self.unanswered(flag)
            && !report.warming_up
            && report.treatment_n.min(report.control_n) < self.config.hard.min_samples
        {
            return roll_back(Reason::NoAnswer { waited: since });
        }
        if report.verdict == Verdict::Lost {
            return None;
        }
        let unit = flag.spec.kind;
        if let Some(breach) = window.breach(&self.config.hard, !flag.rollout.is_full(), 1.0) {
            let reason = Reason::HardLimit {
                metric: breach.metric.as_str().to_owned(),
                excess: breach.excess * 100.0,
                limit: breach.limit * 100.0,
                n: breach.n,
                unit,
                intervals: Some(breach.intervals),
            };
            return if flag.rollout.is_full() {
                ruling(Action::StepDown, Rollout::PROBE, reason)
            } else {
                roll_back(reason)
            };
        }
        if let Some(off) = window.off_record().find(|off| self.may_doubt(flag, report, off.metric)) {
            let reason = Reason::OffRecord {
                metric: off.metric,
                found: off.found * 100.0,
                recorded: off.recorded * 100.0,
                n: off.n,
                unit,
            };
            return ruling(Action::StepDown, Rollout::PROBE, reason);
        }
        if report.verdict != Verdict::Regressed {
            return None;
        }
        let (metric, evidence) =
            if report.errors.regressed() { ("errors", &report.errors) } else { ("P99", &report.p99) };
        roll_back(Reason::Regressed {
            metric: metric.to_owned(),
            evidence: evidence.harm,
            needed: evidence.harm_needed,
            n: report.treatment.requests.max(report.treatment_n),
            unit,
        })
    }

    /// Whether a flag at 100 % may be taken to a live control for less than a broken limit. Not where its changes of direction
    /// are used up, nor where a person has just put it there or holds it. It may then have to stay below 100 % for as long as the
    /// agent's raises have to wait, freeze windows included: where something is wrong, that is where it belongs.
    /// Nor where so little comes that half of it could not give an answer.
    fn may_doubt(&self, flag: &FlagState, report: &WindowReport, metric: Metric) -> bool {
        let answers = report.treatment.requests / 2 >= self.config.hard.min_samples;
        let again = flag.doubts.get(&metric).is_none_or(|doubted| {
            let first = DOUBT_AGAIN.0.max(DOUBT_AGAIN_INTERVALS.saturating_mul(self.interval.0));
            let pause = first.saturating_mul(1 << doubted.times.saturating_sub(1).min(16));
            self.now.since(doubted.at) >= Millis(pause)
        });
        let by_person = flag.last.as_ref().is_some_and(|last| {
            matches!(last.by, Actor::Person(_)) && self.now.since(last.at) < self.config.human_hold
        });
        let moved = (flag.spec.service.clone(), metric);
        self.watches(flag)
            && answers
            && self.drifting.is_none_or(|drifting| !drifting.contains(&moved))
            && again
            && !by_person
            && flag.held(self.now).is_none()
            && self.reversals(flag) < self.config.max_reversals
    }

    /// Whether a flag has reached 100 % and is still watched for small harm.
    #[must_use]
    pub(super) fn watches(&self, flag: &FlagState) -> bool {
        flag.phase == Phase::Complete && self.now.since(flag.phase_since) < self.config.watch
    }

    /// Changes of direction within the window.
    fn reversals(&self, flag: &FlagState) -> usize {
        let recent = |at: &&Millis| self.now.since(**at) < self.config.reversal_window;
        flag.reversals.iter().filter(recent).count()
    }

    /// For how long a probe has waited, where that is too long. One that was under way when this controller began is waited for
    /// anew; one from long before had its answer then.
    fn unanswered(&self, flag: &FlagState) -> Option<Millis> {
        let patience = Millis(PROBE_INTERVALS * self.interval.0);
        let probed = flag.probed_at.filter(|at| *at == flag.changed_at && self.begun <= *at + patience)?;
        Some(self.now.since(probed.max(self.begun))).filter(|since| *since >= patience)
    }

    /// What a policy may do with this flag right now.
    #[must_use]
    pub fn mask(&self, flag: &FlagState, report: &WindowReport) -> ActionMask {
        ActionMask {
            lower: self.lowering(flag, report).is_ok(),
            raise_to: self.raising(flag, report).ok().map(|(rollout, _)| rollout),
        }
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
            Action::Hold => match self.raising(flag, report) {
                Err(reason) => Ruling { reason, ..allow(Action::Hold, flag.rollout) },
                Ok(_) => allow(Action::Hold, flag.rollout),
            },
            Action::RollBack | Action::StepDown => {
                if let Err(reason) = self.lowering(flag, report) {
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
            Action::RaiseTo(target) => match self.raising(flag, report) {
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
        let troubled = self.frozen.is_some_and(|frozen| frozen.contains_key(service));
        if troubled || self.frozen().is_some() || self.exposure_allows(service, flag.rollout, to).is_err() {
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
        self.exposure.broken_by(&self.config.exposure, service, raise).map_or(Ok(()), Err)
    }

    /// Which of the agent's rules a person's raise to `to` goes over: warned of, and named in the journal.
    #[must_use]
    pub fn overrides(&self, flag: &FlagState, report: Option<&WindowReport>, to: Rollout) -> Vec<Reason> {
        let mut over = Vec::new();
        if to <= flag.rollout {
            return over;
        }
        over.extend(self.frozen());
        over.extend(self.too_soon(flag).err());
        if let Some(report) = report {
            if !flag.rollout.is_zero() {
                over.extend(self.unproven(flag, report).err());
            }
            if report.dependency {
                over.push(Reason::Dependency { service: flag.spec.service.clone() });
            }
        }
        let rungs = flag.spec.ladder.steps_between(flag.rollout, to);
        if rungs > self.config.max_rungs {
            over.push(Reason::StepTooLarge { rungs, limit: self.config.max_rungs });
        }
        over
    }

    /// Whether the agent may act on the flag at all.
    fn acting(&self, flag: &FlagState) -> Result<(), Reason> {
        if flag.phase == Phase::Paused {
            return Err(Reason::Paused);
        }
        if flag.phase != Phase::Ramping || flag.rollout.is_zero() {
            return Err(Reason::NothingToDo);
        }
        match flag.held(self.now) {
            Some(hold) => Err(Reason::HumanHold { by: hold.by.clone(), left: hold.until.since(self.now) }),
            None => Ok(()),
        }
    }

    fn lowering(&self, flag: &FlagState, report: &WindowReport) -> Result<(), Reason> {
        self.acting(flag)?;
        if report.verdict == Verdict::Lost {
            return Err(Reason::Stale { age: report.age, limit: self.config.stale_after });
        }
        if report.treatment.requests == 0 { Err(Reason::NoTraffic) } else { Ok(()) }
    }

    /// The highest rollout a raise may go to, and what keeps it from going higher.
    fn raising(&self, flag: &FlagState, report: &WindowReport) -> Result<(Rollout, Option<Reason>), Reason> {
        self.acting(flag)?;
        if let Some(reason) = self.frozen() {
            return Err(reason);
        }
        let service = &flag.spec.service;
        if report.dependency || self.frozen.is_some_and(|frozen| frozen.contains_key(service)) {
            return Err(Reason::Dependency { service: service.clone() });
        }
        self.unproven(flag, report)?;
        self.too_soon(flag)?;
        self.highest(flag)
    }

    /// Whether the evidence lets a flag be raised.
    fn unproven(&self, flag: &FlagState, report: &WindowReport) -> Result<(), Reason> {
        // Telemetry as old as an interval means that the last one is missing.
        if report.verdict == Verdict::Lost || report.age.is_none_or(|age| age >= self.interval) {
            return Err(Reason::Stale { age: report.age, limit: self.interval });
        }
        if report.treatment.requests == 0 {
            return Err(Reason::NoTraffic);
        }
        let unit = flag.spec.kind;
        if report.verdict != Verdict::Healthy {
            return Err(Reason::NotHealthy { verdict: report.verdict, n: report.treatment_n, unit });
        }
        if report.treatment_n < self.config.min_samples {
            return Err(Reason::TooFewSamples {
                n: report.treatment_n,
                needed: self.config.min_samples,
                unit,
            });
        }
        Ok(())
    }

    /// Whether it is too soon after what happened last.
    fn too_soon(&self, flag: &FlagState) -> Result<(), Reason> {
        let config = self.config;
        let held = self.now.since(flag.changed_at);
        if held < config.dwell && !flag.rollout.is_zero() {
            return Err(Reason::Dwell { held, needed: config.dwell, at: flag.rollout });
        }
        if let Some(lowered) = flag.lowered_at {
            let since = self.now.since(lowered);
            if since < config.cooldown {
                return Err(Reason::Cooldown { since, needed: config.cooldown });
            }
        }
        let count = self.reversals(flag);
        if count >= config.max_reversals && count > 0 {
            return Err(Reason::Reversals {
                count,
                limit: config.max_reversals,
                window: config.reversal_window,
            });
        }
        Ok(())
    }

    fn frozen(&self) -> Option<Reason> {
        let window = self.config.freeze.iter().find(|window| window.contains(self.now))?;
        Some(Reason::Frozen { window: window.name.clone() })
    }

    /// The highest rung within the largest step, the bake at 99 % and the exposure caps.
    fn highest(&self, flag: &FlagState) -> Result<(Rollout, Option<Reason>), Reason> {
        let ladder = &flag.spec.ladder;
        let steps = self.config.max_rungs.max(1);
        let mut most = ladder.above(flag.rollout, steps);
        let mut why = Some(Reason::StepTooLarge { rungs: steps + 1, limit: steps });
        if most.is_full() && flag.rollout < Rollout::LAST_RUNG {
            most = Rollout::LAST_RUNG;
            why = Some(Reason::BakeFirst);
        }
        loop {
            let raise = most.basis_points() - flag.rollout.basis_points();
            let Some(reason) = self.exposure.broken_by(&self.config.exposure, &flag.spec.service, raise)
            else {
                return Ok((most, why));
            };
            let lower = ladder.below(most);
            if lower <= flag.rollout {
                return Err(reason);
            }
            most = lower;
            why = Some(reason);
        }
    }
}
