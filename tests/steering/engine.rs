//! The engine: what is acknowledged is on disk, what makes things safer needs no disk, an order acts once, a session
//! resumes exactly, plays back as it was, and survives any policy.
#![allow(clippy::unwrap_used, clippy::panic, clippy::cast_possible_truncation, reason = "a test")]

mod faults;
mod guarded;
mod orders;
mod resume;
mod resume_live;
mod shadow;

use crate::support::disk;
