//! Points as the SDKs export them, and what they come to.

use opentelemetry_proto::tonic::{
    common::v1::AnyValue,
    metrics::v1::{
        ExponentialHistogram, ExponentialHistogramDataPoint, Histogram, HistogramDataPoint, NumberDataPoint,
        ResourceMetrics, ScopeMetrics, Sum, exponential_histogram_data_point::Buckets, number_data_point,
    },
};

use super::*;
use knightwatch_core::telemetry::Sample;

const SECOND: u64 = 1_000_000_000;
const AT: u64 = 1_772_442_000 * SECOND;
const DELTA: i32 = 1;
const CUMULATIVE: i32 = 2;

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn of(variant: &str, more: &[KeyValue]) -> Vec<KeyValue> {
    let mut all = vec![text("feature_flag.key", "f"), text("feature_flag.result.variant", variant)];
    all.extend_from_slice(more);
    all
}

fn metric(name: &str, unit: &str, data: Data) -> Metric {
    Metric { name: name.to_owned(), unit: unit.to_owned(), data: Some(data), ..Metric::default() }
}

fn request(metric: Metric) -> ExportMetricsServiceRequest {
    let scope = ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() };
    let resource = ResourceMetrics { scope_metrics: vec![scope], ..ResourceMetrics::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![resource] }
}

fn durations(points: Vec<HistogramDataPoint>, temporality: i32) -> ExportMetricsServiceRequest {
    let histogram = Histogram { data_points: points, aggregation_temporality: temporality };
    request(metric("http.server.request.duration", "s", Data::Histogram(histogram)))
}

fn histogram(attributes: Vec<KeyValue>, start: u64, time: u64, counts: [u64; 3]) -> HistogramDataPoint {
    HistogramDataPoint {
        attributes,
        start_time_unix_nano: start,
        time_unix_nano: time,
        count: counts.iter().sum(),
        bucket_counts: counts.to_vec(),
        explicit_bounds: vec![0.1, 1.0],
        ..HistogramDataPoint::default()
    }
}

fn counter(start: u64, time: u64, value: i64, temporality: i32) -> ExportMetricsServiceRequest {
    let point = NumberDataPoint {
        attributes: of("on", &[]),
        start_time_unix_nano: start,
        time_unix_nano: time,
        value: Some(number_data_point::Value::AsInt(value)),
        ..NumberDataPoint::default()
    };
    let sum = Sum { data_points: vec![point], aggregation_temporality: temporality, is_monotonic: true };
    request(metric("knightwatch.requests", "{request}", Data::Sum(sum)))
}

fn otlp() -> Otlp {
    Otlp::new(MetricNames::default(), Millis::from_secs(10))
}

fn known(key: &str) -> Option<FlagId> {
    (key == "f").then_some(FlagId(4))
}

/// Requests that each reading adds.
fn added(otlp: &mut Otlp, request: &ExportMetricsServiceRequest) -> Vec<f64> {
    let export = otlp.read(request, known);
    assert_eq!(export.refused, []);
    export.readings.iter().map(|(_, reading)| reading.requests).collect()
}

#[test]
fn a_histogram_of_durations_gives_requests_errors_and_latencies_of_both_arms() {
    let end = AT + 10 * SECOND;
    let points = vec![
        histogram(
            of("on", &[attribute("http.response.status_code", Value::IntValue(200))]),
            AT,
            end,
            [5, 3, 1],
        ),
        histogram(of("on", &[text("error.type", "timeout")]), AT, end, [0, 0, 2]),
        histogram(
            of("off", &[attribute("http.response.status_code", Value::IntValue(503))]),
            AT,
            end,
            [7, 0, 0],
        ),
        histogram(vec![text("http.route", "/")], AT, end, [9, 9, 9]),
    ];
    let export = otlp().read(&durations(points, DELTA), known);
    assert_eq!(export.refused, []);
    let told: Vec<_> = export
        .readings
        .iter()
        .map(|(_, r)| {
            let sample = Sample::try_from(r).unwrap();
            (r.flag, r.arm, sample.requests, sample.errors, sample.latency)
        })
        .collect();
    assert_eq!(told.len(), 3, "a point without a flag is not ours");
    assert_eq!((told[0].0, told[0].1, told[0].2, told[0].3), (FlagId(4), Arm::Treatment, 9, 0));
    assert_eq!((told[1].1, told[1].2, told[1].3), (Arm::Treatment, 2, 2));
    assert_eq!((told[2].1, told[2].2, told[2].3), (Arm::Control, 7, 7));
    assert_eq!(
        told[0].4.at_or_above(knightwatch_core::telemetry::bucket_of(100.0)),
        4,
        "seconds were read as such"
    );
    assert_eq!(told[0].4.at_or_above(knightwatch_core::telemetry::bucket_of(1_000.0)), 1);
    let (_, reading) = &export.readings[0];
    assert_eq!(reading.start + reading.span, Millis(end / 1_000_000));
}

#[test]
fn the_same_export_has_the_same_identity_and_another_time_or_series_has_not() {
    let end = AT + 10 * SECOND;
    let export = |attributes: Vec<KeyValue>, end| {
        let request = durations(vec![histogram(attributes, AT, end, [1, 0, 0])], DELTA);
        otlp().read(&request, known).readings[0].0.clone()
    };
    let mut turned = of("on", &[]);
    turned.reverse();
    assert_eq!(export(of("on", &[]), end), export(turned, end));
    assert_ne!(export(of("on", &[]), end), export(of("on", &[]), end + 1));
    assert_ne!(export(of("on", &[]), end), export(of("on", &[text("http.route", "/")]), end));
}

#[test]
fn cumulative_points_add_their_difference_and_a_restart_starts_fresh() {
    let mut otlp = otlp();
    let at = |seconds: u64| AT + seconds * SECOND;
    // Began long ago: the first point only says where it stands.
    assert_eq!(added(&mut otlp, &counter(AT - 3_600 * SECOND, at(0), 1_000, CUMULATIVE)), [0.0; 0]);
    assert_eq!(added(&mut otlp, &counter(AT - 3_600 * SECOND, at(10), 1_040, CUMULATIVE)), [40.0]);
    let again = otlp.read(&counter(AT - 3_600 * SECOND, at(10), 1_040, CUMULATIVE), known);
    assert_eq!((again.readings.len(), again.refused[0].0), (0, Rejection::Duplicate));
    // The process has started again, and says so by its start.
    assert_eq!(added(&mut otlp, &counter(at(15), at(20), 7, CUMULATIVE)), [7.0]);
    assert_eq!(added(&mut otlp, &counter(at(15), at(30), 9, CUMULATIVE)), [2.0]);
    // Or only by counting less.
    assert_eq!(added(&mut otlp, &counter(at(15), at(40), 3, CUMULATIVE)), [3.0]);
    // What was missed for long belongs to no interval.
    let late = otlp.read(&counter(at(15), at(100), 500, CUMULATIVE), known);
    assert_eq!(late.refused[0].0, Rejection::Misaligned);
    assert_eq!(added(&mut otlp, &counter(at(15), at(110), 501, CUMULATIVE)), [1.0]);
}

#[test]
fn a_counter_that_has_just_begun_counts_from_its_beginning() {
    assert_eq!(added(&mut otlp(), &counter(AT, AT + 9 * SECOND, 12, CUMULATIVE)), [12.0]);
    assert_eq!(
        added(&mut otlp(), &counter(0, AT + 9 * SECOND, 12, CUMULATIVE)),
        [0.0; 0],
        "an unknown beginning"
    );
}

#[test]
fn cumulative_histograms_are_subtracted_bucket_by_bucket() {
    let mut otlp = otlp();
    let point =
        |time, counts| durations(vec![histogram(of("on", &[]), AT, AT + time * SECOND, counts)], CUMULATIVE);
    added(&mut otlp, &point(10, [10, 5, 1]));
    let export = otlp.read(&point(20, [12, 5, 4]), known);
    let sample = Sample::try_from(&export.readings[0].1).unwrap();
    assert_eq!((sample.requests, sample.latency.total()), (5, 5));
    assert_eq!(sample.latency.at_or_above(knightwatch_core::telemetry::bucket_of(1_000.0)), 3);
}

#[test]
fn exponential_histograms_are_read() {
    // Scale 0: buckets of whole doublings; offset 3 in milliseconds is 8 to 16, 16 to 32, 32 to 64.
    let point = ExponentialHistogramDataPoint {
        attributes: of("on", &[]),
        start_time_unix_nano: AT,
        time_unix_nano: AT + 10 * SECOND,
        count: 10,
        scale: 0,
        zero_count: 1,
        positive: Some(Buckets { offset: 3, bucket_counts: vec![4, 3, 2] }),
        ..ExponentialHistogramDataPoint::default()
    };
    let histogram = ExponentialHistogram { data_points: vec![point], aggregation_temporality: DELTA };
    let request =
        request(metric("http.server.request.duration", "ms", Data::ExponentialHistogram(histogram)));
    let export = otlp().read(&request, known);
    let sample = Sample::try_from(&export.readings[0].1).unwrap();
    let above = |ms| sample.latency.at_or_above(knightwatch_core::telemetry::bucket_of(ms));
    assert_eq!((sample.requests, above(8.0), above(16.0), above(32.0), above(64.0)), (10, 9, 5, 2, 0));
}

#[test]
fn what_cannot_be_used_is_refused_with_the_reason() {
    let refuse = |request: &ExportMetricsServiceRequest| {
        let export = otlp().read(request, known);
        assert!(export.readings.is_empty());
        export.refused.into_iter().next().unwrap()
    };
    let point = |attributes| histogram(attributes, AT, AT + 10 * SECOND, [1, 0, 0]);
    let stranger = vec![text("feature_flag.key", "\u{1b}[2J"), text("feature_flag.result.variant", "on")];
    let (why, said) = refuse(&durations(vec![point(stranger)], DELTA));
    assert_eq!(why, Rejection::UnknownFlag);
    assert!(!said.contains('\u{1b}'));
    assert!(refuse(&durations(vec![point(of("blue", &[]))], DELTA)).1.contains("found blue"));
    assert!(refuse(&durations(vec![point(of("on", &[]))], 0)).1.contains("temporality"));
    let minute = histogram(of("on", &[]), AT, AT + 60 * SECOND, [1, 0, 0]);
    let (why, said) = refuse(&durations(vec![minute], DELTA));
    assert_eq!(why, Rejection::Misaligned);
    assert!(said.contains("OTEL_METRIC_EXPORT_INTERVAL=10000"), "{said}");
    let broken = HistogramDataPoint { bucket_counts: vec![1], ..point(of("on", &[])) };
    assert!(refuse(&durations(vec![broken], DELTA)).1.contains("bucket"));
}

#[test]
fn the_json_of_the_protocol_is_read() {
    let text = r#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},
        "scopeMetrics":[{"scope":{"name":"x"},"metrics":[{"name":"knightwatch.requests","sum":{"aggregationTemporality":1,
        "isMonotonic":true,"dataPoints":[{"attributes":[{"key":"feature_flag.key","value":{"stringValue":"f"}},
        {"key":"feature_flag.result.variant","value":{"stringValue":"off"}}],"startTimeUnixNano":"1772442000000000000",
        "timeUnixNano":"1772442010000000000","asInt":"31"}]}}]}]}]}"#;
    let request: ExportMetricsServiceRequest = serde_json::from_str(text).unwrap();
    assert_eq!(added(&mut otlp(), &request), [31.0]);
}
