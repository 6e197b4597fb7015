//! What all opponents have in common: settings, and a memory of each flag that restarts with each ramp.

use std::collections::BTreeMap;

use serde::{Serialize, de::DeserializeOwned};

use super::settings::{Knob, Settings, SettingsError};
use knightwatch_core::{
    control::{Action, Observation, Policy, PolicyFault, Proposal},
    flag::FlagId,
};

/// One way to judge a rollout. Its value is its settings, `Default` the product's.
pub trait Method: Default + Send + Serialize + DeserializeOwned + 'static {
    /// Its name.
    const NAME: &'static str;
    /// What can be tuned about it, and between which bounds.
    const KNOBS: &'static [Knob];
    /// What it remembers of a flag within a ramp.
    type Memory: Default + Send;

    /// What it wants of a flag. Asked once each control interval.
    fn act(&self, memory: &mut Self::Memory, seen: &Observation<'_>) -> Action;
}

/// A method at work.
#[derive(Default)]
pub struct Opponent<M: Method> {
    method: M,
    /// With the ramp that it is of.
    memories: BTreeMap<FlagId, (u32, M::Memory)>,
}

impl<M: Method> Opponent<M> {
    /// With these settings; what they leave out is the product's.
    ///
    /// # Errors
    /// A setting that the method does not have, or out of its bounds.
    pub fn with(settings: &Settings) -> Result<Self, SettingsError> {
        Ok(Self { method: settings.read(M::NAME, M::KNOBS)?, memories: BTreeMap::new() })
    }
}

impl<M: Method> Policy for Opponent<M> {
    fn name(&self) -> &str {
        M::NAME
    }

    fn propose(
        &mut self,
        observations: &[Observation<'_>],
        proposals: &mut Vec<Proposal>,
    ) -> Result<(), PolicyFault> {
        for seen in observations {
            let (ramp, memory) = self.memories.entry(seen.flag).or_default();
            if *ramp != seen.ramp {
                (*ramp, *memory) = (seen.ramp, M::Memory::default());
            }
            proposals.push(Proposal::to(self.method.act(memory, seen)));
        }
        Ok(())
    }
}
