//! Who steers: the policies by name, PPO-Master with the weights that were asked for.
//!
//! The control room and `watch` begin with whatever weights there are: where they cannot be used, everything holds
//! and an alarm says why. `simulate` and `evaluate` refuse a named file that cannot be used: whoever typed it is there
//! to read that, and a result of holding would say nothing.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;

use super::Failure;
use crate::{
    agent::{PolicyName, PpoMaster, USUAL_TASTE, Weights, WeightsError},
    config::Config,
    control::Policy,
};

/// Largest weights file that is read; a real one has some tens of kilobytes.
const MAX_BYTES: u64 = 16 << 20;

/// By which weights PPO-Master decides.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct WeightsArgs {
    /// Weights that PPO-Master decides by [default: `agent.weights` of the configuration, or the shipped ones]
    #[arg(long, value_name = "FILE")]
    pub(super) weights: Option<PathBuf>,

    /// How many times as much as config/judge.toml PPO-Master weighs harm against waiting, 0.03 to 32 [default: 5]
    #[arg(long, value_name = "FACTOR", value_parser = taste)]
    pub(super) taste: Option<f32>,
}

/// The network was trained on factors from 1/32 to 32; near the ends it has seen little.
pub(super) fn taste(text: &str) -> Result<f32, String> {
    let expected = || format!("expected a factor from 0.03 to 32, found {text:?}");
    text.parse().ok().filter(|factor| (0.03..=32.0).contains(factor)).ok_or_else(expected)
}

impl WeightsArgs {
    /// The file that is asked for here or in the configuration; `None` for the shipped weights.
    pub(super) fn file<'a>(&'a self, config: &'a Config) -> Option<&'a Path> {
        self.weights.as_deref().or_else(|| configured(config))
    }
}

/// The file that the configuration names; `None` for the shipped weights.
pub(super) fn configured(config: &Config) -> Option<&Path> {
    Some(config.agent.weights.as_path()).filter(|file| !file.as_os_str().is_empty())
}

/// The policies, ready to be built any number of times.
pub(super) struct Policies {
    ppo_master: PpoMaster,
    /// The file that was named, where one was.
    file: Option<PathBuf>,
}

impl Policies {
    /// For these policies; reads the weights where one of them needs any.
    pub(super) fn of(args: &WeightsArgs, config: &Config, names: &[PolicyName]) -> Result<Self, Failure> {
        if !names.contains(&PolicyName::PpoMaster) {
            if args.weights.is_some() {
                return Err(Failure::input(
                    "--weights: only ppo-master decides by weights; choose it with --policy ppo-master",
                ));
            }
            return Ok(Self { ppo_master: PpoMaster::shipped(), file: None });
        }
        let file = args.file(config).map(Path::to_owned);
        let ppo_master = match &file {
            Some(file) => PpoMaster::new(read(file).map(Arc::new)).named(&file.display().to_string()),
            None => PpoMaster::shipped(),
        }
        .with_taste(args.taste.unwrap_or(USUAL_TASTE));
        Ok(Self { ppo_master, file })
    }

    /// The same, refused where a named file cannot be used.
    pub(super) fn usable(self) -> Result<Self, Failure> {
        match (&self.file, self.ppo_master.weights()) {
            (Some(file), Err(error)) => Err(unusable(file, error)),
            _ => Ok(self),
        }
    }

    /// PPO-Master, weighing harm `factor` times as much as the judge.
    pub(super) fn tasted(&self, factor: f32) -> Box<dyn Policy> {
        Box::new(self.ppo_master.clone().with_taste(factor))
    }

    /// The policy of this name. `seed` matters only where chance does.
    pub(super) fn build(&self, name: PolicyName, seed: u64) -> Box<dyn Policy> {
        match name {
            PolicyName::PpoMaster => Box::new(self.ppo_master.clone()),
            other => other.build(seed),
        }
    }
}

/// Reads a weights file.
pub(super) fn read(file: &Path) -> Result<Weights, WeightsError> {
    let mut bytes = Vec::new();
    let read = |open: File| open.take(MAX_BYTES + 1).read_to_end(&mut bytes);
    let too_large =
        || io::Error::other(format!("larger than {MAX_BYTES} bytes; weights have at most that many"));
    File::open(file)
        .and_then(read)
        .and_then(|read| if read as u64 > MAX_BYTES { Err(too_large()) } else { Ok(()) })
        .map_err(|error| WeightsError::Unreadable(error.to_string()))?;
    Weights::parse(&bytes)
}

pub(super) fn unusable(file: &Path, error: &WeightsError) -> Failure {
    Failure::input(format!("{}: no usable weights: {error}", file.display()))
}
