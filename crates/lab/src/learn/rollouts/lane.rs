//! One world in training: a scenario from its start until its flags are through.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde::{Deserialize, Serialize};

use super::{
    super::price::{Good, Prices},
    Episodes, Setting, Step,
    sampler::{Asked, Chooser, Sampler},
};
use knightwatch_agent::{Features, HarmWeight, Memory, Network, Normaliser};
use knightwatch_core::{
    control::{
        Action, Actor, Command, ControlConfig, Event, Moment, Order, OrderId, Phase, State, TelemetryState,
        decide, tick,
    },
    flag::{FlagId, Rollout},
    telemetry::Feed,
};
use knightwatch_sim::{Cost, Curriculum, Generator, Scenario, World};

/// What only the critic sees of a flag: whether it is harmful, its excess of errors and P99 now, and what its worst
/// effects are.
pub(super) const PRIVILEGED: usize = 8;

/// Control intervals for which a flag is watched after the agent has nothing more to say of it; what it costs then is
/// taken to go on.
const WATCHED: u32 = 18;

/// Where harm weighs more than usual, all of the reward is divided by the weight to this power: the policy that is best
/// stays the same, and values stay of one order.
const EASED: f64 = 0.75;

/// What a false rollback costs in a world that begins.
#[derive(Clone, Copy, Debug)]
pub(super) enum Priced {
    /// As things are now.
    Now(Prices),
    /// As it was there once.
    At(f64),
}

impl Priced {
    fn of(self, harm_weight: f64) -> f64 {
        match self {
            Self::Now(prices) => prices.of(harm_weight),
            Self::At(price) => price,
        }
    }
}

/// One running world.
pub(super) struct Lane {
    number: u64,
    difficulty: f64,
    /// By how much more than the judge's a false rollback is charged here.
    price: f64,
    /// How harm is weighed, as a factor.
    factor: f64,
    /// What the network is told of how harm is weighed.
    harm_weight: HarmWeight,
    /// What rewards are multiplied by here.
    scale: f64,
    cost: Cost,
    config: ControlConfig,
    scenario: Scenario,
    world: World,
    state: State,
    telemetry_state: TelemetryState,
    feed: Feed,
    scheduled: usize,
    memories: Vec<Memory>,
    chance: Pcg64Mcg,
    tracks: Vec<Track>,
    asked: Vec<Asked>,
    rollouts: Vec<Rollout>,
    /// Ticks lived through.
    ticks: u32,
    /// All choices so far, with their log-probabilities, in the order in which they were made.
    script: Vec<(u8, f32)>,
    /// Trajectories that have come to their end since they were last taken.
    pub(super) closed: Vec<Trajectory>,
}

/// A trajectory that has come to its end.
pub(super) struct Trajectory {
    pub(super) lane: u32,
    pub(super) steps: Vec<Step>,
    pub(super) episode: Episodes,
}

/// One flag's trajectory.
#[derive(Default)]
struct Track {
    /// Tells it from all other trajectories.
    lane: u32,
    progress: FlagProgress,
    /// Steps since the last cut, the last of them open.
    steps: Vec<Step>,
    /// Whether it was ever harmful.
    harmful: bool,
    /// Whether the agent itself rolled it back.
    given_up: bool,
    /// Discount of what comes now, against the open step.
    discount: f64,
    /// Intervals that it has been watched without the agent, and what they cost.
    watched: u32,
    watched_cost: f64,
    episode: Episodes,
}

/// How far a flag has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum FlagProgress {
    /// Not started.
    #[default]
    Idle,
    /// The agent is asked.
    Steered,
    /// Complete: the agent is not asked, and what it costs counts towards its last step.
    Watched,
    /// Rolled back, or watched for long enough.
    Through,
}

/// A lane as a checkpoint keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SavedLane {
    number: u64,
    difficulty: f64,
    price: f64,
    ticks: u32,
    script: Vec<(u8, f32)>,
}

impl Lane {
    pub(super) fn new(setting: &Setting, generator: &Generator, prices: Priced, number: u64) -> Self {
        let (_, scenario) = generator.scenario((setting.seed << 40) + number);
        let mut chance = Pcg64Mcg::seed_from_u64(setting.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let harm_weight = harm_weight(setting, &mut chance);
        let world = World::new(&scenario, generator.seed((setting.seed << 40) + number));
        let config = ControlConfig { interval: scenario.interval, ..setting.control.clone() };
        let mut state = State::default();
        let created =
            scenario.specs().into_iter().map(|spec| (Actor::System, Event::Created { spec })).collect();
        keep(&mut state, scenario.start, created);
        let flags = scenario.flags.len();
        let price = prices.of(harm_weight);
        let cost = setting.cost.with_harm_weight(setting.cost.errors * harm_weight);
        Self {
            number,
            price,
            factor: harm_weight,
            difficulty: generator.curriculum.difficulty(),
            #[expect(clippy::cast_possible_truncation, reason = "of order one")]
            harm_weight: HarmWeight::Factor(harm_weight as f32),
            scale: setting.reward_scale * libm::pow(harm_weight.max(1.0), -EASED),
            cost: Cost { false_rollback: cost.false_rollback * price, ..cost },
            config,
            world,
            state,
            telemetry_state: TelemetryState::new(),
            feed: Feed::default(),
            scheduled: 0,
            memories: vec![Memory::default(); flags],
            chance,
            tracks: (0..flags)
                .map(|flag| Track { lane: lane_of(number, flag), ..Track::default() })
                .collect(),
            asked: Vec::new(),
            rollouts: Vec::new(),
            ticks: 0,
            script: Vec::new(),
            closed: Vec::new(),
            scenario,
        }
    }

    /// What a checkpoint keeps; to be asked for after a cut.
    pub(super) fn save(&self) -> SavedLane {
        let Self { number, difficulty, price, ticks, script, .. } = self;
        SavedLane {
            number: *number,
            difficulty: *difficulty,
            price: *price,
            ticks: *ticks,
            script: script.clone(),
        }
    }

    /// Lives through a world again, with what was chosen in it, up to where it was saved.
    pub(super) fn restore(
        setting: &Setting,
        generator: &Generator,
        normaliser: &Normaliser,
        saved: &SavedLane,
    ) -> Self {
        let generator = Generator { curriculum: Curriculum::new(saved.difficulty), ..generator.clone() };
        let mut lane = Self::new(setting, &generator, Priced::At(saved.price), saved.number);
        while lane.ticks < saved.ticks {
            // What is still to be chosen as it was.
            let rest = saved.script.get(lane.script.len()..).unwrap_or_default();
            lane.advance(setting, Chooser::Script(rest, normaliser));
            lane.closed.clear();
        }
        lane.cut(&mut |_, _, _| {});
        lane
    }

    /// Whether there is nothing more to learn from this world.
    pub(super) fn is_over(&self) -> bool {
        self.world.done() || self.tracks.iter().all(|track| track.progress == FlagProgress::Through)
    }

    /// What became of its good flags; to be asked for at its end.
    pub(super) fn good(&self) -> Good {
        let mut good = Good::default();
        for track in self.tracks.iter().filter(|track| track.progress != FlagProgress::Idle && !track.harmful)
        {
            good.note(self.factor, track.given_up);
        }
        good
    }

    /// Lives through one interval; returns how many decisions were made in it.
    pub(super) fn tick(&mut self, setting: &Setting, network: &Network, normaliser: &Normaliser) -> usize {
        self.advance(setting, Chooser::Network(network, normaliser))
    }

    /// The same with random holds and raises; `each` gets the raw features.
    pub(super) fn stroll(&mut self, setting: &Setting, each: &mut impl FnMut(&Features)) -> usize {
        let seen = self.advance(setting, Chooser::Stroll);
        self.asked.iter().for_each(|asked| each(&asked.raw));
        self.tracks.iter_mut().for_each(|track| track.steps.clear());
        seen
    }

    fn advance(&mut self, setting: &Setting, chooser: Chooser<'_>) -> usize {
        self.start_what_is_due();
        self.rollouts.clear();
        self.rollouts.extend(self.state.flags.iter().map(|flag| flag.rollout));
        self.world.step(&self.rollouts, &mut self.feed);
        self.add_cost(setting.gamma);
        self.asked.clear();
        let mut sampler = Sampler {
            chooser,
            harm_weight: self.harm_weight,
            memories: &mut self.memories,
            chance: &mut self.chance,
            asked: &mut self.asked,
        };
        let end = self.world.now();
        let moment = Moment { end, now: end };
        let happened =
            tick(&self.state, &mut self.telemetry_state, &mut sampler, &self.config, &self.feed, moment);
        self.script.extend(self.asked.iter().map(|asked| (asked.choice, asked.log_probability)));
        self.open();
        let decided: Vec<(FlagId, Action, Actor)> = happened
            .iter()
            .filter_map(|(actor, event)| match event {
                Event::Decided(decision) => Some((decision.flag, decision.action, actor.clone())),
                _ => None,
            })
            .collect();
        keep(&mut self.state, end, happened);
        for (flag, action, by) in decided {
            self.charge(flag, action, &by, setting.gamma);
        }
        self.settle(setting.gamma);
        self.ticks += 1;
        self.asked.len()
    }

    fn start_what_is_due(&mut self) {
        let now = self.world.now();
        while let Some(scheduled) = self
            .scenario
            .scheduled_starts()
            .get(self.scheduled)
            .filter(|scheduled| self.scenario.start + scheduled.at <= now)
        {
            let order = Order {
                id: OrderId(String::new()),
                actor: Actor::Person(scheduled.operator.clone()),
                authenticated: None,
                reason: String::new(),
                expected: None,
                command: Command::Start {
                    flag: self.scenario.flags[scheduled.flag.index()].spec.key.clone(),
                },
            };
            if let Ok(granted) = decide(&self.state, &self.telemetry_state, &self.config, now, &order) {
                keep(&mut self.state, now, granted.happened);
                self.tracks[scheduled.flag.index()].progress = FlagProgress::Steered;
            }
            self.scheduled += 1;
        }
    }

    /// Charges the interval that has just passed to the steps that led to it.
    fn add_cost(&mut self, gamma: f64) {
        let scale = self.scale;
        for (track, truth) in self.tracks.iter_mut().zip(self.world.truths()) {
            track.harmful |= truth.harmful;
            if matches!(track.progress, FlagProgress::Steered | FlagProgress::Watched) {
                let cost = self.cost.interval(truth, false).total();
                track.add_cost(scale, cost);
                if track.progress == FlagProgress::Watched {
                    track.watched += 1;
                    track.watched_cost += cost;
                    track.discount *= gamma;
                }
            }
        }
    }

    /// Opens a step for each flag that the policy was asked about.
    fn open(&mut self) {
        for asked in &self.asked {
            let privileged = privileged(&self.scenario, &self.world, asked.flag);
            let track = &mut self.tracks[asked.flag.index()];
            track.discount = 1.0;
            track.episode.length += 1;
            track.steps.push(Step {
                input: asked.input,
                privileged,
                legal: asked.legal,
                choice: asked.choice,
                log_probability: asked.log_probability,
                reward: 0.0,
            });
        }
    }

    /// Charges a move: an act costs a little, a rollback more, and it is the end. That a good flag was rolled back is
    /// charged where the policy did it. Where the shield did, that is chance to the policy, and so large that it would
    /// drown what can be learnt: charged is the wait for what will not come, so that it is no way out either. The judge
    /// charges both alike.
    fn charge(&mut self, flag: FlagId, action: Action, by: &Actor, gamma: f64) {
        let scale = self.scale;
        let track = &mut self.tracks[flag.index()];
        if !matches!(track.progress, FlagProgress::Steered | FlagProgress::Watched) || action == Action::Hold
        {
            return;
        }
        track.add_cost(scale, self.cost.acting);
        if action == Action::RollBack {
            track.given_up |= *by == Actor::Agent;
            track.add_cost(
                scale,
                match by {
                    Actor::Agent => self.cost.rollback(!track.harmful),
                    _ if track.harmful => self.cost.rollback(false),
                    _ => self.cost.rollback(false) + (self.cost.waiting + self.cost.open) / (1.0 - gamma),
                },
            );
            track.progress = FlagProgress::Through;
        }
    }

    /// Sees which flags the agent is no longer asked about, and returns trajectories that are through.
    fn settle(&mut self, gamma: f64) {
        let (is_last, now) = (self.world.done(), self.world.now());
        for (track, flag) in self.tracks.iter_mut().zip(&self.state.flags) {
            match flag.phase {
                Phase::Complete if track.progress == FlagProgress::Steered => {
                    track.progress = FlagProgress::Watched;
                }
                // The shield's probe: the agent is asked again, also after it was watched for long enough.
                Phase::Ramping if matches!(track.progress, FlagProgress::Watched | FlagProgress::Through) => {
                    track.progress = FlagProgress::Steered;
                    (track.watched, track.watched_cost) = (0, 0.0);
                }
                Phase::RolledBack | Phase::Killed if track.progress == FlagProgress::Steered => {
                    track.progress = FlagProgress::Through;
                }
                _ => {}
            }
            // A person was called: what comes then is not the policy's doing.
            if track.progress != FlagProgress::Idle
                && self.telemetry_state.report(flag.id).is_some_and(|report| {
                    self.config.shield.escalates(report, now.since(flag.changed_at)).is_some()
                })
            {
                track.progress = FlagProgress::Through;
            }
            if track.progress == FlagProgress::Watched && (track.watched >= WATCHED || is_last) {
                // What it cost on average goes on: for the agent there is no end, as there is none in production.
                let lately = track.watched_cost / f64::from(track.watched.max(1));
                track.add_cost(self.scale, lately / (1.0 - gamma));
                track.progress = FlagProgress::Through;
            }
            if track.progress == FlagProgress::Through && !track.steps.is_empty() {
                track.episode.count = 1;
                self.closed.push(Trajectory {
                    lane: track.lane,
                    steps: std::mem::take(&mut track.steps),
                    episode: std::mem::take(&mut track.episode),
                });
            }
        }
    }

    /// Returns what is finished of trajectories that go on (or are cut off by the scenario's end): `each` gets the
    /// finished steps, and the open one as what was seen after them.
    pub(super) fn cut(&mut self, each: &mut impl FnMut(u32, &[Step], &Step)) {
        for track in &mut self.tracks {
            // While it is watched its last step is still being charged.
            if let (FlagProgress::Steered | FlagProgress::Watched, Some((open, done))) =
                (track.progress, track.steps.split_last())
            {
                each(track.lane, done, open);
                track.steps.drain(..track.steps.len() - 1);
            }
        }
    }
}

impl Track {
    /// Charges `cost` to the open step.
    fn add_cost(&mut self, scale: f64, cost: f64) {
        if let Some(step) = self.steps.last_mut() {
            #[expect(clippy::cast_possible_truncation, reason = "rewards are of order one to a thousand")]
            let reward = (self.discount * cost * scale) as f32;
            step.reward -= reward;
        }
        self.episode.reward -= cost;
    }
}

/// A number for a trajectory; two that are about at the same time never have the same.
#[expect(clippy::cast_possible_truncation, reason = "the low bits tell neighbours apart")]
fn lane_of(number: u64, flag: usize) -> u32 {
    (number as u32).wrapping_mul(4).wrapping_add(flag as u32)
}

/// How harm is weighed in a world, as a factor: as usual in half of them, else log-uniform.
fn harm_weight(setting: &Setting, chance: &mut Pcg64Mcg) -> f64 {
    let (usual, draw): (bool, f64) = (chance.random(), chance.random());
    if usual { 1.0 } else { libm::exp((2.0 * draw - 1.0) * libm::log(setting.harm_weights)) }
}

/// What is so in truth, on the scales that the features have.
fn privileged(scenario: &Scenario, world: &World, flag: FlagId) -> [f32; PRIVILEGED] {
    let truth = world.truth(flag);
    let effects = scenario.flags.get(flag.index()).map_or(&[][..], |flag| &flag.effects);
    let errors = effects.iter().map(|effect| effect.errors * effect.share).fold(0.0, f64::max);
    let slower = effects.iter().map(|effect| libm::log(effect.latency) * effect.share).fold(0.0, f64::max);
    // How far above the rollout its harm begins, how much traffic it takes, and how long it still is.
    let above = effects.iter().map(|effect| effect.above_rollout).fold(0.0, f64::max) - truth.rollout.share();
    let served = effects.iter().map(|effect| effect.after_requests).fold(0.0, f64::max);
    let served = libm::log1p(served / truth.typical_requests.max(1.0)) / 3.0;
    let elapsed = world.now().since(scenario.start);
    let due = effects.iter().map(|effect| effect.from.since(elapsed).as_secs_f64()).fold(0.0, f64::max);
    [
        f64::from(u8::from(truth.harmful)),
        libm::log1p((truth.error_rate_treatment - truth.error_rate_control).max(0.0) * 1e4) / 4.0,
        libm::log(truth.p99_ratio().max(1e-3)).clamp(-3.0, 3.0),
        libm::log1p(errors * 1e4) / 4.0,
        slower,
        above,
        served,
        due / scenario.duration.as_secs_f64().max(1.0),
    ]
    .map(|value| {
        #[expect(clippy::cast_possible_truncation, reason = "of order one")]
        let value = value as f32;
        value
    })
}

fn keep(state: &mut State, at: knightwatch_core::telemetry::Millis, happened: Vec<(Actor, Event)>) {
    for entry in state.entries(at, happened, "") {
        state.apply(&entry);
    }
}
