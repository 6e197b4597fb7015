//! knightwatch: the terminal control room for autonomous feature-flag rollouts.
//!
//! ```text
//!   flag        who gets what: keys, rollouts, buckets                                    \
//!   telemetry   samples -> windows -> evidence -> verdict                                  |
//!   control     state = fold(events); decide, tick, policy, shield, kill latch             |  pure
//!   agent       policies behind the trait                                                  |
//!   sim         the world: scenario -> samples, and the truth that only the judge sees     |
//!   judge       one scenario under one policy; policies side by side                      /
//!   store       the journal and the session file
//!   integrations  recorded telemetry
//!   engine      the one loop: source -> tick -> journal -> state
//!   backend     snapshots and changes out, orders in
//!   server      HTTP over the same engine
//!   tui         model, update, view, and the terminal
//!   cli         the command line, the configuration
//! ```
//!
//! A layer uses only those above it. One decision's way, always forward:
//!
//! ```text
//! source -> samples -> windows -> evidence -> verdict -> policy -> shield -> journal -> state -> control rooms
//! ```
//!
//! The reasons are in `ARCHITECTURE.md`.

pub mod agent;
pub mod backend;
pub mod cli;
pub mod config;
pub mod control;
pub mod engine;
pub mod flag;
pub mod integrations;
pub mod judge;
#[cfg(feature = "train")]
pub mod learn;
pub mod logging;
pub mod server;
pub mod sim;
pub mod store;
pub mod telemetry;
pub mod tui;
