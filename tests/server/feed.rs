//! Telemetry and deployments, sent to the real backend over HTTP: what is taken, what is refused, and what comes of it.
#![allow(dead_code, clippy::unwrap_used, clippy::panic, clippy::cast_precision_loss, reason = "a test")]

mod served;
mod told;

use std::{
    io::Write,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use knightwatch_connect::signature;
use knightwatch_core::control::Scope;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use prost::Message;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::feed::served::{SETTINGS, Served, home, token};
use crate::feed::told::Ear;
use crate::support::command::Home;

const INTERVAL: u64 = 1_000;

/// The time as an application knows it.
#[expect(clippy::disallowed_methods, reason = "applications have clocks of their own")]
fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// The beginning of the interval that is under way.
fn this_interval() -> u64 {
    now() / INTERVAL * INTERVAL
}

fn sample(flag: &str, variant: &str, start: u64, requests: u64, errors: u64) -> Value {
    json!({
        "flag": flag, "variant": variant, "start": start, "span": 1, "requests": requests, "errors": errors,
        "latency": [
            {"le_ms": 20, "count": requests - requests / 10 - requests / 200},
            {"le_ms": 80, "count": requests / 10},
            {"le_ms": 300, "count": requests / 200},
        ],
    })
}

/// An application with two instances that reports each interval's requests until it is dropped.
struct Application(tokio::task::JoinHandle<()>);

impl Application {
    /// `share` of its requests are of the treatment, and so many of a hundred fail there.
    fn start(served: &Served, flag: &'static str, fails: u64) -> Self {
        let batch = move |sequence: u64, sender: &str| {
            let start = now();
            // Traffic is never twice the same.
            let requests = 2_000 + start % 97;
            json!({"sender": sender, "sequence": sequence, "samples": [
                sample(flag, "off", start, requests, requests / 500),
                sample(flag, "on", start, requests, requests * fails / 100 + requests / 500),
            ]})
        };
        let request = served.request(Method::POST, "/api/v1/telemetry");
        Self(tokio::spawn(async move {
            let mut ticks = tokio::time::interval(Duration::from_millis(INTERVAL / 4));
            for sequence in now().. {
                ticks.tick().await;
                for sender in ["web-1", "web-2"] {
                    let request = request.try_clone().unwrap();
                    request.json(&batch(sequence, sender)).send().await.unwrap();
                }
            }
        }))
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_flag_is_raised_on_what_applications_send_and_rolled_back_when_it_turns_bad() {
    let home = home();
    let served = Served::start(&home, "--real --policy rule");
    served.create("new-checkout", Value::Null).await;
    served.post("/api/v1/flags/new-checkout/start", &json!({})).await;
    let good = Application::start(&served, "new-checkout", 0);
    let flag = served.until("/api/v1/flags/new-checkout", |flag| flag["percent"].as_f64() > Some(1.0)).await;
    assert_eq!((&flag["phase"], &flag["last"]["by"]), (&json!("ramping"), &json!("agent")), "{flag:#}");
    let seen = flag["treatment"]["requests"].as_u64().unwrap();
    assert!(seen > 2_000, "both instances were added up: {flag:#}");
    drop(good);
    let bad = Application::start(&served, "new-checkout", 30);
    let flag = served.until("/api/v1/flags/new-checkout", |flag| flag["phase"] == "rolled_back").await;
    assert_eq!((&flag["percent"], &flag["last"]["by"]), (&json!(0.0), &json!("shield")), "{flag:#}");
    drop(bad);
    let status = served.get("/api/v1/status").await;
    assert_eq!((&status["simulated"], &status["done"]), (&json!(false), &json!(false)));
    let hurried = served.request(Method::PUT, "/api/v1/simulation/speed").json(&json!({"speed": 60}));
    assert_eq!(hurried.send().await.unwrap().status(), StatusCode::CONFLICT);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_sample_is_taken_or_refused_by_itself_and_a_batch_counts_once() {
    let home = home();
    let served = Served::start(&home, "--real");
    served.create("f", Value::Null).await;
    let at = this_interval();
    let mut samples = vec![
        sample("f", "on", at, 100, 1),
        sample("nobody", "on", at, 100, 1),
        sample("f", "blue", at, 100, 1),
        sample("f", "on", at, 100, 200),
        sample("f", "on", at + 3_600_000, 100, 1),
        sample("f", "on", at - 3_600_000, 100, 1),
        json!({"flag": "f"}),
        sample("f", "off", at, 100, 1),
    ];
    samples[7]["span"] = json!(5_000);
    let batch = json!({"sender": "web-1", "sequence": 1, "samples": samples});
    let answer = served.post("/api/v1/telemetry", &batch).await;
    assert_eq!((&answer["accepted"], &answer["refused"]), (&json!(1), &json!(7)), "{answer:#}");
    let reasons: Vec<_> = answer["rejected"]
        .as_array()
        .unwrap()
        .iter()
        .map(|refused| (refused["index"].as_u64().unwrap(), refused["reason"].as_str().unwrap()))
        .collect();
    let expected = [
        (1, "unknown_flag"),
        (2, "malformed"),
        (3, "inconsistent"),
        (4, "skewed"),
        (5, "late"),
        (6, "malformed"),
        (7, "misaligned"),
    ];
    assert_eq!(reasons, expected);
    let says = |refused: &Value| refused["expected"].as_str().is_some_and(|expected| !expected.is_empty());
    assert!(answer["rejected"].as_array().unwrap().iter().all(says), "{answer:#}");
    // Sent again within the interval it is a duplicate, after it it is late: in neither case it counts again.
    let again = served.post("/api/v1/telemetry", &batch).await;
    assert_eq!(again["accepted"], 0);
    assert!(["duplicate", "late"].contains(&again["rejected"][0]["reason"].as_str().unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_batch_is_refused_whole() {
    let home = home();
    let ingest = token(&home, Scope::Ingest);
    let viewer = token(&home, Scope::Viewer);
    let served = Served::start(&home, "--real");
    let send = async |token: &str, body: &'static str| {
        let request = served.as_another(Method::POST, "/api/v1/telemetry", token);
        let response = request.header("content-type", "application/json").body(body).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let empty = r#"{"sender":"web-1","sequence":1,"samples":[]}"#;
    assert_eq!(send(&ingest, empty).await.0, 200);
    assert_eq!(send(&viewer, empty).await.0, 403);
    assert_eq!(send("kw_none", empty).await.0, 401);
    assert_eq!(send(&ingest, r#"{"sender":"\u001b","sequence":1,"samples":[]}"#).await.0, 400);
    assert_eq!(send(&ingest, r#"{"sender":"a","sequence":1,"samples":[3]}"#).await.0, 400);
    let (status, text) = send(&ingest, r#"{"sender":"a","sender":"b","sequence":1,"samples":[]}"#).await;
    assert_eq!(status, 400, "{text}");
    assert!(text.contains("duplicate field `sender`"), "{text}");
    let large = served.as_another(Method::POST, "/api/v1/telemetry", &ingest);
    let large = large.header("content-type", "application/json").body(vec![b' '; 5 << 20]).send().await;
    // It may also stop reading in the middle.
    assert!(large.is_err() || large.unwrap().status() == StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_power_cut_it_resumes_its_flags_and_holds_until_telemetry_is_fresh() {
    let home = home();
    let served = Served::start(&home, "--real --policy rule");
    served.create("f", Value::Null).await;
    served.post("/api/v1/flags/f/start", &json!({})).await;
    let application = Application::start(&served, "f", 0);
    let before = served.until("/api/v1/flags/f", |flag| flag["percent"].as_f64() > Some(1.0)).await;
    drop(application);
    let now = served.get("/api/v1/status").await["now"].as_u64().unwrap();
    served.kill();

    let served = Served::start(&home, "--real");
    let status = served.get("/api/v1/status").await;
    assert!(status["now"].as_u64().unwrap() >= now, "time never goes back: {now}, {status:#}");
    assert_eq!(status["policy"], "rule", "who steered before");
    let flag = served.flag("f").await;
    assert_eq!((&flag["verdict"], &flag["phase"]), (&json!("lost"), &json!("ramping")), "{flag:#}");
    assert!(flag["percent"].as_f64() >= before["percent"].as_f64(), "{flag:#}");
    let held = flag["percent"].clone();
    // An alarm says that there is none; nothing moves.
    served.until("/api/v1/alarms", |alarms| alarms.to_string().contains("No telemetry for f")).await;
    let flag = served.flag("f").await;
    assert_eq!((&flag["percent"], &flag["phase"]), (&held, &json!("ramping")), "{flag:#}");
    let application = Application::start(&served, "f", 0);
    served.until("/api/v1/flags/f", |flag| flag["percent"].as_f64() > held.as_f64()).await;
    drop(application);
}

fn otlp(flag: &str, variant: &str, requests: u64) -> Value {
    let (start, time) = ((now() - 500) * 1_000_000, now() * 1_000_000);
    json!({"resourceMetrics": [{"resource": {"attributes": []}, "scopeMetrics": [{"scope": {"name": "shop"}, "metrics": [{
        "name": "http.server.request.duration", "unit": "s",
        "histogram": {"aggregationTemporality": 1, "dataPoints": [{
            "attributes": [
                {"key": "feature_flag.key", "value": {"stringValue": flag}},
                {"key": "feature_flag.result.variant", "value": {"stringValue": variant}},
            ],
            "startTimeUnixNano": start.to_string(), "timeUnixNano": time.to_string(),
            "count": requests.to_string(), "sum": 1.0,
            "bucketCounts": [requests.to_string(), "0"], "explicitBounds": [0.05],
        }]},
    }]}]}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn opentelemetry_metrics_are_taken_as_protobuf_and_as_json() {
    let home = home();
    let served = Served::start(&home, "--real");
    served.create("f", Value::Null).await;
    served.post("/api/v1/flags/f/start", &json!({})).await;
    let protobuf = async |export: Value| {
        let request: ExportMetricsServiceRequest = serde_json::from_value(export).unwrap();
        let sent = served.request(Method::POST, "/v1/metrics").body(request.encode_to_vec());
        let response = sent.header("content-type", "application/x-protobuf").send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "application/x-protobuf");
        ExportMetricsServiceResponse::decode(response.bytes().await.unwrap()).unwrap()
    };
    assert_eq!(protobuf(otlp("f", "on", 40)).await.partial_success, None);
    let refused = protobuf(otlp("nobody", "on", 40)).await.partial_success.unwrap();
    assert_eq!(refused.rejected_data_points, 1);
    assert!(refused.error_message.contains("there is no flag \"nobody\""), "{refused:?}");
    let answer = served.post("/v1/metrics", &otlp("f", "off", 60)).await;
    assert!(answer.get("partialSuccess").is_none_or(Value::is_null), "{answer}");
    served
        .until("/api/v1/flags/f", |flag| {
            flag["treatment"]["requests"] == 40 && flag["control"]["requests"] == 60
        })
        .await;
    let broken =
        served.request(Method::POST, "/v1/metrics").body("{").header("content-type", "application/json");
    let broken = broken.send().await.unwrap();
    assert_eq!(broken.status(), StatusCode::BAD_REQUEST);
    assert_eq!(broken.json::<Value>().await.unwrap()["code"], 3);
    let text = served.request(Method::POST, "/v1/metrics").body("x").header("content-type", "text/plain");
    assert_eq!(text.send().await.unwrap().status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn opentelemetry_metrics_are_taken_with_gzip_and_what_inflates_too_far_is_not() {
    let home = home();
    let served = Served::start(&home, "--real");
    served.create("f", Value::Null).await;
    served.post("/api/v1/flags/f/start", &json!({})).await;
    let send = async |kind: &str, coding: &str, body: Vec<u8>| {
        let request = served.request(Method::POST, "/v1/metrics").body(body);
        let response =
            request.header("content-type", kind).header("content-encoding", coding).send().await.unwrap();
        (response.status(), response.bytes().await.unwrap())
    };
    let (json_kind, protobuf_kind) = ("application/json", "application/x-protobuf");
    let request: ExportMetricsServiceRequest = serde_json::from_value(otlp("f", "on", 40)).unwrap();
    let (status, answer) = send(protobuf_kind, "gzip", gzip(&request.encode_to_vec())).await;
    assert_eq!((status, answer.len()), (StatusCode::OK, 0), "all taken");
    let (status, _) = send(json_kind, "GZIP", gzip(otlp("f", "off", 60).to_string().as_bytes())).await;
    assert_eq!(status, StatusCode::OK);
    served
        .until("/api/v1/flags/f", |flag| {
            flag["treatment"]["requests"] == 40 && flag["control"]["requests"] == 60
        })
        .await;
    let largest = 4 << 20;
    let padded = |length: usize| {
        let export = otlp("f", "on", 1).to_string();
        gzip(format!("{export}{}", " ".repeat(length - export.len())).as_bytes())
    };
    assert_eq!(send(json_kind, "gzip", padded(largest)).await.0, StatusCode::OK);
    let bomb = padded(largest + 1);
    assert!(bomb.len() < 100_000);
    let half = gzip(b"{}")[..12].to_vec();
    for (coding, body, status, said) in [
        ("gzip", bomb, StatusCode::PAYLOAD_TOO_LARGE, "at most 4194304 bytes once inflated"),
        ("gzip", b"{}".to_vec(), StatusCode::BAD_REQUEST, "expected a body in gzip"),
        ("gzip", half, StatusCode::BAD_REQUEST, "expected a body in gzip"),
        ("br", b"{}".to_vec(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "gzip, or with none"),
    ] {
        let (found, answer) = send(json_kind, coding, body).await;
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!(found, status, "{answer}");
        assert!(answer["message"].as_str().unwrap().contains(said), "{answer}");
    }
}

fn deployed(id: &str, service: &str, environment: &str) -> Value {
    let kind = "dev.cdevents.service.deployed.0.2.0";
    let document = json!({
        "context": {"version": "0.4.1", "id": id, "source": "/ci", "type": kind, "timestamp": "2026-03-02T09:00:00Z"},
        "subject": {"id": service, "type": "service", "content": {
            "environment": {"id": environment}, "artifactId": "pkg:oci/shop@sha256:11",
        }},
    });
    json!({"specversion": "1.0", "id": id, "source": "/ci", "type": kind, "data": document})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flag_waits_for_its_deployment_and_then_starts_as_the_person_ordered() {
    let home = home();
    let bot = token(&home, Scope::Ingest);
    let served = Served::start(&home, "--real");
    let send = async |kind: &str, extra: &[(&str, &str)], body: Value| {
        let mut request = served.as_another(Method::POST, "/api/v1/deployments", &bot);
        for (name, value) in extra {
            request = request.header(*name, *value);
        }
        let response = request.header("content-type", kind).body(body.to_string()).send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    let structured = "application/cloudevents+json";
    let wanted = json!({"service": "shop", "artifact": "pkg:oci/shop@sha256:11"});
    served.create("f", wanted.clone()).await;
    served.create("other", wanted).await;
    let ack = served.post("/api/v1/flags/f/start", &json!({"reason": "tonight"})).await;
    assert!(ack["warnings"].to_string().contains("not before"), "{ack:#}");
    // What is read comes a moment after what was ordered.
    let flag = served.until("/api/v1/flags/f", |flag| !flag["waits_for"].is_null()).await;
    assert_eq!((&flag["phase"], &flag["percent"]), (&json!("idle"), &json!(0.0)));
    assert_eq!(flag["waits_for"], "pkg:oci/shop@sha256:11 in shop");
    let again = served.request(Method::POST, "/api/v1/flags/f/start").send().await.unwrap();
    assert_eq!(again.status(), StatusCode::CONFLICT);

    // What is none of this backend's business starts nothing, and is answered.
    let (status, answer) = send(structured, &[], deployed("1", "shop", "staging")).await;
    assert_eq!((status, &answer["taken"]), (200, &json!(false)), "{answer}");
    let (status, answer) = send(structured, &[], deployed("2", "cart", "test")).await;
    assert_eq!((status, &answer["taken"]), (200, &json!(true)), "{answer}");
    assert_eq!(
        send(structured, &[], json!({"specversion": "2.0", "id": "x", "source": "y", "type": "z"})).await.0,
        400
    );
    assert_eq!(send("text/plain", &[], json!({})).await.0, 415);
    assert_eq!(served.flag("f").await["phase"], "idle");

    // Binary mode: the attributes are headers.
    let event = deployed("3", "shop", "test");
    let kind = event["type"].as_str().unwrap();
    let headers = [("ce-specversion", "1.0"), ("ce-id", "3"), ("ce-source", "/ci"), ("ce-type", kind)];
    let (status, answer) = send("application/json", &headers, event["data"].clone()).await;
    assert_eq!((status, &answer["taken"]), (200, &json!(true)), "{answer}");
    let (_, repeated) = send(structured, &[], event.clone()).await;
    assert_eq!(repeated["seq"], answer["seq"], "the same event acts once");
    let flag = served.until("/api/v1/flags/f", |flag| flag["phase"] == "ramping").await;
    assert_eq!((&flag["percent"], &flag["last"]["by"]), (&json!(1.0), &json!("ada")), "{flag:#}");
    assert_eq!(served.flag("other").await["phase"], "idle", "nobody has ordered it");
    // It is there now: the other starts at once.
    served.post("/api/v1/flags/other/start", &json!({})).await;
    served.until("/api/v1/flags/other", |flag| flag["phase"] == "ramping").await;

    let list = served.get("/api/v1/deployments").await;
    let all = list["deployments"].as_array().unwrap();
    assert_eq!(all.len(), 2, "{list:#}");
    assert_eq!(
        (&all[0]["service"], &all[0]["by"], &all[0]["kind"]),
        (&json!("shop"), &json!("deploy-bot"), &json!("deployed"))
    );
    let page = served.get("/api/v1/deployments?limit=1").await;
    let older = served.get(&format!("/api/v1/deployments?before={}", page["before"])).await;
    assert_eq!(older["deployments"][0]["service"], "cart");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_is_taken_back_says_which_flags_it_leaves_on_and_calls_a_person() {
    let home = home();
    let served = Served::start(&home, "--real");
    for (key, deployment) in [
        ("with-it", json!({"service": "shop"})),
        ("its-own", Value::Null),
        ("off", json!({"service": "shop"})),
        ("elsewhere", json!({"service": "cart"})),
    ] {
        served.create(key, deployment).await;
        if key != "off" {
            served.post(&format!("/api/v1/flags/{key}/set"), &json!({"percent": 25})).await;
        }
    }
    let mut event = deployed("1", "shop", "test");
    let kind = event["type"].as_str().unwrap().replace("deployed", "rolledback");
    event["data"]["context"]["type"] = json!(kind);
    let answer = served.post("/api/v1/deployments", &event["data"]).await;
    let warnings = answer["warnings"].to_string();
    assert!(warnings.contains("with-it is still at 25 % although shop was rolled back"), "{answer:#}");
    assert!(warnings.contains("its-own is still"), "its service's code is another one too: {answer:#}");
    assert!(!warnings.contains("off is") && !warnings.contains("elsewhere is"), "{answer:#}");
    let alarms =
        served.until("/api/v1/alarms", |alarms| alarms["alarms"].as_array().unwrap().len() >= 2).await;
    assert!(alarms.to_string().contains("with-it is still at 25 %"), "{alarms:#}");
    let journal = served.get("/api/v1/journal?kind=alarm").await;
    assert!(journal.to_string().contains("with-it is still at 25 %"), "{journal:#}");
    assert_eq!(served.flag("with-it").await["percent"], 25.0, "nobody has ordered it");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_flag_waits_for_survives_a_power_cut_and_a_rollback_takes_the_order_back() {
    let home = home();
    let served = Served::start(&home, "--real");
    served.create("f", json!({"service": "shop"})).await;
    served.create("g", json!({"service": "shop"})).await;
    for flag in ["f", "g"] {
        served.post(&format!("/api/v1/flags/{flag}/start"), &json!({})).await;
    }
    served.post("/api/v1/flags/g/rollback", &json!({})).await;
    served.kill();
    let served = Served::start(&home, "--real");
    assert_eq!(served.flag("f").await["waits_for"], "shop");
    let document = deployed("1", "shop", "test")["data"].clone();
    let answer = served.post("/api/v1/deployments", &document).await;
    assert_eq!(answer["taken"], true, "a bare CDEvent is read too");
    served.until("/api/v1/flags/f", |flag| flag["phase"] == "ramping").await;
    let flag = served.flag("g").await;
    assert_eq!((&flag["phase"], &flag["waits_for"]), (&json!("rolled_back"), &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simulated_world_takes_no_telemetry_and_says_so() {
    let home = home();
    let served = Served::start(&home, "");
    let batch = json!({"sender": "web-1", "sequence": 1, "samples": []});
    let response = served.request(Method::POST, "/api/v1/telemetry").json(&batch).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::CONFLICT);
    assert!(response.text().await.unwrap().contains("--real"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journals_of_the_two_worlds_are_not_mixed_up() {
    let home = home();
    for (world, own, other) in
        [("", "simulated", "real"), ("--real", "real", "simulated"), ("", "again", "real")]
    {
        let served = Served::start(&home, world);
        served.create(own, Value::Null).await;
        let path = format!("/api/v1/flags/{other}");
        let found = served.request(Method::GET, &path).send().await.unwrap();
        assert_eq!(found.status(), StatusCode::NOT_FOUND, "{other} in the world of {own}");
        served.kill();
    }
    let served = Served::start(&home, "");
    for kept in ["simulated", "again"] {
        assert_eq!(served.flag(kept).await["key"], kept);
    }
}

#[test]
fn telemetry_that_is_pushed_makes_a_world_real_and_a_real_one_plays_no_scenario() {
    let home = Home::new();
    home.file("b.toml", "environment = \"b\"\n[telemetry]\nsource = \"push\"\n");
    let checked = home.run("--config b.toml serve --check");
    checked.fine();
    assert!(checked.out.contains("sent by applications"), "{}", checked.out);
    let both = home.run("serve --real --scenario default");
    assert!(both.status(2).err.contains("--scenario"), "{}", both.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_finds_ourselves_in_numbers() {
    let home = home();
    let served = Served::start(&home, "--real");
    served.create("f", Value::Null).await;
    served.post("/api/v1/flags/f/start", &json!({})).await;
    let batch =
        json!({"sender": "web-1", "sequence": 1, "samples": [sample("nobody", "on", this_interval(), 1, 0)]});
    served.post("/api/v1/telemetry", &batch).await;
    served.post("/api/v1/kill-all", &json!({})).await;
    served.until("/api/v1/status", |status| !status["latch"].is_null()).await;
    let page = served.request(Method::GET, "/metrics").send().await.unwrap();
    assert!(page.headers()["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
    let text = page.text().await.unwrap();
    for line in [
        "knightwatch_up 1",
        "knightwatch_kill_latch 1",
        "knightwatch_journal_lag_entries 0",
        "knightwatch_flag_rollout_ratio{flag=\"f\",service=\"shop\"} 0",
        "knightwatch_flag_phase{flag=\"f\",phase=\"killed\"} 1",
        "knightwatch_telemetry_rejected_total{reason=\"unknown flag\"} 1",
        "knightwatch_http_requests_total{route=\"/api/v1/flags/{key}/start\",status=\"200\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    // Those who wait for something here listen for as long as that takes.
    assert!(text.lines().any(|found| found.starts_with("knightwatch_stream_clients ")), "{text}");
    let asked = now();
    served.until("/api/v1/status", |status| status["now"].as_u64() > Some(asked)).await;
    let text = served.request(Method::GET, "/metrics").send().await.unwrap().text().await.unwrap();
    let ticks = text.lines().find_map(|line| line.strip_prefix("knightwatch_tick_duration_seconds_count "));
    assert!(ticks.unwrap().parse::<u64>().unwrap() >= 1, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_told_everything_in_order_signed_and_across_a_power_cut() {
    const SECRET: &str = "a canary of a secret, 32 bytes..";
    let (audit, chat) = (Ear::open(usize::MAX).await, Ear::open(2).await);
    let home = Home::new();
    let secret = home.file("secret", SECRET);
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let hooks = format!(
        "webhooks = [{{ name = \"audit\", url = \"{}\", secret_file = \"secret\" }}, \
         {{ name = \"chat\", url = \"{}\", format = \"slack\", kinds = [\"kill-all\"] }}]\n",
        audit.url, chat.url
    );
    home.file("settings.toml", hooks + SETTINGS);
    let served = Served::start(&home, "--real");
    let known = served.get("/api/v1/status").await["seq"].as_u64().unwrap();
    served.create("f", Value::Null).await;
    served.create("g", Value::Null).await;
    served.post("/api/v1/flags/f/start", &json!({"reason": "it is time"})).await;
    served.post("/api/v1/kill-all", &json!({"reason": "a drill"})).await;
    // One that fails at first is told when it no longer does; the other's trouble is none of its.
    chat.until(|ear| ear.taken().len() == 1).await;
    let text = chat.events()[0]["text"].as_str().unwrap().to_owned();
    assert!(text.starts_with("[test] KILL-ALL") && text.ends_with("(ada)"), "{text}");
    audit.until(|ear| ear.refused() >= 1).await;
    assert_eq!(audit.taken().len(), 0);
    // What was told is noted a moment after it was taken.
    let status = served.until("/api/v1/status", |status| !status["latch"].is_null()).await;
    let killed = status["latch"]["seq"].as_u64();
    let noted = || {
        let text = std::fs::read_to_string(home.path("state/knightwatch/real/webhooks.json")).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["chat"]["seq"].as_u64()
    };
    while noted() < killed {
        tokio::task::yield_now().await;
    }
    served.kill();

    audit.take_everything();
    let served = Served::start(&home, "--real");
    let last = served.get("/api/v1/status").await["seq"].as_u64().unwrap();
    audit.until(|ear| ear.events().iter().any(|event| event["data"]["seq"].as_u64() >= Some(last))).await;
    let numbers: Vec<u64> =
        audit.events().iter().map(|event| event["data"]["seq"].as_u64().unwrap()).collect();
    let all: Vec<u64> = (known + 1..).take(numbers.len()).collect();
    assert_eq!(numbers, all, "each once, in order, none left out");
    let kinds: Vec<Value> = audit.events().iter().map(|event| event["type"].clone()).collect();
    assert!(kinds.contains(&json!("dev.knightwatch.kill-all")), "{kinds:?}");
    for (headers, body) in audit.taken() {
        let said = headers["knightwatch-signature"].to_str().unwrap();
        let seconds = said.strip_prefix("t=").unwrap().split(',').next().unwrap().parse().unwrap();
        assert_eq!(signature(SECRET.as_bytes(), seconds, &body).unwrap(), said);
        assert_eq!(headers["content-type"], "application/cloudevents+json");
        assert!(!body.contains(SECRET));
    }
    assert_eq!(chat.taken().len(), 1, "told once, also after the restart");
}

/// A home with one webhook that is told everything.
fn heard_by(ear: &Ear, more: &str) -> Home {
    let home = Home::new();
    let hook = format!("webhooks = [{{ name = \"audit\", url = \"{}\"{more} }}]\n", ear.url);
    home.file("settings.toml", hook + SETTINGS);
    home
}

fn tells_of(ear: &Ear, flag: &str) -> bool {
    ear.events().iter().any(|event| event["subject"] == flag)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_told_what_comes_after_a_restore_by_ids_that_were_never_used() {
    let ear = Ear::open(0).await;
    let home = heard_by(&ear, "");
    let served = Served::start(&home, "--real");
    served.create("f", Value::Null).await;
    home.run("--config settings.toml backup copy --real").fine();
    for flag in ["g", "h", "i", "j"] {
        served.create(flag, Value::Null).await;
    }
    ear.until(|ear| tells_of(ear, "j")).await;
    served.kill();
    home.run("--config settings.toml restore copy --real").fine();
    let served = Served::start(&home, "--real");
    for flag in ["k", "l", "m"] {
        served.create(flag, Value::Null).await;
    }
    ear.until(|ear| tells_of(ear, "m")).await;
    let events = ear.events();
    assert!(tells_of(&ear, "k") && tells_of(&ear, "l"), "{events:#?}");
    let place = |flag: &str| events.iter().find(|event| event["subject"] == flag).unwrap();
    let again = |a: &str, b: &str| place(a)["data"]["seq"] == place(b)["data"]["seq"];
    assert!(
        ["k", "l", "m"].iter().any(|new| ["g", "h", "i", "j"].iter().any(|old| again(new, old))),
        "numbers come again"
    );
    let ids: std::collections::BTreeSet<&str> =
        events.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), events.len(), "{ids:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_is_dead_is_given_up_as_a_whole_and_told_the_newest_when_it_is_back() {
    let ear = Ear::open(usize::MAX).await;
    let home = heard_by(&ear, ", give_up_after = \"1 ms\"");
    let served = Served::start(&home, "--real");
    served.create("first", Value::Null).await;
    for flag in ["a", "b", "c", "d"] {
        served.create(flag, Value::Null).await;
    }
    // The first entry is tried twice, and what waits behind it not at all, but for the newest.
    ear.until(|ear| ear.refused() >= 3).await;
    ear.take_everything();
    served.create("last", Value::Null).await;
    ear.until(|ear| tells_of(ear, "last")).await;
    assert!(!tells_of(&ear, "first") && !tells_of(&ear, "a"), "{:#?}", ear.events());
    served.create("after", Value::Null).await;
    ear.until(|ear| tells_of(ear, "after")).await;
}

#[test]
fn a_secret_that_others_can_read_is_refused() {
    let home = Home::new();
    let secret = home.file("secret", "0123456789abcdef");
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    home.file(
        "c.toml",
        "webhooks = [{ name = \"a\", url = \"http://127.0.0.1:9/\", secret_file = \"secret\" }]\n",
    );
    let ended = home.run("--config c.toml serve --check");
    ended.status(2);
    assert!(ended.err.contains("expected the mode 0600, found 0640"), "{}", ended.err);
    assert!(!ended.err.contains("0123456789abcdef"));
    home.file("d.toml", "webhooks = [{ name = \"a\", url = \"http://x/\", kinds = [\"explosion\"] }]\n");
    home.file("e.toml", "[agent]\nweights = \"secret\"\n");
    let ended = home.run("--config e.toml serve --check");
    assert!(ended.status(2).err.contains("secret: no usable weights: "), "{}", ended.err);
    let ended = home.run("--config d.toml serve --check");
    assert!(ended.status(2).err.contains("there is no kind \"explosion\""), "{}", ended.err);
}
