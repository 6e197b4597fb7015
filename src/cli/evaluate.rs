//! `knightwatch evaluate`: the policies side by side on the shipped scenarios or on generated worlds.
//!
//! Every policy meets the same worlds with the same seeds. The work is spread over all cores; what comes out does not
//! depend on how many there are. What is measured, and how sure it is, is the judge's to say.

mod entrant;
mod field;
mod small;
mod table;

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{
    Failure, Outcome,
    policies::{Policies, WeightsArgs},
    print,
    spread::spread,
};
use crate::{
    agent::PolicyName,
    config::Config,
    control::ControlConfig,
    judge::{Cost, Difference, League, Record, Standing},
    sim::Family,
};
pub(super) use entrant::{Contender, Entrant};
use field::{Field, SplitArg};

/// Weights are a handful of numbers with their comments.
const MOST_WEIGHTS_BYTES: u64 = 64 * 1024;

#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
pub(super) struct Args {
    /// Only this policy (repeatable)
    #[arg(long, value_enum)]
    policy: Vec<Contender>,
    /// Also those of them that were tuned (config/opponents.toml) with the settings that tuning found
    #[arg(long)]
    tuned: bool,
    /// Also the oracle, which knows the truth of every world: a limit and no opponent
    #[arg(long)]
    oracle: bool,
    #[command(flatten)]
    weights: WeightsArgs,
    /// PPO-Master at these tastes as well, such as 0.25,4,16: one agent, many balances of harm and time
    #[arg(long, value_name = "FACTORS", value_delimiter = ',', value_parser = super::policies::taste, allow_negative_numbers = true)]
    tastes: Vec<f32>,
    /// Only this scenario, by name or file (repeatable)
    #[arg(long, value_name = "NAME|FILE")]
    scenario: Vec<String>,
    /// How many seeds for each scenario
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    seeds: u64,
    /// Generated worlds in place of the shipped scenarios
    #[arg(long, value_name = "SPLIT", value_enum, conflicts_with_all = ["scenario", "seeds"])]
    generated: Option<SplitArg>,
    /// How many generated worlds
    #[arg(
        long,
        value_name = "N",
        default_value_t = 200,
        requires = "generated",
        value_parser = clap::value_parser!(u64).range(1..=100_000)
    )]
    worlds: u64,
    /// The number of the first generated world
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 0,
        requires = "generated",
        value_parser = clap::value_parser!(u64).range(..=1_000_000_000)
    )]
    from: u64,
    /// Only generated worlds of this family (repeatable) [default: those of training; with "test" all of them]
    #[arg(long, value_name = "NAME", requires = "generated")]
    family: Vec<Family>,
    /// Also each family of worlds, or each scenario, by itself
    #[arg(long)]
    by_family: bool,
    /// Whom the others' cost is compared with [default: the first]
    #[arg(long, value_name = "POLICY", value_enum)]
    against: Option<Contender>,
    /// Weights of the cost in place of the shipped ones, a file like config/judge.toml
    #[arg(long, value_name = "FILE")]
    cost: Option<PathBuf>,
    /// How many threads [default: one for each core]; changes nothing but the time it takes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1_024))]
    threads: Option<u16>,
    /// One JSON object for each policy
    #[arg(long)]
    json: bool,
    /// The small world instead, where the best possible policy is known: what it costs, and what baselines cost
    #[arg(
        long,
        conflicts_with_all = ["policy", "tuned", "oracle", "tastes", "scenario", "seeds", "generated", "by_family", "against", "cost"]
    )]
    small_world: bool,
}

/// One policy in `--json`.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    standing: &'a Standing,
    /// What it cost more than the one it is compared with.
    against: Option<&'a Difference>,
    /// With `--by-family`, each part by itself.
    families: Vec<PartLine<'a>>,
    /// On what.
    field: &'a Field,
    /// By which weights.
    weights: &'a Cost,
}

/// One part of the field in `--json`.
#[derive(Serialize)]
struct PartLine<'a> {
    family: &'a str,
    #[serde(flatten)]
    standing: &'a Standing,
    against: Option<&'a Difference>,
}

/// How the policies did on the field, or on a part of it. In the order of the policies.
struct Results {
    /// The part's name; empty for the whole.
    part: String,
    standings: Vec<Standing>,
    /// None for the one that the others are compared with.
    differences: Vec<Option<Difference>>,
}

pub(super) fn run(args: &Args, config: &Config) -> Outcome {
    if args.small_world {
        return small::run(args.json);
    }
    let cost = args.cost.as_deref().map_or(Ok(Cost::default()), weights)?;
    let field = Field::of(args)?;
    let (entrants, against) = entrants(args, args.weights.taste.unwrap_or(config.agent.taste))?;
    let named: Vec<PolicyName> = entrants.iter().filter_map(Entrant::policy).collect();
    let built = Policies::of(&args.weights, config, &named)?.usable()?;
    let leagues = leagues(&entrants, &built, &field, &cost, &config.control, args.threads)?;
    let whole = results(String::new(), &leagues, against);
    let parts = if args.by_family { by_part(&field, &leagues, against) } else { Vec::new() };
    if args.json {
        json(&whole, &parts, &field, &cost)?;
    } else {
        table::write(&whole, &parts, &field, leagues[against].policy(), args.cost.as_deref())?;
    }
    print::DONE
}

/// Who takes part, in order and each once, and whom the others are compared with. `usual` is the taste that PPO-Master
/// has where it is named without one.
fn entrants(args: &Args, usual: f32) -> Result<(Vec<Entrant>, usize), Failure> {
    let mut named: Vec<PolicyName> = Vec::new();
    for Contender(policy) in &args.policy {
        if !named.contains(policy) {
            named.push(*policy);
        }
    }
    if named.is_empty() {
        named = PolicyName::ALL.to_vec();
    }
    let mut entrants: Vec<Entrant> = named.iter().copied().map(Entrant::Usual).collect();
    if args.tuned {
        let before = entrants.len();
        for policy in &named {
            entrants.extend(Entrant::tuned(*policy)?);
        }
        if entrants.len() == before {
            return Err(Failure::input("--tuned: none of these was tuned; `knightwatch tune` does it"));
        }
    }
    for factor in &args.tastes {
        let same = (factor - usual).abs() < f32::EPSILON
            && entrants.contains(&Entrant::Usual(PolicyName::PpoMaster));
        if !same && !entrants.contains(&Entrant::Tasted(*factor)) {
            entrants.push(Entrant::Tasted(*factor));
        }
    }
    if args.oracle {
        entrants.push(Entrant::Oracle);
    }
    let Some(against) = args.against.map(|Contender(policy)| Entrant::Usual(policy)) else {
        return Ok((entrants, 0));
    };
    let place = entrants.iter().position(|entrant| *entrant == against);
    let place = place.unwrap_or_else(|| {
        entrants.insert(0, against);
        0
    });
    Ok((entrants, place))
}

fn weights(file: &Path) -> Result<Cost, Failure> {
    let text = crate::config::read_text(file, MOST_WEIGHTS_BYTES, "weights").map_err(Failure::input)?;
    Cost::parse(&text).map_err(|error| Failure::input(format!("{}: {error}", file.display())))
}

/// Runs everybody on the whole field. Each episode depends on who plays and on its world alone.
fn leagues(
    entrants: &[Entrant],
    built: &Policies,
    field: &Field,
    cost: &Cost,
    control: &ControlConfig,
    threads: Option<u16>,
) -> Result<Vec<League>, Failure> {
    let records = spread(entrants.len() * field.len(), threads, "episodes", |job| {
        let (entrant, number) = (&entrants[job / field.len()], job % field.len());
        let world = field.world(number);
        let episode = entrant.live(built, cost, (&world.scenario, world.seed), control)?;
        match episode.fault() {
            None => Ok(Record::from(&episode)),
            Some(fault) => {
                Err(Failure::refused(format!("no result: {} on world {number}: {fault}", entrant.name())))
            }
        }
    });
    let mut leagues: Vec<League> = entrants.iter().map(|entrant| League::of(&entrant.name())).collect();
    for (job, record) in records.into_iter().enumerate() {
        leagues[job / field.len()].add(record?);
    }
    Ok(leagues)
}

fn results(part: String, leagues: &[League], against: usize) -> Results {
    let differences = leagues
        .iter()
        .enumerate()
        .map(|(index, league)| if index == against { None } else { league.against(&leagues[against]) });
    Results {
        part,
        differences: differences.collect(),
        standings: leagues.iter().map(League::standing).collect(),
    }
}

/// The same of each part of the field, in the order in which they first come.
fn by_part(field: &Field, leagues: &[League], against: usize) -> Vec<Results> {
    let part_of = field.parts();
    let mut parts: Vec<&str> = Vec::new();
    for part in &part_of {
        if !parts.contains(part) {
            parts.push(part);
        }
    }
    let result = |part: &str| {
        let leagues: Vec<_> =
            leagues.iter().map(|league| league.part(|index| part_of[index] == part)).collect();
        results(part.to_owned(), &leagues, against)
    };
    parts.into_iter().map(result).collect()
}

fn json(whole: &Results, parts: &[Results], field: &Field, cost: &Cost) -> Result<(), Failure> {
    for (index, standing) in whole.standings.iter().enumerate() {
        let families = parts.iter().map(|results| PartLine {
            family: &results.part,
            standing: &results.standings[index],
            against: results.differences[index].as_ref(),
        });
        print::json(&Line {
            standing,
            against: whole.differences[index].as_ref(),
            families: families.collect(),
            field,
            weights: cost,
        })?;
    }
    Ok(())
}
