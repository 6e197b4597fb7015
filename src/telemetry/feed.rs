//! What a source hands over at one tick: samples, and what it had to reject.

use super::{Rejection, Sample};
use crate::flag::FlagId;

/// The telemetry that arrived since the last tick.
#[derive(Debug, Default, Clone)]
pub struct Feed {
    /// Samples, in order of arrival.
    pub samples: Vec<Sample>,
    /// Readings that were no samples, and why.
    pub rejected: Vec<(FlagId, Rejection)>,
}

impl Feed {
    /// Empties it, keeping its memory.
    pub fn clear(&mut self) {
        self.samples.clear();
        self.rejected.clear();
    }
}
