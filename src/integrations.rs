//! Layer 9: where telemetry comes from and where rollouts go.
//!
//! Recorded telemetry is read from files and played back as if it arrived now; what applications send is gathered interval
//! by interval; files of flag definitions are read and watched. Knows nothing of the engine, the screens or the server that
//! stand above it.

mod cryptography;
mod flag_files;
mod otlp;
mod push;
mod recording;
mod webhook;

pub use cryptography::use_ring;
pub use flag_files::{FlagFiles, FlagFilesError, FlagWatch, Stamp};
pub use otlp::{Export, MetricNames, Otlp};
pub use push::{BatchId, Clock, Inlet, Push, PushConfig, Totals};
pub use recording::{Playback, Recording, RecordingError, RecordingOptions, Row};
pub use webhook::{HookFormat, signature};
