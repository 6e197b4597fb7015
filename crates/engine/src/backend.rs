//! The one trait that the control room speaks to.
//!
//! Snapshots and changes come out, orders go in. The embedded backend has an engine inside; a remote one speaks HTTP.
//! The control room cannot tell them apart.

mod embedded;
mod kill_path;
mod remote;
mod subscribers;
mod view;
pub mod wire;

use std::{future::Future, pin::Pin};

use tokio::sync::mpsc;

pub use embedded::{Embedded, EmbeddedOptions};
pub use remote::{Client, Remote, RemoteError, Target};
pub use view::{
    Ack, ArmPoint, Change, ControllerView, FlagView, FlagsOff, Link, OrderError, Pace, Point, PolicyView,
    ProposalView, RulingView, Snapshot, Update,
};

use knightwatch_core::control::{Entry, Order, Seq};

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

    /// Asks for a pace.
    ///
    /// # Errors
    /// A sentence, where the pace is out of range or time cannot be hurried.
    fn set_pace(&self, pace: Pace) -> Result<(), String>;
}
