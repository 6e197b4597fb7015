//! Where telemetry comes from inside the engine: a recorded session, and who starts which flag when.

use std::collections::VecDeque;

use knightwatch_core::{
    Source,
    control::Entry,
    flag::{FlagId, Rollout},
    telemetry::{Feed, Millis, Sample},
};

/// A person starting a flag at a time that the scenario names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cue {
    /// When, in controller time.
    pub at: Millis,
    /// Which flag.
    pub flag: FlagId,
    /// Who.
    pub operator: String,
}

/// A recorded session: its telemetry, and what was decided then. Nothing is decided anew. Readings that were rejected at
/// the door are not recorded, so their counts stay at 0.
#[derive(Debug, Default)]
pub struct Recorded {
    now: Millis,
    ticks: VecDeque<(Millis, Vec<Sample>)>,
    entries: Vec<Entry>,
    /// How many of the entries have been played.
    played: usize,
}

impl Recorded {
    /// From the telemetry of each tick and the journal, both oldest first.
    #[must_use]
    pub fn new(start: Millis, ticks: Vec<(Millis, Vec<Sample>)>, entries: Vec<Entry>) -> Self {
        Self { now: start, ticks: ticks.into(), entries, played: 0 }
    }

    /// The entries up to and including `now` that have not been played yet, in order.
    pub(super) fn due(&mut self, now: Millis) -> Vec<Entry> {
        let rest = &self.entries[self.played..];
        let due: Vec<Entry> = rest.iter().take_while(|entry| entry.at <= now).cloned().collect();
        self.played += due.len();
        due
    }

    /// The entries played so far.
    pub(super) fn played(&self) -> &[Entry] {
        &self.entries[..self.played]
    }
}

impl Source for Recorded {
    fn now(&self) -> Millis {
        self.now
    }

    fn done(&self) -> bool {
        self.ticks.is_empty()
    }

    fn step(&mut self, _: &[Rollout], feed: &mut Feed) {
        feed.clear();
        if let Some((end, samples)) = self.ticks.pop_front() {
            self.now = end;
            feed.samples = samples;
        }
    }
}
