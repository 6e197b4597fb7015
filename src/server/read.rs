//! What can be read: status, flags, alarms, the journal. Everything comes from the hub's picture, but for the journal, which
//! the engine is asked for.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Query, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    Problem,
    access::Viewer,
    answer::{Alarms, Flag, Flags, Health, Speed, Status, speed},
    orders::Key,
    state::{ServerState, Shared},
};
use knightwatch_core::control::{AlarmKind, Phase, Seq};
use knightwatch_engine::backend::{FlagView, Pace, Snapshot};

/// Flags and journal entries in a page, at most and where nothing is said.
pub(super) const MAX: usize = 1_000;
const DEFAULT_LIMIT: usize = 100;

impl ServerState {
    pub(super) fn snapshot(&self) -> Result<Arc<Snapshot>, Problem> {
        self.hub.snapshot().ok_or_else(|| Problem::unavailable("the engine has ended, or not begun"))
    }
}

/// The backend at this moment
#[utoipa::path(
    get, path = "/api/v1/status", tag = "watch",
    responses(
        (status = 200, description = "The state in numbers", body = Status),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn status(State(state): State<Shared>, _: Viewer) -> Result<Json<Status>, Problem> {
    // Kill-all is answered before anybody is told: whoever has its answer reads it here all the same.
    if state.serving_table.is_latched() {
        state.hub.shows(|snapshot| snapshot.controller.latch.is_some()).await;
    }
    let fault = state.definition_store.fault().map(|why| why.to_string());
    Ok(Json(Status::of(&*state.snapshot()?, fault, state.listen.get().map_or(&[], Vec::as_slice))))
}

/// Which flags, in which order.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Only those whose key or service contains this.
    filter: Option<String>,
    /// Only those in this phase: `idle`, `ramping`, `paused`, `rolled_back`, `complete` or `killed`.
    #[param(value_type = Option<String>, pattern = "^(idle|ramping|paused|rolled_back|complete|killed)$")]
    phase: Option<Phase>,
    /// Those that were archived, in place of those that were not.
    archived: bool,
    /// `key` (the default), `percent` (highest first) or `changed` (latest first).
    #[param(value_type = Option<String>, pattern = "^(key|percent|changed)$")]
    sort: Sort,
    /// How many to leave out at the beginning.
    offset: usize,
    /// How many at most, 1 to 1 000; 100 where it is left out.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Sort {
    #[default]
    Key,
    Percent,
    Changed,
}

/// How many in a page, checked.
pub(super) fn page(asked: Option<usize>) -> Result<usize, Problem> {
    match asked {
        None => Ok(DEFAULT_LIMIT),
        Some(limit) if (1..=MAX).contains(&limit) => Ok(limit),
        Some(other) => Err(Problem::input(&format!("limit: expected 1 to {MAX}, found {other}"))),
    }
}

/// Flags, a page at a time
#[utoipa::path(
    get, path = "/api/v1/flags", tag = "flags", params(Which),
    responses(
        (status = 200, description = "A page", body = Flags),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn flags(
    State(state): State<Shared>,
    _: Viewer,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Json<Flags>, Problem> {
    let Query(Which { filter, phase, archived, sort, offset, limit: most }) = which?;
    let most = page(most)?;
    let snapshot = state.snapshot()?;
    let fits = |flag: &&FlagView| {
        flag.archived.is_some() == archived
            && phase.is_none_or(|phase| flag.phase == phase)
            && filter.as_deref().is_none_or(|text| {
                flag.spec.key.as_str().contains(text) || flag.spec.service.as_str().contains(text)
            })
    };
    let mut found: Vec<&FlagView> = snapshot.flags.iter().filter(fits).collect();
    found.sort_by(|a, b| {
        let by_key = || a.spec.key.cmp(&b.spec.key);
        match sort {
            Sort::Key => by_key(),
            Sort::Percent => b.rollout.cmp(&a.rollout).then_with(by_key),
            Sort::Changed => b.changed_at.cmp(&a.changed_at).then_with(by_key),
        }
    });
    let total = found.len();
    let flags: Vec<Flag> = found.into_iter().skip(offset).take(most).map(Flag::from).collect();
    let next = offset.saturating_add(flags.len());
    Ok(Json(Flags { flags, total, next: (next < total).then_some(next) }))
}

/// One flag, with its `ETag`
#[utoipa::path(
    get, path = "/api/v1/flags/{key}", tag = "flags",
    params(("key" = String, Path, description = "The flag")),
    responses(
        (status = 200, description = "The flag", body = Flag),
        (status = 304, description = "As it was (If-None-Match)"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn flag(
    State(state): State<Shared>,
    _: Viewer,
    Key(key): Key,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let snapshot = state.snapshot()?;
    let flag = snapshot.flags.iter().find(|flag| flag.spec.key == key);
    let flag = flag.ok_or_else(|| Problem::not_found(&format!("there is no flag {key}")))?;
    let version = flag.last.as_ref().map_or(Seq(0), |last| last.seq);
    let etag =
        HeaderValue::from_str(&format!("\"{}\"", version.0)).map_err(|_| Problem::unavailable("no ETag"))?;
    let mut response = if headers.get(header::IF_NONE_MATCH) == Some(&etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        Json(Flag::from(flag)).into_response()
    };
    response.headers_mut().insert(header::ETAG, etag);
    Ok(response)
}

/// Alarms that stand
#[utoipa::path(
    get, path = "/api/v1/alarms", tag = "watch",
    responses(
        (status = 200, description = "All of them", body = Alarms),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn alarms(State(state): State<Shared>, _: Viewer) -> Result<Json<Alarms>, Problem> {
    Ok(Json(Alarms { alarms: state.snapshot()?.controller.alarms.iter().map(Into::into).collect() }))
}

/// The pace of simulated time
#[utoipa::path(
    get, path = "/api/v1/simulation/speed", tag = "simulation",
    responses(
        (status = 200, description = "Times real time", body = Speed),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn pace(State(state): State<Shared>, _: Viewer) -> Result<Json<Speed>, Problem> {
    let pace = state.snapshot()?.controller.pace;
    Ok(Json(Speed { speed: speed(pace), real: pace == Pace::Real }))
}

/// Whether the process answers
#[utoipa::path(
    get, path = "/healthz", tag = "watch",
    responses(
        (status = 200, description = "It does", body = Health),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn healthz() -> Json<Health> {
    Json(Health { status: "ok".to_owned(), details: Vec::new() })
}

/// Whether it steers: the engine runs, and its journal can be written
#[utoipa::path(
    get, path = "/readyz", tag = "watch",
    responses(
        (status = 200, description = "It does", body = Health),
        (status = 503, description = "It does not", body = Health),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn readyz(State(state): State<Shared>) -> Response {
    let Some(snapshot) = state.hub.snapshot() else {
        let health = Health { status: "ended".to_owned(), details: vec!["the engine has ended".to_owned()] };
        return (StatusCode::SERVICE_UNAVAILABLE, Json(health)).into_response();
    };
    let standing = |alarm: &&knightwatch_core::control::Alarm| alarm.cleared_at.is_none();
    let failing =
        snapshot.controller.alarms.iter().filter(standing).find(|alarm| alarm.kind == AlarmKind::NotDurable);
    if let Some(alarm) = failing {
        let health = Health { status: "not durable".to_owned(), details: vec![alarm.text.clone()] };
        return (StatusCode::SERVICE_UNAVAILABLE, Json(health)).into_response();
    }
    // Evaluation continues with the definitions that were in force.
    let fault = state.definition_store.fault();
    let details = fault.map(|why| format!("flag definitions were not changed: {why}")).into_iter().collect();
    Json(Health { status: "ok".to_owned(), details }).into_response()
}
