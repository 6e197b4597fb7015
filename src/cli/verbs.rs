//! The control room's orders as verbs, for scripts and for a terminal that cannot draw.
//!
//! Exit status: 0 done, 1 refused, 2 usage, 3 no backend reached. With `--json` the acknowledgement or the error is one line
//! of JSON on standard output.

use std::io::{self, BufRead, IsTerminal, Write};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{
    Failure, Outcome, UNREACHABLE, USAGE,
    connect::{ConnectArgs, not_done, remote},
    control_room::operator,
    print,
};
use crate::config::Config;
use knightwatch_core::{
    control::{Actor, AlarmId, Command, Order, OrderId, Seq, SpecChange},
    flag::{Deployment, FlagKey, Ladder, Rollout, ServiceName, clean_line},
    telemetry::Millis,
};
use knightwatch_engine::{
    backend::{Ack, Client, FlagsOff},
    wall_clock,
};

/// What all verbs take.
#[derive(Clone, Debug, Args)]
pub(super) struct Common {
    /// Why; goes into the journal
    #[arg(long, default_value = "")]
    reason: String,

    /// The order's id: the same one acts once, however often it is given
    #[arg(long)]
    id: Option<String>,

    /// One line of JSON
    #[arg(long)]
    json: bool,
}

/// A flag, and what all verbs take.
#[derive(Clone, Debug, Args)]
pub(super) struct OnFlag {
    /// The flag
    flag: FlagKey,

    /// Only if its last change still has this number
    #[arg(long, value_name = "SEQ")]
    if_last: Option<u64>,

    #[command(flatten)]
    common: Common,
}

#[derive(Clone, Debug, Subcommand)]
pub(super) enum Verb {
    /// Starts an idle, rolled back or killed flag at its first rung
    Start(OnFlag),
    /// Pauses a ramping flag: no raises; the shield still guards
    Pause(OnFlag),
    /// Resumes a paused flag
    Resume(OnFlag),
    /// Rolls a flag back to 0 %
    Rollback(OnFlag),
    /// Overrides a flag's rollout for a time
    Set {
        #[command(flatten)]
        flag: OnFlag,
        /// The rollout in percent, 0 to 100
        #[arg(value_name = "PERCENT", value_parser = percent)]
        percent: Rollout,
        /// How long the agent keeps off, such as "15 min" [default: as the backend is configured]
        #[arg(long = "for", value_name = "TIME", value_parser = span)]
        expires_in: Option<Millis>,
        /// Without the shield's hard limits until then
        #[arg(long)]
        guard_off: bool,
    },
    /// Takes a flag to 100 % at once
    Promote(OnFlag),
    /// Hands a flag back to the agent
    Release(OnFlag),
    /// Kills everything: every flag off at once, the agent locked out until a person re-arms
    KillAll {
        /// Ask nothing
        #[arg(long)]
        yes: bool,
        /// Refuse unless this is the backend's environment
        #[arg(long, value_name = "NAME")]
        env: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Opens the latch after a kill-all; starts nothing
    Rearm {
        /// The environment's name, as proof that it is the one that is meant
        #[arg(long, value_name = "NAME")]
        env: String,
        #[command(flatten)]
        common: Common,
    },
    /// Changes what is declared of a flag; its rollout stays where it is
    Change {
        #[command(flatten)]
        flag: OnFlag,
        /// What it is for
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        /// The rungs in percent, ascending, ending with 99 and 100, such as 1,5,25,99,100
        #[arg(long, value_name = "PERCENTS", value_parser = ladder)]
        ladder: Option<Ladder>,
        /// The service whose deployment it waits for when it is started
        #[arg(long, value_name = "SERVICE")]
        deployment: Option<String>,
        /// The artifact of that service; whichever where it is left out
        #[arg(long, value_name = "ARTIFACT", requires = "deployment")]
        artifact: Option<String>,
        /// It waits for no deployment
        #[arg(long, conflicts_with = "deployment")]
        no_deployment: bool,
    },
    /// Puts a flag that is at rest away for good: its key is never used again
    Archive {
        #[command(flatten)]
        flag: OnFlag,
        /// Yes, for good
        #[arg(long)]
        yes: bool,
    },
    /// Takes an alarm out of sight for a time; it stays counted, and comes back by itself
    Shelve {
        /// Its number
        alarm: u64,
        /// For how long, from "1 min" to "8 h"
        #[arg(long = "for", value_name = "TIME", value_parser = span)]
        lasts: Millis,
        #[command(flatten)]
        common: Common,
    },
    /// Acknowledges an alarm
    Acknowledge {
        /// Its number
        alarm: u64,
        #[command(flatten)]
        common: Common,
    },
}

fn percent(text: &str) -> Result<Rollout, String> {
    let number: f64 =
        text.trim_end_matches('%').trim().parse().map_err(|_| "expected a percentage".to_owned())?;
    Rollout::from_percent(number).map_err(|error| error.to_string())
}

fn ladder(text: &str) -> Result<Ladder, String> {
    let rungs: Vec<Rollout> = text.split(',').map(percent).collect::<Result<_, _>>()?;
    Ladder::try_from(rungs).map_err(|error| error.to_string())
}

fn span(text: &str) -> Result<Millis, String> {
    serde_json::from_value(serde_json::Value::from(text)).map_err(|error| error.to_string())
}

impl Verb {
    /// Whether it makes things safer.
    pub(super) const fn stops(&self) -> bool {
        matches!(self, Self::KillAll { .. } | Self::Rollback(_) | Self::Pause(_))
    }
}

pub(super) fn run(verb: Verb, connect: &ConnectArgs, config: &Config) -> Outcome {
    let on = |flag: OnFlag, command: fn(FlagKey) -> Command| (command(flag.flag), flag.if_last, flag.common);
    let (command, expected, common) = match verb {
        Verb::Start(flag) => on(flag, |flag| Command::Start { flag }),
        Verb::Pause(flag) => on(flag, |flag| Command::Pause { flag }),
        Verb::Resume(flag) => on(flag, |flag| Command::Resume { flag }),
        Verb::Rollback(flag) => on(flag, |flag| Command::Rollback { flag }),
        Verb::Promote(flag) => on(flag, |flag| Command::Promote { flag }),
        Verb::Release(flag) => on(flag, |flag| Command::Release { flag }),
        Verb::Set { flag, percent: rollout, expires_in, guard_off } => {
            (Command::Set { flag: flag.flag, rollout, expires_in, guard_off }, flag.if_last, flag.common)
        }
        Verb::KillAll { yes, env, common } => {
            let target = connect.found(config)?;
            let client = Client::new(&target).map_err(|error| remote(&error))?;
            meant(&client, yes, env.as_deref()).map_err(|failure| undone(failure, &common))?;
            return give(&client, &order(Command::KillAll, None, &common), &common);
        }
        Verb::Rearm { env: environment, common } => (Command::Rearm { environment }, None, common),
        Verb::Change {
            flag: OnFlag { flag, if_last, common },
            description,
            ladder,
            deployment,
            artifact,
            no_deployment,
        } => {
            let wanted = deployment.map(|service| Deployment {
                service: ServiceName(clean_line(&service).into()),
                artifact: artifact.map(|artifact| clean_line(&artifact).into()),
            });
            let deployment = if no_deployment { Some(None) } else { wanted.map(Some) };
            let description = description.map(|text| clean_line(&text));
            (
                Command::Change { flag, change: SpecChange { description, ladder, deployment } },
                if_last,
                common,
            )
        }
        Verb::Archive { flag, yes: true } => on(flag, |flag| Command::Archive { flag }),
        Verb::Archive { flag, yes: false } => {
            let text = format!("archiving {} is for good: it needs --yes; nothing was done", flag.flag);
            return Err(Failure { status: USAGE, text });
        }
        Verb::Shelve { alarm, lasts, common } => {
            (Command::Shelve { alarm: AlarmId(alarm), lasts }, None, common)
        }
        Verb::Acknowledge { alarm, common } => (Command::Acknowledge { alarm: AlarmId(alarm) }, None, common),
    };
    let target = connect.found(config)?;
    let client = Client::new(&target).map_err(|error| remote(&error))?;
    give(&client, &order(command, expected, &common), &common)
}

fn order(command: Command, expected: Option<u64>, common: &Common) -> Order {
    let id = common.id.clone().unwrap_or_else(|| format!("cli-{}-{}", wall_clock().0, std::process::id()));
    Order {
        id: OrderId(id),
        actor: Actor::Person(operator()),
        authenticated: None,
        reason: common.reason.clone(),
        expected: expected.map(Seq),
        command,
    }
}

/// Makes sure that the right environment is meant.
fn meant(client: &Client, yes: bool, env: Option<&str>) -> Result<(), Failure> {
    if yes && env.is_none() {
        return Ok(());
    }
    let status = client.status().map_err(|error| not_done(&error))?;
    let there = status["environment"].as_str().unwrap_or_default();
    let there = knightwatch_core::flag::clean_line(there);
    if let Some(env) = env.filter(|env| *env != there) {
        let error = format!("the backend's environment is {there:?}, not {env:?}; nothing was done");
        return Err(Failure::refused(error));
    }
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        let text = "kill-all needs --yes where nobody can be asked; nothing was done".to_owned();
        return Err(Failure { status: USAGE, text });
    }
    let flags = status["phases"].as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64());
    let flags: u64 = flags.sum();
    let mut out = io::stderr().lock();
    let asked = write!(
        out,
        "Every one of {flags} flags on {there} goes to off, and the agent is locked out.\nType K and Enter to do it: "
    );
    asked.and_then(|()| out.flush()).map_err(Failure::refused)?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(Failure::refused)?;
    if line.trim() == "K" {
        return Ok(());
    }
    Err(Failure::refused("nothing was done"))
}

/// What `--json` prints.
#[derive(Serialize)]
struct Done<'a> {
    ok: bool,
    #[serde(flatten)]
    ack: &'a Ack,
}

#[derive(Serialize)]
struct NotDone<'a> {
    ok: bool,
    error: &'a str,
}

fn give(client: &Client, order: &Order, common: &Common) -> Outcome {
    let ack = client.order(order).map_err(|error| undone(not_done(&error), common))?;
    if common.json {
        print::json(&Done { ok: true, ack: &ack })?;
        return print::DONE;
    }
    for line in ack.done.iter().chain(&ack.warnings) {
        print::line(line)?;
    }
    print::line(&standing(&ack))?;
    print::DONE
}

/// Where an order stands: its number in the journal where it has one, whether it is on the disk, and what kill-all left at 0 %.
fn standing(ack: &Ack) -> String {
    let number = if ack.seq == Seq(0) { String::new() } else { format!("{} ", ack.seq) };
    let kept = if ack.durable { "in force and on the disk" } else { "in force, NOT durable" };
    let off = ack.flags_off.map_or_else(String::new, |FlagsOff { off, of }| {
        format!("; {off} of {of} flags are at 0 % in knightwatch; applications are not checked")
    });
    format!("{number}{kept}{off}")
}

/// Says that nothing was done also where a program reads.
fn undone(failure: Failure, common: &Common) -> Failure {
    if common.json {
        // The status says it where nobody reads.
        let _ = print::json(&NotDone { ok: false, error: &failure.text });
    }
    if failure.status == UNREACHABLE {
        tracing::debug!("not reached: {}", failure.text);
    }
    failure
}
