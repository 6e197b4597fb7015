//! Layer 12: the backend over HTTP.
//!
//! The same engine that a control room has inside, for many: the control API under `/api/v1`, the event stream, flag
//! evaluation, telemetry in. Every handler speaks to a [`Backend`](crate::backend::Backend) like a control room does, or reads the engine's
//! register; none of them waits for a tick. Who may what is in `access.rs`, what is refused at the door in `door.rs`.

mod access;
mod answer;
mod catalogue;
mod deployments;
mod description;
mod docs;
mod door;
mod events;
mod hub;
mod journal;
mod listen;
mod metrics;
mod ofrep;
mod orders;
mod otlp;
mod problem;
mod read;
mod state;
mod telemetry;
mod webhooks;

use std::{future::ready, sync::Arc};

use axum::{
    Json, Router,
    extract::DefaultBodyLimit,
    middleware,
    response::Html,
    routing::{get, post},
};
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

pub use self::{
    access::{Access, Principal, Scope, TokenFile, TokenRecord, local_token},
    catalogue::Catalogue,
    hub::Hub,
    listen::{Listeners, Peer, Tls, serve},
    problem::Problem,
    state::{Parts, ServerState},
    telemetry::Intake,
    webhooks::Hook,
};
use crate::server::state::Shared;

/// Largest body of a request that is not telemetry, and of one that is, in bytes.
const MAX_BODY: usize = 256 << 10;
const MAX_TELEMETRY: usize = 4 << 20;

/// What is the same in the whole description.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "knightwatch",
        description = "The control API of a knightwatch backend: flags, orders, kill-all, alarms, the journal and the event stream."
    ),
    tags(
        (name = "flags", description = "Flags and what is done to them"),
        (name = "emergency", description = "Kill-all and re-arming"),
        (name = "watch", description = "Status, alarms, journal, event stream"),
        (name = "evaluation", description = "OFREP: what an application gets of a flag"),
        (name = "telemetry", description = "Telemetry and deployments in"),
        (name = "simulation", description = "The pace of simulated time"),
    )
)]
struct Description;

/// All routes, with their description at `/openapi.json`, and what stands at the door.
pub fn router(state: Shared) -> Router {
    let telemetry = OpenApiRouter::new()
        .routes(routes!(telemetry::take))
        .routes(routes!(otlp::take))
        .layer(DefaultBodyLimit::max(MAX_TELEMETRY));
    let (mut evaluation, evaluated) = OpenApiRouter::new()
        .routes(routes!(ofrep::one))
        .routes(routes!(ofrep::all))
        .routes(routes!(ofrep::stream))
        .route("/ofrep/v1/evaluate/flags/{folder}/{*rest}", post(ofrep::one_in_folder))
        .split_for_parts();
    // What a page of a foreign origin may ask for. Whoever has named none pays nothing for it at each evaluation.
    if !state.origins.is_empty() {
        // Under the layer too: browsers ask by a method that nothing else here knows.
        evaluation = evaluation.method_not_allowed_fallback(door::wrong_method).layer(door::cors(&state));
    }
    let (api, mut description) = OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(read::status))
        .routes(routes!(read::flags, orders::create))
        .routes(routes!(read::flag, orders::change))
        .routes(routes!(orders::start))
        .routes(routes!(orders::pause))
        .routes(routes!(orders::resume))
        .routes(routes!(orders::roll_back))
        .routes(routes!(orders::set))
        .routes(routes!(orders::promote))
        .routes(routes!(orders::release))
        .routes(routes!(orders::archive))
        .routes(routes!(orders::kill_all))
        .routes(routes!(orders::rearm))
        .routes(routes!(read::alarms))
        .routes(routes!(orders::acknowledge))
        .routes(routes!(orders::shelve))
        .routes(routes!(orders::acknowledge_briefing))
        .routes(routes!(journal::journal))
        .routes(routes!(journal::export))
        .routes(routes!(journal::verify))
        .routes(routes!(deployments::list, deployments::take))
        .routes(routes!(read::pace, orders::set_pace))
        .routes(routes!(events::stream))
        .routes(routes!(ofrep::definitions))
        .routes(routes!(metrics::metrics))
        .routes(routes!(read::healthz))
        .routes(routes!(read::readyz))
        .merge(telemetry)
        .split_for_parts();
    description.merge(evaluated);
    let description = Arc::new(description::description(&description));
    let page: Arc<str> = docs::page(&description).into();
    api.merge(evaluation)
        .route("/docs", get(move || ready(Html(page.to_string()))))
        .route("/openapi.json", get(move || ready(Json(Arc::clone(&description)))))
        .fallback(door::not_found)
        .method_not_allowed_fallback(door::wrong_method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(Arc::clone(&state), door::door))
        .with_state(state)
}
