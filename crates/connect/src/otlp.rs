//! OpenTelemetry metrics as readings: which points are ours, which arm they are of, and what they add to an interval.
//!
//! A point is ours when its metric is one of [`MetricNames`] and it has the attribute `feature_flag.key`;
//! `feature_flag.result.variant` says which arm. It is an error with `error.type`, with `error = true`, or with an
//! `http.response.status_code` (formerly `http.status_code`) from 500 up. Cumulative points are differences to the one before. Knows
//! nothing of HTTP, and nothing of flags but their keys.

mod series;
mod value;

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    metrics::v1::{AggregationTemporality, Metric, metric::Data},
};

use self::{
    series::{Seen, SeriesMemory},
    value::{Amount, amount_of_exponential, amount_of_histogram, amount_of_number},
};
use super::BatchId;
use knightwatch_core::{
    flag::{FlagId, clean_line},
    telemetry::{Arm, Millis, Reading, Rejection},
};

/// Which metrics are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricNames {
    /// Histograms of durations: they give requests, errors and latencies.
    pub durations: Vec<String>,
    /// Sums: they give requests and errors alone.
    pub counts: Vec<String>,
}

impl Default for MetricNames {
    fn default() -> Self {
        let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            durations: all(&[
                "http.server.request.duration",
                "rpc.server.duration",
                "rpc.server.call.duration",
                "knightwatch.request.duration",
            ]),
            counts: all(&["knightwatch.requests", "knightwatch.jobs"]),
        }
    }
}

/// What an export comes to.
#[derive(Debug, Default)]
pub struct Export {
    /// What is added, each with an identity of its own, so that an export that is sent again counts once.
    pub readings: Vec<(BatchId, Reading)>,
    /// Points that were ours and could not be used.
    pub refused: Vec<(Rejection, String)>,
}

/// Reads exports. Remembers of each cumulative series its last point.
#[derive(Debug)]
pub struct Otlp {
    names: MetricNames,
    interval: Millis,
    memory: SeriesMemory,
}

/// One data point, whatever its kind.
struct DataPoint<'a> {
    attributes: &'a [KeyValue],
    start: u64,
    time: u64,
    amount: Result<Amount, &'static str>,
}

/// A metric with what it belongs to.
struct MetricContext<'a> {
    resource: &'a [KeyValue],
    scope: &'a str,
    metric: &'a Metric,
}

impl Otlp {
    /// Reads the metrics that `names` has, for control intervals of this length.
    #[must_use]
    pub fn new(names: MetricNames, interval: Millis) -> Self {
        Self { names, interval, memory: SeriesMemory::default() }
    }

    /// What `request` adds. `id` knows the flags; `None` is one that is not known.
    pub fn read(
        &mut self,
        request: &ExportMetricsServiceRequest,
        id: impl Fn(&str) -> Option<FlagId>,
    ) -> Export {
        let mut export = Export::default();
        for of_resource in &request.resource_metrics {
            let resource = of_resource.resource.as_ref().map_or(&[][..], |resource| &resource.attributes);
            for of_scope in &of_resource.scope_metrics {
                let scope = of_scope.scope.as_ref().map_or("", |scope| &scope.name);
                for metric in &of_scope.metrics {
                    self.metric(&MetricContext { resource, scope, metric }, &id, &mut export);
                }
            }
        }
        export
    }

    fn metric(
        &mut self,
        place: &MetricContext<'_>,
        id: &impl Fn(&str) -> Option<FlagId>,
        export: &mut Export,
    ) {
        let metric = place.metric;
        let durations = self.names.durations.contains(&metric.name);
        if !durations && !self.names.counts.contains(&metric.name) {
            return;
        }
        let unit = metric.unit.as_str();
        let (points, temporality): (Vec<DataPoint<'_>>, i32) = match &metric.data {
            Some(Data::Histogram(histogram)) => {
                let points = histogram.data_points.iter().filter(|point| point.flags & 1 == 0);
                let points = points.map(|point| DataPoint {
                    attributes: &point.attributes,
                    start: point.start_time_unix_nano,
                    time: point.time_unix_nano,
                    amount: amount_of_histogram(point, unit, durations),
                });
                (points.collect(), histogram.aggregation_temporality)
            }
            Some(Data::ExponentialHistogram(histogram)) => {
                let points = histogram.data_points.iter().filter(|point| point.flags & 1 == 0);
                let points = points.map(|point| DataPoint {
                    attributes: &point.attributes,
                    start: point.start_time_unix_nano,
                    time: point.time_unix_nano,
                    amount: amount_of_exponential(point, unit, durations),
                });
                (points.collect(), histogram.aggregation_temporality)
            }
            Some(Data::Sum(sum)) => {
                let points = sum.data_points.iter().filter(|point| point.flags & 1 == 0);
                let points = points.map(|point| DataPoint {
                    attributes: &point.attributes,
                    start: point.start_time_unix_nano,
                    time: point.time_unix_nano,
                    amount: if sum.is_monotonic {
                        amount_of_number(point)
                    } else {
                        Err("expected a monotonic sum")
                    },
                });
                (points.collect(), sum.aggregation_temporality)
            }
            // Neither can be added up.
            Some(Data::Gauge(_) | Data::Summary(_)) | None => (Vec::new(), 0),
        };
        for point in points {
            match self.point(place, &point, temporality, id) {
                Ok(Some(reading)) => export.readings.push(reading),
                Ok(None) => {}
                Err((why, text)) => {
                    export.refused.push((why, format!("{}: {text}", clean_line(&metric.name))));
                }
            }
        }
    }

    /// What one point adds; `None` where it is not ours, or only begins a series.
    fn point(
        &mut self,
        place: &MetricContext<'_>,
        point: &DataPoint<'_>,
        temporality: i32,
        id: &impl Fn(&str) -> Option<FlagId>,
    ) -> Result<Option<(BatchId, Reading)>, (Rejection, String)> {
        let Some(key) = text_of(point.attributes, "feature_flag.key") else { return Ok(None) };
        let flag = id(key)
            .ok_or_else(|| (Rejection::UnknownFlag, format!("there is no flag {:?}", clean_line(key))))?;
        let arm = match text_of(point.attributes, "feature_flag.result.variant") {
            Some("on") => Arm::Treatment,
            Some("off") => Arm::Control,
            other => {
                let found = other.map_or("nothing".to_owned(), clean_line);
                let text = format!("expected feature_flag.result.variant \"on\" or \"off\", found {found}");
                return Err((Rejection::Inconsistent, text));
            }
        };
        let amount = point.amount.clone().map_err(|text| (Rejection::Inconsistent, text.to_owned()))?;
        let series = series::identity(place.resource, place.scope, &place.metric.name, point.attributes);
        let (amount, span) = match AggregationTemporality::try_from(temporality) {
            Ok(AggregationTemporality::Delta) => (amount, point.time.saturating_sub(point.start)),
            Ok(AggregationTemporality::Cumulative) => {
                match self.memory.since_last(&series, point.start, point.time, amount) {
                    Seen::Added(amount, span) => (amount, span),
                    Seen::Begun => return Ok(None),
                    Seen::Before => {
                        let text = "a point of this time, or a later one, has come before".to_owned();
                        return Err((Rejection::Duplicate, text));
                    }
                }
            }
            _ => {
                let text = "expected delta or cumulative temporality".to_owned();
                return Err((Rejection::Inconsistent, text));
            }
        };
        self.reach(span)?;
        // Its end says which interval it is of: where exports do not keep the grid, that is as near as can be known.
        let end = point.time / 1_000_000;
        let start = Millis(end.saturating_sub(1));
        let errors = if is_error(point.attributes) { amount.requests } else { 0.0 };
        let latency = amount.latency();
        let requests = amount.requests;
        let reading =
            Reading { flag, arm, start, span: Millis(1), requests, errors, latency, assumed: false };
        Ok(Some((BatchId { sender: series, sequence: point.time }, reading)))
    }

    /// Refuses what covers much more than a control interval: it could not be said when it was.
    fn reach(&self, nanoseconds: u64) -> Result<(), (Rejection, String)> {
        let (found, most) = (Millis(nanoseconds / 1_000_000), Millis(self.interval.0 * 3 / 2));
        if found <= most {
            return Ok(());
        }
        let text = format!(
            "it covers {found}, and a control interval is {}; export as often (OTEL_METRIC_EXPORT_INTERVAL={})",
            self.interval, self.interval.0
        );
        Err((Rejection::Misaligned, text))
    }
}

fn value_of<'a>(attributes: &'a [KeyValue], name: &str) -> Option<&'a Value> {
    attributes.iter().find(|attribute| attribute.key == name)?.value.as_ref()?.value.as_ref()
}

fn text_of<'a>(attributes: &'a [KeyValue], name: &str) -> Option<&'a str> {
    match value_of(attributes, name)? {
        Value::StringValue(text) => Some(text),
        _ => None,
    }
}

/// Whether a point's requests failed.
fn is_error(attributes: &[KeyValue]) -> bool {
    let status = ["http.response.status_code", "http.status_code"].iter().any(|name| {
        match value_of(attributes, name) {
            Some(Value::IntValue(status)) => *status >= 500,
            Some(Value::StringValue(status)) => status.parse().is_ok_and(|status: u32| status >= 500),
            _ => false,
        }
    });
    status
        || text_of(attributes, "error.type").is_some_and(|kind| !kind.is_empty())
        || matches!(value_of(attributes, "error"), Some(Value::BoolValue(true)))
}

#[cfg(test)]
mod tests;
