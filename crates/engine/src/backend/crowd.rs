//! Everybody who listens to a backend: bounded queues, and a new snapshot for those who have fallen behind.
//!
//! Nobody waits for a listener. One whose queue is full loses messages, and gets everything anew as soon as there is room.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::{self, Receiver, Sender, error::TrySendError};

use super::{Link, Snapshot, Update};

/// Messages that a listener may be behind.
const QUEUE: usize = 64;

/// Flags in the messages that a listener may be behind, all together: a change of ten thousand flags is some ten megabytes.
const QUEUED_FLAGS: usize = 50_000;

/// All listeners of one backend.
#[derive(Clone, Default)]
pub(super) struct Crowd(Arc<Mutex<Everybody>>);

#[derive(Default)]
struct Everybody {
    list: Vec<Listener>,
    ended: bool,
}

struct Listener {
    queue: Sender<Update>,
    /// Whether it has missed something, or has had nothing yet, and needs everything anew.
    behind: bool,
    /// Whether it has to be told how the backend is reached.
    link: bool,
}

impl Listener {
    /// Messages that it has not taken yet.
    fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }
}

impl Crowd {
    /// A new listener, who gets everything with the next [`Self::catch_up`]. After the end the stream ends at once.
    pub(super) fn join(&self) -> Receiver<Update> {
        let (queue, updates) = mpsc::channel(QUEUE);
        let mut everybody = self.everybody();
        if !everybody.ended {
            everybody.list.push(Listener { queue, behind: true, link: true });
        }
        updates
    }

    /// Tells a change to those who can take it; it is made only where there are any.
    pub(super) fn tell(&self, update: impl FnOnce() -> Update) {
        let mut everybody = self.everybody();
        let mut listeners = everybody.list.iter_mut().filter(|listener| !listener.behind).peekable();
        if listeners.peek().is_none() {
            return;
        }
        let update = update();
        let flags = match &update {
            Update::Change(change) => change.flags.len(),
            Update::Snapshot(_) | Update::Link(_) => 0,
        };
        for listener in listeners {
            // Those before it are taken to be as large.
            if listener.waiting() * flags > QUEUED_FLAGS {
                listener.behind = true;
                continue;
            }
            let sent = listener.queue.try_send(update.clone());
            listener.behind = matches!(sent, Err(TrySendError::Full(_)));
        }
    }

    /// Tells how the backend is reached now. Who cannot take it is told later.
    pub(super) fn link(&self, link: &Link) {
        for listener in &mut self.everybody().list {
            let sent = !listener.behind && listener.queue.try_send(Update::Link(link.clone())).is_ok();
            listener.link = !sent;
        }
    }

    /// Has another go at those who are behind; `link` is told too where it is given. Whether there still are such.
    pub(super) fn catch_up(&self, link: Option<&Link>, snapshot: impl FnOnce() -> Arc<Snapshot>) -> bool {
        let mut everybody = self.everybody();
        let listeners = &mut everybody.list;
        listeners.retain(|listener| !listener.queue.is_closed());
        let mut make = Some(snapshot);
        let mut snapshot = None;
        for listener in listeners.iter_mut() {
            // Not before it has taken everything: otherwise its queue would fill with snapshots of everything, one for each
            // message that it takes.
            if listener.behind
                && listener.waiting() == 0
                && let Ok(place) = listener.queue.try_reserve()
            {
                if let Some(make) = make.take() {
                    snapshot = Some(make());
                }
                if let Some(snapshot) = &snapshot {
                    place.send(Update::Snapshot(Arc::clone(snapshot)));
                    listener.behind = false;
                }
            }
            if let Some(link) = link.filter(|_| listener.link && !listener.behind) {
                listener.link = listener.queue.try_send(Update::Link(link.clone())).is_err();
            }
        }
        listeners.iter().any(|listener| listener.behind || (listener.link && link.is_some()))
    }

    /// Every stream ends, and those that begin later too.
    pub(super) fn end(&self) {
        let mut everybody = self.everybody();
        everybody.ended = true;
        everybody.list.clear();
    }

    fn everybody(&self) -> MutexGuard<'_, Everybody> {
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
    fn a_slow_listener_has_one_snapshot_in_its_queue_and_not_one_for_each_message_it_takes() {
        let crowd = Crowd::default();
        let mut updates = crowd.join();
        let made = std::cell::Cell::new(0);
        let snapshot = || {
            made.set(made.get() + 1);
            Arc::new(empty())
        };
        crowd.catch_up(None, snapshot);
        // It takes one message while the engine makes two, for a long time.
        let mut taken = 0;
        for _ in 0..10 * QUEUE {
            crowd.tell(change);
            crowd.tell(change);
            crowd.catch_up(None, snapshot);
            taken += usize::from(updates.try_recv().is_ok());
        }
        assert!(taken >= 9 * QUEUE, "{taken}");
        assert!(made.get() <= 1 + taken / QUEUE + 1, "{} snapshots for {taken} messages", made.get());
    }
}
