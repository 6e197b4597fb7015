//! What if another policy had steered: a recorded session lived through again in the very same world, once as it was
//! decided then and once under the other policy.
//!
//! The world draws the same traffic, noise and faults whatever the rollouts are, so that the difference between the two is
//! the other policy's doing and nothing else's. People's orders come at their recorded times in both. That it is the
//! recorded world is checked against every recorded sample. It knows neither files nor how a policy is made.

use std::collections::VecDeque;

use serde::Serialize;
use thiserror::Error;

use knightwatch_core::{
    control::{
        Actor, Command, ControlConfig, Entry, Event, Order, OrderId, Policy, State, held, policy_in_words,
    },
    flag::{FlagId, FlagKey, Rollout},
    telemetry::{Millis, Sample},
};
use knightwatch_sim::{
    Cost, Episode, FlagResult, Scenario, Simulated,
    runner::{EpisodeRunner, Orders, Plan, Player, by_order},
};

/// A session as it was recorded.
#[derive(Clone, Debug)]
pub struct Session {
    /// The world it was in.
    pub scenario: Scenario,
    /// The seed of everything drawn at random in it.
    pub seed: u64,
    /// Its journal, oldest first.
    pub journal: Vec<Entry>,
    /// The samples of each interval, by the interval's end, oldest first; at least one.
    pub ticks: Vec<(Millis, Vec<Sample>)>,
}

/// Why a session cannot be lived through again.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WhatIfError {
    /// Nothing was recorded.
    #[error("no telemetry was recorded in it")]
    NoTelemetry,
    /// The scenario in it makes other flags or other samples.
    #[error(
        "after {after} of it this program's world is not the recorded one (another version of the program simulated \
         it, or telemetry was changed): what if cannot be told"
    )]
    OtherWorld {
        /// How far the two agree, since the start.
        after: Millis,
    },
    /// The other policy gave no usable answer.
    #[error("this is no result of {policy}: {fault}")]
    Fault {
        /// Which policy.
        policy: String,
        /// What it did.
        fault: String,
    },
}

/// What one of the two did to a flag where they part.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TakenAction {
    /// Who acted; `None` where nobody did.
    pub by: Option<Actor>,
    /// The rollout afterwards.
    pub to: Rollout,
    /// What was done, or why nothing was, in a sentence.
    pub what: String,
}

/// Where the two part for the first time on a flag.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Divergence {
    /// Which flag.
    pub flag: FlagKey,
    /// When, since the session's start.
    pub at: Millis,
    /// What was done then.
    pub recorded: TakenAction,
    /// What the other policy does.
    pub what_if: TakenAction,
}

/// A person's order that is not possible under the other policy: it is skipped.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SkippedOrder {
    /// When it was given, since the session's start.
    pub at: Millis,
    /// By whom.
    pub by: Actor,
    /// What was ordered.
    pub order: Command,
    /// Why it is refused.
    pub why: String,
}

/// What came of one flag, twice.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Both {
    /// As it was.
    pub recorded: FlagResult,
    /// As it would have been.
    pub what_if: FlagResult,
}

/// Sums over all flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Totals {
    /// Failed requests beyond control's rate that the flags caused, in truth.
    pub bad_requests: f64,
    /// What they cost, in dollars, where the scenario says.
    pub dollars: f64,
    /// What users suffered, in points.
    pub harm: f64,
    /// All it cost, in points.
    pub cost: f64,
}

/// A session under another policy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WhatIf {
    /// Who steered it, in order, with what was not as usual about them.
    pub recorded: Vec<String>,
    /// Who steers instead.
    pub policy: String,
    /// How long it was.
    pub lasted: Millis,
    /// How long it would have been, had nobody ended it.
    pub planned: Millis,
    /// Where the two diverge, flag by flag, earliest first.
    pub divergences: Vec<Divergence>,
    /// What came of each flag of the scenario.
    pub flags: Vec<Both>,
    /// Sums as it was.
    pub total_recorded: Totals,
    /// Sums as it would have been.
    pub total_what_if: Totals,
    /// The second less the first: below 0, the other policy is better.
    pub difference: Totals,
    /// Orders of people that do not make sense any more.
    pub skipped: Vec<SkippedOrder>,
}

impl WhatIf {
    /// Lives through `session` again, as it was and under `policy`.
    ///
    /// # Errors
    /// Where nothing was recorded, the world is another one, or the policy gives no usable answer.
    pub fn of(
        session: &Session,
        policy: &mut dyn Policy,
        config: &ControlConfig,
        cost: &Cost,
    ) -> Result<Self, WhatIfError> {
        let Session { seed, journal, ticks, .. } = session;
        let start = session.scenario.start;
        let until = ticks.last().map(|(end, _)| *end).ok_or(WhatIfError::NoTelemetry)?;
        let planned = session.scenario.duration;
        // A backend's world goes on beyond the scenario's end.
        let mut scenario = session.scenario.clone();
        scenario.duration = planned.max(until.since(start));
        let name = policy_in_words(policy.name(), policy.settings().as_ref());
        let environment = environment(journal);
        let orders = orders(journal, &environment);
        let played = Player::Journal(journal.iter().cloned().collect());
        let played =
            Plan { player: played, orders: Orders::new(), environment: environment.clone(), shadow: None };
        let instead = Plan { player: Player::Policy(policy), orders, environment, shadow: None };
        let world = || Box::new(Simulated::new(&scenario, *seed));
        let mut then = EpisodeRunner::begin(world(), played, config, cost);
        let mut now = EpisodeRunner::begin(world(), instead, config, cost);
        if !same_flags(then.episode.state(), now.episode.state()) {
            return Err(WhatIfError::OtherWorld { after: Millis::ZERO });
        }
        let mut divergences = Divergences::default();
        let mut recorded = ticks.iter().peekable();
        while then.now() < until {
            let after = then.now().since(start);
            let told = [then.episode.journal.len(), now.episode.journal.len()];
            then.step();
            now.step();
            if let Some((_, samples)) = recorded.next_if(|(end, _)| *end == then.now())
                && *samples != then.feed.samples
            {
                return Err(WhatIfError::OtherWorld { after });
            }
            divergences.look([&then, &now], told, start);
        }
        if recorded.next().is_some() {
            // Ticks that are not on the scenario's grid.
            return Err(WhatIfError::OtherWorld { after: until.since(start) });
        }
        // Of the last moment, after the last tick.
        then.obey();
        now.obey();
        let skipped = std::mem::take(&mut now.refused);
        let skipped = skipped.into_iter().map(|refused| SkippedOrder {
            at: refused.at.since(start),
            by: refused.order.actor,
            order: refused.order.command,
            why: refused.why.to_string(),
        });
        let skipped = skipped.collect();
        let (then, now) = (then.finish(), now.finish());
        if let Some(fault) = now.fault() {
            return Err(WhatIfError::Fault { policy: name, fault: fault.to_owned() });
        }
        let (total_recorded, total_what_if) = (Totals::of(&then), Totals::of(&now));
        let known = scenario.flags.len();
        let flags = then.flags.into_iter().zip(now.flags).take(known);
        Ok(Self {
            recorded: steered_by(journal),
            policy: name,
            lasted: until.since(start),
            planned,
            divergences: divergences.found,
            flags: flags.map(|(recorded, what_if)| Both { recorded, what_if }).collect(),
            total_recorded,
            total_what_if,
            difference: total_what_if.less(total_recorded),
            skipped,
        })
    }
}

impl Totals {
    fn of(episode: &Episode) -> Self {
        let sum = |of: fn(&FlagResult) -> f64| episode.flags.iter().map(of).sum::<f64>();
        Self {
            bad_requests: sum(|flag| flag.bad_requests),
            dollars: sum(|flag| flag.cost),
            harm: sum(|flag| flag.harm),
            cost: sum(FlagResult::total_points),
        }
    }

    fn less(self, other: Self) -> Self {
        Self {
            bad_requests: self.bad_requests - other.bad_requests,
            dollars: self.dollars - other.dollars,
            harm: self.harm - other.harm,
            cost: self.cost - other.cost,
        }
    }
}

/// The divergences found so far.
#[derive(Default)]
struct Divergences {
    found: Vec<Divergence>,
    /// By [`FlagId`].
    diverged: Vec<bool>,
}

impl Divergences {
    /// Looks where the two stand after an interval; `told` is how long their journals were before it.
    fn look(&mut self, runners: [&EpisodeRunner<'_, '_>; 2], told: [usize; 2], start: Millis) {
        let [then, now] = runners;
        let flags = then.episode.state().flags.iter().zip(&now.episode.state().flags);
        self.diverged.resize(then.episode.state().flags.len(), false);
        for ((before, after), diverged) in flags.zip(&mut self.diverged) {
            if *diverged || before.rollout == after.rollout {
                continue;
            }
            *diverged = true;
            let moves =
                [0, 1].map(|which| last_move(&runners[which].episode.journal[told[which]..], before.id));
            let first = moves.iter().flatten().map(|entry| entry.at).min().unwrap_or(then.now());
            let [recorded, what_if] =
                [0, 1].map(|which| taken_action(runners[which], moves[which], before.id));
            let flag = before.spec.key.clone();
            self.found.push(Divergence { flag, at: first.since(start), recorded, what_if });
        }
    }
}

/// The last entry that moved a flag.
fn last_move(news: &[Entry], flag: FlagId) -> Option<&Entry> {
    let moved = |entry: &&Entry| match &entry.event {
        Event::Decided(decision) => decision.flag == flag && decision.from != decision.to,
        Event::Started { flag: id, .. }
        | Event::RolledBack { flag: id, .. }
        | Event::Set { flag: id, .. }
        | Event::Promoted { flag: id, .. }
        | Event::Archived { flag: id, .. } => *id == flag,
        Event::KilledAll { .. } => true,
        _ => false,
    };
    news.iter().rev().find(moved)
}

fn taken_action(runner: &EpisodeRunner<'_, '_>, moved: Option<&Entry>, id: FlagId) -> TakenAction {
    let state = &runner.episode.state();
    let to = state.flags.get(id.index()).map(|flag| flag.rollout).unwrap_or_default();
    if let Some(entry) = moved {
        return TakenAction { by: Some(entry.actor.clone()), to, what: entry.sentence.clone() };
    }
    let what = held(state, &runner.telemetry_state, &runner.config, id, runner.now())
        .map(|decision| state.entries(runner.now(), vec![(Actor::Agent, Event::Decided(decision))], ""))
        .and_then(|mut entries| entries.pop())
        .map(|entry| entry.sentence);
    TakenAction { by: None, to, what: what.unwrap_or_default() }
}

/// The environment's name; empty where the journal does not begin with a session.
fn environment(journal: &[Entry]) -> String {
    let named = journal.iter().find_map(|entry| match &entry.event {
        Event::SessionStarted { environment, .. } => Some(environment.clone()),
        _ => None,
    });
    named.unwrap_or_default()
}

/// Who steered, in order.
fn steered_by(journal: &[Entry]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for entry in journal {
        if let Event::SessionStarted { policy, settings, .. } | Event::SessionResumed { policy, settings } =
            &entry.event
        {
            let name = policy_in_words(policy, settings.as_ref());
            if all.last() != Some(&name) {
                all.push(name);
            }
        }
    }
    all
}

/// Whether both have declared the same flags.
fn same_flags(one: &State, other: &State) -> bool {
    let specs = |state: &State| state.flags.iter().map(|flag| flag.spec.clone()).collect::<Vec<_>>();
    specs(one) == specs(other)
}

/// What people ordered, as the journal has it.
fn orders(journal: &[Entry], environment: &str) -> Orders {
    let mut state = State::default();
    let mut orders = VecDeque::new();
    for entry in journal {
        if by_order(entry, &state)
            && let Some(command) = entry.command(environment)
        {
            let reason = entry.sentence.rsplit_once(" Reason given: ").map(|(_, reason)| reason.to_owned());
            let authenticated = match &entry.event {
                Event::RearmAsked { who, .. } => Some(who.clone()),
                _ => None,
            };
            let order = Order {
                id: OrderId(String::new()),
                actor: entry.actor.clone(),
                authenticated,
                reason: reason.unwrap_or_default(),
                expected: None,
                command,
            };
            orders.push_back((entry.at, order));
        }
        state.apply(entry);
    }
    orders
}
