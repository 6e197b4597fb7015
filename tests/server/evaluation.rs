//! Flag evaluation over HTTP, on the real process: what is answered, what is heard of changes, and how definitions come in.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use crate::support::served;

use std::{fs, path::Path, process::Output, time::Duration};

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, header};
use serde_json::{Value, json};
use served::Served;

/// Far longer than anything takes, so that a busy machine fails no test.
const PATIENCE: Duration = Duration::from_mins(1);

const FLAGS: &str = include_str!("../clients/flags.json");

/// A backend whose time stands still, with these definitions.
fn served(flags: &Path) -> Served {
    Served::start(&["--speed", "0", "--policy", "shield-alone", "--flags", flags.to_str().unwrap()])
}

struct Asking {
    client: Client,
    url: String,
    token: String,
}

impl Asking {
    fn new(served: &Served) -> Self {
        // The first one to ask for it sets it for the process.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Self { client, url: served.url().to_owned(), token: served.token() }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    async fn one(&self, flag: &str, context: Value) -> (StatusCode, Value) {
        let path = format!("/ofrep/v1/evaluate/flags/{flag}");
        let request = self.request(Method::POST, &path).json(&json!({ "context": context }));
        let response = request.send().await.unwrap();
        (response.status(), response.json().await.unwrap())
    }

    fn all(&self, query: &str, context: &Value) -> RequestBuilder {
        self.request(Method::POST, &format!("/ofrep/v1/evaluate/flags{query}"))
            .json(&json!({ "context": context }))
    }

    async fn order(&self, path: &str, body: Value) -> Value {
        let request =
            self.request(Method::POST, &format!("/api/v1/{path}")).bearer_auth(&self.token).json(&body);
        let response = request.send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert_eq!(status, StatusCode::OK, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    /// Asks until a flag is under control: definitions are taken beside serving.
    async fn controlled(&self, flag: &str) {
        let asked = async {
            loop {
                let (_, answer) = self.one(flag, json!({ "targetingKey": "u" })).await;
                if answer["metadata"]["knightwatch.why"] != "off for everybody: not under control yet" {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, asked).await.expect("under control");
    }
}

fn etag(response: &Response) -> String {
    response.headers()[header::ETAG].to_str().unwrap().to_owned()
}

/// A folder with the clients' file of definitions.
fn defined() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flags.json");
    fs::write(&path, FLAGS).unwrap();
    (folder, path)
}

#[tokio::test]
async fn a_question_is_answered_as_ofrep_says() {
    let (_folder, flags) = defined();
    let served = served(&flags);
    let asking = Asking::new(&served);
    asking.controlled("steered").await;
    asking.controlled("team/text").await;
    let nl = json!({ "targetingKey": "u", "country": "NL" });
    let (status, answer) = asking.one("colour", nl.clone()).await;
    assert_eq!(status, StatusCode::OK);
    let expected = json!({ "key": "colour", "reason": "TARGETING_MATCH", "variant": "red", "value": "#f00", "metadata": { "flagSetId": "clients" } });
    assert_eq!(answer, expected);
    let (_, answer) = asking.one("asleep", nl.clone()).await;
    assert_eq!(
        (&answer["reason"], &answer["variant"], answer.get("value")),
        (&json!("DISABLED"), &json!(""), None)
    );
    for name in ["team/text", "team%2Ftext"] {
        let (status, answer) = asking.one(name, nl.clone()).await;
        assert_eq!((status, &answer["value"]), (StatusCode::OK, &json!("old")), "{name}");
    }
    // A flag of the simulator, which nobody has defined.
    let (_, room) = {
        let response = asking.request(Method::GET, "/api/v1/flags?limit=1").send().await.unwrap();
        (response.status(), response.json::<Value>().await.unwrap())
    };
    let undefined = room["flags"][0]["key"].as_str().unwrap();
    let (status, answer) = asking.one(undefined, nl.clone()).await;
    assert_eq!(
        (status, &answer["value"], &answer["variant"]),
        (StatusCode::OK, &json!(false), &json!("off"))
    );

    asking.order("flags/steered/set", json!({ "percent": 50 })).await;
    let (status, failure) = asking.one("steered", json!({})).await;
    assert_eq!((status, &failure["errorCode"]), (StatusCode::BAD_REQUEST, &json!("TARGETING_KEY_MISSING")));
    for (flag, body, status, code) in [
        ("nobody", "{}", StatusCode::NOT_FOUND, "FLAG_NOT_FOUND"),
        ("no%20key", "{}", StatusCode::NOT_FOUND, "FLAG_NOT_FOUND"),
        ("number", "{", StatusCode::BAD_REQUEST, "PARSE_ERROR"),
        ("number", "[]", StatusCode::BAD_REQUEST, "PARSE_ERROR"),
        ("number", "\u{0}", StatusCode::BAD_REQUEST, "PARSE_ERROR"),
        ("number", r#"{"context": {"a": 1, "a": 2}}"#, StatusCode::BAD_REQUEST, "PARSE_ERROR"),
        ("number", r#"{"context": 3}"#, StatusCode::BAD_REQUEST, "INVALID_CONTEXT"),
        ("number", r#"{"context": {"targetingKey": 3}}"#, StatusCode::BAD_REQUEST, "INVALID_CONTEXT"),
    ] {
        for path in [format!("/ofrep/v1/evaluate/flags/{flag}"), "/ofrep/v1/evaluate/flags".to_owned()] {
            if status == StatusCode::NOT_FOUND && path.ends_with("/flags") {
                continue;
            }
            let response = asking.request(Method::POST, &path).body(body).send().await.unwrap();
            assert_eq!(response.status(), status, "{path} {body}");
            let failure: Value = response.json().await.unwrap();
            assert_eq!(failure["errorCode"], code, "{path} {body}");
            assert!(failure["errorDetails"].is_string(), "{failure}");
        }
    }
    let deep = format!(r#"{{"context": {}}}"#, "[".repeat(100_000));
    let response =
        asking.request(Method::POST, "/ofrep/v1/evaluate/flags/number").body(deep).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    // One byte too many: of a body that is much larger the rest is not read, and the answer may be lost with it.
    let large = vec![b' '; (256 << 10) + 1];
    let response =
        asking.request(Method::POST, "/ofrep/v1/evaluate/flags/number").body(large).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    // Nothing at all is an empty context.
    let counted =
        async || asking.request(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    let of = |page: &str, result: &str| {
        let name = format!("knightwatch_evaluations_total{{result=\"{result}\"}} ");
        page.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse::<u64>().unwrap()
    };
    let before = counted().await;
    let response = asking.request(Method::POST, "/ofrep/v1/evaluate/flags/number").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    asking.one("nobody", json!({})).await;
    asking.one("no%20key", json!({})).await;
    let all: Value = asking.all("", &json!({})).send().await.unwrap().json().await.unwrap();
    let after = counted().await;
    let flags = all["flags"].as_array().unwrap();
    let each = |field: &str, word: &str| flags.iter().filter(|flag| flag[field] == word).count() as u64;
    for (result, alone) in
        [("STATIC", 1), ("DISABLED", 0), ("TARGETING_KEY_MISSING", 0), ("FLAG_NOT_FOUND", 2)]
    {
        let many = each("reason", result) + each("errorCode", result);
        assert_eq!(of(&after, result) - of(&before, result), alone + many, "{result}");
    }
    assert!(of(&after, "PARSE_ERROR") > 0 && of(&after, "INVALID_CONTEXT") > 0);
}

#[tokio::test]
async fn all_flags_have_an_etag_of_what_this_context_gets() {
    let (_folder, flags) = defined();
    let served = served(&flags);
    let asking = Asking::new(&served);
    asking.controlled("steered").await;
    asking.controlled("team/text").await;
    let (nl, de) =
        (json!({ "targetingKey": "u", "country": "NL" }), json!({ "targetingKey": "u", "country": "DE" }));
    let response = asking.all("", &nl).send().await.unwrap();
    let first = etag(&response);
    let body: Value = response.json().await.unwrap();
    let stream = json!([{ "type": "sse", "endpoint": { "requestUri": "/ofrep/v1/changes" }, "inactivityDelaySec": 120 }]);
    assert_eq!(body["eventStreams"], stream);
    let of = |body: &Value, key: &str| {
        body["flags"].as_array().unwrap().iter().find(|flag| flag["key"] == key).unwrap().clone()
    };
    assert_eq!(of(&body, "colour")["value"], "#f00");
    for flag in body["flags"].as_array().unwrap() {
        // One by one it is the same.
        let (_, alone) = asking.one(flag["key"].as_str().unwrap(), nl.clone()).await;
        assert_eq!(*flag, alone);
    }
    let again = |query: &'static str, context: &Value| {
        asking.all(query, context).header(header::IF_NONE_MATCH, &first).send()
    };
    let response = again("", &nl).await.unwrap();
    assert_eq!((response.status(), etag(&response)), (StatusCode::NOT_MODIFIED, first.clone()));
    assert_eq!(again("", &de).await.unwrap().status(), StatusCode::OK, "another context, another answer");
    // A client that has heard of another configuration than ours is never told that nothing has changed.
    let response = again("?flagConfigEtag=other&flagConfigLastModified=1", &nl).await.unwrap();
    assert_eq!((response.status(), etag(&response)), (StatusCode::OK, first.clone()));
    // What others get changes nothing for this context.
    asking.order("flags/steered/set", json!({ "percent": 100 })).await;
    assert_eq!(again("", &nl).await.unwrap().status(), StatusCode::NOT_MODIFIED);
    assert_eq!(
        of(&asking.all("", &de).send().await.unwrap().json().await.unwrap(), "steered")["value"],
        true
    );
    // A flag that cannot be evaluated is in the list with its error.
    asking.order("flags/steered/set", json!({ "percent": 50 })).await;
    let body: Value = asking.all("", &json!({})).send().await.unwrap().json().await.unwrap();
    assert_eq!(of(&body, "steered")["errorCode"], "TARGETING_KEY_MISSING");
    assert_eq!(of(&body, "number")["value"], 2);
}

/// A change stream, read event by event.
struct Listening {
    response: Response,
    text: String,
}

impl Listening {
    async fn to(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The next event's id and data; `None` at the end.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let line =
                    |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                let found = line("id: ").zip(line("data: "));
                let rest = rest.to_owned();
                self.text = rest;
                if let Some((id, data)) = found {
                    return Some((id, serde_json::from_str(&data).unwrap()));
                }
            }
            let chunk =
                tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("news").unwrap()?;
            self.text.push_str(str::from_utf8(&chunk).unwrap());
        }
    }
}

#[tokio::test]
async fn changes_are_heard_of_and_then_in_the_answers() {
    let (_folder, flags) = defined();
    let mut served = served(&flags);
    let asking = Asking::new(&served);
    asking.controlled("steered").await;
    asking.controlled("team/text").await;
    let nl = json!({ "targetingKey": "u", "country": "NL" });
    let mut stream = Listening::to(asking.request(Method::GET, "/ofrep/v1/changes")).await;
    let (mut id, data) = stream.next().await.unwrap();
    assert_eq!((&data["type"], &data["etag"]), (&json!("refetchEvaluation"), &json!(id)));
    assert!(data["lastModified"].as_u64().unwrap() > 1_700_000_000);
    // Whatever was still on its way from the beginning has been heard when a change of ours is in the answers.
    asking.order("flags/steered/set", json!({ "percent": 20 })).await;
    let (next, _) = stream.next().await.unwrap();
    assert_ne!(next, id);
    id = next;
    asking.order("kill-all", json!({})).await;
    // In force for evaluation with the acknowledgement.
    for flag in ["steered", "team/text"] {
        let (_, answer) = asking.one(flag, nl.clone()).await;
        assert_eq!(answer["variant"], "off", "{flag}");
        assert!(answer["metadata"]["knightwatch.why"].is_string());
    }
    let (next, data) = stream.next().await.unwrap();
    assert_ne!(next, id);
    let query = format!("?flagConfigEtag={next}&flagConfigLastModified={}", data["lastModified"]);
    let response = asking.request(Method::POST, &format!("/ofrep/v1/evaluate/flags{query}"));
    let body: Value = response.json(&json!({ "context": nl })).send().await.unwrap().json().await.unwrap();
    let mut steered = body["flags"].as_array().unwrap().clone();
    steered.retain(|flag| flag["metadata"].get("knightwatch.service").is_some());
    assert!(steered.len() >= 2 && steered.iter().all(|flag| flag["variant"] == "off"), "{steered:?}");
    assert!(body["flags"].as_array().unwrap().iter().any(|flag| flag["value"] == 2), "others are left alone");
    // Who has heard of the newest change hears nothing at once; who has not, does.
    let mut behind =
        Listening::to(asking.request(Method::GET, "/ofrep/v1/changes").header("last-event-id", &id)).await;
    let newest = behind.next().await.unwrap().0;
    let mut informed =
        Listening::to(asking.request(Method::GET, "/ofrep/v1/changes").header("last-event-id", &newest))
            .await;
    assert!(served.end("TERM").success());
    assert!(informed.next().await.is_none(), "nothing but the end");
    while stream.next().await.is_some() {}
}

#[tokio::test]
async fn kill_all_holds_for_evaluation_over_a_kill_of_the_process() {
    let (_folder, flags) = defined();
    let served = served(&flags);
    let asking = Asking::new(&served);
    asking.controlled("steered").await;
    asking.order("flags/steered/set", json!({ "percent": 100 })).await;
    let (_, answer) = asking.one("steered", json!({})).await;
    assert_eq!(answer["value"], true);
    assert_eq!(asking.order("kill-all", json!({})).await["durable"], true);
    let served = served.killed_and_started_again();
    let asking = Asking::new(&served);
    for fields in [json!({}), json!({ "targetingKey": "u", "country": "NL" })] {
        let (_, answer) = asking.one("steered", fields).await;
        assert_eq!(answer["value"], false);
    }
}

#[tokio::test]
async fn a_changed_file_is_taken_and_a_broken_one_changes_nothing() {
    let (folder, flags) = defined();
    let served = served(&flags);
    let asking = Asking::new(&served);
    asking.controlled("steered").await;
    let mut stream = Listening::to(asking.request(Method::GET, "/ofrep/v1/changes")).await;
    stream.next().await.unwrap();
    let replace = |text: &str| {
        let fresh = folder.path().join("fresh");
        fs::write(&fresh, text).unwrap();
        fs::rename(&fresh, &flags).unwrap();
    };
    replace(&FLAGS.replace("\"#f00\"", "\"#e00\""));
    let nl = json!({ "targetingKey": "u", "country": "NL" });
    loop {
        let (_, answer) = asking.one("colour", nl.clone()).await;
        if answer["value"] == "#e00" {
            break;
        }
        stream.next().await.unwrap();
    }
    replace(&FLAGS.replace("\"blue\": \"#00f\"", "\"blue\": 7"));
    let told = async {
        loop {
            let health: Value =
                asking.request(Method::GET, "/readyz").send().await.unwrap().json().await.unwrap();
            assert_eq!(health["status"], "ok", "evaluation goes on");
            if let Some(detail) = health["details"][0].as_str() {
                return detail.to_owned();
            }
        }
    };
    let detail = tokio::time::timeout(PATIENCE, told).await.expect("it is told");
    assert!(detail.contains("flags.json: flag colour, at /flags/colour/variants/"), "{detail}");
    assert_eq!(asking.one("colour", nl).await.1["value"], "#e00", "the last good one stays");
    // A new steered flag comes under control, off.
    replace(&FLAGS.replace("\"steered\": {", "\"steered\": { \"state\": \"ENABLED\", \"variants\": { \"on\": 1, \"off\": 0 }, \"metadata\": { \"knightwatch.service\": \"x\" } }, \"newer\": {"));
    let known = async {
        while asking.request(Method::GET, "/api/v1/flags/newer").send().await.unwrap().status()
            != StatusCode::OK
        {}
    };
    tokio::time::timeout(PATIENCE, known).await.expect("under control");
    assert_eq!(asking.one("newer", json!({})).await.1["variant"], "off");
    let health: Value = asking.request(Method::GET, "/readyz").send().await.unwrap().json().await.unwrap();
    assert_eq!(health["details"], json!([]));
}

#[tokio::test]
async fn without_an_open_loopback_evaluation_needs_a_token_and_the_stream_a_ticket() {
    let (folder, flags) = defined();
    let config = folder.path().join("closed.toml");
    fs::write(&config, "[server]\nopen_loopback = false\n").unwrap();
    let served = Served::start(&[
        "--speed",
        "0",
        "--config",
        config.to_str().unwrap(),
        "--flags",
        flags.to_str().unwrap(),
    ]);
    let asking = Asking::new(&served);
    let refused = [
        asking.all("", &json!({})),
        asking.request(Method::POST, "/ofrep/v1/evaluate/flags/number"),
        asking.request(Method::POST, "/ofrep/v1/evaluate/flags/number").bearer_auth("kw_wrong"),
        asking.request(Method::GET, "/ofrep/v1/changes"),
        asking.request(Method::GET, "/ofrep/v1/changes?ticket=0123456789abcdef0123456789abcdef"),
    ];
    for request in refused {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{}", response.url());
        assert_eq!(response.text().await.unwrap(), "");
    }
    let body: Value =
        asking.all("", &json!({})).bearer_auth(&asking.token).send().await.unwrap().json().await.unwrap();
    let uri = body["eventStreams"][0]["endpoint"]["requestUri"].as_str().unwrap().to_owned();
    assert!(uri.starts_with("/ofrep/v1/changes?ticket="), "{uri}");
    let mut stream = Listening::to(asking.request(Method::GET, &uri)).await;
    assert!(stream.next().await.is_some());
}

fn run(served: &Served, arguments: &[&str]) -> Output {
    served.command(arguments).output().unwrap()
}

#[tokio::test]
async fn what_is_exported_can_be_imported() {
    let (folder, flags) = defined();
    let served = served(&flags);
    let asking = Asking::new(&served);
    asking.controlled("steered").await;
    asking.order("flags/steered/set", json!({ "percent": 12.5 })).await;
    let exported = run(&served, &["export", "--flags", flags.to_str().unwrap()]);
    assert!(exported.status.success(), "{}", String::from_utf8_lossy(&exported.stderr));
    let file: Value = serde_json::from_slice(&exported.stdout).unwrap();
    let rollout = json!({ "fractional": [["on", 1_250], ["off", 8_750]] });
    assert_eq!(file["flags"]["steered"]["targeting"]["or"][1], rollout);
    assert_eq!(file["metadata"]["knightwatch.hash"], "flagd-2");
    let live: Value =
        asking.request(Method::GET, "/api/v1/definitions").send().await.unwrap().json().await.unwrap();
    assert_eq!(live, file, "the backend says the same");
    let again = folder.path().join("again.json");
    fs::write(&again, &exported.stdout).unwrap();
    let imported = run(&served, &["import", "--json", again.to_str().unwrap()]);
    assert!(imported.status.success());
    let report: Value = serde_json::from_slice(&imported.stdout).unwrap();
    let steered = report["flags"].as_array().unwrap().iter().find(|flag| flag["key"] == "steered").unwrap();
    assert_eq!((&steered["service"], &steered["written_percent"]), (&json!("checkout"), &json!(12.5)));
    let broken = folder.path().join("broken.json");
    fs::write(&broken, FLAGS.replace("ENABLED", "ON")).unwrap();
    let refused = run(&served, &["import", again.to_str().unwrap(), broken.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(refused.stdout.is_empty());
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("broken.json: flag colour, at /flags/colour/state: expected \"ENABLED\" or \"DISABLED\", found \"ON\""), "{said}");
    let refused = run(&served, &["serve", "--check", "--flags", broken.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(2));
}
