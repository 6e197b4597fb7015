//! Scenarios by the number: drawn at random, so that an agent learns to roll flags out, not to know a dozen worlds.
//!
//! Domain randomisation (Tobin et al. 2017): service, noise, flag, harm and telemetry are all drawn, from ranges that a
//! curriculum widens. A number always gives the same scenario, at once and on any machine. Training, validation and test
//! draw from the same ranges but never the same scenario. Who decides on rollouts, and how well, is not known here.

mod family;
mod fault;
mod ranges;
mod surroundings;
#[cfg(test)]
mod tests;

use super::{
    Scenario, ScheduledStart,
    noise::{Purpose, Stream},
};
use knightwatch_core::{flag::FlagId, telemetry::Millis};

pub use family::{Family, UnknownFamily};
use ranges::Dice;

/// How long a generated scenario runs: time for the slowest policy to bring a good flag to 100 % (half an hour for the fixed
/// schedule), and as long again for what wakes late to be seen there. A shorter one would flatter the slow.
pub const HORIZON: Millis = Millis::from_secs(60 * 60);
/// The control interval of generated scenarios.
const INTERVAL: Millis = Millis::from_secs(10);
/// Who starts their flags.
const OPERATOR: &str = "generator";
/// Bits of a number that count; above them stands the split.
const NUMBER_BITS: u32 = 62;
/// The seed of all streams. Another one would be another population of scenarios.
const POPULATION: u64 = 2_026;

/// What scenarios are for. The same number gives another scenario in each, and no two of them share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    /// What the agent learns on.
    Training,
    /// What settings are chosen by.
    Validation,
    /// What results are reported on, once.
    Test,
}

impl Split {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Training, Self::Validation, Self::Test];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Training => "training",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }

    /// A number of this split: the split stands above the number's own bits, so two splits never have one in common.
    /// Streams and generators are made of it by steps that can be undone, so they have none in common either.
    const fn place(self, number: u64) -> u64 {
        ((self as u64 + 1) << NUMBER_BITS) | within(number)
    }
}

/// A number's own bits.
const fn within(number: u64) -> u64 {
    number & ((1 << NUMBER_BITS) - 1)
}

/// How hard generated scenarios are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Curriculum(f64);

impl Curriculum {
    /// Large plain effects, much traffic, little noise.
    pub const EASY: Self = Self(0.0);
    /// The full ranges.
    pub const FULL: Self = Self(1.0);

    /// At a difficulty from 0 (easy) to 1 (full); what lies outside is cut, and what is not a number is 1.
    #[must_use]
    pub const fn new(difficulty: f64) -> Self {
        Self(if difficulty.is_nan() { 1.0 } else { difficulty.clamp(0.0, 1.0) })
    }

    /// From 0 to 1.
    #[must_use]
    pub const fn difficulty(self) -> f64 {
        self.0
    }
}

/// A source of scenarios.
#[derive(Clone, Debug, PartialEq)]
pub struct Generator {
    /// What they are for.
    pub split: Split,
    /// The families they come from, in turn by number; one named twice comes twice as often. None at all means
    /// [`Family::TRAINING`].
    pub families: Vec<Family>,
    /// How hard they are. Heeded in training alone: validation and test are always drawn from the full ranges.
    pub curriculum: Curriculum,
}

impl Generator {
    /// The families of training, from the full ranges.
    #[must_use]
    pub fn new(split: Split) -> Self {
        Self { split, families: Family::TRAINING.to_vec(), curriculum: Curriculum::FULL }
    }

    /// The scenario of this number, and its family. Numbers count up to 2^62 and then begin again.
    ///
    /// Pure, and as quick for any number: about 10 µs. The same number of another family list, but the same split, has
    /// the same service and the same flags before anything goes wrong with them.
    #[must_use]
    pub fn scenario(&self, number: u64) -> (Family, Scenario) {
        let number = within(number);
        let family = self.family(number);
        let dice = |what| Dice {
            draws: Stream::new(POPULATION, what).at(Purpose::Scenario, self.split.place(number)),
            difficulty: self.difficulty(),
        };
        let mut around = dice("surroundings");
        let start = surroundings::start(&mut around);
        let (service, asking) = surroundings::service(&mut around, family);

        let mut people = dice("flags");
        let starts = [&ranges::START_SECS, &ranges::SECOND_START_SECS];
        let starts = starts.map(|range| surroundings::seconds(people.draw(range)));
        let has_second = people.chance(ranges::SECOND_FLAG) || family == Family::Interaction;
        let flags: Vec<_> = [true, false]
            .into_iter()
            .filter(|is_first| *is_first || has_second)
            .filter_map(|is_first| surroundings::flag(&mut people, &service, asking, is_first))
            .collect();
        let scheduled_starts = (0_u32..)
            .zip(starts)
            .take(flags.len())
            .map(|(flag, at)| ScheduledStart { at, flag: FlagId(flag), operator: OPERATOR.to_owned() })
            .collect();

        let mut scenario = Scenario {
            name: format!("{family}/{number}"),
            title: family.about().to_owned(),
            story: String::new(),
            start,
            duration: HORIZON,
            interval: INTERVAL,
            cost_per_bad_request: 0.0,
            services: vec![service],
            flags,
            outages: Vec::new(),
            scheduled_starts: Vec::new(),
        };
        scenario.set_scheduled_starts(scheduled_starts);
        fault::add(&mut dice("faults"), family, starts[fault::FIRST], &mut scenario);
        (family, scenario)
    }

    /// A seed for the world of this number: other ones in training, validation and test.
    #[must_use]
    pub const fn seed(&self, number: u64) -> u64 {
        self.split.place(number)
    }

    /// The family of a number: they take turns.
    fn family(&self, number: u64) -> Family {
        let families = if self.families.is_empty() { &Family::TRAINING[..] } else { &self.families };
        let turn = usize::try_from(number % families.len() as u64).unwrap_or_default();
        families.get(turn).copied().unwrap_or(Family::Healthy)
    }

    fn difficulty(&self) -> f64 {
        match self.split {
            Split::Training => self.curriculum.difficulty(),
            Split::Validation | Split::Test => 1.0,
        }
    }
}
