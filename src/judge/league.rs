//! The league: policies side by side on the same scenarios and seeds.

use serde::Serialize;

use super::Episode;
use crate::telemetry::Millis;

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
    /// Harmful flags that stand at 100 % at the end, or were never rolled back, in percent.
    pub missed_percent: f64,
    /// Harmless flags that were started.
    pub good_flags: u64,
    /// Harmless flags that were rolled back, in percent.
    pub false_rollbacks_percent: f64,
    /// Harmless flags that reached 100 %, in percent.
    pub completed_percent: f64,
    /// Minutes from start to 100 % of those that got there, median.
    pub minutes_to_full: Option<f64>,
    /// Minutes from start to rollback of harmful flags that were rolled back, median.
    pub minutes_to_rollback: Option<f64>,
    /// Vetoed or clipped proposals for each 1 000 flag-steps.
    pub vetoes_per_thousand: f64,
}

/// Gathers episodes of one policy.
#[derive(Clone, Debug, Default)]
pub struct League {
    standing: Standing,
    bad_requests: f64,
    missed: u64,
    false_rollbacks: u64,
    to_full: Vec<f64>,
    to_rollback: Vec<f64>,
    vetoes: u64,
    flag_steps: u64,
}

impl League {
    /// For the policy of this name.
    #[must_use]
    pub fn of(policy: &str) -> Self {
        Self { standing: Standing { policy: policy.to_owned(), ..Standing::default() }, ..Self::default() }
    }

    /// Counts an episode.
    pub fn add(&mut self, episode: &Episode) {
        self.standing.episodes += 1;
        self.vetoes += episode.vetoes;
        self.flag_steps += episode.flag_steps;
        for flag in &episode.flags {
            let Some(started) = flag.started_at else { continue };
            let minutes = |at: Millis| at.since(started).as_secs_f64() / 60.0;
            if flag.harmful {
                self.standing.bad_flags += 1;
                self.bad_requests += flag.bad_requests;
                match flag.rolled_back_at {
                    Some(at) => self.to_rollback.push(minutes(at)),
                    None => self.missed += 1,
                }
            } else {
                self.standing.good_flags += 1;
                self.false_rollbacks += u64::from(flag.rolled_back_at.is_some());
                self.to_full.extend(flag.complete_at.map(minutes));
            }
        }
    }

    /// How the policy did.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub fn standing(&self) -> Standing {
        let share = |part: u64, all: u64| if all == 0 { 0.0 } else { 100.0 * part as f64 / all as f64 };
        let Standing { bad_flags, good_flags, .. } = self.standing;
        Standing {
            bad_requests_per_bad_flag: if bad_flags == 0 { 0.0 } else { self.bad_requests / bad_flags as f64 },
            missed_percent: share(self.missed, bad_flags),
            false_rollbacks_percent: share(self.false_rollbacks, good_flags),
            completed_percent: share(self.to_full.len() as u64, good_flags),
            minutes_to_full: median(&self.to_full),
            minutes_to_rollback: median(&self.to_rollback),
            vetoes_per_thousand: share(self.vetoes, self.flag_steps) * 10.0,
            ..self.standing.clone()
        }
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}
