//! The backend as a service: what a hang-up signal changes and what it does not, what the service manager is told, how many
//! files may be open.

use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::TcpListener,
    os::unix::net::UnixDatagram,
    path::Path,
    process::Command,
    sync::Arc,
    time::Duration,
};

use knightwatch_sim::Scenario;
use serde_json::{Value, json};

use crate::support::{
    http::{owner, request},
    served::{Served, command, folder, surrounded, until},
};

fn definitions(folder: &Path, file: &str, flag: &str) -> String {
    let path = folder.join(file);
    let text = json!({"flags": {flag: {
        "state": "ENABLED", "variants": {"a": "x", "b": "y"}, "defaultVariant": "a"
    }}});
    fs::write(&path, text.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_hang_up_takes_the_configuration_whole_or_not_at_all() {
    let folder = folder();
    let (log, config) = (folder.path().join("log"), folder.path().join("config.toml"));
    let (one, two) =
        (definitions(folder.path(), "one.json", "one"), definitions(folder.path(), "two.json", "two"));
    fs::write(&config, format!("[server]\nflags = [{one:?}]\n")).unwrap();
    let mut program = command(folder.path());
    program.stderr(fs::File::create(&log).unwrap()).env("KNIGHTWATCH_LOG", "info");
    let served = Served::start_by(
        program,
        Arc::clone(&folder),
        &["--speed", "0", "--config", config.to_str().unwrap()],
    );
    let by_name = |host: &str| {
        let bearer = format!("Authorization: Bearer {}", served.token());
        let text =
            format!("GET /api/v1/status HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{bearer}\r\n\r\n");
        crate::support::http::raw(&served, text.as_bytes()).status
    };
    let anonymous = || request(&served, "GET", "/api/v1/status", "", "").status;
    let evaluated = |flag: &str| {
        let context = r#"{"context":{"targetingKey":"u1"}}"#;
        owner(&served, "POST", &format!("/ofrep/v1/evaluate/flags/{flag}"), context).status
    };
    let logged = || fs::read_to_string(&log).unwrap();
    assert_eq!((by_name("flags.example"), anonymous()), (421, 200));
    assert_eq!((evaluated("one"), evaluated("two")), (200, 404));

    let ear = TcpListener::bind("127.0.0.1:0").unwrap();
    ear.set_nonblocking(true).unwrap();
    let hook = format!("http://{}/", ear.local_addr().unwrap());
    let text = format!(
        "environment = \"other\"\nwebhooks = [{{ name = \"ear\", url = {hook:?} }}]\n\
         [server]\nhosts = [\"Flags.Example\"]\nopen_loopback = false\nflags = [{two:?}]\n\
         [control.shield]\ndwell = \"90 s\"\n"
    );
    fs::write(&config, &text).unwrap();
    served.signal("HUP");
    until("it says so", || logged().contains("the configuration was reloaded"));
    assert_eq!((by_name("flags.example"), anonymous()), (200, 401));
    until("the definitions are others", || evaluated("two") == 200 && evaluated("one") == 404);
    assert!(
        logged().contains("control.shield.dwell has changed: restart knightwatch to apply it"),
        "{}",
        logged()
    );
    // The variable says what the environment is, before and after.
    assert!(!logged().contains("environment has changed"), "{}", logged());
    assert_eq!(owner(&served, "POST", "/api/v1/flags/power-peg/start", "").status, 200);
    let mut told = None;
    until("the webhook is told", || match ear.accept() {
        Ok((stream, _)) => {
            told = Some(stream);
            true
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            false
        }
    });
    let mut told = told.unwrap();
    told.set_nonblocking(false).unwrap();
    told.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let mut head = [0; 4];
    told.read_exact(&mut head).unwrap();
    assert_eq!(&head, b"POST");
    told.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();

    // One mistake, and nothing of it is taken.
    for (mistake, expected) in [
        (text.replace("two.json", "three.json"), "three.json"),
        (text.replace("dwell", "dwel"), "unknown field"),
        (text.replace("http://127", "ftp://127"), "expected a url"),
    ] {
        fs::write(&config, mistake.replace("Flags.Example", "other.example")).unwrap();
        let before = logged().len();
        served.signal("HUP");
        until("it says so", || logged()[before..].contains("was not reloaded"));
        assert!(logged()[before..].contains(expected), "{}", logged());
        assert_eq!((by_name("other.example"), by_name("flags.example"), evaluated("two")), (421, 200, 200));
    }
    // A file that is watched since the reload is taken by itself.
    definitions(served.folder(), "two.json", "one");
    until("the file is watched", || evaluated("one") == 200 && evaluated("two") == 404);
    // One that is broken changes nothing, and whoever asks how things are is told.
    let fault = || owner(&served, "GET", "/api/v1/status", "").json()["definitions_fault"].clone();
    let printed = || {
        let output = served.command(&["status"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(fault().is_null() && !printed().contains("flag definitions"), "{}", fault());
    fs::write(served.folder().join("two.json"), "{\"flags\": {").unwrap();
    until("it is said", || fault().as_str().is_some_and(|why| why.contains("two.json")));
    assert!(printed().contains("flag definitions were not changed: "), "{}", printed());
    assert_eq!(evaluated("one"), 200);
    let alarm = || {
        let alarms = owner(&served, "GET", "/api/v1/alarms", "").json()["alarms"].clone();
        let is_ours =
            |alarm: &&Value| alarm["text"].as_str().unwrap().starts_with("Flag definitions were not changed");
        alarms.as_array().unwrap().iter().find(is_ours).cloned()
    };
    until("it is an alarm", || alarm().is_some_and(|alarm| alarm["cleared_at"].is_null()));
    assert_eq!(alarm().unwrap()["priority"], "high");
    definitions(served.folder(), "two.json", "two");
    until("it is over", || fault().is_null() && evaluated("two") == 200);
    until("so is the alarm, which stays to be seen", || alarm().unwrap()["cleared_at"].is_number());
}

#[test]
fn a_service_manager_that_asks_is_told_when_it_serves_and_when_it_ends() {
    let folder = folder();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    let mut program = command(folder.path());
    program.env("NOTIFY_SOCKET", &path);
    let mut served = Served::start_by(program, folder, &["--speed", "0"]);
    let heard = || {
        let mut news = [0; 64];
        let length = manager.recv(&mut news).unwrap();
        String::from_utf8_lossy(&news[..length]).into_owned()
    };
    assert_eq!(heard(), "READY=1");
    assert_eq!(request(&served, "GET", "/healthz", "", "").status, 200);
    assert_eq!(served.end("TERM").code(), Some(0));
    assert_eq!(heard(), "STOPPING=1");
}

#[cfg(target_os = "linux")]
#[test]
fn as_many_files_may_be_open_as_the_system_allows() {
    let folder = folder();
    let mut shell = surrounded(Command::new("sh"), folder.path());
    shell.args(["-c", "ulimit -Sn 200; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_knightwatch")]);
    let served = Served::start_by(shell, folder, &["--speed", "0"]);
    let limits = fs::read_to_string(format!("/proc/{}/limits", served.pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let [soft, hard] = [3, 4].map(|place| line.split_whitespace().nth(place).unwrap());
    assert!(soft == hard && soft != "200", "{line}");
}

#[test]
fn the_scenarios_that_there_are_can_be_read_and_which_one_plays() {
    let playing = |served: &Served| request(served, "GET", "/api/v1/simulation/scenarios", "", "").json();
    let told = playing(&Served::start(&["--speed", "0", "--policy", "rule", "--scenario", "power-peg"]));
    assert!(told["playing"].as_str().unwrap().contains("power-peg"), "{told}");
    let names: Vec<&str> =
        told["scenarios"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, Scenario::builtins().iter().map(|(name, _)| *name).collect::<Vec<_>>());
    assert!(told["scenarios"][0]["flags"].as_u64().unwrap() > 0);
    let real = playing(&Served::start(&["--real", "--policy", "rule"]));
    assert!(real["playing"].is_null(), "{real}");
}
