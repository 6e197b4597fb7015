//! The policies by name: what `--policy` takes.

use std::{fmt, str::FromStr};

use thiserror::Error;

use super::{Flagger, PpoMaster, Random, Rule, Schedule, ShieldAlone};
use crate::control::Policy;

/// A policy that can be asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PolicyName {
    /// The learned policy with the shipped weights.
    #[default]
    PpoMaster,
    /// Raises a rung when healthy, rolls back when regressed.
    Rule,
    /// 1, 5, 10, 25, 50, 100 %, without looking.
    Schedule,
    /// Flagger's defaults, its limits set for the service.
    Flagger,
    /// The largest raise that the shield allows, and never down.
    ShieldAlone,
    /// At random: to test the shield.
    Random,
}

/// A name that no policy has.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("there is no policy {found:?}; there are: {}", PolicyName::ALL.map(PolicyName::as_str).join(", "))]
pub struct UnknownPolicy {
    /// What was asked for.
    pub found: String,
}

impl PolicyName {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::PpoMaster, Self::Rule, Self::Schedule, Self::Flagger, Self::ShieldAlone, Self::Random];

    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PpoMaster => "ppo-master",
            Self::Rule => "rule",
            Self::Schedule => "schedule",
            Self::Flagger => "flagger",
            Self::ShieldAlone => "shield-alone",
            Self::Random => "random",
        }
    }

    /// What kind of policy it is, in a clause.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::PpoMaster => "learned by PPO in the simulator",
            Self::Rule => "fixed rules on the evidence, nothing learned",
            Self::Schedule => "a fixed schedule without analysis",
            Self::Flagger => "Flagger's defaults, its limits set for the service",
            Self::ShieldAlone => "whatever the shield allows, without a judgement of its own",
            Self::Random => "random proposals, to test the shield",
        }
    }

    /// The policy, ready to propose. `seed` matters only where chance does.
    #[must_use]
    pub fn build(self, seed: u64) -> Box<dyn Policy> {
        match self {
            Self::PpoMaster => Box::new(PpoMaster::shipped()),
            Self::Rule => Box::new(Rule),
            Self::Schedule => Box::new(Schedule::default()),
            Self::Flagger => Box::new(Flagger::default()),
            Self::ShieldAlone => Box::new(ShieldAlone),
            Self::Random => Box::new(Random::new(seed)),
        }
    }
}

impl FromStr for PolicyName {
    type Err = UnknownPolicy;

    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        let known = Self::ALL.into_iter().find(|name| name.as_str() == text);
        known.ok_or_else(|| UnknownPolicy { found: crate::flag::clean_line(text) })
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
