//! The backend as a process: what it keeps when it is killed, whom it lets in, what it refuses, and that nobody's slowness
//! or malice holds it up.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

#[path = "server/clock.rs"]
mod clock;
#[path = "server/contact.rs"]
mod contact;
#[path = "server/door.rs"]
mod door;
#[path = "server/faults.rs"]
mod faults;
#[path = "support/http.rs"]
mod http;
#[path = "server/kept.rs"]
mod kept;
#[path = "server/life.rs"]
mod life;
#[path = "support/served.rs"]
mod served;
#[path = "server/service.rs"]
mod service;
#[path = "server/tls.rs"]
mod tls;
#[path = "server/verbs.rs"]
mod verbs;
