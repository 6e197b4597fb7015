//! Orders over HTTP: one handler for every row of the table of orders, answered when the order is in force and on the disk.
//!
//! A row says the path, the scope and the fields of the body; `described` writes the `OpenAPI` operations from the same
//! rows. Knows no single order but kill-all, which nothing in a request may stop.

mod described;

use std::fmt;

use axum::{
    Json,
    body::Bytes,
    extract::{
        FromRequest, FromRequestParts, Path, Request, State,
        rejection::{BytesRejection, JsonRejection, PathRejection},
    },
    http::{HeaderMap, StatusCode, header, request::Parts},
    routing::{MethodRouter, patch, post},
};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor},
};
use serde_json::{Map, Value};
use utoipa_axum::router::OpenApiRouter;

pub(super) use self::described::describe;
use super::{
    Principal, Problem,
    access::{Operator, allowed},
    answer::{Ack, Speed},
    state::{ServerState, Shared},
};
use knightwatch_core::{
    control::{
        Actor, AlarmId, Command, Confirmation, HttpMethod, ORDERS, Order, OrderId, OrderSpec, OrderTarget,
        ReasonGiven, Seq,
    },
    flag::{FlagKey, clean_line},
};
use knightwatch_engine::backend::{self, Pace};

/// Longest idempotency key, in characters.
pub(super) const MAX_ID: usize = 200;

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

/// The fields of a body: none twice.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Map::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if fields.contains_key(&name) {
                        return Err(A::Error::custom(format!("duplicate field `{name}`")));
                    }
                    fields.insert(name, value);
                }
                Ok(Fields(fields))
            }
        }

        from.deserialize_map(Object)
    }
}

impl Fields {
    /// The fields of a request's body. No body at all is none, where the order needs none.
    async fn of(request: Request, state: &Shared, spec: &OrderSpec) -> Result<Self, Problem> {
        let headers = request.headers();
        let empty = headers.get(header::CONTENT_TYPE).is_none()
            && headers.get(header::CONTENT_LENGTH).is_none_or(|length| length == "0")
            && headers.get(header::TRANSFER_ENCODING).is_none();
        if empty && spec.body_is_optional() {
            return Ok(Self::default());
        }
        let body: Result<Json<Self>, JsonRejection> = Json::from_request(request, state).await;
        let Json(fields) = body?;
        Ok(fields)
    }

    /// Takes the reason out.
    fn reason(&mut self, spec: &OrderSpec) -> Result<String, Problem> {
        match (self.0.remove("reason"), spec.reason) {
            (Some(Value::String(reason)), _) => Ok(clean_line(&reason)),
            (Some(other), _) => Err(Problem::input(&format!("reason: expected a string, found {other}"))),
            (None, ReasonGiven::Optional) => Ok(String::new()),
            (None, ReasonGiven::Required(_)) => Err(Problem::input("missing field `reason`")),
        }
    }
}

/// The routes of all orders.
pub(super) fn routes(router: OpenApiRouter<Shared>) -> OpenApiRouter<Shared> {
    ORDERS.iter().fold(router, |router, spec| router.route(spec.path, route(spec)))
}

fn route(spec: &'static OrderSpec) -> MethodRouter<Shared> {
    let handler =
        move |State(state): State<Shared>, request: Request| async move { give(&state, spec, request).await };
    match spec.method {
        HttpMethod::Post => post(handler),
        HttpMethod::Patch => patch(handler),
    }
}

/// Carries one request out.
async fn give(state: &Shared, spec: &OrderSpec, request: Request) -> Result<Json<Ack>, Problem> {
    let (mut parts, body) = request.into_parts();
    let who = allowed(&parts, state, spec.scope)?;
    let target = target(spec.target, &mut parts, state).await?;
    let headers = parts.headers.clone();
    let request = Request::from_parts(parts, body);
    if spec.confirmation == Confirmation::Arm {
        // A body or an id that makes no sense is no reason not to kill.
        let body: Result<Bytes, BytesRejection> = Bytes::from_request(request, state).await;
        let fields: Option<Fields> = body.ok().and_then(|body| serde_json::from_slice(&body).ok());
        let reason = fields.and_then(|mut fields| fields.reason(spec).ok()).unwrap_or_default();
        let id = order_id(&headers).or_else(|_| fresh_id())?;
        let order = order(&who, &headers, id, reason, None, Command::KillAll);
        return Ok(Json(state.take(order).await?.into()));
    }
    let mut fields = Fields::of(request, state, spec).await?;
    let reason = fields.reason(spec)?;
    let command = spec.command(target, fields.0).map_err(|error| Problem::input(&error))?;
    let order = order(&who, &headers, order_id(&headers)?, reason, expected(&headers)?, command);
    Ok(Json(state.take(order).await?.into()))
}

/// What stands in the path, as a field of the command.
async fn target(target: OrderTarget, parts: &mut Parts, state: &Shared) -> Result<Option<Value>, Problem> {
    match target {
        OrderTarget::Flag => {
            let Key(key) = Key::from_request_parts(parts, state).await?;
            Ok(Some(key.as_str().into()))
        }
        OrderTarget::Alarm => {
            let found: Result<Path<u64>, PathRejection> = Path::from_request_parts(parts, state).await;
            let Path(id) = found?;
            Ok(serde_json::to_value(AlarmId(id)).ok())
        }
        OrderTarget::Backend | OrderTarget::Briefing => Ok(None),
    }
}

fn order(
    who: &Principal,
    headers: &HeaderMap,
    id: OrderId,
    reason: String,
    expected: Option<Seq>,
    command: Command,
) -> Order {
    let actor = Actor::Person(actor(who, headers));
    Order { id, actor, authenticated: Some(who.identity.clone()), reason, expected, command }
}

impl ServerState {
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
    if state.hub.snapshot().is_some_and(|snapshot| !snapshot.simulated) {
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
