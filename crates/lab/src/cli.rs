//! The command line of the lab.
//!
//! Each verb is a file. Exit status: 0 done, 1 refused or not as hoped, 2 usage or bad input. Results go to standard output,
//! everything else to standard error.

#[cfg(feature = "train")]
mod cartpole;
mod curves;
mod drawing;
mod evaluate;
mod picture;
mod replay;
#[cfg(feature = "train")]
mod small_world;
mod spread;
#[cfg(feature = "train")]
mod train;
mod tune;
mod what_if;

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use knightwatch::{
    cli::{Failure, Outcome, policies, print, scene},
    config::Config,
};

/// knightwatch's research lab: compares, tunes and trains policies.
#[derive(Debug, Parser)]
#[command(name = "knightwatch-lab", version, about, long_about = None, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,

    /// The configuration file.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "KNIGHTWATCH_CONFIG",
        help = "Configuration file [default: $XDG_CONFIG_HOME/knightwatch/config.toml where there is one]"
    )]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Compares policies on shipped scenarios, generated worlds or recordings, the same for each
    Evaluate(evaluate::Args),
    /// Searches for the opponents' best settings on validation worlds, with an equal budget
    Tune(tune::Args),
    /// A session of the simulator under another policy: where they differ, and what that would have cost
    WhatIf(what_if::Args),
    /// Recorded telemetry of a real system through the control room under a policy
    Replay(replay::Args),
    /// A training log as a picture and as a table
    Curves(curves::Args),
    /// The control room as an SVG picture after some simulated minutes
    Picture(picture::Args),
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
    /// Learns CartPole-v1 with PPO-Master's learner: a check on a known problem
    #[cfg(feature = "train")]
    #[command(name = "cartpole")]
    CartPole(cartpole::Args),
    /// Trains PPO-Master's network on the small world, where the best possible policy is known
    #[cfg(feature = "train")]
    SmallWorld(small_world::Args),
}

/// The program: parses the command line and does it.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = Config::load(cli.config.as_deref())
        .map_err(Failure::input)
        .and_then(|config| dispatch(cli.verb, &config));
    knightwatch::cli::report("knightwatch-lab", done)
}

fn dispatch(verb: Verb, config: &Config) -> Outcome {
    match verb {
        Verb::Evaluate(args) => evaluate::run(args, config),
        Verb::Tune(args) => tune::run(&args, config),
        Verb::WhatIf(args) => what_if::run(&args, config),
        Verb::Replay(args) => replay::run(&args, config),
        Verb::Curves(args) => curves::run(&args),
        Verb::Picture(args) => picture::run(&args, config),
        #[cfg(feature = "train")]
        Verb::Train(args) => train::run(&args, config),
        #[cfg(not(feature = "train"))]
        Verb::Train { rest } => {
            let rest = rest.iter().fold(String::new(), |line, word| line + " " + &word.to_string_lossy());
            Err(Failure::input(format!(
                "this build cannot train: it was made without libtorch. In the source folder, `.ci/libtorch` fetches \
                 libtorch once; then `cargo run --release -p knightwatch-lab --features train -- train{rest}`"
            )))
        }
        #[cfg(feature = "train")]
        Verb::CartPole(args) => cartpole::run(&args),
        #[cfg(feature = "train")]
        Verb::SmallWorld(args) => small_world::run(&args),
    }
}
