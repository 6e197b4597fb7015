//! Flags to measure on: a file of definitions that are all steered, brought under control and started.

use std::{fs, path::Path};

use serde_json::json;

use crate::{
    connection::{Connection, address, until},
    served::Served,
};

/// Orders under way at once.
const AT_ONCE: usize = 16;

/// The key of a flag.
pub(crate) fn key(index: usize) -> String {
    format!("flag-{index}")
}

/// A file of so many definitions, and a configuration under which all of them may be started within a minute.
pub(crate) fn define(folder: &Path, flags: usize) -> (String, String) {
    let flags: serde_json::Map<_, _> = (0..flags)
        .map(|index| {
            let metadata = json!({ "knightwatch.service": format!("service-{}", index % 10) });
            let flag = json!({
                "state": "ENABLED", "variants": { "on": true, "off": false }, "defaultVariant": "off", "metadata": metadata,
            });
            (key(index), flag)
        })
        .collect();
    let path = folder.join("flags.json");
    fs::write(&path, json!({ "flags": flags }).to_string()).unwrap();
    let config = folder.join("config.toml");
    fs::write(&config, "[control.shield.exposure]\nper_service = 100000.0\nfleet = 100000.0\n").unwrap();
    (path.to_str().unwrap().to_owned(), config.to_str().unwrap().to_owned())
}

/// Waits until `flags` are under control.
pub(crate) async fn controlled(served: &Served, flags: usize) {
    until(served, |status| {
        let phases = status["phases"].as_object().unwrap();
        phases.values().map(|count| count.as_u64().unwrap()).sum::<u64>() >= flags as u64
    })
    .await;
}

/// Starts flags `0..flags`.
pub(crate) async fn start(served: &Served, flags: usize) {
    let lanes = (0..AT_ONCE).map(|lane| async move {
        let (mut line, token) = (Connection::to(address(served.url())).await, served.token());
        for index in (lane..flags).step_by(AT_ONCE) {
            line.order(&token, "POST", &format!("/api/v1/flags/{}/start", key(index)), "{}").await;
        }
    });
    futures::future::join_all(lanes).await;
}
