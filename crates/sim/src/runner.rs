//! Runs an episode in an environment, one control interval after the other: orders, world, tick, truth, in this order
//! everywhere.
//!
//! Who decides is a policy, a limit, or a journal that has it all already. What comes of it is an [`Episode`]. It must
//! not know whether anybody compares it with another episode.

use std::collections::VecDeque;

use super::{Cost, Environment, Episode, IntervalCost, limit::Knowing};
use crate::ScheduledStart;
use knightwatch_core::{
    control::{
        Actor, Command, ControlConfig, Entry, Event, FlagState, Moment, Order, OrderId, Phase, Policy,
        Refusal, Shadow, State, TelemetryState, decide, tick,
    },
    flag::Rollout,
    telemetry::{Feed, Millis},
};

/// What is gathered for one flag during the episode.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    /// A flag that hurts only together with another is harmful while that one is on, and guilty ever after.
    pub(super) harmful: bool,
    pub(super) harmed_at: Option<Millis>,
    pub(super) cost_at_full: f64,
    pub(super) points: IntervalCost,
    pub(super) rollbacks: u32,
    /// Failed requests beyond control's rate before it was handed over.
    pub(super) bad_requests: f64,
    /// Its telemetry was lost for so long that a person was called: what comes then is no policy's doing.
    pub(super) escalated: bool,
}

/// Who proposes.
pub enum Player<'p> {
    /// A policy.
    Policy(&'p mut dyn Policy),
    /// Somebody who knows the truth.
    Limit(Knowing<'p>),
    /// Nobody: what was decided, and what people ordered, is in these entries.
    Journal(VecDeque<Entry>),
}

impl Player<'_> {
    /// The policy, where one decides.
    fn policy(&mut self) -> Option<&mut dyn Policy> {
        match self {
            Self::Policy(policy) => Some(&mut **policy),
            Self::Limit(limit) => Some(limit),
            Self::Journal(_) => None,
        }
    }
}

/// What people order, and when, in controller time; oldest first.
pub type Orders = VecDeque<(Millis, Order)>;

/// What is to be lived through.
pub struct Plan<'p> {
    /// Who proposes.
    pub player: Player<'p>,
    /// Beside those in a journal that plays.
    pub orders: Orders,
    /// The environment's name; re-arming asks for it.
    pub environment: String,
    /// Who decides beside the player.
    pub shadow: Option<&'p mut Shadow>,
}

/// An order that came to nothing, and why.
pub struct Refused {
    /// When it was given.
    pub at: Millis,
    /// The order.
    pub order: Order,
    /// Why.
    pub why: Refusal,
}

/// A running episode.
pub struct EpisodeRunner<'w, 'p> {
    /// What came of it so far.
    pub episode: Episode,
    /// What is remembered of telemetry.
    pub telemetry_state: TelemetryState,
    /// The settings of control, at the stage's interval.
    pub config: ControlConfig,
    /// The telemetry of the last interval.
    pub feed: Feed,
    /// The orders that came to nothing.
    pub refused: Vec<Refused>,
    player: Player<'p>,
    shadow: Option<&'p mut Shadow>,
    orders: Orders,
    env: Box<dyn Environment + 'w>,
    cost: &'w Cost,
    tallies: Vec<Tally>,
    rollouts: Vec<Rollout>,
    under_way: Vec<bool>,
}

impl<'w, 'p> EpisodeRunner<'w, 'p> {
    /// An episode at its environment's start, with its flags declared.
    #[must_use]
    pub fn begin(
        env: Box<dyn Environment + 'w>,
        plan: Plan<'p>,
        config: &ControlConfig,
        cost: &'w Cost,
    ) -> Self {
        let Plan { mut player, orders, environment, shadow } = plan;
        let mut episode = Episode::default();
        let (start, specs) = (env.start(), env.specs());
        let flags = specs.len();
        if let Player::Journal(entries) = &mut player {
            episode.fold_tick(entries, start);
        } else {
            let policy = player.policy();
            let started = Event::SessionStarted {
                environment,
                source: env.source(),
                policy: policy.as_ref().map(|policy| policy.name().to_owned()).unwrap_or_default(),
                seed: Some(env.seed()),
                settings: policy.and_then(|policy| policy.settings()),
            };
            let mut happened = vec![(Actor::System, started)];
            happened.extend(specs.into_iter().map(|spec| (Actor::System, Event::Created { spec })));
            episode.keep(start, happened, "");
        }
        Self {
            episode,
            telemetry_state: TelemetryState::new(),
            config: ControlConfig { interval: env.interval(), ..config.clone() },
            feed: Feed::default(),
            refused: Vec::new(),
            player,
            shadow,
            orders,
            env,
            cost,
            tallies: vec![Tally::default(); flags],
            rollouts: Vec::new(),
            under_way: Vec::new(),
        }
    }

    /// The end of the last interval.
    #[must_use]
    pub fn now(&self) -> Millis {
        self.env.now()
    }

    /// Whether the environment is at its end.
    #[must_use]
    pub fn done(&self) -> bool {
        self.env.done()
    }

    /// Lives through one interval.
    pub fn step(&mut self) {
        self.obey();
        let flags = &self.episode.state.flags;
        self.rollouts.clear();
        self.rollouts.extend(flags.iter().map(|flag| flag.rollout));
        self.under_way.clear();
        self.under_way.extend(flags.iter().map(|flag| !flag.phase.needs_start()));
        self.episode.flag_steps += flags.iter().filter(|flag| flag.phase == Phase::Ramping).count() as u64;
        self.env.step(&self.rollouts, &mut self.feed);
        if let Player::Limit(limit) = &mut self.player {
            limit.learn(self.env.truths());
        }
        let end = self.env.now();
        let moment = Moment { end, now: end };
        let Self { episode, telemetry_state, config, feed, player, shadow, .. } = self;
        if let Player::Journal(entries) = player {
            telemetry_state.observe(&episode.state, config, feed, moment);
            episode.fold_tick(entries, end);
        } else if let Some(policy) = player.policy() {
            let happened = tick(&episode.state, telemetry_state, policy, config, feed, moment);
            let beside =
                shadow.as_mut().map(|shadow| shadow.look(&episode.state, telemetry_state, config, moment));
            episode.keep(end, happened, "");
            episode.keep(end, beside.unwrap_or_default(), "");
        }
        self.tally(end);
    }

    /// What the interval that ends at `end` came to, in truth.
    fn tally(&mut self, end: Millis) {
        let begun = end.since(self.env.start()).since(self.config.interval);
        let flags = self.episode.state.flags.iter().zip(self.rollouts.iter().zip(&self.under_way));
        let truths = self.tallies.iter_mut().zip(self.env.truths());
        for ((flag, (rollout, under_way)), (tally, truth)) in flags.zip(truths) {
            tally.harmful |= truth.harmful;
            if truth.does_harm() {
                tally.harmed_at = tally.harmed_at.or(Some(begun));
            }
            tally.cost_at_full += if flag.ramp > 0 { truth.cost_at_full } else { 0.0 };
            if *under_way && !tally.escalated {
                tally.points += self.cost.interval(truth, flag.rollout != *rollout);
                tally.bad_requests += truth.bad_requests;
                tally.rollbacks += u32::from(flag.phase == Phase::RolledBack);
                let since_change = end.since(flag.changed_at);
                let report = self.telemetry_state.report(flag.id);
                tally.escalated =
                    report.is_some_and(|report| self.config.shield.escalates(report, since_change).is_some());
            }
        }
    }

    /// Carries out what people have ordered by now. What they do to a flag under way costs what it would cost a policy.
    pub fn obey(&mut self) {
        let now = self.now();
        let due = match &self.player {
            Player::Journal(entries) => entries.front().map(|entry| entry.at),
            Player::Policy(_) | Player::Limit(_) => self.orders.front().map(|(at, _)| *at),
        };
        if due.is_none_or(|due| due > now) {
            return;
        }
        let standing = |flag: &FlagState| (flag.rollout, !flag.phase.needs_start());
        let before: Vec<_> = self.episode.state.flags.iter().map(standing).collect();
        if let Player::Journal(entries) = &mut self.player {
            while let Some(entry) = entries.pop_front_if(|entry| entry.at <= now) {
                self.episode.fold(entry);
            }
        }
        while let Some((at, order)) = self.orders.pop_front_if(|(at, _)| *at <= now) {
            match decide(&self.episode.state, &self.telemetry_state, &self.config, now, &order) {
                Ok(granted) => self.episode.keep(now, granted.happened, &order.reason),
                Err(why) => self.refused.push(Refused { at, order, why }),
            }
        }
        let flags = self.episode.state.flags.iter().zip(before).zip(&mut self.tallies);
        for ((flag, (rollout, under_way)), tally) in flags {
            if under_way && !tally.escalated && flag.rollout != rollout {
                tally.points.acting += self.cost.acting;
                tally.rollbacks += u32::from(flag.phase == Phase::RolledBack);
            }
        }
    }

    /// What came of it.
    #[must_use]
    pub fn finish(mut self) -> Episode {
        self.episode.finish(self.env.as_ref(), &self.tallies, self.cost);
        self.episode
    }
}

impl Episode {
    /// Folds in what a journal has of the tick that ends at `end`: orders of the same moment come after it.
    fn fold_tick(&mut self, entries: &mut VecDeque<Entry>, end: Millis) {
        while let Some(entry) = entries.pop_front_if(|entry| entry.at <= end && !by_order(entry, &self.state))
        {
            self.fold(entry);
        }
    }
}

/// Whether an entry came of a person's order, and not of a tick. A start that has waited for its deployment is the
/// person's too, but a tick's doing.
#[must_use]
pub fn by_order(entry: &Entry, state: &State) -> bool {
    let waited = match &entry.event {
        Event::Started { flag, .. } => {
            state.flags.get(flag.index()).is_some_and(|flag| flag.waiting.is_some())
        }
        _ => false,
    };
    matches!(entry.actor, Actor::Person(_)) && !waited
}

/// The people who start an environment's flags.
pub fn scheduled_starts(env: &dyn Environment) -> Orders {
    let (start, specs) = (env.start(), env.specs());
    let order = |scheduled: ScheduledStart| {
        let order = Order {
            id: OrderId(String::new()),
            actor: Actor::Person(scheduled.operator),
            authenticated: None,
            reason: String::new(),
            expected: None,
            command: Command::Start { flag: specs[scheduled.flag.index()].key.clone() },
        };
        (start + scheduled.at, order)
    };
    env.scheduled_starts().into_iter().map(order).collect()
}
