//! The figures of a window report as one clause, for the journal and the alarms.
//!
//! A decision and an alarm quote the same figures, so both take them from here. It only words a report. It must not
//! know the tick, the alarms or the state.

use super::{Reason, grouped};
use crate::telemetry::WindowReport;

/// The figures beside a reason. A broken hard limit and a baseline breach quote figures of other intervals, so beside them
/// the clause says which intervals it covers.
pub(super) fn evidence_text(reason: &Reason, report: &WindowReport) -> String {
    let evidence = report_text(report);
    match reason {
        Reason::HardLimit { .. } | Reason::BaselineBreach { .. } if !evidence.is_empty() => {
            format!("the last six intervals: {evidence}")
        }
        _ => evidence,
    }
}

/// Both arms in one clause, with their sample sizes. Empty without treatment requests.
pub(super) fn report_text(report: &WindowReport) -> String {
    let percent = |rate: Option<f64>| rate.map_or("no".to_owned(), |rate| format!("{:.2} %", rate * 100.0));
    let ms = |p99: Option<f64>| p99.map_or("no".to_owned(), |p99| format!("{p99:.0} ms"));
    let (treatment, control) = (&report.treatment, &report.control);
    if treatment.requests == 0 {
        return String::new();
    }
    format!(
        "errors {} against {}, P99 {} against {}, n {} against {}{}",
        percent(treatment.error_rate()),
        percent(control.error_rate()),
        ms(treatment.p99_ms),
        ms(control.p99_ms),
        grouped(treatment.requests),
        grouped(control.requests),
        if report.control_is_baseline { ", baseline" } else { "" }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::ArmStats;

    fn report() -> WindowReport {
        WindowReport {
            treatment: ArmStats { requests: 1_200, errors: 12, p99_ms: Some(80.4) },
            control: ArmStats { requests: 30_000, errors: 0, p99_ms: None },
            ..WindowReport::default()
        }
    }

    #[test]
    fn both_arms_are_quoted_with_their_sample_sizes() {
        let text = report_text(&report());
        assert_eq!(text, "errors 1.00 % against 0.00 %, P99 80 ms against no, n 1 200 against 30 000");
        let recorded = WindowReport { control_is_baseline: true, ..report() };
        assert_eq!(report_text(&recorded), format!("{text}, baseline"));
    }

    #[test]
    fn without_treatment_requests_nothing_is_quoted() {
        let hard = Reason::HardLimit {
            metric: "errors".to_owned(),
            excess: 9.0,
            limit: 5.0,
            n: 100,
            unit: crate::flag::FlagKind::default(),
            intervals: Some(1),
        };
        assert_eq!(evidence_text(&hard, &WindowReport::default()), "");
        assert!(evidence_text(&hard, &report()).starts_with("the last six intervals: errors 1.00 %"));
        assert_eq!(evidence_text(&Reason::NoTraffic, &report()), report_text(&report()));
    }
}
