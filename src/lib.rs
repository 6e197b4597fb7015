//! knightwatch: the terminal control room for autonomous feature-flag rollouts.

pub mod backend;
pub mod control;
pub mod flag;
pub mod telemetry;
pub mod tui;
