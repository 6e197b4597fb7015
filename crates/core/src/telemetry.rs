//! What is measured, and what it says.
//!
//! Samples come in per flag, arm and interval; windows hold the recent ones; evidence compares treatment with control
//! by tests that may be looked at after every interval; a verdict sums it up. Knows nothing of policies or phases.

mod baseline_monitor;
mod buckets;
mod evidence;
mod feed;
mod histogram;
mod limits;
mod normal;
mod reference;
mod report;
mod sample;
mod sequential;
mod time;
mod verdict;
mod window;

pub use baseline_monitor::BaselineBreach;
pub use buckets::at_middles;
pub use evidence::{EvidenceConfig, MetricEvidence};
pub use feed::Feed;
pub use histogram::{BUCKET_COUNT, Histogram, bucket_of, lower_edge_ms};
pub use limits::{Breach, HardLimits, Metric};
pub use normal::{normal_quantile, normal_share};
pub use report::{ArmStats, WindowReport};
pub use sample::MAX_REQUESTS;
pub use sample::{Arm, Reading, Rejection, Sample};
pub use sequential::{Counts, HarmTest, HealthTest, RATIOS, difference_interval, mixture_half_width, spend};
pub use time::{Millis, parse_duration};
pub use verdict::Verdict;
pub use window::{Context, Window};
