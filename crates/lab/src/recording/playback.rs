//! Plays a recording as if it arrived now: one row, one interval, both arms of every flag. The same face as a simulated
//! world, and an environment for the judge: what is spliced in is known, and so is the truth. Must not know who decides the
//! rollouts, nor why.

use rand::SeedableRng;
use rand_pcg::Pcg64;

use super::{
    RecordedFlag, Recording,
    series::Row,
    shape::{Shape, binomial},
};
use knightwatch_core::{
    flag::{FlagId, FlagSpec, Rollout},
    telemetry::{Arm, Feed, Histogram, Millis, Sample, normal_quantile},
};
use knightwatch_sim::{Environment, ScheduledStart, Truth};

/// The quantile whose truth the judge goes by; of what a recording has, the nearest one speaks for it.
const P99: f64 = 0.99;

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
    /// By [`FlagId`].
    truths: Vec<Truth>,
    /// Mean requests of the recorded rows.
    typical_requests: f64,
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
        let scores = recording.probabilities.iter().copied().map(normal_quantile).collect();
        let exposed = vec![0; recording.flags.len()];
        let truth = |flag: &RecordedFlag| Truth { harmful: !flag.profile.is_empty(), ..Truth::default() };
        let truths = recording.flags.iter().map(truth).collect();
        let add = |(requests, rows): (f64, f64), row: &Row| (requests + f64::from(row.requests), rows + 1.0);
        let (requests, rows) = recording.rows.iter().flatten().fold((0.0, 0.0), add);
        let typical_requests = requests / f64::max(rows, 1.0);
        Self { recording, seed, slot: 0, scores, exposed, truths, typical_requests }
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
        let p99 = nearest(&self.recording.probabilities, P99);
        let flags = (0_u32..).zip(&self.recording.flags);
        for (((id, flag), exposed), truth) in flags.zip(&mut self.exposed).zip(&mut self.truths) {
            let rollout = rollouts.get(id as usize).copied().unwrap_or_default();
            let step = flag.profile.get(*exposed % flag.profile.len().max(1));
            *exposed = if rollout.is_zero() { 0 } else { *exposed + 1 };
            (truth.rollout, truth.requests, truth.typical_requests) = (rollout, 0.0, self.typical_requests);
            truth.bad_requests = 0.0;
            let Some((row, off)) = &off else { continue };
            let on = step.map(|step| step.applied(row));
            learn(truth, row, on.as_ref().unwrap_or(row), p99);
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
            match &on {
                Some(on) => add(Arm::Treatment, treated, &Source::new(on, &self.scores)),
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

/// The position of the value next to `wanted`.
fn nearest(values: &[f64], wanted: f64) -> usize {
    let far = |(_, value): &(usize, &f64)| (**value - wanted).abs();
    let order = |a: &(usize, &f64), b: &(usize, &f64)| far(a).total_cmp(&far(b));
    values.iter().enumerate().min_by(order).map_or(0, |(index, _)| index)
}

/// What an interval is in truth, with the flag off and with it on.
fn learn(truth: &mut Truth, off: &Row, on: &Row, p99: usize) {
    truth.requests = f64::from(off.requests);
    (truth.error_rate_control, truth.error_rate_treatment) = (off.error_rate, on.error_rate);
    let quantile = |row: &Row| row.quantiles_ms.get(p99).copied().unwrap_or(0.0);
    (truth.p99_control_ms, truth.p99_treatment_ms) = (quantile(off), quantile(on));
    let more = (on.error_rate - off.error_rate).max(0.0);
    truth.bad_requests = truth.requests * truth.rollout.share() * more;
    truth.total_bad_requests += truth.bad_requests;
}

impl Environment for Playback {
    fn source(&self) -> String {
        self.recording.title.clone()
    }

    fn seed(&self) -> u64 {
        self.seed
    }

    fn start(&self) -> Millis {
        self.recording.start
    }

    fn interval(&self) -> Millis {
        self.recording.interval
    }

    fn specs(&self) -> Vec<FlagSpec> {
        self.recording.specs()
    }

    fn scheduled_starts(&self) -> Vec<ScheduledStart> {
        let scheduled_starts = self.recording.scheduled_starts().into_iter();
        scheduled_starts.map(|(at, flag, operator)| ScheduledStart { at, flag, operator }).collect()
    }

    /// An incident is only spliced in where it shows: somebody who looked saw it.
    fn detectability(&self) -> Vec<f64> {
        let seen = |truth: &Truth| if truth.harmful { f64::MAX } else { 0.0 };
        self.truths.iter().map(seen).collect()
    }

    fn now(&self) -> Millis {
        self.now()
    }

    fn done(&self) -> bool {
        self.done()
    }

    fn step(&mut self, rollouts: &[Rollout], feed: &mut Feed) {
        self.step(rollouts, feed);
    }

    fn truths(&self) -> &[Truth] {
        &self.truths
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

impl knightwatch_core::Source for Playback {
    fn now(&self) -> Millis {
        self.now()
    }

    fn done(&self) -> bool {
        self.done()
    }

    fn step(&mut self, rollouts: &[Rollout], feed: &mut Feed) {
        self.step(rollouts, feed);
    }
}
