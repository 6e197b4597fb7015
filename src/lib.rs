//! knightwatch: the terminal control room for autonomous feature-flag rollouts.

pub mod agent;
pub mod backend;
pub mod cli;
pub mod config;
pub mod control;
pub mod engine;
pub mod flag;
pub mod integrations;
pub mod judge;
pub mod logging;
pub mod sim;
pub mod store;
pub mod telemetry;
pub mod tui;
