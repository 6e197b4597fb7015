//! What the tests of the league's modules share.

use super::{ledger::League, record::EpisodeRecord};
use knightwatch_core::{control::Phase, flag::Rollout, telemetry::Millis};
use knightwatch_sim::{DETECTABLE, Episode, FlagResult, IntervalCost};

/// The league of one policy with these records.
pub(super) fn league(policy: &str, records: impl IntoIterator<Item = EpisodeRecord>) -> League {
    let mut league = League::of(policy);
    records.into_iter().for_each(|record| league.add(record));
    league
}

/// A harmful flag that was started and is at 100 % at the end.
pub(super) fn left_on(flag: &str) -> FlagResult {
    FlagResult {
        flag: flag.parse().unwrap(),
        harmful: true,
        detectability: 2.0 * DETECTABLE,
        started_at: Some(Millis::ZERO),
        complete_at: Some(Millis::from_secs(600)),
        rolled_back_at: None,
        harmed_at: Some(Millis::from_secs(700)),
        flips: 0,
        phase: Phase::Complete,
        rollout: Rollout::FULL,
        bad_requests: 100.0,
        bad_requests_answered: 40.0,
        escalated: false,
        harmful_at_end: true,
        cost: 0.0,
        cost_at_full: 0.0,
        points: IntervalCost::default(),
        rollback_points: 0.0,
        harm: 0.0,
    }
}

/// An episode of this length in which this came of the flags.
pub(super) fn episode(flags: Vec<FlagResult>, length: Millis) -> Episode {
    let mut episode = Episode::default();
    (episode.flags, episode.length) = (flags, length);
    episode
}
