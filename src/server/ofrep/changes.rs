//! The stream of changes: one frame for all who listen, encoded once.
//!
//! A listener is a place in a watch and shares the frame's bytes with all others, so that nine thousand of them cost little
//! more than their connections. The frames are made on a thread of their own: whatever the server's threads are busy with, a
//! kill-all is told at once.

use std::{convert::Infallible, io, sync::Arc, thread, time::Duration};

use arc_swap::ArcSwap;
use axum::body::Bytes;
use futures::{Stream, stream};
use sha2::{Digest, Sha256};
use tokio::{
    sync::watch,
    time::{Instant, timeout, timeout_at},
};

use crate::server::definition_store::DefinitionStore;
use knightwatch_core::telemetry::Millis;
use knightwatch_engine::{ServingTable, wall_clock};

/// Shortest time between two frames, but for a kill-all or re-arming: every frame makes everybody ask again.
const PAUSE: Duration = Duration::from_secs(1);

/// How long a client waits before it connects again, in milliseconds: at random within this, so that a server that comes back
/// is not run over.
const RETRY: std::ops::RangeInclusive<u16> = 500..=4_500;

/// One frame.
#[derive(Debug)]
struct Frame {
    etag: String,
    bytes: Bytes,
    /// Nothing comes after this.
    last: bool,
}

impl Frame {
    fn new(serving_table: &ServingTable, definition_store: &DefinitionStore, begun: Millis) -> Self {
        let mut digest = Sha256::new();
        digest.update(definition_store.current().digest());
        digest.update(serving_table.revision().to_be_bytes());
        // Revisions restart from zero with every start.
        digest.update(begun.0.to_be_bytes());
        let etag = const_hex::encode(&digest.finalize()[..16]);
        let at = wall_clock().0 / 1_000;
        let bytes = format!(
            "id: {etag}\nevent: message\ndata: {{\"type\":\"refetchEvaluation\",\"etag\":\"{etag}\",\"lastModified\":{at}}}\n\n"
        );
        Self { etag, bytes: bytes.into(), last: false }
    }
}

/// What is told of changes.
#[derive(Debug)]
pub(in crate::server) struct Changes {
    frames: watch::Sender<Arc<Frame>>,
    /// The newest frame, for those who must not wait for a lock.
    newest: ArcSwap<Frame>,
}

impl Changes {
    /// Begins to tell of what changes in the serving table and in the definitions.
    pub(in crate::server) fn start(
        serving_table: &Arc<ServingTable>,
        definition_store: &Arc<DefinitionStore>,
    ) -> io::Result<Arc<Self>> {
        let begun = wall_clock();
        // Watched from before the first frame is made, so that nothing is missed in between.
        let (revisions, definitions) = (serving_table.revisions(), definition_store.changes());
        let first = Arc::new(Frame::new(serving_table, definition_store, begun));
        let changes =
            Arc::new(Self { frames: watch::Sender::new(Arc::clone(&first)), newest: ArcSwap::new(first) });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let (told, serving_table, definition_store) =
            (Arc::clone(&changes), Arc::clone(serving_table), Arc::clone(definition_store));
        thread::Builder::new().name("changes".to_owned()).spawn(move || {
            runtime.block_on(told.tell(&serving_table, &definition_store, begun, revisions, definitions));
        })?;
        Ok(changes)
    }

    /// The newest configuration's.
    pub(in crate::server) fn etag(&self) -> String {
        self.newest.load().etag.clone()
    }

    /// All streams end.
    pub(in crate::server) fn end(&self) {
        let etag = self.etag();
        self.frames.send_replace(Arc::new(Frame { etag, bytes: Bytes::new(), last: true }));
    }

    async fn tell(
        &self,
        serving_table: &ServingTable,
        definition_store: &DefinitionStore,
        begun: Millis,
        mut revisions: watch::Receiver<u64>,
        mut definitions: watch::Receiver<()>,
    ) {
        let mut ending = self.frames.subscribe();
        loop {
            tokio::select! {
                changed = revisions.changed() => if changed.is_err() { return },
                changed = definitions.changed() => if changed.is_err() { return },
                ended = ending.wait_for(|frame| frame.last) => {
                    drop(ended);
                    return;
                }
            }
            let latched = serving_table.is_latched();
            let frame = Arc::new(Frame::new(serving_table, definition_store, begun));
            self.newest.store(Arc::clone(&frame));
            let over = self.frames.send_if_modified(|now| {
                if !now.last {
                    *now = frame;
                }
                !now.last
            });
            if !over {
                return;
            }
            let next = Instant::now() + PAUSE;
            let mut more = false;
            loop {
                match timeout_at(next, revisions.changed()).await {
                    Ok(Ok(())) => more = true,
                    Ok(Err(_)) => return,
                    Err(_) => break,
                }
                // A kill-all waits for nothing.
                if serving_table.is_latched() != latched {
                    break;
                }
            }
            if more {
                revisions.mark_changed();
            }
        }
    }

    /// What somebody hears who has heard `heard` last; something at least every `beat`.
    pub(super) fn listen(
        &self,
        heard: Option<&str>,
        beat: Duration,
    ) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
        let mut frames = self.frames.subscribe();
        let now = Arc::clone(&frames.borrow_and_update());
        // Somebody may have asked before a change and listened after it: the newest is told in any case.
        let news = if heard == Some(now.etag.as_str()) { Bytes::new() } else { now.bytes.clone() };
        let greeting = Bytes::from([format!("retry: {}\n\n", retry()).as_bytes(), &news].concat());
        stream::unfold((frames, Some(greeting), beat), |(mut frames, greeting, beat)| async move {
            if let Some(greeting) = greeting {
                return Some((Ok(greeting), (frames, None, beat)));
            }
            let bytes = match timeout(beat, frames.changed()).await {
                Ok(Ok(())) => {
                    let frame = frames.borrow_and_update();
                    if frame.last {
                        return None;
                    }
                    frame.bytes.clone()
                }
                Ok(Err(_)) => return None,
                Err(_) => Bytes::from_static(b":\n\n"),
            };
            Some((Ok(bytes), (frames, None, beat)))
        })
    }
}

fn retry() -> u16 {
    let mut bytes = [0; 2];
    // Without randomness everybody comes at once, which is still better than not at all.
    let _ = getrandom::fill(&mut bytes);
    RETRY.start() + u16::from_ne_bytes(bytes) % (RETRY.end() - RETRY.start() + 1)
}
