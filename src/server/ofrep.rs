//! Flag evaluation over HTTP: the OpenFeature Remote Evaluation Protocol (OFREP) 0.3.
//!
//! One flag, all flags, and the stream that says when to ask again. An answer is made of the definitions in force, the
//! serving table and what was asked, none of which is waited for; a change is in the answers before it is on the stream.

mod changes;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{
        Path, Query, State,
        rejection::{BytesRejection, QueryRejection},
    },
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use utoipa::{IntoParams, ToSchema};

pub(super) use self::changes::Changes;
use super::{
    Problem,
    access::{Eval, Viewer},
    events::sent_as_events,
    metrics::Tally,
    state::{ServerState, Shared},
};
use knightwatch_core::flag::{
    FlagKey, clean_line,
    definition::{Context, Evaluation, EvaluationError, Reason, Why},
};
use knightwatch_engine::wall_clock;

/// Where the stream of changes is.
const CHANGES: &str = "/ofrep/v1/changes";

/// For how long a client that nobody looks at keeps the stream open, in seconds.
const INACTIVITY: u32 = 120;

/// Flags that are evaluated at once without another thread's help: more would hold up those who ask for one.
const AT_ONCE: usize = 256;

/// Something is sent at least this often on a stream without changes: what lies between must not think it dead.
const BEAT: Duration = Duration::from_secs(25);

/// An answer about one flag.
#[derive(Serialize, ToSchema)]
pub(super) struct EvaluationResponse<'a> {
    /// The flag.
    key: &'a str,
    /// Why: `STATIC`, `TARGETING_MATCH`, `SPLIT`, `DEFAULT` or `DISABLED`.
    reason: &'a str,
    /// The variant's name; empty where the application's own default is to be taken.
    variant: &'a str,
    /// The variant's value; left out where the application's own default is to be taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = serde_json::Value, required = false)]
    value: Option<&'a Value>,
    /// The set's metadata and the flag's; `knightwatch.why` says what is behind an `off` for everybody.
    #[schema(value_type = Object)]
    metadata: Metadata<'a>,
}

struct Metadata<'a> {
    defined: Option<&'a Map<String, Value>>,
    why: Option<Why<'a>>,
}

impl Serialize for Metadata<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in self.defined.into_iter().flatten() {
            map.serialize_entry(key, value)?;
        }
        if let Some(why) = self.why {
            map.serialize_entry("knightwatch.why", &why.to_string())?;
        }
        map.end()
    }
}

impl<'a> EvaluationResponse<'a> {
    fn new(key: &'a FlagKey, given: Evaluation<'a>) -> Self {
        Self {
            key: key.as_str(),
            reason: given.reason.as_str(),
            variant: given.variant.unwrap_or_default(),
            value: given.value,
            metadata: Metadata { defined: given.metadata, why: given.why },
        }
    }
}

/// Why there is no answer.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Failure {
    /// The flag, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// `FLAG_NOT_FOUND`, `PARSE_ERROR`, `TARGETING_KEY_MISSING`, `INVALID_CONTEXT` or `GENERAL`.
    error_code: &'static str,
    /// What was found and what was expected.
    error_details: String,
}

impl Failure {
    fn new(key: Option<&str>, error: &EvaluationError) -> Self {
        let details = clean_line(&error.to_string());
        Self { key: key.map(clean_line), error_code: error.code(), error_details: details }
    }

    fn answer(key: Option<&str>, error: &EvaluationError) -> Response {
        let status = match error {
            EvaluationError::FlagNotFound(_) => StatusCode::NOT_FOUND,
            EvaluationError::TargetingKeyMissing(_)
            | EvaluationError::Parse(_)
            | EvaluationError::InvalidContext(_)
            | EvaluationError::General(_) => StatusCode::BAD_REQUEST,
        };
        (status, Json(Self::new(key, error))).into_response()
    }
}

/// What is asked.
#[derive(Deserialize, ToSchema)]
#[expect(
    dead_code,
    reason = "described here, read by Context::in_request, which refuses a key that stands twice"
)]
pub(super) struct Question {
    /// What the application says of the one who asks; `targetingKey` says who that is.
    #[schema(value_type = Option<Object>)]
    context: Option<Map<String, Value>>,
}

/// Answers about all flags.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct BulkEvaluationResponse {
    /// An answer or a failure each.
    #[schema(value_type = Vec<Object>)]
    flags: Vec<Value>,
    /// Where to hear of changes.
    event_streams: Vec<EventStream>,
}

/// Where to hear of changes.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventStream {
    /// `sse`.
    #[serde(rename = "type")]
    kind: &'static str,
    endpoint: Endpoint,
    /// For how long a client that nobody looks at keeps it open, in seconds.
    inactivity_delay_sec: u32,
}

/// A place on this server.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Endpoint {
    /// Path and query.
    request_uri: String,
}

/// What an evaluation came to, to be counted.
fn reason<'e>(given: &'e Result<Evaluation<'_>, EvaluationError>) -> Result<Reason, &'e EvaluationError> {
    given.as_ref().map(|given| given.reason)
}

fn now() -> u64 {
    wall_clock().0 / 1_000
}

/// Whoever may not evaluate is told so without a body.
fn turned_away(problem: Problem) -> Response {
    let mut response = problem.into_response();
    *response.body_mut() = Body::empty();
    response.headers_mut().remove(header::CONTENT_TYPE);
    response
}

fn unread(state: &ServerState, rejection: &BytesRejection) -> Response {
    let status = rejection.status();
    let error = EvaluationError::Parse(rejection.body_text());
    state.evaluations.count(Err(&error));
    (status, Json(Failure::new(None, &error))).into_response()
}

/// One flag for one context
#[utoipa::path(
    post, path = "/ofrep/v1/evaluate/flags/{key}", tag = "evaluation",
    params(("key" = String, Path, description = "The flag")),
    request_body(content = Question, content_type = "application/json"),
    responses(
        (status = 200, description = "The variant it gets", body = EvaluationResponse),
        (status = 400, description = "The question cannot be answered", body = Failure),
        (status = 404, description = "There is no such flag", body = Failure),
        (status = 401, description = "Not authenticated"),
        (status = 403, description = "Not allowed"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn one(
    State(state): State<Shared>,
    who: Result<Eval, Problem>,
    Path(key): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    evaluate(&state, who, &key, body)
}

/// The same for a flag whose key has a `/` that was not encoded: clients do not.
pub(super) async fn one_in_folder(
    State(state): State<Shared>,
    who: Result<Eval, Problem>,
    Path((folder, rest)): Path<(String, String)>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    evaluate(&state, who, &format!("{folder}/{rest}"), body)
}

fn evaluate(
    state: &ServerState,
    who: Result<Eval, Problem>,
    name: &str,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    if let Err(problem) = who {
        return turned_away(problem);
    }
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return unread(state, &rejection),
    };
    let Ok(key) = name.parse::<FlagKey>() else {
        let details = "there is no such flag: this is not a flag key".to_owned();
        let failure =
            Failure { key: Some(clean_line(name)), error_code: "FLAG_NOT_FOUND", error_details: details };
        state.evaluations.not_a_key();
        return (StatusCode::NOT_FOUND, Json(failure)).into_response();
    };
    let definitions = state.definition_store.current();
    let given = Context::in_request(&body)
        .and_then(|context| definitions.evaluate(&key, &context, state.serving_table.view(), now()));
    state.evaluations.count(reason(&given));
    match given {
        Ok(given) => Json(EvaluationResponse::new(&key, given)).into_response(),
        Err(error) => Failure::answer(Some(name), &error),
    }
}

/// What a client knows of the configuration that it wants to see.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// The `etag` of the change that the client has heard of. While it is not the newest one, the answer is never 304.
    flag_config_etag: Option<String>,
    /// The `lastModified` of that change; not needed here.
    #[allow(dead_code, reason = "part of the protocol; the etag says it all")]
    flag_config_last_modified: Option<String>,
}

/// All flags for one context
///
/// A flag that cannot be evaluated for it is in the list with its error. The `ETag` is of this answer: it changes with what the
/// context gets, not with what others get.
#[utoipa::path(
    post, path = "/ofrep/v1/evaluate/flags", tag = "evaluation",
    params(
        Wanted,
        ("If-None-Match" = Option<String>, Header, description = "The ETag of an answer that is known"),
    ),
    request_body(content = Question, content_type = "application/json"),
    responses(
        (status = 200, description = "What it gets of every flag", body = BulkEvaluationResponse),
        (status = 304, description = "What is known already"),
        (status = 400, description = "The question cannot be answered", body = Failure),
        (status = 401, description = "Not authenticated"),
        (status = 403, description = "Not allowed"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn all(
    State(state): State<Shared>,
    who: Result<Eval, Problem>,
    wanted: Result<Query<Wanted>, QueryRejection>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let who = match who {
        Ok(Eval(who)) => who,
        Err(problem) => return turned_away(problem),
    };
    let Query(wanted) = match wanted {
        Ok(wanted) => wanted,
        Err(rejection) => return Problem::from(rejection).into_response(),
    };
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return unread(&state, &rejection),
    };
    let context = match Context::in_request(&body) {
        Ok(context) => context,
        Err(error) => {
            state.evaluations.count(Err(&error));
            return Failure::answer(None, &error);
        }
    };
    // An event stream cannot send a token: whoever has shown one gets a ticket.
    let ticket = (who.name != "anonymous").then(|| state.access.ticket()).flatten();
    let uri = ticket.map_or_else(|| CHANGES.to_owned(), |ticket| format!("{CHANGES}?ticket={ticket}"));
    let many = state.definition_store.current().len() + state.serving_table.served_flags().len() > AT_ONCE;
    let made = if many {
        let state = Arc::clone(&state);
        tokio::task::spawn_blocking(move || answers(&state, &context, &uri)).await.ok().flatten()
    } else {
        answers(&state, &context, &uri)
    };
    let Some(bytes) = made else {
        return Problem::unavailable("the answer could not be made").into_response();
    };
    let etag = format!("\"{}\"", const_hex::encode(&Sha256::digest(&bytes)[..16]));
    let newest = wanted.flag_config_etag.is_none_or(|etag| etag == state.changes.etag());
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let known = known.flat_map(|list| list.split(',')).any(|known| {
        let known = known.trim();
        known == "*" || known.strip_prefix("W/").unwrap_or(known) == etag
    });
    let mut response = if newest && known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], bytes).into_response()
    };
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}

/// The body of an answer about all flags.
fn answers(state: &ServerState, context: &Context, uri: &str) -> Option<Vec<u8>> {
    let definitions = state.definition_store.current();
    let served_flags = state.serving_table.served_flags();
    // In their order, so that the same answer is the same bytes.
    let undefined: BTreeSet<&FlagKey> =
        served_flags.keys().filter(|key| definitions.get(key).is_none()).collect();
    let mut bytes = Vec::with_capacity(160 * (definitions.len() + undefined.len()) + 200);
    bytes.extend_from_slice(b"{\"flags\":[");
    let (mut written, mut tally) = (Ok(()), Tally::default());
    let mut first = true;
    definitions.evaluate_all(
        context,
        state.serving_table.view(),
        now(),
        undefined.into_iter(),
        |key, given| {
            if !first {
                bytes.push(b',');
            }
            first = false;
            tally.add(reason(&given));
            let one = match given {
                Ok(given) => serde_json::to_writer(&mut bytes, &EvaluationResponse::new(key, given)),
                Err(error) => serde_json::to_writer(&mut bytes, &Failure::new(Some(key.as_str()), &error)),
            };
            if one.is_err() {
                written = one;
            }
        },
    );
    state.evaluations.add(&tally);
    let stream = EventStream {
        kind: "sse",
        endpoint: Endpoint { request_uri: uri.to_owned() },
        inactivity_delay_sec: INACTIVITY,
    };
    bytes.extend_from_slice(b"],\"eventStreams\":");
    written.and_then(|()| serde_json::to_writer(&mut bytes, &[stream])).ok()?;
    bytes.push(b'}');
    Some(bytes)
}

/// What lets a stream in that cannot send a token.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct Ticket {
    /// From `eventStreams` of an answer about all flags.
    ticket: Option<String>,
}

/// Says when to ask again, as server-sent events
///
/// The first event comes at once, unless `Last-Event-ID` names the newest one. Changes that follow each other within a second
/// are one event; a kill-all is one at once.
#[utoipa::path(
    get, path = "/ofrep/v1/changes", tag = "evaluation",
    params(
        Ticket,
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was heard"),
    ),
    responses(
        (status = 200, description = "The stream, without an end", content_type = "text/event-stream", body = String),
        (status = 401, description = "Not authenticated"),
        (status = 403, description = "Not allowed"),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn stream(
    State(state): State<Shared>,
    who: Result<Eval, Problem>,
    ticket: Result<Query<Ticket>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let Query(Ticket { ticket }) = match ticket {
        Ok(ticket) => ticket,
        Err(rejection) => return Problem::from(rejection).into_response(),
    };
    let has_ticket = ticket.is_some_and(|ticket| state.access.is_ticket(&ticket));
    if let (Err(problem), false) = (who, has_ticket) {
        return turned_away(problem);
    }
    let heard = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    sent_as_events(state.changes.listen(heard, BEAT))
}

/// The definitions in force with the rollouts as they are, as a file for flagd
#[utoipa::path(
    get, path = "/api/v1/definitions", tag = "flags",
    responses(
        (status = 200, description = "A file of flag definitions", body = Object),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn definitions(State(state): State<Shared>, _: Viewer) -> Result<Json<Value>, Problem> {
    let snapshot = state.snapshot()?;
    let specs = snapshot.alive().map(|flag| flag.spec.as_ref());
    Ok(Json(state.definition_store.current().export(specs, state.serving_table.view())))
}
