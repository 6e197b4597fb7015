//! The ledger of one policy: the records of its episodes, in the order in which they came.
//!
//! Any part of it is a ledger again, so that a fault family can be judged by itself. It must not know what is computed
//! from the records.

use super::record::EpisodeRecord;

/// The records of one policy.
#[derive(Clone, Debug, Default)]
pub struct League {
    pub(super) policy: String,
    pub(super) records: Vec<EpisodeRecord>,
}

impl League {
    /// For the policy of this name.
    #[must_use]
    pub fn of(policy: &str) -> Self {
        Self { policy: policy.to_owned(), records: Vec::new() }
    }

    /// Takes an episode's record. Policies that are to be compared take theirs in the same order of scenarios.
    pub fn add(&mut self, record: EpisodeRecord) {
        self.records.push(record);
    }

    /// The policy's name.
    #[must_use]
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// The records of those episodes whose number, counted from 0, is `among`.
    #[must_use]
    pub fn part(&self, among: impl Fn(usize) -> bool) -> Self {
        let records = self.records.iter().enumerate().filter(|(index, _)| among(*index));
        Self { policy: self.policy.clone(), records: records.map(|(_, record)| record.clone()).collect() }
    }

    /// The cost of each episode in points, in the order in which they came.
    #[must_use]
    pub fn costs(&self) -> Vec<f64> {
        self.records.iter().map(|record| record.cost).collect()
    }

    /// The harm of each episode in points, in the same order.
    pub(super) fn harms(&self) -> Vec<f64> {
        self.records.iter().map(|record| record.harm).collect()
    }
}
