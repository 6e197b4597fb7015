//! The hub: the backend's updates as events, encoded once for all who listen.
//!
//! It applies updates to one picture and keeps the newest encoded changes in a ring. A listener is nothing but a place in
//! that ring: one that resumes at a place that is still there misses nothing, one that is too far behind gets everything
//! anew. Nobody's slowness costs anybody else anything. Knows nothing of HTTP.

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
pub(super) struct Place {
    pub(super) run: u64,
    pub(super) number: u64,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.run, self.number)
    }
}

impl std::str::FromStr for Place {
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
    Event(Arc<Event>, Place),
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
    picture: Mutex<Picture>,
    news: watch::Sender<u64>,
}

#[derive(Default)]
struct Picture {
    run: u64,
    /// How many changes have been encoded in this run.
    count: u64,
    room: Option<Arc<Snapshot>>,
    encoder: Encoder,
    /// The newest changes; the last is number `count`.
    ring: VecDeque<Arc<Event>>,
    bytes: usize,
    /// Everything at `count`, once somebody has asked for it.
    anew: Option<(u64, Arc<Event>)>,
    ended: bool,
    /// Streams end once they have told everything.
    closing: bool,
}

impl Hub {
    /// Listens to `backend` on a thread of its own, until it ends. The first update is there when this returns.
    pub(super) fn start(backend: &Arc<dyn Backend>) -> std::io::Result<Arc<Self>> {
        let hub = Arc::new(Self { picture: Mutex::default(), news: watch::Sender::new(0) });
        let mut updates = backend.subscribe();
        let own = Arc::clone(&hub);
        if let Some(first) = updates.blocking_recv() {
            own.take(first);
        }
        thread::Builder::new().name("hub".to_owned()).spawn(move || {
            while let Some(update) = updates.blocking_recv() {
                own.take(update);
            }
            own.picture().ended = true;
            own.news.send_modify(|news| *news += 1);
        })?;
        Ok(hub)
    }

    /// The newest picture; `None` before the first, and after the engine has ended.
    pub(super) fn room(&self) -> Option<Arc<Snapshot>> {
        let picture = self.picture();
        picture.room.clone().filter(|_| !picture.ended)
    }

    /// Ends all streams once they have told what there is.
    pub(super) fn close(&self) {
        self.picture().closing = true;
        self.news.send_modify(|news| *news += 1);
    }

    /// Waits, not for long, until what can be read is at least as new as entry `seq`: whoever was told that an order is
    /// done reads it done.
    pub(super) async fn caught_up(&self, seq: Seq) {
        if !self.shows(|room| room.controller.seq >= seq).await {
            tracing::warn!("what can be read is behind entry {seq}");
        }
    }

    /// Waits, not for long, until what can be read is as `wanted`; whether it has come to be.
    pub(super) async fn shows(&self, wanted: impl Fn(&Snapshot) -> bool) -> bool {
        let mut news = self.news();
        let shown =
            async { while self.room().is_some_and(|room| !wanted(&room)) && news.changed().await.is_ok() {} };
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

    /// What somebody at `place` hears next; without a place, everything.
    pub(super) fn next(&self, place: Option<Place>) -> Next {
        let mut picture = self.picture();
        if let Some(place) = place.filter(|place| place.run == picture.run) {
            let behind = picture.count.checked_sub(place.number);
            match behind.and_then(|behind| usize::try_from(behind).ok()) {
                Some(0) if picture.ended || picture.closing => return Next::End,
                Some(0) => return Next::Wait,
                Some(behind) if behind <= picture.ring.len() => {
                    let event = &picture.ring[picture.ring.len() - behind];
                    return Next::Event(Arc::clone(event), Place { number: place.number + 1, ..place });
                }
                // Too far behind, or from a future that was not.
                _ => {}
            }
        }
        if picture.ended {
            return Next::End;
        }
        let Some(room) = picture.room.clone() else { return Next::Wait };
        let here = Place { run: picture.run, number: picture.count };
        if let Some((_, event)) = picture.anew.as_ref().filter(|(number, _)| *number == picture.count) {
            return Next::Event(Arc::clone(event), here);
        }
        match Encoder::snapshot(&room) {
            Ok(data) => {
                let event = Arc::new(Event { kind: SNAPSHOT, data });
                picture.anew = Some((picture.count, Arc::clone(&event)));
                Next::Event(event, here)
            }
            Err(error) => {
                tracing::error!("the state cannot be told: {error}");
                Next::End
            }
        }
    }

    fn take(&self, update: Update) {
        let mut picture = self.picture();
        match update {
            Update::Snapshot(snapshot) => picture.begin(snapshot),
            Update::Change(change) => {
                let Some(room) = &mut picture.room else { return };
                Arc::make_mut(room).apply(&change);
                match picture.encoder.change(&change) {
                    Ok(data) => picture.push(Event { kind: CHANGE, data }),
                    Err(error) => {
                        tracing::error!("a change cannot be told: {error}");
                        if let Some(room) = picture.room.clone() {
                            picture.begin(room);
                        }
                    }
                }
            }
            Update::Link(_) => {}
        }
        drop(picture);
        self.news.send_modify(|news| *news += 1);
    }

    fn picture(&self) -> MutexGuard<'_, Picture> {
        // After a panic in the middle of an update the picture is begun anew with the next snapshot.
        self.picture.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Picture {
    /// Everything anew: whoever is in the middle begins again too.
    fn begin(&mut self, room: Arc<Snapshot>) {
        self.run = wall_clock().0.max(self.run + 1);
        self.count = 0;
        self.ring.clear();
        self.bytes = 0;
        self.anew = None;
        if let Err(error) = self.encoder.start_from(&room) {
            tracing::error!("the state cannot be told: {error}");
        }
        self.room = Some(room);
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
