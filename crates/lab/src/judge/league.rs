//! The league: policies side by side on the same scenarios and seeds.
//!
//! Of each episode a short record is kept, so that any part of them (a fault family, say) can be judged by itself and
//! two policies can be compared scenario by scenario. Intervals are the paired bootstrap's. Which scenarios they were,
//! and who ran them on how many cores, is none of its business; records are taken in the order they come.

use serde::{Deserialize, Serialize};

use super::{Bootstrap, Estimate, bootstrap::quantile};
use knightwatch_core::telemetry::Millis;
use knightwatch_sim::{DETECTABLE, Episode};

/// The share of scenarios that harm's tail is taken over: `CVaR95`.
const TAIL: f64 = 0.05;

/// What the league remembers of one episode.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Failed requests beyond control's rate that each harmful flag that was started caused, until a person was called because
    /// its telemetry was lost: the cost counts as far, and no policy may do anything then.
    pub bad_requests: Vec<f64>,
    /// Harmful flags that were left on to the end: neither rolled back, nor handed to a person, nor
    /// harmless at the end after another flag was rolled back, as those are that hurt together with it.
    pub missed: u32,
    /// Harmful flags that an observer could detect ([`DETECTABLE`]).
    pub detectable: u32,
    /// Those of them that were missed.
    pub missed_detectable: u32,
    /// Those of these that are at 100 % at the end: taken for good, and not only left undecided on a lower rung.
    pub passed_detectable: u32,
    /// Harmless flags that were started.
    pub good_flags: u32,
    /// Harmless flags that were rolled back.
    pub false_rollbacks: u32,
    /// Minutes from start to 100 % of the harmless flags that got there.
    pub to_full: Vec<f64>,
    /// Minutes from start to the end of those that did not.
    pub not_full: Vec<f64>,
    /// Minutes from start to the rollback of the harmful flags that were rolled back.
    pub to_rollback: Vec<f64>,
    /// The same from when they first did harm; 0 where they had done none.
    pub to_detect: Vec<f64>,
    /// Changes of direction of all flags' rollouts.
    pub flips: u32,
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
            let minutes = |from: Millis, to: Millis| to.since(from).as_secs_f64() / 60.0;
            record.harm += flag.harm;
            record.cost += flag.total_points();
            record.flips += flag.flips;
            if flag.harmful {
                let others = episode.flags.iter().filter(|other| other.flag != flag.flag);
                let cured =
                    !flag.harmful_at_end && others.into_iter().any(|other| other.rolled_back_at.is_some());
                let is_missed = flag.rolled_back_at.is_none() && !flag.handed_over && !cured;
                let missed = u32::from(is_missed);
                record.bad_requests.push(flag.bad_requests_answered);
                record.missed += missed;
                if flag.detectability >= DETECTABLE {
                    record.detectable += 1;
                    record.missed_detectable += missed;
                    record.passed_detectable += u32::from(is_missed && flag.rollout.is_full());
                }
                if let Some(at) = flag.rolled_back_at {
                    record.to_rollback.push(minutes(started, at));
                    record.to_detect.push(minutes(flag.harmed_at.unwrap_or(at).min(at), at));
                }
            } else {
                record.good_flags += 1;
                record.false_rollbacks += u32::from(flag.rolled_back_at.is_some());
                match flag.complete_at {
                    Some(at) => record.to_full.push(minutes(started, at)),
                    None => record.not_full.push(minutes(started, episode.length)),
                }
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
    /// The mean over the worst 5 % of harmful flags (`CVaR95`).
    pub bad_requests_cvar95: f64,
    /// Harmful flags that were missed ([`Record::missed`]), in percent.
    pub missed_percent: f64,
    /// Harmful flags that an observer could detect.
    pub detectable_flags: u64,
    /// Those of them that were missed, in percent.
    pub missed_detectable_percent: f64,
    /// Those of them that were at 100 % at the end, in percent.
    pub passed_detectable_percent: f64,
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
    /// The same over all harmless flags, where one that did not get there counts to the end of its episode: the restricted mean
    /// (Royston and Parmar, "Restricted mean survival time", 2013). Who leaves the hard ones behind is no quicker by it.
    pub restricted_minutes_to_full: Option<f64>,
    /// Minutes from start to rollback of harmful flags that were rolled back, median.
    pub minutes_to_rollback: Option<f64>,
    /// Minutes from the first harm to rollback of the same flags, mean; 0 for one that had done none.
    pub minutes_to_detect: Option<f64>,
    /// Vetoed or clipped proposals for each 1 000 flag-steps.
    pub vetoes_per_thousand: f64,
    /// How often a flag's rollout changed direction, mean.
    pub flips_per_flag: f64,
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
    /// Of [`Standing::bad_requests_cvar95`].
    pub bad_requests_cvar95: Option<[f64; 2]>,
    /// Of [`Standing::missed_percent`].
    pub missed_percent: Option<[f64; 2]>,
    /// Of [`Standing::missed_detectable_percent`].
    pub missed_detectable_percent: Option<[f64; 2]>,
    /// Of [`Standing::passed_detectable_percent`].
    pub passed_detectable_percent: Option<[f64; 2]>,
    /// Of [`Standing::false_rollbacks_percent`].
    pub false_rollbacks_percent: Option<[f64; 2]>,
    /// Of [`Standing::completed_percent`].
    pub completed_percent: Option<[f64; 2]>,
    /// Of [`Standing::mean_minutes_to_full`].
    pub mean_minutes_to_full: Option<[f64; 2]>,
    /// Of [`Standing::restricted_minutes_to_full`].
    pub restricted_minutes_to_full: Option<[f64; 2]>,
    /// Of [`Standing::minutes_to_detect`].
    pub minutes_to_detect: Option<[f64; 2]>,
    /// Of [`Standing::vetoes_per_thousand`].
    pub vetoes_per_thousand: Option<[f64; 2]>,
    /// Of [`Standing::flips_per_flag`].
    pub flips_per_flag: Option<[f64; 2]>,
    /// Of [`Standing::harm_cvar95`].
    pub harm_cvar95: Option<[f64; 2]>,
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
        let count = |of: fn(&Record) -> usize| records.iter().map(of).sum::<usize>() as u64;
        let ratio = |above: fn(&Record) -> f64, below: fn(&Record) -> f64| {
            let terms: Vec<_> = records.iter().map(|record| (above(record), below(record))).collect();
            bootstrap.ratio(&terms)
        };
        let average = |of: fn(&Record) -> &Vec<f64>| {
            let terms: Vec<_> =
                records.iter().map(|record| (of(record).iter().sum(), of(record).len() as f64)).collect();
            bootstrap.ratio(&terms)
        };
        let bad_flags: fn(&Record) -> f64 = |record| record.bad_requests.len() as f64;
        let good_flags: fn(&Record) -> f64 = |record| f64::from(record.good_flags);
        let bad_requests = average(|record| &record.bad_requests);
        let worst = bootstrap.tail(records.iter().map(|record| record.bad_requests.as_slice()), TAIL);
        let percent = |hits: fn(&Record) -> f64, of: fn(&Record) -> f64| {
            let terms: Vec<_> = records.iter().map(|record| (hits(record), of(record))).collect();
            let Estimate { mean, low, high } = bootstrap.share(&terms)?;
            Some(Estimate { mean: 100.0 * mean, low: 100.0 * low, high: 100.0 * high })
        };
        let missed = percent(|record| f64::from(record.missed), bad_flags);
        let missed_detectable =
            percent(|record| f64::from(record.missed_detectable), |record| f64::from(record.detectable));
        let passed_detectable =
            percent(|record| f64::from(record.passed_detectable), |record| f64::from(record.detectable));
        let false_rollbacks = percent(|record| f64::from(record.false_rollbacks), good_flags);
        let completed = percent(|record| record.to_full.len() as f64, good_flags);
        let minutes = average(|record| &record.to_full);
        let restricted = ratio(
            |record| record.to_full.iter().chain(&record.not_full).sum(),
            |record| (record.to_full.len() + record.not_full.len()) as f64,
        );
        let detected = average(|record| &record.to_detect);
        let vetoes = ratio(|record| 1_000.0 * record.vetoes as f64, |record| record.flag_steps as f64);
        let flips = ratio(
            |record| f64::from(record.flips),
            |record| f64::from(record.good_flags) + record.bad_requests.len() as f64,
        );
        let harm = self.harms();
        let worst_harm = bootstrap.tail(harm.chunks(1), TAIL);
        let mean = |estimate: Option<Estimate>| estimate.map_or(0.0, |estimate| estimate.mean);
        let ends = |estimate: Option<Estimate>| estimate.map(|estimate| [estimate.low, estimate.high]);
        Standing {
            policy: self.policy.clone(),
            episodes: records.len() as u64,
            bad_flags: count(|record| record.bad_requests.len()),
            bad_requests_per_bad_flag: mean(bad_requests),
            bad_requests_cvar95: mean(worst),
            missed_percent: mean(missed),
            detectable_flags: count(|record| record.detectable as usize),
            missed_detectable_percent: mean(missed_detectable),
            passed_detectable_percent: mean(passed_detectable),
            good_flags: count(|record| record.good_flags as usize),
            false_rollbacks_percent: mean(false_rollbacks),
            completed_percent: mean(completed),
            mean_minutes_to_full: minutes.map(|minutes| minutes.mean),
            restricted_minutes_to_full: restricted.map(|minutes| minutes.mean),
            minutes_to_full: median(records.iter().flat_map(|record| &record.to_full)),
            minutes_to_rollback: median(records.iter().flat_map(|record| &record.to_rollback)),
            minutes_to_detect: detected.map(|detected| detected.mean),
            vetoes_per_thousand: mean(vetoes),
            flips_per_flag: mean(flips),
            cost: bootstrap.mean(&self.costs()).unwrap_or_default(),
            harm: bootstrap.mean(&harm).unwrap_or_default(),
            harm_cvar95: mean(worst_harm),
            intervals: Intervals {
                bad_requests_per_bad_flag: ends(bad_requests),
                bad_requests_cvar95: ends(worst),
                missed_percent: ends(missed),
                missed_detectable_percent: ends(missed_detectable),
                passed_detectable_percent: ends(passed_detectable),
                false_rollbacks_percent: ends(false_rollbacks),
                completed_percent: ends(completed),
                mean_minutes_to_full: ends(minutes),
                restricted_minutes_to_full: ends(restricted),
                minutes_to_detect: ends(detected),
                vetoes_per_thousand: ends(vetoes),
                flips_per_flag: ends(flips),
                harm_cvar95: ends(worst_harm),
            },
        }
    }

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

    /// The cost of each episode in points, in the order in which they came.
    #[must_use]
    pub fn costs(&self) -> Vec<f64> {
        self.records.iter().map(|record| record.cost).collect()
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

    fn harms(&self) -> Vec<f64> {
        self.records.iter().map(|record| record.harm).collect()
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

fn median<'a>(values: impl Iterator<Item = &'a f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.copied().collect();
    sorted.sort_by(f64::total_cmp);
    quantile(&sorted, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use knightwatch_core::{control::Phase, flag::Rollout};
    use knightwatch_sim::{FlagResult, IntervalCost};

    fn league(policy: &str, records: impl IntoIterator<Item = Record>) -> League {
        let mut league = League::of(policy);
        records.into_iter().for_each(|record| league.add(record));
        league
    }

    /// A harmful flag that was started and is at 100 % at the end.
    fn left_on(flag: &str) -> FlagResult {
        FlagResult {
            flag: flag.parse().unwrap(),
            harmful: true,
            detectability: 2.0 * DETECTABLE,
            started_at: Some(Millis::ZERO),
            complete_at: Some(Millis::from_secs(600)),
            rolled_back_at: None,
            harmed_at: Some(Millis::from_secs(700)),
            flips: 0,
            phase: Phase::Complete,
            rollout: Rollout::FULL,
            bad_requests: 100.0,
            bad_requests_answered: 40.0,
            handed_over: false,
            harmful_at_end: true,
            cost: 0.0,
            cost_at_full: 0.0,
            points: IntervalCost::default(),
            rollback_points: 0.0,
            harm: 0.0,
        }
    }

    fn episode(flags: Vec<FlagResult>, length: Millis) -> Episode {
        let mut episode = Episode::default();
        (episode.flags, episode.length) = (flags, length);
        episode
    }

    #[test]
    fn what_is_missed_is_what_a_policy_has_to_answer_for() {
        let record = |flags: Vec<FlagResult>| Record::from(&episode(flags, Millis::ZERO));
        let missed = |record: &Record| (record.missed, record.missed_detectable, record.passed_detectable);
        let on = record(vec![left_on("a")]);
        assert_eq!((missed(&on), &on.bad_requests), ((1, 1, 1), &vec![40.0]));
        let half = FlagResult { rollout: Rollout::PROBE, phase: Phase::Ramping, ..left_on("a") };
        assert_eq!(missed(&record(vec![half])), (1, 1, 0));
        let unseen = FlagResult { detectability: 0.5 * DETECTABLE, ..left_on("a") };
        assert_eq!(missed(&record(vec![unseen])), (1, 0, 0));
        assert_eq!(missed(&record(vec![FlagResult { handed_over: true, ..left_on("a") }])), (0, 0, 0));
        let back = || FlagResult { rolled_back_at: Some(Millis::from_secs(800)), ..left_on("b") };
        assert_eq!(missed(&record(vec![back()])), (0, 0, 0));
        // Harmless by itself at the end is missed all the same; harmless because of another's rollback is not.
        let harmless = || FlagResult { harmful_at_end: false, ..left_on("a") };
        assert_eq!(missed(&record(vec![harmless()])), (1, 1, 1));
        assert_eq!(missed(&record(vec![harmless(), back()])), (0, 0, 0));
        assert_eq!(missed(&record(vec![left_on("a"), back()])), (1, 1, 1));
    }

    #[test]
    fn who_leaves_good_flags_behind_is_no_quicker_by_it() {
        let good = |complete_at| FlagResult { harmful: false, complete_at, ..left_on("a") };
        let length = Millis::from_secs(3_600);
        let standing =
            |flags: Vec<FlagResult>| league("x", [Record::from(&episode(flags, length))]).standing();
        let there = || good(Some(Millis::from_secs(600)));
        let late = standing(vec![there(), good(Some(Millis::from_secs(3_000)))]);
        let left = standing(vec![there(), good(None)]);
        assert_eq!((late.mean_minutes_to_full, late.restricted_minutes_to_full), (Some(30.0), Some(30.0)));
        assert_eq!((left.mean_minutes_to_full, left.restricted_minutes_to_full), (Some(10.0), Some(35.0)));
        assert_eq!(standing(vec![left_on("a")]).restricted_minutes_to_full, None);
    }

    #[test]
    fn bad_requests_are_a_part_of_another_s_on_the_same_worlds() {
        let records = |times: f64| {
            (1..=40).map(move |index| Record {
                bad_requests: vec![times * f64::from(index * index)],
                ..Record::default()
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
    fn shares_are_of_flags_and_not_of_episodes() {
        let one = Record {
            bad_requests: vec![40.0],
            missed: 1,
            detectable: 1,
            missed_detectable: 1,
            flag_steps: 300,
            vetoes: 3,
            flips: 2,
            ..Record::default()
        };
        let three = Record {
            bad_requests: vec![10.0, 70.0, 0.0],
            good_flags: 2,
            false_rollbacks: 1,
            to_full: vec![7.0],
            to_detect: vec![1.0, 3.0, 2.0],
            flag_steps: 700,
            ..Record::default()
        };
        let standing = league("x", [one, three]).standing();
        assert_eq!((standing.episodes, standing.bad_flags, standing.good_flags), (2, 4, 2));
        assert!((standing.missed_percent - 25.0).abs() < 1e-12);
        assert!((standing.bad_requests_per_bad_flag - 30.0).abs() < 1e-12);
        assert!((standing.false_rollbacks_percent - 50.0).abs() < 1e-12);
        assert!((standing.completed_percent - 50.0).abs() < 1e-12);
        assert!(
            (standing.bad_requests_cvar95 - 70.0).abs() < 1e-12,
            "a twentieth of four is part of the worst"
        );
        assert_eq!(standing.detectable_flags, 1);
        assert!((standing.missed_detectable_percent - 100.0).abs() < 1e-12);
        assert!((standing.vetoes_per_thousand - 3.0).abs() < 1e-12);
        assert!((standing.flips_per_flag - 2.0 / 6.0).abs() < 1e-12);
        assert_eq!((standing.minutes_to_full, standing.minutes_to_detect), (Some(7.0), Some(2.0)));
        // One of one says little: Wilson's interval begins at 1 / (1 + 1.96^2).
        let [low, high] = standing.intervals.missed_detectable_percent.unwrap();
        assert!((low - 20.65).abs() < 0.01 && (high - 100.0).abs() < 1e-9, "{low} {high}");
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
    fn the_gap_is_from_the_baseline_to_the_oracle() {
        let costs = |costs: [f64; 3]| costs.map(|cost| Record { cost, ..Record::default() });
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
