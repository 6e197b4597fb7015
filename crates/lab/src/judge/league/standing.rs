//! The standing of one policy: its metrics over all its episodes, each with a 95 % interval.
//!
//! Means and shares are of flags and not of episodes, and the intervals are the bootstrap's over episodes. A standing
//! must not know other policies: comparing is `comparison.rs`.

use serde::Serialize;

use super::{ledger::League, record::EpisodeRecord};
use crate::judge::{Bootstrap, Estimate, bootstrap::quantile};

/// The share of scenarios that harm's tail is taken over: `CVaR95`.
pub(super) const TAIL: f64 = 0.05;

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
    /// Harmful flags that were missed ([`EpisodeRecord::missed`]), in percent.
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

impl League {
    /// How the policy did.
    #[must_use]
    pub fn standing(&self) -> Standing {
        Standing::of(&self.policy, &self.records)
    }
}

impl Standing {
    /// From the records of its episodes.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    fn of(policy: &str, records: &[EpisodeRecord]) -> Self {
        let bootstrap = Bootstrap::default();
        let count = |of: fn(&EpisodeRecord) -> usize| records.iter().map(of).sum::<usize>() as u64;
        let ratio = |above: fn(&EpisodeRecord) -> f64, below: fn(&EpisodeRecord) -> f64| {
            let terms: Vec<_> = records.iter().map(|record| (above(record), below(record))).collect();
            bootstrap.ratio(&terms)
        };
        let average = |of: fn(&EpisodeRecord) -> &Vec<f64>| {
            let terms: Vec<_> =
                records.iter().map(|record| (of(record).iter().sum(), of(record).len() as f64)).collect();
            bootstrap.ratio(&terms)
        };
        let bad_flags: fn(&EpisodeRecord) -> f64 = |record| record.bad_requests.len() as f64;
        let good_flags: fn(&EpisodeRecord) -> f64 = |record| f64::from(record.good_flags);
        let bad_requests = average(|record| &record.bad_requests);
        let worst = bootstrap.tail(records.iter().map(|record| record.bad_requests.as_slice()), TAIL);
        let percent = |hits: fn(&EpisodeRecord) -> f64, of: fn(&EpisodeRecord) -> f64| {
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
        let harm: Vec<f64> = records.iter().map(|record| record.harm).collect();
        let cost: Vec<f64> = records.iter().map(|record| record.cost).collect();
        let worst_harm = bootstrap.tail(harm.chunks(1), TAIL);
        let mean = |estimate: Option<Estimate>| estimate.map_or(0.0, |estimate| estimate.mean);
        let ends = |estimate: Option<Estimate>| estimate.map(|estimate| [estimate.low, estimate.high]);
        Self {
            policy: policy.to_owned(),
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
            cost: bootstrap.mean(&cost).unwrap_or_default(),
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
}

fn median<'a>(values: impl Iterator<Item = &'a f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.copied().collect();
    sorted.sort_by(f64::total_cmp);
    quantile(&sorted, 0.5)
}

#[cfg(test)]
mod tests {
    use super::{
        super::fixture::{episode, league, left_on},
        *,
    };
    use knightwatch_core::telemetry::Millis;
    use knightwatch_sim::FlagResult;

    #[test]
    fn who_leaves_good_flags_behind_is_no_quicker_by_it() {
        let good = |complete_at| FlagResult { harmful: false, complete_at, ..left_on("a") };
        let length = Millis::from_secs(3_600);
        let standing =
            |flags: Vec<FlagResult>| league("x", [EpisodeRecord::from(&episode(flags, length))]).standing();
        let there = || good(Some(Millis::from_secs(600)));
        let late = standing(vec![there(), good(Some(Millis::from_secs(3_000)))]);
        let left = standing(vec![there(), good(None)]);
        assert_eq!((late.mean_minutes_to_full, late.restricted_minutes_to_full), (Some(30.0), Some(30.0)));
        assert_eq!((left.mean_minutes_to_full, left.restricted_minutes_to_full), (Some(10.0), Some(35.0)));
        assert_eq!(standing(vec![left_on("a")]).restricted_minutes_to_full, None);
    }

    #[test]
    fn shares_are_of_flags_and_not_of_episodes() {
        let one = EpisodeRecord {
            bad_requests: vec![40.0],
            missed: 1,
            detectable: 1,
            missed_detectable: 1,
            flag_steps: 300,
            vetoes: 3,
            flips: 2,
            ..EpisodeRecord::default()
        };
        let three = EpisodeRecord {
            bad_requests: vec![10.0, 70.0, 0.0],
            good_flags: 2,
            false_rollbacks: 1,
            to_full: vec![7.0],
            to_detect: vec![1.0, 3.0, 2.0],
            flag_steps: 700,
            ..EpisodeRecord::default()
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
}
