//! Layer 6: runs policies over scenarios and says how they did.
//!
//! An episode is one scenario under one policy and one seed, on the same tick, evidence and shield as production, and
//! is judged by the simulator's truth, which no policy sees. The league compares policies on the same seeds: each gets
//! the same traffic, noise and faults.

mod cost;
mod episode;
mod league;

pub use cost::{Cost, CostError, IntervalCost, WEIGHTS};
pub use episode::{Episode, FlagResult};
pub use league::{League, Standing};
