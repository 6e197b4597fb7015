//! The record of one episode: the counts and sums by which a policy is judged.
//!
//! An episode is long and a league has thousands of them, so only this much is kept of each. Records are also written to
//! the ledger of an evaluation. A record must not know other episodes or other policies.

use serde::{Deserialize, Serialize};

use knightwatch_core::telemetry::Millis;
use knightwatch_sim::{DETECTABLE, Episode};

/// What the league remembers of one episode.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpisodeRecord {
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

impl From<&Episode> for EpisodeRecord {
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
                let is_missed = flag.rolled_back_at.is_none() && !flag.escalated && !cured;
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

#[cfg(test)]
mod tests {
    use super::{
        super::fixture::{episode, left_on},
        *,
    };
    use knightwatch_core::{control::Phase, flag::Rollout};
    use knightwatch_sim::FlagResult;

    #[test]
    fn what_is_missed_is_what_a_policy_has_to_answer_for() {
        let record = |flags: Vec<FlagResult>| EpisodeRecord::from(&episode(flags, Millis::ZERO));
        let missed =
            |record: &EpisodeRecord| (record.missed, record.missed_detectable, record.passed_detectable);
        let on = record(vec![left_on("a")]);
        assert_eq!((missed(&on), &on.bad_requests), ((1, 1, 1), &vec![40.0]));
        let half = FlagResult { rollout: Rollout::PROBE, phase: Phase::Ramping, ..left_on("a") };
        assert_eq!(missed(&record(vec![half])), (1, 1, 0));
        let unseen = FlagResult { detectability: 0.5 * DETECTABLE, ..left_on("a") };
        assert_eq!(missed(&record(vec![unseen])), (1, 0, 0));
        assert_eq!(missed(&record(vec![FlagResult { escalated: true, ..left_on("a") }])), (0, 0, 0));
        let back = || FlagResult { rolled_back_at: Some(Millis::from_secs(800)), ..left_on("b") };
        assert_eq!(missed(&record(vec![back()])), (0, 0, 0));
        // Harmless by itself at the end is missed all the same; harmless because of another's rollback is not.
        let harmless = || FlagResult { harmful_at_end: false, ..left_on("a") };
        assert_eq!(missed(&record(vec![harmless()])), (1, 1, 1));
        assert_eq!(missed(&record(vec![harmless(), back()])), (0, 0, 0));
        assert_eq!(missed(&record(vec![left_on("a"), back()])), (1, 1, 1));
    }
}
