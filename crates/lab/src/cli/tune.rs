//! `knightwatch-lab tune`: an opponent that nobody has tuned proves nothing. Random search over each one's settings, with the same
//! number of candidates for each, on the same validation worlds; the least mean cost wins.
//!
//! The product's own settings are the first draw, so that tuning never makes one worse on these worlds. They are other
//! worlds than those that `evaluate generated --split validation` counts from 0, and than those that weights are chosen by.

use std::{
    borrow::Cow,
    fmt::Write as _,
    path::{Path, PathBuf},
};

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::{
    Failure, Outcome,
    evaluate::{Entrant, EvaluationWorld, whole, writable},
    policies::{self, Policies, WeightsArgs},
    print,
    spread::spread,
};
use crate::judge::EpisodeRecord;
use crate::opponents::ALL;
use knightwatch::config::Config;
use knightwatch_agent::{PolicyName, Settings};
use knightwatch_sim::{Cost, Generator, Split};

/// The number of the first world.
const FIRST: u64 = 2_000_000;

/// A file of settings is small.
const MAX_BYTES: u64 = 64 * 1024;

/// The beginning of the file that is written.
const HEAD: &str = "\
# Settings of the opponents, found by tuning (`knightwatch-lab tune`): one table for each policy, compiled into the program. The
# tuned policies of `knightwatch-lab evaluate` use them. A setting that is left out has the product's default.
";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only this policy (repeatable) [default: every one that has settings]
    #[arg(long, value_parser = policies::one_of(&ALL))]
    policy: Vec<PolicyName>,
    /// How many settings are tried of each policy, its product's among them
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    budget: u32,
    /// On how many validation worlds
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    worlds: u32,
    /// The file that the best settings are put into; of policies that are not tuned now it keeps what it has
    #[arg(long, value_name = "FILE", default_value = "config/opponents.toml")]
    file: PathBuf,
    /// How many threads [default: one for each core]; changes nothing but the time it takes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1_024))]
    threads: Option<u16>,
}

/// What tuning has found for one policy.
struct Found {
    policy: PolicyName,
    settings: Settings,
    /// Mean cost of a world with the product's settings, and with these.
    defaults: f64,
    best: f64,
}

pub(super) fn run(args: &Args, config: &Config) -> Outcome {
    let before = before(&args.file)?;
    let policies = policies(args)?;
    writable(&args.file)?;
    let mut found = Vec::new();
    print::line(&format!(
        "{} settings each on {} validation worlds; cost of a world in points",
        args.budget, args.worlds
    ))?;
    for policy in policies {
        let one = tune(policy, args, config)?;
        print::line(&format!(
            "{:<15} {:>8.1} with the product's defaults, {:>8.1} tuned",
            policy.as_str(),
            one.defaults,
            one.best
        ))?;
        found.push(one);
        // Finished work is kept, whatever comes.
        write(&args.file, &before, &found, args)?;
    }
    print::DONE
}

fn policies(args: &Args) -> Result<Vec<PolicyName>, Failure> {
    let has_any = |policy: &PolicyName| !policy.knobs().is_empty();
    if let Some(policy) = args.policy.iter().find(|policy| !has_any(policy)) {
        return Err(Failure::input(format!("--policy {policy}: it has no settings to tune")));
    }
    let is_asked_for = |policy: &PolicyName| args.policy.is_empty() || args.policy.contains(policy);
    Ok(ALL.into_iter().filter(has_any).filter(is_asked_for).collect())
}

fn tune(policy: PolicyName, args: &Args, config: &Config) -> Result<Found, Failure> {
    let drawn = |number: u64| {
        let mut generator = Pcg64Mcg::seed_from_u64(number);
        Settings::draw(policy.knobs(), || generator.random())
    };
    let candidates: Vec<Settings> = (0..u64::from(args.budget))
        .map(|number| if number == 0 { Settings::default() } else { drawn(number) })
        .collect();
    let built = Policies::of(&WeightsArgs::default(), config, &[policy])?;
    let entrants: Vec<Entrant> =
        candidates.iter().map(|settings| Entrant::Set(policy, settings.clone())).collect();
    let (cost, worlds) = (Cost::default(), args.worlds as usize);
    let generator = Generator::new(Split::Validation);
    let costs = spread(entrants.len() * worlds, args.threads, "episodes", |job| {
        let number = FIRST + (job % worlds) as u64;
        let (seed, (_, scenario)) = (generator.seed(number), generator.scenario(number));
        let world = EvaluationWorld::Simulated { scenario: Cow::Owned(scenario), seed };
        let episode = entrants[job / worlds].live(&built, &cost, &world, &config.control)?;
        Ok(EpisodeRecord::from(&episode).cost)
    });
    let costs: Vec<f64> = costs.into_iter().collect::<Result<_, Failure>>()?;
    let means: Vec<f64> =
        costs.chunks(worlds).map(|costs| costs.iter().sum::<f64>() / f64::from(args.worlds)).collect();
    let defaults = means.first().copied().unwrap_or_default();
    let least = candidates.into_iter().zip(means).min_by(|one, other| one.1.total_cmp(&other.1));
    let (settings, best) = least.unwrap_or_default();
    Ok(Found { policy, settings, defaults, best })
}

/// What the file has; nothing where there is none.
fn before(file: &Path) -> Result<toml::Table, Failure> {
    if !file.exists() {
        return Ok(toml::Table::new());
    }
    let text = knightwatch::config::read_text(file, MAX_BYTES, "settings").map_err(Failure::input)?;
    toml::from_str(&text).map_err(|error| Failure::input(format!("{}: {error}", file.display())))
}

/// Puts what was found into the file, whole or not at all.
fn write(file: &Path, before: &toml::Table, found: &[Found], args: &Args) -> Result<(), Failure> {
    let mut text = HEAD.to_owned();
    for name in ALL {
        let new = found.iter().find(|one| one.policy == name);
        let kept = before.get(name.as_str()).and_then(toml::Value::as_table);
        let Some(table) = new.map(|one| &one.settings.0).or(kept) else { continue };
        let table = toml::to_string(table).map_err(Failure::refused)?;
        let said = new.map(|one| {
            format!(
                "# Best of {} on {} validation worlds: {:.1} points a world, {:.1} with the product's defaults.\n",
                args.budget, args.worlds, one.best, one.defaults
            )
        });
        // Writing to a String cannot fail.
        let _ = write!(text, "\n{}[{name}]\n{table}", said.unwrap_or_default());
    }
    whole(file, text.as_bytes())
}
