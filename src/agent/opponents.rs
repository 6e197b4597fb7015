//! The ways that rollouts are judged today, as opponents to be measured by: each as its product's documentation or its
//! paper describes it, with the product's defaults, and with settings that can be tuned.
//!
//! All stand behind the same shield and see what every policy sees. Where a product leaves a limit to its user, it is set as
//! an owner would: to what is usual for the service ([`usual`]). What products spread over a day or more is spread over
//! half an hour here, half of a generated scenario's hour. Liberties are taken in the opponent's favour, and each file
//! names them. None of them is asked any more at 100 %: what is seen there is the shield's to judge, for everybody.

mod argo;
mod burn_rate;
mod flagger;
mod growthbook;
mod kayenta;
mod launchdarkly;
mod li_mao_bojinov;
mod method;
mod pool;
mod quantile_cs;
mod ramp;
mod ranks;
#[cfg(test)]
mod rehearsal;
mod schedule;
mod settings;
mod statsig;
#[cfg(test)]
mod tests;
mod usual;

use argo::Argo;
use burn_rate::BurnRate;
use flagger::Flagger;
use growthbook::GrowthBook;
use kayenta::Kayenta;
use launchdarkly::LaunchDarkly;
use li_mao_bojinov::LiMaoBojinov;
use method::{Method, Opponent};
use quantile_cs::QuantileCs;
use schedule::Schedule;
use statsig::Statsig;

use super::PolicyName;
use crate::control::Policy;

pub use settings::{Knob, Range, Settings, SettingsError, TUNED};

/// What is done with a method, whichever it is.
#[derive(Clone, Copy)]
pub(super) struct Handle {
    /// What can be tuned about it.
    pub(super) knobs: &'static [Knob],
    /// The policy with the product's settings.
    pub(super) usual: fn() -> Box<dyn Policy>,
    /// A policy of these settings; those left out are the product's.
    pub(super) build: fn(&Settings) -> Result<Box<dyn Policy>, SettingsError>,
}

impl Handle {
    const fn of<M: Method>() -> Self {
        Self {
            knobs: M::KNOBS,
            usual: || Box::new(Opponent::<M>::default()),
            build: |settings| Ok(Box::new(Opponent::<M>::with(settings)?)),
        }
    }

    /// None for a policy that has no settings.
    pub(super) const fn named(name: PolicyName) -> Option<Self> {
        match name {
            PolicyName::PpoMaster | PolicyName::Rule | PolicyName::ShieldAlone | PolicyName::Random => None,
            PolicyName::Schedule => Some(Self::of::<Schedule>()),
            PolicyName::Flagger => Some(Self::of::<Flagger>()),
            PolicyName::Argo => Some(Self::of::<Argo>()),
            PolicyName::Kayenta => Some(Self::of::<Kayenta>()),
            PolicyName::GrowthBook => Some(Self::of::<GrowthBook>()),
            PolicyName::LaunchDarkly => Some(Self::of::<LaunchDarkly>()),
            PolicyName::Statsig => Some(Self::of::<Statsig>()),
            PolicyName::QuantileCs => Some(Self::of::<QuantileCs>()),
            PolicyName::BurnRate => Some(Self::of::<BurnRate>()),
            PolicyName::LiMaoBojinov => Some(Self::of::<LiMaoBojinov>()),
        }
    }
}
