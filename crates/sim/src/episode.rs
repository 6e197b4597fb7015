//! One scenario under one policy: what was decided, and what it came to in truth.

use serde::Serialize;

use super::{
    Cost, Environment, IntervalCost,
    environment::Simulated,
    limit::{Knowing, Limit},
    runner::{self, EpisodeRunner, Plan, Player, Tally},
};
use crate::Scenario;
use knightwatch_core::{
    control::{
        AlarmKind, ControlConfig, Decision, Entry, Event, Happened, Outcome, Phase, Policy, Shadow, State,
    },
    flag::{FlagKey, Rollout},
    telemetry::Millis,
};

/// What came of one flag.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FlagResult {
    /// Which.
    pub flag: FlagKey,
    /// Whether, in truth, it would at any time have done harm at 100 % with the other flags as they were.
    pub harmful: bool,
    /// The z-score that an observer could expect of its harm: the scenario's say, whatever the policy did
    /// ([`Scenario::detectability`]).
    pub detectability: f64,
    /// When it was started, since the scenario's start.
    pub started_at: Option<Millis>,
    /// When it reached 100 % for the first time.
    pub complete_at: Option<Millis>,
    /// When it was first rolled back.
    pub rolled_back_at: Option<Millis>,
    /// When it first did harm, in truth: the beginning of the first interval with at least 0.05 % more failed requests, or a
    /// P99 at least 3 % longer, than control, the warm-up after a raise left out.
    pub harmed_at: Option<Millis>,
    /// How often its rollout changed direction: lowered after it was raised, or raised after it was lowered. A rollback to
    /// 0 % ends the ramp and is none.
    pub flips: u32,
    /// Its phase at the end.
    pub phase: Phase,
    /// Its rollout at the end.
    pub rollout: Rollout,
    /// Failed requests beyond control's rate that it caused, in truth.
    pub bad_requests: f64,
    /// Those of them that a policy has to answer for: until a person was called because its telemetry was lost.
    pub bad_requests_answered: f64,
    /// Whether a person was called because its telemetry was lost: what came then is no policy's doing.
    pub escalated: bool,
    /// Whether it would still do harm at the end, with the other flags where they are then.
    pub harmful_at_end: bool,
    /// What they cost, in dollars, where the scenario says.
    pub cost: f64,
    /// What the flag would have cost at 100 % from its start to the end, in dollars.
    pub cost_at_full: f64,
    /// What its intervals came to by the weights of [`Cost`], from its start until it was rolled back, a person was called
    /// because its telemetry was lost, or the end, at 100 % too; in points, one of which is a control interval at 0 %.
    pub points: IntervalCost,
    /// What its rollback came to, in points.
    pub rollback_points: f64,
    /// Of the points those for what users suffered: errors and latency.
    pub harm: f64,
}

impl FlagResult {
    /// All it cost, in points.
    #[must_use]
    pub fn total_points(&self) -> f64 {
        self.points.total() + self.rollback_points
    }
}

/// A scenario lived through.
#[derive(Default)]
pub struct Episode {
    /// The journal, oldest first.
    pub journal: Vec<Entry>,
    /// What came of each flag.
    pub flags: Vec<FlagResult>,
    /// How long it was, from the scenario's start.
    pub length: Millis,
    /// Decisions that the policy was asked for, one for each flag and tick.
    pub flag_steps: u64,
    /// Vetoed or clipped proposals that were journalled.
    pub vetoes: u64,
    pub(super) state: State,
}

impl Episode {
    /// Lives through `scenario` under `policy`, as fast as it goes, judged by the shipped weights. `each` is told the
    /// journal's news after each tick.
    pub fn run(
        scenario: &Scenario,
        seed: u64,
        policy: &mut dyn Policy,
        config: &ControlConfig,
        each: impl FnMut(&[Entry]),
    ) -> Self {
        Self::run_at(&Cost::default(), scenario, seed, policy, config, each)
    }

    /// The same, judged by other weights.
    pub fn run_at(
        cost: &Cost,
        scenario: &Scenario,
        seed: u64,
        policy: &mut dyn Policy,
        config: &ControlConfig,
        each: impl FnMut(&[Entry]),
    ) -> Self {
        let env = Box::new(Simulated::new(scenario, seed));
        Self::live(cost, env, (Player::Policy(policy), None), config, each)
    }

    /// The same in any environment.
    pub fn run_on<'s>(
        cost: &'s Cost,
        env: Box<dyn Environment + 's>,
        policy: &mut dyn Policy,
        config: &ControlConfig,
        each: impl FnMut(&[Entry]),
    ) -> Self {
        Self::live(cost, env, (Player::Policy(policy), None), config, each)
    }

    /// As [`Self::run`], with a second policy that decides beside it.
    pub fn run_beside(
        scenario: &Scenario,
        seed: u64,
        policy: &mut dyn Policy,
        shadow: Option<&mut Shadow>,
        config: &ControlConfig,
        each: impl FnMut(&[Entry]),
    ) -> Self {
        let env = Box::new(Simulated::new(scenario, seed));
        Self::live(&Cost::default(), env, (Player::Policy(policy), shadow), config, each)
    }

    /// The same under somebody who knows the truth: a limit for every policy.
    pub fn run_limit(
        limit: Limit<'_>,
        cost: &Cost,
        scenario: &Scenario,
        seed: u64,
        config: &ControlConfig,
        each: impl FnMut(&[Entry]),
    ) -> Self {
        Self::run_limit_on(limit, cost, Box::new(Simulated::new(scenario, seed)), config, each)
    }

    /// A limit in any environment.
    pub fn run_limit_on<'s>(
        limit: Limit<'_>,
        cost: &'s Cost,
        env: Box<dyn Environment + 's>,
        config: &ControlConfig,
        each: impl FnMut(&[Entry]),
    ) -> Self {
        Self::live(cost, env, (Player::Limit(Knowing::new(limit)), None), config, each)
    }

    fn live<'s, 'p>(
        cost: &'s Cost,
        env: Box<dyn Environment + 's>,
        (player, shadow): (Player<'p>, Option<&'p mut Shadow>),
        config: &ControlConfig,
        mut each: impl FnMut(&[Entry]),
    ) -> Self {
        let orders = runner::scheduled_starts(env.as_ref());
        let plan = Plan { player, shadow, orders, environment: "simulation".to_owned() };
        let mut runner = EpisodeRunner::begin(env, plan, config, cost);
        each(&runner.episode.journal);
        while !runner.done() {
            let told = runner.episode.journal.len();
            runner.step();
            each(&runner.episode.journal[told..]);
        }
        runner.finish()
    }

    /// The state at the end.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// Why the policy gave no usable answer, the first time that it did not; `None` where it always answered. What the
    /// episode came to is then not what the policy can do.
    #[must_use]
    pub fn fault(&self) -> Option<&str> {
        self.journal.iter().find_map(|entry| match &entry.event {
            Event::AlarmRaised { kind: AlarmKind::PolicyFault, text, .. } => Some(text.as_str()),
            _ => None,
        })
    }

    /// Journals what happened and folds it in.
    pub(super) fn keep(&mut self, at: Millis, happened: Vec<Happened>, note: &str) {
        for entry in self.state.entries(at, happened, note) {
            self.fold(entry);
        }
    }

    /// Folds an entry in that is journalled already.
    pub(super) fn fold(&mut self, entry: Entry) {
        if let Event::Decided(decision) = &entry.event {
            self.vetoes += u64::from(matches!(decision.outcome, Outcome::Vetoed | Outcome::Clipped));
        }
        self.state.apply(&entry);
        self.journal.push(entry);
    }

    /// Sums up.
    pub(super) fn finish(&mut self, env: &dyn Environment, tallies: &[Tally], cost: &Cost) {
        let start = env.start();
        self.length = env.now().since(start);
        let mut results: Vec<FlagResult> = (0..)
            .zip(&self.state.flags)
            .zip(env.detectability())
            .map(|((index, flag), detectability)| {
                let truth = env.truths().get(index).copied().unwrap_or_default();
                let tally: Tally = tallies.get(index).copied().unwrap_or_default();
                FlagResult {
                    flag: flag.spec.key.clone(),
                    harmful: tally.harmful,
                    detectability,
                    started_at: None,
                    complete_at: None,
                    rolled_back_at: None,
                    harmed_at: tally.harmed_at,
                    flips: 0,
                    phase: flag.phase,
                    rollout: flag.rollout,
                    bad_requests: truth.total_bad_requests,
                    bad_requests_answered: tally.bad_requests,
                    escalated: tally.escalated,
                    harmful_at_end: truth.harmful,
                    cost: truth.total_cost,
                    cost_at_full: tally.cost_at_full,
                    points: tally.points,
                    rollback_points: f64::from(tally.rollbacks) * cost.rollback(!tally.harmful),
                    harm: tally.points.harm(),
                }
            })
            .collect();
        let mut lowered = vec![false; results.len()];
        for entry in &self.journal {
            let at = Some(entry.at.since(start));
            if let Event::KilledAll { .. } = entry.event {
                for result in results.iter_mut().filter(|result| result.started_at.is_some()) {
                    result.rolled_back_at = result.rolled_back_at.or(at);
                }
            }
            let Some(id) = entry.event.flag() else { continue };
            let Some(result) = results.get_mut(id.index()) else { continue };
            let (from, to) = match &entry.event {
                Event::Started { to, .. } => (Rollout::ZERO, *to),
                Event::Decided(Decision { from, to, .. }) | Event::Set { from, to, .. } => (*from, *to),
                Event::Promoted { from, .. } => (*from, Rollout::FULL),
                Event::RolledBack { from, .. } => (*from, Rollout::ZERO),
                _ => continue,
            };
            if from != to {
                let lowers = to < from && !to.is_zero();
                result.flips += u32::from(!from.is_zero() && !to.is_zero() && lowers != lowered[id.index()]);
                lowered[id.index()] = lowers;
            }
            if from.is_zero() && !to.is_zero() {
                result.started_at = result.started_at.or(at);
            }
            if to.is_full() {
                result.complete_at = result.complete_at.or(at);
            }
            if to.is_zero() && !from.is_zero() {
                result.rolled_back_at = result.rolled_back_at.or(at);
            }
        }
        self.flags = results;
    }
}
