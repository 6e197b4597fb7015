//! `knightwatch evaluate`: the policies side by side on the shipped scenarios or on generated worlds.
//!
//! Every policy meets the same worlds with the same seeds. The work is spread over all cores; what comes out does not
//! depend on how many there are. What is measured, and how sure it is, is the judge's to say.

mod field;
mod table;

use std::{
    io::{IsTerminal, Write, stderr},
    panic::resume_unwind,
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use serde::Serialize;

use super::{
    Failure, Outcome,
    policies::{Policies, WeightsArgs},
    print,
};
use crate::{
    agent::PolicyName,
    config::Config,
    control::{ControlConfig, Policy},
    judge::{Cost, Difference, Episode, League, Record, Standing},
    sim::Family,
};
use field::{Field, SplitArg};

/// Weights are a handful of numbers with their comments.
const MOST_WEIGHTS_BYTES: u64 = 64 * 1024;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only this policy (repeatable)
    #[arg(long, value_enum)]
    policy: Vec<super::PolicyArg>,
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
    against: Option<super::PolicyArg>,
    /// Weights of the cost in place of the shipped ones, a file like config/judge.toml
    #[arg(long, value_name = "FILE")]
    cost: Option<PathBuf>,
    /// How many threads [default: one for each core]; changes nothing but the time it takes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1_024))]
    threads: Option<u16>,
    /// One JSON object for each policy
    #[arg(long)]
    json: bool,
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
    let cost = args.cost.as_deref().map_or(Ok(Cost::default()), weights)?;
    let field = Field::of(args)?;
    let (policies, against) = policies(args, args.weights.taste.unwrap_or(config.agent.taste));
    let named: Vec<PolicyName> = policies.iter().map(|entrant| entrant.policy).collect();
    let built = Policies::of(&args.weights, config, &named)?.usable()?;
    let leagues = leagues(&policies, &built, &field, &cost, &config.control, threads(args))?;
    let whole = results(String::new(), &leagues, against);
    let parts = if args.by_family { by_part(&field, &leagues, against) } else { Vec::new() };
    if args.json {
        json(&whole, &parts, &field, &cost)?;
    } else {
        table::write(&whole, &parts, &field, leagues[against].policy(), args.cost.as_deref())?;
    }
    print::DONE
}

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Entrant {
    policy: PolicyName,
    /// A taste of its own, where `--tastes` gave it one.
    taste: Option<f32>,
}

impl Entrant {
    const fn of(policy: PolicyName) -> Self {
        Self { policy, taste: None }
    }

    fn build(self, built: &Policies, seed: u64) -> Box<dyn Policy> {
        self.taste.map_or_else(|| built.build(self.policy, seed), |factor| built.tasted(factor))
    }

    fn name(self) -> String {
        self.taste.map_or_else(|| self.policy.to_string(), |factor| format!("ppo x {factor}"))
    }
}

/// Who takes part, in order and each once, and whom the others are compared with. `usual` is the taste that PPO-Master
/// has where it is named without one.
fn policies(args: &Args, usual: f32) -> (Vec<Entrant>, usize) {
    let mut policies: Vec<Entrant> = Vec::new();
    for policy in args.policy.iter().copied().map(PolicyName::from).map(Entrant::of) {
        if !policies.contains(&policy) {
            policies.push(policy);
        }
    }
    if policies.is_empty() {
        policies = PolicyName::ALL.map(Entrant::of).to_vec();
    }
    for factor in &args.tastes {
        let tasted = Entrant { policy: PolicyName::PpoMaster, taste: Some(*factor) };
        let same =
            (factor - usual).abs() < f32::EPSILON && policies.contains(&Entrant::of(PolicyName::PpoMaster));
        if !same && !policies.contains(&tasted) {
            policies.push(tasted);
        }
    }
    let Some(against) = args.against.map(PolicyName::from).map(Entrant::of) else { return (policies, 0) };
    let place = policies.iter().position(|policy| *policy == against);
    let place = place.unwrap_or_else(|| {
        policies.insert(0, against);
        0
    });
    (policies, place)
}

fn weights(file: &Path) -> Result<Cost, Failure> {
    let text = crate::config::read_text(file, MOST_WEIGHTS_BYTES, "weights").map_err(Failure::input)?;
    Cost::parse(&text).map_err(|error| Failure::input(format!("{}: {error}", file.display())))
}

fn threads(args: &Args) -> usize {
    let all = || thread::available_parallelism().map_or(1, usize::from);
    args.threads.map_or_else(all, usize::from)
}

/// Runs every policy on the whole field. Each episode depends on its policy and its world alone, and the records are put
/// in the field's order: the number of threads cannot be seen in them.
fn leagues(
    policies: &[Entrant],
    built: &Policies,
    field: &Field,
    cost: &Cost,
    control: &ControlConfig,
    threads: usize,
) -> Result<Vec<League>, Failure> {
    let all = policies.len() * field.len();
    let next = AtomicUsize::new(0);
    let progress = Progress::new(all);
    let work = || {
        let mut records = Vec::new();
        loop {
            let job = next.fetch_add(1, Ordering::Relaxed);
            if job >= all {
                return records;
            }
            let world = field.world(job % field.len());
            let mut policy = policies[job / field.len()].build(built, world.seed);
            let episode =
                Episode::run_at(cost, &world.scenario, world.seed, policy.as_mut(), control, |_| {});
            let fault = episode.fault().map(ToOwned::to_owned);
            records.push((job, Record::from(&episode), fault));
            progress.step();
        }
    };
    let mut records: Vec<(usize, Record, Option<String>)> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.min(all)).map(|_| scope.spawn(work)).collect();
        let done =
            workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)));
        done.flatten().collect()
    });
    progress.clear();
    records.sort_by_key(|(job, ..)| *job);
    if let Some((job, fault)) = records.iter().find_map(|(job, _, fault)| Some((job, fault.as_ref()?))) {
        let who = policies[job / field.len()].name();
        return Err(Failure::refused(format!("no result: {who} on world {}: {fault}", job % field.len())));
    }
    let mut leagues: Vec<League> = policies.iter().map(|entrant| League::of(&entrant.name())).collect();
    for (job, record, _) in records {
        leagues[job / field.len()].add(record);
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

/// How far it is, on the terminal's last line; nothing where there is no terminal.
struct Progress {
    all: usize,
    done: Mutex<usize>,
    shown: bool,
}

impl Progress {
    fn new(all: usize) -> Self {
        Self { all, done: Mutex::new(0), shown: stderr().is_terminal() }
    }

    fn step(&self) {
        // Held while it is drawn, so that a lower number never comes after a higher one.
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        *done += 1;
        let per_mille = |done: usize| done * 1_000 / self.all.max(1);
        if self.shown && per_mille(*done) != per_mille(*done - 1) {
            let width = 30;
            let full = *done * width / self.all.max(1);
            let bar = format!("{}{}", "#".repeat(full), " ".repeat(width - full));
            let mut out = stderr();
            // A progress line that cannot be written is no reason to stop.
            let _ = write!(out, "\r[{bar}] {done} of {} episodes", self.all);
            let _ = out.flush();
        }
    }

    fn clear(&self) {
        if self.shown {
            let mut out = stderr();
            let _ = write!(out, "\r\x1b[K");
            let _ = out.flush();
        }
    }
}
