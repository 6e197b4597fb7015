//! Recorded telemetry of real systems, played back as two arms of a rollout: *semi-real*.
//!
//! None of the recordings has a varying rollout. The recorded series is the control arm of every flag. Three readers
//! (Nezha, petshop, NAB) are chosen by a file's header, never by its name. Must not know what is decided on the samples.
//!
//! **How an incident becomes a fault of a flag's code.** The incident's rows are taken relative to their calm
//! surroundings: per recorded quantile a ratio, and a difference of the error rate. A request with the flag on has the
//! incident's behaviour, a request with it off has the recorded one. So the *treatment arm* gets the control row times
//! the incident's ratios plus its errors, from the first interval in which the flag has traffic, whatever the rollout; and
//! the *service* as users see it gets the mix, in proportion to exposure. The incident's rows follow one another in their
//! recorded order and begin again after the last, because a fault of code does not go away by itself; when the rollout
//! falls to 0 % they restart. Flags do not leak into one another's arms.
//!
//! **Recorded incidents in place.** The recording still holds every incident at its own time. There it strikes both arms
//! of every flag, as an outage of a dependency does.
//!
//! **What counts as an incident.** Many injected faults leave the measured service as it was. An incident is spliced only
//! where at least two successive rows leave the range that 99 % of the calm rows keep to; the others become flags "without
//! visible effect", which must not be rolled back. The rule and its numbers are in `splice`, the same for every file.

mod error;
mod lines;
mod load;
mod nab;
mod nezha;
mod petshop;
mod playback;
mod series;
mod shape;
mod splice;

use std::path::{Path, PathBuf};

pub use error::RecordingError;
pub use playback::Playback;
pub use series::Row;

use knightwatch_core::{
    flag::{FlagId, FlagSpec},
    telemetry::{Millis, Rejection},
};
use splice::Profile;

/// Requests an interval where the recording has no counts.
const ASSUMED_REQUESTS: u32 = 2_000;

/// Intervals before the first flag is started: evidence needs earlier control windows to know what slow is.
const WARM_UP_INTERVALS: u64 = 12;

/// Most intervals between the starts of two flags.
const MAX_SPACING: u64 = 30;

/// The name under which a playback starts its flags.
const OPERATOR: &str = "replay";

/// What to read beside the recording itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingOptions {
    /// Requests an interval where the recording has no counts, 1 to 1 000 000.
    pub requests: u32,
    /// The service whose series is played, where a recording has several; the issues' own target where absent.
    pub service: Option<String>,
    /// The list of faults (Nezha) or labelled windows (NAB); the one beside the recording where absent.
    pub incidents: Option<PathBuf>,
    /// Folders of recorded issues (petshop), each with `metrics.csv` and `target.json`; those beside the recording
    /// where empty.
    pub issues: Vec<PathBuf>,
}

impl Default for RecordingOptions {
    fn default() -> Self {
        Self { requests: ASSUMED_REQUESTS, service: None, incidents: None, issues: Vec::new() }
    }
}

/// A flag that is rolled out against the recording, and the fault in its code.
#[derive(Clone, Debug, PartialEq)]
struct RecordedFlag {
    spec: FlagSpec,
    /// Empty for a flag without effect.
    profile: Profile,
}

/// A recorded series with the flags that are rolled out against it.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// What it is, in a few words, with `(semi-real)`: shown wherever results on it are.
    pub title: String,
    /// File, source and licence, where known.
    pub origin: String,
    /// The service that was measured.
    pub service: String,
    /// The spacing of the rows: the control interval of a playback.
    pub interval: Millis,
    /// When the first interval begins, on the grid of intervals.
    pub start: Millis,
    /// The shares (0 to 1, ascending) that [`Row::quantiles_ms`] are the quantiles of.
    pub probabilities: Vec<f64>,
    /// One for each interval from `start` on; `None` where nothing was recorded.
    pub rows: Vec<Option<Row>>,
    /// Whether request counts are assumed.
    pub assumed_requests: bool,
    /// What a person must know who looks at results on it, as sentences.
    pub notes: Vec<String>,
    flags: Vec<RecordedFlag>,
    /// Rows that were refused, by the interval they fell in.
    rejected: Vec<(usize, Rejection)>,
}

impl Recording {
    /// Reads a recording: a Nezha, petshop or NAB file, or a petshop folder (`noissue/metrics.csv` and issues).
    ///
    /// # Errors
    /// When anything in it cannot be believed: with file, line, what was found and what was expected.
    pub fn load(path: &Path, options: &RecordingOptions) -> Result<Self, RecordingError> {
        load::load(path, options)
    }

    /// The flags that are rolled out against it; the position of each is its [`FlagId`]. First one without any incident.
    #[must_use]
    pub fn specs(&self) -> Vec<FlagSpec> {
        self.flags.iter().map(|flag| flag.spec.clone()).collect()
    }

    /// Whether this flag carries a recorded incident: one that should be rolled back.
    #[must_use]
    pub fn faulty(&self, flag: FlagId) -> bool {
        self.flags.get(flag.index()).is_some_and(|flag| !flag.profile.is_empty())
    }

    /// When each flag is started, since the start, and by whom: one after another in the first half, so that the
    /// exposure cap of their one service is kept and the last flags have time to come to an end.
    #[must_use]
    pub fn scheduled_starts(&self) -> Vec<(Millis, FlagId, String)> {
        let flags = u64::try_from(self.flags.len()).unwrap_or(1).max(1);
        let intervals = u64::try_from(self.rows.len()).unwrap_or(0);
        let spacing = (intervals / 2 / flags).clamp(1, MAX_SPACING);
        let first = WARM_UP_INTERVALS.min(intervals / 4);
        (0_u32..)
            .zip(&self.flags)
            .map(|(id, _)| {
                let at = Millis(self.interval.0 * (first + u64::from(id) * spacing));
                (at, FlagId(id), OPERATOR.to_owned())
            })
            .collect()
    }
}
