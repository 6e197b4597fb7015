//! What steers: invariants, the engine, the journal, policies, scenarios.

mod agent;
mod engine;
mod invariants;
mod journal;
mod journal_kill;
mod lifecycle;
mod scenarios;
#[path = "../support/mod.rs"]
mod support;
mod weights;
