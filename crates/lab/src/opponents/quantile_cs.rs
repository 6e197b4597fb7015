//! Quantile confidence sequences (Howard and Ramdas, "Sequential estimation of quantiles with applications to A/B
//! testing and best-arm identification", Bernoulli 28, 2022): after n requests the share of those beyond a point x differs
//! from its truth p, at all times together and with probability 1 - a, by no more than
//!
//! `f_n(p) = 1.5 sqrt(p (1 - p) l) + 0.8 l`, `l = (1.4 ln ln(2.1 n) + ln(10/a)) / n` (their stitched bound for a fixed quantile).
//!
//! Treatment's P99 is worse when, at the P99 of earlier control windows, the least share beyond it that treatment can have is
//! above the most that control can have: that is their two-sample test at this point. The same bound on the share of failed
//! requests judges errors. Then the flag is rolled back; else it climbs the fixed schedule. a = 0.05 for each metric, half of
//! it for each arm. It is a method and not a product: stages are ours, and so is [`super::pool`].

use serde::{Deserialize, Serialize};

use super::{launchdarkly::Guarded, pool::Compared};
use knightwatch_agent::tunable::{Knob, Method, Range, ramp::Ramp};
use knightwatch_core::{
    control::{Action, Observation},
    telemetry::Millis,
};

/// Halvings of the interval in which an end is sought: to one in 10^12.
const HALVINGS: u32 = 40;

/// The method with its settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct QuantileCs {
    /// Its stages.
    ramp: Ramp,
    /// Time at each stage, in seconds.
    dwell_secs: u64,
    /// The chance of a false alarm, for each metric.
    alpha: f64,
}

impl Default for QuantileCs {
    fn default() -> Self {
        Self { ramp: Ramp::Standard, dwell_secs: 300, alpha: 0.05 }
    }
}

impl Method for QuantileCs {
    const NAME: &'static str = "quantile-cs";
    const KNOBS: &'static [Knob] = &[
        Knob { key: "ramp", range: Range::OneOf(Ramp::NAMES) },
        Knob { key: "dwell_secs", range: Range::WholeLog(60, 900) },
        Knob { key: "alpha", range: Range::Log(1e-4, 1.0) },
    ];
    type Memory = Guarded;

    fn act(&self, memory: &mut Guarded, seen: &Observation<'_>) -> Action {
        memory.guardrails.note(seen);
        let guardrails = &memory.guardrails;
        let compared = [guardrails.errors.compared(), guardrails.slow.compared()];
        if compared.iter().flatten().any(|compared| self.worse(compared)) {
            return Action::RollBack;
        }
        memory.climb.on(self.ramp, Millis::from_secs(self.dwell_secs), seen)
    }
}

impl QuantileCs {
    fn worse(&self, compared: &Compared) -> bool {
        let [treatment, control] = [0, 1].map(|arm| (compared.shares[arm], compared.requests[arm]));
        least(treatment, self.alpha / 2.0) > most(control, self.alpha / 2.0)
    }
}

/// By how much the share of `n` may be off at a truth of `p`.
fn off(p: f64, n: f64, alpha: f64) -> f64 {
    let n = n.max(2.0);
    let l = (1.4 * libm::log(libm::log(2.1 * n)) + libm::log(10.0 / alpha)) / n;
    1.5 * libm::sqrt(p * (1.0 - p) * l) + 0.8 * l
}

/// The least truth that a share of so many requests is not off from.
fn least((share, n): (f64, f64), alpha: f64) -> f64 {
    seek(0.0, share, |p| p + off(p, n, alpha) >= share)
}

/// The greatest.
fn most((share, n): (f64, f64), alpha: f64) -> f64 {
    seek(1.0, share, |p| p - off(p, n, alpha) <= share)
}

/// The point farthest towards `from` up to which, from `to` on, it holds; it holds at `to`.
fn seek(from: f64, to: f64, holds: impl Fn(f64) -> bool) -> f64 {
    if holds(from) {
        return from;
    }
    let (mut fails, mut good) = (from, to);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(fails, good);
        if holds(middle) { good = middle } else { fails = middle }
    }
    good
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    use super::*;
    use knightwatch_agent::tunable::rehearsal::{Rehearsal, raise};

    #[test]
    fn the_bound_is_that_of_the_paper() {
        // By hand at n = 10 000, p = 0.01, a = 0.05: ln ln 21000 = 2.298_088, l = (3.217_323 + 5.298_317)/10^4;
        // 1.5 sqrt(0.0099 * 8.515_640e-4) + 0.8 * 8.515_640e-4 = 0.004_355_298 + 0.000_681_251.
        assert!((off(0.01, 1e4, 0.05) - 0.005_036_5).abs() < 1e-6, "{}", off(0.01, 1e4, 0.05));
        let (low, high) = (least((0.02, 1e4), 0.05), most((0.02, 1e4), 0.05));
        assert!((low + off(low, 1e4, 0.05) - 0.02).abs() < 1e-9, "{low}");
        assert!((high - off(high, 1e4, 0.05) - 0.02).abs() < 1e-9, "{high}");
        assert!(low < 0.02 && 0.02 < high);
        assert!(least((0.0, 10.0), 0.05).abs() < 1e-12, "nothing is below nothing");
    }

    #[test]
    fn peeking_keeps_the_guarantee() {
        let method = QuantileCs::default();
        let mut alarms = 0;
        for seed in 0..300 {
            let mut generator = Pcg64Mcg::seed_from_u64(seed);
            let mut draw =
                |n: u32| f64::from((0..n).map(|_| u32::from(generator.random::<f64>() < 0.02)).sum::<u32>());
            let (mut bad, mut n) = ([0.0; 2], 0.0);
            for _ in 0..60 {
                bad = [bad[0] + draw(50), bad[1] + draw(50)];
                n += 50.0;
                if method.worse(&Compared { shares: bad.map(|bad| bad / n), requests: [n; 2] }) {
                    alarms += 1;
                    break;
                }
            }
        }
        assert!(alarms <= 15, "{alarms} of 300");
    }

    #[test]
    fn a_longer_tail_rolls_back_and_none_goes_up() {
        let (control, slow) = ((2_000, 5, 20, 200.0), (2_000, 5, 100, 300.0));
        let done = Rehearsal::of(QuantileCs::default()).minutes(5, Some([slow, control]));
        assert_eq!(done.first().map(|done| done.1), Some(Action::RollBack));
        let done = Rehearsal::of(QuantileCs::default()).minutes(5, Some([control, control]));
        assert_eq!(done, [(30, raise(5.0))]);
    }
}
