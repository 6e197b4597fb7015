//! Recorded telemetry, from the files in `assets/recordings` and from files that are broken on purpose.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};

use knightwatch_lab::recording::{Recording, RecordingError, RecordingOptions};

mod judged;
mod played;
mod refused;
mod steered;

const NEZHA: &str = "nezha/2022-08-22-front_service.csv";
const PETSHOP: &str = "petshop/high_traffic";
const NAB: &str = "nab/ec2_request_latency_system_failure.csv";

const NEZHA_HEADER: &str =
    "Time,TimeStamp,ServiceName,SuccessRate(%),LatencyP50(s),LatencyP90(s),LatencyP95(s),LatencyP99(s)";

fn asset(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/recordings").join(name)
}

fn load(path: &Path) -> Result<Recording, RecordingError> {
    Recording::load(path, &RecordingOptions::default())
}

fn recorded(name: &str) -> Recording {
    load(&asset(name)).unwrap_or_else(|error| panic!("{error}"))
}

/// A Nezha row, `minute` minutes in.
fn nezha_row(minute: u64, success: &str, latencies: &str) -> String {
    format!("t,{},Frontend,{success},{latencies}\n", 1_661_140_260 + minute * 60)
}
