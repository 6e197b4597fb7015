//! What policies are evaluated on: shipped scenarios with a number of seeds each, generated worlds by their number, or
//! recordings of real telemetry.
//!
//! It hands them out by index, so that any thread can take any of them. It knows nothing of policies.

use std::{
    borrow::Cow,
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use serde::{Serialize, Serializer};

use super::{
    super::{Failure, scene},
    folder,
};
use crate::recording::{Recording, RecordingOptions};
use knightwatch_sim::{Family, Generator, Scenario, Split};

/// Too large to be part of the comparison: a fleet for load, not for judgement.
const LEFT_OUT: &str = "fleet-1000";

/// Worlds of `quick`: so many that it ends within two minutes on two slow cores, unoptimised; 30 of each family.
const QUICK_WORLDS: u64 = 450;
/// Worlds of each family in `record`.
const FULL_WORLDS: u64 = 200;
/// The first of them: those before were looked at when an earlier shield or harm weight was recorded.
const FULL_FROM: u64 = 50_400;

/// A split, as `--split` takes it.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum SplitArg {
    /// What the agent learns on
    Training,
    /// What settings are chosen by
    Validation,
    /// What the README and the model card report on: nothing was chosen by it, and some families are met here only
    Test,
}

impl From<SplitArg> for Split {
    fn from(arg: SplitArg) -> Self {
        match arg {
            SplitArg::Training => Self::Training,
            SplitArg::Validation => Self::Validation,
            SplitArg::Test => Self::Test,
        }
    }
}

/// See the module.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Field {
    /// Every scenario with every seed from 0 up.
    Shipped {
        #[serde(serialize_with = "names")]
        scenarios: Vec<Scenario>,
        seeds: u64,
    },
    /// So many worlds from one number on.
    Generated {
        #[serde(flatten, serialize_with = "split_and_families")]
        generator: Generator,
        from: u64,
        worlds: u64,
    },
    /// Every recording with every seed from 0 up.
    Recorded {
        #[serde(serialize_with = "titles")]
        recordings: Vec<Recording>,
        seeds: u64,
    },
}

/// One of them.
pub(in super::super) enum EvaluationWorld<'a> {
    /// Of the simulator.
    Simulated { scenario: Cow<'a, Scenario>, seed: u64 },
    /// Recorded elsewhere.
    Recorded { recording: &'a Recording, seed: u64 },
}

impl Field {
    /// The shipped scenarios, those named, or those of a folder, each with so many seeds.
    pub(super) fn shipped(folder: Option<&Path>, named: &[String], seeds: u64) -> Result<Self, Failure> {
        let scenarios = folder.map_or_else(|| scenarios(named), folder::read)?;
        Ok(Self::Shipped { scenarios, seeds })
    }

    /// Recordings, each with so many seeds.
    pub(super) fn recorded(files: &[PathBuf], seeds: u64) -> Result<Self, Failure> {
        let read =
            |file: &PathBuf| Recording::load(file, &RecordingOptions::default()).map_err(Failure::input);
        Ok(Self::Recorded { recordings: once(files).map(read).collect::<Result<_, _>>()?, seeds })
    }

    /// So many worlds of a split, from one number on.
    pub(super) fn generated(split: Split, families: &[Family], from: u64, worlds: u64) -> Self {
        Self::Generated { generator: generator(split, families), from, worlds }
    }

    /// What takes a minute or two.
    pub(super) fn quick(families: &[Family]) -> Self {
        Self::generated(Split::Validation, families, 0, QUICK_WORLDS)
    }

    /// What the README and the model card report on.
    pub(super) fn record(families: &[Family]) -> Self {
        let generator = generator(Split::Test, families);
        let worlds = FULL_WORLDS * generator.families.len() as u64;
        Self::Generated { generator, from: FULL_FROM, worlds }
    }

    /// How many worlds there are.
    pub(super) fn len(&self) -> usize {
        let worlds = match self {
            Self::Shipped { scenarios, seeds } => scenarios.len() as u64 * seeds,
            Self::Generated { worlds, .. } => *worlds,
            Self::Recorded { recordings, seeds } => recordings.len() as u64 * seeds,
        };
        usize::try_from(worlds).unwrap_or(usize::MAX)
    }

    /// The world at an index below [`Field::len`].
    pub(super) fn world(&self, index: usize) -> EvaluationWorld<'_> {
        let index = index as u64;
        match self {
            Self::Shipped { scenarios, seeds } => EvaluationWorld::Simulated {
                scenario: Cow::Borrowed(&scenarios[nth(index, *seeds)]),
                seed: index % seeds,
            },
            Self::Recorded { recordings, seeds } => {
                EvaluationWorld::Recorded { recording: &recordings[nth(index, *seeds)], seed: index % seeds }
            }
            Self::Generated { generator, from, .. } => {
                let number = from + index;
                let (_, scenario) = generator.scenario(number);
                EvaluationWorld::Simulated { scenario: Cow::Owned(scenario), seed: generator.seed(number) }
            }
        }
    }

    /// The part that each world belongs to, by index: its family, its scenario, or its recording.
    pub(super) fn parts(&self) -> Vec<&str> {
        let part = |index: usize| match self {
            Self::Shipped { scenarios, seeds } => scenarios[nth(index as u64, *seeds)].name.as_str(),
            Self::Recorded { recordings, seeds } => recordings[nth(index as u64, *seeds)].title.as_str(),
            Self::Generated { generator, from, .. } => generator.scenario(from + index as u64).0.as_str(),
        };
        (0..self.len()).map(part).collect()
    }

    /// What it is, in a clause.
    pub(super) fn about(&self) -> String {
        match self {
            Self::Shipped { scenarios, seeds } => {
                let scenarios = scenarios.len() as u64;
                format!("{}, {} each", counted(scenarios, "scenario"), counted(*seeds, "seed"))
            }
            Self::Recorded { recordings, seeds } => format!(
                "{}, {} each; semi-real: control as recorded, incidents spliced onto treatment",
                counted(recordings.len() as u64, "recording"),
                counted(*seeds, "seed")
            ),
            Self::Generated { generator, from, worlds } => format!(
                "{worlds} generated {} {}, {}, drawn from {} {}",
                generator.split.as_str(),
                if *worlds == 1 { "world" } else { "worlds" },
                if *worlds == 1 {
                    format!("number {from}")
                } else {
                    format!("number {from} to {}", from + worlds - 1)
                },
                generator.families.len(),
                if generator.families.len() == 1 { "family" } else { "families" },
            ),
        }
    }
}

/// The generator of a split, of these families or of those that the split has by itself.
fn generator(split: Split, families: &[Family]) -> Generator {
    let mut generator = Generator::new(split);
    if !families.is_empty() {
        generator.families = once(families).copied().collect();
    } else if split == Split::Test {
        // What was left out of training is looked at when results are reported, and not before.
        generator.families = Family::ALL.to_vec();
    }
    generator
}

/// Which of several things a world is of, where each has so many.
fn nth(index: u64, each: u64) -> usize {
    usize::try_from(index / each.max(1)).unwrap_or(usize::MAX)
}

/// What was named, in that order; what was named twice comes once.
fn once<T: PartialEq>(named: &[T]) -> impl Iterator<Item = &T> {
    let is_new = |(index, one): &(usize, &T)| !named[..*index].contains(*one);
    named.iter().enumerate().filter(is_new).map(|(_, one)| one)
}

fn counted(n: u64, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

fn scenarios(named: &[String]) -> Result<Vec<Scenario>, Failure> {
    if !named.is_empty() {
        return once(named).map(|name| scene::load(name)).collect();
    }
    let shipped = Scenario::builtins().iter().filter(|(name, _)| *name != LEFT_OUT);
    shipped.map(|(name, text)| Scenario::parse(text, name).map_err(Failure::input)).collect()
}

fn names<S: Serializer>(scenarios: &[Scenario], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(scenarios.iter().map(|scenario| &scenario.name))
}

fn titles<S: Serializer>(recordings: &[Recording], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(recordings.iter().map(|recording| &recording.title))
}

fn split_and_families<S: Serializer>(generator: &Generator, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Named<'a> {
        split: &'a str,
        families: Vec<&'a str>,
    }
    let families = generator.families.iter().map(|family| family.as_str()).collect();
    Named { split: generator.split.as_str(), families }.serialize(serializer)
}
