//! The options of `knightwatch serve` about telemetry: where it comes from, how late it may be, which metrics are read.

use serde::{Deserialize, Serialize};

use knightwatch_connect::{MetricNames, PushConfig};
use knightwatch_core::telemetry::Millis;

/// Where a backend's telemetry comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceKind {
    /// A simulated world.
    #[default]
    Simulator,
    /// What applications send; controller time is real.
    Push,
}

/// Telemetry of the backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// Where it comes from.
    pub source: SourceKind,
    /// How long after its end an interval is closed: what comes later is late.
    pub lateness: Millis,
    /// How far a sender's clock may be ahead.
    pub max_clock_skew: Millis,
    /// For how long what came is kept beside the journal.
    pub retention: Millis,
    /// OpenTelemetry metrics that are histograms of durations; their unit says whether they are in `s` or `ms`.
    pub durations: Vec<String>,
    /// OpenTelemetry metrics that count requests and know no durations.
    pub counts: Vec<String>,
}

impl Default for Telemetry {
    fn default() -> Self {
        let PushConfig { lateness, max_clock_skew } = PushConfig::default();
        let MetricNames { durations, counts } = MetricNames::default();
        let retention = Millis::from_secs(24 * 3_600);
        Self { source: SourceKind::default(), lateness, max_clock_skew, retention, durations, counts }
    }
}

impl Telemetry {
    /// How late and how early telemetry may come.
    #[must_use]
    pub const fn push(&self) -> PushConfig {
        PushConfig { lateness: self.lateness, max_clock_skew: self.max_clock_skew }
    }

    /// Which OpenTelemetry metrics are read.
    #[must_use]
    pub fn names(&self) -> MetricNames {
        MetricNames { durations: self.durations.clone(), counts: self.counts.clone() }
    }

    /// What types alone cannot say.
    ///
    /// # Errors
    /// The key that is wrong, with what was expected.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let within = |key, value: Millis, least: u64, most: u64| {
            if (Millis(least)..=Millis(most)).contains(&value) {
                Ok(())
            } else {
                Err((key, format!("expected {} to {}, found {value}", Millis(least), Millis(most))))
            }
        };
        within("telemetry.lateness", self.lateness, 0, 3_600_000)?;
        within("telemetry.max_clock_skew", self.max_clock_skew, 0, 3_600_000)?;
        within("telemetry.retention", self.retention, 60_000, 366 * 86_400_000)?;
        if let Some(both) = self.durations.iter().find(|name| self.counts.contains(name)) {
            let text = format!("{both:?} is in telemetry.durations too: its requests would count twice");
            return Err(("telemetry.counts", text));
        }
        Ok(())
    }
}
