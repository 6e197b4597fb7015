//! The policies that may steer: PPO-Master's inference, and the ones beside it.
//!
//! Each policy reads observations and proposes; none of them can act. A policy modelled on a product uses its
//! defaults and cites the source. Pure, as the core is.

mod choice;
mod comparison;
pub mod explain;
mod feature;
mod harm_weight;
mod memory;
mod network;
mod policies;
mod ppo_master;
mod random;
mod rule;
mod shield_alone;
pub mod training;
pub mod tunable;
mod weights;

pub use choice::{CHOICES, Choice, legal};
pub use comparison::real;
pub use feature::{FEATURE_COUNT, FEATURES, Feature, Features, Unit, features, schema_hash};
pub use harm_weight::{HarmWeight, InvalidHarmWeight, REFERENCE_RATE};
pub use memory::Memory;
pub use network::{HIDDEN, Network, NetworkOutput, Parameters, probabilities};
pub use policies::{PolicyName, PolicyRow, UnknownPolicy};
pub use ppo_master::{MAX_EXPLAINED, PpoMaster};
pub use random::Random;
pub use rule::Rule;
pub use shield_alone::ShieldAlone;
pub use tunable::{Knob, Range, Settings, SettingsError};
pub use weights::{Normaliser, WORLD, Weights, WeightsError};
