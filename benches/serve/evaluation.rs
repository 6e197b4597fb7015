//! Flags evaluated one by one over OFREP, against a handler that answers the same bytes whatever it is asked.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use axum::{Router, body::Bytes, http::header, routing::post, serve::ListenerExt};
use serde_json::json;

use crate::{
    Row,
    connection::{Connection, address, request},
    fleet,
    process::processor_time,
    quantile,
    served::Served,
    spread,
};

/// The word that makes this program the bare handler.
pub(crate) const BARE: &str = "bare";

/// What it answers: as long as a real answer.
const CONSTANT: &str = r#"{"key":"flag-500","reason":"SPLIT","variant":"off","value":false,"metadata":{"knightwatch.service":"service-0"}}"#;

const FLAGS: usize = 1_000;
const CONNECTIONS: usize = 32;
const ROUND: Duration = Duration::from_secs(3);
const ROUNDS: usize = 9;

/// The handler that everything is compared with, with as many threads as the backend has.
pub(crate) fn serve_bare() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let answer = async |_: Bytes| ([(header::CONTENT_TYPE, "application/json")], CONSTANT);
        let router = Router::new().route("/ofrep/v1/evaluate/flags/{key}", post(answer));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("http://{}", listener.local_addr().unwrap());
        let listener = listener.tap_io(|stream| stream.set_nodelay(true).unwrap());
        axum::serve(listener, router).await.unwrap();
    });
}

/// What came of one side.
#[derive(Default)]
struct Side {
    rates: Vec<f64>,
    costs: Vec<f64>,
    times: Vec<Duration>,
}

pub(crate) fn measured() -> Vec<Row> {
    let folder = tempfile::tempdir().unwrap();
    let (flags, config) = fleet::define(folder.path(), FLAGS);
    let served =
        Served::start(&["--speed", "0", "--policy", "shield-alone", "--config", &config, "--flags", &flags]);
    let mut bare =
        Command::new(std::env::current_exe().unwrap()).arg(BARE).stdout(Stdio::piped()).spawn().unwrap();
    let first = BufReader::new(bare.stdout.take().unwrap()).lines().next().unwrap().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut theirs, mut ours) = (Side::default(), Side::default());
    runtime.block_on(async {
        fleet::controlled(&served, FLAGS).await;
        fleet::start(&served, FLAGS).await;
        let sides =
            [(i32::try_from(bare.id()).unwrap(), address(&first)), (served.pid(), address(served.url()))];
        let mut lines = Vec::new();
        for (_, address) in sides {
            let opened = (0..CONNECTIONS).map(|_| Connection::to(address));
            lines.push(futures::future::join_all(opened).await);
        }
        for round in 0..=ROUNDS {
            for (((pid, _), lines), side) in sides.iter().zip(&mut lines).zip([&mut theirs, &mut ours]) {
                let (rate, cost, times) = one_round(*pid, lines).await;
                // The first one only warms up.
                if round > 0 {
                    side.rates.push(rate);
                    side.costs.push(cost);
                    side.times.extend(times);
                }
            }
        }
    });
    bare.kill().unwrap();
    bare.wait().unwrap();
    let mut ratios: Vec<f64> =
        ours.rates.iter().zip(&theirs.rates).map(|(ours, theirs)| ours / theirs).collect();
    let mut costs: Vec<f64> =
        theirs.costs.iter().zip(&ours.costs).map(|(theirs, ours)| theirs / ours).collect();
    let side = |name: &str, side: &mut Side| {
        let rate = quantile(&mut side.rates, 0.5);
        let cost = quantile(&mut side.costs, 0.5);
        Row::new(
            format!("evaluation, {CONNECTIONS} connections: {name}"),
            format!("{rate:.0}/s, {cost:.1} µs of a core each, {}", spread(&mut side.times)),
            "",
        )
    };
    let share = |ratios: &mut [f64]| {
        format!(
            "median {:.0} % ({:.0} to {:.0})",
            quantile(ratios, 0.5) * 100.0,
            quantile(ratios, 0.0) * 100.0,
            quantile(ratios, 1.0) * 100.0
        )
    };
    vec![
        side("bare axum handler", &mut theirs),
        side("knightwatch, one flag over OFREP", &mut ours),
        Row::new("evaluations a second against bare", share(&mut ratios), "budget 90 %"),
        Row::new("processor time of the bare one against ours", share(&mut costs), ""),
    ]
}

/// Evaluations a second, microseconds of processor time each, and how long each took.
async fn one_round(pid: i32, lines: &mut [Connection]) -> (f64, f64, Vec<Duration>) {
    let (begun, before) = (Instant::now(), processor_time(pid));
    let asked = lines.iter_mut().enumerate().map(|(lane, line)| async move {
        let mut times = Vec::new();
        // Whole requests made before: the client's own work is not what is measured.
        let requests: Vec<_> = (0..100)
            .map(|index| {
                let key = fleet::key((index * CONNECTIONS + lane) % FLAGS);
                let body = json!({ "context": { "targetingKey": format!("user-{index}-{lane}") } });
                request("POST", &format!("/ofrep/v1/evaluate/flags/{key}"), None, &body.to_string())
            })
            .collect();
        for request in requests.iter().cycle() {
            let asked = Instant::now();
            let (status, body) = line.exchange(request).await;
            assert!(status == 200 && body.ends_with(b"}"), "{status}: {}", String::from_utf8_lossy(body));
            let answered = Instant::now();
            times.push(answered - asked);
            if answered - begun > ROUND {
                break;
            }
        }
        times
    });
    let times: Vec<Duration> = futures::future::join_all(asked).await.into_iter().flatten().collect();
    let (took, used) = (begun.elapsed(), processor_time(pid).saturating_sub(before));
    let count = times.len() as f64;
    (count / took.as_secs_f64(), used.as_secs_f64() * 1e6 / count, times)
}
