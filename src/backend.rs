//! Layer 11: the one trait that the control room speaks to.
//!
//! Snapshots and changes come out, orders go in. The embedded backend has an engine inside; a remote one speaks HTTP.
//! The control room cannot tell them apart.

mod view;

use std::{future::Future, pin::Pin};

use thiserror::Error;
use tokio::sync::mpsc;

pub use view::{
    Ack, ArmPoint, Change, FlagView, Link, Pace, Point, PolicyView, ProposalView, RulingView, Snapshot,
    Update,
};

use crate::control::{Entry, Order, Refusal, Seq};

/// Why an order got no acknowledgement.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum OrderError {
    /// It was refused; nothing has changed.
    #[error("{0}")]
    Refused(#[from] Refusal),
    /// It never left: nothing has changed.
    #[error("NOT SENT: {0}")]
    NotSent(String),
    /// It left, and no answer came: it may or may not have acted.
    #[error("no answer: {0}")]
    Unknown(String),
    /// The journal could not be written; the order has not acted.
    #[error("not done: the journal cannot be written ({0})")]
    NotDurable(String),
    /// This control room is read-only.
    #[error("read-only")]
    ReadOnly,
}

/// A future that the control room can hold without knowing which backend made it.
pub type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What the control room speaks to.
pub trait Backend: Send + Sync {
    /// Begins a stream of updates: first a [`Update::Snapshot`], then changes without a gap. A reader that falls too
    /// far behind gets a new snapshot instead.
    fn subscribe(&self) -> mpsc::Receiver<Update>;

    /// Sends an order. The acknowledgement means it is in force and in the journal (unless it says otherwise).
    fn send(&self, order: Order) -> Pending<Result<Ack, OrderError>>;

    /// Entries of the journal before `before` (the newest where `None`), newest last, at most `limit`.
    fn entries(&self, before: Option<Seq>, limit: usize) -> Pending<Result<Vec<Entry>, OrderError>>;

    /// Asks for a pace; a backend in real time refuses with a sentence.
    fn set_pace(&self, pace: Pace) -> Result<(), String>;
}
