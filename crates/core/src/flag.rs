//! What a feature flag is, and who gets it.
//!
//! Holds flag keys, the rollout in basis points, bucketing and evaluation. Knows nothing of time, telemetry or who
//! decides: the same few functions answer an application's question in production and in the simulator.

mod bucket;
pub mod definition;
mod key;
mod rollout;
mod spec;
mod text;

pub use bucket::{BUCKETS, Variant, bucket, evaluate};
pub use key::{FlagKey, KeyError};
pub use rollout::{Ladder, LadderError, Rollout, RolloutError};
pub use spec::{Deployment, FlagId, FlagKind, FlagSpec, ServiceName};
pub use text::{MAX_TEXT, clean, clean_line, clean_whole, is_hostile};
