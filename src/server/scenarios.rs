//! The scenarios that the simulator has, as they are shipped, and which one plays. Read only: a backend keeps to its world, which
//! its journal is of.

use std::sync::LazyLock;

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Problem, access::Viewer, state::Shared};
use knightwatch_sim::Scenario;

/// Read once: they are part of the program.
static SHIPPED: LazyLock<Vec<Shipped>> = LazyLock::new(|| {
    let read = |(name, text): &(&str, &str)| {
        Scenario::parse(text, name).ok().map(|scenario| Shipped::from(&scenario))
    };
    Scenario::builtins().iter().filter_map(read).collect()
});

/// A scenario in a few words.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Scenario)]
pub(super) struct Shipped {
    /// What `serve --scenario` takes.
    name: String,
    /// One line about it.
    title: String,
    /// What happens in it.
    story: String,
    /// How long it lasts, in milliseconds of controller time.
    duration_ms: u64,
    /// How many flags it has.
    flags: usize,
}

impl From<&Scenario> for Shipped {
    fn from(scenario: &Scenario) -> Self {
        Self {
            name: scenario.name.clone(),
            title: scenario.title.clone(),
            story: scenario.story.clone(),
            duration_ms: scenario.duration.0,
            flags: scenario.flags.len(),
        }
    }
}

/// All of them.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Scenarios {
    /// What plays here; none where applications send telemetry.
    playing: Option<String>,
    /// Those that are shipped.
    scenarios: Vec<Shipped>,
}

/// The scenarios that the simulator has
#[utoipa::path(
    get, path = "/api/v1/simulation/scenarios", tag = "simulation",
    responses(
        (status = 200, description = "What plays, and what could", body = Scenarios),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn scenarios(State(state): State<Shared>, _: Viewer) -> Result<Json<Scenarios>, Problem> {
    let snapshot = state.snapshot()?;
    let playing = snapshot.simulated.then(|| snapshot.source.clone());
    Ok(Json(Scenarios { playing, scenarios: SHIPPED.clone() }))
}
