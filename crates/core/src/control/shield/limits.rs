//! The rules that roll a flag back whatever a policy proposes: the hard limits, and evidence that treatment is worse.
//!
//! Each rule turns a finding of the telemetry into a reason. They must not decide what becomes of the flag: that depends
//! on whether a live control is left.

use crate::{
    control::{FlagState, Reason},
    telemetry::{HardLimits, Verdict, Window, WindowReport},
};

/// The hard limit that the flag breaks, if any. At 100 % treatment is compared with the baseline.
pub(super) fn broken(limits: &HardLimits, flag: &FlagState, window: &Window) -> Option<Reason> {
    let breach = window.breach(limits, !flag.rollout.is_full(), 1.0)?;
    Some(Reason::HardLimit {
        metric: breach.metric.as_str().to_owned(),
        excess: breach.excess * 100.0,
        limit: breach.limit * 100.0,
        n: breach.n,
        unit: flag.spec.kind,
        intervals: Some(breach.intervals),
    })
}

/// The evidence that treatment is worse than control, where the verdict says so.
pub(super) fn regressed(flag: &FlagState, report: &WindowReport) -> Option<Reason> {
    if report.verdict != Verdict::Regressed {
        return None;
    }
    let (metric, evidence) =
        if report.errors.regressed() { ("errors", &report.errors) } else { ("P99", &report.p99) };
    Some(Reason::Regressed {
        metric: metric.to_owned(),
        evidence: evidence.harm,
        needed: evidence.harm_needed,
        n: report.treatment.requests.max(report.treatment_n),
        unit: flag.spec.kind,
    })
}
