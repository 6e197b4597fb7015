//! `knightwatch-lab small-world`: trains the network on the judge's small world, and says how near it comes to the best policy.

use std::{fs, path::PathBuf};

use super::{Failure, Outcome, print};
use crate::{
    judge::small_world::{Best, EFFECTS, FlaggerLike, Learnt, SmallPolicy, SmallWorld},
    learn::{
        PpoConfig,
        small_world::{SmallRun, settings},
    },
};

/// Flags of each kind that are played at each effect.
const FLAGS: u32 = 20_000;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Seed of the first weights and of all chances
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many steps [default: 6 000 000]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    steps: Option<u64>,
    /// Where the weights go
    #[arg(long, value_name = "FILE", default_value = "small-world.safetensors")]
    out: PathBuf,
}

pub(super) fn run(args: &Args) -> Outcome {
    let defaults = settings();
    let total_steps = args.steps.unwrap_or(defaults.total_steps);
    let mut run =
        SmallRun::new(PpoConfig { total_steps, ..defaults }, args.seed).map_err(Failure::refused)?;
    let (mut more, mut told) = (true, 0);
    while more {
        more = run.iterate().map_err(Failure::refused)?;
        if run.steps() * 10 / total_steps > told {
            told = run.steps() * 10 / total_steps;
            print::line(&format!("{} of {total_steps} steps", run.steps()))?;
        }
    }
    let weights = run.weights();
    let bytes = weights.to_bytes().map_err(Failure::refused)?;
    fs::write(&args.out, bytes)
        .map_err(|error| Failure::refused(format!("{}: {error}", args.out.display())))?;
    for effect in EFFECTS {
        let world = SmallWorld::new(effect);
        let best = Best::of(&world).cost();
        let cost = |policy: &mut dyn SmallPolicy| world.play(policy, FLAGS, 0).cost(world.prior);
        let rule = cost(&mut FlaggerLike::default());
        let learnt = cost(&mut Learnt::new(weights.clone(), world));
        print::line(&format!(
            "effect {} %: {learnt:.2}, the best possible {best:.2}, the Flagger-like rule {rule:.2}: {:.1} % of the gap closed",
            100.0 * effect,
            100.0 * SmallWorld::closed(rule, learnt, best)
        ))?;
    }
    print::DONE
}
