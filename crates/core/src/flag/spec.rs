//! What is declared of a flag when it is created, before anything happens to it.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{FlagKey, Ladder};

/// A flag's place in the fleet: dense, from 0, in order of creation; never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FlagId(pub u32);

impl FlagId {
    /// As an index into a list of all flags.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The service whose code asks for the flag: flags of one service share its exposure cap.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ServiceName(pub Arc<str>);

impl ServiceName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// What one unit of a flag's traffic is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FlagKind {
    /// Requests of users; the targeting key is the user's.
    #[default]
    Requests,
    /// Background jobs; the targeting key is the job's id, a sample counts finished jobs.
    Jobs,
}

impl FlagKind {
    /// The unit in the plural, for sentences: `requests` or `jobs`.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Jobs => "jobs",
        }
    }
}

/// What runs where: a service, and which artifact of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// The service.
    pub service: ServiceName,
    /// Its artifact, as the pipeline names it (a package URL). Of a deployment that is waited for: whichever, where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<Arc<str>>,
}

impl fmt::Display for Deployment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.artifact {
            Some(artifact) => f.pad(&format!("{artifact} in {}", self.service)),
            None => f.pad(&self.service.0),
        }
    }
}

/// The declaration of a flag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlagSpec {
    /// Its name.
    pub key: FlagKey,
    /// The service whose code asks for it.
    pub service: ServiceName,
    /// What one unit of its traffic is.
    #[serde(default)]
    pub kind: FlagKind,
    /// What it does, in a line, for people.
    #[serde(default)]
    pub description: String,
    /// The rungs it climbs.
    #[serde(default)]
    pub ladder: Ladder,
    /// The deployment without which it must not start: its code has to run first. Absent in older journals, whose hashes
    /// stay as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<Deployment>,
}
