//! How the engine itself does: how long its steps take, and how far its journal is behind. Written by the loop, read by
//! whoever asks, without waiting.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// Upper edges of the buckets of step times, in microseconds.
pub const STEP_EDGES: [u64; 12] =
    [500, 1_000, 2_500, 5_000, 10_000, 20_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 5_000_000];

/// What the loop has measured of itself.
#[derive(Debug, Default)]
pub struct Meter {
    /// Not cumulative; the last is above all edges.
    steps: [AtomicU64; STEP_EDGES.len() + 1],
    microseconds: AtomicU64,
    behind: AtomicU64,
}

impl Meter {
    /// Notes a step.
    pub(super) fn step(&self, took: Duration) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let place = STEP_EDGES.partition_point(|edge| *edge < took);
        self.steps[place].fetch_add(1, Ordering::Relaxed);
        self.microseconds.fetch_add(took, Ordering::Relaxed);
    }

    /// Notes how many entries are in force and not on the disk.
    pub(super) fn behind(&self, entries: u64) {
        self.behind.store(entries, Ordering::Relaxed);
    }

    /// Steps by how long they took: between [`STEP_EDGES`], the last above all of them.
    #[must_use]
    pub fn steps(&self) -> [u64; STEP_EDGES.len() + 1] {
        std::array::from_fn(|place| self.steps[place].load(Ordering::Relaxed))
    }

    /// How long all steps together took.
    #[must_use]
    pub fn time(&self) -> Duration {
        Duration::from_micros(self.microseconds.load(Ordering::Relaxed))
    }

    /// Entries in force that are not on the disk.
    #[must_use]
    pub fn entries_behind(&self) -> u64 {
        self.behind.load(Ordering::Relaxed)
    }
}
