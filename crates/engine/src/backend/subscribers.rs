//! The subscribers of a backend: bounded queues, and a new snapshot for those who have fallen behind.
//!
//! Nobody waits for a subscriber. One whose queue is full loses messages, and gets a fresh snapshot as soon as there is
//! room.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::{self, Receiver, Sender, error::TrySendError};

use super::{Link, Snapshot, Update};

/// Messages that a subscriber may be behind.
const QUEUE: usize = 64;

/// Flags in the messages that a subscriber may be behind, all together: a change of ten thousand flags is some ten
/// megabytes.
const QUEUED_FLAGS: usize = 50_000;

/// All subscribers of one backend.
#[derive(Clone, Default)]
pub(super) struct Subscribers(Arc<Mutex<SubscriberList>>);

#[derive(Default)]
struct SubscriberList {
    list: Vec<Subscriber>,
    ended: bool,
}

struct Subscriber {
    queue: Sender<Update>,
    /// Whether it has missed something, or has had nothing yet, and needs a fresh snapshot.
    behind: bool,
    /// Whether it has to be told how the backend is reached.
    link: bool,
}

impl Subscriber {
    /// Messages that it has not taken yet.
    fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }
}

impl Subscribers {
    /// A new subscriber, who gets everything with the next [`Self::catch_up`]. After the end the stream ends at once.
    pub(super) fn join(&self) -> Receiver<Update> {
        let (queue, updates) = mpsc::channel(QUEUE);
        let mut list = self.list();
        if !list.ended {
            list.list.push(Subscriber { queue, behind: true, link: true });
        }
        updates
    }

    /// Tells a change to those who can take it; it is made only where there are any.
    pub(super) fn tell(&self, update: impl FnOnce() -> Update) {
        let mut list = self.list();
        let mut all = list.list.iter_mut().filter(|subscriber| !subscriber.behind).peekable();
        if all.peek().is_none() {
            return;
        }
        let update = update();
        let flags = match &update {
            Update::Change(change) => change.flags.len(),
            Update::Snapshot(_) | Update::Link(_) => 0,
        };
        for subscriber in all {
            // Those before it are taken to be as large.
            if subscriber.waiting() * flags > QUEUED_FLAGS {
                subscriber.behind = true;
                continue;
            }
            let sent = subscriber.queue.try_send(update.clone());
            subscriber.behind = matches!(sent, Err(TrySendError::Full(_)));
        }
    }

    /// Tells how the backend is reached now. Who cannot take it is told later.
    pub(super) fn link(&self, link: &Link) {
        for subscriber in &mut self.list().list {
            let sent = !subscriber.behind && subscriber.queue.try_send(Update::Link(link.clone())).is_ok();
            subscriber.link = !sent;
        }
    }

    /// Has another go at those who are behind; `link` is told too where it is given. Whether there still are such.
    pub(super) fn catch_up(&self, link: Option<&Link>, snapshot: impl FnOnce() -> Arc<Snapshot>) -> bool {
        let mut list = self.list();
        let all = &mut list.list;
        all.retain(|subscriber| !subscriber.queue.is_closed());
        let mut make = Some(snapshot);
        let mut snapshot = None;
        for subscriber in all.iter_mut() {
            // Not before it has taken everything: otherwise its queue would fill with snapshots of everything, one for each
            // message that it takes.
            if subscriber.behind
                && subscriber.waiting() == 0
                && let Ok(place) = subscriber.queue.try_reserve()
            {
                if let Some(make) = make.take() {
                    snapshot = Some(make());
                }
                if let Some(snapshot) = &snapshot {
                    place.send(Update::Snapshot(Arc::clone(snapshot)));
                    subscriber.behind = false;
                }
            }
            if let Some(link) = link.filter(|_| subscriber.link && !subscriber.behind) {
                subscriber.link = subscriber.queue.try_send(Update::Link(link.clone())).is_err();
            }
        }
        all.iter().any(|subscriber| subscriber.behind || (subscriber.link && link.is_some()))
    }

    /// Every stream ends, and those that begin later too.
    pub(super) fn end(&self) {
        let mut list = self.list();
        list.ended = true;
        list.list.clear();
    }

    fn list(&self) -> MutexGuard<'_, SubscriberList> {
        // A list of queues is whole also after a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Change, ControllerView, Pace, PolicyView};
    use knightwatch_core::{control::Seq, telemetry::Millis};

    fn controller() -> ControllerView {
        ControllerView {
            policy: PolicyView { name: String::new(), about: String::new(), fault: None },
            now: Millis(0),
            pace: Pace::Stopped,
            seq: Seq(0),
            latch: None,
            alarms: Vec::new(),
            briefed: true,
            done: false,
        }
    }

    fn change() -> Update {
        let (flags, entries) = (Vec::new(), Vec::new());
        Update::Change(Arc::new(Change { controller: controller(), tick: true, flags, entries }))
    }

    fn empty() -> Snapshot {
        Snapshot {
            environment: String::new(),
            source: String::new(),
            simulated: true,
            interval: Millis(1),
            controller: controller(),
            flags: Vec::new(),
            history: Vec::new(),
            entries: Vec::new(),
        }
    }

    #[test]
    fn a_slow_subscriber_has_one_snapshot_in_its_queue_and_not_one_for_each_message_it_takes() {
        let subscribers = Subscribers::default();
        let mut updates = subscribers.join();
        let made = std::cell::Cell::new(0);
        let snapshot = || {
            made.set(made.get() + 1);
            Arc::new(empty())
        };
        subscribers.catch_up(None, snapshot);
        // It takes one message while the engine makes two, for a long time.
        let mut taken = 0;
        for _ in 0..10 * QUEUE {
            subscribers.tell(change);
            subscribers.tell(change);
            subscribers.catch_up(None, snapshot);
            taken += usize::from(updates.try_recv().is_ok());
        }
        assert!(taken >= 9 * QUEUE, "{taken}");
        assert!(made.get() <= 1 + taken / QUEUE + 1, "{} snapshots for {taken} messages", made.get());
    }
}
