//! Deployments: what pipelines say now runs, and which flags were waiting for it.
//!
//! A flag that names a deployment does not start before that runs: turning on code that is not there yet is how a rollout
//! hurts without moving a number. Of each service the newest word counts.

use serde::{Deserialize, Serialize};

use super::{Actor, State};
use crate::{
    flag::{Deployment, ServiceName},
    telemetry::Millis,
};

/// How a deployment came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeployKind {
    /// It runs where it did not run before.
    Deployed,
    /// It runs in place of an earlier one.
    Upgraded,
    /// It runs again, in place of a later one that was taken back.
    RolledBack,
}

impl DeployKind {
    /// The words for it, after what runs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deployed => "deployed",
            Self::Upgraded => "upgraded",
            Self::RolledBack => "rolled back",
        }
    }
}

/// Something was deployed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployed {
    /// When it was heard of.
    pub at: Millis,
    /// Who said so.
    pub by: Actor,
    /// How it came about.
    pub kind: DeployKind,
    /// What runs now.
    pub what: Deployment,
}

impl Deployed {
    /// Whether this is what was waited for. What was taken back is it only where it is waited for by name.
    #[must_use]
    pub fn is(&self, wanted: &Deployment) -> bool {
        self.what.service == wanted.service
            && match &wanted.artifact {
                Some(artifact) => self.what.artifact.as_ref() == Some(artifact),
                None => self.kind != DeployKind::RolledBack,
            }
    }
}

/// A start that was ordered and waits for the flag's deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Who ordered it.
    pub by: Actor,
    /// When.
    pub since: Millis,
}

/// Deployments remembered; of each service the newest goes last.
const REMEMBERED: usize = 200;

impl State {
    /// What runs of a service, as far as anybody has said.
    #[must_use]
    pub fn deployed(&self, service: &ServiceName) -> Option<&Deployed> {
        self.deployments.iter().rev().find(|deployed| deployed.what.service == *service)
    }

    /// Whether a flag that wants this deployment, if any, may start.
    #[must_use]
    pub fn is_deployed(&self, wanted: Option<&Deployment>) -> bool {
        wanted.is_none_or(|wanted| self.deployed(&wanted.service).is_some_and(|deployed| deployed.is(wanted)))
    }

    pub(super) fn note_deployment(&mut self, deployed: Deployed) {
        if self.deployments.len() >= REMEMBERED {
            let service = |place: usize| &self.deployments[place].what.service;
            let superseded = (0..self.deployments.len()).find(|place| {
                (place + 1..self.deployments.len()).any(|later| service(later) == service(*place))
            });
            self.deployments.remove(superseded.unwrap_or(0));
        }
        self.deployments.push_back(deployed);
    }
}
