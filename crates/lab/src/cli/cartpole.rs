//! `knightwatch-lab cartpole`: how fast the learner solves CartPole-v1, seed by seed.

use clap::ValueEnum;

use knightwatch::cli::REFUSED;

use super::{Failure, Outcome, print};
use crate::learn::cartpole::{Preset, SOLVED, Settings, solve};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The first seed
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many seeds, from the first on
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    seeds: u64,
    /// The settings
    #[arg(long, value_enum, default_value_t = PresetArg::Fast)]
    preset: PresetArg,
    /// One JSON object for each seed
    #[arg(long)]
    json: bool,
}

/// A preset, as `--preset` takes it.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum PresetArg {
    /// 64 carts, 32 steps, 4 epochs
    Fast,
    /// What Stable-Baselines3's zoo has tuned
    Sb3,
}

pub(super) fn run(args: &Args) -> Outcome {
    let settings = Settings::preset(match args.preset {
        PresetArg::Fast => Preset::Fast,
        PresetArg::Sb3 => Preset::StableBaselines,
    });
    let mut missed = 0;
    for seed in (0..args.seeds).map(|number| args.seed.wrapping_add(number)) {
        let report = solve(&settings, seed).map_err(Failure::refused)?;
        missed += u64::from(report.solved_at_step.is_none());
        if args.json {
            print::json(&report)?;
            continue;
        }
        let how = match report.solved_at_step {
            Some(step) => format!("an average of {SOLVED} after {step} steps"),
            None => format!("an average of {:.1} only after {} steps", report.average, report.steps),
        };
        print::line(&format!(
            "seed {seed}: {how}, {:.2} s ({:.2} s in updates), {:.0} steps/s, {} iterations, {} episodes",
            report.seconds,
            report.update_seconds,
            report.steps_per_second,
            report.iterations,
            report.episodes
        ))?;
    }
    if missed > 0 { Ok(REFUSED) } else { print::DONE }
}
