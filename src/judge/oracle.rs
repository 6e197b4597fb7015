//! The oracle: what can be had at best behind the same shield by somebody who knows the truth of the world.
//!
//! A flag that does harm, now or later, is rolled back the first time that the shield allows it; any other is raised as fast
//! as it may be. It is a limit and no opponent: no [`Observation`] holds what it knows, so that only the episode, which
//! has the world, can let it play.

use crate::{
    control::{Action, Observation, Policy, PolicyFault, Proposal},
    sim::Truth,
};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Oracle {
    /// By flag, as of the last interval.
    harmful: Vec<bool>,
}

impl Oracle {
    /// Tells it the truth of the interval just lived through.
    pub(super) fn learn(&mut self, truths: &[Truth]) {
        self.harmful.clear();
        self.harmful.extend(truths.iter().map(|truth| truth.harmful));
    }
}

impl Policy for Oracle {
    fn name(&self) -> &'static str {
        "oracle"
    }

    fn propose(
        &mut self,
        observations: &[Observation<'_>],
        proposals: &mut Vec<Proposal>,
    ) -> Result<(), PolicyFault> {
        proposals.extend(observations.iter().map(|seen| {
            let harmful = self.harmful.get(seen.flag.index()).copied().unwrap_or(false);
            Proposal::to(if harmful {
                Action::RollBack
            } else {
                seen.mask.raise_to.map_or(Action::Hold, Action::RaiseTo)
            })
        }));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Cost, Episode, Record};
    use crate::{
        agent::PolicyName,
        control::ControlConfig,
        sim::{Family, Generator, Split},
    };

    /// Worlds of one family under the oracle and under the fixed schedule.
    fn records(family: Family) -> Vec<[Record; 2]> {
        let (cost, config) = (Cost::default(), ControlConfig::default());
        let generator = Generator { families: vec![family], ..Generator::new(Split::Training) };
        let both = |number| {
            let (seed, (_, scenario)) = (generator.seed(number), generator.scenario(number));
            let oracle = Episode::run_oracle(&cost, &scenario, seed, &config, |_| {});
            assert_eq!(oracle.fault(), None);
            let mut schedule = PolicyName::Schedule.build(seed);
            let schedule = Episode::run_at(&cost, &scenario, seed, schedule.as_mut(), &config, |_| {});
            [Record::from(&oracle), Record::from(&schedule)]
        };
        (0..12).map(both).collect()
    }

    #[test]
    fn it_rolls_back_what_is_bad_within_a_minute_and_never_what_is_good() {
        let records = records(Family::ErrorLater);
        let sum = |of: fn(&Record) -> f64, who: usize| records.iter().map(|both| of(&both[who])).sum::<f64>();
        assert!(records.iter().map(|both| both[0].bad_requests.len()).sum::<usize>() >= 4, "{records:?}");
        for [oracle, _] in &records {
            assert_eq!((oracle.missed, oracle.false_rollbacks), (0, 0), "{oracle:?}");
            assert!(oracle.to_rollback.iter().all(|minutes| *minutes <= 1.0), "{oracle:?}");
        }
        let cost = |who| sum(|record| record.cost, who);
        assert!(cost(0) < cost(1) / 2.0, "the oracle pays {}, the schedule {}", cost(0), cost(1));
    }

    #[test]
    fn a_healthy_flag_is_out_sooner_than_by_the_schedule() {
        for [oracle, schedule] in records(Family::Healthy) {
            let minutes = |record: &Record| record.to_full.iter().copied().fold(0.0, f64::max);
            assert!(oracle.to_full.len() >= schedule.to_full.len());
            if oracle.to_full.len() == schedule.to_full.len() {
                assert!(minutes(&oracle) <= minutes(&schedule), "{oracle:?} {schedule:?}");
            }
        }
    }
}
