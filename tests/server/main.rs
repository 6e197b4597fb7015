//! The backend as a process: what it keeps when it is killed, whom it lets in, what it refuses, and that nobody's slowness
//! or malice holds it up.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod backend;
mod clock;
mod contact;
mod definitions;
mod evaluation;
mod faults;
mod feed;
mod kept;
mod life;
mod orders;
mod request_guard;
mod service;
#[path = "../support/mod.rs"]
mod support;
mod tls;
mod verbs;
