//! Plays a recording as if it arrived now: one row, one interval, both arms of every flag. The same face as a simulated
//! world. Must not know who decides the rollouts, nor why.

use rand::SeedableRng;
use rand_pcg::Pcg64;

use super::{
    Recording,
    series::Row,
    shape::{Shape, binomial, normal_score},
};
use crate::{
    flag::{FlagId, Rollout},
    telemetry::{Arm, Feed, Histogram, Millis, Sample},
};

/// A recording being played. Same recording, same seed, same rollouts: the same samples, on any machine.
#[derive(Clone, Debug)]
pub struct Playback {
    recording: Recording,
    seed: u64,
    /// The next interval to be played.
    slot: usize,
    /// The recording's probabilities as normal scores.
    scores: Vec<f64>,
    /// Intervals each flag has had traffic without a break: how far its incident has come.
    exposed: Vec<usize>,
}

/// What one arm draws its requests from.
struct Source {
    error_rate: f64,
    shape: Option<Shape>,
}

impl Source {
    fn new(row: &Row, scores: &[f64]) -> Self {
        Self { error_rate: row.error_rate, shape: Shape::new(scores, &row.quantiles_ms) }
    }

    fn draw(&self, requests: u32, random: &mut Pcg64) -> (u32, Histogram) {
        let errors = binomial(requests, self.error_rate, random);
        let latency = self.shape.as_ref().map(|shape| shape.draw(requests, random)).unwrap_or_default();
        (errors, latency)
    }
}

impl Playback {
    /// From the beginning.
    #[must_use]
    pub fn new(recording: Recording, seed: u64) -> Self {
        let scores = recording.probabilities.iter().copied().map(normal_score).collect();
        let exposed = vec![0; recording.flags.len()];
        Self { recording, seed, slot: 0, scores, exposed }
    }

    /// What is played.
    #[must_use]
    pub const fn recording(&self) -> &Recording {
        &self.recording
    }

    /// Controller time: the beginning of the next interval.
    #[must_use]
    pub fn now(&self) -> Millis {
        Millis(self.recording.start.0 + self.recording.interval.0 * self.slot as u64)
    }

    /// Whether the recording is at its end.
    #[must_use]
    pub fn done(&self) -> bool {
        self.slot >= self.recording.rows.len()
    }

    /// Plays one interval under `rollouts` (by [`FlagId`]; a missing one is 0 %) and fills `feed` with its samples: for
    /// each flag the control sample, unless it is at 100 %, and the treatment sample, unless it is at 0 %. An arm that
    /// nobody happened to ask in gets a sample of 0 requests; an interval without a recorded row gives no sample at all. At
    /// the end nothing comes any more.
    pub fn step(&mut self, rollouts: &[Rollout], feed: &mut Feed) {
        feed.clear();
        let Some(row) = self.recording.rows.get(self.slot) else { return };
        let (start, slot, span) = (self.now(), self.slot, self.recording.interval);
        self.slot += 1;
        let off = row.as_ref().map(|row| (row, Source::new(row, &self.scores)));
        for ((id, flag), exposed) in (0_u32..).zip(&self.recording.flags).zip(&mut self.exposed) {
            let rollout = rollouts.get(id as usize).copied().unwrap_or_default();
            let step = flag.profile.get(*exposed % flag.profile.len().max(1));
            *exposed = if rollout.is_zero() { 0 } else { *exposed + 1 };
            let Some((row, off)) = &off else { continue };
            let mut random = generator(self.seed, id, slot);
            let treated = binomial(row.requests, rollout.share(), &mut random);
            let mut add = |arm, requests, source: &Source| {
                let (errors, latency) = source.draw(requests, &mut random);
                let (flag, assumed) = (FlagId(id), self.recording.assumed_requests);
                feed.samples.push(Sample { flag, arm, start, span, requests, errors, latency, assumed });
            };
            if !rollout.is_full() {
                add(Arm::Control, row.requests - treated, off);
            }
            if rollout.is_zero() {
                continue;
            }
            match step {
                Some(step) => add(Arm::Treatment, treated, &Source::new(&step.applied(row), &self.scores)),
                None => add(Arm::Treatment, treated, off),
            }
        }
        // A refused row concerns every flag: all of them are measured by it.
        for (_, rejection) in self.recording.rejected.iter().filter(|(at, _)| *at == slot) {
            feed.rejected
                .extend((0_u32..).zip(&self.recording.flags).map(|(id, _)| (FlagId(id), *rejection)));
        }
    }
}

/// A generator of its own for each flag and interval, so that one flag's rollout does not change another's noise.
fn generator(seed: u64, flag: u32, slot: usize) -> Pcg64 {
    Pcg64::seed_from_u64(mixed(mixed(mixed(seed) ^ u64::from(flag)) ^ slot as u64))
}

/// Spreads neighbouring numbers over all of u64 (`SplitMix64`, Steele, Lea and Flood 2014).
const fn mixed(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
