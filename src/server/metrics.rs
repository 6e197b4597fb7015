//! Ourselves in numbers, for Prometheus: what was asked, how the engine keeps up, how the flags stand.
//!
//! The text format 0.0.4. What is counted at each request costs additions and no lock; everything else is read when somebody
//! asks.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use prometheus_client::{
    collector::Collector,
    encoding::{
        DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet, GaugeValueEncoder, NoLabelSet,
        prometheus_text::{self, CONTENT_TYPE},
    },
    metrics::MetricType,
    registry::Registry,
};

use super::{Problem, access::Viewer, state::Shared};
use knightwatch_connect::Totals;
use knightwatch_core::{
    control::Priority,
    flag::definition::{EvaluationError, Reason},
    telemetry::Rejection,
};
use knightwatch_engine::{Meter, STEP_EDGES, backend::Snapshot};

/// Requests answered, by route and status.
#[derive(Default)]
pub(super) struct Requests {
    /// Exchanged whole where a route is new: there are only so many.
    routes: ArcSwap<HashMap<String, Arc<Statuses>>>,
}

/// One counter for each status from 100 to 599.
struct Statuses([AtomicU64; 500]);

impl Requests {
    /// Counts an answer. `route` is as it is written in the router.
    pub(super) fn count(&self, route: &str, status: StatusCode) {
        if let Some(statuses) = self.routes.load().get(route) {
            return statuses.count(status);
        }
        let new = Arc::new(Statuses(std::array::from_fn(|_| AtomicU64::new(0))));
        self.routes.rcu(|known| {
            let mut routes = HashMap::clone(known);
            // Somebody else may have been here first.
            routes.entry(route.to_owned()).or_insert_with(|| Arc::clone(&new));
            routes
        });
        if let Some(statuses) = self.routes.load().get(route) {
            statuses.count(status);
        }
    }

    /// By route and status, those that are not 0.
    fn counted(&self) -> BTreeMap<(String, usize), u64> {
        let routes = self.routes.load();
        let each = routes.iter().flat_map(|(route, statuses)| {
            statuses
                .0
                .iter()
                .enumerate()
                .map(move |(place, count)| ((route.clone(), place + 100), count.load(Ordering::Relaxed)))
        });
        each.filter(|(_, count)| *count > 0).collect()
    }
}

impl Statuses {
    fn count(&self, status: StatusCode) {
        let place = usize::from(status.as_u16()).saturating_sub(100).min(499);
        self.0[place].fetch_add(1, Ordering::Relaxed);
    }
}

/// What an evaluation came to, as OFREP writes it: the reasons, then the errors.
const RESULTS: [&str; 10] = [
    "STATIC",
    "TARGETING_MATCH",
    "SPLIT",
    "DEFAULT",
    "DISABLED",
    "FLAG_NOT_FOUND",
    "TARGETING_KEY_MISSING",
    "PARSE_ERROR",
    "INVALID_CONTEXT",
    "GENERAL",
];

/// Where the flags that there are not stand among them.
const NOT_FOUND: usize = 5;

/// Evaluations by what they came to; not by flag, of which there are too many.
#[derive(Default)]
pub(super) struct Evaluations([AtomicU64; RESULTS.len()]);

/// Evaluations of one request: those about all flags are added up before they are counted.
#[derive(Default)]
pub(super) struct Tally([u64; RESULTS.len()]);

impl Tally {
    /// One more.
    pub(super) const fn add(&mut self, given: Result<Reason, &EvaluationError>) {
        self.0[place(given)] += 1;
    }
}

impl Evaluations {
    /// One evaluation.
    pub(super) fn count(&self, given: Result<Reason, &EvaluationError>) {
        self.0[place(given)].fetch_add(1, Ordering::Relaxed);
    }

    /// One of something that cannot be the key of a flag.
    pub(super) fn not_a_key(&self) {
        self.0[NOT_FOUND].fetch_add(1, Ordering::Relaxed);
    }

    /// All evaluations of one request.
    pub(super) fn add(&self, tally: &Tally) {
        for (all, more) in self.0.iter().zip(tally.0).filter(|(_, more)| *more > 0) {
            all.fetch_add(more, Ordering::Relaxed);
        }
    }
}

/// Where in [`RESULTS`] it stands.
const fn place(given: Result<Reason, &EvaluationError>) -> usize {
    match given {
        Ok(Reason::Static) => 0,
        Ok(Reason::TargetingMatch) => 1,
        Ok(Reason::Split) => 2,
        Ok(Reason::Default) => 3,
        Ok(Reason::Disabled) => 4,
        Err(EvaluationError::FlagNotFound(_)) => NOT_FOUND,
        Err(EvaluationError::TargetingKeyMissing(_)) => 6,
        Err(EvaluationError::Parse(_)) => 7,
        Err(EvaluationError::InvalidContext(_)) => 8,
        Err(EvaluationError::General(_)) => 9,
    }
}

/// This backend in numbers, for Prometheus
#[utoipa::path(
    get, path = "/metrics", tag = "watch",
    responses(
        (status = 200, description = "Prometheus text format 0.0.4", content_type = "text/plain", body = String),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn metrics(State(state): State<Shared>, _: Viewer) -> Response {
    match exposition(move |page| page.everything(&state)) {
        Ok(text) => ([(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE))], text).into_response(),
        Err(fmt::Error) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// The metrics that `collect` writes, in the text format.
fn exposition(
    collect: impl Fn(&mut Page<'_>) -> fmt::Result + Send + Sync + 'static,
) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Collect(collect)));
    let mut text = String::with_capacity(16 << 10);
    prometheus_text::encode(&mut text, &registry)?;
    Ok(text)
}

/// A collector that is a function. Values are read at each request, so no metric is kept in the registry.
struct Collect<F>(F);

impl<F> fmt::Debug for Collect<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collect").finish_non_exhaustive()
    }
}

impl<F: Fn(&mut Page<'_>) -> fmt::Result + Send + Sync + 'static> Collector for Collect<F> {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        (self.0)(&mut Page(encoder))
    }
}

/// The metrics page while it is written. Names of counters stand here without their suffix `_total`, which the encoder adds.
struct Page<'e>(DescriptorEncoder<'e>);

impl Page<'_> {
    #[expect(clippy::needless_pass_by_value, reason = "numbers are passed by value")]
    fn gauge(&mut self, name: &str, help: &str, value: impl EncodeGaugeValue) -> fmt::Result {
        self.0.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)
    }

    fn gauges<L: EncodeLabelSet, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (L, V)>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in series {
            metric.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        series: impl IntoIterator<Item = (L, u64)>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, count) in series {
            metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&count, None)?;
        }
        Ok(())
    }

    fn everything(&mut self, state: &Shared) -> fmt::Result {
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        // The encoder adds `_info`.
        self.0
            .encode_descriptor("knightwatch_build", "The program's version", None, MetricType::Info)?
            .encode_info(&version)?;
        self.requests(&state.requests)?;
        self.evaluations(&state.evaluations)?;
        self.gauge("knightwatch_stream_clients", "Control rooms on the event stream", state.hub.listeners())?;
        self.engine(&state.meter)?;
        if let Some(intake) = &state.intake {
            self.telemetry(&intake.inlet.totals())?;
        }
        let snapshot = state.hub.snapshot();
        self.gauge("knightwatch_up", "Whether the engine runs", u32::from(snapshot.is_some()))?;
        snapshot.map_or(Ok(()), |snapshot| self.snapshot(&snapshot))
    }

    fn requests(&mut self, requests: &Requests) -> fmt::Result {
        let series = requests
            .counted()
            .into_iter()
            .map(|((route, status), count)| ([("route", route), ("status", status.to_string())], count));
        self.counters("knightwatch_http_requests", "Requests answered, by route and status", series)
    }

    fn evaluations(&mut self, Evaluations(results): &Evaluations) -> fmt::Result {
        let series = RESULTS
            .iter()
            .zip(results)
            .map(|(result, count)| ([("result", *result)], count.load(Ordering::Relaxed)));
        self.counters("knightwatch_evaluations", "Flags evaluated over OFREP, by reason or error", series)
    }

    fn engine(&mut self, meter: &Meter) -> fmt::Result {
        let steps = meter.steps();
        #[expect(clippy::cast_precision_loss, reason = "edges are small, and nobody reads more digits")]
        let edges = STEP_EDGES.iter().map(|edge| *edge as f64 / 1e6).chain([f64::INFINITY]);
        let buckets: Vec<_> = edges.zip(steps).collect();
        self.0
            .encode_descriptor(
                "knightwatch_tick_duration_seconds",
                "How long the engine's steps took, the journal's disk included",
                None,
                MetricType::Histogram,
            )?
            .encode_histogram::<NoLabelSet>(meter.time().as_secs_f64(), steps.iter().sum(), &buckets, None)?;
        self.gauge(
            "knightwatch_journal_lag_entries",
            "Entries that are in force and not on the disk",
            meter.entries_behind(),
        )
    }

    fn telemetry(&mut self, totals: &Totals) -> fmt::Result {
        let accepted = [(NO_LABELS, totals.accepted)];
        self.counters("knightwatch_telemetry_accepted", "Samples taken", accepted)?;
        let reasons = Rejection::ALL.iter().zip(totals.rejected);
        let rejected = reasons.map(|(why, count)| ([("reason", why.to_string())], count));
        self.counters("knightwatch_telemetry_rejected", "Samples not taken, by reason", rejected)
    }

    fn snapshot(&mut self, snapshot: &Snapshot) -> fmt::Result {
        self.gauge(
            "knightwatch_kill_latch",
            "Whether kill-all is in force",
            u32::from(snapshot.controller.latch.is_some()),
        )?;
        self.gauge(
            "knightwatch_journal_entries",
            "Number of the journal's last entry",
            snapshot.controller.seq.0,
        )?;
        self.gauge(
            "knightwatch_controller_time_seconds",
            "Controller time",
            Number(snapshot.controller.now.as_secs_f64()),
        )?;
        self.gauge(
            "knightwatch_policy_fault",
            "Whether the agent holds everywhere for a fault of its own",
            u32::from(snapshot.controller.policy.fault.is_some()),
        )?;
        let kinds = [Priority::Low, Priority::High, Priority::Critical]
            .into_iter()
            .flat_map(|priority| [false, true].map(|seen| (priority, seen)));
        let alarms = kinds.map(|(priority, seen)| {
            let fits = |alarm: &&knightwatch_core::control::Alarm| {
                alarm.priority() == priority && alarm.acknowledged_by.is_some() == seen
            };
            let labels = ([("priority", priority.as_str())], [("acknowledged", seen)]);
            (labels, snapshot.controller.alarms.iter().filter(fits).count())
        });
        self.gauges(
            "knightwatch_alarms",
            "Alarms that stand, by priority and whether somebody has seen them",
            alarms,
        )?;
        self.gauge(
            "knightwatch_alarms_shelved",
            "Alarms that are out of sight for a time",
            snapshot.controller.alarms.iter().filter(|alarm| alarm.shelf.is_some()).count(),
        )?;
        let rollouts = snapshot.alive().map(|flag| {
            let labels = [("flag", flag.spec.key.as_str()), ("service", flag.spec.service.as_str())];
            (labels, Number(flag.rollout.share()))
        });
        self.gauges("knightwatch_flag_rollout_ratio", "Share of traffic that gets the flag's on", rollouts)?;
        let phases = snapshot.alive().map(|flag| {
            let phase = flag.phase.as_str().replace(' ', "_");
            ([("flag", Cow::from(flag.spec.key.as_str())), ("phase", phase.into())], 1_u32)
        });
        self.gauges("knightwatch_flag_phase", "1 for the phase that the flag is in", phases)
    }
}

/// The label set of a metric with one series.
const NO_LABELS: [(&str, &str); 0] = [];

/// A value without a fraction where it is a whole number, as other exporters write it: `0`, not `0.0`.
struct Number(f64);

impl EncodeGaugeValue for Number {
    fn encode(&self, encoder: &mut GaugeValueEncoder<'_>) -> fmt::Result {
        /// 2^53: integers up to it are exact.
        const EXACT: f64 = 9_007_199_254_740_992.0;
        if self.0.fract() == 0.0 && self.0.abs() < EXACT {
            #[expect(clippy::cast_possible_truncation, reason = "a whole number within the exact range")]
            let whole = self.0 as i64;
            return whole.encode(encoder);
        }
        self.0.encode(encoder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_result_is_counted_under_its_own_name() {
        let key = || "power-peg".parse().unwrap();
        let reasons =
            [Reason::Static, Reason::TargetingMatch, Reason::Split, Reason::Default, Reason::Disabled];
        let errors = [
            EvaluationError::FlagNotFound(key()),
            EvaluationError::TargetingKeyMissing(key()),
            EvaluationError::Parse(String::new()),
            EvaluationError::InvalidContext(String::new()),
            EvaluationError::General(String::new()),
        ];
        let named: Vec<_> = reasons.iter().map(|reason| (Ok(*reason), reason.as_str())).collect();
        let failed = errors.iter().map(|error| (Err(error), error.code()));
        for (given, name) in named.into_iter().chain(failed) {
            let (evaluations, mut tally) = (Evaluations::default(), Tally::default());
            tally.add(given);
            evaluations.add(&tally);
            evaluations.count(given);
            let page = exposition(move |page| page.evaluations(&evaluations)).unwrap();
            assert!(page.contains(&format!("{{result=\"{name}\"}} 2\n")), "{page}");
        }
    }

    #[test]
    fn no_count_is_lost_while_routes_are_new() {
        let requests = Requests::default();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let requests = &requests;
                scope.spawn(move || {
                    for index in 0..200 {
                        requests.count(&format!("/{}", (index + thread * 50) % 200), StatusCode::OK);
                    }
                });
            }
        });
        let counted = requests.counted();
        assert_eq!((counted.len(), counted.values().sum::<u64>()), (200, 800));
    }

    #[test]
    fn labels_cannot_end_early_and_counts_are_by_route_and_status() {
        let requests = Requests::default();
        for status in [StatusCode::OK, StatusCode::OK, StatusCode::NOT_FOUND] {
            requests.count("/api/v1/flags/{key}", status);
        }
        let page = exposition(move |page| {
            page.requests(&requests)?;
            page.gauges("x", "A hostile label", [([("a", "q\"\\\n")], 1_u32)])
        });
        let page = page.unwrap();
        assert!(page.contains("{route=\"/api/v1/flags/{key}\",status=\"200\"} 2\n"), "{page}");
        assert!(page.contains("status=\"404\"} 1\n"));
        assert!(page.ends_with("x{a=\"q\\\"\\\\\\n\"} 1\n"), "{page}");
    }

    #[test]
    fn a_page_has_the_text_formats_names_types_and_numbers() {
        let page = exposition(|page| {
            page.engine(&Meter::default())?;
            page.telemetry(&Totals::default())?;
            page.gauge("whole", "Without a fraction", Number(1.0))?;
            page.gauge("half", "With one", Number(0.5))
        });
        let page = page.unwrap();
        for line in [
            "# HELP knightwatch_tick_duration_seconds How long the engine's steps took, the journal's disk included",
            "# TYPE knightwatch_tick_duration_seconds histogram",
            "knightwatch_tick_duration_seconds_bucket{le=\"0.0005\"} 0",
            "knightwatch_tick_duration_seconds_bucket{le=\"5\"} 0",
            "knightwatch_tick_duration_seconds_bucket{le=\"+Inf\"} 0",
            "knightwatch_tick_duration_seconds_count 0",
            "# TYPE knightwatch_telemetry_accepted_total counter",
            "knightwatch_telemetry_accepted_total 0",
            "knightwatch_telemetry_rejected_total{reason=\"negative\"} 0",
            "# TYPE whole gauge",
            "whole 1",
            "half 0.5",
        ] {
            assert_eq!(page.lines().filter(|found| *found == line).count(), 1, "{line} is not in\n{page}");
        }
    }
}
