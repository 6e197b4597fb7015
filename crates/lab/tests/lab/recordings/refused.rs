//! Files that cannot be believed: each refusal names the file, the line, what was found and what was expected.

use std::fs;

use knightwatch_lab::recording::{Recording, RecordingOptions};

use super::{NAB, NEZHA, NEZHA_HEADER, asset, load, nezha_row};

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
