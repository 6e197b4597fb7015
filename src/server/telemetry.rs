//! Telemetry in: batches of samples as JSON, each sample taken or refused by itself.
//!
//! A batch is answered when its samples are added up in the open intervals; the engine takes them out when it closes one.
//! Knows nothing of evidence: what is here is only whose a sample is, and whether it can be one.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use axum::{
    Json,
    extract::{State, rejection::JsonRejection},
    http::StatusCode,
};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor},
};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{
    Problem,
    access::Ingest,
    state::{ServerState, Shared},
};
use knightwatch_connect::{BatchId, Inlet, MetricNames, Otlp};
use knightwatch_core::{
    flag::{FlagKey, clean_line},
    telemetry::{Arm, Millis, Reading, Rejection, at_middles},
};

/// Longest name of a sender, in bytes.
const MAX_SENDER: usize = 200;

/// Most samples in a batch.
const MAX_SAMPLES: usize = 20_000;

/// Most refusals told one by one.
const MAX_TOLD: usize = 100;

/// Where telemetry comes in.
#[derive(Clone)]
pub struct Intake {
    /// Takes batches.
    pub(super) inlet: Arc<Inlet>,
    /// Reads OpenTelemetry metrics.
    pub(super) otlp: Arc<Mutex<Otlp>>,
}

impl Intake {
    /// Into `inlet`, also from the OpenTelemetry metrics that `names` has.
    #[must_use]
    pub fn new(inlet: Arc<Inlet>, names: MetricNames) -> Self {
        let otlp = Arc::new(Mutex::new(Otlp::new(names, inlet.interval())));
        Self { inlet, otlp }
    }
}

impl ServerState {
    /// Where telemetry comes in, if this is a backend that takes any.
    pub(super) fn intake(&self) -> Result<&Intake, Problem> {
        self.intake.as_ref().ok_or_else(|| {
            let detail =
                "this backend steers a simulated world; telemetry is taken by `knightwatch serve --real`";
            Problem::new(StatusCode::CONFLICT, "refused", "Refused", detail)
        })
    }
}

/// Samples of one sender.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Batch {
    /// Who sends: each instance of an application has a name of its own.
    #[schema(max_length = 200, min_length = 1, example = "web-3")]
    sender: String,
    /// The batch's number: the same sender and number count once, however often they come.
    sequence: u64,
    /// At most 20 000.
    #[schema(value_type = Vec<NewSample>)]
    samples: Vec<Element>,
}

/// What one variant of one flag did in some time.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewSample {
    /// The flag's key.
    flag: String,
    /// `on` or `off`.
    #[schema(example = "on")]
    variant: String,
    /// When the time began, in milliseconds since the Unix epoch.
    start: u64,
    /// How long it was, in milliseconds: within one control interval. Intervals begin at multiples of their length since the
    /// Unix epoch.
    #[schema(minimum = 1)]
    span: u64,
    /// Requests, or finished jobs, in it.
    requests: f64,
    /// How many of them failed.
    #[serde(default)]
    errors: f64,
    /// The requests by latency: counts between ascending edges, not cumulative. Empty where it was not measured.
    #[serde(default)]
    latency: Vec<Bucket>,
}

/// Requests that took at most so long, and longer than the bucket before says.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Bucket {
    /// The upper edge in milliseconds; `null` in the last bucket is everything above.
    le_ms: Option<f64>,
    /// How many.
    count: f64,
}

/// One element of the list, before it is known whether it is a sample: one that is not refuses itself alone.
struct Element {
    map: Map<String, Value>,
    twice: Option<String>,
}

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Element;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a sample: an object with flag, variant, start, span and requests")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Element, A::Error> {
                let (mut map, mut twice) = (Map::new(), None);
                while let Some((key, value)) = access.next_entry::<String, Value>()? {
                    if map.insert(key.clone(), value).is_some() {
                        twice = Some(key);
                    }
                }
                Ok(Element { map, twice })
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// What became of a batch.
#[derive(Serialize, ToSchema)]
pub(super) struct Taken {
    /// Samples taken.
    accepted: usize,
    /// Samples not taken.
    refused: usize,
    /// The first hundred of those, each with its reason.
    rejected: Vec<Refused>,
}

/// Why one sample was not taken.
#[derive(Serialize, ToSchema)]
pub(super) struct Refused {
    /// Its place in the batch, from 0.
    index: usize,
    /// `malformed`, `unknown_flag`, `not_finite`, `negative`, `absurd`, `inconsistent`, `misaligned`, `skewed`, `late` or
    /// `duplicate`.
    reason: String,
    /// What was expected.
    expected: String,
}

/// Takes telemetry: samples of one sender
///
/// Samples are refused one by one; the rest of the batch is taken. A batch may be sent again: it counts once.
#[utoipa::path(
    post, path = "/api/v1/telemetry", tag = "telemetry",
    request_body = Batch,
    responses(
        (status = 200, description = "What was taken, and what was not", body = Taken),
        (status = "default", description = "A problem: nothing was taken", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn take(
    State(state): State<Shared>,
    Ingest(_): Ingest,
    body: Result<Json<Batch>, JsonRejection>,
) -> Result<Json<Taken>, Problem> {
    let Intake { inlet, .. } = state.intake()?;
    let Json(Batch { sender, sequence, samples }) = body?;
    let sender = clean_line(&sender);
    if sender.is_empty() || sender.len() > MAX_SENDER {
        return Err(Problem::input(&format!("sender: expected a name of 1 to {MAX_SENDER} bytes")));
    }
    if samples.len() > MAX_SAMPLES {
        let found = samples.len();
        return Err(Problem::input(&format!("samples: expected at most {MAX_SAMPLES}, found {found}")));
    }
    let served_flags = state.serving_table.served_flags();
    let mut rejected = Vec::new();
    let (mut readings, mut places) = (Vec::with_capacity(samples.len()), Vec::new());
    let mut strays = 0;
    for (index, element) in samples.into_iter().enumerate() {
        let reading = element.sample().and_then(|sample| {
            let id = sample.flag.parse::<FlagKey>().ok().and_then(|key| served_flags.id(&key));
            let id = id.ok_or_else(|| {
                strays += 1;
                (Rejection::UnknownFlag, expected(inlet, Rejection::UnknownFlag))
            })?;
            sample.reading(id).map_err(|expected| (Rejection::Inconsistent, expected))
        });
        match reading {
            Ok(reading) => {
                readings.push(reading);
                places.push(index);
            }
            Err((why, expected)) => {
                let reason = if why == Rejection::UnknownFlag { word(why) } else { "malformed".to_owned() };
                rejected.push(Refused { index, reason, expected });
            }
        }
    }
    inlet.refused(Rejection::UnknownFlag, strays);
    inlet.refused(Rejection::Inconsistent, rejected.len() as u64 - strays);
    let batch = BatchId { sender: sender.into(), sequence };
    let mut accepted = 0;
    for (index, taken) in places.into_iter().zip(inlet.take(&batch, &readings)) {
        match taken {
            None => accepted += 1,
            Some(why) => rejected.push(Refused { index, reason: word(why), expected: expected(inlet, why) }),
        }
    }
    rejected.sort_by_key(|refused| refused.index);
    let refused = rejected.len();
    rejected.truncate(MAX_TOLD);
    Ok(Json(Taken { accepted, refused, rejected }))
}

impl Element {
    fn sample(self) -> Result<NewSample, (Rejection, String)> {
        if let Some(twice) = self.twice {
            return Err((Rejection::Inconsistent, format!("expected {:?} once", clean_line(&twice))));
        }
        let read = NewSample::deserialize(Value::Object(self.map));
        read.map_err(|error| (Rejection::Inconsistent, clean_line(&error.to_string())))
    }
}

impl NewSample {
    fn reading(self, flag: knightwatch_core::flag::FlagId) -> Result<Reading, String> {
        let Self { variant, start, span, requests, errors, latency, .. } = self;
        let arm = match variant.as_str() {
            "on" => Arm::Treatment,
            "off" => Arm::Control,
            other => {
                return Err(format!("expected the variant \"on\" or \"off\", found {:?}", clean_line(other)));
            }
        };
        let latency = points(&latency)?;
        Ok(Reading {
            flag,
            arm,
            start: Millis(start),
            span: Millis(span),
            requests,
            errors,
            latency,
            assumed: false,
        })
    }
}

/// A histogram's buckets as latencies.
fn points(buckets: &[Bucket]) -> Result<Vec<(f64, f64)>, String> {
    if buckets.is_empty() {
        return Ok(Vec::new());
    }
    let mut edges = Vec::with_capacity(buckets.len());
    let mut counts = Vec::with_capacity(buckets.len() + 1);
    for (place, bucket) in buckets.iter().enumerate() {
        match bucket.le_ms {
            Some(edge) => edges.push(edge),
            None if place + 1 == buckets.len() => {}
            None => return Err("expected le_ms in every bucket but the last".to_owned()),
        }
        counts.push(bucket.count);
    }
    // The bucket above all edges may be left out where nothing was in it.
    counts.resize(edges.len() + 1, 0.0);
    at_middles(&edges, &counts).ok_or_else(|| "expected le_ms to ascend from 0".to_owned())
}

/// The reason as machines read it.
fn word(why: Rejection) -> String {
    serde_json::to_value(why).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// What would have been taken instead.
fn expected(inlet: &Inlet, why: Rejection) -> String {
    let interval = inlet.interval();
    match why {
        Rejection::NotFinite => "expected finite numbers".to_owned(),
        Rejection::Negative => "expected numbers from 0 up".to_owned(),
        Rejection::Absurd => "expected at most half a billion requests".to_owned(),
        Rejection::Inconsistent => {
            "expected no more errors than requests, and latency counts that add up to the requests".to_owned()
        }
        Rejection::Misaligned => format!(
            "expected a span of 1 to {0} ms within one interval; intervals begin at multiples of {0} ms",
            interval.0
        ),
        Rejection::Skewed => {
            format!("expected an end that is not in the future; it is {} here", inlet.senders_now().0)
        }
        Rejection::Late => format!("expected an end after {}, which is closed", inlet.senders_closed().0),
        Rejection::Duplicate => "this sender has sent a batch of this number before".to_owned(),
        Rejection::UnknownFlag => "expected the key of a flag that there is".to_owned(),
    }
}
