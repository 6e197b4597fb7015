//! Every number that steers control, with its default and its reason.

use serde::{Deserialize, Serialize};

use crate::telemetry::{EvidenceConfig, HardLimits, Millis, Verdict, WindowReport};

/// Settings of the tick.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ControlConfig {
    /// The control interval: one tick each. 10 s.
    pub interval: Millis,
    /// How telemetry becomes a verdict.
    pub evidence: EvidenceConfig,
    /// What the shield allows.
    pub shield: ShieldConfig,
    /// What re-arming takes.
    pub rearm: RearmConfig,
}

/// What re-arming takes. One person stops; two may be asked to start again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RearmConfig {
    /// Whether another person has to agree. Off.
    pub two_people: bool,
    /// For how long the first one's asking holds. 10 min.
    pub request_ttl: Millis,
}

impl Default for RearmConfig {
    fn default() -> Self {
        Self { two_people: false, request_ttl: Millis::from_secs(600) }
    }
}

impl Default for ControlConfig {
    fn default() -> Self {
        Self {
            interval: Millis::from_secs(10),
            evidence: EvidenceConfig::default(),
            shield: ShieldConfig::default(),
            rearm: RearmConfig::default(),
        }
    }
}

impl ControlConfig {
    /// What types alone cannot say: ranges.
    ///
    /// # Errors
    /// The key that is wrong, with what was expected and what was found.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let between = |key, value: f64, low: f64, high: f64| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                Err((key, format!("expected {low} to {high}, found {value}")))
            }
        };
        let Self { interval, evidence, shield, rearm } = self;
        between("control.interval", interval.as_secs_f64(), 1.0, 3_600.0)?;
        between("control.evidence.alpha", evidence.alpha, 1e-9, 0.5)?;
        between("control.evidence.health_alpha", evidence.health_alpha, 1e-9, 0.5)?;
        between("control.evidence.tolerated_errors", evidence.tolerated_errors, 1.0, 10.0)?;
        between("control.evidence.tolerated_slow", evidence.tolerated_slow, 1.0, 10.0)?;
        between("control.evidence.error_budget", evidence.error_budget, 0.0, 1.0)?;
        between("control.evidence.slow_budget", evidence.slow_budget, 0.0, 1.0)?;
        between("control.evidence.min_error_margin", evidence.min_error_margin, 1e-6, 1.0)?;
        between("control.evidence.min_slow_margin", evidence.min_slow_margin, 1e-6, 1.0)?;
        between("control.evidence.relative_margin", evidence.relative_margin, 0.0, 10.0)?;
        between("control.evidence.max_margin", evidence.max_margin, 1e-6, 1.0)?;
        between("control.evidence.baseline_decay", evidence.baseline_decay, 0.0, 0.999)?;
        between("control.shield.hard.errors", shield.hard.errors, 0.1, 100.0)?;
        between("control.shield.hard.p99_ratio", shield.hard.p99_ratio, 1.1, 100.0)?;
        between("control.shield.exposure.per_service", shield.exposure.per_service, 1.0, 1e9)?;
        between("control.shield.exposure.fleet", shield.exposure.fleet, 1.0, 1e9)?;
        let day = 24.0 * 3_600.0;
        between("control.shield.exposure.window", shield.exposure.window.as_secs_f64(), 1.0, day)?;
        between("control.shield.reversal_window", shield.reversal_window.as_secs_f64(), 1.0, day)?;
        between("control.shield.human_hold", shield.human_hold.as_secs_f64(), 1.0, 30.0 * day)?;
        between("control.shield.watch", shield.watch.as_secs_f64(), 0.0, 30.0 * day)?;
        between("control.shield.stale_after", shield.stale_after.as_secs_f64(), 1.0, day)?;
        between("control.shield.lost_deadline", shield.lost_deadline.as_secs_f64(), 1.0, day)?;
        between("control.rearm.request_ttl", rearm.request_ttl.as_secs_f64(), 60.0, day)?;
        if shield.max_rungs == 0 {
            return Err(("control.shield.max_rungs", "expected at least 1, found 0".to_owned()));
        }
        for window in &shield.freeze {
            let week = 7 * 24 * 60;
            if window.from_minute >= week || window.to_minute >= week {
                let found = format!("expected minutes of a week, 0 to {}, in {:?}", week - 1, window.name);
                return Err(("control.shield.freeze", found));
            }
        }
        Ok(())
    }
}

/// Settings of the shield.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ShieldConfig {
    /// Least time at a rollout before it is raised. 1 min.
    pub dwell: Millis,
    /// Least treatment requests since the last change before a raise. 100.
    pub min_samples: u64,
    /// Most rungs in one raise. 2.
    pub max_rungs: usize,
    /// Least time after a step down before a raise. 5 min.
    pub cooldown: Millis,
    /// Most changes of direction within the reversal window. 2.
    pub max_reversals: usize,
    /// The reversal window. 1 h.
    pub reversal_window: Millis,
    /// Oldest telemetry on which a raise is allowed, and from which on the verdict is `lost`. 30 s.
    pub stale_after: Millis,
    /// How long telemetry may be lost before the flag is paused. 5 min.
    pub lost_deadline: Millis,
    /// How long a person's action keeps the agent off. 15 min.
    pub human_hold: Millis,
    /// For how long a flag at 100 % is watched for small harm: off its baseline, it goes down to a live one. 24 h.
    pub watch: Millis,
    /// Most exposure moving at once.
    pub exposure: ExposureLimits,
    /// What rolls back whatever the policy says.
    pub hard: HardLimits,
    /// When no raises happen.
    pub freeze: Vec<FreezeWindow>,
}

impl ShieldConfig {
    /// For how long telemetry has been lost, where that is so long that a person is called. What was never there counts
    /// from the last change of rollout.
    #[must_use]
    pub fn escalates(&self, report: &WindowReport, since_change: Millis) -> Option<Millis> {
        let age = report.age.unwrap_or(since_change);
        (report.verdict == Verdict::Lost && age > self.lost_deadline).then_some(age)
    }
}

impl Default for ShieldConfig {
    fn default() -> Self {
        Self {
            dwell: Millis::from_secs(60),
            min_samples: 100,
            max_rungs: 2,
            cooldown: Millis::from_secs(300),
            max_reversals: 2,
            reversal_window: Millis::from_secs(3_600),
            stale_after: Millis::from_secs(30),
            lost_deadline: Millis::from_secs(300),
            human_hold: Millis::from_secs(900),
            watch: Millis::from_secs(24 * 3_600),
            exposure: ExposureLimits::default(),
            hard: HardLimits::default(),
            freeze: Vec::new(),
        }
    }
}

/// Caps on the sum of all raises within a window, in percentage points. They bind everyone, people included.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExposureLimits {
    /// The window. 1 min.
    pub window: Millis,
    /// Within one service. 150 points.
    pub per_service: f64,
    /// Over the whole fleet. 600 points.
    pub fleet: f64,
}

impl Default for ExposureLimits {
    fn default() -> Self {
        Self { window: Millis::from_secs(60), per_service: 150.0, fleet: 600.0 }
    }
}

/// A weekly window, in UTC, in which nothing is raised. Rollbacks are never frozen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FreezeWindow {
    /// What it is called in the shield's sentence.
    pub name: String,
    /// Minutes from Monday 00:00 UTC at which it begins, 0 to 10 079.
    pub from_minute: u32,
    /// Minutes from Monday 00:00 UTC at which it ends; before `from_minute` it runs over the end of the week.
    pub to_minute: u32,
}

impl FreezeWindow {
    /// Whether `now` is inside.
    #[must_use]
    pub fn contains(&self, now: Millis) -> bool {
        const WEEK: u64 = 7 * 24 * 60;
        // 1 January 1970 was a Thursday: three days after the week's beginning.
        let minute = (now.0 / 60_000 + 3 * 24 * 60) % WEEK;
        let (from, to) = (u64::from(self.from_minute), u64::from(self.to_minute));
        if from <= to { (from..to).contains(&minute) } else { minute >= from || minute < to }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freeze_window_runs_over_the_weekend() {
        // Friday 16:00 to Monday 08:00.
        let window =
            FreezeWindow { name: "weekend".to_owned(), from_minute: 4 * 1_440 + 960, to_minute: 480 };
        let at = |text: &str| {
            Millis(u64::try_from(text.parse::<jiff::Timestamp>().unwrap().as_millisecond()).unwrap())
        };
        assert!(window.contains(at("2026-03-06T16:00:00Z")), "a Friday");
        assert!(window.contains(at("2026-03-08T12:00:00Z")), "a Sunday");
        assert!(!window.contains(at("2026-03-09T08:00:00Z")), "a Monday");
        assert!(!window.contains(at("2026-03-05T20:00:00Z")), "a Thursday");
    }
}
