//! Treatment against control over a whole ramp: what experiment platforms compare.
//!
//! Those platforms split the traffic evenly, so that what befalls both arms befalls them alike. Here the split changes with
//! each stage, and adding arms up would blame a flag that was raised just before both went bad. So intervals are weighted
//! as by Mantel and Haenszel (1959), which is the plain difference where the split stays the same. Warm-up is left out.
//! Both are liberties in the opponents' favour.

use knightwatch_agent::real;
use knightwatch_core::{control::Observation, telemetry::Counts};

/// The share of bad requests in both arms.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pool {
    weight: f64,
    /// Weighted shares, treatment's and control's.
    shares: [f64; 2],
    /// Squared weights over requests: what the effective numbers are made of.
    squares: [f64; 2],
}

/// What a [`Pool`] comes to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Compared {
    /// Share of bad requests, treatment's and control's.
    pub(super) shares: [f64; 2],
    /// Requests that these are as sure as (Kish's effective numbers); the plain ones where the split stayed the same.
    pub(super) requests: [f64; 2],
}

impl Pool {
    /// Takes in an interval.
    pub(super) fn add(&mut self, counts: Counts) {
        let n = [real(counts.treatment), real(counts.control)];
        if n[0] == 0.0 || n[1] == 0.0 {
            return;
        }
        let weight = n[0] * n[1] / (n[0] + n[1]);
        let bad = [real(counts.treatment_bad), real(counts.control_bad)];
        self.weight += weight;
        for arm in 0..2 {
            self.shares[arm] += weight * bad[arm] / n[arm];
            self.squares[arm] += weight * weight / n[arm];
        }
    }

    /// None before the first interval.
    pub(super) fn compared(&self) -> Option<Compared> {
        (self.weight > 0.0).then(|| Compared {
            shares: self.shares.map(|share| share / self.weight),
            requests: self.squares.map(|square| self.weight * self.weight / square),
        })
    }
}

impl Compared {
    /// Treatment's share minus control's.
    pub(super) fn difference(&self) -> f64 {
        self.shares[0] - self.shares[1]
    }

    /// The variance of one request's being bad in each arm, never 0: half a bad request more in one request more.
    pub(super) fn variances(&self) -> [f64; 2] {
        [0, 1].map(|arm| {
            let share = (self.shares[arm] * self.requests[arm] + 0.5) / (self.requests[arm] + 1.0);
            share * (1.0 - share)
        })
    }

    /// The variance of the difference.
    pub(super) fn variance(&self) -> f64 {
        let variances = self.variances();
        variances[0] / self.requests[0] + variances[1] / self.requests[1]
    }

    /// Requests of both arms.
    pub(super) fn n(&self) -> f64 {
        self.requests[0] + self.requests[1]
    }
}

/// Errors and slow requests of one ramp.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Guardrails {
    /// Failed requests.
    pub(super) errors: Pool,
    /// Requests slower than the P99 of earlier control windows: a P99 regression as a difference of shares.
    pub(super) slow: Pool,
}

impl Guardrails {
    /// Takes in the last interval, unless it was warm-up.
    pub(super) fn note(&mut self, seen: &Observation<'_>) {
        if seen.report.warming_up {
            return;
        }
        if let [Some(control), Some(treatment)] = seen.latest {
            self.errors.add(Counts {
                treatment: treatment.requests,
                treatment_bad: treatment.errors,
                control: control.requests,
                control_bad: control.errors,
            });
        }
        if let Some(slower) = seen.slower {
            self.slow.add(slower);
        }
    }

    /// Whether treatment is worse in either: the difference is beyond the half-width that is given for it.
    pub(super) fn worse(&self, half_width: impl Fn(&Compared) -> f64) -> bool {
        let beyond = |compared: Compared| compared.difference() > half_width(&compared);
        [self.errors, self.slow].iter().filter_map(Pool::compared).any(beyond)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(treatment: u64, treatment_bad: u64, control: u64, control_bad: u64) -> Counts {
        Counts { treatment, treatment_bad, control, control_bad }
    }

    #[test]
    fn where_the_split_stays_the_same_it_is_the_plain_difference() {
        let mut pool = Pool::default();
        assert_eq!(pool.compared(), None);
        pool.add(counts(100, 5, 900, 9));
        pool.add(counts(100, 7, 900, 18));
        pool.add(counts(0, 0, 900, 900));
        let compared = pool.compared().unwrap();
        assert!((compared.shares[0] - 0.06).abs() < 1e-12 && (compared.shares[1] - 0.015).abs() < 1e-12);
        assert!((compared.requests[0] - 200.0).abs() < 1e-9 && (compared.requests[1] - 1_800.0).abs() < 1e-9);
        // 12.5 of 201 in treatment, 27.5 of 1 801 in control.
        let [p, q] = [12.5 / 201.0, 27.5 / 1_801.0];
        let expected = p * (1.0 - p) / 200.0 + q * (1.0 - q) / 1_800.0;
        assert!((compared.variance() - expected).abs() < 1e-12);
    }

    #[test]
    fn a_flag_raised_just_before_both_arms_went_bad_is_not_blamed() {
        let mut pool = Pool::default();
        pool.add(counts(100, 1, 9_900, 99));
        pool.add(counts(9_900, 2_970, 100, 30));
        let compared = pool.compared().unwrap();
        assert!(compared.difference().abs() < 1e-12, "{compared:?}");
        // Added up it would be 29.7 % against 1.3 %.
    }
}
