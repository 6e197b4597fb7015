//! The orders as verbs, one for every row of the table of orders: for scripts and for a terminal that cannot draw.
//!
//! Exit status: 0 done, 1 refused, 2 usage, 3 no backend reached. With `--json` the acknowledgement or the error is one line
//! of JSON on standard output.

use std::io::{self, BufRead, IsTerminal, Write};

use clap::{
    Arg, ArgAction, ArgMatches, Args, FromArgMatches, Subcommand,
    builder::ValueParser,
    error::{Error, ErrorKind},
    value_parser,
};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    Failure, Outcome, UNREACHABLE, USAGE,
    connect::{ConnectArgs, not_done, remote},
    control_room::operator,
    print,
};
use crate::config::Config;
use knightwatch_core::{
    control::{
        Actor, Argument, Command, Confirmation, ORDERS, Order, OrderId, OrderSpec, OrderTarget, Parameter,
        Presence, Seq, ValueKind,
    },
    flag::FlagKey,
};
use knightwatch_engine::{
    backend::{Ack, Client, FlagsOff},
    wall_clock,
};

/// What all verbs take.
#[derive(Clone, Debug, Args)]
struct Common {
    /// The reason; it is written to the journal
    #[arg(long, default_value = "")]
    reason: String,

    /// Idempotency key: an order with the same key acts once
    #[arg(long)]
    id: Option<String>,

    /// One line of JSON
    #[arg(long)]
    json: bool,
}

/// An order's verb, with what was typed after it.
#[derive(Clone, Debug)]
pub(super) struct Verb {
    spec: &'static OrderSpec,
    typed: ArgMatches,
}

impl Subcommand for Verb {
    fn augment_subcommands(program: clap::Command) -> clap::Command {
        program.subcommands(ORDERS.iter().map(subcommand))
    }

    fn augment_subcommands_for_update(program: clap::Command) -> clap::Command {
        Self::augment_subcommands(program)
    }

    fn has_subcommand(name: &str) -> bool {
        ORDERS.iter().any(|spec| spec.verb == name)
    }
}

impl FromArgMatches for Verb {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let found = matches
            .subcommand()
            .and_then(|(name, typed)| Some((ORDERS.iter().find(|spec| spec.verb == name)?, typed.clone())));
        let (spec, typed) = found.ok_or_else(|| Error::new(ErrorKind::InvalidSubcommand))?;
        Ok(Self { spec, typed })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// The verb of an order, with its arguments.
fn subcommand(spec: &'static OrderSpec) -> clap::Command {
    let flag =
        |id: &'static str, help: &'static str| Arg::new(id).long(id).action(ArgAction::SetTrue).help(help);
    let mut verb = clap::Command::new(spec.verb);
    if spec.target == OrderTarget::Flag {
        verb = verb.arg(positional("flag", "FLAG", value_parser!(FlagKey).into()).help("The flag")).arg(
            Arg::new("if_last")
                .long("if-last")
                .value_name("SEQ")
                .value_parser(value_parser!(u64))
                .help("Only if its last change still has this number"),
        );
        verb = arguments(Common::augment_args(verb), spec);
    } else {
        if spec.confirmation == Confirmation::Arm {
            let env = Arg::new("env").long("env").value_name("NAME");
            verb = verb
                .arg(flag("yes", "Ask nothing"))
                .arg(env.help("Refuse unless this is the backend's environment"));
        }
        if spec.target == OrderTarget::Alarm {
            verb = verb.arg(positional("alarm", "ALARM", value_parser!(u64).into()).help("Its number"));
        }
        verb = Common::augment_args(arguments(verb, spec));
    }
    if matches!(spec.confirmation, Confirmation::AskForGood(_)) {
        verb = verb.arg(flag("yes", "Yes, for good"));
    }
    // Last: the arguments that all verbs take bring a sentence of their own.
    verb.about(spec.sentence)
}

fn positional(id: &'static str, value: &'static str, parser: ValueParser) -> Arg {
    Arg::new(id).value_name(value).required(true).value_parser(parser)
}

/// Adds the arguments of an order's own parameters.
fn arguments(verb: clap::Command, spec: &'static OrderSpec) -> clap::Command {
    spec.parameters.iter().fold(verb, |verb, parameter| {
        let parser = match parameter.kind {
            // The artifact has an option of its own, so that the whole text is the service.
            ValueKind::Deployment { .. } => ValueParser::from(|text: &str| {
                let service = knightwatch_core::flag::clean_line(text);
                if service.trim().is_empty() {
                    return Err("expected the name of a service".to_owned());
                }
                Ok(json!({ "service": service }))
            }),
            _ => ValueParser::from(move |text: &str| parameter.parse(text)),
        };
        let required = parameter.presence == Presence::Required;
        let arg = match parameter.argument {
            Argument::Positional(value) => positional(parameter.name, value, parser).required(required),
            Argument::Option { name, .. } if matches!(parameter.kind, ValueKind::KillSwitch { .. }) => {
                Arg::new(parameter.name).long(name).action(ArgAction::SetTrue)
            }
            Argument::Option { name, value } => {
                Arg::new(parameter.name).long(name).value_name(value).required(required).value_parser(parser)
            }
        };
        let verb = verb.arg(arg.help(parameter.help));
        let ValueKind::Deployment { clearable } = parameter.kind else { return verb };
        let artifact = Arg::new("artifact").long("artifact").value_name("ARTIFACT").requires(parameter.name);
        let verb = verb.arg(artifact.help("The artifact of that service; whichever where it is left out"));
        if !clearable {
            return verb;
        }
        let none = Arg::new("no_deployment").long("no-deployment").action(ArgAction::SetTrue);
        verb.arg(none.conflicts_with(parameter.name).help("It waits for no deployment"))
    })
}

/// What was typed for a parameter, as a field of the request body.
fn field(parameter: &Parameter, typed: &ArgMatches) -> Option<Value> {
    match parameter.kind {
        ValueKind::KillSwitch { .. } => Some(typed.get_flag(parameter.name).into()),
        ValueKind::Deployment { clearable } => {
            if clearable && typed.get_flag("no_deployment") {
                return Some(Value::Null);
            }
            let mut deployment = typed.get_one::<Value>(parameter.name)?.clone();
            if let Some(artifact) = typed.get_one::<String>("artifact") {
                deployment["artifact"] = artifact.as_str().into();
            }
            Some(deployment)
        }
        _ => typed.get_one::<Value>(parameter.name).cloned(),
    }
}

impl Verb {
    /// Whether it makes things safer.
    pub(super) const fn stops(&self) -> bool {
        self.spec.stops
    }

    /// What it acts on, as a field of the command.
    fn target(&self) -> Option<Value> {
        match self.spec.target {
            OrderTarget::Flag => self.typed.get_one::<FlagKey>("flag").map(|key| key.as_str().into()),
            OrderTarget::Alarm => self.typed.get_one::<u64>("alarm").map(|number| (*number).into()),
            OrderTarget::Backend | OrderTarget::Briefing => None,
        }
    }
}

pub(super) fn run(verb: &Verb, connect: &ConnectArgs, config: &Config) -> Outcome {
    let (spec, typed) = (verb.spec, &verb.typed);
    let common = Common::from_arg_matches(typed).map_err(Failure::input)?;
    let given = |parameter: &Parameter| Some((parameter.name.to_owned(), field(parameter, typed)?));
    let fields: Map<String, Value> = spec.parameters.iter().filter_map(given).collect();
    let command = spec.command(verb.target(), fields).map_err(Failure::input)?;
    let expected = match spec.target {
        OrderTarget::Flag => typed.get_one::<u64>("if_last").copied(),
        OrderTarget::Alarm | OrderTarget::Backend | OrderTarget::Briefing => None,
    };
    if matches!(spec.confirmation, Confirmation::AskForGood(_)) && !typed.get_flag("yes") {
        let text = format!("{} is for good: it needs --yes; nothing was done", command.in_words());
        return Err(Failure { status: USAGE, text });
    }
    let target = connect.found(config)?;
    let client = Client::new(&target).map_err(|error| remote(&error))?;
    if spec.confirmation == Confirmation::Arm {
        let env = typed.get_one::<String>("env").map(String::as_str);
        confirm_environment(&client, typed.get_flag("yes"), env)
            .map_err(|failure| report_failure(failure, &common))?;
    }
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
fn confirm_environment(client: &Client, yes: bool, env: Option<&str>) -> Result<(), Failure> {
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
    let ack = client.order(order).map_err(|error| report_failure(not_done(&error), common))?;
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
fn report_failure(failure: Failure, common: &Common) -> Failure {
    if common.json {
        // The status says it where nobody reads.
        let _ = print::json(&NotDone { ok: false, error: &failure.text });
    }
    if failure.status == UNREACHABLE {
        tracing::debug!("not reached: {}", failure.text);
    }
    failure
}
