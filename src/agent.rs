//! Layer 4: policies: PPO-Master, and the ones it is measured by.
//!
//! Each policy reads observations and proposes; none of them can act. Each is also an opponent to be measured by, so
//! what is taken from a product is what that product does by default, with its source.

mod catalogue;
mod choice;
pub mod explain;
mod feature;
mod memory;
mod network;
mod opponents;
mod ppo_master;
mod random;
mod rule;
mod shield_alone;
mod taste;
pub mod training;
mod weights;

pub use catalogue::{PolicyName, UnknownPolicy};
pub use choice::{CHOICES, Choice, legal};
pub use feature::{FEATURE_COUNT, FEATURES, Feature, Features, Unit, features, schema_hash};
pub use memory::Memory;
pub use network::{Answer, HIDDEN, Network, Parameters, probabilities};
pub use opponents::{Knob, Range, Settings, SettingsError, TUNED};
pub use ppo_master::{MOST_EXPLAINED, PpoMaster};
pub use random::Random;
pub use rule::Rule;
pub use shield_alone::ShieldAlone;
pub use taste::{NoTaste, Taste, USUAL_RATE};
pub use weights::{Normaliser, WORLD, Weights, WeightsError};
