//! Layer 14: the command line.
//!
//! Each verb is a file. Exit status: 0 done, 1 refused or not as hoped, 2 usage or bad input, 3 no backend reached. Results go to standard
//! output, everything else to standard error.

mod access;
mod audit;
#[cfg(feature = "train")]
mod cartpole;
mod connect;
mod control_room;
mod curves;
mod definitions;
mod drawing;
mod evaluate;
mod explain;
mod picture;
mod policies;
mod print;
mod real;
mod replay;
mod scene;
mod serve;
mod simulate;
#[cfg(feature = "train")]
mod small_world;
mod spread;
mod status;
#[cfg(feature = "train")]
mod train;
mod tune;
mod verbs;
mod watch;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum, parser::ValueSource};

use crate::{agent::PolicyName, config::Config, store::StoreError};

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
    /// Who may do what on a backend from elsewhere: makes, lists and revokes bearer tokens
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
    /// Puts a backup in the place of the backend's journal, which is kept aside
    Restore {
        /// The backup
        file: PathBuf,
        /// The journal of `serve --real`
        #[arg(long)]
        real: bool,
        /// Yes, also where that raises flags
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
        /// Which folder; it is made where it is missing
        folder: PathBuf,
    },
    /// Checks files of flag definitions, in flagd's format, and says what would be steered
    Import(definitions::ImportArgs),
    /// Writes flag definitions with the rollouts as they are, as a file for flagd
    Export(definitions::ExportArgs),
    /// Runs a scenario under a policy without a screen, as fast as it goes; same seed, same bytes
    Simulate(simulate::Args),
    /// Compares the policies on shipped scenarios or generated worlds, the same for each
    Evaluate(evaluate::Args),
    /// Looks for the opponents' best settings on validation worlds, with an equal budget
    Tune(tune::Args),
    /// Trains PPO-Master in the simulator with libtorch
    #[cfg(feature = "train")]
    Train(train::Args),
    /// Says what a build that trains needs
    #[cfg(not(feature = "train"))]
    #[command(hide = true, disable_help_flag = true)]
    Train {
        /// What the command would have been given
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        rest: Vec<std::ffi::OsString>,
    },
    /// One line for each change, for pipes, CI and screen readers
    Watch(watch::Args),
    /// What the newest session on this machine has come to, from its journal
    Status(status::Args),
    /// A recorded session, recorded telemetry or a training log through the control room
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
    /// Draws the control room as an SVG picture after some simulated minutes
    #[command(hide = true)]
    Picture(picture::Args),
    /// Learns CartPole-v1 with PPO-Master's learner: the proof on a problem that everybody knows
    #[cfg(feature = "train")]
    #[command(hide = true, name = "cartpole")]
    CartPole(cartpole::Args),
    /// Trains PPO-Master's network on the judge's small world, where the best possible policy is known
    #[cfg(feature = "train")]
    #[command(hide = true)]
    SmallWorld(small_world::Args),
}

/// A policy, as `--policy` takes it.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum PolicyArg {
    /// Learned by PPO in the simulator
    PpoMaster,
    /// Raises a rung when healthy, rolls back when regressed
    Rule,
    /// 1, 5, 10, 25, 50, 100 %, without looking
    Schedule,
    /// Flagger's defaults
    Flagger,
    /// The largest raise that the shield allows, and never down
    ShieldAlone,
    /// At random, to test the shield
    Random,
}

impl From<PolicyArg> for PolicyName {
    fn from(arg: PolicyArg) -> Self {
        match arg {
            PolicyArg::PpoMaster => Self::PpoMaster,
            PolicyArg::Rule => Self::Rule,
            PolicyArg::Schedule => Self::Schedule,
            PolicyArg::Flagger => Self::Flagger,
            PolicyArg::ShieldAlone => Self::ShieldAlone,
            PolicyArg::Random => Self::Random,
        }
    }
}

/// Why a verb ended without having done what it was asked.
#[derive(Debug)]
struct Failure {
    status: u8,
    text: String,
}

/// Done, or a status with a sentence.
type Outcome = Result<u8, Failure>;

/// Nothing else went wrong, but the answer is no.
const REFUSED: u8 = 1;

/// Wrong usage or bad input.
const USAGE: u8 = 2;

/// No backend was reached.
const UNREACHABLE: u8 = 3;

impl Failure {
    fn input(error: impl std::fmt::Display) -> Self {
        Self { status: USAGE, text: error.to_string() }
    }

    fn refused(error: impl std::fmt::Display) -> Self {
        Self { status: REFUSED, text: error.to_string() }
    }

    /// A session file that is none is bad input; one that is in use, damaged or in the way is refused.
    fn store(error: StoreError) -> Self {
        match error {
            StoreError::NotFound { .. } | StoreError::NotASession { .. } | StoreError::Newer { .. } => {
                Self::input(error)
            }
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
    match done {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            if failure.text.is_empty() {
                return ExitCode::from(failure.status);
            }
            let lines: Vec<String> =
                failure.text.lines().map(|line| crate::flag::clean(line).into_owned()).collect();
            // Where nobody listens, the status still says it.
            let _ = writeln!(io::stderr(), "knightwatch: {}", lines.join("\n"));
            ExitCode::from(failure.status)
        }
    }
}

fn dispatch(cli: Cli) -> Outcome {
    let config = match Config::load(cli.config.as_deref()) {
        Ok(config) => config,
        // A mistake in a file must not stand between a person and the switch.
        Err(error) if matches!(&cli.verb, Some(Verb::Order(verb)) if verb.stops()) => {
            let error = crate::flag::clean_line(&error.to_string());
            let _ = writeln!(io::stderr(), "knightwatch: {error}; going on without a configuration");
            Config::without_file()
        }
        Err(error) => return Err(Failure::input(error)),
    };
    match cli.verb {
        None => match cli.connect.named(&config)? {
            Some(target) => control_room::remote(&target, &cli.scene, &cli.screen, &config),
            None => control_room::run(&cli.scene, &cli.screen, &config),
        },
        Some(Verb::Order(verb)) => verbs::run(verb, &cli.connect, &config),
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
        Some(Verb::Evaluate(args)) => evaluate::run(&args, &config),
        Some(Verb::Tune(args)) => tune::run(&args, &config),
        #[cfg(feature = "train")]
        Some(Verb::Train(args)) => train::run(&args, &config),
        #[cfg(not(feature = "train"))]
        Some(Verb::Train { rest }) => {
            let rest = rest.iter().fold(String::new(), |line, word| line + " " + &word.to_string_lossy());
            Err(Failure::input(format!(
                "this build cannot train: it was made without libtorch. In the source folder, `.ci/libtorch` fetches \
                 libtorch once; then `cargo run --release --features train -- train{rest}`"
            )))
        }
        Some(Verb::Watch(args)) => watch::run(&args, &cli.connect, &config),
        Some(Verb::Status(args)) => status::run(&args, &cli.connect, &config),
        Some(Verb::Replay(args)) => replay::run(&args, &config),
        Some(Verb::Audit(args)) => audit::run(&args, &cli.connect, &config),
        Some(Verb::Explain(args)) => explain::run(&args, &cli.connect, &config),
        Some(Verb::Scenarios { name }) => scene::list(name.as_deref()),
        Some(Verb::Config { check }) => scene::configuration(&config, check),
        Some(Verb::Picture(args)) => picture::run(&args, &config),
        #[cfg(feature = "train")]
        Some(Verb::CartPole(args)) => cartpole::run(&args),
        #[cfg(feature = "train")]
        Some(Verb::SmallWorld(args)) => small_world::run(&args),
    }
}
