//! The one loop that runs the ticks, over a store, a source of telemetry and a policy.
//!
//! [`Engine`] holds state and does one thing at a time: a step of controller time, or an order. [`run`] is the loop
//! around it, in real or virtual time. What is acknowledged is on disk first; kill-all acts even when the disk does
//! not. The loop knows nothing of screens or the network: an [`Observer`] is told what happened. [`backend`] is what control rooms
//! speak to, in this process or over HTTP.
//!
//! The modules use each other in one direction: `answer` <- `outbox` <- `steering` <- `keep` <- `order` <- `step` <- `core`
//! <- `run`. `playback` stands beside `steering`.

mod answer;
pub mod backend;
mod begin;
mod clock;
mod core;
mod guarded;
mod keep;
mod kill_switch;
mod log;
mod meter;
mod order;
mod outbox;
mod playback;
mod run;
mod scheduled_start;
mod serving_table;
mod steering;
mod step;

pub use self::{
    answer::{Ack, FlagsOff, OrderError},
    begin::{EngineError, Setup},
    clock::wall_clock,
    core::Engine,
    guarded::Guarded,
    kill_switch::KillSwitch,
    log::Log,
    meter::{Meter, STEP_EDGES},
    playback::Recorded,
    run::{Handle, Observer, Pace, PaceError, run},
    scheduled_start::ScheduledStart,
    serving_table::{ServedFlags, ServingTable},
};
