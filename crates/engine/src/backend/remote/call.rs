//! Requests to a backend: orders that keep their id over every attempt, pages of the journal, the pace.

use std::{
    error::Error,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::target::{RemoteError, Target, root_of};
use crate::backend::{Ack, FlagsOff, OrderError, Pace};
use knightwatch_core::{
    control::{Command, DeployKind, Entry, HttpMethod, Order, Seq},
    flag::clean_line,
};

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(10);

/// For how long an order is tried again where the line is down or broke under way.
const TRIED: Duration = Duration::from_secs(5);

/// Time between two attempts.
const PAUSE: Duration = Duration::from_millis(250);

/// Entries asked for at once.
const PAGE: usize = 1_000;

/// Asks a backend.
#[derive(Clone)]
pub(super) struct Caller {
    client: Client,
    target: Arc<Target>,
}

/// What went wrong with one attempt.
enum Failed {
    /// It certainly never left.
    NotSent(String),
    /// It left, and what became of it is not known.
    Unanswered(String),
    /// It was answered with no.
    Refused(OrderError),
}

/// An acknowledgement as the backend tells it.
#[derive(Deserialize)]
struct Acknowledged {
    seq: Seq,
    done: Vec<String>,
    warnings: Vec<String>,
    durable: bool,
    flags_off: Option<FlagsOff>,
}

impl From<Acknowledged> for Ack {
    fn from(told: Acknowledged) -> Self {
        let clean = |lines: Vec<String>| lines.iter().map(|line| clean_line(line)).collect();
        let Acknowledged { seq, done, warnings, durable, flags_off } = told;
        Self { seq, done: clean(done), warnings: clean(warnings), durable, flags_off }
    }
}

/// A problem as the backend reports it.
#[derive(Deserialize)]
struct ProblemBody {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    refusal: Option<knightwatch_core::control::Refusal>,
}

impl ProblemBody {
    fn into_error(self, status: StatusCode) -> OrderError {
        let detail = clean_line(&self.detail);
        let detail = if detail.is_empty() { format!("the backend answered {status}") } else { detail };
        match (self.refusal, self.kind.as_str()) {
            (Some(refusal), _) => OrderError::Refused(refusal),
            (None, "/problems/not-durable") => OrderError::NotDurable(detail),
            (None, "/problems/unavailable") => OrderError::NotSent(detail),
            // What stands between, such as a proxy, does not know what became of it either.
            (None, _) if status.is_server_error() => OrderError::Unknown(detail),
            (None, _) if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                OrderError::NotPermitted(detail)
            }
            (None, _) => OrderError::NotAccepted(detail),
        }
    }
}

impl Caller {
    pub(super) fn new(client: Client, target: &Target) -> Self {
        Self { client, target: Arc::new(target.clone()) }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, self.target.url(path));
        let request = match self.target.token() {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        // A header has ASCII alone.
        let claims: String = self.target.claims.chars().filter(char::is_ascii).collect();
        request.header("knightwatch-claims", claims)
    }

    /// Opens the event stream after the event `last`.
    pub(super) async fn events(&self, last: Option<&str>) -> Result<Response, RemoteError> {
        let mut request = self.request(Method::GET, "/api/v1/events");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        self.opened(request).await
    }

    /// The answer to `request`, with its body still to come.
    async fn opened(&self, request: RequestBuilder) -> Result<Response, RemoteError> {
        let response = request.send().await.map_err(|error| self.target.unreachable(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let told: Result<ProblemBody, _> = response.json().await;
        let problem = told.map_or_else(|_| format!("answered {status}"), |told| clean_line(&told.detail));
        Err(self.refused(&(problem + self.hint(status))))
    }

    fn hint(&self, status: StatusCode) -> &'static str {
        if status == StatusCode::UNAUTHORIZED { self.target.hint() } else { "" }
    }

    pub(super) fn refused(&self, problem: &str) -> RemoteError {
        RemoteError::Refused { target: self.target.to_string(), problem: problem.to_owned() }
    }

    pub(super) fn broken(&self, problem: &str) -> RemoteError {
        RemoteError::Unreachable { target: self.target.to_string(), problem: problem.to_owned() }
    }

    pub(super) fn silent(&self, so_long: Duration) -> RemoteError {
        self.broken(&format!("nothing heard for {} s", so_long.as_secs()))
    }

    /// Gives an order; the same id goes with every attempt.
    pub(super) async fn order(&self, order: &Order) -> Result<Ack, OrderError> {
        let (method, path, body) = request_of(order)?;
        let attempt = || async {
            let mut request =
                self.request(method.clone(), &path).header("idempotency-key", &order.id.0).json(&body);
            if let Some(expected) = order.expected {
                request = request.header("if-match", format!("\"{}\"", expected.0));
            }
            let answer = self.answer(request).await?;
            let ack: Acknowledged =
                serde_json::from_value(answer).map_err(|error| Failed::Unanswered(error.to_string()))?;
            Ok(ack.into())
        };
        self.insist(attempt).await
    }

    /// Entries of the journal below `before` that fit `wanted` (`flag`, `kind`, `actor`), at most `limit`, oldest first.
    pub(super) async fn entries(
        &self,
        before: Option<Seq>,
        limit: usize,
        wanted: &[(&str, String)],
    ) -> Result<Vec<Entry>, OrderError> {
        let mut found: Vec<Entry> = Vec::new();
        let mut before = before;
        while found.len() < limit {
            let most = (limit - found.len()).min(PAGE);
            let attempt = || async {
                let mut request =
                    self.request(Method::GET, "/api/v1/journal").query(&[("limit", most)]).query(wanted);
                if let Some(before) = before {
                    request = request.query(&[("before", before.0)]);
                }
                let mut answer = self.answer(request).await?;
                serde_json::from_value::<Vec<Entry>>(answer["entries"].take())
                    .map_err(|error| Failed::Unanswered(format!("the journal cannot be read: {error}")))
            };
            let page = self.insist(attempt).await?;
            let Some(first) = page.first() else { break };
            before = Some(first.seq);
            let is_last = page.len() < most;
            found.splice(0..0, page);
            if is_last {
                break;
            }
        }
        Ok(found)
    }

    /// Asks for something that can be read.
    pub(super) async fn get(&self, path: &str) -> Result<Value, OrderError> {
        self.insist(|| self.answer(self.request(Method::GET, path))).await
    }

    /// Asks once, for at most `patience`.
    pub(super) async fn once(&self, path: &str, patience: Duration) -> Option<Value> {
        let answer = self.answer(self.request(Method::GET, path));
        tokio::time::timeout(patience, answer).await.ok()?.ok()
    }

    /// What is at `path`, piece by piece, as it comes.
    pub(super) async fn download(
        &self,
        path: &str,
        mut piece: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), RemoteError> {
        let mut response = self.opened(self.request(Method::GET, path)).await?;
        loop {
            let next = tokio::time::timeout(ATTEMPT, response.chunk()).await;
            match next.map_err(|_| self.silent(ATTEMPT))?.map_err(|error| self.target.unreachable(&error))? {
                Some(bytes) => piece(&bytes).map_err(|error| self.broken(&error.to_string()))?,
                None => return Ok(()),
            }
        }
    }

    /// Changes the pace of simulated time.
    pub(super) async fn pace(&self, pace: Pace) -> Result<(), OrderError> {
        let (speed, real) = match pace {
            Pace::Real => (1, true),
            Pace::Times(times) => (times, false),
            Pace::Stopped => (0, false),
        };
        let body = json!({"speed": speed, "real": real});
        let attempt = || async {
            let request = self.request(Method::PUT, "/api/v1/simulation/speed").json(&body);
            self.answer(request).await.map(drop)
        };
        self.insist(attempt).await
    }

    /// Tries until there is an answer, or it has taken too long.
    async fn insist<T, F>(&self, attempt: impl Fn() -> F) -> Result<T, OrderError>
    where
        F: Future<Output = Result<T, Failed>>,
    {
        let begun = Instant::now();
        // Once one attempt may have left, none of those after it makes it certain that it did not.
        let mut unanswered = None;
        loop {
            let problem = match attempt().await {
                Ok(answer) => return Ok(answer),
                Err(Failed::Refused(error)) => return Err(error),
                Err(Failed::Unanswered(problem)) => {
                    unanswered = Some(problem.clone());
                    problem
                }
                Err(Failed::NotSent(problem)) => problem,
            };
            if begun.elapsed() >= TRIED {
                let place = format!("{}: {problem}", self.target);
                return Err(match unanswered {
                    Some(_) => OrderError::Unknown(place),
                    None => OrderError::NotSent(place),
                });
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Value, Failed> {
        let response = request.timeout(ATTEMPT).send().await.map_err(|error| {
            let problem = root_of(&error);
            if never_left(&error) { Failed::NotSent(problem) } else { Failed::Unanswered(problem) }
        })?;
        let status = response.status();
        if status.is_success() {
            return response.json().await.map_err(|error| Failed::Unanswered(root_of(&error)));
        }
        let told: Result<ProblemBody, _> = response.json().await;
        let mut told =
            told.unwrap_or(ProblemBody { kind: String::new(), detail: String::new(), refusal: None });
        told.detail.push_str(self.hint(status));
        Err(Failed::Refused(told.into_error(status)))
    }
}

/// Whether a request failed before any byte of it was sent.
fn never_left(error: &reqwest::Error) -> bool {
    if error.is_connect() || error.is_builder() {
        return true;
    }
    let mut cause: Option<&dyn Error> = error.source();
    while let Some(inner) = cause {
        if inner
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
        {
            return true;
        }
        cause = inner.source();
    }
    false
}

/// The method, the path and the body of an order.
fn request_of(order: &Order) -> Result<(Method, String, Value), OrderError> {
    if let Some(spec) = order.command.spec() {
        let method = match spec.method {
            HttpMethod::Post => Method::POST,
            HttpMethod::Patch => Method::PATCH,
        };
        let (path, mut body) = spec.request(&order.command);
        body.insert("reason".to_owned(), order.reason.as_str().into());
        return Ok((method, path, body.into()));
    }
    match &order.command {
        Command::Deployed { kind, what } => {
            let word = match kind {
                DeployKind::Deployed => "deployed",
                DeployKind::Upgraded => "upgraded",
                DeployKind::RolledBack => "rolledback",
            };
            let document = json!({
                "context": {
                    "id": order.id, "source": "/knightwatch", "type": format!("dev.cdevents.service.{word}.0.2.0"),
                },
                "subject": {"id": what.service, "content": {"artifactId": what.artifact}},
            });
            Ok((Method::POST, "/api/v1/deployments".to_owned(), document))
        }
        // What a backend says of its own files comes from no client.
        other => Err(OrderError::NotSent(format!("no client orders this: {}", other.in_words()))),
    }
}
