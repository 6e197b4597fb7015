//! The engine: what is acknowledged is on disk, what makes things safer needs no disk, an order acts once, a session
//! resumes exactly, plays back as it was, and survives any policy.
#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation, reason = "a test")]

#[path = "support/disk.rs"]
mod disk;
#[path = "engine/faults.rs"]
mod faults;
#[path = "engine/go_on.rs"]
mod go_on;
#[path = "engine/guarded.rs"]
mod guarded;
#[path = "engine/orders.rs"]
mod orders;
#[path = "engine/resume.rs"]
mod resume;
#[path = "engine/shadow.rs"]
mod shadow;
