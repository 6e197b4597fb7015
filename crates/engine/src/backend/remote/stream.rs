//! The event stream, opened again for as long as it takes, and how fresh what is known is.

use std::{sync::Arc, time::Duration};

use backon::{BackoffBuilder, ExponentialBuilder};
use eventsource_stream::Eventsource;
use futures::StreamExt;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep, timeout},
};

use super::{RemoteError, RemoteView, call::Caller};
use crate::backend::{Link, Snapshot, Update, wire::Decoder};
use knightwatch_core::{flag::clean_line, telemetry::Millis};

/// Without a byte for so long, what is shown is stale: the other end sends something every 800 ms.
const STALE: Duration = Duration::from_millis(1_800);

/// Without a byte for so long, the connection is closed and reopened.
const GIVEN_UP: Duration = Duration::from_secs(10);

/// How often those who are behind are looked after, and ages told.
const LOOK: Duration = Duration::from_millis(250);

/// The task that keeps the stream.
pub(super) struct StreamReader {
    caller: Caller,
    view: Arc<RemoteView>,
    /// Told at the first snapshot, or of the first failure.
    first: Option<oneshot::Sender<Result<(), RemoteError>>>,
    /// The id of the last event that was taken.
    last: Option<String>,
    decoder: Decoder,
    /// When something was heard last.
    heard: Instant,
    /// What the last attempt came to, where it failed.
    why: Option<String>,
}

/// Why a stream has ended.
enum Ended {
    /// It broke, or was never there.
    Broken(RemoteError),
    /// What it said was not understood: what is known is not to be built upon.
    Nonsense(String),
}

impl StreamReader {
    pub(super) fn new(
        caller: Caller,
        view: Arc<RemoteView>,
        first: oneshot::Sender<Result<(), RemoteError>>,
    ) -> Self {
        let first = Some(first);
        Self {
            caller,
            view,
            first,
            last: None,
            decoder: Decoder::default(),
            heard: Instant::now(),
            why: None,
        }
    }

    pub(super) async fn run(mut self) {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(200))
            .with_max_delay(Duration::from_secs(5))
            .with_jitter()
            .without_max_times();
        let mut waits = pauses.build();
        loop {
            let before = self.heard;
            match self.listen().await {
                Ended::Broken(error) => {
                    if let Some(first) = self.first.take() {
                        // Whoever waits for the first contact is told why there is none, and goes.
                        let _ = first.send(Err(error));
                        return;
                    }
                    tracing::info!("the event stream has ended: {error}");
                    self.why = Some(error.problem());
                }
                Ended::Nonsense(what) => {
                    let what = format!(
                        "what it says is not understood: it may be another version than this one, {} ({what})",
                        env!("CARGO_PKG_VERSION")
                    );
                    if let Some(first) = self.first.take() {
                        let _ = first.send(Err(self.caller.refused(&what)));
                        return;
                    }
                    tracing::error!("{what}; requesting a fresh snapshot");
                    self.last = None;
                    self.why = Some(what);
                }
            }
            if self.heard > before {
                waits = pauses.build();
            }
            let until = Instant::now() + waits.next().unwrap_or(Duration::from_secs(5));
            while Instant::now() < until {
                self.lost();
                sleep(LOOK.min(until.saturating_duration_since(Instant::now()))).await;
                self.view.catch_up();
            }
        }
    }

    fn age(&self) -> Millis {
        // Whole seconds: each age that is told is worth a frame.
        Millis::from_secs(self.heard.elapsed().as_secs())
    }

    fn lost(&self) {
        self.view.set_link(&Link::Lost { age: self.age(), why: self.why.clone() });
    }

    /// Whether this is told by another backend than the one that is shown.
    fn is_foreign(&self, told: &Snapshot) -> bool {
        self.view.snapshot().is_some_and(|snapshot| snapshot.environment != told.environment)
    }

    /// Opens the stream where it was left, and takes what comes until it ends.
    async fn listen(&mut self) -> Ended {
        let (caller, last, before) = (self.caller.clone(), self.last.clone(), self.heard);
        let opened = timeout(GIVEN_UP, async move { caller.events(last.as_deref()).await });
        let mut opened = std::pin::pin!(opened);
        let response = loop {
            tokio::select! {
                response = &mut opened => break response,
                () = sleep(LOOK) => if self.first.is_none() { self.lost() },
            }
        };
        let response = match response {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Ended::Broken(error),
            Err(_) => return Ended::Broken(self.caller.silent(GIVEN_UP)),
        };
        let heard = Arc::new(std::sync::Mutex::new(Instant::now()));
        let at = Arc::clone(&heard);
        // Comments count too, which the parser keeps to itself.
        let bytes = response.bytes_stream().inspect(move |_| *super::lock(&at) = Instant::now());
        let mut events = bytes.eventsource();
        let mut understood = before;
        loop {
            let next = timeout(LOOK, events.next()).await;
            self.heard = *super::lock(&heard);
            match next {
                Ok(Some(Ok(event))) => match self.decoder.decode(&event.event, &event.data) {
                    Ok(Update::Snapshot(other)) if self.is_foreign(&other) => {
                        let found = clean_line(&other.environment);
                        // Orders would go there too: what is shown stays what it was until the right one answers.
                        self.last = None;
                        self.heard = before;
                        return Ended::Broken(
                            self.caller.refused(&format!("the environment {found:?} answers there now")),
                        );
                    }
                    Ok(update) => {
                        understood = self.heard;
                        self.last = Some(event.id);
                        self.view.set_link(&Link::Connected);
                        self.view.take(update);
                        if let Some(first) = self.first.take() {
                            let _ = first.send(Ok(()));
                        }
                    }
                    Err(error) => {
                        // What is shown is as old as what was understood last.
                        self.heard = understood;
                        return Ended::Nonsense(clean_line(&error.to_string()));
                    }
                },
                Ok(Some(Err(error))) => {
                    return Ended::Broken(self.caller.broken(&clean_line(&error.to_string())));
                }
                Ok(None) => return Ended::Broken(self.caller.broken("the stream has ended")),
                Err(_) => {
                    let silent = self.heard.elapsed();
                    if silent >= GIVEN_UP {
                        return Ended::Broken(self.caller.silent(silent));
                    }
                    if self.first.is_none() {
                        let link = if silent >= STALE { Link::Stale(self.age()) } else { Link::Connected };
                        self.view.set_link(&link);
                    }
                    self.view.catch_up();
                }
            }
        }
    }
}
