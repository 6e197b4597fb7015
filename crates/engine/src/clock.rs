//! The wall clock: the only place that reads it. It names files; it never decides anything.

use std::time::UNIX_EPOCH;

use knightwatch_core::telemetry::Millis;

/// Real time since the Unix epoch; 0 on a machine whose clock stands before it.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
pub fn wall_clock() -> Millis {
    let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
