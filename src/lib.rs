//! knightwatch: the terminal control room for autonomous feature-flag rollouts.
//!
//! This package is the program and the library behind it:
//!
//! ```text
//!   cli         the command line
//!   config      the configuration: defaults < file < environment < flags
//!   logging     logs, to a file and never to the screen
//!   server      HTTP over the engine
//!   tui         the control room: model, update, view, and the terminal
//! ```
//!
//! Everything below it is in crates of their own, so that the compiler keeps the layers apart:
//!
//! ```text
//!   knightwatch-core     flag, telemetry, control: pure
//!   knightwatch-agent    PPO-Master and the other policies that may steer: pure
//!   knightwatch-sim      the simulated world, and what an episode in it costs: pure
//!   knightwatch-store    the journal, sessions, the kill latch
//!   knightwatch-connect  telemetry from applications, flag files, webhooks
//!   knightwatch-engine   the one loop, and the backends that a control room speaks to
//! ```
//!
//! The path of one decision, always forward:
//!
//! ```text
//! source -> samples -> windows -> evidence -> verdict -> policy -> shield -> journal -> state -> control rooms
//! ```
//!
//! The reasons are in `docs/decisions`.

pub mod cli;
pub mod config;
pub mod logging;
pub mod server;
pub mod tui;
