//! The trait that PPO-Master and every baseline stand behind.

use thiserror::Error;

use super::{Observation, Proposal};

/// Why a policy gave no usable proposals. The agent then holds everywhere; the shield still rolls back.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PolicyFault {
    /// It panicked.
    #[error("the policy panicked: {0}")]
    Panicked(String),
    /// It did not answer in time.
    #[error("the policy did not answer within {0}")]
    Stalled(crate::telemetry::Millis),
    /// It answered something that is not a proposal for each observation.
    #[error("the policy's answer makes no sense: {0}")]
    Nonsense(String),
    /// It has no weights that it could answer from.
    #[error("the policy has no usable weights: {0}")]
    Unfit(String),
}

impl PolicyFault {
    /// From what a caught panic carried.
    #[must_use]
    pub fn panicked(panic: &(dyn std::any::Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Self::Panicked(crate::flag::clean_line(text.unwrap_or("no message")))
    }
}

/// Decides what it would like done. The shield decides what is done.
pub trait Policy: Send {
    /// Its name, as the screen and the journal show it.
    fn name(&self) -> &str;

    /// Writes one proposal for each observation, in the same order, into `proposals` (empty on entry).
    ///
    /// # Errors
    /// When it cannot propose; everything then holds. A panic is caught by the tick and means the same.
    fn propose(
        &mut self,
        observations: &[Observation<'_>],
        proposals: &mut Vec<Proposal>,
    ) -> Result<(), PolicyFault>;
}

impl<P: Policy + ?Sized> Policy for Box<P> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn propose(
        &mut self,
        observations: &[Observation<'_>],
        proposals: &mut Vec<Proposal>,
    ) -> Result<(), PolicyFault> {
        (**self).propose(observations, proposals)
    }
}
