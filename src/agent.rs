//! Layer 4: policies. What steers now are rules; PPO-Master will stand behind the same trait.
//!
//! Each policy reads observations and proposes; none of them can act. Each is also an opponent to be measured by, so
//! what is taken from a product is what that product does by default, with its source.

mod catalogue;
mod flagger;
mod random;
mod rule;
mod schedule;
pub mod training;

pub use catalogue::{PolicyName, UnknownPolicy};
pub use flagger::Flagger;
pub use random::Random;
pub use rule::Rule;
pub use schedule::Schedule;
