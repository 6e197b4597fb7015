//! Comparisons of two policies on the same scenarios and seeds, each with its 95 % interval.
//!
//! Both policies had the same traffic, noise and faults, so records are compared in pairs: that removes most of the
//! variance. A comparison must not know which scenarios they were.

use serde::Serialize;

use super::{ledger::League, standing::TAIL};
use crate::judge::{Bootstrap, Estimate};

/// What a policy cost more than another on the same scenarios; negative where it cost less.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Difference {
    /// The other.
    pub policy: String,
    /// In points an episode, with its 95 % interval.
    pub cost: Estimate,
    /// The same of harm.
    pub harm: Estimate,
}

/// A policy's bad requests as a part of another's on the same scenarios: below 1 is fewer.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Share {
    /// The other.
    pub policy: String,
    /// Of all, with its 95 % interval.
    pub bad_requests: Estimate,
    /// Of those of the worst 5 % of bad flags under each (`CVaR95`).
    pub bad_requests_cvar95: Estimate,
}

impl League {
    /// The part of the way from a baseline's cost to the oracle's that this policy goes, with its 95 % interval:
    /// `(C_base - C) / (C_base - C_oracle)`, 1 for the oracle and below 0 for who is worse than the baseline. All three
    /// played the same scenarios. None where they have not as many records, or the oracle is no better than the baseline.
    #[must_use]
    pub fn closed(&self, base: &Self, oracle: &Self) -> Option<Estimate> {
        let [own, base, oracle] = [self, base, oracle].map(Self::costs);
        if own.len() != base.len() || own.len() != oracle.len() {
            return None;
        }
        let terms = own.iter().zip(&base).zip(&oracle);
        let terms: Vec<_> = terms.map(|((own, base), oracle)| (base - own, base - oracle)).collect();
        Bootstrap::default().ratio(&terms)
    }

    /// The bad requests under this policy as a part of those under `other` on the same scenarios. None where they have not as
    /// many records, or the other has none.
    #[must_use]
    pub fn share_of(&self, other: &Self) -> Option<Share> {
        let bootstrap = Bootstrap::default();
        let own = || self.records.iter().map(|record| record.bad_requests.as_slice());
        let others = || other.records.iter().map(|record| record.bad_requests.as_slice());
        if own().len() != others().len() {
            return None;
        }
        let terms: Vec<(f64, f64)> =
            own().zip(others()).map(|(own, others)| (own.iter().sum(), others.iter().sum())).collect();
        Some(Share {
            policy: other.policy.clone(),
            bad_requests: bootstrap.ratio(&terms)?,
            bad_requests_cvar95: bootstrap.tails_ratio(own(), others(), TAIL)?,
        })
    }

    /// What this policy cost more than `other` on the same scenarios. None where they have not as many records, or
    /// none.
    #[must_use]
    pub fn against(&self, other: &Self) -> Option<Difference> {
        let bootstrap = Bootstrap::default();
        Some(Difference {
            policy: other.policy.clone(),
            cost: bootstrap.difference(&self.costs(), &other.costs())?,
            harm: bootstrap.difference(&self.harms(), &other.harms())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{super::fixture::league, *};
    use crate::judge::EpisodeRecord;

    #[test]
    fn bad_requests_are_a_part_of_another_s_on_the_same_worlds() {
        let records = |times: f64| {
            (1..=40).map(move |index| EpisodeRecord {
                bad_requests: vec![times * f64::from(index * index)],
                ..EpisodeRecord::default()
            })
        };
        let share = league("one", records(0.25)).share_of(&league("other", records(1.0))).unwrap();
        assert_eq!(share.policy, "other");
        assert_eq!(
            [share.bad_requests, share.bad_requests_cvar95],
            [Estimate { mean: 0.25, low: 0.25, high: 0.25 }; 2]
        );
        assert_eq!(league("one", records(1.0)).share_of(&league("none", records(0.0))), None);
        assert_eq!(league("one", records(1.0)).share_of(&league("few", records(1.0).take(3))), None);
    }

    #[test]
    fn the_gap_is_from_the_baseline_to_the_oracle() {
        let costs = |costs: [f64; 3]| costs.map(|cost| EpisodeRecord { cost, ..EpisodeRecord::default() });
        let base = league("base", costs([100.0, 300.0, 10.0]));
        let oracle = league("oracle", costs([20.0, 100.0, 10.0]));
        let closed = |league: &League| league.closed(&base, &oracle).unwrap();
        assert_eq!(closed(&oracle), Estimate { mean: 1.0, low: 1.0, high: 1.0 });
        assert_eq!(closed(&base), Estimate::default());
        let own = closed(&league("own", costs([60.0, 150.0, 17.0])));
        assert!((own.mean - (40.0 + 150.0 - 7.0) / 280.0).abs() < 1e-12, "{own:?}");
        assert!(own.low < own.mean && own.mean < own.high);
        assert_eq!(base.closed(&oracle, &base), None, "the oracle is the worse one");
        assert_eq!(base.closed(&base, &oracle.part(|index| index < 2)), None);
    }

    #[test]
    fn a_difference_is_paired_and_of_the_same_scenarios_only() {
        let records = |extra: f64| {
            (0..30).map(move |index| EpisodeRecord {
                cost: f64::from(index * index) + extra,
                harm: f64::from(index),
                ..EpisodeRecord::default()
            })
        };
        let (one, other) = (league("one", records(-3.0)), league("other", records(0.0)));
        let difference = one.against(&other).unwrap();
        assert_eq!(difference.policy, "other");
        assert_eq!(difference.cost, Estimate { mean: -3.0, low: -3.0, high: -3.0 });
        assert_eq!(difference.harm, Estimate::default());
        assert_eq!(one.part(|index| index < 5).against(&other), None);
        assert_eq!(one.part(|index| index < 5).standing().episodes, 5);
    }
}
