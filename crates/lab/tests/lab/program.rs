//! The lab's program as a person uses it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::{fs, path::Path};

use knightwatch_agent::PolicyName;
use knightwatch_lab::opponents::ALL;

use crate::support::{
    command::{Home, ended},
    training,
};

#[test]
fn evaluate_puts_the_policies_side_by_side() {
    let home = Home::new();
    let line = "evaluate scenarios --seeds 1 --scenario good --scenario error-spike --against rule";
    let table = home.run(line);
    table.fine();
    assert!(table.out.starts_with("2 scenarios, 1 seed each"), "{}", table.out);
    let all = ALL.len();
    // Four lines about it, five tables with a row for each policy, ten lines on how to read them.
    assert_eq!(table.out.lines().count(), 4 + 5 * (2 + all + 1) + 10, "{}", table.out);
    assert!(table.out.lines().all(|line| line.chars().count() <= 100), "{}", table.out);
    let standings = home.run(&format!("{line} --json")).json();
    let policies: Vec<_> = standings.iter().map(|standing| standing["policy"].as_str().unwrap()).collect();
    assert_eq!(policies, ALL.map(PolicyName::as_str));
    for standing in &standings {
        let number = |key: &str| standing[key].as_f64().unwrap_or_else(|| panic!("{key} in {standing}"));
        assert!((0.0..=100.0).contains(&number("missed_percent")));
        assert!((0.0..=100.0).contains(&number("false_rollbacks_percent")));
        assert!((0.0..=100.0).contains(&number("completed_percent")));
        assert!(number("bad_requests_per_bad_flag") >= 0.0);
        assert!(table.out.contains(standing["policy"].as_str().unwrap()));
    }
    let one = home.run(&format!("{line} --policy flagger --json")).json();
    assert_eq!(one[1..], standings[3..4], "the same, whoever else takes part");
}

#[test]
fn the_recordings_that_are_shipped_are_replayed() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/recordings");
    for (recording, speaks_of) in [
        ("nab/ec2_request_latency_system_failure.csv", "numenta/NAB"),
        ("nezha/2022-08-22-front_service.csv", "Nezha"),
        ("petshop/high_traffic", "petshop"),
    ] {
        let home = Home::new();
        let replayed = home.run_on("replay --policy rule --text", &shipped.join(recording));
        replayed.status(0);
        assert!(replayed.err.contains(speaks_of) && replayed.err.contains("semi-real"), "{}", replayed.err);
        assert!(replayed.out.contains("raised from"), "{recording}: {}", replayed.out);
        assert!(replayed.out.contains("rolled back from"), "{recording}: {}", replayed.out);
        assert_eq!(
            ended(home.control_room("audit show").spawn().unwrap()).fine().out,
            replayed.out,
            "it is a session of its own"
        );
    }
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let home = Home::new();
    let mut child = home.command("evaluate scenarios --seeds 1 --scenario good").spawn().unwrap();
    drop(child.stdout.take());
    let ended = ended(child);
    ended.status(0);
    assert_eq!(ended.err, "");
}

#[test]
fn a_session_of_a_shadow_differs_nowhere_from_what_its_own_policy_would_have_done() {
    let home = Home::new();
    let session = home.path("s.knightwatch");
    let watch = "watch --scenario default --policy rule --shadow schedule --seed 3 --session";
    ended(home.control_room(watch).arg(&session).spawn().unwrap()).fine();
    let own = home.run_on("what-if --policy rule", &session);
    assert!(own.fine().out.contains("No divergence"), "{}", own.out);
}

#[test]
fn a_wrong_recording_is_refused_with_its_place() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/recordings");
    let nab = fs::read_to_string(shipped.join("nab/ec2_request_latency_system_failure.csv")).unwrap();
    let nezha = fs::read_to_string(shipped.join("nezha/2022-08-22-front_service.csv")).unwrap();
    let line = |text: &str, number: usize| text.lines().nth(number - 1).unwrap().to_owned();
    for (content, says) in [
        (nab.replacen(&line(&nab, 7), "2014-03-07 04:11:00,NaN", 1), "line 7"),
        (nab.replacen(&line(&nab, 7), "yesterday,45.3", 1), "line 7"),
        (nab.replacen(&line(&nab, 7), "2014-03-07 04:11:00,-3", 1), "line 7"),
        (nab.replacen("timestamp,value", "timestamp,value,colour", 1), "line 1"),
        (nezha[..nezha.len() - 22].to_owned(), "line 1210"),
        ("timestamp,value\n".to_owned(), "recording.csv"),
        (String::new(), "recording.csv"),
    ] {
        let home = Home::new();
        let file = home.file("recording.csv", &content);
        let ended = home.run_on("replay --text", &file);
        ended.status(2);
        assert_eq!(ended.out, "");
        assert!(ended.err.contains("recording.csv") && ended.err.contains(says), "{}", ended.err);
    }
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let home = Home::new();
    for (line, says) in [
        ("replay --text --requests 0 x.csv", "0 is not in 1..=1000000"),
        ("evaluate scenarios --scenario nosuch", "there is no scenario \"nosuch\""),
        ("evaluate scenarios --policy rule --harm-weight 3", "--harm-weight: only ppo-master has any"),
        (
            "evaluate scenarios --policy ppo-master --weights nowhere",
            "nowhere: no usable weights: it cannot be read",
        ),
        ("evaluate quick --worlds 3", "unexpected argument '--worlds'"),
        ("evaluate record --seeds 3", "unexpected argument '--seeds'"),
        ("tune --policy rule", "--policy rule: it has no settings to tune"),
        ("curves x.jsonl", "--svg <FILE>"),
        ("curves x.jsonl --svg - --csv -", "both write to standard output"),
    ] {
        let ended = home.run(line);
        ended.status(2);
        assert!(ended.out.is_empty() && ended.err.contains(says), "{line}: {}", ended.err);
    }
}

#[test]
fn the_curves_are_written_as_a_table_and_as_a_picture() {
    let home = Home::new();
    let log = training::log(training::ITERATIONS);
    let file = home.file("run.jsonl", log.to_text());
    let (table, picture) = (home.path("curves.csv"), home.path("curves.svg"));
    let options = format!("curves --csv {} --svg {}", table.display(), picture.display());
    home.run_on(&options, &file).fine();
    let mut rows = csv::Reader::from_path(&table).unwrap();
    let names = rows.headers().unwrap().clone();
    let place = |name: &str| names.iter().position(|found| found == name).unwrap();
    let rows: Vec<csv::StringRecord> = rows.records().collect::<Result<_, _>>().unwrap();
    assert_eq!(rows.len(), 240);
    assert_eq!(&rows[0][place("reward (an episode)")], "", "no episode had ended");
    let harm: f64 = rows[199][place("harm")].parse().unwrap();
    assert!((harm - log.points[199].validation.unwrap().harm).abs() < 1e-9);
    assert_eq!(&rows[199][place("best so far")], "1");
    assert_eq!(&rows[0][place("harm")], "");

    let drawn = std::fs::read_to_string(&picture).unwrap();
    assert_eq!(drawn.matches("<polyline").count(), 6, "six curves");
    for said in [
        "harm on validation",
        "cost units a flag",
        "rule 4.1",
        "at iteration 200",
        "nats",
        "1.97 M steps",
        "seed 7",
    ] {
        assert!(drawn.contains(said), "{said}");
    }
    home.run_on(&options, &file).fine();
    assert_eq!(std::fs::read_to_string(&picture).unwrap(), drawn, "the same log gives the same bytes");
}
