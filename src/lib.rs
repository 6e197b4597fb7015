//! knightwatch: the terminal control room for autonomous feature-flag rollouts.

pub mod agent;
// pub mod backend;
pub mod control;
pub mod flag;
pub mod integrations;
pub mod telemetry;
