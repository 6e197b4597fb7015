//! Where telemetry comes from: the outside world.
//!
//! What applications send is gathered interval by interval; files of flag definitions are read and watched; webhooks are
//! written. Knows nothing of the engine, the screens or the server that stand above it.

mod cryptography;
mod flag_files;
mod otlp;
mod push;
mod webhook;

pub use cryptography::use_ring;
pub use flag_files::{FlagFiles, FlagFilesError, FlagWatch, Stamp};
pub use otlp::{Export, MetricNames, Otlp};
pub use push::{BatchId, Clock, Inlet, Push, PushConfig, Totals};
pub use webhook::{HookFormat, signature};
