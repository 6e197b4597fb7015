//! The backend over HTTP.
//!
//! The same engine that a control room has inside, for many: the control API under `/api/v1`, the event stream, flag
//! evaluation, telemetry in. Every handler speaks to a [`Backend`](knightwatch_engine::backend::Backend) like a control
//! room does, or reads the serving table; none of them waits for a tick. Who may what is in `access.rs`, what is
//! refused before authentication in `request_guard.rs`.

mod access;
mod answer;
mod definition_store;
mod deployments;
mod description;
mod docs;
mod events;
mod guarded;
mod hub;
mod journal;
mod listen;
mod metrics;
mod ofrep;
mod orders;
mod otlp;
mod problem;
mod read;
mod request_guard;
mod scenarios;
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
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_axum::{router::OpenApiRouter, routes};

pub use self::{
    access::{Access, Principal, TokenFile, TokenRecord, local_token},
    definition_store::DefinitionStore,
    hub::Hub,
    listen::{Listeners, Peer, Tls, serve},
    problem::Problem,
    state::{Parts, ServerState},
    telemetry::Intake,
    webhooks::Hook,
};
use crate::server::{guarded::asking, state::Shared};
use knightwatch_core::control::Scope;

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
    ),
    components(schemas(answer::Ack, Problem)),
    modifiers(&Bearer)
)]
struct Description;

/// How whoever asks says who they are; each operation names the scope that it needs.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let includes = Scope::ALL.map(|scope| {
            let others = Scope::ALL.iter().filter(|other| **other != scope && scope.allows(**other));
            (scope.as_str(), others.map(|other| other.as_str()).collect::<Vec<_>>().join(", "))
        });
        let includes = includes.iter().filter(|(_, others)| !others.is_empty());
        let includes: Vec<String> =
            includes.map(|(scope, others)| format!("{scope} includes {others}")).collect();
        let about = format!(
            "A token of `knightwatch token create NAME --scope SCOPE`. Each operation names the scope that it needs; {}. Without \
             a token, loopback has viewer and eval unless server.open_loopback is false; on the unix socket the kernel says \
             who asks.",
            includes.join("; ")
        );
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(about)).build();
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme(guarded::SCHEME, SecurityScheme::Http(scheme));
    }
}

/// All routes, with their description at `/openapi.json`, and the request guard in front.
pub fn router(state: Shared) -> Router {
    let telemetry = OpenApiRouter::new()
        .routes(asking!(telemetry::take))
        .routes(asking!(otlp::take))
        .layer(DefaultBodyLimit::max(MAX_TELEMETRY));
    let (mut evaluation, evaluated) = OpenApiRouter::new()
        .routes(asking!(ofrep::one))
        .routes(asking!(ofrep::all))
        .routes(asking!(ofrep::stream))
        .route("/ofrep/v1/evaluate/flags/{folder}/{*rest}", post(ofrep::one_in_folder))
        .split_for_parts();
    // What a page of a foreign origin may ask for. Whoever has named none pays nothing for it at each evaluation.
    if !state.origins.is_empty() {
        // Under the layer too: browsers ask by a method that nothing else here knows.
        evaluation = evaluation
            .method_not_allowed_fallback(request_guard::wrong_method)
            .layer(request_guard::cors(&state));
    }
    let (api, mut description) = orders::routes(OpenApiRouter::with_openapi(Description::openapi()))
        .routes(asking!(read::status))
        .routes(asking!(read::flags))
        .routes(asking!(read::flag))
        .routes(asking!(read::alarms))
        .routes(asking!(journal::journal))
        .routes(asking!(journal::export))
        .routes(asking!(journal::verify))
        .routes(asking!(deployments::list))
        .routes(asking!(deployments::take))
        .routes(asking!(read::pace))
        .routes(asking!(scenarios::scenarios))
        .routes(asking!(orders::set_pace))
        .routes(asking!(events::stream))
        .routes(asking!(ofrep::definitions))
        .routes(asking!(metrics::metrics))
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
        .fallback(request_guard::not_found)
        .method_not_allowed_fallback(request_guard::wrong_method)
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(Arc::clone(&state), request_guard::request_guard))
        .with_state(state)
}
