//! The command line: verbs, bad input, crashes, and what documents promise.

mod bad_input;
mod cli;
mod crash;
mod explain;
mod language;
mod readme;
#[path = "../support/mod.rs"]
mod support;
