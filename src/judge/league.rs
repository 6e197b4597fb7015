//! The league: policies side by side on the same scenarios and seeds.
//!
//! Of each episode a short record is kept, so that any part of them (a fault family, say) can be judged by itself and
//! two policies can be compared scenario by scenario. Intervals are the paired bootstrap's. Which scenarios they were,
//! and who ran them on how many cores, is none of its business; records are taken in the order they come.

use serde::Serialize;

use super::{Bootstrap, Episode, Estimate, bootstrap::quantile};
use crate::telemetry::Millis;

/// The share of scenarios that harm's tail is taken over: `CVaR95`.
const TAIL: f64 = 0.05;

/// What the league remembers of one episode.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// Harmful flags that were started.
    pub bad_flags: u32,
    /// Failed requests beyond control's rate that those caused.
    pub bad_requests: f64,
    /// Harmful flags that were never rolled back.
    pub missed: u32,
    /// Harmless flags that were started.
    pub good_flags: u32,
    /// Harmless flags that were rolled back.
    pub false_rollbacks: u32,
    /// Minutes from start to 100 % of the harmless flags that got there.
    pub to_full: Vec<f64>,
    /// Minutes from start to the rollback of the harmful flags that were rolled back.
    pub to_rollback: Vec<f64>,
    /// Vetoed or clipped proposals that were journalled.
    pub vetoes: u64,
    /// Decisions that the policy was asked for.
    pub flag_steps: u64,
    /// What users suffered, over all flags, in points (`config/judge.toml`).
    pub harm: f64,
    /// All it cost, over all flags, in points.
    pub cost: f64,
}

impl From<&Episode> for Record {
    fn from(episode: &Episode) -> Self {
        let mut record = Self { vetoes: episode.vetoes, flag_steps: episode.flag_steps, ..Self::default() };
        for flag in &episode.flags {
            let Some(started) = flag.started_at else { continue };
            let minutes = |at: Millis| at.since(started).as_secs_f64() / 60.0;
            record.harm += flag.harm;
            record.cost += flag.total_points();
            if flag.harmful {
                record.bad_flags += 1;
                record.bad_requests += flag.bad_requests;
                match flag.rolled_back_at {
                    Some(at) => record.to_rollback.push(minutes(at)),
                    None => record.missed += 1,
                }
            } else {
                record.good_flags += 1;
                record.false_rollbacks += u32::from(flag.rolled_back_at.is_some());
                record.to_full.extend(flag.complete_at.map(minutes));
            }
        }
        record
    }
}

/// How one policy did over all its episodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Standing {
    /// Its name.
    pub policy: String,
    /// Episodes run.
    pub episodes: u64,
    /// Harmful flags that were started.
    pub bad_flags: u64,
    /// Failed requests beyond control's rate for each harmful flag, mean.
    pub bad_requests_per_bad_flag: f64,
    /// Harmful flags that were never rolled back, in percent.
    pub missed_percent: f64,
    /// Harmless flags that were started.
    pub good_flags: u64,
    /// Harmless flags that were rolled back, in percent.
    pub false_rollbacks_percent: f64,
    /// Harmless flags that reached 100 %, in percent.
    pub completed_percent: f64,
    /// Minutes from start to 100 % of those that got there, median.
    pub minutes_to_full: Option<f64>,
    /// The same, mean.
    pub mean_minutes_to_full: Option<f64>,
    /// Minutes from start to rollback of harmful flags that were rolled back, median.
    pub minutes_to_rollback: Option<f64>,
    /// Vetoed or clipped proposals for each 1 000 flag-steps.
    pub vetoes_per_thousand: f64,
    /// Cost of an episode in points, mean with its 95 % interval. A point is one control interval of one flag at 0 %.
    pub cost: Estimate,
    /// Of it what users suffered.
    pub harm: Estimate,
    /// The mean harm of the worst 5 % of episodes (`CVaR95`), in points.
    pub harm_cvar95: f64,
    /// 95 % intervals of the shares and means above.
    pub intervals: Intervals,
}

/// 95 % intervals of a [`Standing`]'s numbers, as lower and upper end; None where there was no such flag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Intervals {
    /// Of [`Standing::bad_requests_per_bad_flag`].
    pub bad_requests_per_bad_flag: Option<[f64; 2]>,
    /// Of [`Standing::missed_percent`].
    pub missed_percent: Option<[f64; 2]>,
    /// Of [`Standing::false_rollbacks_percent`].
    pub false_rollbacks_percent: Option<[f64; 2]>,
    /// Of [`Standing::completed_percent`].
    pub completed_percent: Option<[f64; 2]>,
    /// Of [`Standing::mean_minutes_to_full`].
    pub mean_minutes_to_full: Option<[f64; 2]>,
}

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

/// The records of one policy.
#[derive(Clone, Debug, Default)]
pub struct League {
    policy: String,
    records: Vec<Record>,
}

impl League {
    /// For the policy of this name.
    #[must_use]
    pub fn of(policy: &str) -> Self {
        Self { policy: policy.to_owned(), records: Vec::new() }
    }

    /// Takes an episode's record. Policies that are to be compared take theirs in the same order of scenarios.
    pub fn add(&mut self, record: Record) {
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

    /// How the policy did.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub fn standing(&self) -> Standing {
        let bootstrap = Bootstrap::default();
        let records = &self.records;
        let count = |of: fn(&Record) -> u64| records.iter().map(of).sum::<u64>();
        let bad_flags = |record: &Record| f64::from(record.bad_flags);
        let good_flags = |record: &Record| f64::from(record.good_flags);
        let bad_requests = self.ratio(&bootstrap, |record| record.bad_requests, bad_flags);
        let missed = self.ratio(&bootstrap, |record| 100.0 * f64::from(record.missed), bad_flags);
        let false_rollbacks =
            self.ratio(&bootstrap, |record| 100.0 * f64::from(record.false_rollbacks), good_flags);
        let minutes = self.ratio(
            &bootstrap,
            |record| record.to_full.iter().sum(),
            |record| record.to_full.len() as f64,
        );
        let completed = self.ratio(&bootstrap, |record| 100.0 * record.to_full.len() as f64, good_flags);
        let mean = |estimate: Option<Estimate>| estimate.map_or(0.0, |estimate| estimate.mean);
        let ends = |estimate: Option<Estimate>| estimate.map(|estimate| [estimate.low, estimate.high]);
        let flag_steps = count(|record| record.flag_steps);
        let vetoes = count(|record| record.vetoes);
        let harm: Vec<f64> = records.iter().map(|record| record.harm).collect();
        Standing {
            policy: self.policy.clone(),
            episodes: records.len() as u64,
            bad_flags: count(|record| record.bad_flags.into()),
            bad_requests_per_bad_flag: mean(bad_requests),
            missed_percent: mean(missed),
            good_flags: count(|record| record.good_flags.into()),
            false_rollbacks_percent: mean(false_rollbacks),
            completed_percent: mean(completed),
            mean_minutes_to_full: minutes.map(|minutes| minutes.mean),
            minutes_to_full: median(records.iter().flat_map(|record| &record.to_full)),
            minutes_to_rollback: median(records.iter().flat_map(|record| &record.to_rollback)),
            vetoes_per_thousand: if flag_steps == 0 {
                0.0
            } else {
                1_000.0 * vetoes as f64 / flag_steps as f64
            },
            cost: bootstrap.mean(&self.costs()).unwrap_or_default(),
            harm: bootstrap.mean(&harm).unwrap_or_default(),
            harm_cvar95: mean_of_worst(&harm, TAIL),
            intervals: Intervals {
                bad_requests_per_bad_flag: ends(bad_requests),
                missed_percent: ends(missed),
                false_rollbacks_percent: ends(false_rollbacks),
                completed_percent: ends(completed),
                mean_minutes_to_full: ends(minutes),
            },
        }
    }

    /// What this policy cost more than `other` on the same scenarios. None where they have not as many records, or
    /// none.
    #[must_use]
    pub fn against(&self, other: &Self) -> Option<Difference> {
        let bootstrap = Bootstrap::default();
        let harm = |league: &Self| league.records.iter().map(|record| record.harm).collect::<Vec<_>>();
        Some(Difference {
            policy: other.policy.clone(),
            cost: bootstrap.difference(&self.costs(), &other.costs())?,
            harm: bootstrap.difference(&harm(self), &harm(other))?,
        })
    }

    fn costs(&self) -> Vec<f64> {
        self.records.iter().map(|record| record.cost).collect()
    }

    fn ratio(
        &self,
        bootstrap: &Bootstrap,
        above: impl Fn(&Record) -> f64,
        below: impl Fn(&Record) -> f64,
    ) -> Option<Estimate> {
        let terms: Vec<_> = self.records.iter().map(|record| (above(record), below(record))).collect();
        bootstrap.ratio(&terms)
    }
}

fn median<'a>(values: impl Iterator<Item = &'a f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.copied().collect();
    sorted.sort_by(f64::total_cmp);
    quantile(&sorted, 0.5)
}

/// The mean of the largest `share` of the values; of a value that lies on the border only its part counts. Rockafellar
/// and Uryasev, "Conditional value-at-risk for general loss distributions" (2002), for a finite sample.
fn mean_of_worst(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
    let weight = share * sorted.len() as f64;
    if weight <= 0.0 {
        return 0.0;
    }
    let mut left = weight;
    let mut sum = 0.0;
    for value in sorted {
        let part = left.clamp(0.0, 1.0);
        sum += part * value;
        left -= part;
    }
    sum / weight
}

#[cfg(test)]
mod tests {
    use super::*;

    fn league(policy: &str, records: impl IntoIterator<Item = Record>) -> League {
        let mut league = League::of(policy);
        records.into_iter().for_each(|record| league.add(record));
        league
    }

    #[test]
    fn shares_are_of_flags_and_not_of_episodes() {
        let one = Record { bad_flags: 1, missed: 1, bad_requests: 40.0, ..Record::default() };
        let three =
            Record { bad_flags: 3, bad_requests: 80.0, good_flags: 2, false_rollbacks: 1, ..one.clone() };
        let three = Record { missed: 0, to_full: vec![7.0], ..three };
        let standing = league("x", [one, three]).standing();
        assert_eq!((standing.episodes, standing.bad_flags, standing.good_flags), (2, 4, 2));
        assert!((standing.missed_percent - 25.0).abs() < 1e-12);
        assert!((standing.bad_requests_per_bad_flag - 30.0).abs() < 1e-12);
        assert!((standing.false_rollbacks_percent - 50.0).abs() < 1e-12);
        assert!((standing.completed_percent - 50.0).abs() < 1e-12);
        assert_eq!(standing.minutes_to_full, Some(7.0));
        assert_eq!(standing.intervals.missed_percent, Some([0.0, 100.0]));
    }

    #[test]
    fn without_episodes_nothing_is_claimed() {
        let nobody = League::of("x");
        let standing = nobody.standing();
        assert_eq!(standing.intervals, Intervals::default());
        assert_eq!((standing.minutes_to_full, standing.cost), (None, Estimate::default()));
        assert_eq!(nobody.against(&League::of("y")), None);
    }

    #[test]
    fn the_tail_is_the_mean_of_the_worst_twentieth() {
        let values: Vec<f64> = (1..=40).map(f64::from).collect();
        assert!((mean_of_worst(&values, 0.05) - 39.5).abs() < 1e-12);
        // Of 30 values it is the worst one and half of the next.
        assert!((mean_of_worst(&values[..30], 0.05) - (30.0 + 0.5 * 29.0) / 1.5).abs() < 1e-12);
        assert!((mean_of_worst(&[3.0, 9.0], 0.05) - 9.0).abs() < 1e-12, "of a few the worst");
        assert!(mean_of_worst(&[], 0.05).abs() < 1e-12);
    }

    #[test]
    fn a_difference_is_paired_and_of_the_same_scenarios_only() {
        let records = |extra: f64| {
            (0..30).map(move |index| Record {
                cost: f64::from(index * index) + extra,
                harm: f64::from(index),
                ..Record::default()
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
