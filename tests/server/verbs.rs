//! The verbs of the command line against a real backend: what they print, and what their exit status means.

use serde_json::{Value, json};

use crate::support::{http::owner, served::Served};

fn run(served: &Served, arguments: &[&str]) -> (i32, String, String) {
    ended(&mut served.command(arguments))
}

fn ended(command: &mut std::process::Command) -> (i32, String, String) {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn every_verb_does_what_it_says_and_ends_with_a_status_that_means_it() {
    let served = Served::start(&["--speed", "0", "--policy", "rule"]);
    for (arguments, status, said) in [
        (&["start", "power-peg", "--reason", "why not"][..], 0, "started at"),
        (&["pause", "power-peg"], 0, "paused"),
        (&["pause", "power-peg"], 1, "only a ramping flag is paused"),
        (&["resume", "power-peg"], 0, "resumed"),
        (&["set", "power-peg", "12.5", "--for", "5 min"], 0, "12.5 %"),
        (&["set", "power-peg", "140"], 2, "between 0 % and 100 %"),
        (&["release", "power-peg"], 0, "handed back"),
        (&["promote", "power-peg"], 0, "100 %"),
        (&["rollback", "power-peg"], 0, "rolled back"),
        (&["rollback", "no-such-flag"], 1, "there is no flag"),
        (&["start", "pay\u{202e}lla"], 2, "at character 4"),
        (&["acknowledge", "77"], 1, "no alarm"),
        (&["kill-all"], 2, "needs --yes"),
        (&["kill-all", "--yes", "--env", "prod"], 1, "\"test\", not \"prod\""),
        (
            &["kill-all", "--yes", "--env", "test"],
            0,
            "in force and on the disk; 16 of 16 flags are at 0 % in knightwatch",
        ),
        (&["start", "power-peg"], 1, "kill-all is in force"),
        (&["rearm", "--env", "prod", "--reason", "x"], 1, "re-arming needs the environment's name"),
        (&["rearm", "--env", "test"], 1, "needs a reason"),
        (&["rearm", "--env", "test", "--reason", "over"], 0, "re-armed"),
    ] {
        let (code, out, err) = run(&served, arguments);
        assert_eq!(code, status, "{arguments:?}: {out}{err}");
        assert!(
            (out.clone() + &err).to_lowercase().contains(&said.to_lowercase()),
            "{arguments:?}: {out}{err}"
        );
    }
    let (code, out, _) = run(&served, &["status", "--json"]);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, report["environment"].as_str()), (0, Some("test")));
    assert_eq!(report["flags"].as_array().unwrap().len(), 16);
}

#[test]
fn json_is_one_line_for_done_and_for_refused() {
    let served = Served::start(&["--speed", "0"]);
    let (code, out, _) = run(&served, &["start", "power-peg", "--json", "--id", "mine"]);
    let first: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, first["ok"].as_bool(), first["durable"].as_bool()), (0, Some(true), Some(true)));
    let (_, again, _) = run(&served, &["start", "power-peg", "--json", "--id", "mine"]);
    assert_eq!(again, out, "the same order acts once");
    let (code, out, _) = run(&served, &["start", "power-peg", "--json"]);
    let refused: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, refused["ok"].as_bool()), (1, Some(false)));
    assert!(refused["error"].as_str().unwrap().contains("power-peg is ramping"));
    for (arguments, status, said) in [
        (&["kill-all", "--env", "prod", "--yes", "--json"][..], 1, "\"test\", not \"prod\""),
        (&["kill-all", "--json"], 2, "needs --yes"),
    ] {
        let (code, out, _) = run(&served, arguments);
        let refused: Value = serde_json::from_str(&out).unwrap();
        assert_eq!((code, refused["ok"].as_bool()), (status, Some(false)), "{arguments:?}");
        assert!(refused["error"].as_str().unwrap().contains(said), "{arguments:?}: {refused}");
    }
}

#[test]
fn a_second_kill_all_hides_neither_who_raised_the_first_nor_why() {
    let served = Served::start(&["--speed", "0", "--policy", "rule"]);
    let file = || std::fs::read_to_string(served.folder().join("backend/latch")).unwrap();
    run(&served, &["set", "power-peg", "25"]);
    assert_eq!(run(&served, &["kill-all", "--yes", "--reason", "db on fire"]).0, 0);
    let latch = || owner(&served, "GET", "/api/v1/status", "").json()["latch"].clone();
    let (first, kept) = (latch(), file());
    assert_eq!(
        (first["reason"].as_str(), first["exposed"].as_u64()),
        (Some("db on fire"), Some(1)),
        "{first}"
    );
    let (code, again, err) = run(&served, &["kill-all", "--yes", "--reason", "me too"]);
    assert!(code == 0 && again.contains("me too"), "{again}{err}");
    assert_eq!((latch(), file()), (first, kept));
    let (_, status, _) = run(&served, &["status"]);
    let said = status.lines().find(|line| line.starts_with("KILL-ALL IN FORCE")).unwrap();
    assert!(said.ends_with(": db on fire"), "{said}");
}

#[test]
fn a_backend_that_is_not_there_is_status_three_and_a_wrong_address_status_two() {
    let mut served = Served::start(&["--speed", "0"]);
    served.end("KILL");
    let (code, _, err) = run(&served, &["pause", "power-peg"]);
    assert!(code == 3 && err.contains("NOT SENT"), "{code} {err}");
    let (code, _, err) = run(&served, &["status", "--connect", "localhost:8000"]);
    assert!(code == 2 && err.contains("expected http://HOST:PORT"), "{code} {err}");
    let (code, _, err) = run(&served, &["watch"]);
    assert!(code == 3, "{code} {err}");
}

#[test]
fn the_socket_is_found_without_an_address_and_the_journal_names_its_user() {
    let served = Served::start(&["--speed", "0"]);
    let output = served.command(&["start", "power-peg"]).env_remove("KNIGHTWATCH_URL").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let journal = served.journal();
    let arguments = ["audit", "--session", journal.to_str().unwrap(), "show", "--last", "1", "--json"];
    let (_, shown, _) = run(&served, &arguments);
    let entry: Value = serde_json::from_str(shown.trim()).unwrap();
    let actor = entry["actor"]["person"].as_str().unwrap();
    assert!(actor.contains("(says tester)"), "the kernel says who it is: {actor}");
}

#[test]
fn watch_follows_a_backend_until_nothing_moves_any_more() {
    let served = Served::start(&["--speed", "0", "--policy", "rule"]);
    run(&served, &["start", "power-peg"]);
    let mut watching = served
        .command(&["watch", "--flag", "power-peg", "--until", "done"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(watching.stdout.take().unwrap()));
    assert!(lines.by_ref().map(Result::unwrap).any(|line| line.contains("started at")));
    run(&served, &["rollback", "power-peg"]);
    assert!(lines.by_ref().map(Result::unwrap).any(|line| line.contains("rolled back")));
    assert_eq!(watching.wait().unwrap().code(), Some(1), "it did not get to 100 %");
}

/// A command in the backend's surroundings that is told no address.
fn here(served: &Served, arguments: &[&str]) -> (i32, String, String) {
    ended(served.command(arguments).env_remove("KNIGHTWATCH_URL"))
}

#[test]
fn what_reads_a_journal_finds_the_backend_that_runs_here() {
    let mut served = Served::start(&["--speed", "0", "--policy", "rule"]);
    run(&served, &["start", "power-peg"]);
    run(&served, &["set", "gift-wrapping", "25"]);
    let (_, status, _) = here(&served, &["status", "--json"]);
    let last = serde_json::from_str::<Value>(&status).unwrap()["seq"].to_string();
    for with in [here, run] {
        let (code, out, err) = with(&served, &["audit", "show", "--last", "1"]);
        assert!(code == 0 && out.contains("gift-wrapping"), "{out}{err}");
        let (code, out, err) = with(&served, &["explain", &last]);
        assert!(
            code == 1 && out.contains("gift-wrapping") && err.contains("no decision of a policy"),
            "{out}{err}"
        );
        let (code, _, err) = with(&served, &["explain", "99999"]);
        assert!(code == 2 && err.contains(&format!("has entries #1 to #{last}")), "{err}");
        let (code, out, err) = with(&served, &["export"]);
        let exported: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{code} {err}"));
        let flag = exported["flags"]["gift-wrapping"].to_string();
        assert!(flag.contains("25") && flag.contains("75"), "{flag}");
    }
    // The other world's journal is asked for by name, and there is none.
    let (code, _, err) = here(&served, &["export", "--real"]);
    assert!(code == 2 && err.contains("real/journal.knightwatch"), "{code} {err}");
    for refused in [&["simulate", "--quiet"][..], &["scenarios"], &["token", "list"]] {
        let (code, _, err) = here(&served, &[refused, &["--connect", served.url()]].concat());
        assert!(code == 2 && err.contains("takes no --connect"), "{refused:?}: {code} {err}");
        let (code, _, err) = run(&served, refused);
        assert_eq!(code, 0, "a variable is for all verbs: {err}");
    }
    served.end("KILL");
    for verb in [&["audit", "show"][..], &["explain", "1"], &["export"], &["status"], &["watch"]] {
        let (code, out, err) = here(&served, verb);
        assert!(
            code == 3 && out.is_empty(),
            "a session of another world is no answer: {verb:?} {code} {out}"
        );
        let instead = if verb == ["watch"] { "--scenario" } else { "--session" };
        assert!(err.contains(instead), "{verb:?}: {err}");
    }
}

#[test]
fn watch_follows_the_backend_that_runs_here_and_does_not_wait_for_nothing() {
    let served = Served::start(&["--speed", "0", "--policy", "rule"]);
    run(&served, &["start", "power-peg"]);
    run(&served, &["rollback", "power-peg"]);
    let (code, out, err) = here(&served, &["watch", "--flag", "power-peg", "--until", "done"]);
    assert!(
        code == 1 && out.contains("rolled back") && err.contains("this machine's backend, unix:"),
        "{out}{err}"
    );
    let (code, out, err) = here(&served, &["watch", "--scenario", "good", "--until", "done"]);
    assert!(code == 0 && !err.contains("this machine's backend"), "{out}{err}");
    run(&served, &["archive", "power-peg", "--yes"]);
    let (code, _, err) = here(&served, &["watch", "--flag", "power-peg", "--until", "done"]);
    assert!(code == 2 && err.contains("there is no flag power-peg"), "{code} {err}");
    // A real world has no flags at first.
    let empty = Served::start(&["--real"]);
    let (code, _, err) = here(&empty, &["watch", "--until", "done"]);
    assert!(code == 1 && err.contains("nothing will ever be done"), "{code} {err}");
}

#[test]
fn status_says_the_number_that_acknowledge_takes() {
    let served = Served::start(&["--speed", "0", "--policy", "rule"]);
    run(&served, &["set", "power-peg", "25"]);
    let service = owner(&served, "GET", "/api/v1/flags/power-peg", "").json()["service"].clone();
    let taken_back = json!({
        "context": {"id": "1", "source": "/ci", "type": "dev.cdevents.service.rolledback.0.2.0"},
        "subject": {"id": service},
    });
    let heard = owner(&served, "POST", "/api/v1/deployments", &taken_back.to_string());
    assert!(heard.body.contains("power-peg is still at 25 %"), "{heard:?}");
    let (_, status, _) = run(&served, &["status"]);
    let alarm =
        status.lines().find_map(|line| line.strip_prefix("alarm ")).unwrap_or_else(|| panic!("{status}"));
    let (number, _) = alarm.split_once(',').unwrap();
    let (code, out, err) = run(&served, &["acknowledge", number]);
    assert_eq!(code, 0, "{out}{err}");
}

#[test]
fn completions_and_man_pages_come_from_the_command_line_itself() {
    let served = Served::start(&["--speed", "0"]);
    for shell in ["bash", "zsh", "fish"] {
        let (code, out, _) = run(&served, &["completions", shell]);
        assert!(code == 0 && out.contains("kill-all"), "{shell}");
    }
    let folder = served.folder().join("man");
    let (code, _, err) = run(&served, &["man", folder.to_str().unwrap()]);
    assert_eq!(code, 0, "{err}");
    assert!(std::fs::read_to_string(folder.join("knightwatch-kill-all.1")).unwrap().contains("re\\-arms"));
}

#[test]
fn a_check_changes_nothing_and_names_what_is_wrong() {
    let served = Served::start(&["--speed", "0"]);
    let (code, _, err) = run(&served, &["serve", "--check", "--listen", "0.0.0.0:8000"]);
    assert!(code == 2 && err.contains("needs server.tls_cert"), "{code} {err}");
    // Also of the state that is in use: what a restart would meet is looked at before it.
    let (code, out, err) = run(&served, &["serve", "--check"]);
    assert!(code == 0 && out.contains("resumed"), "{code} {out}{err}");
    let real = Served::start(&["--real"]);
    let (code, out, err) = run(&real, &["serve", "--real", "--check"]);
    assert!(code == 0 && out.contains("resumed"), "{code} {out}{err}");
    let fresh = tempfile::tempdir().unwrap();
    let mut command = served.command(&["serve", "--check"]);
    let output = command.env("KNIGHTWATCH_STATE", fresh.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(std::fs::read_dir(fresh.path()).unwrap().count(), 0, "nothing was made");
}

#[test]
fn a_mistake_in_the_configuration_does_not_stand_before_the_switch() {
    let served = Served::start(&["--speed", "0", "--policy", "rule"]);
    let file = served.folder().join("wrong.toml");
    std::fs::write(&file, "[screen]\nfps = 99\n").unwrap();
    let file = file.to_str().unwrap();
    let start = served.command(&["--config", file, "start", "power-peg"]).output().unwrap();
    assert_eq!(start.status.code(), Some(2), "{start:?}");
    let killed = served.command(&["--config", file, "kill-all", "--yes"]).output().unwrap();
    let said = String::from_utf8_lossy(&killed.stderr).into_owned();
    assert!(
        killed.status.success()
            && said.contains("fps")
            && said.contains("continuing without a configuration"),
        "{killed:?}"
    );
}
