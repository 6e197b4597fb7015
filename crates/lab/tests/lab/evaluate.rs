//! `knightwatch-lab evaluate` on the real program: what it keeps, what it goes on from, and what it refuses before it begins.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use crate::support::command;

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use command::{Ended, Home, PATIENCE, ended};
use serde_json::Value;

/// Enough episodes that a process can be killed among them.
const ASKED: &str = "evaluate generated --split validation --worlds 24 --policy schedule --policy rule --oracle --by-family --json";

fn recorded(home: &Home, more: &str, file: &Path) -> Ended {
    home.run_on(&format!("{ASKED} {more} --record"), file)
}

fn lines(file: &Path) -> usize {
    fs::read_to_string(file).unwrap_or_default().lines().count()
}

#[test]
fn an_evaluation_resumes_from_its_record() {
    let home = Home::new();
    let whole = home.run(ASKED);
    whole.fine();
    let file = home.path("record.jsonl");
    assert_eq!(recorded(&home, "", &file).fine().out, whole.out);
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(text.lines().count(), 1 + 3 * 24);

    // What was finished is not played again: a result in the file is taken as it is.
    let cost =
        |ended: &Ended| ended.json().iter().map(|line| line["cost"]["mean"].as_f64().unwrap()).sum::<f64>();
    let first = text.lines().nth(1).unwrap();
    let mut line: Value = serde_json::from_str(first).unwrap();
    line["result"]["cost"] = 1e9.into();
    fs::write(&file, text.replacen(first, &line.to_string(), 1)).unwrap();
    let taken = recorded(&home, "", &file);
    assert!(cost(taken.fine()) > cost(&whole) + 1e6);

    // Cut anywhere, also within a line or before the end of the first, it comes to the same.
    for end in [text.len() - 1, text.len() / 2, text.find('\n').unwrap() + 1, 40, 0] {
        fs::write(&file, &text[..end]).unwrap();
        assert_eq!(recorded(&home, "--threads 2", &file).fine().out, whole.out, "cut at {end}");
        let mut kept: Vec<_> = fs::read_to_string(&file).unwrap().lines().map(str::to_owned).collect();
        let mut all: Vec<_> = text.lines().map(str::to_owned).collect();
        kept.sort();
        all.sort();
        assert_eq!(kept, all, "cut at {end}");
    }
}

#[test]
fn a_killed_evaluation_keeps_what_is_finished() {
    let home = Home::new();
    let file = home.path("record.jsonl");
    let mut child = home.command(&format!("{ASKED} --threads 1 --record")).arg(&file).spawn().unwrap();
    let begun = std::time::Instant::now();
    while lines(&file) < 4 {
        assert!(begun.elapsed() < PATIENCE, "nothing is kept");
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let kept = fs::read(&file).unwrap();
    assert_eq!(recorded(&home, "", &file).fine().out, home.run(ASKED).fine().out);
    let after = fs::read(&file).unwrap();
    let whole = kept.iter().rposition(|byte| *byte == b'\n').unwrap();
    assert_eq!(after[..whole], kept[..whole], "what was there stays");
}

#[test]
fn a_full_disk_ends_it_and_what_is_finished_stays() {
    let home = Home::new();
    let file = home.path("record.jsonl");
    let command = home.command(ASKED);
    let program = command.get_program().to_owned();
    let mut limited = Command::new("sh");
    // A limit on a file's size is the nearest to a full disk that anybody may set.
    limited
        .args(["-c", "trap '' XFSZ; ulimit -f 4; exec \"$@\"", "sh"])
        .arg(program)
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    limited.arg("--record").arg(&file).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let full = ended(limited.spawn().unwrap());
    full.status(1);
    assert!(full.out.is_empty() && full.err.contains("record.jsonl: "), "{full:?}");
    assert!(full.err.contains("finished episodes are in it"), "{full:?}");
    let kept = fs::read_to_string(&file).unwrap();
    assert!(kept.ends_with('\n') && kept.lines().count() > 2, "{kept}");
    assert_eq!(recorded(&home, "", &file).fine().out, home.run(ASKED).fine().out);
    assert!(fs::read_to_string(&file).unwrap().starts_with(&kept));
}

#[test]
fn the_record_of_something_else_is_refused() {
    let home = Home::new();
    let file = home.path("record.jsonl");
    let small = "evaluate generated --split validation --worlds 2 --policy rule --json";
    home.run_on(&format!("{small} --record"), &file).fine();
    let text = fs::read_to_string(&file).unwrap();
    let refused = |line: &str, says: &str| {
        let ended = home.run_on(&format!("{line} --record"), &file);
        ended.status(2);
        assert!(ended.out.is_empty() && ended.err.contains(says), "{line}: {}", ended.err);
        assert_eq!(fs::read_to_string(&file).unwrap(), text, "{line}");
    };
    refused("evaluate generated --split validation --worlds 3 --policy rule", "its field is");
    refused(
        "evaluate generated --split validation --worlds 2 --policy schedule",
        "its list of policies is \"rule\"",
    );
    refused(
        "evaluate generated --split validation --worlds 2 --policy rule --shift interval-5",
        "list of shifts",
    );
    let weights =
        home.file("w.toml", knightwatch_sim::WEIGHTS.replace("\nerrors = 200.0", "\nerrors = 100.0"));
    refused(&format!("{small} --cost {}", weights.display()), "hash of the cost");
    for (content, says) in [
        ("{}\n", "line 1: not the record of an evaluation"),
        ("hello", "not the record of an evaluation"),
        ((text.clone() + "{\"episode\":1}\n").as_str(), "line 4: not a finished episode"),
        (text.replace("\"episode\":1,", "\"episode\":2,").as_str(), "found episode 2, expected less than 2"),
    ] {
        fs::write(&file, content).unwrap();
        let ended = home.run_on(&format!("{small} --record"), &file);
        ended.status(2);
        assert!(ended.err.contains("record.jsonl: ") && ended.err.contains(says), "{}", ended.err);
        assert_eq!(fs::read_to_string(&file).unwrap(), content);
    }
    for (path, says) in [("/dev/full", "not a file"), ("nowhere/record", "No such file")] {
        let ended = home.run_on(&format!("{small} --record"), Path::new(path));
        ended.status(2);
        assert!(ended.err.contains(says), "{}", ended.err);
    }
}

#[test]
fn a_folder_of_ones_own_scenarios_is_played() {
    let home = Home::new();
    let folder = home.path("mine");
    let refused = |says: &[&str]| {
        let ended = home.run_on("evaluate scenarios --policy rule --seeds 1 --folder", &folder);
        ended.status(2);
        assert!(ended.out.is_empty() && says.iter().all(|says| ended.err.contains(says)), "{}", ended.err);
    };
    refused(&["mine: ", "No such file"]);
    fs::create_dir(&folder).unwrap();
    refused(&["mine: there is no scenario in it"]);
    let good = knightwatch_sim::Scenario::builtin("good").unwrap();
    let bad = knightwatch_sim::Scenario::builtin("error-spike").unwrap();
    fs::write(folder.join("a.toml"), good).unwrap();
    fs::write(folder.join("b.toml"), bad).unwrap();
    fs::write(folder.join("notes.txt"), "no scenario").unwrap();
    let line = "evaluate scenarios --policy rule --seeds 2 --json --by-family --folder";
    let played = home.run_on(line, &folder).json().remove(0);
    assert_eq!(played["field"]["shipped"]["scenarios"], serde_json::json!(["good", "error-spike"]));
    assert_eq!((&played["episodes"], &played["bad_flags"]), (&4.into(), &2.into()));
    // Everything that is wrong is said at once, each with its file.
    fs::write(folder.join("c.toml"), good).unwrap();
    fs::write(folder.join("d.toml"), "name = 'd'\nduration = 'long'\n").unwrap();
    let nobody: String =
        bad.lines().filter(|line| !line.starts_with("start = ")).flat_map(|line| [line, "\n"]).collect();
    fs::write(folder.join("e.toml"), nobody.replacen("error-spike", "nobody", 1)).unwrap();
    let late = good.replacen("name = \"good\"", "name = \"late\"", 1).replacen(
        "start = \"30 s\"",
        "start = \"23 h\"",
        1,
    );
    fs::write(folder.join("f.toml"), late).unwrap();
    refused(&[
        "c.toml: found the name \"good\"",
        "a.toml has too",
        "d.toml:2:",
        "e.toml: none of its flags",
        "f.toml:1:",
        "no flag is started before the scenario ends",
    ]);
    for (line, says) in [
        ("evaluate scenarios --folder mine --seeds 0", "0 is not in 1..=10000"),
        ("evaluate scenarios --folder mine --scenario good", "cannot be used with"),
        ("evaluate quick --folder mine", "unexpected argument '--folder'"),
        ("evaluate quick --worlds 3", "unexpected argument '--worlds'"),
        ("evaluate scenarios --shift traffic/9", "traffic/10, traffic*10"),
        ("evaluate quick --families healthy,nonsense", "nonsense"),
    ] {
        let ended = home.run(line);
        ended.status(2);
        assert!(ended.out.is_empty() && ended.err.contains(says), "{line}: {}", ended.err);
    }
}

#[test]
fn results_go_to_a_file_and_beside_it_to_the_terminal() {
    let home = Home::new();
    let line = "evaluate generated --split validation --worlds 8 --families error-step,healthy --policy schedule \
                --policy rule --oracle --shift none,traffic/10 --json";
    let out = home.run(line);
    let lines = out.fine().json();
    let file = home.path("results.json");
    let table = home.run_on(line, &file);
    assert_eq!(fs::read_to_string(&file).unwrap(), out.out);
    assert!(table.fine().out.contains("shifted: traffic/10"), "{}", table.out);
    assert!(table.out.lines().all(|line| line.chars().count() <= 100), "{}", table.out);
    let families = &lines[0]["field"]["generated"]["families"];
    assert_eq!(*families, serde_json::json!(["error-step", "healthy"]));
    let shifts: Vec<_> = lines.iter().map(|line| line["shift"].as_str().unwrap()).collect();
    assert_eq!(shifts, ["none", "none", "none", "traffic/10", "traffic/10", "traffic/10"]);
    for part in lines.chunks(3) {
        let closed: Vec<_> = part.iter().map(|line| line["gap_closed"]["mean"].as_f64().unwrap()).collect();
        assert!(closed[0].abs() < 1e-12 && (closed[2] - 1.0).abs() < 1e-12 && closed[1] < 1.0, "{closed:?}");
        assert!(part.iter().all(|line| line["detectable_flags"].as_u64() <= line["bad_flags"].as_u64()));
        assert_eq!(part[2]["missed_detectable_percent"], 0.0);
    }
    assert_ne!(lines[1]["cost"], lines[4]["cost"], "a shift makes a difference");
    let nowhere = home.run_on(line, Path::new("nowhere/results.json"));
    nowhere.status(2);
    assert!(nowhere.out.is_empty() && nowhere.err.contains("nowhere/results.json: "), "{}", nowhere.err);
}

#[test]
fn with_hindsight_each_goes_its_own_pace_and_rolls_back_what_has_done_harm() {
    let home = Home::new();
    let line = "evaluate generated --split validation --worlds 60 --family error-step --policy rule --policy schedule --hindsight";
    let table = home.run(line);
    assert!(table.fine().out.contains("^ with hindsight"), "{}", table.out);
    assert!(table.out.lines().all(|line| line.chars().count() <= 100), "{}", table.out);
    let lines = home.run(&format!("{line} --oracle --json")).json();
    let names: Vec<_> = lines.iter().map(|line| line["policy"].as_str().unwrap()).collect();
    assert_eq!(names, ["rule", "schedule", "rule^", "schedule^", "oracle"]);
    let of = |index: usize, what: &str| lines[index][what].as_f64().unwrap();
    for (policy, knowing) in [(0, 2), (1, 3)] {
        assert!(of(knowing, "bad_requests_per_bad_flag") < of(policy, "bad_requests_per_bad_flag"));
        assert!(of(knowing, "bad_requests_per_bad_flag") >= of(4, "bad_requests_per_bad_flag"));
        let minutes = of(knowing, "mean_minutes_to_full") - of(policy, "mean_minutes_to_full");
        assert!(minutes.abs() < 1.0, "its own pace: {minutes}");
    }
}

#[test]
fn a_reader_who_goes_away_takes_no_file_with_him() {
    let home = Home::new();
    let file = home.path("results.json");
    let line = "evaluate scenarios --seeds 1 --scenario good --policy rule --json";
    let mut run = home.command(line);
    let mut running = run.arg(&file).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    drop(running.stdout.take());
    assert!(running.wait().unwrap().success());
    assert_eq!(lines(&file), 1);
}

#[test]
fn pictures_show_every_policy() {
    let home = Home::new();
    let folder = home.path("deep/plots");
    let line = "evaluate generated --split validation --worlds 15 --policy ppo-master --policy rule --policy argo \
                --policy schedule --harm-weights 0.25,16 --oracle --plots";
    home.run_on(line, &folder).fine();
    let mut names: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let all = ["families", "league", "pareto", "profile"].map(|name| format!("{name}.svg"));
    assert_eq!(names, all);
    let svg = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    for (name, policies) in [
        ("league.svg", &["ppo-master", "ppo x 0.25", "ppo x 16", "rule", "argo", "schedule", "oracle"][..]),
        // The oracle may be too far below to be drawn, and is named then.
        ("pareto.svg", &["ppo-master", "ppo x 0.25", "ppo x 16", "rule", "argo", "schedule"]),
        ("profile.svg", &["ppo-master", "ppo x 0.25", "ppo x 16", "rule", "argo", "schedule"]),
        ("families.svg", &["ppo-master", "oracle", "error-step", "low-traffic"]),
    ] {
        for policy in policies {
            assert!(svg(name).contains(&format!(">{policy}<")), "{name} {policy}");
        }
        assert!(!svg(name).contains("NaN") && !svg(name).contains("inf"), "{name}");
    }
    assert!(svg("pareto.svg").contains("oracle"));
    // The same results, the same bytes; and nowhere to put them is said with its place.
    let again = home.path("again");
    home.run_on(line, &again).fine();
    for name in &names {
        assert_eq!(fs::read(folder.join(name)).unwrap(), fs::read(again.join(name)).unwrap(), "{name}");
    }
    let in_the_way = home.file("file", "");
    let refused =
        home.run_on("evaluate generated --split validation --worlds 1 --policy rule --plots", &in_the_way);
    refused.status(2);
    assert!(refused.out.is_empty() && refused.err.contains("file: "), "{}", refused.err);
    home.run("evaluate quick --shift none,interval-5 --plots p").status(2);
}

#[test]
fn the_worst_worlds_are_found_and_can_be_played_again() {
    let home = Home::new();
    let found = home.run("evaluate worst 30 --policy schedule --json").json();
    assert_eq!(found.len(), 5);
    let regret = |world: &Value| world["regret"].as_f64().unwrap();
    assert!(found.windows(2).all(|pair| regret(&pair[0]) >= regret(&pair[1])));
    assert!(regret(&found[0]) > 0.0 && found.iter().all(|world| world["number"].as_u64() >= Some(3_000_000)));
    for world in &found[..2] {
        let again = world["again"].as_str().unwrap().trim_start_matches("knightwatch-lab ");
        let lines = home.run(&format!("{again} --json")).json();
        assert_eq!(lines[0]["cost"]["mean"], world["cost"]);
        assert_eq!(lines[1]["cost"]["mean"], world["oracle"]);
    }
    assert_eq!(found, home.run("evaluate worst 30 --policy schedule --json --threads 1").json());
    let table = home.run("evaluate worst 3 --policy schedule --families error-step");
    assert!(table.fine().out.starts_with("the worst of 3 validation worlds for schedule"), "{}", table.out);
    assert!(table.out.contains("error-step"), "{}", table.out);
    home.run("evaluate worst 0").status(2);
}

#[test]
fn recordings_are_judged_by_the_same_number() {
    let home = Home::new();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/recordings");
    let [nezha, petshop] = ["nezha/2022-08-22-front_service.csv", "petshop/high_traffic"]
        .map(|name| shipped.join(name).to_str().unwrap().to_owned());
    let asked = format!(
        "evaluate recordings {nezha} {petshop} --seeds 2 --policy rule --policy schedule --oracle --by-family"
    );
    let results = home.run(&format!("{asked} --json")).fine().json();
    let whole: Vec<&Value> = results.iter().filter(|line| line["family"].is_null()).collect();
    assert_eq!(whole.len(), 3);
    for line in &whole {
        assert_eq!(
            (&line["episodes"], &line["field"]["recorded"]["seeds"]),
            (&4.into(), &2.into()),
            "{line}"
        );
        assert!(
            line["good_flags"].as_u64().unwrap() > 0 && line["bad_flags"].as_u64().unwrap() > 0,
            "{line}"
        );
        assert_eq!(line["families"].as_array().unwrap().len(), 2, "{line}");
    }
    let cost = |line: &Value| line["cost"]["mean"].as_f64().unwrap();
    let (oracle, others) = whole.split_last().unwrap();
    assert_eq!((&oracle["policy"], &oracle["missed_percent"]), (&"oracle".into(), &0.0.into()));
    assert!(others.iter().all(|line| cost(line) > cost(oracle)), "{results:?}");
    assert!(home.run(&asked).fine().out.contains("semi-real"));

    for (more, says) in [
        ("recordings nosuch.csv", "nosuch.csv"),
        (&format!("recordings {nezha} --shift sigma*2")[..], "--shift"),
        ("recordings", "<FILE>"),
    ] {
        let refused = home.run(&format!("evaluate {more}"));
        assert!(refused.status(2).err.contains(says), "{}", refused.err);
    }
}

#[test]
fn what_is_no_file_stays_what_it_is_and_a_place_that_cannot_be_written_to_is_found_before_anything_is_played()
{
    let home = Home::new();
    let asked = "evaluate scenarios --seeds 1 --scenario good --policy rule";
    fs::write(home.path("mine.json"), "old").unwrap();
    std::os::unix::fs::symlink("mine.json", home.path("link.json")).unwrap();
    home.run_on(&format!("{asked} --json"), &home.path("link.json")).fine();
    assert!(home.path("link.json").is_symlink());
    assert!(fs::read_to_string(home.path("mine.json")).unwrap().starts_with("{\"policy\":\"rule\""));

    let full = Path::new("/dev/full");
    let before = fs::metadata(full).unwrap().file_type();
    let refused = home.run_on(&format!("{asked} --json"), full);
    assert!(refused.status(1).err.contains("/dev/full: No space left on device"), "{}", refused.err);
    assert!(refused.out.contains("bad requests"), "the table comes first: {}", refused.out);
    assert_eq!(fs::metadata(full).unwrap().file_type(), before);

    for line in [format!("{asked} --json /proc/nowhere/x.json"), format!("{asked} --plots /proc/nowhere")] {
        let refused = home.run(&line);
        assert!(refused.status(2).err.contains("/proc/nowhere"), "{}", refused.err);
        assert!(refused.out.is_empty(), "{line} played: {}", refused.out);
    }
}
