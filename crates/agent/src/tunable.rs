//! Policies with settings that can be tuned: a method, its settings and what it remembers of each flag.
//!
//! The fixed schedule and Flagger stand here because they may steer. The research lab adds the policies that exist only to be
//! compared with; they use the same parts.
//!
//! All stand behind the same shield and see what every policy sees. Where a product leaves a limit to its user, it is set as
//! an owner would: to what is usual for the service ([`default_limits`]). What products spread over a day or more is spread over
//! half an hour here, half of a generated scenario's hour. Liberties are taken in the opponent's favour, and each file
//! names them. None of them is asked any more at 100 %: what is seen there is the shield's to judge, for everybody.

pub mod default_limits;
mod flagger;
mod method;
pub mod ramp;
pub mod rehearsal;
mod schedule;
mod settings;
#[cfg(test)]
mod tests;

use knightwatch_core::control::Policy;

use super::policies::PolicyRow;

pub use flagger::Flagger;
pub use method::{Method, Opponent};
pub use schedule::Schedule;
pub use settings::{Knob, Range, Settings, SettingsError};

/// How a policy with settings is built, whichever it is.
#[derive(Clone, Copy, Debug)]
pub struct Tunable {
    /// The settings that can be tuned.
    pub knobs: &'static [Knob],
    /// Builds the policy with these settings; those left out have their defaults.
    pub build: fn(&Settings) -> Result<Box<dyn Policy>, SettingsError>,
}

impl PolicyRow {
    /// The row of a policy whose method has settings.
    #[must_use]
    pub const fn tunable<M: Method>(name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            about,
            build: |_| Box::new(Opponent::<M>::default()),
            tunable: Some(Tunable {
                knobs: M::KNOBS,
                build: |settings| Ok(Box::new(Opponent::<M>::with(settings)?)),
            }),
        }
    }
}
