//! Deployments in: `CDEvents` as `CloudEvents`, from the pipelines that end where rollouts begin.
//!
//! Structured (`application/cloudevents+json`), binary (`ce-` headers) and bare `CDEvents` are read. An event acts once by its
//! source and id. One of another environment, or of a kind that says nothing of what runs, is answered and not taken.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{
        Query, State,
        rejection::{BytesRejection, QueryRejection},
    },
    http::{HeaderMap, StatusCode, header},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use utoipa::{IntoParams, ToSchema};

use super::{
    Problem,
    access::{Ingest, Viewer},
    answer::Ack,
    read::{MAX, page},
    state::Shared,
};
use knightwatch_core::{
    control::{Actor, Command, DeployKind, Event, Order, OrderId, Seq},
    flag::{Deployment, ServiceName, clean_line},
};

/// Longest name of a service or an artifact, in characters.
const MAX_NAME: usize = 300;

/// What the types of events about services begin with.
const PREFIX: &str = "dev.cdevents.service.";

/// Journal entries looked through for one page of deployments, at most, and at a time.
const LOOKED_THROUGH: usize = 20_000;
const AT_A_TIME: usize = MAX;

/// What became of an event.
#[derive(Serialize, ToSchema)]
pub(super) struct Heard {
    /// Whether it is in the journal.
    taken: bool,
    /// Why it was not taken.
    because: Option<String>,
    /// Where it was: how it was journalled. Its fields stand beside these two.
    #[serde(flatten)]
    #[schema(ignore)]
    ack: Option<Ack>,
}

/// Deployments, newest first.
#[derive(Serialize, ToSchema)]
pub(super) struct Deployments {
    deployments: Vec<OneDeployment>,
    /// What to ask for next as `before`; `null` where there is nothing older.
    before: Option<u64>,
}

/// A deployment that was heard of.
#[derive(Serialize, ToSchema)]
pub(super) struct OneDeployment {
    /// Its number in the journal.
    seq: u64,
    /// When it was heard of, in controller time.
    at: u64,
    /// Who said so.
    by: String,
    /// `deployed`, `upgraded` or `rolled_back`.
    #[schema(value_type = String)]
    kind: DeployKind,
    /// The service.
    service: String,
    /// What runs of it.
    artifact: Option<String>,
}

/// An event, whichever way it came.
struct Incoming {
    id: String,
    source: String,
    kind: String,
    /// The `CDEvents` document.
    document: Value,
}

/// A `CloudEvents` 1.0 envelope.
#[derive(Deserialize, ToSchema)]
#[schema(as = CloudEvent)]
struct Envelope {
    #[schema(pattern = "^1\\.0$")]
    specversion: String,
    /// With the source it says which event it is: the same one acts once.
    #[schema(min_length = 1)]
    id: String,
    #[schema(min_length = 1)]
    source: String,
    /// `dev.cdevents.service.deployed.0.2.0` and its like; others are heard and not taken.
    #[serde(rename = "type")]
    kind: String,
    /// The `CDEvents` document: `subject.id` is the service, `subject.content` may name environment and artifact.
    #[serde(default)]
    data: Value,
}

/// What a bare `CDEvents` document says of itself.
#[derive(Deserialize, ToSchema)]
struct Context {
    id: String,
    source: String,
    #[serde(rename = "type")]
    kind: String,
}

/// A `CDEvents` document that comes without an envelope.
#[derive(ToSchema)]
#[schema(as = CdEvent)]
#[expect(dead_code, reason = "described here; read by Incoming::read, which says better what is missing")]
struct Bare {
    context: Context,
    /// `id` is the service; `content` may name environment and artifact.
    #[schema(value_type = serde_json::Value, required = false)]
    subject: Value,
}

#[derive(Deserialize)]
struct Subject {
    id: String,
    #[serde(default)]
    content: Content,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Content {
    environment: Option<Named>,
    artifact_id: Option<String>,
}

#[derive(Deserialize)]
struct Named {
    id: String,
}

/// Takes a deployment event of a pipeline
///
/// `CloudEvents` 1.0, structured or binary, with a `CDEvents` document: `dev.cdevents.service.deployed`, `upgraded` and `rolledback`.
/// A flag that waits for the deployment starts at the next tick, as the person ordered.
#[utoipa::path(
    post, path = "/api/v1/deployments", tag = "telemetry",
    request_body(content((Envelope = "application/cloudevents+json"), (Bare = "application/json"))),
    responses(
        (status = 200, description = "Heard; `taken` says whether it is in the journal", body = Heard),
        (status = "default", description = "A problem: nothing has changed", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn take(
    State(state): State<Shared>,
    Ingest(who): Ingest,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Heard>, Problem> {
    let body = body.map_err(|rejection| {
        Problem::new(rejection.status(), "too-large", "The body is too large", &rejection.body_text())
    })?;
    let incoming = Incoming::read(&headers, &body)?;
    let not_taken = |because: String| Ok(Json(Heard { taken: false, because: Some(because), ack: None }));
    let Some(kind) = incoming.kind.strip_prefix(PREFIX) else {
        return not_taken(format!("expected a type that begins with {PREFIX}, found {}", incoming.kind));
    };
    let kind = match kind.split('.').next().unwrap_or_default() {
        "deployed" => DeployKind::Deployed,
        "upgraded" => DeployKind::Upgraded,
        "rolledback" => DeployKind::RolledBack,
        other => return not_taken(format!("service.{other} says nothing of what runs")),
    };
    let wrong = |error: serde_json::Error| Problem::input(&format!("subject: {error}"));
    let subject = incoming.document.get("subject").cloned().unwrap_or_default();
    let Subject { id, content } = serde_json::from_value(subject).map_err(wrong)?;
    let own = state.snapshot()?.environment.clone();
    if let Some(environment) = content.environment.map(|environment| clean_line(&environment.id))
        && environment != own
    {
        return not_taken(format!("it is of the environment {environment:?}, and this backend is {own:?}"));
    }
    let what = Deployment {
        service: ServiceName(name("subject.id", &id)?),
        artifact: content
            .artifact_id
            .map(|artifact| name("subject.content.artifactId", &artifact))
            .transpose()?,
    };
    let order = Order {
        id: incoming.order(),
        authenticated: Some(who.identity.clone()),
        actor: Actor::Person(who.name),
        reason: String::new(),
        expected: None,
        command: Command::Deployed { kind, what },
    };
    let ack = state.take(order).await?;
    Ok(Json(Heard { taken: true, because: None, ack: Some(ack.into()) }))
}

impl Incoming {
    fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, Problem> {
        let header = |name: &str| {
            let value = headers.get(name)?;
            Some(clean_line(value.to_str().unwrap_or_default()))
        };
        let kind = header(header::CONTENT_TYPE.as_str()).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let document =
            |error: serde_json::Error| Problem::input(&format!("not the JSON that was expected: {error}"));
        match (kind, header("ce-specversion")) {
            ("application/cloudevents+json", _) => {
                let Envelope { specversion, id, source, kind, data } =
                    serde_json::from_slice(body).map_err(document)?;
                Self { id, source, kind, document: data }.of_version(&specversion)
            }
            ("application/json", Some(specversion)) => {
                let needed = |name: &str| {
                    header(name).filter(|value| !value.is_empty()).ok_or_else(|| {
                        Problem::input(&format!("expected the header {name} beside ce-specversion"))
                    })
                };
                let (id, source, kind) = (needed("ce-id")?, needed("ce-source")?, needed("ce-type")?);
                let document = serde_json::from_slice(body).map_err(document)?;
                Self { id, source, kind, document }.of_version(&specversion)
            }
            ("application/json", None) => {
                let found: Value = serde_json::from_slice(body).map_err(document)?;
                let context = found.get("context").cloned().unwrap_or_default();
                let Context { id, source, kind } = serde_json::from_value(context)
                    .map_err(|error| Problem::input(&format!("context: {error}")))?;
                Ok(Self { id, source, kind: clean_line(&kind), document: found })
            }
            _ => Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "media-type",
                "Not a body of this kind",
                "expected Content-Type: application/cloudevents+json, or application/json with ce- headers",
            )),
        }
    }

    fn of_version(mut self, specversion: &str) -> Result<Self, Problem> {
        if specversion != "1.0" {
            let found = clean_line(specversion);
            return Err(Problem::input(&format!("expected specversion 1.0, found {found:?}")));
        }
        if self.id.is_empty() || self.source.is_empty() {
            return Err(Problem::input("expected an id and a source that are not empty"));
        }
        self.kind = clean_line(&self.kind);
        Ok(self)
    }

    /// `CloudEvents`: source and id together say which event it is.
    fn order(&self) -> OrderId {
        let mut hash = Sha256::new();
        hash.update((self.source.len() as u64).to_le_bytes());
        hash.update(&self.source);
        hash.update(&self.id);
        OrderId(format!("cloudevent-{}", const_hex::encode(&hash.finalize()[..16])))
    }
}

/// A name from outside, harmless and of a sensible length.
pub(super) fn name(place: &str, text: &str) -> Result<Arc<str>, Problem> {
    let text = clean_line(text);
    if text.is_empty() || text.chars().count() > MAX_NAME {
        return Err(Problem::input(&format!("{place}: expected a name of 1 to {MAX_NAME} characters")));
    }
    Ok(text.into())
}

/// Which deployments.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Only those below this number; the newest where it is left out.
    before: Option<u64>,
    /// How many at most, 1 to 1 000; 20 where it is left out.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// The newest deployments
#[utoipa::path(
    get, path = "/api/v1/deployments", tag = "telemetry", params(Which),
    responses(
        (status = 200, description = "A page, newest first", body = Deployments),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(state): State<Shared>,
    _: Viewer,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Json<Deployments>, Problem> {
    let Query(Which { mut before, limit }) = which?;
    let limit = page(limit.or(Some(20)))?;
    let mut deployments = Vec::new();
    for _ in 0..LOOKED_THROUGH / AT_A_TIME {
        let entries = state.backend.entries(before.map(Seq), AT_A_TIME).await?;
        before = entries.first().map(|entry| entry.seq.0).filter(|seq| *seq > 1);
        for entry in entries.into_iter().rev() {
            let Event::Deployed { kind, what } = entry.event else { continue };
            deployments.push(OneDeployment {
                seq: entry.seq.0,
                at: entry.at.0,
                by: entry.actor.to_string(),
                kind,
                service: what.service.to_string(),
                artifact: what.artifact.as_deref().map(str::to_owned),
            });
            if deployments.len() == limit {
                let before = Some(entry.seq.0).filter(|seq| *seq > 1);
                return Ok(Json(Deployments { deployments, before }));
            }
        }
        if before.is_none() {
            break;
        }
    }
    Ok(Json(Deployments { deployments, before }))
}
