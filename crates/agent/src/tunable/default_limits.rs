//! What is usual for a service, as its owner knows it: the limits of products that leave them to their users.
//!
//! Limits on metrics have no default, and those of an example would roll back every flag of a service that is slower or
//! fails more by itself. So they are the example's, or twice what control had when the ramp began, where that is more.

use knightwatch_core::control::Observation;

/// How many times what is usual a limit is, where that is more than the example's.
pub const LENIENCY: f64 = 2.0;

/// The limits of one ramp: most errors, as a share, and most P99, in milliseconds. Nothing until control was first seen in
/// it; the example's hold until then.
#[derive(Clone, Copy, Debug, Default)]
pub struct DefaultLimits(Option<(f64, f64)>);

impl DefaultLimits {
    /// The limits, with the example's and the leniency of the settings.
    pub fn limits(&mut self, seen: &Observation<'_>, example: (f64, f64), leniency: f64) -> (f64, f64) {
        let control = &seen.report.control;
        if let (None, Some(errors), Some(p99_ms)) = (self.0, control.error_rate(), control.p99_ms) {
            self.0 = Some(((leniency * errors).max(example.0), (leniency * p99_ms).max(example.1)));
        }
        self.0.unwrap_or(example)
    }
}
