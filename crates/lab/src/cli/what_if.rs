//! `knightwatch-lab what-if SESSION --policy NAME`: what if that policy had steered: where it parts from what was done, and what
//! that would have cost, by the truth of the simulated world.
//!
//! Text is at most 80 columns wide in a terminal of that width, and unbroken lines where nobody has a width.

use std::{
    io::{IsTerminal, stdout},
    path::PathBuf,
};

use serde::Serialize;

use knightwatch::cli::{
    policies::{Policies, WeightsArgs, one_of},
    simulate::dollars,
};

use super::{Failure, Outcome, print};
use crate::judge::{Both, Session, TakenAction, Totals, WhatIf, WhatIfError};
use knightwatch::{config::Config, tui::wrap};
use knightwatch_agent::PolicyName;
use knightwatch_core::control::Actor;
use knightwatch_sim::{Cost, FlagResult, Scenario};
use knightwatch_store::{Journal, SessionMeta, StoreError, verify};

/// The width of a flag key beside the figures; a longer one stands on a line of its own.
const KEY: usize = 17;

/// The narrowest terminal that lines are broken for.
const NARROWEST: usize = 40;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A session of the simulator
    file: PathBuf,
    /// The policy that steers instead
    #[arg(long, value_parser = one_of(&crate::opponents::ALL))]
    policy: PolicyName,
    #[command(flatten)]
    weights: WeightsArgs,
    /// One JSON object
    #[arg(long)]
    json: bool,
}

/// The object of `--json`.
#[derive(Serialize)]
struct Report<'a> {
    source: &'a str,
    seed: u64,
    #[serde(flatten)]
    what_if: &'a WhatIf,
}

pub(super) fn run(args: &Args, config: &Config) -> Outcome {
    let name = args.policy;
    let (meta, session) = read(args)?;
    let mut policy = Policies::of(&args.weights, config, &[name])?.usable()?.build(name, session.seed);
    let what_if = WhatIf::of(&session, policy.as_mut(), &config.control, &Cost::default());
    let what_if = what_if.map_err(|error| {
        let file = args.file.display();
        match error {
            WhatIfError::NoTelemetry => Failure::input(format!("{file}: {error}")),
            WhatIfError::OtherWorld { .. } => {
                let (made, this) = (&meta.version, env!("CARGO_PKG_VERSION"));
                Failure::input(format!("{file}: {error}; it was made by version {made}, this is {this}"))
            }
            WhatIfError::Fault { .. } => Failure::refused(error),
        }
    })?;
    if args.json {
        print::json(&Report { source: &meta.source, seed: session.seed, what_if: &what_if })?;
    } else {
        show(&what_if, &meta)?;
    }
    print::DONE
}

/// The session with its world, whole and unchanged.
fn read(args: &Args) -> Result<(SessionMeta, Session), Failure> {
    let path = &args.file;
    let wrong = |text: &str| Failure::input(format!("{}: {text}", path.display()));
    let report = verify(path).map_err(Failure::store)?;
    if let Some(fault) = report.fault {
        return Err(Failure::store(StoreError::Chain { path: path.clone(), fault }));
    }
    let log = Journal::open_read_only(path).map_err(Failure::store)?;
    let meta = log.meta().clone();
    let (text, seed) = match (&meta.scenario, meta.seed) {
        (Some(text), Some(seed)) => (text, seed),
        _ if meta.simulated => {
            return Err(wrong(
                "a session on recorded telemetry, which has no scenario to live through again; play the recording \
                 itself with --policy",
            ));
        }
        _ => {
            return Err(wrong(
                "a session on real telemetry: what other rollouts would have brought was never measured, so what if \
                 cannot be told; expected a session of the simulator",
            ));
        }
    };
    let scenario =
        Scenario::parse(text, "the session's scenario").map_err(|error| wrong(&error.to_string()))?;
    // Before the journal: of a session that goes on meanwhile, what is decided on each of these is in it then.
    let ticks = log.telemetry(..).collect::<Result<Vec<_>, _>>().map_err(Failure::store)?;
    let journal = log.load_all().collect::<Result<Vec<_>, _>>().map_err(Failure::store)?;
    let session = Session { scenario, seed, journal, ticks };
    Ok((meta, session))
}

fn show(what_if: &WhatIf, meta: &SessionMeta) -> Result<(), Failure> {
    let WhatIf { recorded, policy, lasted, planned, divergences, flags, skipped, .. } = what_if;
    let long =
        if lasted < planned { format!("left after {lasted} of {planned}") } else { lasted.to_string() };
    paragraph(
        "",
        &format!("{}, {long}, steered by {}; what if by {policy}", meta.source, recorded.join(", then ")),
    )?;
    print::line("")?;
    if divergences.is_empty() {
        print::line("No divergence: every flag would have had the same rollout at all times.")?;
    }
    for divergence in divergences {
        print::line(&format!("{}  after {}", divergence.flag, divergence.at))?;
        paragraph("  recorded  ", &taken_action(&divergence.recorded, divergence.flag.as_str()))?;
        paragraph("  what if   ", &taken_action(&divergence.what_if, divergence.flag.as_str()))?;
    }
    for skipped in skipped {
        let flag = skipped.order.flag().map(|flag| format!(" of {flag}")).unwrap_or_default();
        let order = serde_json::to_value(&skipped.order).map_err(Failure::refused)?;
        let order = order["command"].as_str().unwrap_or_default().replace('_', "-");
        let text = format!("{}'s {order}{flag} after {} is skipped: {}", skipped.by, skipped.at, skipped.why);
        paragraph("", &text)?;
    }
    print::line("")?;
    table(what_if, flags)
}

/// What one of the two did, without the flag's key in front, which stands above it.
fn taken_action(taken_action: &TakenAction, flag: &str) -> String {
    let what = taken_action.what.strip_prefix(flag).map_or(taken_action.what.as_str(), str::trim_start);
    match &taken_action.by {
        None | Some(Actor::Agent) => what.to_owned(),
        Some(by) => format!("{what} ({by})"),
    }
}

fn table(what_if: &WhatIf, flags: &[Both]) -> Result<(), Failure> {
    row("flag", "", ["to 100 %", "rolled back", "bad requests", "harm", "cost"].map(str::to_owned))?;
    let started = |both: &&Both| both.recorded.started_at.is_some() || both.what_if.started_at.is_some();
    for both in flags.iter().filter(started) {
        let key = both.recorded.flag.as_str();
        let key = if key.chars().count() > KEY {
            print::line(key)?;
            ""
        } else {
            key
        };
        row(key, "recorded", figures(&both.recorded))?;
        row("", "what if", figures(&both.what_if))?;
    }
    let WhatIf { total_recorded, total_what_if, difference, .. } = what_if;
    row("total", "recorded", sums(*total_recorded, false))?;
    row("", "what if", sums(*total_what_if, false))?;
    row("", "difference", sums(*difference, true))?;
    let idle = flags.iter().filter(|both| !started(both)).count();
    if idle > 0 {
        print::line(&format!("{idle} of {} flags were never started.", flags.len()))?;
    }
    if total_recorded.dollars > 0.0 || total_what_if.dollars > 0.0 {
        let less = if difference.dollars > 0.0 { "more" } else { "less" };
        print::line(&format!(
            "Failed requests cost ${}; it would have been ${}: ${} {less}.",
            dollars(total_recorded.dollars),
            dollars(total_what_if.dollars),
            dollars(difference.dollars.abs())
        ))?;
    }
    paragraph(
        "",
        "To 100 %: since the flag's start; rolled back: since the session's start. Bad requests, harm and cost are the \
         simulated world's truth; harm and cost in points: 1 is a control interval of one flag at 0 %, by \
         config/judge.toml.",
    )
}

fn figures(flag: &FlagResult) -> [String; 5] {
    let none = || "-".to_owned();
    let start = flag.started_at.unwrap_or_default();
    [
        flag.complete_at.map_or_else(none, |at| at.since(start).to_string()),
        flag.rolled_back_at.map_or_else(none, |at| at.to_string()),
        number(flag.bad_requests, 0, false),
        number(flag.harm, 1, false),
        number(flag.total_points(), 1, false),
    ]
}

fn sums(totals: Totals, signed: bool) -> [String; 5] {
    [
        String::new(),
        String::new(),
        number(totals.bad_requests, 0, signed),
        number(totals.harm, 1, signed),
        number(totals.cost, 1, signed),
    ]
}

/// With its sign where it is a difference, and 0 without one.
fn number(value: f64, digits: usize, signed: bool) -> String {
    let text = format!("{:.digits$}", value.abs());
    let sign = match () {
        () if text.bytes().all(|digit| matches!(digit, b'0' | b'.')) => "",
        () if value < 0.0 => "-",
        () if signed => "+",
        () => "",
    };
    format!("{sign}{text}")
}

fn row(key: &str, who: &str, cells: [String; 5]) -> Result<(), Failure> {
    let [to_full, rolled_back, bad, harm, cost] = cells;
    let line = format!("{key:<KEY$} {who:<10} {to_full:>10} {rolled_back:>11} {bad:>12} {harm:>7} {cost:>7}");
    print::line(line.trim_end())
}

/// A paragraph after `label`, broken where the terminal ends, further lines below its first word.
fn paragraph(label: &str, text: &str) -> Result<(), Failure> {
    let room = columns().map(|columns| columns.max(NARROWEST) - label.len());
    let lines = room.map_or_else(|| vec![text.to_owned()], |room| wrap(text, room));
    for (number, line) in lines.iter().enumerate() {
        print::line(&format!("{:<1$}{line}", if number == 0 { label } else { "" }, label.len()))?;
    }
    Ok(())
}

/// The terminal's width, where somebody reads this in one.
fn columns() -> Option<usize> {
    stdout().is_terminal().then(crossterm::terminal::size)?.ok().map(|(columns, _)| usize::from(columns))
}
