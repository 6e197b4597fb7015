//! Layer 6: runs policies over scenarios and says how they did.
//!
//! An episode is one scenario under one policy and one seed, on the same tick, evidence and shield as production, and
//! is judged by the simulator's truth, which no policy sees. The league compares policies on the same seeds: each gets
//! the same traffic, noise and faults. What else knows its truth can be a [`Stage`] too. A recorded session is lived through
//! again under another policy by [`WhatIf`]. What an episode cost is said by [`Cost`], with the weights of
//! `config/judge.toml`; how sure a mean is, by [`Bootstrap`]. Metrics of a policy, each with its unit, are the
//! fields of [`Standing`].

mod bootstrap;
mod cost;
mod episode;
mod league;
mod life;
mod limit;
pub mod small_world;
mod stage;
mod what_if;

pub use bootstrap::{Bootstrap, Estimate};
pub use cost::{Cost, CostError, IntervalCost, WEIGHTS};
pub use episode::{Episode, FlagResult};
pub use league::{Difference, Intervals, League, Record, Share, Standing};
pub use limit::Limit;
pub use stage::Stage;
pub use what_if::{Both, Deed, Moot, Parting, Session, Totals, WhatIf, WhatIfError};
