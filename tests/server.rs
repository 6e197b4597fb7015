//! The backend as a process: what it keeps when it is killed, whom it lets in, what it refuses, and that nobody's slowness
//! or malice holds it up.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

#[path = "server/contact.rs"]
mod contact;
#[path = "server/door.rs"]
mod door;
#[path = "support/http.rs"]
mod http;
#[path = "server/kept.rs"]
mod kept;
#[path = "support/served.rs"]
mod served;
#[path = "server/verbs.rs"]
mod verbs;
