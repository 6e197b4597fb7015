//! knightwatch's research lab: policies compared, tuned and trained.
//!
//! ```text
//!   judge       episodes side by side: leagues, intervals, what if, the small world
//!   opponents   the ways that rollouts are judged today; nobody may steer with them
//!   recording   recorded telemetry of real systems, as a source and as an environment for the judge
//!   learn       PPO on libtorch, and the training (feature `train`)
//!   cli         the command line of `knightwatch-lab`
//! ```
//!
//! The lab may use every crate and the root library; nothing uses the lab.

pub mod cli;
pub mod judge;
#[cfg(feature = "train")]
pub mod learn;
pub mod opponents;
pub mod recording;
