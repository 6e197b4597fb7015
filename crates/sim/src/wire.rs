//! The wire: what happens to a flag's samples on their way to the controller.
//!
//! Gaps, lateness, duplicates, wrong clocks, garbage and frozen values. It takes true samples and puts what arrives into
//! the feed; it knows nothing of how they came about.

use super::{
    noise::{Draws, Purpose, Stream},
    scenario::WireModel,
    service::{Moment, millis},
};
use knightwatch_core::telemetry::{Feed, Reading, Sample};

/// A sample under way, and the step in which it arrives.
pub(super) type UnderWay = (u64, Sample);

/// What a flag's wire remembers from interval to interval.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wire {
    in_gap: bool,
    /// The last samples of control and treatment before the wire froze.
    last: [Option<Sample>; 2],
}

impl Wire {
    /// Sends the samples of one interval. What arrives now goes into `feed`, what arrives later into `under_way`.
    pub(super) fn send(
        &mut self,
        model: &WireModel,
        stream: Stream,
        at: Moment,
        samples: &[Option<Sample>; 2],
        feed: &mut Feed,
        under_way: &mut Vec<UnderWay>,
    ) {
        let is_silent = self.gap(model, stream, at)
            || model.silent_from.is_some_and(|from| {
                from <= at.middle && model.silent_until.is_none_or(|until| at.middle < until)
            });
        let is_frozen = model.frozen_from.is_some_and(|from| from <= at.middle);
        let purposes = [Purpose::ControlWire, Purpose::TreatmentWire];
        for ((sample, last), purpose) in samples.iter().copied().zip(&mut self.last).zip(purposes) {
            let sample = if is_frozen {
                // The numbers stand still, the times go on.
                sample.zip(*last).map(|(now, last)| Sample { start: now.start, span: now.span, ..last })
            } else {
                if sample.is_some() {
                    *last = sample;
                }
                sample
            };
            if let Some(sample) = sample.filter(|_| !is_silent) {
                send_one(model, &mut stream.at(purpose, at.step), at.step, sample, feed, under_way);
            }
        }
    }

    /// Begins or ends a gap (Gilbert 1960, Elliott 1963), and says whether there is one.
    fn gap(&mut self, model: &WireModel, stream: Stream, at: Moment) -> bool {
        if model.gaps > 0.0 {
            let ends = (millis(at.interval) / millis(model.gap_length).max(1.0)).min(1.0);
            let begins = (ends * model.gaps / (1.0 - model.gaps)).min(1.0);
            let mut draws = stream.at(Purpose::Gap, at.step);
            if draws.chance(if self.in_gap { ends } else { begins }) {
                self.in_gap = !self.in_gap;
            }
        }
        self.in_gap
    }
}

/// One sample's way. Every draw is made in every interval, so that one fault does not shift the others.
fn send_one(
    model: &WireModel,
    draws: &mut Draws,
    step: u64,
    mut sample: Sample,
    feed: &mut Feed,
    under_way: &mut Vec<UnderWay>,
) {
    let [is_garbage, is_skewed, is_late, is_double] =
        [model.garbage, model.skewed, model.late, model.duplicates].map(|p| draws.chance(p));
    let kind = draws.uniform();
    if is_garbage {
        match Sample::try_from(&garbage(&sample, kind)) {
            Ok(accepted) => feed.samples.push(accepted),
            Err(reason) => feed.rejected.push((sample.flag, reason)),
        }
        return;
    }
    if is_skewed {
        sample.start.0 = sample.start.0.saturating_add_signed(model.skew_ms);
    }
    for _ in 0..=u8::from(is_double) {
        if is_late {
            under_way.push((step + u64::from(model.late_by.max(1)), sample));
        } else {
            feed.samples.push(sample);
        }
    }
}

/// The reading that a broken exporter makes of a sample.
fn garbage(sample: &Sample, kind: f64) -> Reading {
    let Sample { flag, arm, start, span, requests, errors, .. } = *sample;
    let (requests, errors) = (f64::from(requests), f64::from(errors));
    let reading = Reading { flag, arm, start, span, requests, errors, latency: Vec::new(), assumed: false };
    match kind {
        0.0..0.2 => Reading { requests: f64::NAN, ..reading },
        0.2..0.4 => Reading { errors: -1.0 - errors, ..reading },
        0.4..0.6 => Reading { requests: 1e308, ..reading },
        0.6..0.8 => Reading { errors: requests + 1.0, ..reading },
        _ => Reading { latency: vec![(f64::INFINITY, requests)], ..reading },
    }
}

#[cfg(test)]
#[expect(clippy::cast_precision_loss, reason = "counts here are small")]
mod tests {
    use super::*;
    use knightwatch_core::{
        flag::FlagId,
        telemetry::{Arm, Histogram, Millis, Rejection},
    };

    const INTERVAL: Millis = Millis::from_secs(10);

    fn run(model: &WireModel, steps: u64) -> (Vec<(u64, Sample)>, Vec<Rejection>) {
        let (mut wire, stream) = (Wire::default(), Stream::new(5, "wire"));
        let (mut under_way, mut arrived, mut rejected) = (Vec::new(), Vec::new(), Vec::new());
        for step in 0..steps {
            let start = Millis(step * INTERVAL.0);
            let sample = |arm| {
                let latency = Histogram::default();
                let requests = 100 + u32::try_from(step).unwrap();
                Some(Sample {
                    flag: FlagId(0),
                    arm,
                    start,
                    span: INTERVAL,
                    requests,
                    errors: 0,
                    latency,
                    assumed: false,
                })
            };
            let at = Moment { step, middle: start + Millis(5_000), start: Millis::ZERO, interval: INTERVAL };
            let mut feed = Feed::default();
            wire.send(
                model,
                stream,
                at,
                &[sample(Arm::Control), sample(Arm::Treatment)],
                &mut feed,
                &mut under_way,
            );
            arrived.extend(feed.samples.into_iter().map(|sample| (step, sample)));
            rejected.extend(feed.rejected.into_iter().map(|(_, reason)| reason));
        }
        arrived.extend(under_way);
        (arrived, rejected)
    }

    #[test]
    fn gaps_take_their_share_of_the_time_in_runs() {
        let model = WireModel { gaps: 0.3, gap_length: Millis::from_secs(60), ..WireModel::default() };
        let (arrived, _) = run(&model, 20_000);
        let share = 1.0 - arrived.len() as f64 / 40_000.0;
        assert!((share - 0.3).abs() < 0.04, "{share}");
        let mut starts: Vec<u64> = arrived.iter().map(|(step, _)| *step).collect();
        starts.dedup();
        let gaps = starts.windows(2).filter(|pair| pair[1] > pair[0] + 1).count();
        let length = share * 20_000.0 / gaps as f64;
        assert!((length - 6.0).abs() < 1.0, "mean gap of {length} intervals");
    }

    #[test]
    fn late_samples_arrive_so_many_intervals_later() {
        let (arrived, _) = run(&WireModel { late: 0.5, late_by: 3, ..WireModel::default() }, 1_000);
        assert_eq!(arrived.len(), 2_000);
        let late = arrived
            .iter()
            .filter(|(step, sample)| step * INTERVAL.0 == sample.start.0 + 3 * INTERVAL.0)
            .count();
        let punctual = arrived.iter().filter(|(step, sample)| step * INTERVAL.0 == sample.start.0).count();
        assert_eq!(late + punctual, 2_000);
        assert!((900..1_100).contains(&late), "{late}");
    }

    #[test]
    fn duplicates_are_the_same_sample_twice() {
        let (arrived, _) = run(&WireModel { duplicates: 1.0, ..WireModel::default() }, 10);
        assert_eq!(arrived.len(), 40);
        assert!(arrived.chunks(2).all(|pair| pair[0] == pair[1]));
    }

    #[test]
    fn a_wrong_clock_moves_the_start_and_never_below_the_epoch() {
        let (arrived, _) = run(&WireModel { skewed: 1.0, skew_ms: -3_600_000, ..WireModel::default() }, 2);
        assert!(!arrived.is_empty() && arrived.iter().all(|(_, sample)| sample.start == Millis::ZERO));
        let (arrived, _) = run(&WireModel { skewed: 1.0, skew_ms: 7_000, ..WireModel::default() }, 1);
        assert!(!arrived.is_empty() && arrived.iter().all(|(_, sample)| sample.start == Millis(7_000)));
    }

    #[test]
    fn garbage_is_rejected_for_every_reason_there_is_and_never_arrives() {
        let (arrived, rejected) = run(&WireModel { garbage: 1.0, ..WireModel::default() }, 200);
        assert!(arrived.is_empty());
        assert_eq!(rejected.len(), 400);
        for reason in [Rejection::NotFinite, Rejection::Negative, Rejection::Absurd, Rejection::Inconsistent]
        {
            assert!(rejected.contains(&reason), "{reason}");
        }
    }

    #[test]
    fn a_frozen_wire_repeats_its_last_numbers_with_new_times() {
        let model = WireModel { frozen_from: Some(Millis::from_secs(20)), ..WireModel::default() };
        let (arrived, _) = run(&model, 5);
        let control: Vec<_> = arrived.iter().filter(|(_, s)| s.arm == Arm::Control).collect();
        assert_eq!(control.iter().map(|(_, s)| s.requests).collect::<Vec<_>>(), [100, 101, 101, 101, 101]);
        assert_eq!(control[4].1.start, Millis::from_secs(40));
    }
}
