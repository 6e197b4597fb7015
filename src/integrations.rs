//! Layer 9: where telemetry comes from and where rollouts go.
//!
//! Recorded telemetry is read from files and played back as if it arrived now; files of flag definitions are read and watched. Knows nothing of the engine, the
//! screens or the server that stand above it.

mod flag_files;
mod recording;

pub use flag_files::{FlagFiles, FlagFilesError, FlagWatch};
pub use recording::{Playback, Recording, RecordingError, RecordingOptions, Row};
