//! Compares policies on the same scenarios and seeds.
//!
//! An [`Episode`](knightwatch_sim::Episode) is one scenario under one policy and one seed. The league compares policies on the same seeds: each gets
//! the same traffic, noise and faults. A recorded session is lived through
//! again under another policy by [`WhatIf`]. How sure a mean is, is said by [`Bootstrap`]. Metrics of a policy, each with its unit, are the
//! fields of [`Standing`].

mod bootstrap;
mod league;
#[cfg(test)]
mod limit_tests;
pub mod small_world;
mod what_if;

pub use bootstrap::{Bootstrap, Estimate};
pub use league::{Difference, EpisodeRecord, Intervals, League, Share, Standing};
pub use what_if::{Both, Divergence, Session, SkippedOrder, TakenAction, Totals, WhatIf, WhatIfError};
