//! What is gathered does not depend on who was first, or on what came twice.

use proptest::prelude::*;

use super::*;

const INTERVAL: Millis = Millis(10_000);
const NOW: Millis = Millis(1_000_019_000);
const CLOSED: Millis = Millis(1_000_000_000);

fn intake() -> Intake {
    Intake::new(INTERVAL, Millis(2_000), CLOSED)
}

fn batch(sender: &str, sequence: u64) -> BatchId {
    BatchId { sender: sender.into(), sequence }
}

fn reading(flag: u32, arm: Arm, start: u64, span: u64, requests: u32) -> Reading {
    Reading {
        flag: FlagId(flag),
        arm,
        start: CLOSED + Millis(start),
        span: Millis(span),
        requests: f64::from(requests),
        errors: f64::from(requests / 10),
        latency: vec![(20.0, f64::from(requests))],
        assumed: false,
    }
}

fn send(intake: &mut Intake, id: &BatchId, readings: &[Reading]) -> Vec<Result<(), Rejection>> {
    let taken = readings.iter().map(|reading| intake.take(NOW, id, reading)).collect();
    intake.seal(id);
    taken
}

fn closed(intake: &mut Intake, end: u64) -> Feed {
    let mut feed = Feed::default();
    intake.close(CLOSED + Millis(end), &mut feed);
    feed
}

#[test]
fn parts_of_several_senders_are_added_up() {
    let mut intake = intake();
    let part = reading(3, Arm::Treatment, 0, 10_000, 40);
    let half = reading(3, Arm::Treatment, 5_000, 5_000, 20);
    assert_eq!(send(&mut intake, &batch("a", 1), &[part.clone(), half]), [Ok(()), Ok(())]);
    assert_eq!(send(&mut intake, &batch("b", 1), std::slice::from_ref(&part)), [Ok(())]);
    let feed = closed(&mut intake, 10_000);
    assert_eq!(feed.samples.len(), 1);
    let sample = feed.samples[0];
    assert_eq!((sample.requests, sample.errors, sample.latency.total()), (100, 10, 100));
    assert_eq!((sample.start, sample.span), (CLOSED, INTERVAL));
    assert_eq!(intake.totals().accepted, 3);
}

#[test]
fn what_cannot_be_used_is_refused_by_reason_and_the_rest_is_taken() {
    let mut intake = intake();
    let nan = Reading { requests: f64::NAN, ..reading(0, Arm::Control, 0, 10_000, 10) };
    let taken = send(
        &mut intake,
        &batch("a", 1),
        &[
            reading(0, Arm::Control, 0, 10_000, 10),
            nan,
            reading(0, Arm::Control, 5_000, 10_000, 10),
            reading(0, Arm::Control, 0, 0, 10),
            reading(0, Arm::Control, 20_000, 10_000, 10),
            Reading { start: CLOSED - INTERVAL, ..reading(0, Arm::Control, 0, 10_000, 10) },
            Reading { start: Millis(u64::MAX), ..reading(0, Arm::Control, 0, 10_000, 10) },
        ],
    );
    let refused: Vec<_> = taken.iter().map(|taken| taken.err()).collect();
    assert_eq!(refused[..2], [None, Some(Rejection::NotFinite)]);
    assert_eq!(refused[2..4], [Some(Rejection::Misaligned); 2]);
    assert_eq!(refused[4..6], [Some(Rejection::Skewed), Some(Rejection::Late)]);
    assert!(refused[6].is_some());
    let feed = closed(&mut intake, 10_000);
    assert_eq!((feed.samples.len(), feed.rejected.len()), (1, 6));
    assert_eq!(intake.totals().rejected.iter().sum::<u64>(), 6);
}

#[test]
fn after_its_interval_is_closed_a_batch_is_late_and_nothing_of_it_is_remembered() {
    let mut intake = intake();
    let parts = [reading(0, Arm::Control, 0, 10_000, 10)];
    send(&mut intake, &batch("a", 1), &parts);
    closed(&mut intake, 10_000);
    assert_eq!(send(&mut intake, &batch("a", 1), &parts), [Err(Rejection::Late)]);
    assert!(intake.open.is_empty() && intake.touched.is_empty());
}

#[test]
fn an_engine_that_is_held_up_costs_no_more_than_some_intervals() {
    let mut intake = intake();
    for number in 0..50 {
        let start = CLOSED + Millis(number * 10_000);
        let part = Reading { start, ..reading(0, Arm::Control, 0, 10_000, 10) };
        intake.take(start + INTERVAL, &batch("a", number), &part).unwrap();
        intake.seal(&batch("a", number));
    }
    assert_eq!(intake.open.len(), MAX_OPEN);
    assert_eq!(intake.totals().rejected[Rejection::Late as usize], 50 - MAX_OPEN as u64);
}

#[test]
fn more_requests_than_can_be_are_not_believed_however_they_come() {
    let mut intake = intake();
    for sender in ["a", "b"] {
        let part = reading(0, Arm::Control, 0, 10_000, 400_000_000);
        assert_eq!(send(&mut intake, &batch(sender, 1), &[part]), [Ok(())]);
    }
    let feed = closed(&mut intake, 10_000);
    assert_eq!((feed.samples.len(), &feed.rejected[..]), (0, &[(FlagId(0), Rejection::Absurd)][..]));
}

proptest! {
    #[test]
    fn duplicated_and_reordered_batches_give_the_same_feed(
        batches in prop::collection::vec(
            prop::collection::vec((0_u32..4, any::<bool>(), 0_u64..2, 1_u64..=10, 0_u32..500), 1..6), 1..8),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..24),
    ) {
        let batches: Vec<(BatchId, Vec<Reading>)> = batches
            .into_iter()
            .enumerate()
            .map(|(number, parts)| {
                let parts = parts.into_iter().map(|(flag, on, interval, span, requests)| {
                    let arm = if on { Arm::Treatment } else { Arm::Control };
                    reading(flag, arm, interval * 10_000, span * 1_000, requests)
                });
                // Two senders that number their batches alike.
                (batch(if number % 2 == 0 { "a" } else { "b" }, number as u64 / 2), parts.collect())
            })
            .collect();
        let mut plain = intake();
        for (id, parts) in &batches {
            send(&mut plain, id, parts);
        }
        let mut mixed = intake();
        for index in &order {
            let (id, parts) = index.get(&batches);
            send(&mut mixed, id, parts);
        }
        for (id, parts) in batches.iter().rev() {
            send(&mut mixed, id, parts);
        }
        for end in [10_000, 20_000] {
            prop_assert_eq!(closed(&mut plain, end).samples, closed(&mut mixed, end).samples);
        }
    }
}
