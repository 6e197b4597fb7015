//! The world that flags are rolled out in, when it is not the real one.
//!
//! Services with traffic, latencies and errors; flags whose treatment does good, nothing or harm; telemetry that loses,
//! delays and garbles; all written down as a [`Scenario`] and run as a [`World`]. The embedded control room,
//! `simulate`, the judge and training run on it. No clock, no disk, no policy in here: the same scenario and seed give
//! the same bytes on any machine.
//!
//! ```text
//! TOML -> Scenario -> World::step(rollouts) -> Feed (what telemetry saw)
//!                                           -> Truth (what was so; for the judge, never for a policy)
//! ```

mod cost;
mod detectable;
mod effect;
mod environment;
mod episode;
mod generate;
mod library;
mod limit;
mod noise;
mod parse;
mod problem;
mod reader;
pub mod runner;
mod scenario;
mod service;
mod shape;
mod shift;
mod truth;
mod wire;
mod world;

pub use cost::{Cost, CostError, IntervalCost, WEIGHTS};
pub use detectable::DETECTABLE;
pub use effect::{HARMFUL_ERRORS, HARMFUL_P99};
pub use environment::{Environment, Simulated};
pub use episode::{Episode, FlagResult};
pub use generate::{Curriculum, Family, Generator, HORIZON, Split, UnknownFamily};
pub use limit::{Knowing, Limit};
pub use noise::mix;
pub use parse::MAX_SCENARIO_BYTES;
pub use problem::{Problem, ScenarioError};
pub use scenario::{
    Bursts, Effect, FlagModel, LatencyModel, Outage, Scenario, ScheduledStart, ServiceModel, Wave, WireModel,
};
pub use shift::{Shift, UnknownShift};
pub use truth::Truth;
pub use world::World;
