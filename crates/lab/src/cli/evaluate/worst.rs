//! `evaluate worst N`: a search for the worlds on which a policy does worst, beside what could be had there at best.
//!
//! Two thirds of the worlds are drawn, family by family, from numbers that nothing else uses. Then it climbs: the number
//! of a bad world gives the same service, traffic and flags in every family, so that the worst of them are tried with every
//! other family's faults, as long as worlds are left. What is found is a family and a number, which anybody can play again.

use std::{borrow::Cow, collections::BTreeSet};

use serde::Serialize;

use super::{
    super::{Failure, Outcome, policies::Policies, print, spread::spread},
    Entrant, EvaluationWorld,
};
use crate::judge::EpisodeRecord;
use knightwatch_core::control::ControlConfig;
use knightwatch_sim::{Cost, Family, Generator, Split};

/// The first number of the search: evaluation and tuning stay far below.
const FIRST: u64 = 3_000_000;
/// How many are shown.
const SHOWN: usize = 5;

/// A world, and how the policy did in it.
#[derive(Clone, Debug, Serialize)]
struct Found {
    family: &'static str,
    number: u64,
    /// The policy's cost beyond the oracle's, in points.
    regret: f64,
    cost: f64,
    oracle: f64,
    bad_requests: f64,
    missed: u32,
    false_rollbacks: u32,
    /// What plays it again.
    again: String,
}

/// Who is looked at, and by which weights.
pub(super) struct Search<'a> {
    pub(super) entrant: &'a Entrant,
    pub(super) built: &'a Policies,
    pub(super) cost: &'a Cost,
    pub(super) control: &'a ControlConfig,
    /// The families of the worlds; those of training where empty.
    pub(super) families: &'a [Family],
    pub(super) threads: Option<u16>,
}

/// Looks at `worlds` worlds.
pub(super) fn run(search: &Search<'_>, worlds: u32, is_json: bool) -> Outcome {
    let families =
        if search.families.is_empty() { Family::TRAINING.to_vec() } else { search.families.to_vec() };
    let worlds = worlds as usize;
    let drawn = (FIRST..).zip(families.iter().cycle().copied()).map(|(number, family)| (family, number));
    let drawn: Vec<(Family, u64)> = drawn.take((2 * worlds).div_ceil(3)).collect();
    let mut seen: BTreeSet<(Family, u64)> = drawn.iter().copied().collect();
    let mut found = search.all(&drawn)?;
    let mut climbed: BTreeSet<u64> = BTreeSet::new();
    while found.len() < worlds {
        found.sort_by(|one, other| other.regret.total_cmp(&one.regret));
        let bad: Vec<u64> = found
            .iter()
            .map(|world| world.number)
            .filter(|number| !climbed.contains(number))
            .take(SHOWN)
            .collect();
        climbed.extend(&bad);
        let near: Vec<(Family, u64)> = bad
            .into_iter()
            .flat_map(|number| families.iter().map(move |family| (*family, number)))
            .filter(|world| seen.insert(*world))
            .take(worlds - found.len())
            .collect();
        if near.is_empty() && climbed.len() >= drawn.len() {
            // Nowhere left to climb: the rest is drawn too.
            let rest = (FIRST..).zip(families.iter().cycle().copied()).skip(drawn.len());
            let rest: Vec<_> =
                rest.map(|(number, family)| (family, number)).take(worlds - found.len()).collect();
            found.extend(search.all(&rest)?);
            break;
        }
        found.extend(search.all(&near)?);
    }
    found.sort_by(|one, other| other.regret.total_cmp(&one.regret));
    let looked_at = found.len();
    found.truncate(SHOWN);
    if is_json {
        found.iter().try_for_each(print::json)?;
        return print::DONE;
    }
    print::line(&format!("the worst of {looked_at} validation worlds for {}", search.entrant.name()))?;
    print::line("")?;
    print::line("  regret     cost   oracle  bad requests  missed  false  family            number")?;
    for world in &found {
        print::line(&format!(
            "{:>8.1} {:>8.1} {:>8.1} {:>13.1} {:>7} {:>6}  {:<17} {}",
            world.regret,
            world.cost,
            world.oracle,
            world.bad_requests,
            world.missed,
            world.false_rollbacks,
            world.family,
            world.number
        ))?;
    }
    print::line("")?;
    print::line("Regret: cost beyond the oracle's on the same world, in points. The first one again:")?;
    if let Some(worst) = found.first() {
        print::line(&worst.again)?;
    }
    print::DONE
}

impl Search<'_> {
    fn all(&self, worlds: &[(Family, u64)]) -> Result<Vec<Found>, Failure> {
        let found = spread(worlds.len(), self.threads, "worlds", |index| self.one(worlds[index]));
        found.into_iter().collect()
    }

    fn one(&self, (family, number): (Family, u64)) -> Result<Found, Failure> {
        let generator = Generator { families: vec![family], ..Generator::new(Split::Validation) };
        let (seed, (_, scenario)) = (generator.seed(number), generator.scenario(number));
        let world = EvaluationWorld::Simulated { scenario: Cow::Borrowed(&scenario), seed };
        let live = |entrant: &Entrant| {
            let episode = entrant.live(self.built, self.cost, &world, self.control)?;
            match episode.fault() {
                None => Ok(EpisodeRecord::from(&episode)),
                Some(fault) => Err(Failure::refused(format!(
                    "no result: {} on {}: {fault}",
                    entrant.name(),
                    scenario.name
                ))),
            }
        };
        let (own, oracle) = (live(self.entrant)?, live(&Entrant::Oracle)?);
        Ok(Found {
            family: family.as_str(),
            number,
            regret: own.cost - oracle.cost,
            cost: own.cost,
            oracle: oracle.cost,
            bad_requests: own.bad_requests.iter().sum(),
            missed: own.missed,
            false_rollbacks: own.false_rollbacks,
            again: format!(
                "knightwatch-lab evaluate generated --split validation --policy {} --oracle --family {family} --from {number} --worlds 1",
                self.entrant.policy().map_or("", |policy| policy.as_str())
            ),
        })
    }
}
