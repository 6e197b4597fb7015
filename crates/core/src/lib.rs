//! knightwatch's core: what a flag is, what telemetry says of it, and what may be done to it.
//!
//! ```text
//!   flag        who gets what: keys, rollouts, buckets, definitions
//!   telemetry   samples -> windows -> evidence -> verdict
//!   control     state = fold(events); decide, tick, policy, shield, kill latch
//!   source      the trait that telemetry comes through
//! ```
//!
//! Pure: no I/O, no clock, no threads, no async, no global state. Time and randomness are arguments. The simulator, training,
//! the tests and production therefore run the same code. The dependencies of this crate and the disallowed methods in its
//! `clippy.toml` keep it so.

pub mod control;
pub mod flag;
mod source;
pub mod telemetry;

pub use source::Source;
