//! The remote backend: a control room's end of the line to `knightwatch serve`, over HTTP, HTTPS or a unix socket.
//!
//! One event stream is folded into one picture for all listeners. It is opened again for as long as it takes, where it was
//! left, and how it is reached is told at every change. Orders keep their id over every attempt, so that they act once; one
//! that certainly never left is told as not sent. Everything happens on a thread of its own: no screen waits for a network.

mod call;
mod stream;
mod target;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    runtime::Runtime,
    sync::{mpsc::Receiver, oneshot},
};

pub use self::target::{RemoteError, Target};
use self::{call::Caller, stream::StreamReader};
use super::{Ack, Backend, Link, OrderError, Pace, Pending, Snapshot, Update, subscribers::Subscribers};
use knightwatch_core::control::{Entry, Order, Seq};

/// How long the first contact may take.
const FIRST: Duration = Duration::from_secs(10);

/// How long a backend on this machine may take to say where it listens.
const SOON: Duration = Duration::from_secs(2);

/// A backend at the other end of a line.
pub struct Remote {
    /// Taken only when dropped.
    runtime: Option<Runtime>,
    caller: Caller,
    view: Arc<RemoteView>,
}

/// What is known of the other end.
#[derive(Default)]
struct RemoteView {
    snapshot: Mutex<Option<Arc<Snapshot>>>,
    link: Mutex<Option<Link>>,
    subscribers: Subscribers,
}

impl Remote {
    /// Reaches `target`, and waits for its first snapshot.
    ///
    /// # Errors
    /// When it cannot be reached, does not let us in, or is no backend of a version that is understood.
    pub fn connect(target: &Target) -> Result<Self, RemoteError> {
        let client = target.client()?;
        let caller = Caller::new(client, target);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("remote")
            .enable_all()
            .build()
            .map_err(RemoteError::Thread)?;
        let view = Arc::new(RemoteView::default());
        let (first, told) = oneshot::channel();
        runtime.spawn(StreamReader::new(caller.clone(), Arc::clone(&view), first).run());
        let told = async { tokio::time::timeout(FIRST, told).await };
        let outcome = runtime.block_on(told);
        let remote = Self { runtime: Some(runtime), caller, view };
        match outcome {
            Ok(Ok(Ok(()))) => Ok(remote),
            Ok(Ok(Err(error))) => Err(error),
            Ok(Err(_)) | Err(_) => Err(RemoteError::Unreachable {
                target: target.to_string(),
                problem: format!("no answer within {} s", FIRST.as_secs()),
            }),
        }
    }

    /// Does `work` on the remote's own thread, whoever waits for it.
    fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, OrderError>> + Send + 'static,
    ) -> Pending<Result<T, OrderError>> {
        let (answer, answered) = oneshot::channel();
        if let Some(runtime) = &self.runtime {
            runtime.spawn(async move {
                // Whoever asked may have gone.
                let _ = answer.send(work.await);
            });
        }
        Box::pin(async move {
            answered
                .await
                .unwrap_or_else(|_| Err(OrderError::Unknown("the connection was given up".to_owned())))
        })
    }
}

/// Asks a backend for one thing at a time, and waits for the answer: for a command line.
pub struct Client {
    runtime: Runtime,
    caller: Caller,
}

impl Client {
    /// For `target`; nothing is sent yet.
    ///
    /// # Errors
    /// When the target's files cannot be read.
    pub fn new(target: &Target) -> Result<Self, RemoteError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(RemoteError::Thread)?;
        Ok(Self { runtime, caller: Caller::new(target.client()?, target) })
    }

    /// Gives an order; tries again for some seconds where the line is down, with the same id.
    ///
    /// # Errors
    /// As [`Backend::send`].
    pub fn order(&self, order: &Order) -> Result<Ack, OrderError> {
        self.runtime.block_on(self.caller.order(order))
    }

    /// What `GET /api/v1/status` says.
    ///
    /// # Errors
    /// When it is not reached or does not let us in.
    pub fn status(&self) -> Result<serde_json::Value, OrderError> {
        self.runtime.block_on(self.caller.get("/api/v1/status"))
    }

    /// The addresses that it says it listens at; none where it does not say so soon.
    #[must_use]
    pub fn listens_at(&self) -> Vec<SocketAddr> {
        let status = self.runtime.block_on(self.caller.once("/api/v1/status", SOON));
        let listed = status.and_then(|mut status| serde_json::from_value(status["listen"].take()).ok());
        listed.unwrap_or_default()
    }

    /// The newest entries of the journal that fit `wanted` (`flag`, `kind`, `actor`), at most `limit`, oldest first.
    ///
    /// # Errors
    /// When it is not reached or does not let us in.
    pub fn entries(&self, limit: usize, wanted: &[(&str, String)]) -> Result<Vec<Entry>, OrderError> {
        self.runtime.block_on(self.caller.entries(None, limit, wanted))
    }

    /// The entry of this number; `None` where there is none.
    ///
    /// # Errors
    /// When it is not reached or does not let us in.
    pub fn entry(&self, seq: Seq) -> Result<Option<Entry>, OrderError> {
        let found = self.runtime.block_on(self.caller.entries(Some(Seq(seq.0.saturating_add(1))), 1, &[]))?;
        Ok(found.into_iter().next().filter(|entry| entry.seq == seq))
    }

    /// What is at `path`, piece by piece, as it comes.
    ///
    /// # Errors
    /// When it is not reached, does not let us in, ends early, or `piece` fails.
    pub fn download(
        &self,
        path: &str,
        piece: impl FnMut(&[u8]) -> std::io::Result<()>,
    ) -> Result<(), RemoteError> {
        self.runtime.block_on(self.caller.download(path, piece))
    }

    /// What `GET` of any path says.
    ///
    /// # Errors
    /// When it is not reached or does not let us in.
    pub fn get(&self, path: &str) -> Result<serde_json::Value, OrderError> {
        self.runtime.block_on(self.caller.get(path))
    }
}

impl Backend for Remote {
    fn subscribe(&self) -> Receiver<Update> {
        let updates = self.view.subscribers.join();
        self.view.catch_up();
        updates
    }

    fn send(&self, order: Order) -> Pending<Result<Ack, OrderError>> {
        let caller = self.caller.clone();
        self.run(async move { caller.order(&order).await })
    }

    fn entries(&self, before: Option<Seq>, limit: usize) -> Pending<Result<Vec<Entry>, OrderError>> {
        let caller = self.caller.clone();
        self.run(async move { caller.entries(before, limit, &[]).await })
    }

    fn set_pace(&self, pace: Pace) -> Result<(), String> {
        if let Pace::Times(times) = pace {
            Pace::times(times).map_err(|error| error.to_string())?;
        }
        if self.view.snapshot().is_some_and(|snapshot| !snapshot.simulated) {
            return Err("controller time is real time there, it cannot be hurried".to_owned());
        }
        let caller = self.caller.clone();
        drop(self.run(async move {
            caller.pace(pace).await.inspect_err(|error| tracing::warn!("the pace was not changed: {error}"))
        }));
        Ok(())
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.view.subscribers.end();
        if let Some(runtime) = self.runtime.take() {
            // May happen on a thread that must not wait.
            runtime.shutdown_background();
        }
    }
}

impl RemoteView {
    fn snapshot(&self) -> Option<Arc<Snapshot>> {
        lock(&self.snapshot).clone()
    }

    fn link(&self) -> Option<Link> {
        lock(&self.link).clone()
    }

    /// Applies an update, and tells it.
    fn take(&self, update: Update) {
        match update {
            Update::Snapshot(snapshot) => {
                *lock(&self.snapshot) = Some(Arc::clone(&snapshot));
                self.subscribers.tell(|| Update::Snapshot(snapshot));
            }
            Update::Change(change) => {
                if let Some(snapshot) = lock(&self.snapshot).as_mut() {
                    Arc::make_mut(snapshot).apply(&change);
                }
                self.subscribers.tell(|| Update::Change(change));
            }
            Update::Link(link) => self.set_link(&link),
        }
        self.catch_up();
    }

    /// Tells how the backend is reached, where that has changed.
    fn set_link(&self, link: &Link) {
        if lock(&self.link).replace(link.clone()).as_ref() != Some(link) {
            self.subscribers.link(link);
        }
    }

    /// Has another go at those who are behind. Whether there still are such.
    fn catch_up(&self) -> bool {
        let Some(snapshot) = self.snapshot() else { return false };
        self.subscribers.catch_up(self.link().as_ref(), || snapshot)
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is in there is replaced whole.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
