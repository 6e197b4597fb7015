//! Ourselves in numbers, for Prometheus: what was asked, how the engine keeps up, how the flags stand.
//!
//! The text format 0.0.4. What is counted at each request costs additions and no lock; everything else is read when somebody
//! asks.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::{self, Display, Write},
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
    let mut page = Page(String::with_capacity(16 << 10));
    page.head("knightwatch_build_info", "gauge", "The program's version");
    page.line("knightwatch_build_info", &[("version", &env!("CARGO_PKG_VERSION"))], 1);
    page.requests(&state.requests);
    page.evaluations(&state.evaluations);
    page.head("knightwatch_stream_clients", "gauge", "Control rooms on the event stream");
    page.line("knightwatch_stream_clients", &[], state.hub.listeners());
    page.engine(&state.meter);
    if let Some(intake) = &state.intake {
        page.telemetry(&intake.inlet.totals());
    }
    page.head("knightwatch_up", "gauge", "Whether the engine runs");
    let room = state.hub.room();
    page.line("knightwatch_up", &[], u8::from(room.is_some()));
    if let Some(room) = room {
        page.room(&room);
    }
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], page.0).into_response()
}

/// The text that comes of it.
struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &dyn Display)], value: impl Display) {
        self.0.push_str(name);
        for (place, (label, text)) in labels.iter().enumerate() {
            self.0.push(if place == 0 { '{' } else { ',' });
            let _ = write!(self.0, "{label}=\"{}\"", Escaped(*text));
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    fn requests(&mut self, requests: &Requests) {
        self.head("knightwatch_http_requests_total", "counter", "Requests answered, by route and status");
        for ((route, status), count) in requests.counted() {
            self.line("knightwatch_http_requests_total", &[("route", &route), ("status", &status)], count);
        }
    }

    fn evaluations(&mut self, Evaluations(results): &Evaluations) {
        let name = "knightwatch_evaluations_total";
        self.head(name, "counter", "Flags evaluated over OFREP, by reason or error");
        for (result, count) in RESULTS.iter().zip(results) {
            self.line(name, &[("result", result)], count.load(Ordering::Relaxed));
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "edges are small, and nobody reads more digits")]
    fn engine(&mut self, meter: &Meter) {
        let name = "knightwatch_tick_duration_seconds";
        self.head(name, "histogram", "How long the engine's steps took, the journal's disk included");
        let steps = meter.steps();
        let mut below = 0;
        for (edge, count) in STEP_EDGES.iter().zip(&steps) {
            below += count;
            self.line(&format!("{name}_bucket"), &[("le", &(*edge as f64 / 1e6))], below);
        }
        let all: u64 = steps.iter().sum();
        self.line(&format!("{name}_bucket"), &[("le", &"+Inf")], all);
        self.line(&format!("{name}_sum"), &[], meter.time().as_secs_f64());
        self.line(&format!("{name}_count"), &[], all);
        let name = "knightwatch_journal_lag_entries";
        self.head(name, "gauge", "Entries that are in force and not on the disk");
        self.line(name, &[], meter.entries_behind());
    }

    fn telemetry(&mut self, totals: &Totals) {
        self.head("knightwatch_telemetry_accepted_total", "counter", "Samples taken");
        self.line("knightwatch_telemetry_accepted_total", &[], totals.accepted);
        self.head("knightwatch_telemetry_rejected_total", "counter", "Samples not taken, by reason");
        for (why, count) in Rejection::ALL.iter().zip(totals.rejected) {
            self.line("knightwatch_telemetry_rejected_total", &[("reason", &why)], count);
        }
    }

    fn room(&mut self, room: &Snapshot) {
        self.head("knightwatch_kill_latch", "gauge", "Whether kill-all is in force");
        self.line("knightwatch_kill_latch", &[], u8::from(room.latch.is_some()));
        self.head("knightwatch_journal_entries", "gauge", "Number of the journal's last entry");
        self.line("knightwatch_journal_entries", &[], room.seq.0);
        self.head("knightwatch_controller_time_seconds", "gauge", "Controller time");
        self.line("knightwatch_controller_time_seconds", &[], room.now.as_secs_f64());
        self.head(
            "knightwatch_policy_fault",
            "gauge",
            "Whether the agent holds everywhere for a fault of its own",
        );
        self.line("knightwatch_policy_fault", &[], u8::from(room.policy.fault.is_some()));
        self.head(
            "knightwatch_alarms",
            "gauge",
            "Alarms that stand, by priority and whether somebody has seen them",
        );
        for priority in [Priority::Low, Priority::High, Priority::Critical] {
            for seen in [false, true] {
                let fits = |alarm: &&knightwatch_core::control::Alarm| {
                    alarm.priority() == priority && alarm.acknowledged_by.is_some() == seen
                };
                let count = room.alarms.iter().filter(fits).count();
                self.line("knightwatch_alarms", &[("priority", &priority), ("acknowledged", &seen)], count);
            }
        }
        self.head("knightwatch_alarms_shelved", "gauge", "Alarms that are out of sight for a time");
        let shelved = room.alarms.iter().filter(|alarm| alarm.shelf.is_some()).count();
        self.line("knightwatch_alarms_shelved", &[], shelved);
        self.head("knightwatch_flag_rollout_ratio", "gauge", "Share of traffic that gets the flag's on");
        for flag in room.alive() {
            let labels: [(&str, &dyn Display); 2] =
                [("flag", &flag.spec.key), ("service", &flag.spec.service)];
            self.line("knightwatch_flag_rollout_ratio", &labels, flag.rollout.share());
        }
        self.head("knightwatch_flag_phase", "gauge", "1 for the phase that the flag is in");
        for flag in room.alive() {
            let phase = flag.phase.as_str().replace(' ', "_");
            self.line("knightwatch_flag_phase", &[("flag", &flag.spec.key), ("phase", &phase)], 1);
        }
    }
}

/// A label's value with what would end it escaped.
struct Escaped<'a>(&'a dyn Display);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.to_string().chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
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
            let mut page = Page(String::new());
            page.evaluations(&evaluations);
            assert!(page.0.contains(&format!("{{result=\"{name}\"}} 2\n")), "{}", page.0);
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
        let mut page = Page(String::new());
        page.requests(&requests);
        page.line("x", &[("a", &"q\"\\\n")], 1);
        assert!(page.0.contains("{route=\"/api/v1/flags/{key}\",status=\"200\"} 2\n"), "{}", page.0);
        assert!(page.0.contains("status=\"404\"} 1\n"));
        assert!(page.0.ends_with("x{a=\"q\\\"\\\\\\n\"} 1\n"), "{}", page.0);
    }
}
