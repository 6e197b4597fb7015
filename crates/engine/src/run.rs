//! The loop around the engine, on a thread of its own: orders first, then steps when they are due.

use std::{
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::oneshot;

use super::{
    answer::{Ack, OrderError},
    core::Engine,
};
use knightwatch_core::{
    control::{Entry, Order, Seq},
    telemetry::Millis,
};

/// How fast controller time goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pace {
    /// Controller time is real time.
    Real,
    /// So many times faster than real time (1 to 3 600).
    Times(u32),
    /// Standing still.
    Stopped,
}

/// A pace that cannot be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the speed is between 1× and {MAX_TIMES}×, found {found}×")]
pub struct PaceError {
    /// What was asked for.
    pub found: u32,
}

/// Fastest pace.
const MAX_TIMES: u32 = 3_600;

impl Pace {
    /// So many times faster than real time.
    ///
    /// # Errors
    /// When `times` is not within 1 to 3 600.
    pub fn times(times: u32) -> Result<Self, PaceError> {
        if (1..=MAX_TIMES).contains(&times) {
            Ok(Self::Times(times))
        } else {
            Err(PaceError { found: times })
        }
    }

    /// How long one control interval takes in real time; `None` when time stands still.
    fn takes(self, interval: Millis) -> Option<Duration> {
        match self {
            Self::Real => Some(Duration::from_millis(interval.0)),
            Self::Times(times) => Some(Duration::from_millis(interval.0) / times.max(1)),
            Self::Stopped => None,
        }
    }
}

/// How late a step may be and still be followed by the next at its own time.
const BURST: Duration = Duration::from_millis(100);

/// How long a control room that is behind waits at most before it is tried again.
const CATCH_UP: Duration = Duration::from_millis(50);

/// Is told what happened, on the engine's thread: it must not wait for anybody.
pub trait Observer: Send {
    /// After a step (`ticked`), an order, or a change of pace.
    fn happened(&mut self, engine: &Engine, pace: Pace, news: &[Entry], ticked: bool);

    /// Has another go at telling those who could not be told, or have just come. Whether there still are such.
    fn catch_up(&mut self, _: &Engine, _: Pace) -> bool {
        false
    }
}

enum Request {
    Order(Box<Order>, oneshot::Sender<Result<Ack, OrderError>>),
    Entries(Option<Seq>, usize, oneshot::Sender<Result<Vec<Entry>, OrderError>>),
    Pace(Pace),
    /// Somebody new is to be told.
    Look,
}

/// Speaks to a running engine. Dropping it ends the engine, and waits for that: the journal is closed then.
#[derive(Debug)]
pub struct Handle {
    /// Taken only when dropped.
    requests: Option<Sender<Request>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Handle {
    /// Sends an order; the answer comes when it is in force and on disk.
    #[must_use]
    pub fn order(&self, order: Order) -> oneshot::Receiver<Result<Ack, OrderError>> {
        let (answer, answered) = oneshot::channel();
        if let Err(Request::Order(_, answer)) = self.ask(Request::Order(Box::new(order), answer)) {
            let _ = answer.send(Err(OrderError::NotSent(ENDED.to_owned())));
        }
        answered
    }

    /// Asks for journal entries.
    #[must_use]
    pub fn entries(
        &self,
        before: Option<Seq>,
        limit: usize,
    ) -> oneshot::Receiver<Result<Vec<Entry>, OrderError>> {
        let (answer, answered) = oneshot::channel();
        if let Err(Request::Entries(_, _, answer)) = self.ask(Request::Entries(before, limit, answer)) {
            let _ = answer.send(Err(OrderError::NotSent(ENDED.to_owned())));
        }
        answered
    }

    /// Changes the pace.
    pub fn set_pace(&self, pace: Pace) {
        // An engine that has ended has no pace.
        let _ = self.ask(Request::Pace(pace));
    }

    /// Has those told who have just come.
    pub fn look(&self) {
        // An engine that has ended has nothing to tell.
        let _ = self.ask(Request::Look);
    }

    /// Hands a request over, or gives it back when the engine has ended.
    fn ask(&self, request: Request) -> Result<(), Request> {
        match &self.requests {
            Some(requests) => requests.send(request).map_err(|mpsc::SendError(request)| request),
            None => Err(request),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the engine's thread has panicked");
        }
    }
}

/// What is said when there is no engine any more.
const ENDED: &str = "the engine has ended";

/// Starts the loop on a thread of its own. It ends when the handle is dropped.
///
/// # Errors
/// When the thread cannot be started.
pub fn run(mut engine: Engine, pace: Pace, mut observer: Box<dyn Observer>) -> std::io::Result<Handle> {
    let (requests, inbox) = mpsc::channel();
    let thread = thread::Builder::new().name("engine".to_owned()).spawn(move || {
        observer.happened(&engine, pace, &[], false);
        turn(&mut engine, pace, observer.as_mut(), &inbox);
    })?;
    Ok(Handle { requests: Some(requests), thread: Some(thread) })
}

/// How often a step that is due may be put off for requests.
const PATIENCE: u32 = 32;

/// How long after a failed write it is tried again where no step and no order does it.
const RETRY: Duration = Duration::from_secs(1);

/// Flushes the journal's outbox, also where time stands still and before the end.
fn flush(engine: &mut Engine, pace: Pace, observer: &mut dyn Observer) {
    if engine.is_failing() {
        let news = engine.flush();
        observer.happened(engine, pace, &news, false);
    }
}

fn turn(engine: &mut Engine, mut pace: Pace, observer: &mut dyn Observer, inbox: &Receiver<Request>) {
    let interval = engine.config().interval;
    let mut last = Instant::now();
    let mut put_off = 0_u32;
    loop {
        engine.meter().behind(engine.unwritten());
        let again = observer.catch_up(engine, pace).then(|| Instant::now() + CATCH_UP);
        // Real time is the source's own: it knows when its interval is over.
        let due = match engine.next_in() {
            Some(left) => Some(Instant::now() + left),
            None => pace.takes(interval).filter(|_| !engine.done()).map(|takes| last + takes),
        };
        let failing = engine.is_failing().then(|| Instant::now() + RETRY);
        let until = [due, again, failing].into_iter().flatten().min();
        // An order that waits goes before a step that is due: kill-all does not queue behind time. But a flood of
        // requests must not keep the shield from looking: an overdue step is put off only so often.
        let overdue = due.is_some_and(|due| due <= Instant::now());
        put_off = if overdue { put_off + 1 } else { 0 };
        let request = match until {
            Some(_) if put_off > PATIENCE => None,
            Some(until) => match inbox.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(request) => Some(request),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return flush(engine, pace, observer),
            },
            None => match inbox.recv() {
                Ok(request) => Some(request),
                Err(_) => return flush(engine, pace, observer),
            },
        };
        match request {
            None => {
                let now = Instant::now();
                let Some(due) = due.filter(|due| *due <= now) else {
                    flush(engine, pace, observer);
                    continue;
                };
                // A step that took longer than its slot is not made up for by a burst.
                last = if now.duration_since(due) < BURST { due } else { now };
                let begun = Instant::now();
                let news = engine.step();
                engine.meter().step(begun.elapsed());
                observer.happened(engine, pace, &news, true);
            }
            Some(Request::Order(order, answer)) => {
                let result = engine.order(&order).map(|(ack, news)| {
                    observer.happened(engine, pace, &news, false);
                    ack
                });
                // Whoever asked may have gone; the order stands.
                let _ = answer.send(result);
            }
            Some(Request::Entries(before, limit, answer)) => {
                let result = engine.entries(before, limit);
                let _ = answer.send(result.map_err(|error| OrderError::Unknown(error.to_string())));
            }
            Some(Request::Pace(new)) => {
                pace = new;
                last = Instant::now();
                observer.happened(engine, pace, &[], false);
            }
            Some(Request::Look) => {}
        }
    }
}
