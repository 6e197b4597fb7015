//! What a session is, written once when its file is made and covered by the hash chain.

use serde::{Deserialize, Serialize};

use knightwatch_core::telemetry::Millis;

/// The description of a session: enough to say what a file is, to replay it, and to resume it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionMeta {
    /// The environment's name; re-arming asks for it.
    pub environment: String,
    /// What is being steered, for people: `scenario default (seed 7)`.
    pub source: String,
    /// The policy in charge at the start.
    pub policy: String,
    /// The seed, where there is one.
    pub seed: Option<u64>,
    /// The control interval.
    pub interval: Millis,
    /// Controller time at the start.
    pub started_at: Millis,
    /// Whether controller time is simulated.
    pub simulated: bool,
    /// The scenario's own text, so that the session resumes also after its file has changed.
    #[serde(default)]
    pub scenario: Option<String>,
    /// The version of the program that made the file.
    pub version: String,
}
