//! Validation: the policy as it would be deployed, on scenarios that training never draws, against its opponents on the
//! same ones. What it says chooses which weights are kept.

use serde::{Deserialize, Serialize};

use crate::judge::EpisodeRecord;
use knightwatch_core::control::{ControlConfig, Policy};
use knightwatch_sim::{Episode, Generator, Scenario};

/// Numbers from here on are for choosing weights during training; `evaluate` counts from 0, so that what is claimed is
/// not claimed on what was chosen by.
const FIRST: u64 = 1_000_000;

/// Good flags that may be rolled back, by whomever, in percent: the design's bar.
const MAX_FALSE_ROLLBACKS_PERCENT: f64 = 1.0;

/// The scenarios that weights are chosen by.
pub(super) struct Validation {
    scenarios: Vec<(u64, Scenario)>,
    control: ControlConfig,
    threads: usize,
}

/// How a policy did, over all flags that were started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Cost a flag, mean; in control intervals at 0 %.
    pub cost: f64,
    /// Harm a flag, mean: the errors and latency of it.
    pub harm: f64,
    /// Minutes to 100 % of good flags that got there, mean; `None` where none did.
    pub minutes_to_full: Option<f64>,
    /// Good flags that were rolled back, in percent.
    pub false_rollbacks_percent: f64,
    /// Good flags that reached 100 %, in percent.
    pub completed_percent: f64,
    /// Bad flags that were never rolled back, in percent.
    pub missed_percent: f64,
}

impl Validation {
    pub(super) fn new(generator: &Generator, worlds: u64, control: ControlConfig, threads: usize) -> Self {
        let scenarios = (FIRST..FIRST + worlds)
            .map(|number| (generator.seed(number), generator.scenario(number).1))
            .collect();
        Self { scenarios, control, threads: threads.max(1) }
    }

    /// Lives through all of them. `policy` makes a fresh policy for a scenario. The same for any number of threads.
    pub(super) fn score(&self, policy: &(dyn Fn() -> Box<dyn Policy> + Sync)) -> Score {
        let part = self.scenarios.len().div_ceil(self.threads).max(1);
        let records: Vec<Vec<EpisodeRecord>> = std::thread::scope(|scope| {
            let workers: Vec<_> = self
                .scenarios
                .chunks(part)
                .map(|scenarios| {
                    scope.spawn(move || {
                        let live_through = |(seed, scenario): &(u64, Scenario)| {
                            let mut policy = policy();
                            let episode =
                                Episode::run(scenario, *seed, policy.as_mut(), &self.control, |_| {});
                            EpisodeRecord::from(&episode)
                        };
                        scenarios.iter().map(live_through).collect::<Vec<_>>()
                    })
                })
                .collect();
            // A panic in a worker is a panic of the training.
            workers
                .into_iter()
                .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        Score::of(&records.concat())
    }
}

impl Score {
    /// Whether weights that came to this are kept rather than those that came to `other`: first come those that roll back
    /// no more good flags than they may, of those the cheaper; else whoever rolls back fewer.
    pub(super) fn is_better_than(&self, other: &Self) -> bool {
        let order =
            |score: &Self| (score.false_rollbacks_percent.max(MAX_FALSE_ROLLBACKS_PERCENT), score.cost);
        order(self) < order(other)
    }

    fn of(records: &[EpisodeRecord]) -> Self {
        let sum = |of: &dyn Fn(&EpisodeRecord) -> f64| records.iter().map(of).sum::<f64>();
        let share = |part: f64, all: f64| if all > 0.0 { part / all } else { 0.0 };
        let good = sum(&|record| record.good_flags.into());
        let bad = sum(&|record| record.bad_requests.iter().map(|_| 1.0).sum());
        let complete = sum(&|record| record.to_full.iter().map(|_| 1.0).sum());
        let minutes = sum(&|record| record.to_full.iter().sum());
        Self {
            cost: share(sum(&|record| record.cost), good + bad),
            harm: share(sum(&|record| record.harm), good + bad),
            minutes_to_full: (complete > 0.0).then(|| minutes / complete),
            false_rollbacks_percent: 100.0 * share(sum(&|record| record.false_rollbacks.into()), good),
            completed_percent: 100.0 * share(complete, good),
            missed_percent: 100.0 * share(sum(&|record| record.missed.into()), bad),
        }
    }
}
