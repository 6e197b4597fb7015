//! When a tick is: the interval that it closes, and controller time.
//!
//! The tick, the telemetry and a shadow policy share it. It must not know any of them.

use crate::telemetry::Millis;

/// When a tick is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// End of the interval that it closes.
    pub end: Millis,
    /// Controller time; not before `end`.
    pub now: Millis,
}
