//! The games of an evaluation: every entrant on every world under every shift, over all cores.
//!
//! Each episode depends on who plays and on its world alone. What was already played is taken from the ledger.

use std::{
    borrow::Cow,
    sync::atomic::{AtomicBool, Ordering},
};

use sha2::{Digest, Sha256};

use super::{
    super::{Failure, policies::Policies, spread::spread},
    Entrant, EvaluationWorld, Field,
    ledger::{Header, Ledger},
};
use crate::judge::{EpisodeRecord, League};
use knightwatch_core::control::ControlConfig;
use knightwatch_sim::{Cost, Shift};

/// Who plays what.
pub(super) struct Play<'a> {
    pub(super) entrants: &'a [Entrant],
    pub(super) built: &'a Policies,
    pub(super) field: &'a Field,
    pub(super) shifts: &'a [Shift],
    pub(super) cost: &'a Cost,
    pub(super) control: &'a ControlConfig,
}

impl Play<'_> {
    /// How many episodes there are.
    pub(super) fn len(&self) -> usize {
        self.shifts.len() * self.entrants.len() * self.field.len()
    }

    /// What PPO-Master decides by.
    pub(super) fn agent(&self) -> String {
        self.built.ppo_master()
    }

    /// What was asked, so that a ledger of another evaluation is known for one.
    pub(super) fn header(&self) -> Header {
        let hash = |text: String| const_hex::encode(&Sha256::digest(text)[..8]);
        let name = |entrant: &Entrant| entrant.name();
        // Generated worlds follow from their number and the program; the last of them tells another program.
        let last = self.field.len().saturating_sub(1);
        let worlds = match self.field {
            Field::Shipped { scenarios, .. } => format!("{scenarios:?}"),
            Field::Recorded { recordings, .. } => format!("{recordings:?}"),
            Field::Generated { .. } => match self.field.world(last) {
                EvaluationWorld::Simulated { scenario, .. } => format!("{scenario:?}"),
                EvaluationWorld::Recorded { recording, .. } => format!("{recording:?}"),
            },
        };
        Header {
            knightwatch: env!("CARGO_PKG_VERSION").to_owned(),
            field: self.field.about(),
            worlds: hash(format!("{:?} {worlds}", self.field.parts())),
            shifts: self.shifts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            policies: self.entrants.iter().map(name).collect::<Vec<_>>().join(", "),
            settings: hash(format!("{:?} {}", self.entrants, self.built.ppo_master())),
            cost: hash(format!("{:?}", self.cost)),
            control: hash(format!("{:?}", self.control)),
        }
    }

    /// Plays what is not in the ledger yet: the leagues under each shift, in the order of the entrants.
    ///
    /// # Errors
    /// A policy that gave no usable answer; a ledger that cannot be written. The first one stops the others.
    pub(super) fn leagues(
        &self,
        threads: Option<u16>,
        ledger: Option<&Ledger>,
    ) -> Result<Vec<Vec<League>>, Failure> {
        let mut records: Vec<Option<EpisodeRecord>> =
            (0..self.len()).map(|job| ledger.and_then(|ledger| ledger.finished(job))).collect();
        let missing: Vec<usize> = (0..records.len()).filter(|job| records[*job].is_none()).collect();
        let stopped = AtomicBool::new(false);
        let played = spread(missing.len(), threads, "episodes", |index| {
            if stopped.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let job = missing[index];
            let played = self.play(job).and_then(|record| {
                ledger.map_or(Ok(()), |ledger| ledger.keep(job, &record))?;
                Ok(Some(record))
            });
            stopped.fetch_or(played.is_err(), Ordering::Relaxed);
            played
        });
        for (job, record) in missing.into_iter().zip(played) {
            records[job] = record?;
        }
        ledger.map_or(Ok(()), Ledger::settle)?;
        let mut records = records.into_iter().flatten();
        let mut leagues = Vec::new();
        for _ in self.shifts {
            let under = self.entrants.iter().map(|entrant| {
                let mut league = League::of(&entrant.name());
                records.by_ref().take(self.field.len()).for_each(|record| league.add(record));
                league
            });
            leagues.push(under.collect());
        }
        Ok(leagues)
    }

    fn play(&self, job: usize) -> Result<EpisodeRecord, Failure> {
        let (entrant, number) = (job / self.field.len(), job % self.field.len());
        let (shift, entrant) =
            (self.shifts[entrant / self.entrants.len()], &self.entrants[entrant % self.entrants.len()]);
        let world = match self.field.world(number) {
            EvaluationWorld::Simulated { scenario, seed } => {
                EvaluationWorld::Simulated { scenario: Cow::Owned(shift.of(scenario.into_owned())), seed }
            }
            recorded @ EvaluationWorld::Recorded { .. } => recorded,
        };
        let episode = entrant.live(self.built, self.cost, &world, self.control)?;
        match episode.fault() {
            None => Ok(EpisodeRecord::from(&episode)),
            Some(fault) => {
                Err(Failure::refused(format!("no result: {} on world {number}: {fault}", entrant.name())))
            }
        }
    }
}
