//! Validation: the policy as it would be deployed, on scenarios that training never draws, against its opponents on the
//! same ones. What it says chooses which weights are kept.

use serde::{Deserialize, Serialize};

use crate::{
    control::{ControlConfig, Policy},
    judge::Episode,
    sim::{Generator, Scenario},
};

/// Numbers from here on are for choosing weights during training; `evaluate` counts from 0, so that what is claimed is
/// not claimed on what was chosen by.
const FIRST: u64 = 1_000_000;

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

/// Sums behind a [`Score`].
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    flags: f64,
    cost: f64,
    harm: f64,
    good: f64,
    complete: f64,
    minutes: f64,
    false_rollbacks: f64,
    missed: f64,
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
        let tallies: Vec<Vec<Tally>> = std::thread::scope(|scope| {
            let workers: Vec<_> = self
                .scenarios
                .chunks(part)
                .map(|scenarios| {
                    scope.spawn(move || {
                        scenarios
                            .iter()
                            .map(|(number, scenario)| self.live_through(scenario, *number, policy().as_mut()))
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            // A panic in a worker is a panic of the training.
            workers
                .into_iter()
                .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        let mut sum = Tally::default();
        for tally in tallies.iter().flatten() {
            sum.add(tally);
        }
        sum.score()
    }

    fn live_through(&self, scenario: &Scenario, seed: u64, policy: &mut dyn Policy) -> Tally {
        let mut tally = Tally::default();
        let episode = Episode::run(scenario, seed, policy, &self.control, |_| {});
        for flag in &episode.flags {
            let Some(started) = flag.started_at else { continue };
            tally.flags += 1.0;
            tally.cost += flag.total_points();
            tally.harm += flag.harm;
            if flag.harmful {
                tally.missed += f64::from(u8::from(flag.rolled_back_at.is_none()));
                continue;
            }
            tally.good += 1.0;
            tally.false_rollbacks += f64::from(u8::from(flag.rolled_back_at.is_some()));
            if let Some(at) = flag.complete_at {
                tally.complete += 1.0;
                tally.minutes += at.since(started).as_secs_f64() / 60.0;
            }
        }
        tally
    }
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.flags += other.flags;
        self.cost += other.cost;
        self.harm += other.harm;
        self.good += other.good;
        self.complete += other.complete;
        self.minutes += other.minutes;
        self.false_rollbacks += other.false_rollbacks;
        self.missed += other.missed;
    }

    fn score(&self) -> Score {
        let share = |part: f64, all: f64| if all > 0.0 { part / all } else { 0.0 };
        Score {
            cost: share(self.cost, self.flags),
            harm: share(self.harm, self.flags),
            minutes_to_full: (self.complete > 0.0).then(|| self.minutes / self.complete),
            false_rollbacks_percent: 100.0 * share(self.false_rollbacks, self.good),
            completed_percent: 100.0 * share(self.complete, self.good),
            missed_percent: 100.0 * share(self.missed, self.flags - self.good),
        }
    }
}
