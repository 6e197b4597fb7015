//! Who may do what to a flag, and when.
//!
//! State is the fold of events and nothing else. [`decide`] turns a person's command into events, [`tick`] turns
//! samples and a policy's proposals into events; [`State::apply`] is the only thing that changes state. The shield has the last
//! word on every write. Knows nothing of the network, the disk, a clock, or which policy steers.

mod action;
mod alarm;
mod apply;
mod command;
mod config;
mod decide;
mod deployment;
mod event;
mod explanation;
mod moment;
mod observation;
mod order;
mod parameter;
mod phase;
mod policy;
mod reason;
mod refusal;
mod report_text;
mod scope;
mod shadow;
mod shield;
mod spec_change;
mod state;
mod telemetry_state;
mod tick;
mod watch;

pub use action::{Action, ActionMask, Outcome, Proposal};
pub use alarm::{Alarm, AlarmId, AlarmKind, Priority, Shelf};
pub use command::{Command, ORDERS};
pub use config::{ControlConfig, ExposureLimits, FreezeWindow, RearmConfig, ShieldConfig};
pub use decide::{Granted, decide};
pub use deployment::{DeployKind, Deployed, Waiting};
pub use event::{Actor, Decision, Entry, Event, Happened, Seq};
pub use explanation::Explanation;
pub use moment::Moment;
pub use observation::Observation;
pub use order::{
    Confirmation, HttpMethod, Offer, Order, OrderId, OrderSpec, OrderTarget, PaletteEntry, ReasonGiven, Seen,
    SeenFlag,
};
pub use parameter::{Argument, Parameter, Presence, ValueKind};
pub use phase::Phase;
pub use policy::{Policy, PolicyFault, PolicySettings, policy_in_words};
pub use reason::Reason;
pub use reason::grouped;
pub use refusal::Refusal;
pub use scope::Scope;
pub use shadow::Shadow;
pub use shield::{Ruling, Shield};
pub use spec_change::SpecChange;
pub use spec_change::present;
pub use state::{Archived, FlagState, Hold, LastAction, Latch, RearmAsked, Recheck, State};
pub use telemetry_state::{FlagTelemetry, TelemetryState};
pub use tick::{held, tick};
