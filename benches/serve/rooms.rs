//! Fifty control rooms on the event stream of a thousand simulated flags.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::time::sleep;

use crate::{
    Row,
    connection::{Connection, address, until},
    process::processor_time,
    served::Served,
    spread,
};

const ROOMS: usize = 50;
const MEASURED: Duration = Duration::from_secs(30);

/// How often somebody gives an order whose way to the rooms is followed.
const ORDERS: Duration = Duration::from_millis(500);

pub(crate) fn measured() -> Vec<Row> {
    let served = Served::start(&["--scenario", "fleet-1000", "--speed", "10"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(measure(&served))
}

async fn measure(served: &Served) -> Vec<Row> {
    let (address, token) = (address(served.url()), served.token());
    // Some minutes in, most flags are ramping.
    let begun = {
        let mut line = Connection::to(address).await;
        line.order(&token, "GET", "/api/v1/status", "").await["now"].as_u64().unwrap()
    };
    until(served, |status| status["now"].as_u64().unwrap() > begun + 600_000).await;
    let alone = share(served, Duration::from_secs(10)).await;
    let bytes = Arc::new(AtomicU64::new(0));
    // The order that is followed: its reason, and when it was sent.
    let order = Arc::new(Mutex::new((String::new(), Instant::now())));
    let ages = Arc::new(Mutex::new(Vec::new()));
    for _ in 0..ROOMS {
        let mut line = Connection::to(address).await;
        line.listen("/api/v1/events").await;
        let (bytes, order, ages) = (Arc::clone(&bytes), Arc::clone(&order), Arc::clone(&ages));
        tokio::spawn(async move {
            let (mut heard, mut tail) = (String::new(), Vec::new());
            loop {
                let news = line.chunk().await;
                if news.is_empty() {
                    return;
                }
                bytes.fetch_add(news.len() as u64, Ordering::Relaxed);
                tail.extend_from_slice(news);
                let (reason, sent) = order.lock().unwrap().clone();
                if !reason.is_empty()
                    && heard != reason
                    && tail.windows(reason.len()).any(|part| part == reason.as_bytes())
                {
                    ages.lock().unwrap().push(sent.elapsed());
                    heard = reason;
                }
                tail.drain(..tail.len().saturating_sub(64));
            }
        });
    }
    // The snapshot has been sent once.
    sleep(Duration::from_secs(5)).await;
    let ordering = {
        let (order, token) = (Arc::clone(&order), token.clone());
        tokio::spawn(async move {
            let mut line = Connection::to(address).await;
            let flags = line.order(&token, "GET", "/api/v1/flags?phase=ramping&limit=1", "").await;
            let path = format!("/api/v1/flags/{}", flags["flags"][0]["key"].as_str().unwrap());
            for number in 0_u32.. {
                let reason = format!("followed-{number}-");
                *order.lock().unwrap() = (reason.clone(), Instant::now());
                let what = ["pause", "resume"][number as usize % 2];
                line.order(
                    &token,
                    "POST",
                    &format!("{path}/{what}"),
                    &format!("{{\"reason\":\"{reason}\"}}"),
                )
                .await;
                sleep(ORDERS).await;
            }
        })
    };
    let before = bytes.load(Ordering::Relaxed);
    let busy = share(served, MEASURED).await;
    let rate = (bytes.load(Ordering::Relaxed) - before) as f64 / MEASURED.as_secs_f64() / ROOMS as f64;
    ordering.abort();
    let mut ages = std::mem::take(&mut *ages.lock().unwrap());
    vec![
        Row::new(
            format!("{ROOMS} control rooms, 1 000 flags at speed 10: to each room"),
            format!("{:.1} kB/s", rate / 1e3),
            "",
        ),
        Row::new(
            "the same: processor, without rooms and with them",
            format!("{:.1} % and {:.1} % of a core", alone * 100.0, busy * 100.0),
            "",
        ),
        Row::new(
            format!("the same: from an order to each room ({} times)", ages.len()),
            spread(&mut ages),
            "",
        ),
    ]
}

/// The share of a core that the backend takes for some time.
async fn share(served: &Served, time: Duration) -> f64 {
    let (begun, before) = (Instant::now(), processor_time(served.pid()));
    sleep(time).await;
    processor_time(served.pid()).saturating_sub(before).as_secs_f64() / begun.elapsed().as_secs_f64()
}
