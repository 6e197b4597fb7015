//! Who steers: the policies by name, PPO-Master with the weights that were asked for.
//!
//! A weights file that is named on the command line and cannot be used is refused by every verb: whoever typed it is
//! there to read that. One that only the configuration names is refused where a result comes out of it (`simulate`,
//! `evaluate`, `replay --text`, `config --check`); the control room and `watch` begin all the same, hold, and an alarm says
//! why: a file that broke on the disk must not lock the operator out, and the shield still rolls back.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use clap::{
    Args,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};

use super::Failure;
use crate::config::Config;
use knightwatch_agent::{HarmWeight, PolicyName, PpoMaster, Weights, WeightsError};
use knightwatch_core::control::{Policy, PolicySettings, Shadow};
use knightwatch_engine::Guarded;

/// What `--policy` and `--shadow` take: a policy that may steer.
pub(super) fn steering() -> impl TypedValueParser<Value = PolicyName> {
    one_of(&PolicyName::STEERING)
}

/// A policy of these by its name, with what each is in the help.
#[must_use]
pub fn one_of(names: &'static [PolicyName]) -> impl TypedValueParser<Value = PolicyName> {
    let values = names.iter().map(|name| PossibleValue::new(name.as_str()).help(name.about()));
    PossibleValuesParser::new(values).try_map(|text| PolicyName::find(&text, names))
}

/// How long a shadow may take to answer. The next step waits for it, what was decided does not.
const SHADOW_DEADLINE: Duration = Duration::from_millis(100);

/// Who decides beside the one that steers, without acting: as asked for, or as the configuration says.
pub(super) fn shadow(asked: Option<PolicyName>, config: &Config) -> Option<PolicyName> {
    // What the configuration says was checked when it was read.
    asked.or_else(|| config.agent.shadow.parse().ok())
}

/// Largest weights file that is read; a real one has some tens of kilobytes.
const MAX_BYTES: u64 = 16 << 20;

/// By which weights PPO-Master decides.
#[derive(Clone, Debug, Default, Args)]
pub struct WeightsArgs {
    /// Weights that PPO-Master decides by [default: `agent.weights` of the configuration, or the shipped ones]
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,

    /// How many times as much as config/judge.toml PPO-Master weighs harm against waiting: by-traffic (more for flags with more
    /// requests) or a factor from 0.03 to 32 for all alike [default: `agent.harm_weight` of the configuration, by-traffic]
    #[arg(long, allow_negative_numbers = true)]
    pub harm_weight: Option<HarmWeight>,
}

impl WeightsArgs {
    /// The first of these options that is given.
    #[must_use]
    pub fn first_option(&self) -> Option<&'static str> {
        self.weights.as_ref().map(|_| "--weights").or_else(|| self.harm_weight.map(|_| "--harm-weight"))
    }
}

/// The file that the configuration names; `None` for the shipped weights.
pub(super) fn configured(config: &Config) -> Option<&Path> {
    Some(config.agent.weights.as_path()).filter(|file| !file.as_os_str().is_empty())
}

/// Refuses the file that the configuration names where it cannot be used: for who checks before a start.
pub(super) fn check_configured(config: &Config) -> Result<(), Failure> {
    configured(config).map_or(Ok(()), |file| read(file).map(drop).map_err(|error| unusable(file, &error)))
}

/// The policies, ready to be built any number of times.
pub struct Policies {
    ppo_master: PpoMaster,
    /// The file that was named, where one was.
    file: Option<PathBuf>,
}

impl Policies {
    /// For these policies; reads the weights where one of them needs any.
    ///
    /// # Errors
    /// Weights that are named and cannot be used; options for PPO-Master where it does not take part.
    pub fn of(args: &WeightsArgs, config: &Config, names: &[PolicyName]) -> Result<Self, Failure> {
        if !names.contains(&PolicyName::PPO_MASTER) {
            return match args.first_option() {
                Some(option) => Err(Failure::input(format!(
                    "{option}: only ppo-master has any; choose it with --policy ppo-master"
                ))),
                None => Ok(Self { ppo_master: PpoMaster::shipped(), file: None }),
            };
        }
        let harm_weight = args.harm_weight.unwrap_or(config.agent.harm_weight);
        match &args.weights {
            Some(file) => Self::with(Some(file), harm_weight).usable(),
            None => Ok(Self::with(configured(config), harm_weight)),
        }
    }

    /// As a session was steered that is resumed; what is asked for otherwise, or is no longer there, is refused.
    pub(super) fn again(
        args: &WeightsArgs,
        before: &PolicySettings,
        session: &Path,
    ) -> Result<Self, Failure> {
        let session = session.display();
        let other = |what, found: &str, asked: &str| {
            Failure::input(format!(
                "{session}: the session that is there has {what} {found}, not {asked}; omit --{what} to resume it"
            ))
        };
        let harm_weight = HarmWeight::from(before.harm_weight);
        if let Some(asked) = args.harm_weight.filter(|asked| *asked != harm_weight) {
            return Err(other("harm-weight", &harm_weight.to_string(), &asked.to_string()));
        }
        let named = args.weights.as_deref();
        let policies = Self::with(named.or(before.file.as_deref().map(Path::new)), harm_weight);
        if before.weights.is_empty() {
            // They could not be used then; whatever is there now is no worse, and the journal says what it is.
            return if named.is_some() { policies.usable() } else { Ok(policies) };
        }
        let policies = policies.usable().map_err(|failure| {
            let hint = if named.is_some() { "" } else { "; name the session's weights with --weights" };
            Failure { text: format!("{}{hint}", failure.text), ..failure }
        })?;
        let found =
            policies.ppo_master.weights().as_ref().map(|weights| weights.hash.as_str()).unwrap_or_default();
        match (named, &before.file) {
            _ if found == before.weights => Ok(policies),
            (Some(_), _) => Err(other("weights", &before.weights, found)),
            (None, Some(file)) => Err(Failure::input(format!(
                "{session}: the session was steered by the weights {}, and {file} now holds {found}; name the session's weights with --weights",
                before.weights
            ))),
            // Those of another version of this program: it continues with its own, and the journal says so.
            (None, None) => Ok(policies),
        }
    }

    fn with(file: Option<&Path>, harm_weight: HarmWeight) -> Self {
        let ppo_master = match file {
            Some(file) => {
                // A session is resumed from any folder.
                let found = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
                PpoMaster::new(read(file).map(Arc::new))
                    .named(&file.display().to_string())
                    .read_from(&found.display().to_string())
            }
            None => PpoMaster::shipped(),
        };
        Self { ppo_master: ppo_master.with_harm_weight(harm_weight), file: file.map(Path::to_owned) }
    }

    /// The same, refused where a named file cannot be used.
    ///
    /// # Errors
    /// A named weights file that cannot be used.
    pub fn usable(self) -> Result<Self, Failure> {
        match (&self.file, self.ppo_master.weights()) {
            (Some(file), Err(error)) => Err(unusable(file, error)),
            _ => Ok(self),
        }
    }

    /// What PPO-Master decides by, where it has usable weights: their hash, and its harm weight.
    pub fn ppo_master(&self) -> String {
        let settings = Policy::settings(&self.ppo_master);
        let harm_weight = self.ppo_master.harm_weight();
        settings
            .map_or_else(String::new, |settings| format!("{}, harm weight {harm_weight}", settings.weights))
    }

    /// PPO-Master, weighing harm in this way.
    #[must_use]
    pub fn with_harm_weight(&self, harm_weight: HarmWeight) -> Box<dyn Policy> {
        Box::new(self.ppo_master.clone().with_harm_weight(harm_weight))
    }

    /// The policy of this name. `seed` matters only where chance does.
    #[must_use]
    pub fn build(&self, name: PolicyName, seed: u64) -> Box<dyn Policy> {
        if name == PolicyName::PPO_MASTER { Box::new(self.ppo_master.clone()) } else { name.build(seed) }
    }

    /// A policy that decides beside the one that steers, on a thread of its own.
    ///
    /// # Errors
    /// A thread that cannot be started.
    pub fn shadow(&self, name: Option<PolicyName>, seed: u64) -> Result<Option<Shadow>, Failure> {
        let Some(name) = name else { return Ok(None) };
        let guarded = Guarded::new(self.build(name, seed), SHADOW_DEADLINE).map_err(Failure::refused)?;
        Ok(Some(Shadow::new(Box::new(guarded))))
    }
}

/// Reads a weights file.
///
/// # Errors
/// A file that cannot be read, is too large, or holds no usable weights.
pub fn read(file: &Path) -> Result<Weights, WeightsError> {
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
