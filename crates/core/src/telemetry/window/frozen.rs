//! The frozen detector: finds a source that reports one interval over and over.
//!
//! Two intervals of real traffic agree in every bucket about as often as a shuffled deck comes out in order. Repeated
//! numbers are therefore no telemetry, and the flag's telemetry grows old. The detector ends by itself as soon as the
//! numbers change. It must not know what the samples are used for.

use super::ring::Slice;
use crate::telemetry::{BUCKET_COUNT, Sample};

/// Fewest requests at which two equal intervals are no coincidence.
const MIN_TO_FREEZE: u32 = 50;

/// What control and treatment repeat, while they repeat themselves.
#[derive(Clone, Debug, Default)]
pub(super) struct FrozenDetector {
    repeated: [Option<Box<[u32; BUCKET_COUNT]>>; 2],
}

impl FrozenDetector {
    /// Whether the sample equals its arm's interval before, `before`, to the letter, or goes on repeating an earlier one.
    pub(super) fn repeats(&mut self, before: &Slice, sample: &Sample) -> bool {
        let same = before.requests == u64::from(sample.requests)
            && before.errors == u64::from(sample.errors)
            && before.latency == sample.latency;
        let repeated = &mut self.repeated[sample.arm as usize];
        // A repeated sample is not kept in the ring, so it is kept here to compare the next one with.
        let continues = repeated.as_deref().is_some_and(|repeated| repeated == sample.latency.counts());
        let frozen = sample.requests >= MIN_TO_FREEZE && (same || continues);
        *repeated = frozen.then(|| Box::new(*sample.latency.counts()));
        frozen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        flag::FlagId,
        telemetry::{Arm, Histogram, Millis},
    };

    fn sample(arm: Arm, requests: u32, ms: f64) -> Sample {
        let mut latency = Histogram::default();
        latency.record(ms, requests);
        Sample {
            flag: FlagId(0),
            arm,
            start: Millis::ZERO,
            span: Millis::from_secs(10),
            requests,
            errors: 0,
            latency,
            assumed: false,
        }
    }

    #[test]
    fn a_repeated_interval_is_frozen_until_the_numbers_change() {
        let mut detector = FrozenDetector::default();
        let (first, other) = (sample(Arm::Control, 100, 50.0), sample(Arm::Control, 100, 80.0));
        assert!(!detector.repeats(&Slice::default(), &first));
        assert!(detector.repeats(&Slice::of(Some(&first)), &first));
        // The ring has no sample for the interval before: it was not believed.
        assert!(detector.repeats(&Slice::default(), &first), "it goes on");
        assert!(!detector.repeats(&Slice::default(), &other), "new numbers end it");
        assert!(!detector.repeats(&Slice::of(Some(&other)), &first));
    }

    #[test]
    fn few_requests_may_agree_by_chance() {
        let mut detector = FrozenDetector::default();
        let few = sample(Arm::Treatment, MIN_TO_FREEZE - 1, 50.0);
        assert!(!detector.repeats(&Slice::of(Some(&few)), &few));
        let enough = sample(Arm::Treatment, MIN_TO_FREEZE, 50.0);
        assert!(detector.repeats(&Slice::of(Some(&enough)), &enough));
    }

    #[test]
    fn the_arms_are_judged_apart() {
        let mut detector = FrozenDetector::default();
        let (control, treatment) = (sample(Arm::Control, 100, 50.0), sample(Arm::Treatment, 100, 50.0));
        assert!(detector.repeats(&Slice::of(Some(&control)), &control));
        assert!(!detector.repeats(&Slice::default(), &treatment));
    }

    #[test]
    fn another_number_of_errors_is_another_interval() {
        let mut detector = FrozenDetector::default();
        let before = sample(Arm::Control, 100, 50.0);
        let failing = Sample { errors: 1, ..before };
        assert!(!detector.repeats(&Slice::of(Some(&before)), &failing));
    }
}
