//! `knightwatch evaluate`: the policies side by side on the shipped scenarios, with the same seeds.

use std::io::{IsTerminal, Write, stderr};

use super::{
    Failure, Outcome,
    policies::{Policies, WeightsArgs},
    print, scene,
};
use crate::{
    agent::PolicyName,
    config::Config,
    judge::{Episode, League, Standing},
    sim::Scenario,
};

/// Too large to be part of the comparison: a fleet for load, not for judgement.
const LEFT_OUT: &str = "fleet-1000";

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only this policy (repeatable)
    #[arg(long, value_enum)]
    policy: Vec<super::PolicyArg>,
    #[command(flatten)]
    weights: WeightsArgs,
    /// Only this scenario, by name or file (repeatable)
    #[arg(long, value_name = "NAME|FILE")]
    scenario: Vec<String>,
    /// How many seeds for each scenario
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    seeds: u64,
    /// One JSON object for each policy
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, config: &Config) -> Outcome {
    let scenarios = scenarios(args)?;
    let policies: Vec<PolicyName> = if args.policy.is_empty() {
        PolicyName::ALL.to_vec()
    } else {
        args.policy.iter().map(|policy| PolicyName::from(*policy)).collect()
    };
    let built = Policies::of(&args.weights, config, &policies)?.usable()?;
    let all = policies.len() * scenarios.len() * usize::try_from(args.seeds).unwrap_or(usize::MAX);
    let mut done = 0;
    let mut standings = Vec::new();
    for name in policies {
        let mut league = League::of(name.as_str());
        for scenario in &scenarios {
            for seed in 0..args.seeds {
                let mut policy = built.build(name, seed);
                league.add(&Episode::run(scenario, seed, policy.as_mut(), &config.control, |_| {}));
                done += 1;
                progress(done, all);
            }
        }
        standings.push(league.standing());
    }
    progress(0, 0);
    if args.json {
        for standing in &standings {
            print::json(standing)?;
        }
    } else {
        table(&standings, scenarios.len(), args.seeds)?;
    }
    print::DONE
}

fn scenarios(args: &Args) -> Result<Vec<Scenario>, Failure> {
    if !args.scenario.is_empty() {
        return args.scenario.iter().map(|name| scene::load(name)).collect();
    }
    let shipped = Scenario::builtins().iter().filter(|(name, _)| *name != LEFT_OUT);
    shipped.map(|(name, text)| Scenario::parse(text, name).map_err(Failure::input)).collect()
}

/// How far it is, on the terminal's last line; wiped out when `all` is 0.
fn progress(done: usize, all: usize) {
    let mut out = stderr();
    if !out.is_terminal() {
        return;
    }
    // A progress line that cannot be written is no reason to stop.
    let _ = if all == 0 {
        write!(out, "\r\x1b[K")
    } else {
        let width = 30;
        let full = done * width / all.max(1);
        write!(out, "\r[{}{}] {done} of {all} episodes", "#".repeat(full), " ".repeat(width - full))
    };
    let _ = out.flush();
}

fn table(standings: &[Standing], scenarios: usize, seeds: u64) -> Result<(), Failure> {
    print::line(&format!(
        "{scenarios} scenarios, {seeds} seeds each, the same for every policy; every policy behind the same shield"
    ))?;
    print::line(&format!(
        "{:<10} {:>13} {:>8} {:>12} {:>10} {:>11} {:>12} {:>8}",
        "policy", "bad requests", "missed", "false", "good to", "min to", "min to", "vetoes"
    ))?;
    print::line(&format!(
        "{:<10} {:>13} {:>8} {:>12} {:>10} {:>11} {:>12} {:>8}",
        "", "per bad flag", "", "rollbacks", "100 %", "100 %", "rollback", "per 1000"
    ))?;
    for standing in standings {
        let minutes = |minutes: Option<f64>| minutes.map_or("-".to_owned(), |m| format!("{m:.1}"));
        print::line(&format!(
            "{:<10} {:>13.0} {:>7.1}% {:>11.1}% {:>9.1}% {:>11} {:>12} {:>8.1}",
            standing.policy,
            standing.bad_requests_per_bad_flag,
            standing.missed_percent,
            standing.false_rollbacks_percent,
            standing.completed_percent,
            minutes(standing.minutes_to_full),
            minutes(standing.minutes_to_rollback),
            standing.vetoes_per_thousand
        ))?;
    }
    Ok(())
}
