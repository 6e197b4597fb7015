//! What may be changed of a flag's declaration after it was made. Its key, service and kind never change: buckets, exposure
//! caps and evidence go by them.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::flag::{Deployment, FlagSpec, Ladder};

/// What becomes different; what is absent stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SpecChange {
    /// What the flag does, in a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The rungs it climbs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ladder: Option<Ladder>,
    /// The deployment without which it must not start; `Some(None)` takes that away.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub deployment: Option<Option<Deployment>>,
}

/// That something was said, be it `null`.
///
/// # Errors
/// A value of another type.
pub fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(value: D) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

impl SpecChange {
    /// Without what is as it was.
    #[must_use]
    pub(super) fn against(&self, spec: &FlagSpec) -> Self {
        Self {
            description: self.description.clone().filter(|new| *new != spec.description),
            ladder: self.ladder.clone().filter(|new| *new != spec.ladder),
            deployment: self.deployment.clone().filter(|new| *new != spec.deployment),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn apply(&self, spec: &mut FlagSpec) {
        let Self { description, ladder, deployment } = self.clone();
        if let Some(description) = description {
            spec.description = description;
        }
        if let Some(ladder) = ladder {
            spec.ladder = ladder;
        }
        if let Some(deployment) = deployment {
            spec.deployment = deployment;
        }
    }
}

impl fmt::Display for SpecChange {
    /// In a few words: `description; ladder 1 %, 5 %, 99 %, 100 %; waits for no deployment`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let description = self.description.as_ref().map(|text| format!("description {text:?}"));
        let ladder = self.ladder.as_ref().map(|ladder| {
            let rungs: Vec<String> = ladder.rungs().iter().map(ToString::to_string).collect();
            format!("ladder {}", rungs.join(", "))
        });
        let deployment = self.deployment.as_ref().map(|wanted| match wanted {
            Some(wanted) => format!("starts only when {wanted} is deployed"),
            None => "waits for no deployment".to_owned(),
        });
        let all: Vec<String> = [description, ladder, deployment].into_iter().flatten().collect();
        f.pad(&all.join("; "))
    }
}
