//! The comparison of two arms: differences between treatment and control as z-scores and logarithms.
//!
//! The features and the memory of a flag are both computed from it, so it depends on neither of them. It sees only the
//! totals of two arms. It must not know flags, rungs or time.

use knightwatch_core::telemetry::ArmStats;

/// Largest size of a z-score: beyond it a larger one says no more.
pub(super) const MAX_SIGMAS: f64 = 8.0;

/// Treatment against control in some intervals.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Comparison {
    /// Standard errors by which treatment has more errors.
    pub(super) errors_z: f64,
    /// Treatment's error rate minus control's.
    pub(super) excess: f64,
    /// Natural logarithm of treatment's P99 over control's; 0 where either is not known.
    pub(super) ln_p99: f64,
    /// Requests of both arms.
    pub(super) requests: u64,
    /// Requests of treatment.
    pub(super) treatment: u64,
}

/// Standard deviation of ln P99 times the root of the requests, for a lognormal latency of sigma 0.8: `sigma
/// sqrt(p (1 - p)) / phi(z_p)`, the asymptotic one of a quantile.
const P99_NOISE: f64 = 2.99;

impl Comparison {
    pub(super) fn of(treatment: Option<ArmStats>, control: Option<ArmStats>) -> Self {
        let (Some(treatment), Some(control)) = (treatment, control) else {
            let one = treatment.or(control).map_or(0, |arm| arm.requests);
            return Self {
                requests: one,
                treatment: treatment.map_or(0, |arm| arm.requests),
                ..Self::default()
            };
        };
        let rates = treatment.error_rate().zip(control.error_rate());
        let p99s = treatment.p99_ms.zip(control.p99_ms).filter(|(t, c)| *t > 0.0 && *c > 0.0);
        Self {
            errors_z: rates.map_or(0.0, |rates| difference_z(rates, (treatment.requests, control.requests))),
            excess: rates.map_or(0.0, |(t, c)| t - c),
            ln_p99: p99s.map_or(0.0, |(t, c)| libm::log(t / c).clamp(-3.0, 3.0)),
            requests: treatment.requests + control.requests,
            treatment: treatment.requests,
        }
    }

    /// Standard errors by which treatment's P99 is above control's, as far as the numbers of requests tell.
    pub(super) fn p99_z(&self) -> f64 {
        let (n_t, n_c) = (real(self.treatment), real(self.requests - self.treatment));
        if n_t == 0.0 || n_c == 0.0 {
            return 0.0;
        }
        sigmas(self.ln_p99 / (P99_NOISE * (1.0 / n_t + 1.0 / n_c).sqrt()))
    }
}

/// The score test of two proportions (Agresti, Categorical Data Analysis, 3.1.3), with half a bad request added to each
/// arm so that few requests give small scores.
pub(super) fn difference_z((treatment, control): (f64, f64), (n_t, n_c): (u64, u64)) -> f64 {
    if n_t == 0 || n_c == 0 {
        return 0.0;
    }
    let (n_t, n_c) = (real(n_t), real(n_c));
    let pooled = (treatment * n_t + control * n_c + 1.0) / (n_t + n_c + 2.0);
    let error = (pooled * (1.0 - pooled) * (1.0 / n_t + 1.0 / n_c)).sqrt();
    if error > 0.0 { sigmas((treatment - control) / error) } else { 0.0 }
}

/// A z-score within bounds.
pub(super) fn sigmas(z: f64) -> f64 {
    z.clamp(-MAX_SIGMAS, MAX_SIGMAS)
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
/// A count as a number to calculate with.
#[must_use]
pub fn real(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arm(requests: u64, errors: u64, p99_ms: Option<f64>) -> ArmStats {
        ArmStats { requests, errors, p99_ms }
    }

    #[test]
    fn equal_arms_differ_in_nothing() {
        let same = || Some(arm(1_000, 10, Some(80.0)));
        let equal = Comparison::of(same(), same());
        assert!(equal.errors_z.abs() < 1e-12 && equal.excess.abs() < 1e-12 && equal.ln_p99.abs() < 1e-12);
        assert_eq!((equal.requests, equal.treatment), (2_000, 1_000));
    }

    #[test]
    fn a_missing_arm_gives_counts_and_no_difference() {
        let treatment = Comparison::of(Some(arm(300, 30, Some(80.0))), None);
        assert_eq!((treatment.requests, treatment.treatment), (300, 300));
        let control = Comparison::of(None, Some(arm(500, 0, Some(80.0))));
        assert_eq!((control.requests, control.treatment), (500, 0));
        for one in [treatment, control] {
            assert!(one.errors_z.abs() < 1e-12 && one.ln_p99.abs() < 1e-12 && one.p99_z().abs() < 1e-12);
        }
    }

    #[test]
    fn the_sign_says_which_arm_is_worse() {
        let (bad, good) = (arm(1_000, 100, Some(160.0)), arm(1_000, 10, Some(80.0)));
        let worse = Comparison::of(Some(bad), Some(good));
        assert!((worse.excess - 0.09).abs() < 1e-12 && (worse.ln_p99 - libm::log(2.0)).abs() < 1e-12);
        let better = Comparison::of(Some(good), Some(bad));
        assert!(worse.errors_z > 3.0 && worse.p99_z() > 3.0);
        assert!(
            (better.errors_z + worse.errors_z).abs() < 1e-9 && (better.p99_z() + worse.p99_z()).abs() < 1e-9
        );
    }

    #[test]
    fn z_scores_are_bounded() {
        let extreme = Comparison::of(Some(arm(100_000, 100_000, None)), Some(arm(100_000, 0, None)));
        assert!((extreme.errors_z - MAX_SIGMAS).abs() < 1e-12);
    }
}
