//! What a rollout costs, from the simulator's truth: the one measure that policies are judged by and trained on.
//!
//! The weights and the formula with its reasons stand in `config/judge.toml`; the formula is the reward of the design
//! ("The decision science", Reward) with its sign turned. It knows nothing of policies, of evidence, or of how a flag
//! came to its rollout.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Truth;

/// The weights as shipped, with comments. A test holds [`Cost::default`] to it.
pub const WEIGHTS: &str = include_str!("../../../config/judge.toml");

/// Weights beyond this are a slip of the pen, and would drown every other part of the sum.
const MAX: f64 = 1e6;

/// The weights. The unit of every cost is one control interval spent at 0 %.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// `c_T`: for an interval at 0 %; above 0.
    pub waiting: f64,
    /// `c_O`: for an interval in which the rollout is not at 100 %; 0 or more.
    pub open: f64,
    /// `c_B`: for an interval in which all requests fail, at usual traffic; above 0.
    pub errors: f64,
    /// `c_L`: for an interval at 100 % and usual traffic, per multiple of control's P99; 0 or more.
    pub latency: f64,
    /// `tol`: the part by which P99 may be longer for nothing; 0 to 1.
    pub tolerance: f64,
    /// The multiple of control's P99 beyond which nothing more is counted; above 1 + `tolerance`.
    pub max_ratio: f64,
    /// `c_A`: for a change of the rollout; 0 or more.
    pub acting: f64,
    /// `K_R`: for a rollback; 0 or more.
    pub rollback: f64,
    /// `K_FR`: on top of it when the flag was good; 0 or more.
    pub false_rollback: f64,
}

/// What one interval of one flag cost, part by part; sums of them are of the same kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct IntervalCost {
    /// The new code was not out to everybody, and the rollout not done.
    pub waiting: f64,
    /// Requests that failed because of it.
    pub errors: f64,
    /// Requests that it made slow.
    pub latency: f64,
    /// The rollout was changed.
    pub acting: f64,
}

impl IntervalCost {
    /// All of it; what a learner's reward is the negative of.
    #[must_use]
    pub fn total(&self) -> f64 {
        self.waiting + self.errors + self.latency + self.acting
    }

    /// What users suffered: errors and latency.
    #[must_use]
    pub fn harm(&self) -> f64 {
        self.errors + self.latency
    }
}

impl AddAssign for IntervalCost {
    fn add_assign(&mut self, other: Self) {
        self.waiting += other.waiting;
        self.errors += other.errors;
        self.latency += other.latency;
        self.acting += other.acting;
    }
}

/// Why weights cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CostError {
    /// Not the TOML that is expected; says where.
    #[error("{0}")]
    Toml(String),
    /// A weight out of its range.
    #[error("cost.{key} is {found}, expected {expected}")]
    Range {
        /// Which.
        key: &'static str,
        /// What it is.
        found: String,
        /// What it may be.
        expected: String,
    },
}

impl Default for Cost {
    /// The weights of `config/judge.toml`.
    fn default() -> Self {
        Self {
            waiting: 0.5,
            open: 0.5,
            errors: 200.0,
            latency: 2.0,
            tolerance: 0.05,
            max_ratio: 20.0,
            acting: 0.02,
            rollback: 2.0,
            false_rollback: 960.0,
        }
    }
}

impl Cost {
    /// Weights from TOML as in `config/judge.toml`: a table `[cost]` with every one of them.
    ///
    /// # Errors
    /// Anything but that, with its place; a weight out of its range.
    pub fn parse(text: &str) -> Result<Self, CostError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            cost: Cost,
        }
        let File { cost } =
            toml::from_str(text).map_err(|error| CostError::Toml(error.to_string().trim_end().to_owned()))?;
        cost.check()?;
        Ok(cost)
    }

    fn check(&self) -> Result<(), CostError> {
        let min_ratio = 1.0 + self.tolerance;
        let ranges = [
            ("waiting", self.waiting, self.waiting > 0.0 && self.waiting <= MAX, "above 0, at most 1e6"),
            ("open", self.open, (0.0..=MAX).contains(&self.open), "0 to 1e6"),
            ("errors", self.errors, self.errors > 0.0 && self.errors <= MAX, "above 0, at most 1e6"),
            ("latency", self.latency, (0.0..=MAX).contains(&self.latency), "0 to 1e6"),
            ("tolerance", self.tolerance, (0.0..=1.0).contains(&self.tolerance), "0 to 1"),
            (
                "max_ratio",
                self.max_ratio,
                self.max_ratio > min_ratio && self.max_ratio <= MAX,
                "above 1 + tolerance, at most 1e6",
            ),
            ("acting", self.acting, (0.0..=MAX).contains(&self.acting), "0 to 1e6"),
            ("rollback", self.rollback, (0.0..=MAX).contains(&self.rollback), "0 to 1e6"),
            ("false_rollback", self.false_rollback, (0.0..=MAX).contains(&self.false_rollback), "0 to 1e6"),
        ];
        match ranges.into_iter().find(|(_, _, fine, _)| !fine) {
            None => Ok(()),
            Some((key, found, _, expected)) => {
                Err(CostError::Range { key, found: found.to_string(), expected: expected.to_owned() })
            }
        }
    }

    /// The same with another price of a failed request: `errors` becomes `c_b` (above 0), and `latency` follows in
    /// proportion, so that harm as a whole is weighed against waiting. The policy is told the factor's
    /// logarithm.
    #[must_use]
    pub fn with_harm_weight(self, c_b: f64) -> Self {
        Self { errors: c_b, latency: self.latency * (c_b / self.errors), ..self }
    }

    /// What an interval cost, by what was really so in it. `acted`: whether the rollout was changed at its end, by
    /// whomever. For a flag that has been started and not rolled back; any other costs nothing.
    #[must_use]
    pub fn interval(&self, truth: &Truth, acted: bool) -> IntervalCost {
        let share = truth.rollout.share();
        let exposed = truth.relative_traffic() * share;
        let excess = (truth.error_rate_treatment - truth.error_rate_control).max(0.0);
        let slower = (truth.p99_ratio().min(self.max_ratio) - 1.0 - self.tolerance).max(0.0);
        IntervalCost {
            waiting: self.waiting * (1.0 - share) + if truth.rollout.is_full() { 0.0 } else { self.open },
            errors: self.errors * exposed * excess,
            latency: self.latency * exposed * slower,
            acting: if acted { self.acting } else { 0.0 },
        }
    }

    /// What a rollback costs; more when the flag was `good`, that is, never harmful.
    #[must_use]
    pub fn rollback(&self, good: bool) -> f64 {
        self.rollback + if good { self.false_rollback } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use knightwatch_core::flag::Rollout;

    fn truth(percent: f64, traffic: f64, errors: [f64; 2], p99: [f64; 2]) -> Truth {
        Truth {
            rollout: Rollout::from_percent(percent).unwrap(),
            requests: 500.0 * traffic,
            typical_requests: 500.0,
            error_rate_treatment: errors[0],
            error_rate_control: errors[1],
            p99_treatment_ms: p99[0],
            p99_control_ms: p99[1],
            ..Truth::default()
        }
    }

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found} instead of {expected}");
    }

    #[test]
    fn the_shipped_weights_are_the_defaults() {
        assert_eq!(Cost::parse(WEIGHTS).unwrap(), Cost::default());
    }

    #[test]
    fn an_interval_costs_what_the_formula_says() {
        // At 25 %, twice the usual traffic, 3 % against 1 % errors, P99 of 300 against 200 ms, changed at the end.
        let cost = Cost::default().interval(&truth(25.0, 2.0, [0.03, 0.01], [300.0, 200.0]), true);
        near(cost.waiting, 0.5 * 0.75 + 0.5);
        near(cost.errors, 200.0 * 2.0 * 0.25 * 0.02);
        near(cost.latency, 2.0 * 2.0 * 0.25 * (1.5 - 1.0 - 0.05));
        near(cost.acting, 0.02);
        near(cost.total(), 0.875 + 2.0 + 0.45 + 0.02);
        near(cost.harm(), 2.45);
    }

    #[test]
    fn a_complete_flag_without_fault_costs_nothing() {
        let cost = Cost::default().interval(&truth(100.0, 1.3, [0.01, 0.01], [200.0, 200.0]), false);
        assert_eq!(cost, IntervalCost::default());
        // Better than control is no gain, and slower within the tolerance no loss.
        let better = Cost::default().interval(&truth(100.0, 1.0, [0.0, 0.02], [208.0, 200.0]), false);
        near(better.total(), 0.0);
    }

    #[test]
    fn a_rollout_is_open_until_the_last_user_has_it() {
        let cost =
            |percent| Cost::default().interval(&truth(percent, 1.0, [0.0; 2], [100.0; 2]), false).total();
        near(cost(1.0), 0.5 * 0.99 + 0.5);
        near(cost(99.0), 0.5 * 0.01 + 0.5);
        near(cost(100.0), 0.0);
    }

    #[test]
    fn harm_without_traffic_costs_nothing_but_the_waiting() {
        near(Cost::default().interval(&truth(50.0, 0.0, [1.0, 0.0], [900.0, 9.0]), false).total(), 0.75);
        // Before the first interval nothing is known, and nothing but waiting is charged.
        near(Cost::default().interval(&Truth::default(), false).total(), 1.0);
    }

    #[test]
    fn no_latency_counts_for_more_than_the_limit() {
        let cost =
            |p99| Cost::default().interval(&truth(100.0, 1.0, [0.0, 0.0], [p99, 100.0]), false).latency;
        near(cost(2_000.0), 2.0 * (20.0 - 1.05));
        near(cost(1e12), cost(2_000.0));
        near(cost(f64::INFINITY), cost(2_000.0));
    }

    #[test]
    fn a_false_rollback_costs_more_than_a_right_one() {
        near(Cost::default().rollback(false), 2.0);
        near(Cost::default().rollback(true), 2.0 + 960.0);
    }

    #[test]
    fn a_harm_weight_changes_the_price_of_harm_and_nothing_else() {
        let dear = Cost::default().with_harm_weight(800.0);
        assert_eq!(dear, Cost { errors: 800.0, latency: 8.0, ..Cost::default() });
        let truth = truth(50.0, 1.0, [0.2, 0.1], [400.0, 100.0]);
        let [usual, dear] = [Cost::default(), dear].map(|cost| cost.interval(&truth, true));
        near(dear.harm(), 4.0 * usual.harm());
        near(dear.waiting, usual.waiting);
    }

    #[test]
    fn wrong_weights_are_refused_with_their_place() {
        let wrong = |from: &str, to: &str| {
            assert!(WEIGHTS.contains(from), "{from}");
            Cost::parse(&WEIGHTS.replacen(from, to, 1)).unwrap_err().to_string()
        };
        assert_eq!(
            wrong("\nwaiting = 0.5", "\nwaiting = 0"),
            "cost.waiting is 0, expected above 0, at most 1e6"
        );
        assert_eq!(
            wrong("\nerrors = 200.0", "\nerrors = nan"),
            "cost.errors is NaN, expected above 0, at most 1e6"
        );
        assert_eq!(wrong("\ntolerance = 0.05", "\ntolerance = -1"), "cost.tolerance is -1, expected 0 to 1");
        assert!(wrong("\nmax_ratio = 20.0", "\nmax_ratio = 1.05").contains("above 1 + tolerance"));
        assert_eq!(wrong("\nopen = 0.5", "\nopen = -1"), "cost.open is -1, expected 0 to 1e6");
        assert!(wrong("\nrollback = 2.0", "\nrollback = inf").contains("cost.rollback is inf"));
        let unknown = wrong("\nacting = 0.02", "\nacting = 0.02\nspeed = 1");
        assert!(unknown.contains("line ") && unknown.contains("unknown field `speed`"), "{unknown}");
        assert!(wrong("\nacting = 0.02", "").contains("missing field `acting`"));
    }
}
