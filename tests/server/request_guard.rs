//! Whom the backend lets in, and what it makes of requests that no honest client sends.

use std::{
    io::{Read, Write},
    net::TcpListener,
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::support::{
    http::{HttpResponse, connect, owner, raw, request},
    served::{Served, until},
};

fn still() -> Served {
    Served::start(&["--speed", "0", "--policy", "rule"])
}

fn token(served: &Served, scope: &str, expires: &str) -> String {
    let made =
        served.command(&["token", "create", "bot", "--scope", scope, "--expires", expires]).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

fn with(served: &Served, secret: &str, method: &str, path: &str, body: &str) -> HttpResponse {
    request(served, method, path, &format!("Authorization: Bearer {secret}\r\n"), body)
}

#[test]
fn loopback_reads_without_a_token_and_steers_only_with_one() {
    let served = still();
    for path in
        ["/api/v1/status", "/api/v1/flags", "/api/v1/alarms", "/api/v1/journal", "/api/v1/simulation/speed"]
    {
        assert_eq!(request(&served, "GET", path, "", "").status, 200, "{path}");
    }
    for path in ["/api/v1/kill-all", "/api/v1/flags/power-peg/start", "/api/v1/briefing/acknowledge"] {
        let refused = request(&served, "POST", path, "", "");
        assert_eq!(refused.status, 401, "{path}");
        assert!(refused.head.to_lowercase().contains("www-authenticate: bearer"), "{refused:?}");
    }
    assert_eq!(owner(&served, "POST", "/api/v1/flags/power-peg/start", "").status, 200);
}

#[test]
fn each_scope_allows_what_it_says_and_missing_wrong_and_expired_look_alike() {
    let served = still();
    let [viewer, operator, agent, ingest, short] =
        [("viewer", "1 h"), ("operator", "1 h"), ("agent", "1 h"), ("ingest", "1 h"), ("admin", "1 ms")]
            .map(|(scope, expires)| token(&served, scope, expires));
    // A running backend takes new tokens by itself; this is the last one that does not expire at once.
    let begun = Instant::now();
    while with(&served, &ingest, "GET", "/api/v1/status", "").status == 401 {
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
    let start = "/api/v1/flags/power-peg/start";
    assert_eq!(with(&served, &viewer, "POST", start, "").status, 403);
    assert_eq!(with(&served, &ingest, "GET", "/api/v1/status", "").status, 403);
    assert_eq!(with(&served, &operator, "POST", start, "").status, 200);
    let create = json!({"key": "fresh", "service": "checkout"}).to_string();
    assert_eq!(with(&served, &operator, "POST", "/api/v1/flags", &create).status, 403, "that needs an admin");
    let wrong = with(&served, "kw_0000", "POST", start, "");
    let expired = with(&served, &short, "POST", start, "");
    let missing = request(&served, "POST", start, "", "");
    assert_eq!((wrong.status, &wrong.body), (401, &missing.body));
    assert_eq!((expired.status, &expired.body), (401, &missing.body));
    // The journal says who authenticated, and beside that whom they say they are.
    let claimed = request(
        &served,
        "POST",
        "/api/v1/flags/power-peg/rollback",
        &format!("Authorization: Bearer {operator}\r\nKnightwatch-Claims: ana\r\n"),
        "",
    );
    assert_eq!(claimed.status, 200, "{claimed:?}");
    let hostile = format!("Authorization: Bearer {operator}\r\nKnightwatch-Claims: ana\u{1b}[2J\r\n");
    assert_eq!(request(&served, "POST", start, &hostile, "").status, 400);
    let journal = owner(&served, "GET", "/api/v1/journal?limit=1", "").json();
    let actor = journal["entries"][0]["actor"]["person"].as_str().unwrap().to_owned();
    assert_eq!(actor, "bot (says ana)");
    assert_eq!(with(&served, &agent, "POST", start, "").status, 200);
    let journal = owner(&served, "GET", "/api/v1/journal?limit=1", "").json();
    assert_eq!(journal["entries"][0]["actor"]["person"], "bot (a program)", "{journal:#}");
    // A canary in the journal or in what the process was started with would be found here.
    let all = std::fs::read(served.journal()).unwrap();
    let secret = operator.as_bytes();
    assert!(!all.windows(secret.len()).any(|bytes| bytes == secret));
    let listed = served.command(&["token", "list"]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("EXPIRED") && !listed.contains(&operator), "{listed}");
}

/// What somebody who listens at `listener` is sent first by `knightwatch start`, and how that ends.
fn sent_to(listener: &TcpListener, served: &Served) -> (String, std::process::Output) {
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut program = served.command(&["start", "power-peg"]);
    let running = program.env("KNIGHTWATCH_URL", url).stderr(Stdio::piped()).spawn().unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let mut head = vec![0; 4_096];
    let n = stream.read(&mut head).unwrap();
    stream
        .write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        .unwrap();
    drop(stream);
    (String::from_utf8_lossy(&head[..n]).to_lowercase(), running.wait_with_output().unwrap())
}

#[test]
fn the_owners_token_goes_to_nobody_who_only_listens_on_a_port() {
    let mut served = still();
    // By its own address it is reached by its socket, where the kernel says who asks.
    let started = served.command(&["start", "power-peg"]).output().unwrap();
    assert!(started.status.success(), "{started:?}");
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = served.url().trim_start_matches("http://").to_owned();
    let check = |listener: &TcpListener, served: &Served| {
        let (sent, output) = sent_to(listener, served);
        assert!(sent.starts_with("post ") && !sent.contains("authorization"), "{sent}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains("--token-file"), "{output:?}");
    };
    check(&other, &served);
    // Its socket is left behind, and its port is somebody else's now.
    served.end("KILL");
    check(&TcpListener::bind(address).unwrap(), &served);
}

#[test]
fn the_description_names_the_scope_that_each_route_asks_for() {
    let served = still();
    let [eval, ingest] = ["eval", "ingest"].map(|scope| token(&served, scope, "1 h"));
    until("new tokens are known", || with(&served, &ingest, "GET", "/api/v1/status", "").status == 403);
    let description = request(&served, "GET", "/openapi.json", "", "").json();
    let scheme = &description["components"]["securitySchemes"]["bearer"];
    assert_eq!((&scheme["type"], &scheme["scheme"]), (&json!("http"), &json!("bearer")), "{scheme:#}");
    assert!(scheme["description"].as_str().unwrap().contains("operator includes viewer, eval"), "{scheme:#}");
    let mut asked = 0;
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let method = method.to_uppercase();
            let Some(scope) = operation["security"][0]["bearer"][0].as_str() else {
                assert!(["/healthz", "/readyz"].contains(&path.as_str()), "{method} {path} names no scope");
                assert_ne!(request(&served, &method, path, "", "").status, 401);
                continue;
            };
            let other = if scope == "eval" { &ingest } else { &eval };
            let path = path.replace("{key}", "power-peg").replace("{id}", "1").replace("{alarm}", "1");
            // An empty requirement beside the scope: on loopback no token is needed.
            let bare = operation["security"][1] == json!({});
            assert_eq!(bare, ["viewer", "eval"].contains(&scope), "{method} {path}");
            // Streams have no end: who is let in is seen by whoever is not.
            if !bare {
                assert_eq!(request(&served, &method, &path, "", "").status, 401, "{method} {path}");
            }
            let refused = with(&served, other, &method, &path, "");
            // OFREP leaves the body empty.
            let said =
                if path.starts_with("/ofrep") { String::new() } else { format!("needs the scope {scope}") };
            assert!(refused.status == 403 && refused.body.contains(&said), "{method} {path}: {refused:?}");
            asked += 1;
        }
    }
    assert!(asked >= 30, "{asked}");
    let page = request(&served, "GET", "/docs", "", "").body;
    assert!(page.contains("needs the scope <code>admin</code>") && page.contains("Bearer TOKEN"));
}

#[test]
fn a_revoked_token_is_worth_nothing_soon() {
    let served = still();
    let secret = token(&served, "viewer", "never");
    let until = |status: u16| {
        let begun = Instant::now();
        while with(&served, &secret, "GET", "/api/v1/status", "").status != status {
            assert!(begun.elapsed() < Duration::from_secs(30), "{status}");
        }
    };
    until(200);
    let listed = served.command(&["token", "list", "--json"]).output().unwrap();
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    let id = listed[0]["id"].as_str().unwrap().to_owned();
    assert!(served.command(&["token", "revoke", &id]).status().unwrap().success());
    until(401);
    assert_eq!(served.command(&["token", "revoke", &id]).output().unwrap().status.code(), Some(2));
}

#[test]
fn foreign_hosts_and_origins_are_refused_also_with_a_token() {
    let served = still();
    let get = |host: &str, more: &str| {
        let token = served.token();
        let text = format!(
            "GET /api/v1/status HTTP/1.1\r\n{host}Connection: close\r\nAuthorization: Bearer {token}\r\n{more}\r\n"
        );
        raw(&served, text.as_bytes()).status
    };
    assert_eq!(get("Host: localhost:8000\r\n", ""), 200);
    assert_eq!(get("Host: [::1]:8000\r\n", ""), 200);
    assert_eq!(get("Host: rebound.example\r\n", ""), 421);
    assert_eq!(get("Host: localhost.evil.example\r\n", ""), 421);
    assert_eq!(get("", ""), 421);
    assert_eq!(get("Host: localhost\r\nHost: evil\r\n", ""), 400);
    assert_eq!(get("Host: localhost\r\n", "Origin: http://localhost:3000\r\n"), 200);
    assert_eq!(get("Host: localhost\r\n", "Origin: https://evil.example\r\n"), 403);
    assert_eq!(get("Host: localhost\r\n", "Origin: null\r\n"), 403);
}

#[test]
fn pages_of_configured_origins_may_evaluate_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("origins.toml");
    std::fs::write(&config, "[server]\norigins = [\"https://shop.example\"]\n").unwrap();
    let served = Served::start(&["--speed", "0", "--config", config.to_str().unwrap()]);
    let (shop, evil) = ("Origin: https://shop.example\r\n", "Origin: https://evil.example\r\n");
    let one = "/ofrep/v1/evaluate/flags/power-peg";
    let allowed = |answer: &HttpResponse| {
        let head = answer.head.to_lowercase();
        head.contains("access-control-allow-origin: https://shop.example\r\n")
            && head.contains("vary: origin")
    };
    let evaluated = request(&served, "POST", one, shop, "{}");
    assert!(evaluated.status == 200 && allowed(&evaluated), "{evaluated:?}");
    assert!(evaluated.head.to_lowercase().contains("access-control-expose-headers: etag"), "{evaluated:?}");
    // Also an answer that says no can be read by the page.
    let wrong = format!("{shop}Authorization: Bearer kw_wrong\r\n");
    let refused = request(&served, "POST", one, &wrong, "{}");
    assert!(refused.status == 401 && allowed(&refused), "{refused:?}");
    // What a browser asks before it sends JSON or a token: without a token itself.
    let asks = "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type,authorization\r\n";
    for path in [one, "/ofrep/v1/evaluate/flags", "/ofrep/v1/evaluate/flags/team/text", "/ofrep/v1/changes"] {
        let preflight = request(&served, "OPTIONS", path, &format!("{shop}{asks}"), "");
        assert!(preflight.status == 200 && allowed(&preflight), "{path}: {preflight:?}");
        let head = preflight.head.to_lowercase();
        assert!(head.contains("access-control-allow-methods: get,post"), "{preflight:?}");
        assert!(
            head.contains("authorization") && head.contains("access-control-max-age: 600"),
            "{preflight:?}"
        );
        assert!(!head.contains("access-control-allow-credentials"), "{preflight:?}");
        let preflight = request(&served, "OPTIONS", path, &format!("{evil}{asks}"), "");
        assert_eq!(preflight.status, 403, "{path}: {preflight:?}");
    }
    for path in ["/api/v1/status", "/openapi.json", "/metrics"] {
        let other = request(&served, "GET", path, shop, "");
        assert!(other.status == 403 && !allowed(&other), "{path}: {other:?}");
    }
    let token = served.token();
    let kill =
        request(&served, "POST", "/api/v1/kill-all", &format!("{shop}Authorization: Bearer {token}\r\n"), "");
    assert_eq!(kill.status, 403, "{kill:?}");
    for (name, origins) in [
        ("path", "https://shop.example/"),
        ("any", "*"),
        ("none", "shop.example"),
        ("port", "https://shop.example:443"),
        ("case", "https://Shop.example"),
    ] {
        std::fs::write(&config, format!("[server]\norigins = [{origins:?}]\n")).unwrap();
        let checked =
            served.command(&["serve", "--check", "--config", config.to_str().unwrap()]).output().unwrap();
        let said = String::from_utf8(checked.stderr).unwrap();
        assert!(
            checked.status.code() == Some(2) && said.contains("as a browser writes them"),
            "{name}: {said}"
        );
    }
}

#[test]
fn bad_bodies_get_a_problem_that_says_what_was_expected_and_change_nothing() {
    let served = still();
    let before = owner(&served, "GET", "/api/v1/status", "").json()["seq"].clone();
    let deep = "[".repeat(100_000);
    let large = format!(r#"{{"reason":"{}"}}"#, "x".repeat(400_000));
    for (path, body, status, expected) in [
        ("/api/v1/flags/power-peg/set", r#"{"percent":140}"#, 400, "between 0 % and 100 %"),
        ("/api/v1/flags/power-peg/set", r#"{"percent":-1}"#, 400, "between 0 % and 100 %"),
        ("/api/v1/flags/power-peg/set", r#"{"percent":1e999}"#, 400, "number out of range"),
        ("/api/v1/flags/power-peg/set", r#"{"percent":NaN}"#, 400, "expected value"),
        ("/api/v1/flags/power-peg/set", r#"{"percent":5,"percent":50}"#, 400, "duplicate field"),
        ("/api/v1/flags/power-peg/set", r#"{"percent":5,"per":1}"#, 400, "unknown field"),
        ("/api/v1/flags/power-peg/set", r#"{"percent":5,"expires_in":"soon"}"#, 400, "a time such as"),
        ("/api/v1/flags/power-peg/start", "{", 400, "EOF"),
        ("/api/v1/flags/power-peg/start", deep.as_str(), 400, "expected an object"),
        ("/api/v1/deployments", deep.as_str(), 400, "recursion limit exceeded"),
        ("/api/v1/flags/power-peg/start", large.as_str(), 413, "length limit exceeded"),
        ("/api/v1/flags/no-such-flag/start", "", 404, "there is no flag"),
        ("/api/v1/flags/pay%E2%80%AEllew/start", "", 400, "at character 4"),
        ("/api/v1/flags", r#"{"key":"a b","service":"s"}"#, 400, "a flag key has ASCII letters"),
        ("/api/v1/flags", r#"{"key":"power-peg","service":"s"}"#, 409, "never reused"),
        ("/api/v1/flags", r#"{"key":"x","service":"s","ladder":[5,1]}"#, 400, "rungs ascend"),
        ("/api/v1/alarms/99/acknowledge", "", 404, "no alarm"),
        ("/api/v1/alarms/x/acknowledge", "", 400, "Cannot parse `x`"),
        ("/api/v1/rearm", r#"{"environment":"test","reason":"x"}"#, 409, "not in force"),
        ("/api/v1/nothing", "", 404, "openapi.json"),
    ] {
        let answer = owner(&served, "POST", path, body);
        assert_eq!(answer.status, status, "{path} {} {answer:?}", body.chars().take(60).collect::<String>());
        let problem = answer.json();
        assert_eq!(problem["status"], status);
        assert!(problem["detail"].as_str().unwrap().contains(expected), "{path}: {problem}");
        assert!(answer.head.contains("application/problem+json"), "{answer:?}");
    }
    for (path, status) in
        [("/api/v1/flags?limit=0", 400), ("/api/v1/flags?sort=up", 400), ("/api/v1/flags?x=1", 400)]
    {
        assert_eq!(owner(&served, "GET", path, "").status, status, "{path}");
    }
    assert_eq!(owner(&served, "DELETE", "/api/v1/flags", "").status, 405);
    assert_eq!(owner(&served, "GET", "/api/v1/status", "").json()["seq"], before, "nothing has changed");
    let floods: String = (0..2_000).fold(String::new(), |text, n| text + &format!("X-{n}: {n}\r\n"));
    assert_eq!(request(&served, "GET", "/api/v1/status", &floods, "").status, 431);
    assert_eq!(owner(&served, "GET", "/api/v1/status", "").status, 200, "it goes on");
}

#[test]
fn a_flag_that_has_changed_since_is_not_touched_but_may_always_be_rolled_back() {
    let served = still();
    let bearer = format!("Authorization: Bearer {}\r\n", served.token());
    let path = "/api/v1/flags/power-peg";
    assert_eq!(owner(&served, "POST", &format!("{path}/start"), "").status, 200);
    let seen = owner(&served, "GET", path, "");
    let etag = seen.head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
    let unchanged = request(&served, "GET", path, &format!("{bearer}If-None-Match: {etag}\r\n"), "");
    assert_eq!(unchanged.status, 304);
    assert_eq!(owner(&served, "POST", &format!("{path}/set"), r#"{"percent":3}"#).status, 200);
    let matching = format!("{bearer}If-Match: {etag}\r\n");
    let refused = request(&served, "POST", &format!("{path}/promote"), &matching, "");
    assert_eq!(refused.status, 412, "{refused:?}");
    assert!(refused.json()["detail"].as_str().unwrap().contains("has changed since"));
    let back = request(&served, "POST", &format!("{path}/rollback"), &matching, "");
    assert_eq!(back.status, 200, "what makes things safer never asks: {back:?}");
    let nonsense = format!("{bearer}If-Match: maybe\r\n");
    assert_eq!(request(&served, "POST", &format!("{path}/start"), &nonsense, "").status, 400);
}

#[test]
fn a_head_that_does_not_come_closes_the_connection_within_its_time() {
    let served = still();
    let mut stream = connect(&served);
    stream.write_all(b"GET /api/v1/status HTTP/1.1\r\nHost: local").unwrap();
    let begun = Instant::now();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    let waited = begun.elapsed();
    assert!(waited < Duration::from_secs(25), "still open after {waited:?}");
    assert_eq!(owner(&served, "GET", "/api/v1/status", "").status, 200);
}

#[test]
fn a_stream_reader_that_does_not_read_holds_up_nobody_and_gets_a_fresh_snapshot() {
    let served = Served::start(&["--speed", "3600", "--policy", "rule"]);
    let mut lazy = connect(&served);
    lazy.write_all(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let at = |served: &Served| owner(served, "GET", "/api/v1/status", "").json()["now"].as_u64().unwrap();
    let begun = at(&served);
    // Nine hours of controller time pass, in thousands of ticks, while one end does not read.
    while at(&served) < begun + 9 * 3_600_000 {
        let kept = owner(&served, "GET", "/api/v1/flags?limit=1", "");
        assert_eq!(kept.status, 200);
    }
    let killed = owner(&served, "POST", "/api/v1/kill-all", "");
    assert_eq!(killed.status, 200, "{killed:?}");
    let (mut text, mut chunk) = (Vec::new(), vec![0; 1 << 20]);
    let kill = format!("\"seq\":{}", killed.json()["seq"]);
    while !String::from_utf8_lossy(&text[text.len().saturating_sub(2 << 20)..]).contains(&kill) {
        let read = lazy.read(&mut chunk).unwrap();
        assert!(read > 0, "it was not thrown out before half a minute");
        text.extend_from_slice(&chunk[..read]);
    }
    assert!(String::from_utf8_lossy(&text).contains("event: snapshot"));
}

#[test]
fn the_description_names_every_route_and_is_served_to_read() {
    let served = still();
    let description = request(&served, "GET", "/openapi.json", "", "").json();
    for path in [
        "/api/v1/status",
        "/api/v1/flags/{key}/rollback",
        "/api/v1/kill-all",
        "/api/v1/rearm",
        "/api/v1/events",
        "/api/v1/journal",
        "/healthz",
        "/readyz",
    ] {
        assert!(description["paths"][path].is_object(), "{path}");
    }
    let page = request(&served, "GET", "/docs", "", "");
    assert!(page.status == 200 && page.body.contains("POST /api/v1/kill-all"), "{}", page.head);
    assert_eq!(request(&served, "GET", "/healthz", "", "").status, 200);
    assert_eq!(request(&served, "GET", "/readyz", "", "").json()["status"], "ok");
}

#[test]
fn nothing_in_how_kill_all_is_asked_is_a_reason_not_to() {
    for (headers, body) in [
        ("Content-Type: application/x-www-form-urlencoded\r\n", ""),
        ("", "{\"why\": \"typo\"}"),
        ("Idempotency-Key: a b\r\nIf-Match: nonsense\r\n", "[["),
    ] {
        let served = still();
        let headers = format!("Authorization: Bearer {}\r\n{headers}", served.token());
        let killed = request(&served, "POST", "/api/v1/kill-all", &headers, body);
        assert_eq!(killed.status, 200, "{killed:?}");
        assert!(!owner(&served, "GET", "/api/v1/status", "").json()["latch"].is_null());
    }
}
