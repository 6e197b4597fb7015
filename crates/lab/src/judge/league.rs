//! The league: policies side by side on the same scenarios and seeds.
//!
//! Of each episode a short record is kept, so that any part of them (a fault family, say) can be judged by itself and
//! two policies can be compared scenario by scenario. Intervals are the paired bootstrap's. Which scenarios they were,
//! and who ran them on how many cores, is none of its business; records are taken in the order they come.

mod comparison;
#[cfg(test)]
mod fixture;
mod ledger;
mod record;
mod standing;

pub use self::{
    comparison::{Difference, Share},
    ledger::League,
    record::EpisodeRecord,
    standing::{Intervals, Standing},
};
