//! The loop around the engine, on a thread of its own: orders first, then steps when they are due.

use std::{
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::oneshot;

use super::{Ack, Engine, OrderError};
use crate::{
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

/// Is told what happened, on the engine's thread: it must not wait for anybody.
pub trait Observer: Send {
    /// After a step (`ticked`) or an order.
    fn happened(&mut self, engine: &Engine, pace: Pace, news: &[Entry], ticked: bool);
}

enum Request {
    Order(Box<Order>, oneshot::Sender<Result<Ack, OrderError>>),
    Entries(Option<Seq>, usize, oneshot::Sender<Result<Vec<Entry>, OrderError>>),
    Pace(Pace),
    /// Something new to observe: tell the observer once more.
    Look,
}

/// Speaks to a running engine. When the last handle is dropped the engine ends.
#[derive(Clone, Debug)]
pub struct Handle {
    requests: Sender<Request>,
}

impl Handle {
    /// Sends an order; the answer comes when it is in force and on disk.
    #[must_use]
    pub fn order(&self, order: Order) -> oneshot::Receiver<Result<Ack, OrderError>> {
        let (answer, answered) = oneshot::channel();
        // When the engine is gone the sender is dropped with the message, and the receiver says so.
        let _ = self.requests.send(Request::Order(Box::new(order), answer));
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
        let _ = self.requests.send(Request::Entries(before, limit, answer));
        answered
    }

    /// Changes the pace.
    pub fn set_pace(&self, pace: Pace) {
        let _ = self.requests.send(Request::Pace(pace));
    }

    /// Has the observer called once more.
    pub fn look(&self) {
        let _ = self.requests.send(Request::Look);
    }
}

/// Starts the loop on a thread of its own. It ends when all handles are gone.
///
/// # Errors
/// When the thread cannot be started.
pub fn run(
    mut engine: Engine,
    pace: Pace,
    mut observer: Box<dyn Observer>,
) -> std::io::Result<(Handle, thread::JoinHandle<()>)> {
    let (requests, inbox) = mpsc::channel();
    let thread = thread::Builder::new().name("engine".to_owned()).spawn(move || {
        observer.happened(&engine, pace, &[], false);
        turn(&mut engine, pace, observer.as_mut(), &inbox);
    })?;
    Ok((Handle { requests }, thread))
}

fn turn(engine: &mut Engine, mut pace: Pace, observer: &mut dyn Observer, inbox: &Receiver<Request>) {
    let interval = engine.config().interval;
    let mut last = Instant::now();
    loop {
        let due = pace.takes(interval).filter(|_| !engine.done()).map(|takes| last + takes);
        // An order that waits goes before a step that is due: kill-all does not queue behind time.
        let request = match due {
            Some(due) => match inbox.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(request) => Some(request),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            },
            None => match inbox.recv() {
                Ok(request) => Some(request),
                Err(_) => return,
            },
        };
        let Some(request) = request else {
            let now = Instant::now();
            // A step that took longer than its slot is not made up for by a burst.
            last = due.filter(|due| now.duration_since(*due) < Duration::from_millis(100)).unwrap_or(now);
            let news = engine.step();
            observer.happened(engine, pace, &news, true);
            continue;
        };
        match request {
            Request::Order(order, answer) => {
                let result = engine.order(&order).map(|(ack, news)| {
                    observer.happened(engine, pace, &news, false);
                    ack
                });
                // Whoever asked may have gone; the order stands.
                let _ = answer.send(result);
            }
            Request::Entries(before, limit, answer) => {
                let result = engine.entries(before, limit);
                let _ = answer.send(result.map_err(|error| OrderError::Unknown(error.to_string())));
            }
            Request::Pace(new) => {
                pace = new;
                last = Instant::now();
                observer.happened(engine, pace, &[], false);
            }
            Request::Look => observer.happened(engine, pace, &[], false),
        }
    }
}
