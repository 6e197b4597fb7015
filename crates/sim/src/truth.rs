//! The latent truth of a flag: what a policy must never see and is judged by.

use super::effect::{HARMFUL_ERRORS, HARMFUL_P99};
use knightwatch_core::flag::Rollout;

/// What was really so in the last interval, free of sampling noise and whatever telemetry did.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Truth {
    /// The rollout in the interval.
    pub rollout: Rollout,
    /// Expected requests in the interval, both arms together.
    pub requests: f64,
    /// Requests in an interval of usual traffic. The reward's `N` is `requests / usual_requests`.
    pub typical_requests: f64,
    /// Share of requests that fail with the flag on; what it would be where nobody has it on (0 % or no traffic).
    pub error_rate_treatment: f64,
    /// Share of requests that fail with the flag off.
    pub error_rate_control: f64,
    /// P99 with the flag on, in milliseconds; control's where nobody has it on.
    pub p99_treatment_ms: f64,
    /// P99 with the flag off, in milliseconds.
    pub p99_control_ms: f64,
    /// Natural logarithm of the factor by which treatment is slower only because it is cold; 0 once it is warm.
    pub ln_warm_up: f64,
    /// Expected failed requests in treatment beyond control's rate; never negative.
    pub bad_requests: f64,
    /// The same, over all intervals so far.
    pub total_bad_requests: f64,
    /// What the interval's bad requests cost, in dollars.
    pub cost: f64,
    /// The same, over all intervals so far.
    pub total_cost: f64,
    /// What an interval like this would cost with the flag at 100 % and its worst effect in force, in dollars.
    pub cost_at_full: f64,
    /// Whether the flag would do harm at 100 %, now or later, with the other flags where they are: at least 0.05 % more
    /// failed requests, or a P99 at least 3 % longer, by any one of its effects.
    pub harmful: bool,
}

impl Truth {
    /// Traffic as a multiple of the usual; 0 before the first interval.
    #[must_use]
    pub fn relative_traffic(&self) -> f64 {
        if self.typical_requests > 0.0 { self.requests / self.typical_requests } else { 0.0 }
    }

    /// P99 of treatment as a multiple of control's; 1 before the first interval.
    #[must_use]
    pub fn p99_ratio(&self) -> f64 {
        if self.p99_control_ms > 0.0 { self.p99_treatment_ms / self.p99_control_ms } else { 1.0 }
    }

    /// The same without what being cold adds.
    #[must_use]
    pub fn settled_p99_ratio(&self) -> f64 {
        self.p99_ratio() * libm::exp(-self.ln_warm_up)
    }

    /// Whether treatment was worse than control by as much as harm is; that it is slow while it is cold is no fault.
    #[must_use]
    pub fn does_harm(&self) -> bool {
        !self.rollout.is_zero()
            && (self.error_rate_treatment - self.error_rate_control >= HARMFUL_ERRORS
                || self.settled_p99_ratio() >= HARMFUL_P99)
    }
}
