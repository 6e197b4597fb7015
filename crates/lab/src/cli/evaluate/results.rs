//! What came of an evaluation, as a whole and part by part, and the same as JSON.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::{
    super::{Failure, print},
    Field,
    entrant::{ORACLE, is_limit, is_ours},
    play::Play,
};
use crate::judge::{Difference, Estimate, League, Share, Standing};
use knightwatch_agent::PolicyName;
use knightwatch_sim::{Cost, Shift};

/// How the policies did on the field, or on a part of it. In the order of the policies.
pub(super) struct Results {
    /// The part's name; empty for the whole.
    pub(super) part: String,
    pub(super) standings: Vec<Standing>,
    /// None for the one that the others are compared with.
    pub(super) differences: Vec<Option<Difference>>,
    /// The share of the oracle's gap that each closes; None where schedule or oracle did not take part.
    pub(super) closed: Vec<Option<Estimate>>,
    /// PPO-Master's bad requests as a part of those of the opponent that has the fewest of all that bring good flags to 100 %
    /// no more slowly; None where there is none, and of all others.
    pub(super) shares: Vec<Option<Share>>,
}

/// One policy in `--json`.
#[derive(Serialize)]
struct ResultLine<'a> {
    #[serde(flatten)]
    own: PartLine<'a>,
    /// With `--by-family`, each part by itself.
    families: Vec<PartLine<'a>>,
    /// On what.
    field: &'a Field,
    /// Under which conditions.
    shift: &'a str,
    /// What PPO-Master decides by: its weights' hash and harm weight.
    agent: String,
    /// By which weights of the cost.
    weights: &'a Cost,
}

/// One policy on the whole field, or on a part of it.
#[derive(Serialize)]
struct PartLine<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    family: &'a str,
    #[serde(flatten)]
    standing: &'a Standing,
    /// What it cost more than the one it is compared with.
    against: Option<&'a Difference>,
    /// The share of the gap from the schedule to the oracle that it closes, where both take part.
    gap_closed: Option<Estimate>,
    /// PPO-Master's bad requests as a part of those of the best opponent that is no slower.
    bad_requests_share: Option<&'a Share>,
}

impl Results {
    pub(super) fn of(part: String, leagues: &[League], against: usize) -> Self {
        let differences = leagues
            .iter()
            .enumerate()
            .map(|(index, league)| if index == against { None } else { league.against(&leagues[against]) });
        let named = |name: &str| leagues.iter().find(|league| league.policy() == name);
        let gap = named(PolicyName::SCHEDULE.as_str()).zip(named(ORACLE));
        let closed = |league: &League| gap.and_then(|(base, oracle)| league.closed(base, oracle));
        let standings: Vec<Standing> = leagues.iter().map(League::standing).collect();
        let share = |index: usize| leagues[index].share_of(&leagues[rival(&standings, index)?]);
        Self {
            part,
            differences: differences.collect(),
            closed: leagues.iter().map(closed).collect(),
            shares: (0..leagues.len()).map(share).collect(),
            standings,
        }
    }

    /// The same of each part of the field, in the order in which they first come.
    pub(super) fn by_part(field: &Field, leagues: &[League], against: usize) -> Vec<Self> {
        let part_of = field.parts();
        let mut parts: Vec<&str> = Vec::new();
        for part in &part_of {
            if !parts.contains(part) {
                parts.push(part);
            }
        }
        let result = |part: &str| {
            let leagues: Vec<_> =
                leagues.iter().map(|league| league.part(|index| part_of[index] == part)).collect();
            Self::of(part.to_owned(), &leagues, against)
        };
        parts.into_iter().map(result).collect()
    }

    fn line(&self, index: usize) -> PartLine<'_> {
        PartLine {
            family: &self.part,
            standing: &self.standings[index],
            against: self.differences[index].as_ref(),
            gap_closed: self.closed[index],
            bad_requests_share: self.shares[index].as_ref(),
        }
    }
}

/// The opponent with the fewest bad requests of those that are no slower, where the one at `index` is ours: by the restricted
/// mean, so that nobody is quick by leaving flags behind.
fn rival(standings: &[Standing], index: usize) -> Option<usize> {
    let own = &standings[index];
    let most = own.restricted_minutes_to_full.filter(|_| is_ours(&own.policy) && own.bad_flags > 0)?;
    let no_slower = |standing: &Standing| {
        let opponent = !is_ours(&standing.policy) && !is_limit(&standing.policy);
        opponent && standing.restricted_minutes_to_full.is_some_and(|minutes| minutes <= most)
    };
    let requests = |index: &usize| standings[*index].bad_requests_per_bad_flag;
    let opponents = (0..standings.len()).filter(|index| no_slower(&standings[*index]));
    opponents.min_by(|one, other| requests(one).total_cmp(&requests(other)))
}

/// A line of JSON for each policy.
pub(super) fn lines(
    whole: &Results,
    parts: &[Results],
    play: &Play<'_>,
    shift: Shift,
) -> Result<Vec<String>, Failure> {
    let line = |index: usize| {
        print::json_line(&ResultLine {
            own: whole.line(index),
            families: parts.iter().map(|part| part.line(index)).collect(),
            field: play.field,
            shift: shift.as_str(),
            agent: play.agent(),
            weights: play.cost,
        })
    };
    (0..whole.standings.len()).map(line).collect()
}

/// Whether this file can be written, without touching what is in it: found out before anything is played.
///
/// # Errors
/// When it cannot.
pub(in super::super) fn writable(file: &Path) -> Result<(), Failure> {
    let tried = match Destination::of(file) {
        Destination::Stream => OpenOptions::new().append(true).open(file).map(drop),
        Destination::File(file) => {
            let fresh = fresh(&file);
            fs::write(&fresh, []).and_then(|()| fs::remove_file(&fresh))
        }
    };
    tried.map_err(|error| Failure::input(format!("{}: {error}", file.display())))
}

/// Puts a file in its place only once all of it is written. A link leads to its file; what is no file, a pipe or a device, is
/// written to and stays what it is.
pub(in super::super) fn whole(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let written = match Destination::of(file) {
        Destination::Stream => {
            OpenOptions::new().append(true).open(file).and_then(|mut stream| stream.write_all(bytes))
        }
        Destination::File(file) => {
            let fresh = fresh(&file);
            fs::write(&fresh, bytes).and_then(|()| fs::rename(&fresh, &file)).inspect_err(|_| {
                // Half a file is of no use to anybody.
                let _ = fs::remove_file(&fresh);
            })
        }
    };
    written.map_err(|error| Failure::refused(format!("{}: {error}", file.display())))
}

/// What a path leads to.
enum Destination {
    /// A file, or nothing yet.
    File(PathBuf),
    /// A pipe, a device.
    Stream,
}

impl Destination {
    fn of(path: &Path) -> Self {
        match fs::metadata(path) {
            Ok(found) if !found.is_file() && !found.is_dir() => Self::Stream,
            Ok(_) => Self::File(path.canonicalize().unwrap_or_else(|_| path.to_owned())),
            Err(_) => Self::File(path.to_owned()),
        }
    }
}

/// What a file is called until it is whole.
fn fresh(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_is_measured_by_the_best_of_those_no_slower() {
        let standing = |(policy, minutes, requests): (&str, f64, f64)| Standing {
            policy: policy.to_owned(),
            bad_flags: 10,
            restricted_minutes_to_full: Some(minutes),
            bad_requests_per_bad_flag: requests,
            ..Standing::default()
        };
        let all = [
            ("ppo-master", 30.0, 100.0),
            ("quick", 20.0, 900.0),
            ("as-quick*", 30.0, 400.0),
            ("slower", 30.1, 50.0),
            ("ppo x 1", 25.0, 200.0),
            ("ppo by-traffic", 10.0, 300.0),
            ("quick^", 20.0, 10.0),
            ("oracle", 15.0, 2.0),
        ]
        .map(standing);
        let rivals: Vec<_> = (0..all.len()).map(|index| rival(&all, index)).collect();
        assert_eq!(rivals, [Some(2), None, None, None, Some(1), None, None, None]);
    }
}
