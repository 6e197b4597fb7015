//! Orders: each a POST with an `Idempotency-Key` and a small body, answered when it is in force and on the disk.

use axum::{
    Json,
    extract::{FromRequest, FromRequestParts, Path, Request, State, rejection::PathRejection},
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
    deployments::name,
    state::{ServerState, Shared},
};
use crate::{
    backend::{self, Pace},
    control::{Actor, AlarmId, Command, Order, OrderId, Seq, SpecChange},
    flag::{Deployment, FlagKey, FlagKind, FlagSpec, Ladder, Rollout, ServiceName, clean_line},
    telemetry::Millis,
};

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
        text.parse().map(Self).map_err(|error: crate::flag::KeyError| Problem::input(&error.to_string()))
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

/// A flag to be made.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewFlag {
    /// ASCII letters, digits, `-`, `_`, `.` and `/`; at most 100. Keys are never used again.
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9._/-]*$", max_length = 100)]
    key: String,
    /// The service that it is in.
    service: String,
    /// `requests` or `jobs`.
    #[serde(default)]
    #[schema(value_type = String, required = false, pattern = "^(requests|jobs)$")]
    kind: FlagKind,
    /// What it is for.
    #[serde(default)]
    description: String,
    /// The rungs in percent, ascending, ending with 99 and 100. The usual ladder where it is left out.
    #[serde(default)]
    ladder: Option<Vec<f64>>,
    /// The deployment that it waits for when it is started. It starts at once where it is left out.
    #[serde(default)]
    deployment: Option<Wanted>,
    /// Goes into the journal.
    #[serde(default)]
    reason: String,
}

/// What is to be changed of a flag: what is left out stays as it is. Its key, service and kind always do.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::option_option, reason = "left out and null say different things")]
pub(super) struct FlagChange {
    /// What it is for.
    #[serde(default)]
    description: Option<String>,
    /// The rungs in percent, ascending, ending with 99 and 100. The rollout stays where it is; of a ramping or paused flag
    /// it has to be one of them.
    #[serde(default)]
    ladder: Option<Vec<f64>>,
    /// The deployment that it waits for when it is started; `null` for none.
    #[serde(default, deserialize_with = "crate::control::said")]
    #[schema(value_type = Option<Wanted>)]
    deployment: Option<Option<Wanted>>,
    /// Goes into the journal.
    #[serde(default)]
    reason: String,
}

/// What shelving an alarm asks for.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Shelving {
    /// For how long, 1 min to 8 h: `"1 h"`, or milliseconds.
    #[serde(rename = "for")]
    #[schema(value_type = Object)]
    lasts: Millis,
    /// Why; shelving is refused without.
    reason: String,
}

/// A deployment that a flag waits for.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// The service, as the pipeline names it.
    service: String,
    /// Its artifact, as the pipeline names it; whichever where it is left out.
    #[serde(default)]
    artifact: Option<String>,
}

impl Wanted {
    fn read(self) -> Result<Deployment, Problem> {
        let service = ServiceName(name("deployment.service", &self.service)?);
        let artifact = self.artifact.map(|artifact| name("deployment.artifact", &artifact)).transpose()?;
        Ok(Deployment { service, artifact })
    }
}

/// A ladder of percentages.
fn ladder(percent: Vec<f64>) -> Result<Ladder, Problem> {
    let wrong = |error: &dyn std::fmt::Display| Problem::input(&format!("ladder: {error}"));
    let rungs: Result<Vec<_>, _> = percent.into_iter().map(Rollout::from_percent).collect();
    Ladder::try_from(rungs.map_err(|error| wrong(&error))?).map_err(|error| wrong(&error))
}

type Answer = Result<Json<Ack>, Problem>;

impl ServerState {
    async fn order(&self, who: &Principal, headers: &HeaderMap, reason: &str, command: Command) -> Answer {
        let order = Order {
            id: order_id(headers)?,
            actor: Actor::Person(actor(who, headers)),
            authenticated: Some(who.name.clone()),
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
    let Some(value) = headers.get("idempotency-key") else {
        let mut bytes = [0_u8; 16];
        getrandom::fill(&mut bytes).map_err(|error| Problem::unavailable(&error.to_string()))?;
        return Ok(OrderId(format!("http-{:032x}", u128::from_ne_bytes(bytes))));
    };
    let text = value.to_str().unwrap_or_default().trim().trim_matches('"');
    if text.is_empty() || text.len() > MAX_ID || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Problem::input(&format!(
            "expected an Idempotency-Key of 1 to {MAX_ID} printable ASCII characters without spaces"
        )));
    }
    Ok(OrderId(text.to_owned()))
}

/// Who authenticated, and beside that whom they say they are.
fn actor(who: &Principal, headers: &HeaderMap) -> String {
    let claim = headers.get("knightwatch-claims").and_then(|claim| claim.to_str().ok()).map(clean_line);
    match claim.filter(|claim| !claim.is_empty() && *claim != who.name) {
        Some(claim) => format!("{} (says {})", who.name, claim.chars().take(80).collect::<String>()),
        None => who.name.clone(),
    }
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

order! {
    /// Kills everything: every flag off at once, the agent locked out, until a person re-arms
    ///
    /// In force for evaluation before anything is written. The answer says whether it is on the disk.
    kill_all "emergency" Operator "/api/v1/kill-all" [] () Command::KillAll
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

/// Makes a flag, idle at 0 %
#[utoipa::path(
    post, path = "/api/v1/flags", tag = "flags",
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key acts once, also across restarts")),
    request_body = NewFlag,
    responses(
        (status = 200, description = "In force and in the journal", body = Ack),
        (status = "default", description = "A problem: nothing has changed", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(
    State(state): State<Shared>,
    Admin(who): Admin,
    headers: HeaderMap,
    body: Result<Json<NewFlag>, axum::extract::rejection::JsonRejection>,
) -> Answer {
    let Json(NewFlag { key, service, kind, description, ladder: percent, deployment, reason }) = body?;
    let wrong = |what: &str, error: &dyn std::fmt::Display| Problem::input(&format!("{what}: {error}"));
    let key: FlagKey = key.parse().map_err(|error: crate::flag::KeyError| wrong("key", &error))?;
    let service = clean_line(&service);
    if service.is_empty() || service.len() > 100 {
        return Err(Problem::input("service: expected a name of 1 to 100 bytes"));
    }
    let spec = FlagSpec {
        deployment: deployment.map(Wanted::read).transpose()?,
        key,
        service: ServiceName(service.into()),
        kind,
        description: clean_line(&description),
        ladder: percent.map(ladder).transpose()?.unwrap_or_default(),
    };
    state.order(&who, &headers, &reason, Command::Create { spec }).await
}

/// Changes what is declared of a flag; its rollout stays where it is
#[utoipa::path(
    patch, path = "/api/v1/flags/{key}", tag = "flags",
    params(
        ("key" = String, Path, description = "The flag"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key acts once, also across restarts"),
        ("If-Match" = Option<String>, Header, description = "The flag's ETag; another one refuses"),
    ),
    request_body = FlagChange,
    responses(
        (status = 200, description = "In force and in the journal", body = Ack),
        (status = "default", description = "A problem: nothing has changed", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn change(
    State(state): State<Shared>,
    Admin(who): Admin,
    Key(flag): Key,
    headers: HeaderMap,
    body: Result<Json<FlagChange>, axum::extract::rejection::JsonRejection>,
) -> Answer {
    let Json(FlagChange { description, ladder: percent, deployment, reason }) = body?;
    let change = SpecChange {
        description: description.map(|text| clean_line(&text)),
        ladder: percent.map(ladder).transpose()?,
        deployment: deployment.map(|wanted| wanted.map(Wanted::read).transpose()).transpose()?,
    };
    state.order(&who, &headers, &reason, Command::Change { flag, change }).await
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
