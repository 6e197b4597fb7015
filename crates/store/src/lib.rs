//! What must not be forgotten, on SQLite.
//!
//! Holds the journal (every command and decision, hash-chained, durable before it is acknowledged), the answers to
//! orders (so that the same order acts once), the telemetry of a session (so that it can be replayed), and the kill
//! latch that works without any of these. One session is one file. Knows nothing of what the entries mean, of the
//! network, or of who reads them.
//!
//! # What the chain proves, and what it does not
//!
//! Each entry's hash covers the hash before it and the entry's exact JSON text ([`Hash::link`]); the first one covers
//! the session's description. [`verify`] names the first entry that was changed, removed, inserted, moved or cut.
//! A chain has no secret in it: who may write the file may also rewrite all of it, or cut its tail. Against that the head
//! (number and hash of the last entry) is kept in a second place, `<file>.head`, written at creation, every
//! [`HEAD_EVERY`] entries, with every kill-all, and on closing. What remains open: after a crash, up to `HEAD_EVERY - 1` of the
//! newest entries are above the recorded head, and somebody who can write both files can forge both. A head noted elsewhere
//! (`audit verify --head SEQ:HASH`) closes that too. Telemetry and stored answers are not part of the chain.
//!
//! # Files beside the session file
//!
//! `-wal` and `-shm` are SQLite's; `.head` is the second head; `.lock` holds the writer's process id and is locked while
//! it runs; `.keep` marks a file that [`prune`] must leave alone.

mod append;
mod backup;
mod chain;
mod encoding;
mod error;
mod export;
mod head_file;
mod journal;
mod latch;
mod lock;
mod meta;
mod read;
mod rows;
mod schema;
mod sessions;
mod telemetry;
mod verify;

pub use backup::{backup, restore};
pub use chain::{ChainFault, Hash, Head, HeadError};
pub use encoding::{DecodeError, decode, encode};
pub use error::StoreError;
pub use export::{ExportFormat, export};
pub use head_file::HEAD_EVERY;
pub use journal::Journal;
pub use latch::{LatchFile, LatchRecord};
pub use meta::SessionMeta;
pub use read::{Entries, Filter};
pub use sessions::{KEPT_SESSIONS, discard, keep, prune, session_path};
pub use telemetry::Ticks;
pub use verify::{VerifyReport, compare_export, verify, verify_with_head};
