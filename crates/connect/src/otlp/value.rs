//! What a data point counts: requests, and where it is a histogram, how long they took, in our own buckets.
//!
//! Every kind of histogram comes to the same 64 counts, so that two points can be subtracted whatever their edges were.

use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogramDataPoint, HistogramDataPoint, NumberDataPoint, number_data_point,
};

use knightwatch_core::telemetry::{BUCKET_COUNT, at_middles, bucket_of, lower_edge_ms};

/// Most buckets of a histogram; the SDKs make at most 160.
const MAX_BUCKETS: usize = 1_024;

/// What a point counts.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Amount {
    /// Requests.
    pub(super) requests: f64,
    /// Requests by bucket of ours; `None` where durations were not measured.
    pub(super) buckets: Option<Box<[f64; BUCKET_COUNT]>>,
}

impl Amount {
    /// By latency, as a reading has it.
    pub(super) fn latency(&self) -> Vec<(f64, f64)> {
        let Some(buckets) = &self.buckets else { return Vec::new() };
        let filled = buckets.iter().enumerate().filter(|(_, count)| **count != 0.0);
        // The lower edge itself is in the bucket; bucket 0 begins at 0.
        filled.map(|(place, count)| (lower_edge_ms(place), *count)).collect()
    }

    /// What has been added since `before`; `None` where it has become less, so that the counter has restarted.
    pub(super) fn since(&self, before: &Self) -> Option<Self> {
        let requests = self.requests - before.requests;
        if requests.is_nan() || requests < 0.0 {
            return None;
        }
        let buckets = match (&self.buckets, &before.buckets) {
            (Some(after), Some(before)) => {
                let mut added = after.clone();
                for (count, before) in added.iter_mut().zip(before.iter()) {
                    *count -= before;
                }
                // Edges that were changed under way move counts: then it is not known where the new ones belong.
                added.iter().all(|count| *count >= 0.0).then_some(added)
            }
            _ => None,
        };
        Some(Self { requests, buckets })
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52; what is not is refused later")]
fn number(count: u64) -> f64 {
    count as f64
}

/// Milliseconds in a metric's unit. Durations are in seconds where nothing is said.
fn scale(unit: &str) -> Result<f64, &'static str> {
    match unit {
        "s" | "" => Ok(1_000.0),
        "ms" => Ok(1.0),
        "us" => Ok(1e-3),
        "ns" => Ok(1e-6),
        _ => Err("expected the unit s, ms, us or ns"),
    }
}

fn gathered(points: impl IntoIterator<Item = (f64, f64)>) -> Box<[f64; BUCKET_COUNT]> {
    let mut buckets = Box::new([0.0; BUCKET_COUNT]);
    for (ms, count) in points {
        buckets[bucket_of(ms)] += count;
    }
    buckets
}

pub(super) fn amount_of_number(point: &NumberDataPoint) -> Result<Amount, &'static str> {
    let requests = match point.value {
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        Some(number_data_point::Value::AsInt(count)) => count as f64,
        Some(number_data_point::Value::AsDouble(count)) => count,
        None => return Err("expected a value"),
    };
    Ok(Amount { requests, buckets: None })
}

pub(super) fn amount_of_histogram(
    point: &HistogramDataPoint,
    unit: &str,
    durations: bool,
) -> Result<Amount, &'static str> {
    let requests = number(point.count);
    if !durations || point.explicit_bounds.is_empty() {
        return Ok(Amount { requests, buckets: None });
    }
    if point.explicit_bounds.len() > MAX_BUCKETS {
        return Err("expected at most 1024 buckets");
    }
    let scale = scale(unit)?;
    let edges: Vec<f64> = point.explicit_bounds.iter().map(|edge| edge * scale).collect();
    let counts: Vec<f64> = point.bucket_counts.iter().map(|count| number(*count)).collect();
    let points = at_middles(&edges, &counts)
        .ok_or("expected ascending explicit_bounds from 0 and one bucket count more than those")?;
    Ok(Amount { requests, buckets: Some(gathered(points)) })
}

/// Bucket i of an exponential histogram is from `base^i` (without) to `base^(i+1)`, base = `2^(2^-scale)` (OTLP, metrics data
/// model, "Exponential scale").
pub(super) fn amount_of_exponential(
    point: &ExponentialHistogramDataPoint,
    unit: &str,
    durations: bool,
) -> Result<Amount, &'static str> {
    let requests = number(point.count);
    if !durations {
        return Ok(Amount { requests, buckets: None });
    }
    let to_ms = scale(unit)?;
    if !(-10..=20).contains(&point.scale) {
        return Err("expected a scale of -10 to 20");
    }
    if point.negative.as_ref().is_some_and(|negative| negative.bucket_counts.iter().any(|count| *count > 0)) {
        return Err("expected durations from 0 up");
    }
    let zero = std::iter::once((0.0, number(point.zero_count)));
    let Some(positive) = &point.positive else {
        return Ok(Amount { requests, buckets: Some(gathered(zero)) });
    };
    if positive.bucket_counts.len() > MAX_BUCKETS {
        return Err("expected at most 1024 buckets");
    }
    let doublings = libm::exp2(-f64::from(point.scale));
    let points = (0_u32..).zip(&positive.bucket_counts).map(|(place, count)| {
        let middle = f64::from(positive.offset) + f64::from(place) + 0.5;
        (libm::exp2(middle * doublings) * to_ms, number(*count))
    });
    Ok(Amount { requests, buckets: Some(gathered(zero.chain(points))) })
}
