//! Layer 9: where telemetry comes from and where rollouts go.
//!
//! Recorded telemetry is read from files and played back as if it arrived now. Knows nothing of the engine, the
//! screens or the server that stand above it.

mod recording;

pub use recording::{Playback, Recording, RecordingError, RecordingOptions, Row};
