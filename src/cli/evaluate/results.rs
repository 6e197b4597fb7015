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
    entrant::ORACLE,
    play::Play,
};
use crate::{
    agent::PolicyName,
    judge::{Cost, Difference, Estimate, League, Standing},
    sim::Shift,
};

/// How the policies did on the field, or on a part of it. In the order of the policies.
pub(super) struct Results {
    /// The part's name; empty for the whole.
    pub(super) part: String,
    pub(super) standings: Vec<Standing>,
    /// None for the one that the others are compared with.
    pub(super) differences: Vec<Option<Difference>>,
    /// The share of the oracle's gap that each closes; None where schedule or oracle did not take part.
    pub(super) closed: Vec<Option<Estimate>>,
}

/// One policy in `--json`.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    own: PartLine<'a>,
    /// With `--by-family`, each part by itself.
    families: Vec<PartLine<'a>>,
    /// On what.
    field: &'a Field,
    /// Under which conditions.
    shift: &'a str,
    /// What PPO-Master decides by: its weights' hash and taste.
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
}

impl Results {
    pub(super) fn of(part: String, leagues: &[League], against: usize) -> Self {
        let differences = leagues
            .iter()
            .enumerate()
            .map(|(index, league)| if index == against { None } else { league.against(&leagues[against]) });
        let named = |name: &str| leagues.iter().find(|league| league.policy() == name);
        let gap = named(PolicyName::Schedule.as_str()).zip(named(ORACLE));
        let closed = |league: &League| gap.and_then(|(base, oracle)| league.closed(base, oracle));
        Self {
            part,
            differences: differences.collect(),
            closed: leagues.iter().map(closed).collect(),
            standings: leagues.iter().map(League::standing).collect(),
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
        }
    }
}

/// A line of JSON for each policy.
pub(super) fn lines(
    whole: &Results,
    parts: &[Results],
    play: &Play<'_>,
    shift: Shift,
) -> Result<Vec<String>, Failure> {
    let line = |index: usize| {
        print::json_line(&Line {
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
pub(super) fn writable(file: &Path) -> Result<(), Failure> {
    let tried = match Place::of(file) {
        Place::Stream => OpenOptions::new().append(true).open(file).map(drop),
        Place::File(file) => {
            let fresh = fresh(&file);
            fs::write(&fresh, []).and_then(|()| fs::remove_file(&fresh))
        }
    };
    tried.map_err(|error| Failure::input(format!("{}: {error}", file.display())))
}

/// Puts a file in its place only once all of it is written. A link leads to its file; what is no file, a pipe or a device, is
/// written to and stays what it is.
pub(super) fn whole(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let written = match Place::of(file) {
        Place::Stream => {
            OpenOptions::new().append(true).open(file).and_then(|mut stream| stream.write_all(bytes))
        }
        Place::File(file) => {
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
enum Place {
    /// A file, or nothing yet.
    File(PathBuf),
    /// A pipe, a device.
    Stream,
}

impl Place {
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
