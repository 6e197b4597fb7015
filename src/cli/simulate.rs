//! `knightwatch simulate`: one scenario under one policy, as fast as it goes. The same seed gives the same bytes.

use serde::Serialize;

use super::{
    Failure, Outcome,
    policies::{self, Policies, WeightsArgs},
    print, scene,
};
use crate::config::Config;
use knightwatch_agent::PolicyName;
use knightwatch_core::control::{Entry, Shadow};
use knightwatch_sim::{Episode, FlagResult};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A built-in scenario's name or a file
    #[arg(long, value_name = "NAME|FILE", default_value = "default")]
    scenario: String,
    /// The policy that steers
    #[arg(long, default_value = "ppo-master", value_parser = policies::steering())]
    policy: PolicyName,
    /// A shadow policy: it decides beside it and never acts; differences are journalled [default: `agent.shadow` of the configuration, or nobody]
    #[arg(long, value_name = "POLICY", value_parser = policies::steering())]
    shadow: Option<PolicyName>,
    #[command(flatten)]
    weights: WeightsArgs,
    /// Seed of the random numbers
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// One JSON object a line: each journal entry, then the result
    #[arg(long)]
    json: bool,
    /// Leave the journal out, print the result only
    #[arg(long)]
    quiet: bool,
}

/// The last line of `--json`.
#[derive(Serialize)]
struct Report<'a> {
    scenario: &'a str,
    policy: &'a str,
    seed: u64,
    flags: &'a [FlagResult],
}

pub(super) fn run(args: &Args, config: &Config) -> Outcome {
    let scenario = scene::load(&args.scenario)?;
    let name = args.policy;
    let beside = policies::shadow(args.shadow, config);
    let policies = Policies::of(&args.weights, config, &[name, beside.unwrap_or(name)])?.usable()?;
    let mut policy = policies.build(name, args.seed);
    let mut shadow = beside.map(|beside| Shadow::new(policies.build(beside, args.seed)));
    let mut failed = None;
    let mut each = |news: &[Entry]| {
        if failed.is_none() && !args.quiet {
            failed = news.iter().find_map(|entry| show(entry, args.json).err());
        }
    };
    let shadow = shadow.as_mut();
    let episode =
        Episode::run_beside(&scenario, args.seed, policy.as_mut(), shadow, &config.control, &mut each);
    if let Some(failure) = failed {
        return Err(failure);
    }
    if args.json {
        let report = Report {
            scenario: &scenario.name,
            policy: name.as_str(),
            seed: args.seed,
            flags: &episode.flags,
        };
        print::json(&report)?;
    } else {
        table(&episode, scenario.cost_per_bad_request > 0.0)?;
    }
    if let Some(fault) = episode.fault() {
        return Err(Failure::refused(format!("this is no result of {name}: {fault}")));
    }
    print::DONE
}

fn show(entry: &Entry, json: bool) -> Result<(), Failure> {
    if json { print::json(entry) } else { print::line(&print::entry(entry)) }
}

fn table(episode: &Episode, cost: bool) -> Result<(), Failure> {
    let money = if cost { "    cost, $" } else { "" };
    print::line(&format!(
        "{:<28} {:<8} {:<12} {:>7}  {:>10}  {:>11}  {:>12}{money}",
        "flag", "truth", "phase", "rollout", "100 % at", "rolled back", "bad requests"
    ))?;
    for flag in &episode.flags {
        let at =
            |at: Option<knightwatch_core::telemetry::Millis>| at.map_or("-".to_owned(), |at| at.to_string());
        let money = if cost { format!(" {:>9.0}", flag.cost) } else { String::new() };
        print::line(&format!(
            "{:<28} {:<8} {:<12} {:>7}  {:>10}  {:>11}  {:>12.0}{money}",
            flag.flag.as_str(),
            if flag.harmful { "harmful" } else { "good" },
            flag.phase,
            flag.rollout,
            at(flag.complete_at),
            at(flag.rolled_back_at),
            flag.bad_requests
        ))?;
    }
    let sum = |of: fn(&FlagResult) -> f64| episode.flags.iter().map(of).sum::<f64>();
    let (lost, at_full) = (sum(|flag| flag.cost), sum(|flag| flag.cost_at_full));
    if cost && at_full > lost {
        print::line(&format!(
            "lost ${}; at 100 % from their start to the end the same flags would have cost ${}: ${} saved",
            dollars(lost),
            dollars(at_full),
            dollars(at_full - lost)
        ))?;
    }
    Ok(())
}

/// Whole dollars in groups of three.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a sum of costs, never negative")]
#[must_use]
pub fn dollars(amount: f64) -> String {
    knightwatch_core::control::grouped(libm::round(amount) as u64)
}
