//! The command line.
//!
//! Each verb is a file. Exit status: 0 done, 1 refused or not as hoped, 2 usage or bad input, 3 no backend reached. Results go to standard
//! output, everything else to standard error.

mod access;
mod audit;
mod connect;
pub mod control_room;
pub mod curves;
mod definitions;
mod explain;
pub mod policies;
pub mod print;
mod real;
pub mod replay;
pub mod scene;
mod serve;
pub mod simulate;
mod status;
mod verbs;
mod watch;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand, parser::ValueSource};

use crate::config::Config;
use knightwatch_store::StoreError;

/// The terminal control room for autonomous feature-flag rollouts.
#[derive(Debug, Parser)]
#[command(name = "knightwatch", version, about, long_about = None, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,

    #[command(flatten)]
    scene: scene::SceneArgs,

    #[command(flatten)]
    screen: control_room::ScreenArgs,

    #[command(flatten)]
    connect: connect::ConnectArgs,

    /// The configuration file.
    // Not from the comment above: the name of the variable is shown as it is.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "KNIGHTWATCH_CONFIG",
        help = "Configuration file [default: $XDG_CONFIG_HOME/knightwatch/config.toml where there is one]"
    )]
    config: Option<PathBuf>,
}

impl Cli {
    /// Refuses options about a backend where the verb asks none: they would do nothing. Variables are for all verbs.
    fn takes_connection(&self, matches: &ArgMatches) -> Result<(), Failure> {
        let asks = matches!(
            &self.verb,
            None | Some(
                Verb::Order(_)
                    | Verb::Watch(_)
                    | Verb::Status(_)
                    | Verb::Audit(_)
                    | Verb::Explain(_)
                    | Verb::Export(_)
            )
        );
        let typed = |id: &&&str| matches.value_source(id) == Some(ValueSource::CommandLine);
        match ["connect", "token_file", "ca"].iter().find(typed) {
            Some(option) if !asks => {
                let verb = matches.subcommand_name().unwrap_or_default();
                let option = option.replace('_', "-");
                Err(Failure::input(format!("{verb} asks no backend: it takes no --{option}")))
            }
            _ => Ok(()),
        }
    }
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// The backend: control API, event stream and flag evaluation over HTTP, on 127.0.0.1:8000
    Serve(serve::Args),
    #[command(flatten)]
    Order(verbs::Verb),
    /// Creates, lists and revokes bearer tokens for remote access
    Token {
        #[command(subcommand)]
        what: access::Token,
    },
    /// Copies the backend's journal, also while it runs
    Backup {
        /// A file that does not exist yet
        file: PathBuf,
        /// The journal of `serve --real`
        #[arg(long)]
        real: bool,
    },
    /// Restores a backup as the backend's journal; the old journal is kept beside it
    Restore {
        /// The backup
        file: PathBuf,
        /// The journal of `serve --real`
        #[arg(long)]
        real: bool,
        /// Confirm, even if this raises flags
        #[arg(long)]
        yes: bool,
    },
    /// Completions for a shell, to standard output
    Completions {
        /// Which
        shell: clap_complete::Shell,
    },
    /// Man pages, into a folder
    Man {
        /// The folder; it is created if it does not exist
        folder: PathBuf,
    },
    /// Checks files of flag definitions, in flagd's format, and says what would be steered
    Import(definitions::ImportArgs),
    /// Writes flag definitions with the rollouts as they are, as a file for flagd
    Export(definitions::ExportArgs),
    /// Runs a scenario under a policy without a screen, as fast as it goes; same seed, same bytes
    Simulate(simulate::Args),
    /// One line for each change, for pipes, CI and screen readers
    Watch(watch::Args),
    /// Prints the state of the newest session on this machine
    Status(status::Args),
    /// Replays a session or a training log in the control room
    Replay(replay::Args),
    /// Shows, exports and verifies a session's journal, or a backend's
    Audit(audit::Args),
    /// Explains one decision of the agent: its probabilities, and everything it saw by how much that moved it
    Explain(explain::Args),
    /// Lists the built-in scenarios, or prints one
    Scenarios {
        /// Print this one
        name: Option<String>,
    },
    /// Prints the default configuration, or checks the given one
    Config {
        /// Check the configuration and say what is in force
        #[arg(long)]
        check: bool,
    },
}

/// Why a verb ended without having done what it was asked.
#[derive(Debug)]
pub struct Failure {
    /// The exit status.
    pub status: u8,
    /// One sentence or several lines; nothing is printed where it is empty.
    pub text: String,
}

/// Done, or a status with a sentence.
pub type Outcome = Result<u8, Failure>;

/// Nothing else went wrong, but the answer is no.
pub const REFUSED: u8 = 1;

/// Wrong usage or bad input.
const USAGE: u8 = 2;

/// No backend was reached.
const UNREACHABLE: u8 = 3;

impl Failure {
    /// Wrong usage or bad input.
    #[must_use]
    pub fn input(error: impl std::fmt::Display) -> Self {
        Self { status: USAGE, text: error.to_string() }
    }

    /// It was understood, and could not be done.
    #[must_use]
    pub fn refused(error: impl std::fmt::Display) -> Self {
        Self { status: REFUSED, text: error.to_string() }
    }

    /// A session file that is none is bad input; one that is in use, damaged or in the way is refused.
    #[must_use]
    pub fn store(error: StoreError) -> Self {
        match error {
            StoreError::NotFound { .. }
            | StoreError::NotASession { .. }
            | StoreError::Newer { .. }
            | StoreError::Older { .. } => Self::input(error),
            _ => Self::refused(error),
        }
    }
}

/// The program: parses the command line and does it.
#[must_use]
pub fn main() -> ExitCode {
    let matches = Cli::command().get_matches();
    let done = Cli::from_arg_matches(&matches).map_err(Failure::input).and_then(|cli| {
        cli.takes_connection(&matches)?;
        dispatch(cli)
    });
    report("knightwatch", done)
}

/// The exit code of what a verb came to; a failure is printed to standard error as the words of `program`.
#[must_use]
pub fn report(program: &str, done: Outcome) -> ExitCode {
    match done {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            if failure.text.is_empty() {
                return ExitCode::from(failure.status);
            }
            let lines: Vec<String> =
                failure.text.lines().map(|line| knightwatch_core::flag::clean(line).into_owned()).collect();
            // Where nobody listens, the status still says it.
            let _ = writeln!(io::stderr(), "{program}: {}", lines.join("\n"));
            ExitCode::from(failure.status)
        }
    }
}

fn dispatch(cli: Cli) -> Outcome {
    let config = match Config::load(cli.config.as_deref()) {
        Ok(config) => config,
        // A mistake in a file must not stand between a person and the switch.
        Err(error) if matches!(&cli.verb, Some(Verb::Order(verb)) if verb.stops()) => {
            let error = knightwatch_core::flag::clean_line(&error.to_string());
            let _ = writeln!(io::stderr(), "knightwatch: {error}; continuing without a configuration");
            Config::without_file()
        }
        Err(error) => return Err(Failure::input(error)),
    };
    match cli.verb {
        None => match cli.connect.named(&config)? {
            Some(target) => control_room::remote(&target, &cli.scene, &cli.screen, &config),
            None => control_room::run(&cli.scene, &cli.screen, &config),
        },
        Some(Verb::Order(verb)) => verbs::run(&verb, &cli.connect, &config),
        Some(Verb::Token { what }) => access::token(&what, &config),
        Some(Verb::Backup { file, real }) => access::backup(&file, real, &config),
        Some(Verb::Restore { file, real, yes }) => access::restore(&file, real, yes, &config),
        Some(Verb::Completions { shell }) => {
            clap_complete::generate(shell, &mut Cli::command(), "knightwatch", &mut io::stdout());
            print::DONE
        }
        Some(Verb::Man { folder }) => {
            let failed = |error: io::Error| Failure::refused(format!("{}: {error}", folder.display()));
            std::fs::create_dir_all(&folder).map_err(failed)?;
            clap_mangen::generate_to(Cli::command(), &folder).map_err(failed)?;
            print::DONE
        }
        Some(Verb::Serve(args)) => serve::run(&args, cli.config, &config),
        Some(Verb::Import(args)) => definitions::import(&args),
        Some(Verb::Export(args)) => definitions::export(&args, &cli.connect, &config),
        Some(Verb::Simulate(args)) => simulate::run(&args, &config),
        Some(Verb::Watch(args)) => watch::run(&args, &cli.connect, &config),
        Some(Verb::Status(args)) => status::run(&args, &cli.connect, &config),
        Some(Verb::Replay(args)) => replay::run(&args, &config),
        Some(Verb::Audit(args)) => audit::run(&args, &cli.connect, &config),
        Some(Verb::Explain(args)) => explain::run(&args, &cli.connect, &config),
        Some(Verb::Scenarios { name }) => scene::list(name.as_deref()),
        Some(Verb::Config { check }) => scene::configuration(&config, check),
    }
}
