//! OpenTelemetry metrics in, over OTLP/HTTP: protobuf or JSON, as it is or with gzip, answered in the same encoding.
//!
//! Which points are read is said in `integrations::otlp`; what is not ours is passed over in silence, as a collector's
//! exporter sends everything it has.

use std::io::Read;

use axum::{
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use flate2::bufread::MultiGzDecoder;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use prost::Message;
use serde::Serialize;
use utoipa::ToSchema;

use super::{MAX_TELEMETRY, Problem, access::Ingest, state::Shared, telemetry::Intake};
use knightwatch_core::{
    flag::{FlagKey, clean_line},
    telemetry::Rejection,
};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// Codes of `google.rpc.Code`.
const INVALID_ARGUMENT: i32 = 3;
const FAILED_PRECONDITION: i32 = 9;
const UNIMPLEMENTED: i32 = 12;

/// `google.rpc.Status`, which OTLP has for what went wrong.
#[derive(Clone, PartialEq, Message, Serialize, ToSchema)]
#[schema(as = GoogleRpcStatus)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// How a request is encoded, and its answer.
#[derive(Clone, Copy)]
enum Encoding {
    Protobuf,
    Json,
}

impl Encoding {
    fn of(headers: &HeaderMap) -> Option<Self> {
        let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        match kind.split(';').next().unwrap_or_default().trim() {
            PROTOBUF => Some(Self::Protobuf),
            JSON => Some(Self::Json),
            _ => None,
        }
    }

    fn answer(self, status: StatusCode, message: &(impl Message + Serialize)) -> Response {
        let (kind, body) = match self {
            Self::Protobuf => (PROTOBUF, message.encode_to_vec()),
            Self::Json => (JSON, serde_json::to_vec(message).unwrap_or_default()),
        };
        (status, [(header::CONTENT_TYPE, HeaderValue::from_static(kind))], body).into_response()
    }

    fn refuse(self, status: StatusCode, code: i32, message: &str) -> Response {
        self.answer(status, &Status { code, message: clean_line(message) })
    }
}

/// Takes OpenTelemetry metrics (OTLP/HTTP)
///
/// Read are the metrics that the configuration names (`telemetry.durations`, `telemetry.counts`), where their points have the
/// attributes `feature_flag.key` and `feature_flag.result.variant` (`on` or `off`). Failed are points with `error.type`, or with
/// an `http.response.status_code` from 500 up.
#[utoipa::path(
    post, path = "/v1/metrics", tag = "telemetry",
    request_body(
        content((Object = "application/json"), (Vec<u8> = "application/x-protobuf")),
        description = "An ExportMetricsServiceRequest, with `Content-Encoding: gzip` or without; at most 4 MiB, also once inflated"
    ),
    responses(
        (
            status = 200,
            description = "An ExportMetricsServiceResponse in the encoding of the request; with partialSuccess where points were refused",
            content((Object = "application/json"), (Vec<u8> = "application/x-protobuf"))
        ),
        (
            status = "4XX",
            description = "A google.rpc.Status in the encoding of the request: it was not taken, and must not be sent again as it is; a problem where the encoding is not known or whoever asks may not",
            content((Status = "application/json"), (Vec<u8> = "application/x-protobuf"), (Problem = "application/problem+json"))
        ),
        (status = "default", description = "A problem: nothing was taken", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn take(
    State(state): State<Shared>,
    Ingest(_): Ingest,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let Some(encoding) = Encoding::of(&headers) else {
        let detail = "expected Content-Type: application/x-protobuf or application/json";
        return Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "media-type",
            "Not a body of this kind",
            detail,
        )
        .into_response();
    };
    let body = match body {
        Ok(body) => body,
        Err(rejection) => {
            return encoding.refuse(rejection.status(), INVALID_ARGUMENT, &rejection.body_text());
        }
    };
    let body = match inflated(&headers, body) {
        Ok(body) => body,
        Err((status, code, detail)) => return encoding.refuse(status, code, &detail),
    };
    let Intake { inlet, otlp } = match state.intake() {
        Ok(intake) => intake,
        Err(problem) => return encoding.refuse(StatusCode::CONFLICT, FAILED_PRECONDITION, &problem.detail),
    };
    let request = match encoding {
        Encoding::Protobuf => ExportMetricsServiceRequest::decode(body).map_err(|error| error.to_string()),
        Encoding::Json => serde_json::from_slice(&body).map_err(|error| error.to_string()),
    };
    let request: ExportMetricsServiceRequest = match request {
        Ok(request) => request,
        Err(error) => return encoding.refuse(StatusCode::BAD_REQUEST, INVALID_ARGUMENT, &error),
    };
    let served_flags = state.serving_table.served_flags();
    let export = {
        let mut otlp = otlp.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        otlp.read(&request, |key| key.parse::<FlagKey>().ok().and_then(|key| served_flags.id(&key)))
    };
    let mut refused = Refusals::default();
    for (why, text) in export.refused {
        inlet.refused(why, 1);
        refused.add(why, || text);
    }
    for (batch, reading) in export.readings {
        let taken = inlet.take(&batch, std::slice::from_ref(&reading));
        if let Some(why) = taken.into_iter().next().flatten() {
            refused.add(why, || format!("points of {}: {why}", reading.start.0));
        }
    }
    encoding
        .answer(StatusCode::OK, &ExportMetricsServiceResponse { partial_success: refused.partial_success() })
}

/// The body without its `Content-Encoding`, at most as large as one that has none may be: a small body can inflate to anything.
fn inflated(headers: &HeaderMap, body: Bytes) -> Result<Bytes, (StatusCode, i32, String)> {
    let coding = headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes).unwrap_or_default();
    if coding.is_empty() || coding.eq_ignore_ascii_case(b"identity") {
        return Ok(body);
    }
    if !coding.eq_ignore_ascii_case(b"gzip") {
        let detail = "expected a body with Content-Encoding gzip, or with none".to_owned();
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, UNIMPLEMENTED, detail));
    }
    let mut plain = Vec::new();
    MultiGzDecoder::new(&*body).take(MAX_TELEMETRY as u64 + 1).read_to_end(&mut plain).map_err(|error| {
        (StatusCode::BAD_REQUEST, INVALID_ARGUMENT, format!("expected a body in gzip: {error}"))
    })?;
    if plain.len() > MAX_TELEMETRY {
        let detail = format!("expected at most {MAX_TELEMETRY} bytes once inflated; send smaller batches");
        return Err((StatusCode::PAYLOAD_TOO_LARGE, INVALID_ARGUMENT, detail));
    }
    Ok(plain.into())
}

/// Points that were not taken, with the first reason in words.
#[derive(Default)]
struct Refusals {
    count: i64,
    first: Option<String>,
}

impl Refusals {
    fn add(&mut self, why: Rejection, text: impl FnOnce() -> String) {
        // What has come before was taken then: a retry is no fault.
        if why != Rejection::Duplicate {
            self.count += 1;
            self.first.get_or_insert_with(text);
        }
    }

    fn partial_success(self) -> Option<ExportMetricsPartialSuccess> {
        let error_message = self.first?;
        Some(ExportMetricsPartialSuccess { rejected_data_points: self.count, error_message })
    }
}
