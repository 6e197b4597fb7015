//! Evidence: what the windows say, with their uncertainty.

use serde::{Deserialize, Serialize};

/// Evidence on one metric, treatment against control.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricEvidence {
    /// Share of bad requests in treatment, 0 to 1.
    pub treatment: f64,
    /// Share of bad requests in control, 0 to 1.
    pub control: f64,
    /// Lower end of the anytime-valid 95 % interval of treatment minus control.
    pub low: f64,
    /// Upper end of it.
    pub high: f64,
    /// Evidence that treatment is worse, in nats; the larger of since the last change and the last six intervals.
    pub harm: f64,
    /// From how many nats of `harm` on the verdict is `regressed`.
    pub harm_needed: f64,
    /// Evidence that treatment is not worse by more than `margin`, in nats.
    pub health: f64,
    /// From how many nats of `health` on this metric is healthy.
    pub health_needed: f64,
    /// The margin, as a share of requests.
    pub margin: f64,
}
