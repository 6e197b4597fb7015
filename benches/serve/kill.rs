//! Kill-all of ten thousand flags while telemetry pours in: how long until evaluation says off, and until everybody who
//! listens has heard of it.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use tokio::time::sleep;

use crate::{
    Row,
    connection::{Connection, address, request, until},
    fleet,
    process::memory,
    quantile,
    served::Served,
    spread, told,
};

const FLAGS: usize = 10_000;
const LISTENERS: usize = 9_000;
const ROOMS: usize = 50;
const ROUNDS: usize = 7;

/// Flags that are on again in each round after the first, in which all are.
const AGAIN: usize = 50;

/// Flags in a batch of telemetry, each with both arms; all batches are sent once a second.
const BATCH: usize = 1_000;

/// What a change says to a control room of a kill-all in force.
const LATCHED: &[u8] = b"\"latch\":{";

/// When each of many heard of what is waited for, since the kill-all was sent.
#[derive(Default)]
struct Heard {
    /// When the kill-all was sent; nobody is waited for while there is none.
    since: Mutex<Option<Instant>>,
    times: Mutex<Vec<Duration>>,
    round: AtomicU64,
}

impl Heard {
    fn begin(&self) -> Instant {
        let now = Instant::now();
        self.times.lock().unwrap().clear();
        self.round.fetch_add(1, Ordering::SeqCst);
        *self.since.lock().unwrap() = Some(now);
        now
    }

    /// Somebody has heard of round `round`, whom `own` says not to have before.
    fn hear(&self, own: &mut u64) {
        let now = Instant::now();
        let round = self.round.load(Ordering::SeqCst);
        if *own == round {
            return;
        }
        let Some(since) = *self.since.lock().unwrap() else { return };
        *own = round;
        self.times.lock().unwrap().push(now - since);
    }

    async fn everybody(&self, count: usize) -> Vec<Duration> {
        let begun = Instant::now();
        while self.times.lock().unwrap().len() < count {
            assert!(
                begun.elapsed() < Duration::from_mins(2),
                "only {} have received the change",
                self.times.lock().unwrap().len()
            );
            sleep(Duration::from_millis(5)).await;
        }
        *self.since.lock().unwrap() = None;
        std::mem::take(&mut *self.times.lock().unwrap())
    }
}

pub(crate) fn measured() -> Vec<Row> {
    let folder = tempfile::tempdir().unwrap();
    let (flags, config) = fleet::define(folder.path(), FLAGS);
    let served = Arc::new(Served::start(&["--real", "--config", &config, "--flags", &flags]));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { measure(served).await })
}

async fn measure(served: Arc<Served>) -> Vec<Row> {
    let (address, token) = (address(served.url()), served.token());
    fleet::controlled(&served, FLAGS).await;
    fleet::start(&served, FLAGS).await;
    let (asked, streams, rooms) =
        (Arc::new(Heard::default()), Arc::new(Heard::default()), Arc::new(Heard::default()));
    let over = Arc::new(AtomicBool::new(false));
    let poured = Arc::new(AtomicU64::new(0));
    // On a thread of its own: what it costs to make telemetry must not hold up those who listen.
    let pouring = {
        let (served, over, poured) = (Arc::clone(&served), Arc::clone(&over), Arc::clone(&poured));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(pour(&served, &over, &poured));
        })
    };
    attend(address, &streams, &rooms).await;
    let probe = probe(address, Arc::clone(&asked), Arc::clone(&over));
    let (mut in_force, mut acknowledged, mut all_streams, mut all_rooms) = (vec![], vec![], vec![], vec![]);
    for round in 0..ROUNDS {
        if round > 0 {
            let body = r#"{"environment":"test","reason":"the next round"}"#;
            Connection::to(address).await.order(&token, "POST", "/api/v1/rearm", body).await;
            fleet::start(&served, AGAIN).await;
        }
        // Telemetry of two intervals, and nothing of the last changes on its way any more.
        let before = poured.load(Ordering::SeqCst);
        while poured.load(Ordering::SeqCst) < before + 3 * (2 * FLAGS) as u64 {
            sleep(Duration::from_millis(50)).await;
        }
        // A connection of its own: one that lay idle for so long is closed.
        let mut line = Connection::to(address).await;
        asked.begin();
        streams.begin();
        let begun = rooms.begin();
        line.order(&token, "POST", "/api/v1/kill-all", r#"{"reason":"measured"}"#).await;
        acknowledged.push(begun.elapsed());
        in_force.extend(asked.everybody(1).await);
        all_streams.extend(streams.everybody(LISTENERS).await);
        all_rooms.extend(rooms.everybody(ROOMS).await);
        until(&served, |status| status["phases"]["killed"] == FLAGS as u64).await;
    }
    over.store(true, Ordering::SeqCst);
    let resident = memory(served.pid(), "VmRSS");
    pouring.join().unwrap();
    probe.join().unwrap();
    let samples = poured.load(Ordering::SeqCst);
    vec![
        Row::new(
            format!(
                "kill-all of {FLAGS} flags, {ROUNDS} times, {} samples/s: evaluation says off",
                2 * FLAGS
            ),
            spread(&mut in_force),
            "budget 50 ms",
        ),
        Row::new("the same: acknowledged, on the disk", spread(&mut acknowledged), ""),
        Row::new(
            format!("the same: change propagated to all {LISTENERS} OFREP streams"),
            spread(&mut all_streams),
            "budget p99 1 s",
        ),
        Row::new(
            format!("the same: change propagated to all {ROOMS} control rooms"),
            spread(&mut all_rooms),
            "budget p99 1 s",
        ),
        Row::new(
            "samples taken meanwhile; memory with everybody there",
            format!("{samples}; {resident:.0} MB"),
            "",
        ),
    ]
}

/// Everybody who listens is there, and goes on listening beside.
async fn attend(address: SocketAddr, streams: &Arc<Heard>, rooms: &Arc<Heard>) {
    for _ in 0..LISTENERS {
        let mut line = Connection::to(address).await;
        line.listen("/ofrep/v1/changes").await;
        let streams = Arc::clone(streams);
        tokio::spawn(async move {
            let mut own = 0;
            loop {
                let news = line.chunk().await;
                if news.is_empty() {
                    return;
                }
                if contains(news, b"refetchEvaluation") {
                    streams.hear(&mut own);
                }
            }
        });
    }
    for _ in 0..ROOMS {
        let mut line = Connection::to(address).await;
        line.listen("/api/v1/events").await;
        let rooms = Arc::clone(rooms);
        tokio::spawn(async move {
            let (mut own, mut tail) = (0, Vec::new());
            loop {
                let news = line.chunk().await;
                if news.is_empty() {
                    return;
                }
                // It may come in two pieces.
                tail.extend_from_slice(news);
                if contains(&tail, LATCHED) {
                    rooms.hear(&mut own);
                }
                tail.drain(..tail.len().saturating_sub(LATCHED.len() - 1));
            }
        });
    }
}

/// Asks for a flag again and again, on a thread of its own.
fn probe(address: SocketAddr, asked: Arc<Heard>, over: Arc<AtomicBool>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let question = request(
                "POST",
                "/ofrep/v1/evaluate/flags/flag-7",
                None,
                r#"{"context":{"targetingKey":"u"}}"#,
            );
            let (mut line, mut own) = (Connection::to(address).await, 0);
            while !over.load(Ordering::SeqCst) {
                if contains(line.exchange(&question).await.1, b"off for everybody") {
                    asked.hear(&mut own);
                }
                sleep(Duration::from_micros(200)).await;
            }
        });
    })
}

/// Sends telemetry of all flags every second until it is over.
#[expect(clippy::disallowed_methods, reason = "applications have clocks of their own")]
async fn pour(served: &Served, over: &AtomicBool, poured: &AtomicU64) {
    let (mut line, token) = (Connection::to(address(served.url())).await, served.token());
    let (mut sequence, mut noise) = (0_u64, 1_u64);
    let mut late = Vec::new();
    while !over.load(Ordering::SeqCst) {
        let begun = Instant::now();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
        let start = now / 1_000 * 1_000 - 1_000;
        for first in (0..FLAGS).step_by(BATCH) {
            sequence += 1;
            let mut body = format!("{{\"sender\":\"bench\",\"sequence\":{sequence},\"samples\":[");
            for index in first..first + BATCH {
                for variant in ["on", "off"] {
                    noise =
                        noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let (fast, slow) = (80 + (noise >> 59), 10 + (noise >> 33 & 7));
                    let comma = if index == first && variant == "on" { "" } else { "," };
                    write!(
                        body,
                        "{comma}{{\"flag\":\"flag-{index}\",\"variant\":\"{variant}\",\"start\":{start},\"span\":1000,\"requests\":{},\"errors\":0,\"latency\":[{{\"le_ms\":50,\"count\":{fast}}},{{\"le_ms\":100,\"count\":{slow}}},{{\"le_ms\":250,\"count\":1}}]}}",
                        fast + slow + 1
                    )
                    .unwrap();
                }
            }
            body.push_str("]}");
            let answer = line.order(&token, "POST", "/api/v1/telemetry", &body).await;
            assert_eq!(answer["refused"], 0, "{answer}");
            poured.fetch_add(answer["accepted"].as_u64().unwrap(), Ordering::SeqCst);
        }
        late.push(begun.elapsed());
        sleep(Duration::from_secs(1).saturating_sub(begun.elapsed())).await;
    }
    eprintln!("a second's telemetry took {} to send, median", told(quantile(&mut late, 0.5)));
}

fn contains(text: &[u8], what: &[u8]) -> bool {
    text.windows(what.len()).any(|part| part == what)
}
