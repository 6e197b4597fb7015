//! Orders: each a POST with an `Idempotency-Key` and a small body, answered when it is in force and on the disk.

mod declared;

use axum::{
    Json,
    body::Bytes,
    extract::{
        FromRequest, FromRequestParts, Path, Request, State,
        rejection::{BytesRejection, PathRejection},
    },
    http::{HeaderMap, StatusCode, header, request::Parts},
};
use serde::{Deserialize, de::DeserializeOwned};
use utoipa::{
    ToSchema,
    openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, Type},
};

use super::{
    Principal, Problem,
    access::{Admin, Operator},
    answer::{Ack, Speed},
    state::{ServerState, Shared},
};
use knightwatch_core::{
    control::{Actor, AlarmId, Command, Order, OrderId, Seq},
    flag::{FlagKey, Rollout, clean_line},
    telemetry::Millis,
};
use knightwatch_engine::backend::{self, Pace};

pub(super) use self::declared::{__path_change, __path_create, change, create};

/// Longest idempotency key, in characters.
pub(super) const MAX_ID: usize = 200;

/// A body of JSON, with refusals as problems. No body at all is the default.
pub(super) struct Input<T>(pub(super) T);

impl<T: DeserializeOwned + Default> FromRequest<Shared> for Input<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &Shared) -> Result<Self, Problem> {
        let empty = request.headers().get(header::CONTENT_TYPE).is_none()
            && request.headers().get(header::CONTENT_LENGTH).is_none_or(|length| length == "0")
            && request.headers().get(header::TRANSFER_ENCODING).is_none();
        if empty {
            return Ok(Self(T::default()));
        }
        let Json(input) = Json::<T>::from_request(request, state).await?;
        Ok(Self(input))
    }
}

/// The key in a path, checked.
pub(super) struct Key(pub(super) FlagKey);

impl FromRequestParts<Shared> for Key {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, Problem> {
        let found: Result<Path<String>, PathRejection> = Path::from_request_parts(parts, state).await;
        let Path(text) = found?;
        text.parse()
            .map(Self)
            .map_err(|error: knightwatch_core::flag::KeyError| Problem::input(&error.to_string()))
    }
}

/// The alarm in a path.
pub(super) struct Alarm(AlarmId);

impl FromRequestParts<Shared> for Alarm {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, Problem> {
        let found: Result<Path<u64>, PathRejection> = Path::from_request_parts(parts, state).await;
        let Path(id) = found?;
        Ok(Self(AlarmId(id)))
    }
}

/// Why, in the person's words.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Why {
    /// Goes into the journal. At most 500 characters are kept.
    reason: String,
}

/// What an override asks for.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Override {
    /// The rollout, 0 to 100.
    #[schema(minimum = 0, maximum = 100)]
    percent: f64,
    /// For how long the agent keeps off: `"15 min"`, or milliseconds. As configured where it is left out.
    #[serde(default)]
    #[schema(schema_with = span)]
    expires_in: Option<Millis>,
    /// Whether the hard limits are off until then.
    #[serde(default)]
    guard_off: bool,
    /// Goes into the journal.
    #[serde(default)]
    reason: String,
}

/// A time span as it is read: milliseconds, or a number with its unit.
fn span() -> Schema {
    let number = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)).maximum(Some(i64::MAX));
    let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[0-9]{1,9} *(ms|s|min|h)$"));
    let left_out = ObjectBuilder::new().schema_type(Type::Null);
    let about = "For how long the agent keeps off: `\"15 min\"`, or milliseconds. As configured where it is left out.";
    let spans = OneOfBuilder::new().item(number).item(text).item(left_out);
    Schema::OneOf(spans.description(Some(about)).build())
}

/// What re-arming asks for.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Rearm {
    /// The environment's name, as proof that this is the one that is meant.
    environment: String,
    /// Why; re-arming is refused without.
    reason: String,
}

/// What shelving an alarm asks for.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Shelving {
    /// For how long, 1 min to 8 h: `"1 h"`, or milliseconds.
    #[serde(rename = "for")]
    #[schema(value_type = serde_json::Value)]
    lasts: Millis,
    /// Why; shelving is refused without.
    reason: String,
}

type Answer = Result<Json<Ack>, Problem>;

impl ServerState {
    async fn order(&self, who: &Principal, headers: &HeaderMap, reason: &str, command: Command) -> Answer {
        let order = Order {
            id: order_id(headers)?,
            actor: Actor::Person(actor(who, headers)),
            authenticated: Some(who.identity.clone()),
            reason: clean_line(reason),
            expected: expected(headers)?,
            command,
        };
        Ok(Json(self.take(order).await?.into()))
    }

    /// Sends it, and waits until what is read from here on shows it.
    pub(super) async fn take(&self, order: Order) -> Result<backend::Ack, Problem> {
        let is_kill = order.command == Command::KillAll;
        let ack = self.backend.send(order).await?;
        // Kill-all waits for nothing.
        if !is_kill {
            self.hub.caught_up(ack.seq).await;
        }
        Ok(ack)
    }
}

/// The order's id: the request's idempotency key, or one that was never used.
fn order_id(headers: &HeaderMap) -> Result<OrderId, Problem> {
    let Some(value) = headers.get("idempotency-key") else { return fresh_id() };
    let text = value.to_str().unwrap_or_default().trim().trim_matches('"');
    if text.is_empty() || text.len() > MAX_ID || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Problem::input(&format!(
            "expected an Idempotency-Key of 1 to {MAX_ID} printable ASCII characters without spaces"
        )));
    }
    Ok(OrderId(text.to_owned()))
}

/// One that was never used.
fn fresh_id() -> Result<OrderId, Problem> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| Problem::unavailable(&error.to_string()))?;
    Ok(OrderId(format!("http-{:032x}", u128::from_ne_bytes(bytes))))
}

/// Who authenticated, and beside that whether that is a program, and whom they say they are.
fn actor(who: &Principal, headers: &HeaderMap) -> String {
    let claim = headers.get("knightwatch-claims").and_then(|claim| claim.to_str().ok()).map(clean_line);
    let claim = claim.filter(|claim| !claim.is_empty() && *claim != who.name);
    let claim = claim.map(|claim| format!("says {}", claim.chars().take(80).collect::<String>()));
    let program = who.is_program().then(|| "a program".to_owned());
    let beside: Vec<String> = program.into_iter().chain(claim).collect();
    if beside.is_empty() { who.name.clone() } else { format!("{} ({})", who.name, beside.join(", ")) }
}

/// The version that `If-Match` asks for.
fn expected(headers: &HeaderMap) -> Result<Option<Seq>, Problem> {
    let Some(value) = headers.get(header::IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let number =
        text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).and_then(|text| text.parse().ok());
    number.map(|number| Some(Seq(number))).ok_or_else(|| {
        Problem::input(&format!(
            "expected If-Match with the ETag of one flag, such as \"41\", found {text:?}"
        ))
    })
}

/// An order that takes nothing but a reason, and perhaps what it is for.
macro_rules! order {
    ($(#[$doc:meta])* $name:ident $tag:literal $scope:ident $path:literal [$($param:tt)*] ($($place:pat, $target:ty)?) $command:expr) => {
        $(#[$doc])*
        #[utoipa::path(
            post, path = $path, tag = $tag,
            params(
                $($param)*
                ("Idempotency-Key" = Option<String>, Header, description = "The same key acts once, also across restarts"),
            ),
            request_body(content = Why, content_type = "application/json"),
            responses(
                (status = 200, description = "In force, and in the journal unless it says otherwise", body = Ack),
                (status = "default", description = "A problem: nothing has changed", body = Problem, content_type = "application/problem+json"),
            )
        )]
        pub(super) async fn $name(
            State(state): State<Shared>,
            $scope(who): $scope,
            $($place: $target,)?
            headers: HeaderMap,
            Input(why): Input<Why>,
        ) -> Answer {
            state.order(&who, &headers, &why.reason, $command).await
        }
    };
}

macro_rules! on_a_flag {
    ($($(#[$doc:meta])* $name:ident $path:literal => $command:ident;)*) => { $(
        order! {
            $(#[$doc])*
            $name "flags" Operator $path
            [
                ("key" = String, Path, description = "The flag"),
                ("If-Match" = Option<String>, Header, description = "The flag's ETag; another one refuses (not for rollback and pause)"),
            ]
            (Key(flag), Key) Command::$command { flag }
        }
    )* };
}

on_a_flag! {
    /// Starts an idle, rolled back or killed flag at its first rung
    start "/api/v1/flags/{key}/start" => Start;
    /// Pauses a ramping flag: no raises; the shield still guards
    pause "/api/v1/flags/{key}/pause" => Pause;
    /// Resumes a paused flag
    resume "/api/v1/flags/{key}/resume" => Resume;
    /// Rolls a flag back to 0 %
    roll_back "/api/v1/flags/{key}/rollback" => Rollback;
    /// Takes a flag to 100 % at once
    promote "/api/v1/flags/{key}/promote" => Promote;
    /// Hands a flag back to the agent
    release "/api/v1/flags/{key}/release" => Release;
}

/// Kills everything: every flag off at once, the agent locked out, until a person re-arms
///
/// In force for evaluation before anything is written. The answer says whether it is on the disk. Nothing in how it is asked is a reason
/// not to: a body or an `Idempotency-Key` that makes no sense is left aside.
#[utoipa::path(
    post, path = "/api/v1/kill-all", tag = "emergency",
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key acts once, also across restarts")),
    request_body(content = Why, content_type = "application/json"),
    responses(
        (status = 200, description = "In force, and in the journal unless it says otherwise", body = Ack),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn kill_all(
    State(state): State<Shared>,
    Operator(who): Operator,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    let why: Why = body.ok().and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or_default();
    let order = Order {
        id: order_id(&headers).or_else(|_| fresh_id())?,
        actor: Actor::Person(actor(&who, &headers)),
        authenticated: Some(who.identity),
        reason: clean_line(&why.reason),
        expected: None,
        command: Command::KillAll,
    };
    Ok(Json(state.take(order).await?.into()))
}

order! {
    /// Acknowledges an alarm
    acknowledge "watch" Operator "/api/v1/alarms/{id}/acknowledge"
    [("id" = u64, Path, description = "The alarm"),]
    (Alarm(alarm), Alarm) Command::Acknowledge { alarm }
}

order! {
    /// Acknowledges the briefing
    acknowledge_briefing "watch" Operator "/api/v1/briefing/acknowledge" [] () Command::AcknowledgeBriefing
}

/// Overrides a flag's rollout for a time
#[utoipa::path(
    post, path = "/api/v1/flags/{key}/set", tag = "flags",
    params(
        ("key" = String, Path, description = "The flag"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key acts once, also across restarts"),
        ("If-Match" = Option<String>, Header, description = "The flag's ETag; another one refuses"),
    ),
    request_body = Override,
    responses(
        (status = 200, description = "In force and in the journal", body = Ack),
        (status = "default", description = "A problem: nothing has changed", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn set(
    State(state): State<Shared>,
    Operator(who): Operator,
    Key(flag): Key,
    headers: HeaderMap,
    body: Result<Json<Override>, axum::extract::rejection::JsonRejection>,
) -> Answer {
    let Json(Override { percent, expires_in, guard_off, reason }) = body?;
    let rollout =
        Rollout::from_percent(percent).map_err(|error| Problem::input(&format!("percent: {error}")))?;
    state.order(&who, &headers, &reason, Command::Set { flag, rollout, expires_in, guard_off }).await
}

order! {
    /// Archives a flag that is at rest: it is gone from lists, steering and evaluation, and its key is never used again
    ///
    /// From then on it is not found by applications, which take the default in their own code; where a file still defines it
    /// as steered, it is off for everybody. Its journal stays.
    archive "flags" Admin "/api/v1/flags/{key}/archive"
    [
        ("key" = String, Path, description = "The flag"),
        ("If-Match" = Option<String>, Header, description = "The flag's ETag; another one refuses"),
    ]
    (Key(flag), Key) Command::Archive { flag }
}

/// Takes an alarm out of sight for a time; it stays counted, and comes back by itself
#[utoipa::path(
    post, path = "/api/v1/alarms/{id}/shelve", tag = "watch",
    params(
        ("id" = u64, Path, description = "The alarm"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key acts once, also across restarts"),
    ),
    request_body = Shelving,
    responses(
        (status = 200, description = "In force and in the journal", body = Ack),
        (status = "default", description = "A problem: nothing has changed", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn shelve(
    State(state): State<Shared>,
    Operator(who): Operator,
    Alarm(alarm): Alarm,
    headers: HeaderMap,
    body: Result<Json<Shelving>, axum::extract::rejection::JsonRejection>,
) -> Answer {
    let Json(Shelving { lasts, reason }) = body?;
    state.order(&who, &headers, &reason, Command::Shelve { alarm, lasts }).await
}

/// Opens the latch after a kill-all; starts nothing
///
/// Where re-arming takes two people, the first one's order is journalled as asking, and the latch stays.
#[utoipa::path(
    post, path = "/api/v1/rearm", tag = "emergency",
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key acts once, also across restarts")),
    request_body = Rearm,
    responses(
        (status = 200, description = "In force and in the journal", body = Ack),
        (status = "default", description = "A problem: nothing has changed", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn rearm(
    State(state): State<Shared>,
    Admin(who): Admin,
    headers: HeaderMap,
    body: Result<Json<Rearm>, axum::extract::rejection::JsonRejection>,
) -> Answer {
    let Json(Rearm { environment, reason }) = body?;
    state.order(&who, &headers, &reason, Command::Rearm { environment }).await
}

/// Changes the pace of simulated time
#[utoipa::path(
    put, path = "/api/v1/simulation/speed", tag = "simulation",
    request_body = Speed,
    responses(
        (status = 200, description = "Taken", body = Speed),
        (status = "default", description = "A problem: nothing has changed", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn set_pace(
    State(state): State<Shared>,
    Operator(_): Operator,
    body: Result<Json<Speed>, axum::extract::rejection::JsonRejection>,
) -> Result<Json<Speed>, Problem> {
    let Json(wanted) = body?;
    if state.hub.room().is_some_and(|room| !room.simulated) {
        let detail = "controller time is real time here, it cannot be hurried";
        return Err(Problem::new(StatusCode::CONFLICT, "refused", "Refused", detail));
    }
    let pace = match wanted.speed {
        1 if wanted.real => Pace::Real,
        _ if wanted.real => return Err(Problem::input("speed: expected 1 where real is true")),
        0 => Pace::Stopped,
        times => Pace::times(times).map_err(|error| Problem::input(&error.to_string()))?,
    };
    state.backend.set_pace(pace).map_err(|error| Problem::input(&error))?;
    Ok(Json(wanted))
}
