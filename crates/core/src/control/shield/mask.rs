//! The mask: what a policy may do with a flag right now.
//!
//! A policy sees the mask before it proposes, and the shield rules on the proposal by the same functions. Therefore a
//! policy that keeps to its mask is never vetoed. The mask must not know what a policy proposes, and it moves nothing.

use std::collections::BTreeMap;

use super::{context::Context, exposure::Exposure};
use crate::{
    control::{ActionMask, FlagState, Phase, Reason},
    flag::{Rollout, ServiceName},
    telemetry::{Verdict, WindowReport},
};

/// The rules for moves that a policy may propose.
pub(super) struct Mask<'a> {
    pub(super) context: Context<'a>,
    pub(super) exposure: &'a Exposure,
    /// Services whose raises are frozen by a dependency outage.
    pub(super) frozen: Option<&'a BTreeMap<ServiceName, u32>>,
}

impl Mask<'_> {
    /// The moves that a policy may propose.
    pub(super) fn of(&self, flag: &FlagState, report: &WindowReport) -> ActionMask {
        ActionMask {
            lower: self.lowering(flag, report).is_ok(),
            raise_to: self.raising(flag, report).ok().map(|(rollout, _)| rollout),
        }
    }

    /// Whether the raises of a service are frozen by a dependency outage.
    pub(super) fn troubled(&self, service: &ServiceName) -> bool {
        self.frozen.is_some_and(|frozen| frozen.contains_key(service))
    }

    /// The agent's rules that a person's raise to `to` overrides. The person is warned, and the journal names them.
    pub(super) fn overrides(
        &self,
        flag: &FlagState,
        report: Option<&WindowReport>,
        to: Rollout,
    ) -> Vec<Reason> {
        let mut over = Vec::new();
        if to <= flag.rollout {
            return over;
        }
        over.extend(self.context.freeze_window());
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
        if rungs > self.context.config.max_rungs {
            over.push(Reason::StepTooLarge { rungs, limit: self.context.config.max_rungs });
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
        match flag.held(self.context.now) {
            Some(hold) => {
                Err(Reason::HumanHold { by: hold.by.clone(), left: hold.until.since(self.context.now) })
            }
            None => Ok(()),
        }
    }

    /// Whether the agent may lower the flag.
    ///
    /// # Errors
    /// The rule that forbids it.
    pub(super) fn lowering(&self, flag: &FlagState, report: &WindowReport) -> Result<(), Reason> {
        self.acting(flag)?;
        if report.verdict == Verdict::Lost {
            return Err(Reason::Stale { age: report.age, limit: self.context.config.stale_after });
        }
        if report.treatment.requests == 0 { Err(Reason::NoTraffic) } else { Ok(()) }
    }

    /// The highest rollout that a raise may go to, and what keeps it from going higher.
    ///
    /// # Errors
    /// The rule that forbids any raise.
    pub(super) fn raising(
        &self,
        flag: &FlagState,
        report: &WindowReport,
    ) -> Result<(Rollout, Option<Reason>), Reason> {
        self.acting(flag)?;
        if let Some(reason) = self.context.freeze_window() {
            return Err(reason);
        }
        let service = &flag.spec.service;
        if report.dependency || self.troubled(service) {
            return Err(Reason::Dependency { service: service.clone() });
        }
        self.unproven(flag, report)?;
        self.too_soon(flag)?;
        self.highest(flag)
    }

    /// Whether the evidence lets a flag be raised.
    fn unproven(&self, flag: &FlagState, report: &WindowReport) -> Result<(), Reason> {
        // Telemetry as old as an interval means that the last one is missing.
        if report.verdict == Verdict::Lost || report.age.is_none_or(|age| age >= self.context.interval) {
            return Err(Reason::Stale { age: report.age, limit: self.context.interval });
        }
        if report.treatment.requests == 0 {
            return Err(Reason::NoTraffic);
        }
        let unit = flag.spec.kind;
        if report.verdict != Verdict::Healthy {
            return Err(Reason::NotHealthy { verdict: report.verdict, n: report.treatment_n, unit });
        }
        if report.treatment_n < self.context.config.min_samples {
            return Err(Reason::TooFewSamples {
                n: report.treatment_n,
                needed: self.context.config.min_samples,
                unit,
            });
        }
        Ok(())
    }

    /// Whether it is too soon after what happened last.
    fn too_soon(&self, flag: &FlagState) -> Result<(), Reason> {
        let config = self.context.config;
        let held = self.context.now.since(flag.changed_at);
        if held < config.dwell && !flag.rollout.is_zero() {
            return Err(Reason::Dwell { held, needed: config.dwell, at: flag.rollout });
        }
        if let Some(lowered) = flag.lowered_at {
            let since = self.context.now.since(lowered);
            if since < config.cooldown {
                return Err(Reason::Cooldown { since, needed: config.cooldown });
            }
        }
        let count = self.context.reversals(flag);
        if count >= config.max_reversals && count > 0 {
            return Err(Reason::Reversals {
                count,
                limit: config.max_reversals,
                window: config.reversal_window,
            });
        }
        Ok(())
    }

    /// The highest rung within the largest step, the bake at 99 % and the exposure caps.
    fn highest(&self, flag: &FlagState) -> Result<(Rollout, Option<Reason>), Reason> {
        let ladder = &flag.spec.ladder;
        let steps = self.context.config.max_rungs.max(1);
        let mut most = ladder.above(flag.rollout, steps);
        let mut why = Some(Reason::StepTooLarge { rungs: steps + 1, limit: steps });
        if most.is_full() && flag.rollout < Rollout::LAST_RUNG {
            most = Rollout::LAST_RUNG;
            why = Some(Reason::BakeFirst);
        }
        loop {
            let raise = most.basis_points() - flag.rollout.basis_points();
            let Some(reason) =
                self.exposure.broken_by(&self.context.config.exposure, &flag.spec.service, raise)
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

#[cfg(test)]
mod tests {
    use super::{
        super::fixture::{NOW, context, flag, report},
        *,
    };
    use crate::{
        control::{FreezeWindow, Hold, ShieldConfig, State},
        telemetry::Millis,
    };

    /// What the mask allows, and why it does not allow a raise.
    fn asked(config: &ShieldConfig, flag: &FlagState, report: &WindowReport) -> (ActionMask, Option<Reason>) {
        let exposure = Exposure::at(&State::default(), &config.exposure, NOW);
        let mask = Mask { context: context(config), exposure: &exposure, frozen: None };
        (mask.of(flag, report), mask.raising(flag, report).err())
    }

    fn ramping(percent: f64) -> FlagState {
        flag(Phase::Ramping, percent)
    }

    #[test]
    fn a_healthy_flag_may_be_raised_two_rungs_and_lowered() {
        let config = ShieldConfig::default();
        let (mask, why) = asked(&config, &ramping(1.0), &report(Verdict::Healthy));
        let flag = ramping(1.0);
        assert_eq!(mask.raise_to, Some(flag.spec.ladder.above(flag.rollout, 2)));
        assert!(mask.lower && why.is_none());
    }

    #[test]
    fn a_raise_needs_fresh_and_healthy_telemetry_and_a_reduction_needs_some() {
        let config = ShieldConfig::default();
        let cases = [
            (report(Verdict::Insufficient), true),
            (report(Verdict::Regressed), true),
            (WindowReport { treatment_n: 99, ..report(Verdict::Healthy) }, true),
            (WindowReport { age: Some(Millis::from_secs(10)), ..report(Verdict::Healthy) }, true),
            (WindowReport { age: None, ..report(Verdict::Healthy) }, true),
            (WindowReport { dependency: true, ..report(Verdict::Healthy) }, true),
            (report(Verdict::Lost), false),
        ];
        for (report, lower) in cases {
            let (mask, why) = asked(&config, &ramping(25.0), &report);
            assert_eq!((mask.raise_to, mask.lower), (None, lower), "{report:?}");
            assert!(why.is_some());
        }
    }

    #[test]
    fn a_hold_forbids_both_directions_and_a_freeze_window_only_raises() {
        let hold = Some(Hold { by: "ada".to_owned(), until: NOW + Millis::from_secs(60) });
        let config = ShieldConfig::default();
        let (mask, why) = asked(&config, &FlagState { hold, ..ramping(25.0) }, &report(Verdict::Healthy));
        assert_eq!((mask.raise_to, mask.lower), (None, false));
        assert!(matches!(why, Some(Reason::HumanHold { .. })), "{why:?}");
        let always = FreezeWindow { name: "always".to_owned(), from_minute: 0, to_minute: 7 * 24 * 60 - 1 };
        let config = ShieldConfig { freeze: vec![always], ..ShieldConfig::default() };
        let (mask, why) = asked(&config, &ramping(25.0), &report(Verdict::Healthy));
        assert_eq!((mask.raise_to, mask.lower), (None, true));
        assert!(matches!(why, Some(Reason::Frozen { .. })), "{why:?}");
    }

    #[test]
    fn dwell_and_cooldown_delay_a_raise() {
        let config = ShieldConfig::default();
        let ago = |seconds: u64| NOW.since(Millis::from_secs(seconds));
        let why = |flag: FlagState| asked(&config, &flag, &report(Verdict::Healthy)).1;
        assert!(matches!(
            why(FlagState { changed_at: ago(59), ..ramping(25.0) }),
            Some(Reason::Dwell { .. })
        ));
        assert_eq!(why(FlagState { changed_at: ago(60), ..ramping(25.0) }), None);
        let lowered = |seconds| FlagState { lowered_at: Some(ago(seconds)), ..ramping(25.0) };
        assert!(matches!(why(lowered(299)), Some(Reason::Cooldown { .. })));
        assert_eq!(why(lowered(300)), None);
    }

    #[test]
    fn the_last_rung_comes_before_100_percent() {
        let config = ShieldConfig { max_rungs: 20, ..ShieldConfig::default() };
        let raise = |percent| asked(&config, &ramping(percent), &report(Verdict::Healthy)).0.raise_to;
        assert_eq!(raise(50.0), Some(Rollout::LAST_RUNG));
        assert_eq!(raise(99.0), Some(Rollout::FULL));
    }

    #[test]
    fn a_person_is_told_which_rules_a_raise_overrides() {
        let config = ShieldConfig::default();
        let exposure = Exposure::at(&State::default(), &config.exposure, NOW);
        let mask = Mask { context: context(&config), exposure: &exposure, frozen: None };
        let overrides = |report: &WindowReport, percent: f64| {
            mask.overrides(&ramping(25.0), Some(report), Rollout::from_percent(percent).unwrap())
        };
        assert_eq!(overrides(&report(Verdict::Healthy), 25.0), [], "no raise");
        let over = overrides(&report(Verdict::Regressed), 100.0);
        assert!(matches!(over[..], [Reason::NotHealthy { .. }, Reason::StepTooLarge { .. }]), "{over:?}");
    }
}
