//! What the request guard refuses, before authentication: requests that reached this address by a name that
//! is not its own (DNS rebinding), or that a foreign web page makes. Pages of configured origins may evaluate flags.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::{Peer, Problem, state::Shared};

/// Below this a page of a configured origin is let in.
const EVALUATION: &str = "/ofrep/";

/// For how long a browser need not ask again whether it may ask.
const PREFLIGHT: Duration = Duration::from_mins(10);

/// Tells browsers that pages of the configured origins may evaluate flags, with a token but without cookies.
pub(super) fn cors(state: &Shared) -> CorsLayer {
    let origins = state.origins.iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_NONE_MATCH,
            HeaderName::from_static("last-event-id"),
        ])
        .expose_headers([header::ETAG, header::RETRY_AFTER])
        .max_age(PREFLIGHT)
}

/// Refuses foreign hosts and origins; marks every answer as not to be kept or guessed at.
pub(super) async fn request_guard(
    State(state): State<Shared>,
    request: Request<Body>,
    next: Next,
) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let over_unix = matches!(request.extensions().get::<Peer>(), Some(Peer::Unix { .. }));
    let mut response = match refused(&state, &request, over_unix) {
        Some(problem) => problem.into_response(),
        None => next.run(request).await,
    };
    state.requests.count(route.as_ref().map_or("none", MatchedPath::as_str), response.status());
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn refused(state: &Shared, request: &Request<Body>, over_unix: bool) -> Option<Problem> {
    let text = |name| request.headers().get(name).map(|value: &HeaderValue| value.to_str().unwrap_or("?"));
    if request.headers().get_all(header::HOST).iter().count() > 1 {
        return Some(Problem::input("expected one Host header"));
    }
    let host = request.uri().host().or_else(|| text(header::HOST).map(without_port));
    // A request over the unix socket has no address that anybody could pretend.
    if !over_unix && !host.is_some_and(|host| is_ours(state, host)) {
        let found = host.unwrap_or("nothing");
        return Some(Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "host",
            "Not a name of this backend",
            &format!("expected a Host that this backend is configured for, found {found:?}"),
        ));
    }
    let origin = text(header::ORIGIN)?;
    let own = origin.parse::<Uri>().ok().and_then(|origin| origin.host().map(str::to_owned));
    if own.is_some_and(|origin| is_ours(state, &origin)) {
        return None;
    }
    if request.uri().path().starts_with(EVALUATION) && state.origins.contains(origin) {
        return None;
    }
    Some(Problem::new(
        StatusCode::FORBIDDEN,
        "origin",
        "Not from this page",
        &format!(
            "requests of web pages are taken from this backend's own names, and under {EVALUATION} from server.origins; found {origin:?}"
        ),
    ))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn is_ours(state: &Shared, host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    matches!(host.as_str(), "localhost" | "127.0.0.1" | "::1") || state.hosts.load().contains(&host)
}

/// No such route.
pub(super) async fn not_found(uri: Uri) -> Problem {
    Problem::not_found(&format!("there is nothing at {:?}; the description is at /openapi.json", uri.path()))
}

/// A route, but not for this method.
pub(super) async fn wrong_method(uri: Uri) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method",
        "Not with this method",
        &format!("{:?} is asked for with another method; the description is at /openapi.json", uri.path()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_left_out_and_addresses_kept_whole() {
        assert_eq!(without_port("localhost:8000"), "localhost");
        assert_eq!(without_port("[::1]:8000"), "[::1]");
        assert_eq!(without_port("example.org"), "example.org");
    }
}
