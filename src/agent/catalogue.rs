//! The policies by name: what `--policy` takes.

use std::{fmt, str::FromStr};

use thiserror::Error;

use super::{Knob, PpoMaster, Random, Rule, Settings, SettingsError, ShieldAlone, opponents::Handle};
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
    /// Argo Rollouts.
    Argo,
    /// Kayenta, with its `NetflixACAJudge`.
    Kayenta,
    /// `GrowthBook`'s safe rollouts.
    GrowthBook,
    /// `LaunchDarkly`'s guarded rollouts.
    LaunchDarkly,
    /// Statsig's sequential test.
    Statsig,
    /// Howard and Ramdas' quantile confidence sequence.
    QuantileCs,
    /// Google's multi-window burn rates.
    BurnRate,
    /// Li, Mao and Bojinov's phased release.
    LiMaoBojinov,
}

/// A name that no policy has.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("there is no policy {found:?}; there are: {}", PolicyName::ALL.map(PolicyName::as_str).join(", "))]
pub struct UnknownPolicy {
    /// What was asked for.
    pub found: String,
}

impl PolicyName {
    /// Those that the control room and the backend offer to steer; the others are there to be measured by.
    pub const STEERS: [Self; 6] =
        [Self::PpoMaster, Self::Rule, Self::Schedule, Self::Flagger, Self::ShieldAlone, Self::Random];

    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::PpoMaster,
        Self::Rule,
        Self::Schedule,
        Self::Flagger,
        Self::ShieldAlone,
        Self::Random,
        Self::Argo,
        Self::Kayenta,
        Self::GrowthBook,
        Self::LaunchDarkly,
        Self::Statsig,
        Self::QuantileCs,
        Self::BurnRate,
        Self::LiMaoBojinov,
    ];

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
            Self::Argo => "argo",
            Self::Kayenta => "kayenta",
            Self::GrowthBook => "growthbook",
            Self::LaunchDarkly => "launchdarkly",
            Self::Statsig => "statsig-msprt",
            Self::QuantileCs => "quantile-cs",
            Self::BurnRate => "burn-rate",
            Self::LiMaoBojinov => "li-mao-bojinov",
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
            Self::Argo => "Argo Rollouts' example, its limits set for the service",
            Self::Kayenta => "Kayenta's canary judge: Mann-Whitney on errors and P99",
            Self::GrowthBook => "GrowthBook's safe rollout: one-sided confidence sequences",
            Self::LaunchDarkly => "a guarded rollout as LaunchDarkly has it",
            Self::Statsig => "Statsig's mixture sequential test",
            Self::QuantileCs => "confidence sequences on the share beyond P99",
            Self::BurnRate => "Google's burn-rate alerts on the canary",
            Self::LiMaoBojinov => "the largest stage that fits a risk budget",
        }
    }

    /// What can be tuned about it; nothing where it has no settings.
    #[must_use]
    pub fn knobs(self) -> &'static [Knob] {
        Handle::named(self).map_or(&[], |handle| handle.knobs)
    }

    /// The policy with these settings; those left out are the product's.
    ///
    /// # Errors
    /// A policy without settings; a setting that it does not have, or out of its bounds.
    pub fn with(self, settings: &Settings) -> Result<Box<dyn Policy>, SettingsError> {
        let none = || SettingsError { policy: self.to_string(), text: "there are none".to_owned() };
        (Handle::named(self).ok_or_else(none)?.build)(settings)
    }

    /// The policy as its product has it, ready to propose. `seed` matters only where chance does.
    #[must_use]
    pub fn build(self, seed: u64) -> Box<dyn Policy> {
        match (self, Handle::named(self)) {
            (_, Some(handle)) => (handle.usual)(),
            (Self::Rule, None) => Box::new(Rule),
            (Self::ShieldAlone, None) => Box::new(ShieldAlone),
            (Self::Random, None) => Box::new(Random::new(seed)),
            (_, None) => Box::new(PpoMaster::shipped()),
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
