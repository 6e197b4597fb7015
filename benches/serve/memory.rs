//! Memory with ten thousand flags after an hour of simulated telemetry.

use std::{fs, time::Instant};

use knightwatch_sim::Scenario;

use crate::{Row, connection::until, process::memory, served::Served, told};

const HOUR: u64 = 3_600_000;

pub(crate) fn measured() -> Vec<Row> {
    let folder = tempfile::tempdir().unwrap();
    let text = Scenario::builtin("fleet-1000").unwrap();
    // Ten times as many of the good ones, which begin as early.
    let text =
        text.replace("replicate = 97", "replicate = 997").replace("stagger = \"20 s\"", "stagger = \"2 s\"");
    let path = folder.path().join("fleet-10000.toml");
    fs::write(&path, text).unwrap();
    let served = Served::start(&["--scenario", path.to_str().unwrap(), "--speed", "3600"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let begun = Instant::now();
    runtime.block_on(async {
        let first = std::cell::Cell::new(None);
        until(&served, |status| {
            let now = status["now"].as_u64().unwrap();
            let flags: u64 =
                status["phases"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
            assert_eq!(flags, 10_000);
            let start = first.get().unwrap_or(now);
            first.set(Some(start));
            now >= start + HOUR
        })
        .await;
    });
    let journal = fs::metadata(served.journal()).unwrap().len() as f64 / 1e6;
    vec![
        Row::new(
            "10 000 flags after an hour of simulated telemetry: memory now and at most",
            format!("{:.0} MB, {:.0} MB", memory(served.pid(), "VmRSS"), memory(served.pid(), "VmHWM")),
            "",
        ),
        Row::new("the same: took; journal", format!("{}; {journal:.1} MB", told(begun.elapsed())), ""),
    ]
}
