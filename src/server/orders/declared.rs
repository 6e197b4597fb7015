//! Orders about what is declared of a flag: making it, and changing what may be changed.

use axum::{Json, extract::State, extract::rejection::JsonRejection, http::HeaderMap};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{Answer, Key};
use crate::server::{Problem, access::Admin, answer::Ack, deployments::name, state::Shared};
use knightwatch_core::{
    control::{Command, SpecChange, said},
    flag::{Deployment, FlagKey, FlagKind, FlagSpec, KeyError, Ladder, Rollout, ServiceName, clean_line},
};

/// A flag to be made.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::server) struct NewFlag {
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
pub(in crate::server) struct FlagChange {
    /// What it is for.
    #[serde(default)]
    description: Option<String>,
    /// The rungs in percent, ascending, ending with 99 and 100. The rollout stays where it is; of a ramping or paused flag
    /// it has to be one of them.
    #[serde(default)]
    ladder: Option<Vec<f64>>,
    /// The deployment that it waits for when it is started; `null` for none.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<Wanted>)]
    deployment: Option<Option<Wanted>>,
    /// Goes into the journal.
    #[serde(default)]
    reason: String,
}

/// A deployment that a flag waits for.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::server) struct Wanted {
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
pub(in crate::server) async fn create(
    State(state): State<Shared>,
    Admin(who): Admin,
    headers: HeaderMap,
    body: Result<Json<NewFlag>, JsonRejection>,
) -> Answer {
    let Json(NewFlag { key, service, kind, description, ladder: percent, deployment, reason }) = body?;
    let wrong = |what: &str, error: &dyn std::fmt::Display| Problem::input(&format!("{what}: {error}"));
    let key: FlagKey = key.parse().map_err(|error: KeyError| wrong("key", &error))?;
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
pub(in crate::server) async fn change(
    State(state): State<Shared>,
    Admin(who): Admin,
    Key(flag): Key,
    headers: HeaderMap,
    body: Result<Json<FlagChange>, JsonRejection>,
) -> Answer {
    let Json(FlagChange { description, ladder: percent, deployment, reason }) = body?;
    let change = SpecChange {
        description: description.map(|text| clean_line(&text)),
        ladder: percent.map(ladder).transpose()?,
        deployment: deployment.map(|wanted| wanted.map(Wanted::read).transpose()).transpose()?,
    };
    state.order(&who, &headers, &reason, Command::Change { flag, change }).await
}
