//! What real recordings hold, and what is drawn from them.

use std::{fmt::Write as _, fs};

use knightwatch_core::{
    flag::{FlagId, Rollout},
    telemetry::{Arm, Feed, Histogram, Millis, Rejection, Sample},
};
use knightwatch_lab::recording::{Playback, Recording};

use super::{NAB, NEZHA, NEZHA_HEADER, PETSHOP, load, nezha_row, recorded};

fn id_of(recording: &Recording, key: &str) -> FlagId {
    let position = recording.specs().iter().position(|spec| spec.key.as_str() == key);
    FlagId(u32::try_from(position.unwrap_or_else(|| panic!("a flag {key}"))).unwrap())
}

fn percent(percent: f64) -> Rollout {
    Rollout::from_percent(percent).unwrap()
}

/// Every sample of a playback with all flags at `rollout`.
fn play(recording: &Recording, seed: u64, rollout: Rollout) -> Vec<Sample> {
    let rollouts = vec![rollout; recording.specs().len()];
    let mut playback = Playback::new(recording.clone(), seed);
    let (mut feed, mut all) = (Feed::default(), Vec::new());
    while !playback.done() {
        playback.step(&rollouts, &mut feed);
        all.append(&mut feed.samples);
    }
    all
}

#[test]
fn real_recordings_load_with_all_their_rows() {
    let nezha = recorded(NEZHA);
    assert_eq!(nezha.rows.iter().flatten().count(), 1_209);
    assert_eq!((nezha.interval, nezha.service.as_str()), (Millis::from_secs(60), "Frontend"));
    assert_eq!(nezha.specs().len(), 1 + 24);
    assert!(nezha.assumed_requests);

    let petshop = recorded(PETSHOP);
    assert_eq!(petshop.rows.iter().flatten().count(), 589);
    assert_eq!((petshop.interval, petshop.service.as_str()), (Millis::from_secs(300), "PetSite"));
    assert_eq!(petshop.specs().len(), 1 + 4);
    assert!(!petshop.assumed_requests);
    assert_eq!(petshop.rows[0].as_ref().unwrap().requests, 705);

    // 4 032 rows, of which twelve repeat an interval.
    let nab = recorded(NAB);
    assert_eq!(nab.rows.iter().flatten().count(), 4_020);
    assert_eq!(nab.rows.iter().filter(|row| row.is_none()).count(), 12 + 1);
    assert_eq!(nab.interval, Millis::from_secs(300));
    assert_eq!(nab.specs().len(), 1 + 3);
}

#[test]
fn every_recording_says_that_it_is_semi_real_and_what_is_assumed() {
    for name in [NEZHA, PETSHOP, NAB] {
        let recording = recorded(name);
        let said = recording.notes.join("; ");
        assert!(recording.title.ends_with("(semi-real)") && said.contains("semi-real"), "{said}");
        assert_eq!(said.contains("request counts assumed: 2000"), recording.assumed_requests, "{said}");
        assert!(recording.specs().iter().all(|spec| spec.description.starts_with("Semi-real.")));
    }
    assert!(recorded(NAB).notes.iter().any(|note| note.contains("the first on line 559")));
}

#[test]
fn faults_that_show_are_spliced_and_faults_that_do_not_are_innocent() {
    let nezha = recorded(NEZHA);
    for key in ["frontend-return", "currencyservice-network-delay", "recommendationservice-cpu-consumed"] {
        assert!(nezha.faulty(id_of(&nezha, key)), "{key}");
    }
    for key in [
        "no-incident",
        "adservice-exception",
        "shippingservice-cpu-contention",
        "emailservice-cpu-contention",
    ] {
        let id = id_of(&nezha, key);
        assert!(!nezha.faulty(id), "{key}");
        assert!(nezha.specs()[id.index()].description.ends_with("Must not be rolled back."), "{key}");
    }
    let petshop = recorded(PETSHOP);
    for (key, faulty) in [
        ("petsearch-latency-issue-0", true),
        ("petsearch-availability-issue-5", true),
        ("no-incident", false),
    ] {
        assert_eq!(petshop.faulty(id_of(&petshop, key)), faulty, "{key}");
    }
}

#[test]
fn flags_are_started_one_after_another_within_the_recording() {
    for name in [NEZHA, PETSHOP, NAB] {
        let recording = recorded(name);
        let scheduled_starts = recording.scheduled_starts();
        assert_eq!(scheduled_starts.len(), recording.specs().len());
        assert!(scheduled_starts.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let length = recording.interval.0 * recording.rows.len() as u64;
        assert!(scheduled_starts.last().unwrap().0.0 < length * 2 / 3);
    }
}

#[test]
fn the_same_seed_gives_the_same_samples() {
    let petshop = recorded(PETSHOP);
    let once = play(&petshop, 7, percent(10.0));
    assert_eq!(once, play(&petshop, 7, percent(10.0)));
    assert_ne!(once, play(&petshop, 8, percent(10.0)));
}

#[test]
fn another_flags_rollout_changes_nothing_here() {
    let petshop = recorded(PETSHOP);
    let of_last = |first: f64| {
        let mut rollouts = vec![percent(25.0); 5];
        rollouts[0] = percent(first);
        let (mut playback, mut feed) = (Playback::new(petshop.clone(), 1), Feed::default());
        playback.step(&rollouts, &mut feed);
        feed.samples.into_iter().filter(|sample| sample.flag == FlagId(4)).collect::<Vec<_>>()
    };
    assert_eq!(of_last(0.0), of_last(75.0));
}

#[test]
fn both_arms_share_the_recorded_requests_in_proportion() {
    let petshop = recorded(PETSHOP);
    let samples = play(&petshop, 3, percent(25.0));
    let sum = |arm| {
        samples
            .iter()
            .filter(|s| s.arm == arm && s.flag == FlagId(0))
            .map(|s| u64::from(s.requests))
            .sum::<u64>()
    };
    let total: u64 = petshop.rows.iter().flatten().map(|row| u64::from(row.requests)).sum();
    assert_eq!(sum(Arm::Control) + sum(Arm::Treatment), total);
    // A quarter, to within half a percent of all.
    assert!((sum(Arm::Treatment) * 4).abs_diff(total) < total / 50);
    for sample in &samples {
        assert_eq!(sample.latency.total(), u64::from(sample.requests));
        assert!(sample.errors <= sample.requests);
        assert_eq!(sample.start.0 % sample.span.0, 0, "on the grid of control intervals");
        assert!(!sample.assumed);
    }
}

#[test]
fn an_arm_without_traffic_gives_no_sample() {
    let petshop = recorded(PETSHOP);
    for (rollout, arm) in [(Rollout::ZERO, Arm::Control), (Rollout::FULL, Arm::Treatment)] {
        let samples = play(&petshop, 1, rollout);
        assert!(samples.len() > 1_000 && samples.iter().all(|sample| sample.arm == arm), "{}", samples.len());
    }
}

#[test]
fn drawn_quantiles_are_near_the_recorded_ones() {
    // 500 draws of 2 000 requests a row: what is left is the error of the buckets and of the shape between quantiles.
    for (name, at) in [(NEZHA, 400), (PETSHOP, 50), (NAB, 100)] {
        let recording = recorded(name);
        let row = recording.rows[at].clone().unwrap();
        let mut one = recording.clone();
        one.rows = vec![Some(row.clone()); 500];
        let mut all = Histogram::default();
        for sample in play(&one, 11, Rollout::ZERO).iter().filter(|sample| sample.flag == FlagId(0)) {
            all.merge(&sample.latency);
        }
        for (p, expected) in recording.probabilities.iter().zip(&row.quantiles_ms) {
            let found = all.quantile_ms(*p).unwrap();
            assert!((found / expected).ln().abs() < 0.06, "{name} P{}: {found} for {expected}", p * 100.0);
        }
    }
}

#[test]
fn drawn_errors_are_near_the_recorded_ones() {
    let mut nezha = recorded(NEZHA);
    let worst =
        nezha.rows.iter().flatten().max_by(|a, b| a.error_rate.total_cmp(&b.error_rate)).cloned().unwrap();
    assert!((0.88..0.89).contains(&worst.error_rate), "{}", worst.error_rate);
    nezha.rows = vec![Some(worst.clone()); 50];
    let samples = play(&nezha, 5, Rollout::ZERO);
    let (errors, requests) = samples.iter().fold((0.0, 0.0), |(errors, requests), sample| {
        (errors + f64::from(sample.errors), requests + f64::from(sample.requests))
    });
    assert!((errors / requests - worst.error_rate).abs() < 0.001, "{}", errors / requests);
}

#[test]
fn a_fault_acts_on_treatment_from_its_first_interval_and_an_innocent_flag_is_like_control() {
    let nezha = recorded(NEZHA);
    let slow = id_of(&nezha, "currencyservice-network-delay");
    let failing = id_of(&nezha, "frontend-return");
    let innocent = id_of(&nezha, "no-incident");
    // Calm hours only: rows 600 and on.
    let mut calm = nezha.clone();
    calm.rows.drain(..600);
    let samples = play(&calm, 2, percent(50.0));
    let of = |flag, arm| {
        let mine = samples.iter().filter(move |sample| sample.flag == flag && sample.arm == arm);
        mine.take(40).fold((0.0, 0.0, Histogram::default()), |(errors, requests, mut all), sample| {
            all.merge(&sample.latency);
            (errors + f64::from(sample.errors), requests + f64::from(sample.requests), all)
        })
    };
    let p99 = |flag, arm| of(flag, arm).2.quantile_ms(0.99).unwrap();
    let error_rate = |flag, arm| {
        let (errors, requests, _) = of(flag, arm);
        errors / requests
    };
    assert!(p99(slow, Arm::Treatment) / p99(slow, Arm::Control) > 3.0);
    assert!(error_rate(failing, Arm::Treatment) - error_rate(failing, Arm::Control) > 0.3);
    let ratio = p99(innocent, Arm::Treatment) / p99(innocent, Arm::Control);
    assert!((0.9..1.1).contains(&ratio), "{ratio}");
    // The very first interval with traffic already has the fault.
    let first = samples.iter().find(|s| s.flag == failing && s.arm == Arm::Treatment).unwrap();
    assert!(f64::from(first.errors) > 0.3 * f64::from(first.requests));
}

#[test]
fn missing_rows_give_no_samples() {
    let rows: String = (0..40)
        .filter(|minute| !(10..15).contains(minute))
        .fold(String::new(), |all, minute| all + &nezha_row(minute, "100", "0.1,0.2,0.3,0.4"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gap.csv");
    fs::write(&path, format!("{NEZHA_HEADER}\n{rows}")).unwrap();
    let recording = load(&path).unwrap();
    assert_eq!(recording.rows.len(), 40);
    assert!(recording.notes.iter().any(|note| note.starts_with("5 of 40 intervals are missing")));
    let (mut playback, mut feed) = (Playback::new(recording, 1), Feed::default());
    for minute in 0..40 {
        let begun = playback.now();
        playback.step(&[percent(10.0)], &mut feed);
        let expected = if (10..15).contains(&minute) { 0 } else { 2 };
        assert_eq!(feed.samples.len(), expected, "minute {minute}");
        assert!(feed.samples.iter().all(|sample| sample.start == begun && sample.assumed));
        assert_eq!(playback.now(), begun + Millis::from_secs(60));
    }
    assert!(playback.done());
}

#[test]
fn seconds_of_jitter_do_not_move_a_row() {
    let rows = (0..30_u64).fold(String::new(), |mut all, minute| {
        let jitter = [0, 1, 2][usize::from(minute % 2 == 1) + usize::from(minute % 4 == 3)];
        let _ = writeln!(all, "t,{},Frontend,100,0.1,0.2,0.3,0.4", 1_661_140_279 + minute * 60 - jitter);
        all
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jitter.csv");
    fs::write(&path, format!("{NEZHA_HEADER}\n{rows}")).unwrap();
    let recording = load(&path).unwrap();
    assert_eq!((recording.rows.len(), recording.rows.iter().flatten().count()), (30, 30));
}

#[test]
fn repeated_rows_of_a_real_file_are_rejected_and_counted() {
    let nab = recorded(NAB);
    let mut playback = Playback::new(nab, 1);
    let (mut feed, mut rejected) = (Feed::default(), 0);
    while !playback.done() {
        playback.step(&[], &mut feed);
        assert!(feed.rejected.iter().all(|(_, why)| *why == Rejection::Duplicate));
        rejected += feed.rejected.iter().filter(|(flag, _)| *flag == FlagId(0)).count();
    }
    assert_eq!(rejected, 12);
}
