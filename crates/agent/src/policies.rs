//! The table of policies: what `--policy` takes, one row each.
//!
//! A policy that may steer has its row in [`PolicyName::STEERING`]. Policies that exist only to be compared with have their rows
//! in the research lab, which builds a [`PolicyName`] of each.

use std::{fmt, hash::Hash, str::FromStr};

use knightwatch_core::control::Policy;
use thiserror::Error;

use super::{
    Knob, PpoMaster, Random, Rule, Settings, SettingsError, ShieldAlone,
    tunable::{Flagger, Schedule, Tunable},
};

/// One row of the table.
#[derive(Debug)]
pub struct PolicyRow {
    /// The name: lower case, words joined by hyphens.
    pub name: &'static str,
    /// What kind of policy it is, in a clause.
    pub about: &'static str,
    /// Builds the policy with its default settings, ready to propose. The seed matters only to policies that draw at random.
    pub build: fn(seed: u64) -> Box<dyn Policy>,
    /// Its settings, where it has any.
    pub tunable: Option<Tunable>,
}

static PPO_MASTER: PolicyRow = PolicyRow {
    name: "ppo-master",
    about: "learned by PPO in the simulator",
    build: |_| Box::new(PpoMaster::shipped()),
    tunable: None,
};

static RULE: PolicyRow = PolicyRow {
    name: "rule",
    about: "fixed rules on the evidence, nothing learned",
    build: |_| Box::new(Rule),
    tunable: None,
};

static SCHEDULE: PolicyRow = PolicyRow::tunable::<Schedule>("schedule", "a fixed schedule without analysis");

static FLAGGER: PolicyRow =
    PolicyRow::tunable::<Flagger>("flagger", "Flagger's defaults, its limits set for the service");

static SHIELD_ALONE: PolicyRow = PolicyRow {
    name: "shield-alone",
    about: "whatever the shield allows, without a judgement of its own",
    build: |_| Box::new(ShieldAlone),
    tunable: None,
};

static RANDOM: PolicyRow = PolicyRow {
    name: "random",
    about: "random proposals, to test the shield",
    build: |seed| Box::new(Random::new(seed)),
    tunable: None,
};

/// A policy that can be asked for: a row of the table.
#[derive(Clone, Copy)]
pub struct PolicyName(&'static PolicyRow);

/// A name that no policy has.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("there is no policy {found:?}; expected one of {}", expected.join(", "))]
pub struct UnknownPolicy {
    /// The name that was asked for.
    pub found: String,
    /// The names that exist.
    pub expected: Vec<&'static str>,
}

impl PolicyName {
    /// The learned policy with the shipped weights.
    pub const PPO_MASTER: Self = Self(&PPO_MASTER);
    /// Raises a rung when healthy, rolls back when regressed.
    pub const RULE: Self = Self(&RULE);
    /// 1, 5, 10, 25, 50, 100 %, without looking.
    pub const SCHEDULE: Self = Self(&SCHEDULE);
    /// Flagger's defaults, its limits set for the service.
    pub const FLAGGER: Self = Self(&FLAGGER);
    /// The largest raise that the shield allows, and never down.
    pub const SHIELD_ALONE: Self = Self(&SHIELD_ALONE);
    /// Random proposals: tests the shield.
    pub const RANDOM: Self = Self(&RANDOM);

    /// The policies that may steer: what the control room and the backend offer.
    pub const STEERING: [Self; 6] =
        [Self::PPO_MASTER, Self::RULE, Self::SCHEDULE, Self::FLAGGER, Self::SHIELD_ALONE, Self::RANDOM];

    /// The policy of a row that stands elsewhere.
    #[must_use]
    pub const fn of(row: &'static PolicyRow) -> Self {
        Self(row)
    }

    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0.name
    }

    /// What kind of policy it is, in a clause.
    #[must_use]
    pub const fn about(self) -> &'static str {
        self.0.about
    }

    /// The settings that can be tuned; empty where it has none.
    #[must_use]
    pub fn knobs(self) -> &'static [Knob] {
        self.0.tunable.map_or(&[], |tunable| tunable.knobs)
    }

    /// The policy with these settings; those left out have their defaults.
    ///
    /// # Errors
    /// A policy without settings; a setting that it does not have, or out of its bounds.
    pub fn with(self, settings: &Settings) -> Result<Box<dyn Policy>, SettingsError> {
        let none = || SettingsError { policy: self.to_string(), text: "it has none".to_owned() };
        (self.0.tunable.ok_or_else(none)?.build)(settings)
    }

    /// The policy with its default settings, ready to propose. `seed` matters only to policies that draw at random.
    #[must_use]
    pub fn build(self, seed: u64) -> Box<dyn Policy> {
        (self.0.build)(seed)
    }

    /// The policy of this name among `names`.
    ///
    /// # Errors
    /// A name that none of them has.
    pub fn find(text: &str, names: &[Self]) -> Result<Self, UnknownPolicy> {
        let known = names.iter().copied().find(|name| name.as_str() == text);
        known.ok_or_else(|| UnknownPolicy {
            found: knightwatch_core::flag::clean_line(text),
            expected: names.iter().map(|name| name.as_str()).collect(),
        })
    }
}

impl Default for PolicyName {
    fn default() -> Self {
        Self::PPO_MASTER
    }
}

impl PartialEq for PolicyName {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for PolicyName {}

impl Hash for PolicyName {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl FromStr for PolicyName {
    type Err = UnknownPolicy;

    /// One of [`PolicyName::STEERING`].
    fn from_str(text: &str) -> Result<Self, UnknownPolicy> {
        Self::find(text, &Self::STEERING)
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PolicyName").field(&self.as_str()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_row_builds_the_policy_of_its_own_name() {
        for name in PolicyName::STEERING {
            assert_eq!(name.build(7).name(), name.as_str());
            assert_eq!(name.as_str().parse(), Ok(name));
        }
    }

    #[test]
    fn no_two_rows_have_the_same_name() {
        let names: BTreeSet<&str> = PolicyName::STEERING.iter().map(|name| name.as_str()).collect();
        assert_eq!(names.len(), PolicyName::STEERING.len());
    }

    #[test]
    fn an_unknown_name_is_refused_with_the_names_that_exist() {
        let error = "argo".parse::<PolicyName>().unwrap_err();
        assert!(error.to_string().contains("expected one of ppo-master, rule, schedule"), "{error}");
    }
}
