//! One scenario under one policy: what was decided, and what it came to in truth.

use serde::Serialize;

use super::{Cost, IntervalCost, oracle::Oracle};
use crate::{
    control::{
        Actor, AlarmKind, Command, ControlConfig, Entry, Event, Moment, Observatory, Order, OrderId, Outcome,
        Phase, Policy, State, decide, tick,
    },
    flag::{FlagId, FlagKey, Rollout},
    sim::{HARMFUL_ERRORS, HARMFUL_P99, Scenario, Truth, World},
    telemetry::{Feed, Millis},
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
    /// P99 at least 3 % longer, than control.
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

/// What is gathered of one flag as the world runs.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    /// A flag that hurts only together with another is harmful while that one is on, and guilty ever after.
    harmful: bool,
    harmed_at: Option<Millis>,
    cost_at_full: f64,
    points: IntervalCost,
    rollbacks: u32,
    /// Its telemetry was lost for so long that a person was called: what comes then is no policy's doing.
    handed_over: bool,
}

/// Whether treatment was worse than control by as much as harm is.
fn does_harm(truth: &Truth) -> bool {
    !truth.rollout.is_zero()
        && (truth.error_rate_treatment - truth.error_rate_control >= HARMFUL_ERRORS
            || truth.p99_ratio() >= HARMFUL_P99)
}

/// Who proposes.
enum Player<'p> {
    Policy(&'p mut dyn Policy),
    Oracle(Oracle),
}

impl Player<'_> {
    fn policy(&mut self) -> &mut dyn Policy {
        match self {
            Self::Policy(policy) => &mut **policy,
            Self::Oracle(oracle) => oracle,
        }
    }
}

/// A scenario lived through.
pub struct Episode {
    /// The journal, oldest first.
    pub journal: Vec<Entry>,
    /// What came of each flag.
    pub flags: Vec<FlagResult>,
    /// Decisions that the policy was asked for, one for each flag and tick.
    pub flag_steps: u64,
    /// Vetoed or clipped proposals that were journalled.
    pub vetoes: u64,
    state: State,
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
        Self::live(cost, scenario, seed, Player::Policy(policy), config, each)
    }

    /// The same under the oracle, which knows the truth: a limit for every policy.
    pub fn run_oracle(
        cost: &Cost,
        scenario: &Scenario,
        seed: u64,
        config: &ControlConfig,
        each: impl FnMut(&[Entry]),
    ) -> Self {
        Self::live(cost, scenario, seed, Player::Oracle(Oracle::default()), config, each)
    }

    fn live(
        cost: &Cost,
        scenario: &Scenario,
        seed: u64,
        mut player: Player<'_>,
        config: &ControlConfig,
        mut each: impl FnMut(&[Entry]),
    ) -> Self {
        let config = &ControlConfig { interval: scenario.interval, ..config.clone() };
        let mut world = World::new(scenario, seed);
        let mut observatory = Observatory::new();
        let mut episode = Self {
            journal: Vec::new(),
            flags: Vec::new(),
            flag_steps: 0,
            vetoes: 0,
            state: State::default(),
        };
        episode.begin(scenario, seed, player.policy());
        each(&episode.journal);
        let mut cues = scenario.cues().iter().peekable();
        let mut feed = Feed::default();
        let mut tallies = vec![Tally::default(); scenario.flags.len()];
        while !world.done() {
            let now = world.now();
            let told = episode.journal.len();
            while let Some(cue) = cues.next_if(|cue| scenario.start + cue.at <= now) {
                let flag = scenario.flags[cue.flag.index()].spec.key.clone();
                let order = Order {
                    id: OrderId(String::new()),
                    actor: Actor::Person(cue.operator.clone()),
                    authenticated: None,
                    reason: String::new(),
                    expected: None,
                    command: Command::Start { flag },
                };
                if let Ok(granted) = decide(&episode.state, &observatory, config, now, &order) {
                    episode.keep(now, granted.happened);
                }
            }
            let rollouts: Vec<Rollout> = episode.state.flags.iter().map(|flag| flag.rollout).collect();
            let under_way: Vec<bool> =
                episode.state.flags.iter().map(|flag| !flag.phase.needs_start()).collect();
            world.step(&rollouts, &mut feed);
            if let Player::Oracle(oracle) = &mut player {
                oracle.learn(world.truths());
            }
            let end = world.now();
            let moment = Moment { end, now: end };
            let happened = tick(&episode.state, &mut observatory, player.policy(), config, &feed, moment);
            episode.flag_steps +=
                episode.state.flags.iter().filter(|flag| flag.phase == Phase::Ramping).count() as u64;
            episode.keep(end, happened);
            for (index, flag) in episode.state.flags.iter().enumerate() {
                let (tally, truth) = (&mut tallies[index], &world.truths()[index]);
                tally.harmful |= truth.harmful;
                if does_harm(truth) {
                    tally.harmed_at = tally.harmed_at.or(Some(now.since(scenario.start)));
                }
                tally.cost_at_full += if flag.ramp > 0 { truth.cost_at_full } else { 0.0 };
                if under_way[index] && !tally.handed_over {
                    tally.points += cost.interval(truth, flag.rollout != rollouts[index]);
                    tally.rollbacks += u32::from(flag.phase == Phase::RolledBack);
                    let since_change = end.since(flag.changed_at);
                    tally.handed_over = observatory
                        .report(flag.id)
                        .is_some_and(|report| config.shield.hands_over(report, since_change).is_some());
                }
            }
            each(&episode.journal[told..]);
        }
        episode.finish(scenario, &world, &tallies, cost);
        episode
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

    fn begin(&mut self, scenario: &Scenario, seed: u64, policy: &dyn Policy) {
        let started = Event::SessionStarted {
            environment: "simulation".to_owned(),
            source: format!("scenario {} (seed {seed})", scenario.name),
            policy: policy.name().to_owned(),
            seed: Some(seed),
            settings: policy.settings(),
        };
        let mut happened = vec![(Actor::System, started)];
        happened.extend(scenario.specs().into_iter().map(|spec| (Actor::System, Event::Created { spec })));
        self.keep(scenario.start, happened);
    }

    fn keep(&mut self, at: Millis, happened: Vec<(Actor, Event)>) {
        for entry in self.state.entries(at, happened, "") {
            if let Event::Decided(decision) = &entry.event {
                self.vetoes += u64::from(matches!(decision.outcome, Outcome::Vetoed | Outcome::Clipped));
            }
            self.state.apply(&entry);
            self.journal.push(entry);
        }
    }

    fn finish(&mut self, scenario: &Scenario, world: &World, tallies: &[Tally], cost: &Cost) {
        let mut results: Vec<FlagResult> = (0_u32..)
            .zip(&self.state.flags)
            .zip(scenario.detectability())
            .map(|((id, flag), detectability)| {
                let truth = world.truth(FlagId(id));
                let tally = tallies.get(id as usize).copied().unwrap_or_default();
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
            let Some(id) = entry.event.flag() else { continue };
            let Some(result) = results.get_mut(id.index()) else { continue };
            let at = Some(entry.at.since(scenario.start));
            if let Event::Decided(decision) = &entry.event
                && decision.from != decision.to
            {
                let lowers = decision.to < decision.from && !decision.to.is_zero();
                result.flips += u32::from(lowers != lowered[id.index()] && !decision.to.is_zero());
                lowered[id.index()] = lowers;
            }
            match &entry.event {
                Event::Started { .. } => result.started_at = result.started_at.or(at),
                Event::Decided(decision) if decision.to.is_full() => {
                    result.complete_at = result.complete_at.or(at);
                }
                Event::Decided(decision) if decision.to.is_zero() && !decision.from.is_zero() => {
                    result.rolled_back_at = result.rolled_back_at.or(at);
                }
                _ => {}
            }
        }
        self.flags = results;
    }
}
