//! Reasons, each one plain sentence that names the value, the limit and the sample size.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    flag::{FlagKind, Rollout, ServiceName},
    telemetry::{Metric, Millis, Verdict},
};

/// The metric of a recheck whose entry names none.
/// Why something was done, vetoed, or gone over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Reason {
    /// The policy's own judgement on this verdict.
    Judgement {
        /// The verdict it saw.
        verdict: Verdict,
    },
    /// The policy lowers it by its own judgement, before or against what the tests say.
    OwnJudgement {
        /// The verdict it saw.
        verdict: Verdict,
    },
    /// The evidence shows treatment worse than control.
    Regressed {
        /// `errors` or `P99`.
        metric: String,
        /// Evidence against the flag, in nats.
        evidence: f64,
        /// From how many nats on it counts.
        needed: f64,
        /// Treatment requests behind it.
        n: u64,
        /// What one unit of traffic is.
        unit: FlagKind,
    },
    /// A hard limit is broken: treatment minus control.
    HardLimit {
        /// `errors` or `P99`.
        metric: String,
        /// Share of bad requests, treatment minus control, in percentage points.
        excess: f64,
        /// The limit, in percentage points.
        limit: f64,
        /// Treatment requests behind it.
        n: u64,
        /// What one unit of traffic is.
        unit: FlagKind,
        /// Over so many of the last intervals; absent in older journals.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        intervals: Option<u32>,
    },
    /// At 100 %, treatment is worse than control was while there was one: a live control is asked again.
    BaselineBreach {
        /// In what.
        metric: Metric,
        /// Share of failed requests in treatment, or of those beyond one and a half times the recorded P99; in percent.
        found: f64,
        /// The same in the baseline.
        baseline: f64,
        /// Treatment requests behind it.
        n: u64,
        /// What one unit of traffic is.
        unit: FlagKind,
    },
    /// Only `healthy` may be raised.
    NotHealthy {
        /// The verdict.
        verdict: Verdict,
        /// Treatment requests since the last change.
        n: u64,
        /// What one unit of traffic is.
        unit: FlagKind,
    },
    /// Too few treatment requests since the last change.
    TooFewSamples {
        /// So many there are.
        n: u64,
        /// So many are needed.
        needed: u64,
        /// What one unit of traffic is.
        unit: FlagKind,
    },
    /// Not long enough at this rollout.
    Dwell {
        /// So long it is.
        held: Millis,
        /// So long it must be.
        needed: Millis,
        /// At this rollout.
        at: Rollout,
    },
    /// Telemetry is older than allowed.
    Stale {
        /// So old it is; `None` when there never was any.
        age: Option<Millis>,
        /// So old it may be.
        limit: Millis,
    },
    /// Treatment gets no traffic.
    NoTraffic,
    /// A larger step than allowed.
    StepTooLarge {
        /// Rungs asked for.
        rungs: usize,
        /// Rungs allowed.
        limit: usize,
    },
    /// 100 % is only reached from 99 %, where a live control remains.
    BakeFirst,
    /// Too soon after a rollback or a step down.
    Cooldown {
        /// So long ago it was.
        since: Millis,
        /// So long it must be.
        needed: Millis,
    },
    /// Too many reversals in the window.
    Reversals {
        /// So many there were.
        count: usize,
        /// So many are allowed.
        limit: usize,
        /// In so long.
        window: Millis,
    },
    /// Too much exposure moving at once.
    Exposure {
        /// In which service; `None` for the whole fleet.
        service: Option<ServiceName>,
        /// What it would come to, in percentage points.
        would_be: f64,
        /// What is allowed, in percentage points.
        limit: f64,
        /// Within so long.
        window: Millis,
    },
    /// A freeze window stops raises, never rollbacks.
    Frozen {
        /// Its name.
        window: String,
    },
    /// Both arms are bad: a dependency.
    Dependency {
        /// Of which service.
        service: ServiceName,
    },
    /// A person acted on the flag.
    HumanHold {
        /// Who.
        by: String,
        /// For how long still.
        left: Millis,
    },
    /// The flag is paused.
    Paused,
    /// Nothing a policy could do in this phase or at this rollout.
    NothingToDo,
    /// The policy's numbers are not numbers, or it asks for what cannot be.
    Nonsense {
        /// What it said.
        found: String,
    },
    /// A probe of a flag that was worse than its baseline had no answer.
    NoAnswer {
        /// So long it was waited for.
        waited: Millis,
    },
    /// Telemetry was lost beyond its deadline.
    TelemetryLost {
        /// So long it has been.
        age: Millis,
        /// The deadline.
        deadline: Millis,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Judgement { verdict } => write!(f, "the evidence is {verdict}"),
            Self::OwnJudgement { verdict: Verdict::Insufficient } => {
                f.write_str("the agent's own decision, before the evidence is conclusive")
            }
            Self::OwnJudgement { verdict } => {
                write!(f, "the agent's own decision; the evidence is {verdict}")
            }
            Self::Regressed { metric, evidence, needed, n, unit } => write!(
                f,
                "treatment is worse than control in {metric}: proven ({evidence:.1}, needed {needed:.1}), {} {}",
                grouped(*n),
                unit.unit()
            ),
            Self::HardLimit { metric, excess, limit, n, unit, intervals } => {
                let over = match intervals {
                    None => String::new(),
                    Some(1) => " in the last interval".to_owned(),
                    Some(intervals) => format!(" over the last {intervals} intervals"),
                };
                write!(
                    f,
                    "{metric}{over}: {excess:.1} percentage points more bad {unit} in treatment than in control, limit \
                     {limit:.1}, of {} in treatment",
                    grouped(*n),
                    unit = unit.unit()
                )
            }
            Self::BaselineBreach { metric, found, baseline, n, unit } => {
                let did = match metric {
                    Metric::Errors => "failed",
                    Metric::P99 => "took over 1.5 times the baseline P99",
                };
                write!(
                    f,
                    "{found:.2} % of {} {} {did}, the baseline had {baseline:.2} %; rechecking at 50 % against a live control",
                    grouped(*n),
                    unit.unit()
                )
            }
            Self::NotHealthy { verdict, n, unit } => write!(
                f,
                "holding: needs more evidence ({verdict} after {} treatment {})",
                grouped(*n),
                unit.unit()
            ),
            Self::TooFewSamples { n, needed, unit } => {
                write!(f, "{} of {} treatment {} needed", grouped(*n), grouped(*needed), unit.unit())
            }
            Self::Dwell { held, needed, at } => write!(f, "{held} at {at}, {needed} needed"),
            Self::Stale { age: Some(age), limit } => write!(f, "telemetry is {age} old, limit {limit}"),
            Self::Stale { age: None, limit } => write!(f, "no telemetry yet, limit {limit}"),
            Self::NoTraffic => f.write_str("treatment gets no traffic"),
            Self::StepTooLarge { rungs, limit } => write!(f, "a step of {rungs} rungs, limit {limit}"),
            Self::BakeFirst => f.write_str("100 % is only reached from 99 %, where a live control remains"),
            Self::Cooldown { since, needed } => {
                write!(f, "lowered {since} ago, the cooldown is {needed}")
            }
            Self::Reversals { count, limit, window } => {
                write!(f, "{count} reversals in {window}, limit {limit}")
            }
            Self::Exposure { service, would_be, limit, window } => {
                match service {
                    Some(service) => write!(f, "service {service}")?,
                    None => f.write_str("the fleet")?,
                }
                write!(f, " would move {would_be:.0} points of exposure within {window}, limit {limit:.0}")
            }
            Self::Frozen { window } => write!(f, "freeze window {window:?}"),
            Self::Dependency { service } => {
                write!(f, "{service} fails with the flag on and off: a dependency, not the flag")
            }
            Self::HumanHold { by, left } => write!(f, "under manual control by {by}, {left} left"),
            Self::Paused => f.write_str("the flag is paused"),
            Self::NothingToDo => f.write_str("nothing to do in this phase"),
            Self::Nonsense { found } => write!(f, "the policy's answer is invalid: {found}"),
            Self::NoAnswer { waited } => write!(
                f,
                "worse at 100 % than its baseline, and the recheck had too little telemetry of both arms after {waited}"
            ),
            Self::TelemetryLost { age, deadline } => {
                write!(f, "telemetry lost for {age}, deadline {deadline}")
            }
        }
    }
}

/// A whole number with thin groups of three, as in `12 400`.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_name_value_limit_and_sample_size() {
        let reason = Reason::HardLimit {
            metric: "errors".to_owned(),
            excess: 8.04,
            limit: 5.0,
            n: 12_400,
            unit: FlagKind::Requests,
            intervals: Some(1),
        };
        assert_eq!(
            reason.to_string(),
            "errors in the last interval: 8.0 percentage points more bad requests in treatment than in control, limit 5.0, of \
             12 400 in treatment"
        );
        let reason = Reason::Dwell {
            held: Millis::from_secs(20),
            needed: Millis::from_secs(60),
            at: Rollout::from_percent(5.0).unwrap(),
        };
        assert_eq!(reason.to_string(), "20 s at 5 %, 1 min needed");
    }

    #[test]
    fn a_recheck_names_its_metric() {
        let recheck = |metric| Reason::BaselineBreach {
            metric,
            found: 2.0,
            baseline: 0.2,
            n: 900,
            unit: FlagKind::Requests,
        };
        for (metric, name) in [(Metric::Errors, r#""metric":"errors""#), (Metric::P99, r#""metric":"P99""#)] {
            let text = serde_json::to_string(&recheck(metric)).unwrap();
            assert!(text.contains(name), "{text}");
            assert_eq!(serde_json::from_str::<Reason>(&text).unwrap(), recheck(metric));
        }
    }
}
