//! A feed: what one control interval brought in, from the simulator or from a recording.

use super::{Rejection, Sample};
use crate::flag::FlagId;

/// What arrived within one control interval. Reused from interval to interval, so that a tick allocates nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Feed {
    /// Samples in the order of their arrival: duplicates, late and skewed ones among them.
    pub samples: Vec<Sample>,
    /// Readings that did not become a sample, with the reason.
    pub rejected: Vec<(FlagId, Rejection)>,
}

impl Feed {
    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.samples.clear();
        self.rejected.clear();
    }
}
