//! Problem details (RFC 9457): every refusal says what, where and what was expected, as JSON with its status.

use axum::{
    Json,
    extract::rejection::{JsonRejection, PathRejection, QueryRejection},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use knightwatch_core::{control::Refusal, flag::clean};
use knightwatch_engine::backend::OrderError;

/// An error as JSON, `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// What kind of problem, as a relative reference: `/problems/refused`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What was found and what was expected.
    pub detail: String,
    /// The refusal in its parts, where an order was refused by the rules of control.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = serde_json::Value, required = false)]
    pub refusal: Option<Box<Refusal>>,
}

impl Problem {
    /// A problem of a kind; `detail` is made harmless here.
    #[must_use]
    pub fn new(status: StatusCode, kind: &str, title: &str, detail: &str) -> Self {
        Self {
            kind: format!("/problems/{kind}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: clean(detail).into_owned(),
            refusal: None,
        }
    }

    /// What was sent cannot be used: 400.
    #[must_use]
    pub fn input(detail: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "input", "The request cannot be used", detail)
    }

    /// There is no such thing: 404.
    #[must_use]
    pub fn not_found(detail: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is no such thing", detail)
    }

    /// Nobody who is known: 401. Missing, wrong and expired look the same.
    #[must_use]
    pub fn unauthorized() -> Self {
        let detail = "expected a valid bearer token, or the unix socket";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", "Not authenticated", detail)
    }

    /// Somebody who may not: 403.
    #[must_use]
    pub fn forbidden(detail: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Not allowed", detail)
    }

    /// The backend cannot do it now: 503.
    #[must_use]
    pub fn unavailable(detail: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "Not available now", detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let json = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<OrderError> for Problem {
    fn from(error: OrderError) -> Self {
        let detail = error.to_string();
        match error {
            OrderError::Refused(refusal) => {
                let (status, kind, title) = match &refusal {
                    Refusal::UnknownFlag { .. } | Refusal::UnknownAlarm(_) | Refusal::NoAlarm(_) => {
                        (StatusCode::NOT_FOUND, "not-found", "There is no such thing")
                    }
                    Refusal::Changed { .. } => {
                        (StatusCode::PRECONDITION_FAILED, "changed", "It has changed meanwhile")
                    }
                    Refusal::Archived { .. } => (StatusCode::GONE, "archived", "It was archived"),
                    Refusal::IdUsed { .. } => {
                        (StatusCode::CONFLICT, "idempotency-key-used", "The key was used for something else")
                    }
                    Refusal::NeedsAnother { .. } => {
                        (StatusCode::CONFLICT, "needs-another-person", "Another person has to agree")
                    }
                    Refusal::KeyUsed { .. }
                    | Refusal::WrongPhase { .. }
                    | Refusal::Latched { .. }
                    | Refusal::NotLatched
                    | Refusal::WrongEnvironment { .. }
                    | Refusal::NeedsReason { .. }
                    | Refusal::Limit(_)
                    | Refusal::Nothing(_) => (StatusCode::CONFLICT, "refused", "Refused"),
                };
                Self { refusal: Some(Box::new(refusal)), ..Self::new(status, kind, title, &detail) }
            }
            OrderError::NotSent(_) | OrderError::NotPermitted(_) | OrderError::NotAccepted(_) => {
                Self::unavailable(&detail)
            }
            OrderError::Unknown(_) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unknown", "It may or may not have acted", &detail)
            }
            OrderError::NotDurable(why) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "not-durable", "Not done", &why)
            }
            OrderError::ReadOnly => Self::forbidden(&detail),
        }
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        let detail = rejection.body_text();
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The body is too large", &detail)
            }
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "media-type",
                "Not a body of this kind",
                "expected Content-Type: application/json",
            ),
            _ => Self::input(&detail),
        }
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::input(&rejection.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::input(&rejection.body_text())
    }
}
