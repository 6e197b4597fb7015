//! The event stream: server-sent events for control rooms, resumable without a gap.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderName, header},
    response::{IntoResponse, Response},
};
use futures::{Stream, stream};

use super::{
    access::Viewer,
    hub::{Next, StreamPosition},
    state::Shared,
};

/// Something is sent at least this often, so that whoever hears nothing for two seconds knows that contact is lost.
const BEAT: Duration = Duration::from_millis(800);

/// Snapshots and changes as server-sent events
///
/// The first event is a `snapshot` unless `Last-Event-ID` names an event that is still kept; then `change` events follow without
/// a gap. Each has an id. Flags in a change are merge patches (RFC 7396) on what was said of them before. A reader that
/// falls too far behind gets a new `snapshot`. A comment is sent where nothing else was for 800 ms.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "watch",
    params(("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was heard")),
    responses(
        (status = 200, description = "The stream, without an end", content_type = "text/event-stream", body = String),
        (status = "default", description = "A problem", body = super::Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn stream(State(state): State<Shared>, _: Viewer, headers: HeaderMap) -> Response {
    let position: Option<StreamPosition> =
        headers.get("last-event-id").and_then(|id| id.to_str().ok()).and_then(|id| id.parse().ok());
    let news = state.hub.news();
    let begin = (state, news, position);
    let events = stream::unfold(begin, |(state, mut news, mut position)| async move {
        loop {
            match state.hub.next(position) {
                Next::Event(event, next) => {
                    position = Some(next);
                    let text = format!("id: {next}\nevent: {}\ndata: {}\n\n", event.kind, event.data);
                    return Some((Ok::<_, Infallible>(Bytes::from(text)), (state, news, position)));
                }
                Next::End => return None,
                Next::Wait => match tokio::time::timeout(BEAT, news.changed()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return None,
                    Err(_) => return Some((Ok(Bytes::from_static(b":\n\n")), (state, news, position))),
                },
            }
        }
    });
    sent_as_events(events)
}

/// A body of server-sent events that nobody on the way keeps.
pub(super) fn sent_as_events(
    events: impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static,
) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // Reverse proxies would collect events otherwise.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, Body::from_stream(events)).into_response()
}
