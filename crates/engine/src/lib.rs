//! The one loop that runs the ticks, over a store, a source of telemetry and a policy.
//!
//! [`Engine`] holds state and does one thing at a time: a step of controller time, or an order. [`run`] is the loop
//! around it, in real or virtual time. What is acknowledged is on disk first; kill-all acts even when the disk does
//! not. Knows nothing of screens or the network: an [`Observer`] is told what happened.

pub mod backend;
mod begin;
mod clock;
mod core;
mod guarded;
mod keep;
mod log;
mod meter;
mod order;
mod register;
mod run;
mod source;
mod switch;

pub use self::{
    begin::{EngineError, Setup},
    clock::wall_clock,
    core::Engine,
    guarded::Guarded,
    log::Log,
    meter::{Meter, STEP_EDGES},
    order::{Ack, OrderError},
    register::{Register, Standings},
    run::{Handle, Observer, Pace, PaceError, run},
    source::{Cue, Recorded},
    switch::Switch,
};
