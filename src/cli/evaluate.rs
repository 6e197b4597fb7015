//! `knightwatch evaluate`: the policies side by side on the shipped scenarios, on generated worlds or on recordings.
//!
//! Every policy meets the same worlds with the same seeds. The work is spread over all cores; what comes out does not
//! depend on how many there are. What is measured, and how sure it is, is the judge's to say.

mod entrant;
mod field;
mod folder;
mod ledger;
mod play;
mod plots;
mod results;
mod small;
mod table;
mod worst;

use std::path::{Path, PathBuf};

use super::{
    Failure, Outcome,
    policies::{Policies, WeightsArgs},
    print,
};
use crate::{
    agent::{PolicyName, Taste},
    config::Config,
    judge::{Cost, League},
    sim::{Family, Shift},
};
pub(super) use entrant::{Contender, Entrant};
pub(super) use field::World;
use field::{Field, SplitArg};
use ledger::Ledger;
use play::Play;
use results::Results;
pub(super) use results::{whole, writable};

/// Weights are a handful of numbers with their comments.
const MOST_WEIGHTS_BYTES: u64 = 64 * 1024;
/// The file that is standard output.
const STANDARD_OUTPUT: &str = "-";

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
    /// Also every policy with hindsight, a limit for each: at its own pace, but it has a flag rolled back after the first interval
    /// below 100 % in which that did harm in truth, and for no other reason
    #[arg(long)]
    hindsight: bool,
    #[command(flatten)]
    weights: WeightsArgs,
    /// PPO-Master at these tastes as well, such as 0.25,4,by-traffic: one agent, many balances of harm and time
    #[arg(long, value_delimiter = ',', allow_negative_numbers = true)]
    tastes: Vec<Taste>,
    /// Only this scenario, by name or file (repeatable)
    #[arg(long, value_name = "NAME|FILE", conflicts_with = "drawn")]
    scenario: Vec<String>,
    /// Every scenario file (*.toml) of this folder in place of the shipped ones
    #[arg(long, value_name = "DIR", conflicts_with_all = ["drawn", "scenario"])]
    scenarios: Option<PathBuf>,
    /// Recorded telemetry in place of the simulator (repeatable), as `replay` takes it: semi-real, judged by the same number
    #[arg(long, value_name = "FILE", conflicts_with_all = ["drawn", "scenario", "scenarios", "shift"])]
    recording: Vec<PathBuf>,
    /// How many seeds for each scenario or recording
    #[arg(long, default_value_t = 5, conflicts_with = "drawn", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    seeds: u64,
    /// Generated worlds in place of the shipped scenarios
    #[arg(long, value_name = "SPLIT", value_enum, group = "drawn")]
    generated: Option<SplitArg>,
    /// A look that takes a minute or two: every policy, PPO-Master also at taste 1, and the oracle on a few generated
    /// validation worlds
    #[arg(long, group = "drawn")]
    quick: bool,
    /// The record: every policy, also as tuned, PPO-Master also at taste 1, and the oracle on 200 generated test worlds of
    /// every family
    #[arg(long, group = "drawn")]
    full: bool,
    /// A search in so many generated validation worlds for the five on which the first policy named does worst
    #[arg(
        long,
        value_name = "N",
        group = "drawn",
        conflicts_with_all = ["tuned", "oracle", "hindsight", "tastes", "by_family", "against", "shift", "record", "plots"],
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    worst: Option<u32>,
    /// How many generated worlds
    #[arg(
        long,
        value_name = "N",
        default_value_t = 200,
        requires = "generated",
        conflicts_with_all = ["quick", "full", "worst"],
        value_parser = clap::value_parser!(u64).range(1..=100_000)
    )]
    worlds: u64,
    /// The number of the first generated world
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 0,
        requires = "generated",
        conflicts_with_all = ["quick", "full", "worst"],
        value_parser = clap::value_parser!(u64).range(..=1_000_000_000)
    )]
    from: u64,
    /// Only generated worlds of these families, one or several [default: those of training; with "test" all of them]
    #[arg(long, visible_alias = "families", value_name = "NAMES", requires = "drawn", value_delimiter = ',')]
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
    /// The same worlds under other conditions (one or several): none, traffic/10, traffic*10, sigma*2, missing-30,
    /// interval-5, interval-30
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    shift: Vec<Shift>,
    /// Keep every finished episode in this file; what is there already is not played again
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Pictures of the results into this folder: league, pareto, profile and families, each as SVG and PNG
    #[arg(long, value_name = "DIR")]
    plots: Option<PathBuf>,
    /// How many threads [default: one for each core]; changes nothing but the time it takes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1_024))]
    threads: Option<u16>,
    /// One JSON object for each policy: in place of the table, or beside it in a file
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = STANDARD_OUTPUT)]
    json: Option<PathBuf>,
    /// The small world instead, where the best possible policy is known: what it costs, and what baselines cost
    #[arg(
        long,
        conflicts_with_all = ["policy", "tuned", "oracle", "hindsight", "weights", "taste", "tastes", "scenario", "scenarios", "recording", "seeds", "drawn", "by_family", "against", "cost", "shift", "record", "plots"]
    )]
    small_world: bool,
}

pub(super) fn run(args: &Args, config: &Config) -> Outcome {
    let to_standard_output = args.json.as_deref().is_some_and(|file| file == Path::new(STANDARD_OUTPUT));
    if args.small_world {
        return match &args.json {
            Some(_) if !to_standard_output => {
                Err(Failure::input("--small-world: its JSON goes to standard output; leave the file away"))
            }
            json => small::run(json.is_some(), args.threads),
        };
    }
    let cost = args.cost.as_deref().map_or(Ok(Cost::default()), weights)?;
    if let Some(worlds) = args.worst {
        let named = args.policy.first().map_or(PolicyName::PpoMaster, |Contender(policy)| *policy);
        let built = Policies::of(&args.weights, config, &[named])?.usable()?;
        let (entrant, control) = (&Entrant::Usual(named), &config.control);
        let search = worst::Search { entrant, built: &built, cost: &cost, control };
        return match &args.json {
            Some(_) if !to_standard_output => {
                Err(Failure::input("--worst: its JSON goes to standard output; leave the file away"))
            }
            json => worst::run(&search, worlds, args, json.is_some()),
        };
    }
    let field = Field::of(args)?;
    let (entrants, against) = entrants(args, args.weights.taste.unwrap_or(config.agent.taste))?;
    let named: Vec<PolicyName> = entrants.iter().filter_map(Entrant::policy).collect();
    let built = Policies::of(&args.weights, config, &named)?.usable()?;
    let mut shifts = args.shift.clone();
    if shifts.is_empty() {
        shifts.push(Shift::AsDrawn);
    }
    if args.plots.is_some() && shifts.len() > 1 {
        return Err(Failure::input("--plots: pictures are of one --shift, not of several"));
    }
    let play = Play {
        entrants: &entrants,
        built: &built,
        field: &field,
        shifts: &shifts,
        cost: &cost,
        control: &config.control,
    };
    if let Some(file) = args.json.as_deref().filter(|_| !to_standard_output) {
        results::writable(file)?;
    }
    args.plots.as_deref().map_or(Ok(()), plots::writable)?;
    let ledger =
        args.record.as_deref().map(|file| Ledger::open(file, &play.header(), play.len())).transpose()?;
    let (mut lines, mut played) = (Vec::new(), Vec::new());
    for (shift, leagues) in shifts.iter().zip(play.leagues(args.threads, ledger.as_ref())?) {
        let whole = Results::of(String::new(), &leagues, against);
        let parts = if args.by_family || args.plots.is_some() {
            Results::by_part(&field, &leagues, against)
        } else {
            Vec::new()
        };
        if args.json.is_some() {
            lines.extend(results::lines(&whole, shown(args, &parts), &play, *shift)?);
        }
        played.push((*shift, leagues, whole, parts));
    }
    // Files come first, so that a reader who goes away (`| head`) takes none with him; and the table comes also where one
    // could not be written.
    let kept = keep(args, &field, &lines, &played);
    let printed = if to_standard_output {
        lines.iter().try_for_each(|line| print::raw(line))
    } else {
        tables(args, &play, &played, against)
    };
    kept.and(printed).and(print::DONE)
}

/// What was played under a shift, and what came of it, as a whole and in parts.
type Played = (Shift, Vec<League>, Results, Vec<Results>);

/// The parts that are asked for in numbers.
fn shown<'p>(args: &Args, parts: &'p [Results]) -> &'p [Results] {
    if args.by_family { parts } else { &[] }
}

/// Prints the league under each shift.
fn tables(args: &Args, play: &Play<'_>, played: &[Played], against: usize) -> Result<(), Failure> {
    for (place, (shift, leagues, whole, parts)) in played.iter().enumerate() {
        if place > 0 {
            print::line("")?;
        }
        let about = table::About {
            field: play.field,
            shift: *shift,
            against: leagues[against].policy(),
            agent: &play.agent(),
            weights: args.cost.as_deref(),
        };
        table::write(whole, shown(args, parts), &about)?;
    }
    Ok(())
}

/// Writes the files that were asked for.
fn keep(args: &Args, field: &Field, lines: &[String], played: &[Played]) -> Result<(), Failure> {
    if let Some(file) = args.json.as_deref().filter(|file| *file != Path::new(STANDARD_OUTPUT)) {
        results::whole(file, lines.concat().as_bytes())?;
    }
    let Some(folder) = &args.plots else { return Ok(()) };
    played.iter().try_for_each(|(_, leagues, whole, parts)| {
        plots::write(folder, &plots::Shown { whole, parts, leagues, field })
    })
}

/// Who takes part, in order and each once, and whom the others are compared with. `usual` is the taste that PPO-Master
/// has where it is named without one.
fn entrants(args: &Args, usual: Taste) -> Result<(Vec<Entrant>, usize), Failure> {
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
    if args.tuned || args.full {
        let before = entrants.len();
        for policy in &named {
            entrants.extend(Entrant::tuned(*policy)?);
        }
        if args.tuned && entrants.len() == before {
            return Err(Failure::input("--tuned: none of these was tuned; `knightwatch tune` does it"));
        }
    }
    // The judge's own balance is what the agent is compared at.
    let judges = [Taste::JUDGES];
    let tastes = if (args.quick || args.full) && args.tastes.is_empty() { &judges[..] } else { &args.tastes };
    for taste in tastes {
        let same = *taste == usual && entrants.contains(&Entrant::Usual(PolicyName::PpoMaster));
        if !same && !entrants.contains(&Entrant::Tasted(*taste)) {
            entrants.push(Entrant::Tasted(*taste));
        }
    }
    if args.hindsight {
        let knowing = |entrant: &Entrant| Entrant::Hindsight(Box::new(entrant.clone()));
        entrants.extend(entrants.iter().map(knowing).collect::<Vec<_>>());
    }
    if args.oracle || args.quick || args.full {
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
