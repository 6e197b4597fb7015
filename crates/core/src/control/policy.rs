//! The trait that PPO-Master and every baseline stand behind.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Observation, Proposal};
use crate::flag::FlagId;

/// Why a policy gave no usable proposals. The agent then holds everywhere; the shield still rolls back.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PolicyFault {
    /// It panicked.
    #[error("the policy panicked: {0}")]
    Panicked(String),
    /// It did not answer in time.
    #[error("the policy did not answer within {0}")]
    Stalled(crate::telemetry::Millis),
    /// It answered something that is not a proposal for each observation.
    #[error("the policy's answer is invalid: {0}")]
    Nonsense(String),
    /// It has no weights that it could answer from.
    #[error("the policy has no usable weights: {0}")]
    Unfit(String),
    /// Its weights gave no finite number on a flag.
    #[error("the policy has no usable weights: {weights}: on flag number {} their answer is not a finite number", .flag.0)]
    NotFinite {
        /// What the weights are called.
        weights: String,
        /// On which flag.
        flag: FlagId,
    },
}

impl PolicyFault {
    /// The same with a flag's number replaced by its key: people know flags by that.
    #[must_use]
    pub(super) fn naming(self, key: impl FnOnce(FlagId) -> String) -> Self {
        match self {
            Self::NotFinite { weights, flag } => {
                Self::Unfit(format!("{weights}: on {} their answer is not a finite number", key(flag)))
            }
            other => other,
        }
    }

    /// From what a caught panic carried.
    #[must_use]
    pub fn panicked(panic: &(dyn std::any::Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Self::Panicked(crate::flag::clean_line(text.unwrap_or("no message")))
    }
}

/// How a policy that can be set is set: enough to go on with the same one, and to say what is not as usual.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicySettings {
    /// How many times as much as the judge it weighs harm against waiting, for every flag alike; `None` where that goes by
    /// a flag's traffic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub harm_weight: Option<f32>,
    /// Which weights: the first 16 hexadecimal digits of the SHA-256 of their file; empty where they could not be used.
    pub weights: String,
    /// The file they came from; `None` for those that the program ships with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// What is not as usual, in a clause: `harm weight 16, weights 1f2e3d4c`; empty where all is.
    pub non_default: String,
}

/// A policy's name with what is not as usual about it: `ppo-master (harm weight 16)`.
#[must_use]
pub fn policy_in_words(name: &str, settings: Option<&PolicySettings>) -> String {
    let Some(PolicySettings { harm_weight, non_default, .. }) = settings else {
        return name.to_owned();
    };
    // What an older program had as usual is not said in its journal.
    let harm_weight = harm_weight
        .filter(|_| !non_default.contains("harm weight"))
        .map(|harm_weight| format!("harm weight {harm_weight}"));
    let non_default: Vec<&str> = harm_weight
        .as_deref()
        .into_iter()
        .chain(Some(non_default.as_str()).filter(|non_default| !non_default.is_empty()))
        .collect();
    if non_default.is_empty() { name.to_owned() } else { format!("{name} ({})", non_default.join(", ")) }
}

/// Decides what it would like done. The shield decides what is done.
pub trait Policy: Send {
    /// Its name, as the screen and the journal show it.
    fn name(&self) -> &str;

    /// How it is set, where it can be.
    fn settings(&self) -> Option<PolicySettings> {
        None
    }

    /// Writes one proposal for each observation, in the same order, into `proposals` (empty on entry).
    ///
    /// # Errors
    /// When it cannot propose; everything then holds. A panic is caught by the tick and means the same.
    fn propose(
        &mut self,
        observations: &[Observation<'_>],
        proposals: &mut Vec<Proposal>,
    ) -> Result<(), PolicyFault>;
}

impl<P: Policy + ?Sized> Policy for Box<P> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn settings(&self) -> Option<PolicySettings> {
        (**self).settings()
    }

    fn propose(
        &mut self,
        observations: &[Observation<'_>],
        proposals: &mut Vec<Proposal>,
    ) -> Result<(), PolicyFault> {
        (**self).propose(observations, proposals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_that_is_not_the_default_is_named_also_where_it_was_the_default_once() {
        let said = |json: &str| {
            let settings: PolicySettings = serde_json::from_str(json).unwrap();
            let again: PolicySettings =
                serde_json::from_str(&serde_json::to_string(&settings).unwrap()).unwrap();
            assert_eq!(again, settings);
            policy_in_words("ppo-master", Some(&settings))
        };
        assert_eq!(said(r#"{"weights":"1f","non_default":""}"#), "ppo-master");
        // As journals have it from when one harm weight for all flags was usual.
        assert_eq!(
            said(r#"{"harm_weight":5.0,"weights":"1f","non_default":""}"#),
            "ppo-master (harm weight 5)"
        );
        assert_eq!(
            said(r#"{"harm_weight":5.0,"weights":"1f","non_default":"weights 1f"}"#),
            "ppo-master (harm weight 5, weights 1f)"
        );
        assert_eq!(
            said(r#"{"harm_weight":16.0,"weights":"1f","non_default":"harm weight 16"}"#),
            "ppo-master (harm weight 16)"
        );
        assert_eq!(policy_in_words("rule", None), "rule");
    }
}
