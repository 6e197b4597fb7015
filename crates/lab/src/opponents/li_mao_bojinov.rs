//! Li, Mao and Bojinov, "Balancing Risk and Reward: A Batched-Bandit Strategy for Automated Phased Release" (`NeurIPS`
//! 2023, arXiv 2305.09626): at each stage the largest share of traffic whose harm stays within what is left of a risk budget,
//! but for a small chance. With the effect of treatment on one request normal after all that was seen, of mean mu and variance
//! tau^2, and one request's outcome of variance sigma^2, m more treated requests cost at most B when
//!
//! `m mu + z sqrt(m^2 tau^2 + m sigma^2) <= B`.
//!
//! Harm is requests that fail, and requests slower than the former P99, beyond control's; each has a budget, as a share of a
//! horizon's traffic, and a prior around 0. Spent is what treatment is estimated to have cost so far. A share below the
//! first rung means that the release has failed: rolled back. One below the present share: a step down. The paper leaves budget, chance and
//! prior to its user and ends with the experiment; here the last step, to 100 %, has to fit for `launch_secs`, since nobody can take
//! it back afterwards. Liberty: [`super::pool`].

use serde::{Deserialize, Serialize};

use super::pool::{Guardrails, Pool};
use knightwatch_agent::{
    real,
    tunable::{Knob, Method, Range},
};
use knightwatch_core::{
    control::{Action, Observation},
    flag::Rollout,
    telemetry::{ArmStats, Counts, Millis},
};

/// Halvings by which the largest share is found: to a basis point and beyond.
const HALVINGS: u32 = 20;

/// The method with its settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct LiMaoBojinov {
    /// Time of a stage, in seconds.
    stage_secs: u64,
    /// Time for which the last step has to fit, in seconds.
    launch_secs: u64,
    /// Requests that may fail because of the flag, as a share of an hour's.
    error_budget: f64,
    /// Requests that may be slow because of it.
    slow_budget: f64,
    /// How sure it has to be, in standard deviations.
    z: f64,
    /// Standard deviation of the effect before anything was seen, as a share.
    prior_sd: f64,
}

impl Default for LiMaoBojinov {
    fn default() -> Self {
        Self {
            stage_secs: 60,
            launch_secs: 600,
            error_budget: 0.001,
            slow_budget: 0.01,
            z: 1.644_853_6,
            prior_sd: 0.1,
        }
    }
}

/// The horizon that budgets are of, in seconds.
const HORIZON_SECS: f64 = 3_600.0;

/// What it remembers of one release.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Release {
    guardrails: Guardrails,
    /// Bad requests beyond control's rate so far, of errors and of latency.
    spent: [f64; 2],
    /// Requests of both arms, and the intervals that they are of.
    requests: f64,
    intervals: f64,
}

impl Method for LiMaoBojinov {
    const NAME: &'static str = "li-mao-bojinov";
    const KNOBS: &'static [Knob] = &[
        Knob { key: "stage_secs", range: Range::WholeLog(10, 600) },
        Knob { key: "launch_secs", range: Range::WholeLog(60, 3_600) },
        Knob { key: "error_budget", range: Range::Log(1e-5, 0.02) },
        Knob { key: "slow_budget", range: Range::Log(1e-4, 0.2) },
        Knob { key: "z", range: Range::Even(0.5, 4.0) },
        Knob { key: "prior_sd", range: Range::Log(0.001, 0.5) },
    ];
    type Memory = Release;

    fn act(&self, release: &mut Release, seen: &Observation<'_>) -> Action {
        release.note(seen);
        let Some(allowed) = self.allowed(release, seen) else { return Action::Hold };
        if allowed < seen.ladder.first() {
            Action::RollBack
        } else if allowed < seen.rollout {
            Action::StepDown
        } else if allowed > seen.rollout && seen.since_change >= Millis::from_secs(self.stage_secs) {
            Action::RaiseTo(allowed)
        } else {
            Action::Hold
        }
    }
}

impl Release {
    fn note(&mut self, seen: &Observation<'_>) {
        self.guardrails.note(seen);
        let [Some(control), Some(treatment)] = seen.latest else { return };
        self.requests += real(control.requests + treatment.requests);
        self.intervals += 1.0;
        self.spent[0] += excess(treatment, control);
        if let Some(Counts { treatment, treatment_bad, control, control_bad }) = seen.slower {
            let arm = |requests, errors| ArmStats { requests, errors, p99_ms: None };
            self.spent[1] += excess(&arm(treatment, treatment_bad), &arm(control, control_bad));
        }
    }
}

/// Bad requests of treatment beyond control's rate.
fn excess(treatment: &ArmStats, control: &ArmStats) -> f64 {
    control.error_rate().map_or(0.0, |rate| real(treatment.errors) - rate * real(treatment.requests))
}

/// What the next stage may cost.
#[derive(Clone, Copy, Debug)]
struct Risk {
    /// Mean of the effect on one request, as a share.
    mean: f64,
    /// Its variance.
    variance: f64,
    /// Variance of one request's outcome.
    outcome: f64,
    /// What is left of the budget, in requests.
    left: f64,
}

impl Risk {
    /// Whether so many treated requests stay within what is left.
    fn fits(&self, requests: f64, z: f64) -> bool {
        let sd = libm::sqrt(requests * requests * self.variance + requests * self.outcome);
        requests * self.mean + z * sd <= self.left
    }
}

impl LiMaoBojinov {
    /// The largest share of traffic that the budgets allow; None while there is nothing to go by.
    fn allowed(&self, release: &Release, seen: &Observation<'_>) -> Option<Rollout> {
        if release.intervals == 0.0 {
            return None;
        }
        let a_second = release.requests / release.intervals / seen.interval.as_secs_f64();
        let pools = [release.guardrails.errors, release.guardrails.slow];
        let budgets = [self.error_budget, self.slow_budget];
        let risks = [0, 1].map(|metric| {
            let budget = budgets[metric] * a_second * HORIZON_SECS;
            self.risk(&pools[metric], budget - release.spent[metric].max(0.0))
        });
        let fit = |share: f64, secs: u64| {
            let requests = share * a_second * Millis::from_secs(secs).as_secs_f64();
            risks.iter().all(|risk| risk.fits(requests, self.z))
        };
        if fit(1.0, self.launch_secs.max(self.stage_secs)) {
            return Some(Rollout::FULL);
        }
        if fit(Rollout::LAST_RUNG.share(), self.stage_secs) {
            return Some(Rollout::LAST_RUNG);
        }
        let (mut fits, mut too_much) = (0.0, Rollout::LAST_RUNG.share());
        for _ in 0..HALVINGS {
            let middle = f64::midpoint(fits, too_much);
            if fit(middle, self.stage_secs) { fits = middle } else { too_much = middle }
        }
        Rollout::from_percent(libm::floor(fits * 10_000.0) / 100.0).ok()
    }

    /// The posterior of a normal prior around 0 and a normal likelihood.
    fn risk(&self, pool: &Pool, left: f64) -> Risk {
        let prior = 1.0 / (self.prior_sd * self.prior_sd);
        let Some(compared) = pool.compared() else {
            return Risk { mean: 0.0, variance: 1.0 / prior, outcome: 0.0, left };
        };
        let precision = prior + 1.0 / compared.variance();
        Risk {
            mean: compared.difference() / compared.variance() / precision,
            variance: 1.0 / precision,
            outcome: compared.variances()[0],
            left,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use knightwatch_agent::tunable::rehearsal::{Rehearsal, raise};

    #[test]
    fn the_largest_stage_is_where_the_inequality_is_an_equation() {
        // m 0.01 + 2 sqrt(m^2 0.02^2 + m 0.04) = 60: at m = 1 000 it is 10 + 2 sqrt(400 + 40) = 51.95, at 1 200 it
        // is 12 + 2 sqrt(576 + 48) = 61.96.
        let risk = Risk { mean: 0.01, variance: 0.02 * 0.02, outcome: 0.04, left: 60.0 };
        assert!(risk.fits(1_000.0, 2.0) && !risk.fits(1_200.0, 2.0));
        assert!((1_000.0_f64 * 0.01 + 2.0 * libm::sqrt(440.0) - 51.952_4).abs() < 1e-3);
        assert!(!Risk { left: -1.0, ..risk }.fits(0.0, 2.0), "nothing is left");
    }

    #[test]
    fn the_posterior_lies_between_the_prior_and_what_was_seen() {
        let mut pool = Pool::default();
        pool.add(Counts { treatment: 10_000, treatment_bad: 300, control: 10_000, control_bad: 100 });
        let variance = pool.compared().unwrap().variance();
        let method = LiMaoBojinov { prior_sd: libm::sqrt(variance), ..LiMaoBojinov::default() };
        let risk = method.risk(&pool, 1.0);
        // As sure of the one as of the other: half the difference of 0.02, half the variance.
        assert!((risk.mean - 0.01).abs() < 1e-9 && (risk.variance - variance / 2.0).abs() < 1e-12);
    }

    #[test]
    fn a_harmless_flag_goes_up_as_it_is_known_better_and_a_bad_one_goes_down() {
        let control = (10_000, 10, 100, 200.0);
        let climbed = Rehearsal::of(LiMaoBojinov::default()).minutes(20, Some([control, control]));
        assert_eq!(climbed.last().map(|done| done.1), Some(raise(100.0)), "{climbed:?}");
        assert!(climbed.iter().all(|done| matches!(done.1, Action::RaiseTo(_))));
        let failing = (10_000, 1_000, 100, 200.0);
        let done = Rehearsal::of(LiMaoBojinov::default()).minutes(5, Some([failing, control]));
        assert_eq!(done.last().map(|done| done.1), Some(Action::RollBack), "{done:?}");
    }
}
