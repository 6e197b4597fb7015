//! Learning (feature `train`): the only module that knows `tch`.
//!
//! ```text
//! environment -> Rollout -> Ppo::update -> parameters -> ActorWeights -> agent
//!                              |
//!                              +-> UpdateStats, checkpoint
//! ```
//!
//! Rollouts are made elsewhere, in plain Rust; here they are learnt from. `cartpole` is the proof on a known problem that
//! this PPO is PPO.

mod adam;
mod advantage;
pub mod cartpole;
mod checkpoint;
mod config;
mod error;
mod loss;
mod net;
mod ppo;
mod price;
mod random;
mod rollout;
mod rollouts;
mod run;
mod scaling;
mod session;
pub mod small_world;
mod stats;
mod survey;
mod training;
mod validation;

pub use advantage::{Estimates, estimate, explained_variance};
pub use config::{PpoConfig, RateSchedule, Schedule, ValueLoss};
pub use error::LearnError;
pub use net::{ActorWeights, MASKED};
pub use ppo::Ppo;
pub use random::{Purpose, generator, uniform};
pub use rollout::{Rollout, Segment, Shape, Tail};
pub use run::{Best, Pace, Run};
pub use scaling::{Normaliser, RewardScaler};
pub use session::{Session, log_file, weights_file};
pub use stats::UpdateStats;
pub use training::{TRAINING, TrainingConfig};
pub use validation::Score;
