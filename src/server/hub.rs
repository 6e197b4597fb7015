//! The hub: the backend's updates as events, encoded once for all who listen.
//!
//! It applies updates to one picture and keeps the newest encoded changes in a ring. A listener is nothing but a place in
//! that ring: one that resumes at a place that is still there misses nothing, one that is too far behind gets a new
//! snapshot. Nobody's slowness costs anybody else anything. Knows nothing of HTTP.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tokio::sync::watch;

use knightwatch_core::control::Seq;
use knightwatch_engine::{
    backend::{
        Backend, Snapshot, Update,
        wire::{CHANGE, Encoder, SNAPSHOT},
    },
    wall_clock,
};

/// Changes kept for those who resume, in number and in bytes.
const KEPT: usize = 4_096;
const KEPT_BYTES: usize = 64 << 20;

/// How long an answer waits for what can be read to be as new as it.
const CAUGHT_UP: Duration = Duration::from_millis(500);

/// Where a listener is: which run of the hub, and how many events of it have been heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StreamPosition {
    pub(super) run: u64,
    pub(super) number: u64,
}

impl std::fmt::Display for StreamPosition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.run, self.number)
    }
}

impl std::str::FromStr for StreamPosition {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (run, number) = text.split_once('-').ok_or(())?;
        let number_of = |text: &str| text.parse().map_err(|_| ());
        Ok(Self { run: number_of(run)?, number: number_of(number)? })
    }
}

/// What a listener gets next.
pub(super) enum Next {
    /// An event, and the place after it.
    Event(Arc<Event>, StreamPosition),
    /// Nothing yet.
    Wait,
    /// The engine has ended.
    End,
}

/// One event, ready to be sent.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) kind: &'static str,
    pub(super) data: String,
}

/// The updates of one backend.
pub struct Hub {
    stream: Mutex<StreamState>,
    news: watch::Sender<u64>,
}

#[derive(Default)]
struct StreamState {
    run: u64,
    /// How many changes have been encoded in this run.
    count: u64,
    snapshot: Option<Arc<Snapshot>>,
    encoder: Encoder,
    /// The newest changes; the last is number `count`.
    ring: VecDeque<Arc<Event>>,
    bytes: usize,
    /// Everything at `count`, once somebody has asked for it.
    fresh: Option<(u64, Arc<Event>)>,
    ended: bool,
    /// Streams end once they have told everything.
    closing: bool,
}

impl Hub {
    /// Listens to `backend` on a thread of its own, until it ends. The first update is there when this returns.
    pub(super) fn start(backend: &Arc<dyn Backend>) -> std::io::Result<Arc<Self>> {
        let hub = Arc::new(Self { stream: Mutex::default(), news: watch::Sender::new(0) });
        let mut updates = backend.subscribe();
        let own = Arc::clone(&hub);
        if let Some(first) = updates.blocking_recv() {
            own.take(first);
        }
        thread::Builder::new().name("hub".to_owned()).spawn(move || {
            while let Some(update) = updates.blocking_recv() {
                own.take(update);
            }
            own.stream().ended = true;
            own.news.send_modify(|news| *news += 1);
        })?;
        Ok(hub)
    }

    /// The newest picture; `None` before the first, and after the engine has ended.
    pub(super) fn snapshot(&self) -> Option<Arc<Snapshot>> {
        let stream = self.stream();
        stream.snapshot.clone().filter(|_| !stream.ended)
    }

    /// Ends all streams once they have told what there is.
    pub(super) fn close(&self) {
        self.stream().closing = true;
        self.news.send_modify(|news| *news += 1);
    }

    /// Waits, not for long, until what can be read is at least as new as entry `seq`: whoever was told that an order is
    /// done reads it done.
    pub(super) async fn caught_up(&self, seq: Seq) {
        if !self.shows(|snapshot| snapshot.controller.seq >= seq).await {
            tracing::warn!("what can be read is behind entry {seq}");
        }
    }

    /// Waits, not for long, until what can be read is as `wanted`; whether it has come to be.
    pub(super) async fn shows(&self, wanted: impl Fn(&Snapshot) -> bool) -> bool {
        let mut news = self.news();
        let shown = async {
            while self.snapshot().is_some_and(|snapshot| !wanted(&snapshot)) && news.changed().await.is_ok() {
            }
        };
        tokio::time::timeout(CAUGHT_UP, shown).await.is_ok()
    }

    /// Wakes at each event.
    pub(super) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    /// How many listen.
    pub(super) fn listeners(&self) -> usize {
        self.news.receiver_count()
    }

    /// What somebody at `position` hears next; without a place, everything.
    pub(super) fn next(&self, position: Option<StreamPosition>) -> Next {
        let mut stream = self.stream();
        if let Some(position) = position.filter(|position| position.run == stream.run) {
            let behind = stream.count.checked_sub(position.number);
            match behind.and_then(|behind| usize::try_from(behind).ok()) {
                Some(0) if stream.ended || stream.closing => return Next::End,
                Some(0) => return Next::Wait,
                Some(behind) if behind <= stream.ring.len() => {
                    let event = &stream.ring[stream.ring.len() - behind];
                    return Next::Event(
                        Arc::clone(event),
                        StreamPosition { number: position.number + 1, ..position },
                    );
                }
                // Too far behind, or from a future that was not.
                _ => {}
            }
        }
        if stream.ended {
            return Next::End;
        }
        let Some(snapshot) = stream.snapshot.clone() else { return Next::Wait };
        let here = StreamPosition { run: stream.run, number: stream.count };
        if let Some((_, event)) = stream.fresh.as_ref().filter(|(number, _)| *number == stream.count) {
            return Next::Event(Arc::clone(event), here);
        }
        match Encoder::snapshot(&snapshot) {
            Ok(data) => {
                let event = Arc::new(Event { kind: SNAPSHOT, data });
                stream.fresh = Some((stream.count, Arc::clone(&event)));
                Next::Event(event, here)
            }
            Err(error) => {
                tracing::error!("the state cannot be told: {error}");
                Next::End
            }
        }
    }

    fn take(&self, update: Update) {
        let mut stream = self.stream();
        match update {
            Update::Snapshot(snapshot) => stream.begin(snapshot),
            Update::Change(change) => {
                let Some(snapshot) = &mut stream.snapshot else { return };
                Arc::make_mut(snapshot).apply(&change);
                match stream.encoder.change(&change) {
                    Ok(data) => stream.push(Event { kind: CHANGE, data }),
                    Err(error) => {
                        tracing::error!("a change cannot be told: {error}");
                        if let Some(snapshot) = stream.snapshot.clone() {
                            stream.begin(snapshot);
                        }
                    }
                }
            }
            Update::Link(_) => {}
        }
        drop(stream);
        self.news.send_modify(|news| *news += 1);
    }

    fn stream(&self) -> MutexGuard<'_, StreamState> {
        // After a panic in the middle of an update the stream restarts with the next snapshot.
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StreamState {
    /// A new snapshot: whoever is in the middle begins again too.
    fn begin(&mut self, snapshot: Arc<Snapshot>) {
        self.run = wall_clock().0.max(self.run + 1);
        self.count = 0;
        self.ring.clear();
        self.bytes = 0;
        self.fresh = None;
        if let Err(error) = self.encoder.start_from(&snapshot) {
            tracing::error!("the state cannot be told: {error}");
        }
        self.snapshot = Some(snapshot);
    }

    fn push(&mut self, event: Event) {
        self.bytes += event.data.len();
        self.count += 1;
        self.ring.push_back(Arc::new(event));
        while self.ring.len() > KEPT || self.bytes > KEPT_BYTES {
            let Some(oldest) = self.ring.pop_front() else { break };
            self.bytes -= oldest.data.len();
        }
    }
}
