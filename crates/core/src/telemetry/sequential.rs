//! Tests that may be looked at after every interval.
//!
//! Looked at every ten seconds, a fixed-sample test finds a difference sooner or later whether there is one or not.
//! These are e-processes: under the hypothesis that they test their expectation never exceeds one, whenever one stops
//! to look, so that by Ville's inequality exp(evidence) reaches 1/alpha with a probability of at most alpha, ever.
//! (Ramdas, Grünwald, Vovk, Shafer: *Game-theoretic statistics and safe anytime-valid inference*, 2023.)

use serde::{Deserialize, Serialize};

/// How many alternatives the test for harm mixes over.
const ALTERNATIVES: usize = 8;

/// The alternatives: how many times worse than tolerated treatment may be. Equal weights; the mixture costs ln 8 nats.
pub const RATIOS: [f64; ALTERNATIVES] = [1.25, 1.6, 2.2, 3.5, 6.0, 12.0, 30.0, 100.0];

/// ln of [`RATIOS`], written out so that it is the same on every machine.
const LN_RATIOS: [f64; ALTERNATIVES] = [
    0.223_143_551_314_209_76,
    0.470_003_629_245_735_63,
    0.788_457_360_364_270_3,
    1.252_762_968_495_368,
    1.791_759_469_228_055,
    2.484_906_649_788_000_4,
    3.401_197_381_662_155_5,
    4.605_170_185_988_092,
];

/// Bad requests of both arms in one interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Treatment requests.
    pub treatment: u64,
    /// Bad ones among them.
    pub treatment_bad: u64,
    /// Control requests.
    pub control: u64,
    /// Bad ones among them.
    pub control_bad: u64,
}

/// The e-process against "treatment is at most `tolerated` times as bad as control", `tolerated` >= 1.
///
/// It conditions on how many requests were bad in both arms together: were the ratio of the arms' rates r, each bad
/// request would be treatment's with probability w r / (w r + 1 - w), w being treatment's share of the requests. The
/// level of both arms may thus change from interval to interval as it likes (a dependency's outage, the time of day):
/// only the split counts. Drawing without replacement, which is what happens when errors are not rare, is less
/// variable in the convex order (Hoeffding 1963), so the bound holds there too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HarmTest {
    /// Log-likelihood ratio against each alternative, in nats.
    log_ratios: [f64; ALTERNATIVES],
}

impl HarmTest {
    /// What one interval adds.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub fn of(counts: Counts, tolerated: f64) -> Self {
        let bad = (counts.treatment_bad + counts.control_bad) as f64;
        if bad == 0.0 || counts.treatment == 0 || counts.control == 0 {
            return Self::default();
        }
        let share = counts.treatment as f64 / (counts.treatment + counts.control) as f64;
        let null = share * tolerated + 1.0 - share;
        let mut log_ratios = [0.0; ALTERNATIVES];
        for ((slot, ratio), ln_ratio) in log_ratios.iter_mut().zip(RATIOS).zip(LN_RATIOS) {
            let alternative = share * tolerated * ratio + 1.0 - share;
            *slot = counts.treatment_bad as f64 * ln_ratio + bad * libm::log(null / alternative);
        }
        Self { log_ratios }
    }

    /// Adds an interval.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.log_ratios.iter_mut().zip(other.log_ratios) {
            *mine += theirs;
        }
    }

    /// No less than [`Self::evidence`], at a tenth of its cost.
    #[must_use]
    pub fn bound(&self) -> f64 {
        self.log_ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// The evidence in nats: the log of the mixture.
    #[must_use]
    pub fn evidence(&self) -> f64 {
        let top = self.bound();
        let mut sum = 0.0;
        for log_ratio in self.log_ratios {
            // Terms this far below the top change nothing that a decision could see.
            if log_ratio - top > -30.0 {
                sum += libm::exp(log_ratio - top);
            }
        }
        top + libm::log(sum / 8.0)
    }
}

/// The e-process against "treatment is worse by at least the margin": evidence that it is not, in nats.
///
/// The mean of two e-processes, which is one again. The *split* test is [`HarmTest`] turned round: given how many
/// requests were bad in both arms, so few of them in treatment are improbable were its rate `worse` times control's.
/// Whatever moves both arms alike does not touch it, but it says nothing where no request is bad, and little where
/// control is small. The *level* test is Wald's likelihood ratio of the baseline's rate against `worse` times
/// that rate; it needs no control, but believes the record: it is left out of an interval whose control arm is better
/// than the record by more than noise, since treatment would look good there whatever it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HealthTest {
    split: f64,
    level: f64,
}

/// Standard errors by which control may be better than its record before the record is not believed.
const BETTER: f64 = 2.0;

impl HealthTest {
    /// Adds an interval. `usual` is control's recorded rate, `margin` what treatment may have more; both shares, 0 to 1,
    /// fixed before the interval.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
    pub fn add(&mut self, counts: Counts, usual: f64, margin: f64) {
        let usual = usual.clamp(1e-6, 0.9);
        let threshold = (usual + margin).min(0.999);
        let worse = threshold / usual;
        let (n, bad) = (counts.treatment as f64, counts.treatment_bad as f64);
        let (control, control_bad) = (counts.control as f64, counts.control_bad as f64);
        if n > 0.0 && control > 0.0 {
            let share = n / (n + control);
            self.split +=
                (bad + control_bad) * libm::log(1.0 + share * (worse - 1.0)) - bad * libm::log(worse);
        }
        let expected = control * usual;
        if control_bad >= expected - BETTER * libm::sqrt(expected) {
            // An error costs at most ln 10 nats: the alternative is never below a tenth of the threshold.
            let alternative = usual.max(threshold / 10.0);
            self.level += bad * libm::log(alternative / threshold)
                + (n - bad).max(0.0) * libm::log((1.0 - alternative) / (1.0 - threshold));
        }
    }

    /// The evidence in nats.
    #[must_use]
    pub fn evidence(&self) -> f64 {
        let (top, other) = (self.split.max(self.level), self.split.min(self.level));
        top + libm::log(f64::midpoint(1.0, libm::exp(other - top)))
    }
}

/// What is left of an error budget for the `index`-th of unboundedly many looks: 1/((i+1)(i+2)) of it, which sums to
/// one; as nats to be added to what is needed.
#[must_use]
pub fn spend(index: u32) -> f64 {
    libm::log((f64::from(index) + 1.0) * (f64::from(index) + 2.0))
}

/// Standard deviation of the differences that the interval's mixture looks for: half a percentage point.
const MIXTURE_SD: f64 = 0.005;

/// Half the width of the normal-mixture confidence sequence at level 1 - `alpha` (Robbins 1970; mSPRT of Johari, Koomen,
/// Pekelis, Walsh 2017): sqrt(V (V + t)/t (2 ln(1/alpha) + ln((V + t)/V))) with `variance` V that of the estimate, above 0,
/// and t that of the mixture, whose standard deviation is `sd`.
#[must_use]
pub fn mixture_half_width(variance: f64, sd: f64, alpha: f64) -> f64 {
    let (v, t) = (variance, sd * sd);
    libm::sqrt(v * (v + t) / t * (-2.0 * libm::log(alpha) + libm::log((v + t) / v)))
}

/// The asymptotic anytime-valid interval of the difference of two shares at level 1 - `alpha`, as `(low, high)`: the
/// normal-mixture confidence sequence ([`mixture_half_width`]). For people and as a feature; verdicts come from the exact
/// tests above.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
pub fn difference_interval(counts: Counts, alpha: f64) -> (f64, f64) {
    if counts.treatment == 0 || counts.control == 0 {
        return (-1.0, 1.0);
    }
    let smoothed = |bad: u64, n: u64| (bad as f64 + 0.5) / (n as f64 + 1.0);
    let variance = |bad: u64, n: u64| smoothed(bad, n) * (1.0 - smoothed(bad, n)) / n as f64;
    let v = variance(counts.treatment_bad, counts.treatment) + variance(counts.control_bad, counts.control);
    let half = mixture_half_width(v, MIXTURE_SD, alpha);
    let difference = counts.treatment_bad as f64 / counts.treatment as f64
        - counts.control_bad as f64 / counts.control as f64;
    ((difference - half).max(-1.0), (difference + half).min(1.0))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::cast_precision_loss, reason = "small counts")]

    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;

    fn binomial(rng: &mut Pcg64, n: u64, p: f64) -> u64 {
        (0..n).filter(|_| rng.random::<f64>() < p).count() as u64
    }

    /// Share of runs whose evidence ever reaches `needed` over 300 looks, with the level of both arms wandering.
    fn ever_reached(ratio: f64, tolerated: f64, needed: f64, base: f64) -> f64 {
        let runs = 400;
        let mut reached = 0;
        for seed in 0..runs {
            let mut rng = Pcg64::seed_from_u64(seed);
            let mut test = HarmTest::default();
            for _ in 0..300 {
                let level = base * (0.5 + rng.random::<f64>());
                let counts = Counts {
                    treatment: 60,
                    treatment_bad: binomial(&mut rng, 60, (level * ratio).min(1.0)),
                    control: 240,
                    control_bad: binomial(&mut rng, 240, level),
                };
                test.add(&HarmTest::of(counts, tolerated));
                if test.evidence() >= needed {
                    reached += 1;
                    break;
                }
            }
        }
        f64::from(reached) / runs as f64
    }

    #[test]
    fn peeking_after_every_interval_keeps_the_error_guarantee() {
        let alpha: f64 = 0.05;
        let needed = -libm::log(alpha);
        for base in [0.01, 0.2] {
            let found = ever_reached(1.0, 1.0, needed, base);
            // Three standard errors above alpha with 400 runs.
            assert!(found <= alpha + 3.0 * (alpha * (1.0 - alpha) / 400.0).sqrt(), "base {base}: {found}");
        }
        let found = ever_reached(1.3, 1.3, needed, 0.05);
        assert!(found <= alpha + 0.033, "at the tolerated ratio: {found}");
    }

    #[test]
    fn real_harm_is_found() {
        assert!(ever_reached(3.0, 1.1, 8.0, 0.01) > 0.95);
    }

    /// Share of runs in which health is ever shown, with the level of both arms wandering by `wander`.
    fn ever_healthy(rate: f64, wander: f64, control: u64) -> f64 {
        let needed = -libm::log(0.05);
        let mut shown = 0;
        for seed in 0..400 {
            let mut rng = Pcg64::seed_from_u64(seed);
            let mut test = HealthTest::default();
            for _ in 0..200 {
                let level = 1.0 + wander * (2.0 * rng.random::<f64>() - 1.0);
                let counts = Counts {
                    treatment: 50,
                    treatment_bad: binomial(&mut rng, 50, rate * level),
                    control,
                    control_bad: binomial(&mut rng, control, 0.01 * level),
                };
                test.add(counts, 0.01, 0.02);
                if test.evidence() >= needed {
                    shown += 1;
                    break;
                }
            }
        }
        f64::from(shown) / 400.0
    }

    #[test]
    fn health_is_shown_when_true_and_seldom_when_not() {
        for (wander, control) in [(0.0, 450), (0.5, 450), (0.0, 5)] {
            let true_health = ever_healthy(0.01, wander, control);
            assert!(true_health > 0.95, "wander {wander}, control {control}: {true_health}");
            let false_health = ever_healthy(0.03, wander, control);
            assert!(false_health <= 0.05 + 0.033, "wander {wander}, control {control}: {false_health}");
        }
    }

    #[test]
    fn what_moves_both_arms_alike_does_not_hide_health() {
        let mut test = HealthTest::default();
        for _ in 0..10 {
            // Four times the usual share of slow requests, in both arms.
            test.add(
                Counts { treatment: 500, treatment_bad: 20, control: 4_500, control_bad: 180 },
                0.01,
                0.02,
            );
        }
        assert!(test.evidence() > 3.0, "{test:?}");
    }

    #[test]
    fn health_without_a_single_error_is_shown_by_the_level() {
        let mut test = HealthTest::default();
        for _ in 0..20 {
            test.add(Counts { treatment: 100, treatment_bad: 0, control: 900, control_bad: 0 }, 0.0005, 0.01);
        }
        assert!(test.evidence() > 3.0, "{test:?}");
    }

    #[test]
    fn the_interval_covers_zero_when_nothing_differs_and_narrows() {
        let at = |n: u64| {
            let bad = n / 100;
            difference_interval(
                Counts { treatment: n, treatment_bad: bad, control: n, control_bad: bad },
                0.05,
            )
        };
        let ((low, high), (low_2, high_2)) = (at(1_000), at(100_000));
        assert!(low < 0.0 && high > 0.0 && low_2 < 0.0 && high_2 > 0.0);
        assert!(high_2 - low_2 < (high - low) / 5.0);
    }

    #[test]
    fn spending_sums_to_one() {
        let total: f64 = (0..10_000).map(|index| libm::exp(-spend(index))).sum();
        assert!((0.999..=1.0).contains(&total), "{total}");
    }
}
