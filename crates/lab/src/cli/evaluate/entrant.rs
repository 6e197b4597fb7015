//! Who takes part in a comparison: policies as they are, with other harm weights or settings, and limits, who know the
//! truth.

use super::{
    super::{Failure, policies::Policies, scene},
    EvaluationWorld,
};
use crate::recording::Playback;
use knightwatch_agent::{HarmWeight, PolicyName, Settings};
use knightwatch_core::control::{ControlConfig, Policy};
use knightwatch_sim::{Cost, Episode, Limit};

/// Stands behind the name of a policy whose settings are not its product's.
pub(super) const TUNED: char = '*';
/// Stands behind the name of an entrant with hindsight.
pub(super) const KNOWING: char = '^';
/// Stands before PPO-Master's harm weight where it is another than the one it has.
const WEIGHTED: &str = "ppo ";
/// What the oracle is called.
pub(super) const ORACLE: &str = "oracle";

/// Whether it is the name of a limit, which is no policy.
pub(super) fn is_limit(name: &str) -> bool {
    name == ORACLE || name.ends_with(KNOWING)
}

/// Whether it is PPO-Master, at any harm weight.
pub(super) fn is_ours(name: &str) -> bool {
    !is_limit(name) && (name == PolicyName::PPO_MASTER.as_str() || name.starts_with(WEIGHTED))
}

/// Who takes part.
#[derive(Clone, Debug, PartialEq)]
pub(in super::super) enum Entrant {
    /// A policy as it is.
    Defaults(PolicyName),
    /// PPO-Master with a harm weight of its own.
    Weighted(HarmWeight),
    /// A policy with other settings than its product's.
    Set(PolicyName, Settings),
    /// The oracle, which knows the truth.
    Oracle,
    /// One of the others at its own pace, who knows the truth of what has been.
    Hindsight(Box<Self>),
}

impl Entrant {
    /// With the settings that tuning has found; None where there are none.
    pub(super) fn tuned(policy: PolicyName) -> Result<Option<Self>, Failure> {
        let settings = crate::opponents::tuned(policy.as_str()).map_err(Failure::refused)?;
        Ok(settings.map(|settings| Self::Set(policy, settings)))
    }

    /// The policy of that name that takes part, where one does.
    pub(super) fn policy(&self) -> Option<PolicyName> {
        match self {
            Self::Defaults(policy) | Self::Set(policy, _) => Some(*policy),
            Self::Weighted(_) => Some(PolicyName::PPO_MASTER),
            Self::Hindsight(entrant) => entrant.policy(),
            Self::Oracle => None,
        }
    }

    pub(super) fn name(&self) -> String {
        match self {
            Self::Defaults(policy) => policy.to_string(),
            Self::Weighted(HarmWeight::Factor(factor)) => format!("{WEIGHTED}x {factor}"),
            Self::Weighted(harm_weight @ HarmWeight::ByTraffic) => format!("{WEIGHTED}{harm_weight}"),
            Self::Set(policy, _) => format!("{policy}{TUNED}"),
            Self::Oracle => ORACLE.to_owned(),
            Self::Hindsight(entrant) => format!("{}{KNOWING}", entrant.name()),
        }
    }

    /// Lives through a world.
    ///
    /// # Errors
    /// Settings that the policy cannot have.
    pub(in super::super) fn live(
        &self,
        built: &Policies,
        cost: &Cost,
        world: &EvaluationWorld<'_>,
        control: &ControlConfig,
    ) -> Result<Episode, Failure> {
        let (EvaluationWorld::Simulated { seed, .. } | EvaluationWorld::Recorded { seed, .. }) = *world;
        let (mut policy, is_knowing) = match self {
            Self::Hindsight(entrant) => (entrant.build(built, seed)?, true),
            entrant => (entrant.build(built, seed)?, false),
        };
        let player = match &mut policy {
            Some(policy) if is_knowing => Err(Limit::Hindsight(policy.as_mut())),
            Some(policy) => Ok(policy),
            None => Err(Limit::Oracle),
        };
        Ok(match world {
            EvaluationWorld::Simulated { scenario, .. } => match player {
                Ok(policy) => Episode::run_at(cost, scenario, seed, policy.as_mut(), control, |_| {}),
                Err(limit) => Episode::run_limit(limit, cost, scenario, seed, control, |_| {}),
            },
            EvaluationWorld::Recorded { recording, .. } => {
                let control = scene::stretched(control, recording.interval);
                let env = Box::new(Playback::new((*recording).clone(), seed));
                match player {
                    Ok(policy) => Episode::run_on(cost, env, policy.as_mut(), &control, |_| {}),
                    Err(limit) => Episode::run_limit_on(limit, cost, env, &control, |_| {}),
                }
            }
        })
    }

    /// The policy that decides, or sets the pace; None for the oracle.
    fn build(&self, built: &Policies, seed: u64) -> Result<Option<Box<dyn Policy>>, Failure> {
        Ok(match self {
            Self::Defaults(policy) => Some(built.build(*policy, seed)),
            Self::Weighted(harm_weight) => Some(built.with_harm_weight(*harm_weight)),
            Self::Set(policy, settings) => Some(policy.with(settings).map_err(Failure::refused)?),
            Self::Hindsight(entrant) => entrant.build(built, seed)?,
            Self::Oracle => None,
        })
    }
}
