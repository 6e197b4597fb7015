//! `evaluate small-world`: what the best possible policy costs where it can be computed, and what others cost beside it.

use serde::Serialize;

use super::super::{Failure, Outcome, print, spread::spread};
use crate::judge::small_world::{Best, Blind, EFFECTS, FlaggerLike, Learnt, SmallPolicy, SmallWorld};

/// Good flags that each policy plays at each effect, and as many bad ones.
const FLAGS: u32 = 20_000;

/// Who plays at each effect, by place: the oracle, the best policy, PPO-Master's network, the rule and who never looks.
const PLAYERS: usize = 5;
const BEST: usize = 1;
const RULE: usize = 3;

/// One policy at one effect, in `--json`.
#[derive(Serialize)]
struct SmallWorldLine<'a> {
    policy: &'a str,
    world: &'a SmallWorld,
    cost: f64,
    /// Standard error of the cost; 0 where it was computed.
    error: f64,
    /// The part of the way from the Flagger-like rule to the best possible that it goes.
    closed: f64,
}

pub(super) fn run(json: bool, threads: Option<u16>) -> Outcome {
    if !json {
        print::line(
            "The small world: 0.2 % of 2000 requests a tick fail, of a bad flag's an effect more; 240 ticks;",
        )?;
        print::line(
            "3 flags of 10 are bad. Cost of a flag, in ticks at 0 %; the gap is from flagger-like to the best.",
        )?;
        print::line("")?;
        print::line("effect   policy                 cost   gap closed")?;
    }
    let costs = spread(EFFECTS.len() * PLAYERS, threads, "policies", |job| {
        let world = SmallWorld::new(EFFECTS[job / PLAYERS]);
        let play = |policy: &mut dyn SmallPolicy| {
            let played = world.play(policy, FLAGS, 0);
            (policy.name(), played.cost(world.prior), played.error)
        };
        Ok(match job % PLAYERS {
            0 => ("oracle", world.oracle(), 0.0),
            BEST => ("bayes-optimal", Best::of(&world).cost(), 0.0),
            2 => play(&mut Learnt::shipped(world).map_err(Failure::refused)?),
            RULE => play(&mut FlaggerLike::default()),
            _ => play(&mut Blind),
        })
    });
    let costs = costs.into_iter().collect::<Result<Vec<_>, Failure>>()?;
    for (effect, costs) in EFFECTS.into_iter().zip(costs.chunks(PLAYERS)) {
        let world = SmallWorld::new(effect);
        let (best, rule) = (costs[BEST].1, costs[RULE].1);
        for &(policy, cost, error) in costs {
            let closed = SmallWorld::closed(rule, cost, best);
            let line = SmallWorldLine { policy, world: &world, cost, error, closed };
            if json { print::json(&line)? } else { row(&line)? }
        }
    }
    print::DONE
}

fn row(line: &SmallWorldLine<'_>) -> Result<(), Failure> {
    let effect = format!("{} %", 100.0 * line.world.effect);
    print::line(&format!(
        "{effect:<8} {:<18} {:>8.2} {:>10.0} %",
        line.policy,
        line.cost,
        100.0 * line.closed
    ))
}
