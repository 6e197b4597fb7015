//! The families of generated scenarios: what can be wrong with a flag, with what surrounds it, or with its telemetry.
//!
//! Only their names, what they are about and which of them training never sees. How one is drawn is not known here.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// One way for a rollout to go. Every family but [`Family::Healthy`] also draws flags that do no harm, in the same
/// surroundings, so that the family does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// Nothing is wrong.
    Healthy,
    /// Treatment fails requests from the start: 0.1 to 100 % of them.
    ErrorStep,
    /// Treatment fails requests only above some rollout, 5 to 75 %.
    ErrorAbove,
    /// Treatment begins to fail requests after a time or after so many requests, also long after 100 %.
    ErrorLater,
    /// Treatment is slower from the start: P99 by 5 % to twentyfold, for everybody or for the tail alone.
    LatencyStep,
    /// The same, only above some rollout.
    LatencyAbove,
    /// The more requests treatment has served, the more of them fail or the slower they are.
    SlowLeak,
    /// Errors or latency that come and go in waves.
    Sawtooth,
    /// Harmless until far in, then everything at once.
    PowerPeg,
    /// Something behind the service fails: both arms suffer, whatever the flag does.
    Dependency,
    /// Clients try again: traffic swells until the service queues, in both arms.
    RetryStorm,
    /// Telemetry has gaps, is late, comes twice, with wrong clocks or as garbage.
    Telemetry,
    /// Some of treatment's requests, or of its failures, never reach telemetry.
    SampleRatio,
    /// From some time on telemetry repeats itself.
    FrozenTelemetry,
    /// Hardly any requests, so hardly any evidence.
    LowTraffic,
    /// Held out: a leak that begins only long after the start.
    DelayedLeak,
    /// Held out: two flags hurt only the users who have both.
    Interaction,
    /// Held out: one segment of users is hit hard, all others not at all.
    SegmentBug,
}

/// A name that no family has.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("found the family {found:?}, expected one of {}", names())]
pub struct UnknownFamily {
    /// What was given.
    pub found: String,
}

/// All families' names, for sentences.
fn names() -> String {
    Family::ALL.map(Family::as_str).join(", ")
}

impl Family {
    /// The families that training and validation draw from.
    pub const TRAINING: [Self; 15] = [
        Self::Healthy,
        Self::ErrorStep,
        Self::ErrorAbove,
        Self::ErrorLater,
        Self::LatencyStep,
        Self::LatencyAbove,
        Self::SlowLeak,
        Self::Sawtooth,
        Self::PowerPeg,
        Self::Dependency,
        Self::RetryStorm,
        Self::Telemetry,
        Self::SampleRatio,
        Self::FrozenTelemetry,
        Self::LowTraffic,
    ];
    /// The families that training never sees.
    pub const HELD_OUT: [Self; 3] = [Self::DelayedLeak, Self::Interaction, Self::SegmentBug];
    /// All of them: those of training first.
    pub const ALL: [Self; 18] = {
        let mut all = [Self::Healthy; 18];
        let (mut index, training) = (0, Self::TRAINING.len());
        while index < all.len() {
            all[index] =
                if index < training { Self::TRAINING[index] } else { Self::HELD_OUT[index - training] };
            index += 1;
        }
        all
    };

    /// Whether training never sees it: what it does there is what the agent makes of the unknown.
    #[must_use]
    pub const fn held_out(self) -> bool {
        matches!(self, Self::DelayedLeak | Self::Interaction | Self::SegmentBug)
    }

    /// Its name, as on the command line and in tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::ErrorStep => "error-step",
            Self::ErrorAbove => "error-above",
            Self::ErrorLater => "error-later",
            Self::LatencyStep => "latency-step",
            Self::LatencyAbove => "latency-above",
            Self::SlowLeak => "slow-leak",
            Self::Sawtooth => "sawtooth",
            Self::PowerPeg => "power-peg",
            Self::Dependency => "dependency",
            Self::RetryStorm => "retry-storm",
            Self::Telemetry => "telemetry",
            Self::SampleRatio => "sample-ratio",
            Self::FrozenTelemetry => "frozen-telemetry",
            Self::LowTraffic => "low-traffic",
            Self::DelayedLeak => "delayed-leak",
            Self::Interaction => "interaction",
            Self::SegmentBug => "segment-bug",
        }
    }

    /// What it is about, in a line for people.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::Healthy => "nothing is wrong",
            Self::ErrorStep => "requests fail from the start",
            Self::ErrorAbove => "requests fail only above some rollout",
            Self::ErrorLater => "requests begin to fail after a time, or after so many requests",
            Self::LatencyStep => "slower from the start, for everybody or for the tail alone",
            Self::LatencyAbove => "slower only above some rollout",
            Self::SlowLeak => "the more requests it has served, the worse it gets",
            Self::Sawtooth => "errors or latency come and go in waves",
            Self::PowerPeg => "harmless until far in, then everything at once",
            Self::Dependency => "something behind the service fails, in both arms",
            Self::RetryStorm => "clients try again until the service queues, in both arms",
            Self::Telemetry => "telemetry has gaps, is late, doubled, skewed or garbage",
            Self::SampleRatio => "part of treatment never reaches telemetry",
            Self::FrozenTelemetry => "telemetry repeats itself from some time on",
            Self::LowTraffic => "hardly any requests, so hardly any evidence",
            Self::DelayedLeak => "a leak that begins only long after the start",
            Self::Interaction => "two flags hurt only the users who have both",
            Self::SegmentBug => "one segment of users is hit hard, all others not at all",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Family {
    type Err = UnknownFamily;

    fn from_str(text: &str) -> Result<Self, UnknownFamily> {
        Self::ALL
            .into_iter()
            .find(|family| family.as_str() == text)
            .ok_or_else(|| UnknownFamily { found: text.chars().take(60).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_is_found_by_its_name_and_another_name_by_none() {
        for family in Family::ALL {
            assert_eq!(family.as_str().parse(), Ok(family));
        }
        let error = "error-spike".parse::<Family>().unwrap_err().to_string();
        assert!(error.contains("\"error-spike\"") && error.contains("error-step, error-above"), "{error}");
    }

    #[test]
    fn no_family_of_training_is_held_out() {
        assert!(Family::TRAINING.iter().all(|family| !family.held_out()));
        assert!(Family::HELD_OUT.iter().all(|family| family.held_out()));
        let mut all = Family::ALL.to_vec();
        all.dedup();
        assert_eq!(all.len(), 18);
    }
}
