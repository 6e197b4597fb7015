//! The training log: how PPO-Master came to be, iteration by iteration, as the trainer writes it down.
//!
//! The live screen, the recorded curves, the plain lines of a trainer without a terminal and the pictures all read this
//! one thing. It holds what was measured and how it is written as text; it knows neither files nor clocks, nor how
//! anything is trained.

mod figures;
mod line;
mod metric;
mod text;

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value};

pub use figures::{compact, count, percent, span};
pub use line::{LinePace, training_line};
pub use metric::{COST, Ends, HARM, METRICS, Measure, Metric, Scale};
pub use text::{TrainingLogError, TrainingText};

/// The version of the format that is written; newer ones are refused.
pub const TRAINING_FORMAT: u32 = 1;

/// What harm is measured in where a header says nothing else.
const HARM_UNIT: &str = "cost units a flag";

/// A training from its beginning to its end, or to where it has come.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingLog {
    /// What was trained, with which settings.
    pub header: TrainingHeader,
    /// One for each iteration, in order: iterations ascend, steps and seconds never go back.
    pub points: Vec<TrainingPoint>,
    /// How it ended; `None` while it runs, and where it broke off.
    pub end: Option<TrainingEnd>,
}

/// What was trained, with which settings. The first line of a log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingHeader {
    /// The version of the format: [`TRAINING_FORMAT`].
    pub format: u32,
    /// When it was begun, for people: `2026-11-22 14:05 UTC`.
    pub when: String,
    /// Seed of everything that was drawn at random.
    pub seed: u64,
    /// Hash of the feature schema that the network reads.
    #[serde(default)]
    pub schema: String,
    /// Units of each layer, from the observation to the actions: `[24, 64, 64, 7]`.
    #[serde(default)]
    pub network: Vec<usize>,
    /// The settings of PPO, by name.
    #[serde(default)]
    pub settings: Map<String, Value>,
    /// How long it may take.
    #[serde(default)]
    pub budget: TrainingBudget,
    /// Families of scenarios that it was trained on, by name.
    #[serde(default)]
    pub families: Vec<String>,
    /// What the baselines came to on the validation scenarios.
    #[serde(default)]
    pub opponents: Vec<Opponent>,
    /// The unit of every harm in this log.
    #[serde(default = "harm_unit")]
    pub harm_unit: String,
    /// What else has to be said of this log; shown wherever its curves are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

fn harm_unit() -> String {
    HARM_UNIT.to_owned()
}

/// How long a training may take; whichever is reached first ends it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainingBudget {
    /// Seconds of real time.
    #[serde(default)]
    pub seconds: Option<f64>,
    /// Environment steps.
    #[serde(default)]
    pub steps: Option<u64>,
}

/// A baseline on the validation scenarios.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Opponent {
    /// The policy's name.
    pub name: String,
    /// Mean harm, in [`TrainingHeader::harm_unit`].
    pub harm: f64,
    /// Mean cost: harm with waiting, acting and rollbacks, in the same unit.
    pub cost: f64,
}

/// One iteration: a batch of rollouts and the updates on it. What could not be measured (no episode ended, the variance
/// of the returns was 0) is `None`; a value that is not finite is written as `null` and read as `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainingPoint {
    /// Its number, from 1.
    pub iteration: u64,
    /// Environment steps since the beginning.
    pub steps: u64,
    /// Real seconds since the beginning.
    pub seconds: f64,
    /// Mean return of the episodes that ended in it: minus their cost.
    #[serde(default, serialize_with = "short")]
    pub reward: Option<f64>,
    /// Mean length of these episodes, in control intervals.
    #[serde(default, serialize_with = "short")]
    pub episode_length: Option<f64>,
    /// Mean entropy of the policy, in nats.
    #[serde(default, serialize_with = "short")]
    pub entropy: Option<f64>,
    /// Mean of `(r - 1) - ln r` over the updates, in nats: how far the policy moved (Schulman, "Approximating KL
    /// Divergence").
    #[serde(default, serialize_with = "short")]
    pub approx_kl: Option<f64>,
    /// Share of samples whose ratio was clipped, 0 to 1.
    #[serde(default, serialize_with = "short")]
    pub clip_fraction: Option<f64>,
    /// `1 - Var(return - value) / Var(return)`, at most 1.
    #[serde(default, serialize_with = "short")]
    pub explained_variance: Option<f64>,
    /// Mean loss of the value head.
    #[serde(default, serialize_with = "short")]
    pub value_loss: Option<f64>,
    /// Mean clipped surrogate loss of the policy head.
    #[serde(default, serialize_with = "short")]
    pub policy_loss: Option<f64>,
    /// Adam's learning rate.
    #[serde(default, serialize_with = "short")]
    pub learning_rate: Option<f64>,
    /// Environment steps a real second in this iteration.
    #[serde(default, serialize_with = "short")]
    pub steps_per_second: Option<f64>,
    /// How far the curriculum is, 0 to 1.
    #[serde(default, serialize_with = "short")]
    pub difficulty: Option<f64>,
    /// What a validation after this iteration came to, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validation: Option<Validation>,
}

/// The policy on the validation scenarios, which it is never trained on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Validation {
    /// Mean harm, in [`TrainingHeader::harm_unit`].
    pub harm: f64,
    /// Mean cost, in the same unit.
    pub cost: f64,
    /// Mean minutes from start to 100 % of harmless flags that got there; `None` where none did.
    #[serde(default, serialize_with = "short")]
    pub minutes_to_full: Option<f64>,
    /// Harmless flags that were rolled back, in percent.
    #[serde(default, serialize_with = "short")]
    pub false_rollbacks_percent: Option<f64>,
    /// Harm of the best baseline on the same scenarios.
    #[serde(default, serialize_with = "short")]
    pub best_opponent_harm: Option<f64>,
    /// Whether it was the best so far, and its weights were kept.
    #[serde(default)]
    pub best: bool,
}

/// How a training ended. The last line of a log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingEnd {
    /// The iteration whose weights were kept; `None` where no validation was reached.
    #[serde(default)]
    pub best_iteration: Option<u64>,
    /// Why it ended.
    pub reason: EndReason,
    /// Real seconds it took.
    pub seconds: f64,
}

/// Why a training ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// Its time or its steps were used up.
    Budget,
    /// It had not become better for so long that it was given up.
    EarlyStop,
    /// A person stopped it.
    Stopped,
    /// A reason that this version does not know.
    #[serde(other)]
    Other,
}

impl EndReason {
    /// In a few words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Budget => "budget used up",
            Self::EarlyStop => "stopped early: no better any more",
            Self::Stopped => "stopped by a person",
            Self::Other => "ended",
        }
    }
}

/// One line of a log, as a trainer sends it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrainingLine {
    /// The first.
    Training(TrainingHeader),
    /// An iteration.
    Point(TrainingPoint),
    /// The last.
    End(TrainingEnd),
}

/// Six significant digits: more is noise, and the log is part of the program.
#[expect(clippy::ref_option, reason = "what serde passes")]
fn short<S: Serializer>(value: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    let value = value.filter(|value| value.is_finite());
    value.map(|value| format!("{value:.5e}").parse().unwrap_or(value)).serialize(serializer)
}

/// A budget's share from 0 to 1.
fn share(done: f64, all: f64) -> f64 {
    if all > 0.0 { (done / all).clamp(0.0, 1.0) } else { 0.0 }
}

impl TrainingHeader {
    /// What the baselines came to on the validation scenarios by a measure, the best first, with their names.
    #[must_use]
    pub fn opponents_by(&self, measure: Measure) -> Vec<(f64, &str)> {
        let all =
            self.opponents.iter().map(|opponent| ((measure.of_opponent)(opponent), opponent.name.as_str()));
        let mut all: Vec<_> = all.filter(|(level, _)| level.is_finite()).collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        all
    }

    /// The layers as people write them: `24-64-64-7`.
    #[must_use]
    pub fn network_name(&self) -> String {
        self.network.iter().map(ToString::to_string).collect::<Vec<_>>().join("-")
    }

    /// How much of the budget is used up at a point, 0 to 1; `None` without a budget.
    #[must_use]
    pub fn progress(&self, point: &TrainingPoint) -> Option<f64> {
        let by_time = self.budget.seconds.map(|all| share(point.seconds, all));
        let by_steps = self.budget.steps.map(|all| share(as_f64(point.steps), as_f64(all)));
        by_time.into_iter().chain(by_steps).reduce(f64::max)
    }

    /// Seconds until the budget is used up, at the pace so far; `None` without a budget.
    #[must_use]
    pub fn seconds_left(&self, point: &TrainingPoint) -> Option<f64> {
        let by_time = self.budget.seconds.map(|all| all - point.seconds);
        let pace = as_f64(point.steps) / point.seconds;
        let by_steps = self.budget.steps.map(|all| (as_f64(all) - as_f64(point.steps)) / pace);
        let left = by_time.into_iter().chain(by_steps).filter(|left| left.is_finite()).reduce(f64::min)?;
        Some(left.max(0.0))
    }
}

impl TrainingLog {
    /// A training that has just begun.
    #[must_use]
    pub const fn new(header: TrainingHeader) -> Self {
        Self { header, points: Vec::new(), end: None }
    }

    /// Takes the next line.
    ///
    /// # Errors
    /// With what is wrong about its place, in one sentence; the log is then as it was.
    pub fn push(&mut self, line: TrainingLine) -> Result<(), String> {
        if self.end.is_some() {
            return Err("expected nothing after the end of the training".to_owned());
        }
        match line {
            TrainingLine::Training(_) => {
                return Err("a second beginning: expected one training in a log".to_owned());
            }
            TrainingLine::Point(point) => {
                self.check(&point)?;
                self.points.push(point);
            }
            TrainingLine::End(end) => self.end = Some(end),
        }
        Ok(())
    }

    fn check(&self, point: &TrainingPoint) -> Result<(), String> {
        if !point.seconds.is_finite() || point.seconds < 0.0 {
            return Err(format!("seconds: expected 0 or more, found {}", point.seconds));
        }
        let Some(last) = self.points.last() else { return Ok(()) };
        if point.iteration <= last.iteration {
            return Err(format!("iteration {}: expected one after {}", point.iteration, last.iteration));
        }
        if point.steps < last.steps {
            return Err(format!("{} steps: expected at least {}, as before", point.steps, last.steps));
        }
        if point.seconds < last.seconds {
            return Err(format!("{} seconds: expected at least {}, as before", point.seconds, last.seconds));
        }
        Ok(())
    }

    /// The log of the agent that comes with the program.
    ///
    /// # Errors
    /// When the program was built with a log that cannot be read.
    pub fn shipped() -> Result<Self, TrainingLogError> {
        Self::parse(include_str!("../../../assets/ppo-master.training.jsonl")).map(|read| read.log)
    }
}

/// The best validation among `points`: the last whose weights were kept.
#[must_use]
pub fn best_of(points: &[TrainingPoint]) -> Option<(&TrainingPoint, Validation)> {
    points
        .iter()
        .rev()
        .find_map(|point| point.validation.filter(|validation| validation.best).map(|best| (point, best)))
}

/// A count for arithmetic.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
#[must_use]
pub const fn as_f64(count: u64) -> f64 {
    count as f64
}
