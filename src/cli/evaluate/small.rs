//! `evaluate --small-world`: what the best possible policy costs where it can be computed, and what others cost beside it.

use serde::Serialize;

use super::super::{Failure, Outcome, print};
use crate::judge::small_world::{Best, Blind, EFFECTS, FlaggerLike, Learnt, SmallPolicy, SmallWorld};

/// Good flags that each policy plays at each effect, and as many bad ones.
const FLAGS: u32 = 20_000;

/// One policy at one effect, in `--json`.
#[derive(Serialize)]
struct Line<'a> {
    policy: &'a str,
    world: &'a SmallWorld,
    cost: f64,
    /// Standard error of the cost; 0 where it was computed.
    error: f64,
    /// The part of the way from the Flagger-like rule to the best possible that it goes.
    closed: f64,
}

pub(super) fn run(json: bool) -> Outcome {
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
    for effect in EFFECTS {
        let world = SmallWorld::new(effect);
        let best = Best::of(&world).cost();
        let play = |policy: &mut dyn SmallPolicy| {
            let played = world.play(policy, FLAGS, 0);
            (played.cost(world.prior), played.error)
        };
        let (mut rule, mut blind) = (FlaggerLike::default(), Blind);
        let mut learnt = Learnt::shipped(world).map_err(Failure::refused)?;
        let by_learnt = play(&mut learnt);
        let (by_rule, by_blind) = (play(&mut rule), play(&mut blind));
        let all = [
            ("oracle", (world.oracle(), 0.0)),
            ("bayes-optimal", (best, 0.0)),
            ("ppo, trained here", by_learnt),
            (rule.name(), by_rule),
            (blind.name(), by_blind),
        ];
        for (policy, (cost, error)) in all {
            let closed = SmallWorld::closed(by_rule.0, cost, best);
            let line = Line { policy, world: &world, cost, error, closed };
            if json { print::json(&line)? } else { row(&line)? }
        }
    }
    print::DONE
}

fn row(line: &Line<'_>) -> Result<(), Failure> {
    let effect = format!("{} %", 100.0 * line.world.effect);
    print::line(&format!(
        "{effect:<8} {:<18} {:>8.2} {:>10.0} %",
        line.policy,
        line.cost,
        100.0 * line.closed
    ))
}
