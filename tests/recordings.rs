//! Recorded telemetry, from the files in `assets/recordings` and from files that are broken on purpose.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use knightwatch::{
    flag::{FlagId, Rollout},
    integrations::recording::{Playback, Recording, RecordingError, RecordingOptions},
    telemetry::{Arm, Feed, Histogram, Millis, Rejection, Sample},
};

const NEZHA: &str = "nezha/2022-08-22-front_service.csv";
const PETSHOP: &str = "petshop/high_traffic";
const NAB: &str = "nab/ec2_request_latency_system_failure.csv";

const NEZHA_HEADER: &str =
    "Time,TimeStamp,ServiceName,SuccessRate(%),LatencyP50(s),LatencyP90(s),LatencyP95(s),LatencyP99(s)";

fn asset(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/recordings").join(name)
}

fn load(path: &Path) -> Result<Recording, RecordingError> {
    Recording::load(path, &RecordingOptions::default())
}

fn recorded(name: &str) -> Recording {
    load(&asset(name)).unwrap_or_else(|error| panic!("{error}"))
}

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

/// A Nezha row, `minute` minutes in.
fn nezha_row(minute: u64, success: &str, latencies: &str) -> String {
    format!("t,{},Frontend,{success},{latencies}\n", 1_661_140_260 + minute * 60)
}

/// A Nezha file of `rows` calm rows.
fn calm(rows: u64) -> String {
    let body =
        (0..rows).fold(String::new(), |all, minute| all + &nezha_row(minute, "100", "0.1,0.2,0.3,0.4"));
    format!("{NEZHA_HEADER}\n{body}")
}

/// The error that `content` gives, with the file's name cut to its last part.
fn refused(content: impl AsRef<[u8]>) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("recording.csv");
    fs::write(&path, content).unwrap();
    let text = load(&path).unwrap_err().to_string();
    text.rsplit_once('/').unwrap().1.to_owned()
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
        assert!(said.contains("semi-real"), "{said}");
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
        let cues = recording.cues();
        assert_eq!(cues.len(), recording.specs().len());
        assert!(cues.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let length = recording.interval.0 * recording.rows.len() as u64;
        assert!(cues.last().unwrap().0.0 < length * 2 / 3);
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
    let share = sum(Arm::Treatment) as f64 / total as f64;
    assert!((share - 0.25).abs() < 0.005, "{share}");
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
    assert!(play(&petshop, 1, Rollout::ZERO).iter().all(|sample| sample.arm == Arm::Control));
    assert!(play(&petshop, 1, Rollout::FULL).iter().all(|sample| sample.arm == Arm::Treatment));
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
        let jitter = [0, 1, 0, 2][minute as usize % 4];
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

#[test]
fn nezha_nonsense_is_refused_with_its_place() {
    let with = |row: String| refused(calm(3) + &row);
    assert_eq!(
        with(nezha_row(3, "140", "0.1,0.2,0.3,0.4")),
        "recording.csv, line 5: found \"140\"; expected a success rate in %, a number from 0 to 100"
    );
    for bad in ["NaN", "-0.1", "inf", "1e300", "fast", ""] {
        let text = with(nezha_row(3, "100", &format!("0.1,0.2,0.3,{bad}")));
        assert_eq!(
            text,
            format!(
                "recording.csv, line 5: found \"{bad}\"; expected a latency in seconds, a number from 0 to 86400"
            )
        );
    }
    assert_eq!(
        with(nezha_row(3, "100", "0.1,0.5,0.3,0.4")),
        "recording.csv, line 5: found P95 of 300 ms below P90 of 500 ms; expected quantiles that do not descend"
    );
    assert_eq!(
        with("t,1661140440,Frontend,100,0.1,0.".to_owned()),
        "recording.csv, line 5: found 6 columns; expected 8 columns, as in the header"
    );
    assert_eq!(
        with(nezha_row(1, "100", "0.1,0.2,0.3,0.4")),
        "recording.csv, line 5: found a time stamp 1 min before the line above; expected time stamps that do not go back"
    );
    assert_eq!(
        with(nezha_row(2, "100", "0.1,0.2,0.3,0.4")),
        "recording.csv, line 5: found a second row for the same interval; expected one row an interval of 1 min, but for \
         one glitch in 100 rows"
    );
    assert_eq!(
        with(nezha_row(3, "100", "0.1,0.2,0.3,0.4").replace("Frontend", "Cart\u{202e}")),
        "recording.csv, line 5: found a row of \"Cart\"; expected rows of \"Frontend\" alone"
    );
    assert!(with("\n".to_owned()).contains("line 5: found an empty line"));
    assert!(with(nezha_row(900_000_000, "100", "0.1,0.2,0.3,0.4")).contains("line 5: found \"5"));
    assert!(with(nezha_row(9_000_000, "100", "0.1,0.2,0.3,0.4")).contains("at most 200000 intervals"));
}

#[test]
fn files_that_are_no_recordings_are_refused() {
    assert!(refused("").starts_with("recording.csv, line 1: found an empty file"), "{}", refused(""));
    let header = refused("a,b,c\n1,2,3\n");
    assert!(
        header.starts_with("recording.csv, line 1: found the header \"a,b,c\"; expected a header of Nezha"),
        "{header}"
    );
    let missing = refused("TimeStamp,SuccessRate(%)\n");
    assert!(missing.contains("line 1: found the header"), "{missing}");
    assert!(refused(format!("{NEZHA_HEADER}\n")).contains("at least two rows"));
    assert!(
        refused([0x89, b'P', b'N', b'G', 0xff, 0, 1])
            .contains("line 1: found bytes that are not text, at byte 1")
    );
    assert!(refused(b"timestamp,value\n\x1b[2J,1\n").contains("line 2: found the control character"));
    assert!(refused(vec![b'x'; 200_000]).contains("line 1: found a line longer than 65536 bytes"));

    let folder = tempfile::tempdir().unwrap();
    let text = load(folder.path()).unwrap_err().to_string();
    assert!(text.contains("found a folder; expected a recording"), "{text}");
    let text = load(&folder.path().join("nothing.csv")).unwrap_err().to_string();
    assert!(text.contains("nothing.csv: found No such file"), "{text}");
}

#[test]
fn a_hundred_megabytes_are_refused_unread() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("huge.csv");
    fs::File::create(&path).unwrap().set_len(100 << 20).unwrap();
    let text = load(&path).unwrap_err().to_string();
    assert!(text.ends_with("found 104857600 bytes; expected at most 67108864 bytes"), "{text}");
}

#[test]
fn nab_nonsense_is_refused_with_its_place() {
    let calm = "timestamp,value\n2014-03-07 03:41:00,45\n2014-03-07 03:46:00,47\n";
    let with = |row: &str| refused(format!("{calm}{row}\n"));
    assert!(with("2014-03-07 03:51:00,NaN").contains("line 4: found \"NaN\"; expected an average latency"));
    assert!(with("2014-03-07 03:51:00,-4").contains("line 4: found \"-4\""));
    assert!(with("yesterday,45").contains("line 4: found \"yesterday\"; expected a moment in UTC"));
    assert!(with("1960-01-01 00:00:00,45").contains("line 4: found \"1960-01-01 00:00:00\""));
    assert!(with("2014-03-07 03:31:00,45").contains("line 4: found a time stamp 15 min before"));
    assert!(with("2014-03-07 03:51:00").contains("line 4: found 1 columns; expected 2 columns"));
}

/// petshop tables: header rows for a service, then `rows`.
fn petshop_table(rows: &str) -> String {
    "microservice,PetSite,PetSite,PetSite,PetSite\nmetric,latency,latency,requests,availability\n\
     statistic,p50,p99,Sum,Average\nunix_timestamp,,,,\n"
        .to_owned()
        + rows
}

#[test]
fn petshop_nonsense_is_refused_with_its_place() {
    let with =
        |row: &str| refused(petshop_table(&format!("300.0,0.1,0.4,700,100\n600.0,0.1,0.4,700,100\n{row}\n")));
    assert!(
        with("900.0,0.1,0.4,700,100.5").contains("line 7: found \"100.5\"; expected an availability in %")
    );
    assert!(with("900.0,0.1,0.4,-1,100").contains("line 7: found \"-1\"; expected a count of requests"));
    assert!(
        with("900.0,0.1,,700,100")
            .contains("line 7: found 1 of 2 latency quantiles; expected all of them or none")
    );
    assert!(with("900.0,0.4,0.1,700,100").contains("line 7: found P99 of 100 ms below P50 of 400 ms"));
    assert!(
        refused("microservice,PetSite\nstatistic,p50\n")
            .contains("line 2: found \"statistic\"; expected a header row of metric")
    );
    let other = petshop_table("").replace("PetSite", "Cart");
    assert!(refused(other).contains("line 4: found no column for latency quantiles of \"PetSite\""));
}

#[test]
fn a_petshop_row_without_counts_is_missing_and_one_without_requests_is_zero() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.csv");
    let rows = "300.0,0.1,0.4,700,100\n600.0,,,,\n900.0,,,0,\n1200.0,0.1,0.4,700,\n1500.0,0.1,0.4,700,99\n";
    fs::write(&path, petshop_table(rows)).unwrap();
    let recording = load(&path).unwrap();
    let requests: Vec<_> = recording.rows.iter().map(|row| row.as_ref().map(|row| row.requests)).collect();
    assert_eq!(requests, [Some(700), None, Some(0), None, Some(700)]);
}

#[test]
fn broken_lists_of_incidents_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("list.json");
    let options = RecordingOptions { incidents: Some(list.clone()), ..RecordingOptions::default() };
    let with = |name: &str, text: &str| {
        fs::write(&list, text).unwrap();
        Recording::load(&asset(name), &options).unwrap_err().to_string()
    };
    let text = with(NEZHA, "{\n\"03\": [");
    assert!(
        text.contains("list.json, line 2: found") && text.contains("expected a list of faults"),
        "{text}"
    );
    let fault = r#"{"03":[{"inject_timestamp":"noon","inject_pod":"a","inject_type":"b"}]}"#;
    assert!(
        with(NEZHA, fault).contains("found inject_timestamp \"noon\"; expected whole seconds since 1970")
    );
    let windows =
        r#"{"x/ec2_request_latency_system_failure.csv":[["2014-03-14 03:31:00","2014-03-13 03:31:00"]]}"#;
    assert!(with(NAB, windows).contains("expected windows that end after they begin"));
    assert!(with(NAB, "[1, 2]").contains("expected labelled windows by file"));
}

#[test]
fn hostile_names_in_lists_become_harmless_keys() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("list.json");
    let fault =
        r#"{"inject_timestamp":"1661140927","inject_pod":"\u001b[2Jfront\u202eend-1-2","inject_type":"x"}"#;
    fs::write(&list, format!(r#"{{"04":[{fault},{fault}]}}"#)).unwrap();
    let options = RecordingOptions { incidents: Some(list), ..RecordingOptions::default() };
    let recording = Recording::load(&asset(NEZHA), &options).unwrap();
    let specs = recording.specs();
    let keys: Vec<&str> = specs.iter().map(|spec| spec.key.as_str()).collect();
    assert_eq!(keys, ["no-incident", "2jfront-end-x", "2jfront-end-x-2"]);
    assert!(specs.iter().all(|spec| !spec.description.chars().any(|c| c.is_control() || c == '\u{202e}')));
}

#[test]
fn requests_can_be_assumed_within_reason() {
    let options = |requests| RecordingOptions { requests, ..RecordingOptions::default() };
    let nezha = Recording::load(&asset(NEZHA), &options(120)).unwrap();
    assert!(nezha.rows.iter().flatten().all(|row| row.requests == 120));
    let text = Recording::load(&asset(NEZHA), &options(0)).unwrap_err().to_string();
    assert!(text.contains("found 0 assumed requests an interval; expected 1 to 1000000"), "{text}");
}
