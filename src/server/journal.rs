//! The journal over HTTP: pages of it, all of it as JSON Lines, and whether it is whole.
//!
//! Pages without a filter come from the engine, which knows what is in force but not on the disk yet. Everything else reads the
//! file beside it, on a thread that holds nobody up, and in pieces of bounded size.

use std::{
    io::{self, Write},
    path::Path,
    sync::Arc,
    time::Duration,
};

use axum::{
    Json,
    body::{Body, Bytes},
    extract::{Query, State, rejection::QueryRejection},
    http::header,
    response::{IntoResponse, Response},
};
use futures::stream;
use serde::{Deserialize, Serialize};
use tokio::{
    runtime::Handle,
    sync::{
        OwnedSemaphorePermit,
        mpsc::{self, Sender},
    },
    task::spawn_blocking,
    time::timeout,
};
use utoipa::{IntoParams, ToSchema};

use super::{
    Problem,
    access::Viewer,
    answer::Page,
    read::page,
    state::{ServerState, Shared},
};
use knightwatch_core::{
    control::{Actor, Entry, Event, Seq},
    flag::{FlagKey, KeyError},
};
use knightwatch_store as store;
use knightwatch_store::{ExportFormat, Filter, Head, Journal, StoreError};

/// Exports and verifications at once: each reads the whole file.
pub(super) const AT_ONCE: usize = 2;

/// What an export sends at once, in bytes, and how many such pieces wait for a reader.
const PIECE: usize = 64 << 10;
const WAITING: usize = 4;

/// How long a reader may leave a piece untaken before its export ends.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which entries of the journal.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Entries {
    /// Only those below this number; the newest where it is left out.
    before: Option<u64>,
    /// How many at most, 1 to 1 000; 100 where it is left out.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// Only those about this flag.
    flag: Option<String>,
    /// Only those of this kind, such as `rollback` or `kill-all`.
    kind: Option<String>,
    /// Only those by `agent`, `shield`, `system`, or the person of this name.
    actor: Option<String>,
}

/// The journal, a page at a time, from the newest backwards
#[utoipa::path(
    get, path = "/api/v1/journal", tag = "watch", params(Entries),
    responses(
        (status = 200, description = "A page, oldest first", body = Page),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn journal(
    State(state): State<Shared>,
    _: Viewer,
    which: Result<Query<Entries>, QueryRejection>,
) -> Result<Json<Page>, Problem> {
    let Query(Entries { before, limit, flag, kind, actor }) = which?;
    let (before, limit) = (before.map(Seq), page(limit)?);
    let wrong = |error: KeyError| Problem::input(&format!("flag: {error}"));
    let flag: Option<FlagKey> = flag.map(|key| key.parse()).transpose().map_err(wrong)?;
    if let Some(kind) = kind.as_deref().filter(|kind| !Event::KINDS.contains(kind)) {
        let known = Event::KINDS.join(", ");
        return Err(Problem::input(&format!("kind: expected one of {known}, found {kind:?}")));
    }
    let filter = Filter { flag, kind, actor: actor.as_deref().map(Actor::named) };
    let entries = if filter == Filter::default() {
        state.backend.entries(before, limit).await?
    } else {
        let path = state.journal.clone();
        reading(move || found(&path, &filter, before, limit)).await?.map_err(|error| unread(&error))?
    };
    let before = entries.first().map(|entry| entry.seq.0).filter(|seq| *seq > 1);
    let in_json = entries.iter().map(serde_json::to_value).collect::<Result<_, _>>();
    let entries = in_json.map_err(|error| Problem::unavailable(&error.to_string()))?;
    Ok(Json(Page { entries, before }))
}

fn found(path: &Path, filter: &Filter, before: Option<Seq>, limit: usize) -> Result<Vec<Entry>, StoreError> {
    let journal = Journal::open_read_only(path)?;
    match before {
        Some(before) => journal.search(filter, ..before, limit),
        None => journal.search(filter, .., limit),
    }
}

/// The whole journal with its hashes, as JSON Lines
///
/// The form of `knightwatch audit export`: anybody can verify it by itself, and compare it with the journal later.
#[utoipa::path(
    get, path = "/api/v1/journal/export", tag = "watch",
    responses(
        (status = 200, description = "One JSON object a line; a body that ends early is not whole", content_type = "application/x-ndjson", body = String),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn export(State(state): State<Shared>, _: Viewer) -> Result<Response, Problem> {
    let permit = state.reader()?;
    let path = state.journal.clone();
    // Opened first: what cannot be read at all is a problem, not a body without lines.
    let journal = reading(move || Journal::open_read_only(&path)).await?.map_err(|error| unread(&error))?;
    let (out, pieces) = mpsc::channel(WAITING);
    let mut pipe = Pipe { out, held: Vec::with_capacity(PIECE), runtime: Handle::current() };
    spawn_blocking(move || {
        let _permit = permit;
        if let Err(error) = store::export(&journal, ExportFormat::JsonLines, &mut pipe) {
            tracing::warn!("an export of the journal ended early: {error}");
            // So that the reader knows; who has gone needs no telling.
            let _ = pipe.out.try_send(Err(io::Error::other(error.to_string())));
        }
    });
    let body = stream::unfold(pieces, |mut pieces| async move { Some((pieces.recv().await?, pieces)) });
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(body)).into_response())
}

/// What is written to it, as pieces of a body.
struct Pipe {
    out: Sender<io::Result<Bytes>>,
    held: Vec<u8>,
    runtime: Handle,
}

impl Pipe {
    fn send(&mut self) -> io::Result<()> {
        let piece = Bytes::from(std::mem::replace(&mut self.held, Vec::with_capacity(PIECE)));
        match self.runtime.block_on(async { timeout(PATIENCE, self.out.send(Ok(piece))).await }) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(io::Error::from(io::ErrorKind::BrokenPipe)),
            Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut)),
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.held.extend_from_slice(bytes);
        if self.held.len() >= PIECE {
            self.send()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.held.is_empty() { Ok(()) } else { self.send() }
    }
}

/// What the journal is compared with.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Against {
    /// A head noted elsewhere, `SEQ:HASH`, as an earlier verification gave it: it has to be in the journal.
    head: Option<String>,
}

/// Whether the journal is as it was written.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(super) struct Verified {
    /// Whether nothing is wrong.
    sound: bool,
    /// How many entries from the first one on are as they were written.
    entries: u64,
    /// The head up to there, `SEQ:HASH`: to be noted elsewhere.
    head: String,
    /// What was found, in sentences.
    details: Vec<String>,
}

/// Verifies the journal's hash chain from its beginning; takes a while, and holds nobody up
#[utoipa::path(
    get, path = "/api/v1/journal/verify", tag = "watch", params(Against),
    responses(
        (status = 200, description = "What was found; `sound` says whether anything is wrong", body = Verified),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn verify(
    State(state): State<Shared>,
    _: Viewer,
    against: Result<Query<Against>, QueryRejection>,
) -> Result<Json<Verified>, Problem> {
    let Query(Against { head }) = against?;
    let given = head.map(|text| text.parse::<Head>()).transpose();
    let given = given.map_err(|error| Problem::input(&format!("head: {error}")))?;
    let permit = state.reader()?;
    let path = state.journal.clone();
    let verified = reading(move || {
        let _permit = permit;
        store::verify_with_head(&path, given)
    });
    let report = verified.await?.map_err(|error| unread(&error))?;
    Ok(Json(Verified {
        sound: report.is_sound(),
        entries: report.entries,
        head: report.head.to_string(),
        details: report.to_string().lines().map(str::to_owned).collect(),
    }))
}

impl ServerState {
    /// Leave to read the whole file.
    fn reader(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.readers).try_acquire_owned().map_err(|_| {
            Problem::unavailable(&format!(
                "{AT_ONCE} exports or verifications of the journal are under way; try again when one is over"
            ))
        })
    }
}

/// Does `work` on a thread of its own.
async fn reading<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    spawn_blocking(work).await.map_err(|_| Problem::unavailable("the journal could not be read"))
}

fn unread(error: &StoreError) -> Problem {
    tracing::error!("{error}");
    Problem::unavailable(&error.to_string())
}
