//! Playback: a recorded session, shown as it was.
//!
//! Telemetry and decisions come from the recording, so nothing is decided and nothing can be changed. Only the evidence is
//! computed again, because no journal has it. It must not know policies, the journal's file or orders.

use std::{collections::VecDeque, sync::Arc};

use super::meter::Meter;
use knightwatch_core::{
    control::{ControlConfig, Entry, Moment, Seq, State, TelemetryState},
    telemetry::{Feed, Millis, Sample},
};

/// A recorded session: its telemetry, and what was decided then. No decision is made again. Readings that were rejected
/// on entry are not recorded, so their counts stay at 0.
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
    fn due(&mut self, now: Millis) -> Vec<Entry> {
        let rest = &self.entries[self.played..];
        let due: Vec<Entry> = rest.iter().take_while(|entry| entry.at <= now).cloned().collect();
        self.played += due.len();
        due
    }

    /// The entries played so far.
    fn played(&self) -> &[Entry] {
        &self.entries[..self.played]
    }

    /// Continues to the end of the next interval and returns its telemetry.
    fn step(&mut self, feed: &mut Feed) {
        feed.clear();
        if let Some((end, samples)) = self.ticks.pop_front() {
            self.now = end;
            feed.samples = samples;
        }
    }
}

/// Plays back a recorded session, one interval at a time.
pub(super) struct SessionPlayback {
    pub(super) state: State,
    pub(super) telemetry_state: TelemetryState,
    pub(super) config: ControlConfig,
    pub(super) source_name: String,
    pub(super) meter: Arc<Meter>,
    recorded: Recorded,
    feed: Feed,
}

impl SessionPlayback {
    /// At the beginning of the recording.
    pub(super) fn new(recorded: Recorded, config: ControlConfig, source_name: String) -> Self {
        Self {
            state: State::default(),
            telemetry_state: TelemetryState::new(),
            config,
            source_name,
            meter: Arc::default(),
            recorded,
            feed: Feed::default(),
        }
    }

    /// The time that was recorded.
    pub(super) const fn now(&self) -> Millis {
        self.recorded.now
    }

    /// Whether the recording is at its end.
    pub(super) fn done(&self) -> bool {
        self.recorded.ticks.is_empty()
    }

    /// Goes on by one interval. Returns what happened in it.
    pub(super) fn step(&mut self) -> Vec<Entry> {
        if self.done() {
            return Vec::new();
        }
        let mut news = self.play(self.now());
        self.recorded.step(&mut self.feed);
        let end = self.now();
        let moment = Moment { end, now: end };
        self.telemetry_state.observe(&self.state, &self.config, &self.feed, moment);
        news.extend(self.play(end));
        news
    }

    /// Folds in what was decided up to `until`.
    fn play(&mut self, until: Millis) -> Vec<Entry> {
        let due = self.recorded.due(until);
        for entry in &due {
            self.state.apply(entry);
        }
        due
    }

    /// Entries played so far below `before` (the newest where `None`), oldest first, at most `limit`.
    pub(super) fn entries(&self, before: Option<Seq>, limit: usize) -> Vec<Entry> {
        let wanted = |entry: &&Entry| before.is_none_or(|before| entry.seq < before);
        let mut entries: Vec<Entry> = self.recorded.played().iter().filter(wanted).cloned().collect();
        let surplus = entries.len().saturating_sub(limit);
        entries.drain(..surplus);
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use knightwatch_core::control::{Actor, Event};

    const START: Millis = Millis::from_secs(100);

    /// Three intervals of ten seconds, and the entries #1 to #4 at these seconds.
    fn playback(seconds: [u64; 4]) -> SessionPlayback {
        let mut state = State::default();
        let mut entries = Vec::new();
        for at in seconds {
            let made = state.entries(Millis::from_secs(at), vec![(Actor::System, Event::Rearmed)], "");
            for entry in &made {
                state.apply(entry);
            }
            entries.extend(made);
        }
        let ticks = (1..=3).map(|tick| (Millis::from_secs(100 + 10 * tick), Vec::new())).collect();
        let recorded = Recorded::new(START, ticks, entries);
        SessionPlayback::new(recorded, ControlConfig::default(), "recorded".to_owned())
    }

    fn numbers(entries: &[Entry]) -> Vec<u64> {
        entries.iter().map(|entry| entry.seq.0).collect()
    }

    #[test]
    fn each_entry_comes_once_in_the_interval_in_which_it_was_made() {
        let mut playback = playback([100, 105, 120, 130]);
        assert_eq!((playback.now(), playback.done()), (START, false));
        assert_eq!(numbers(&playback.step()), [1, 2]);
        assert_eq!(playback.now(), Millis::from_secs(110));
        assert_eq!(numbers(&playback.step()), [3]);
        assert_eq!(numbers(&playback.step()), [4]);
        assert_eq!(playback.state.seq, Seq(4));
        assert!(playback.done());
        assert_eq!(playback.step(), []);
    }

    #[test]
    fn what_is_still_to_come_is_not_shown() {
        let mut playback = playback([100, 105, 120, 130]);
        assert_eq!(playback.entries(None, usize::MAX), []);
        playback.step();
        assert_eq!(numbers(&playback.entries(None, usize::MAX)), [1, 2]);
        playback.step();
        assert_eq!(numbers(&playback.entries(None, 2)), [2, 3], "the newest");
        assert_eq!(numbers(&playback.entries(Some(Seq(3)), usize::MAX)), [1, 2]);
    }
}
