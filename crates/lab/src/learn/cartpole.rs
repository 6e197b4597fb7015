//! CartPole-v1 (Barto, Sutton and Anderson 1983), as Gymnasium has it: the problem on which the world knows how fast PPO
//! learns. It is the proof that this PPO is PPO, and knows nothing of flags.

mod pole;
mod solve;

pub use pole::{CartPole, End};
#[cfg(test)]
pub(in crate::learn) use solve::Carts;
pub use solve::{Preset, Report, SOLVED, Settings, solve};
