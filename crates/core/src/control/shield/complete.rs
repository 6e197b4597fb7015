//! The rules for flags that are complete, at 100 %, and for those that the shield took from there to 50 %.
//!
//! At 100 % there is no live control. A dependency outage and a fault of the flag both break the baseline. Therefore the
//! shield does not roll back from 100 % at once: at 50 % a live control shows within a few intervals which of the two it
//! is. These rules must not know what the telemetry found.

use super::context::Context;
use crate::{
    control::{Action, FlagState, Phase, Reason},
    flag::Rollout,
    telemetry::{Millis, WindowReport},
};

/// Intervals at 50 % within which both arms need enough requests.
const PROBE_INTERVALS: u64 = 3;

/// What the shield does where a hard limit is broken: at 100 % it asks a live control, elsewhere it rolls back.
pub(super) fn answer_to_broken_limit(flag: &FlagState) -> (Action, Rollout) {
    if flag.rollout.is_full() {
        (Action::StepDown, Rollout::PROBE)
    } else {
        (Action::RollBack, Rollout::ZERO)
    }
}

/// Whether the flag is at 100 % and still compared with its baseline for small regressions.
pub(super) fn watches(context: &Context<'_>, flag: &FlagState) -> bool {
    flag.phase == Phase::Complete && context.now.since(flag.phase_since) < context.config.watch
}

/// That the flag was taken from 100 % to 50 % and that telemetry of both arms stays too scarce to decide.
pub(super) fn without_answer(
    context: &Context<'_>,
    flag: &FlagState,
    report: &WindowReport,
) -> Option<Reason> {
    let waited = overdue(context, flag)?;
    let scarce = report.treatment_n.min(report.control_n) < context.config.hard.min_samples;
    (!report.warming_up && scarce).then_some(Reason::NoAnswer { waited })
}

/// For how long the flag has waited at 50 %, once that is too long. Where this controller began meanwhile, the wait starts
/// again. A move to 50 % from long before had its answer then.
fn overdue(context: &Context<'_>, flag: &FlagState) -> Option<Millis> {
    let patience = Millis(PROBE_INTERVALS * context.interval.0);
    let probed = flag.probed_at.filter(|at| *at == flag.changed_at && context.begun <= *at + patience)?;
    Some(context.now.since(probed.max(context.begun))).filter(|since| *since >= patience)
}

#[cfg(test)]
mod tests {
    use super::{
        super::fixture::{NOW, context, flag, report},
        *,
    };
    use crate::{control::ShieldConfig, telemetry::Verdict};

    #[test]
    fn a_broken_limit_is_verified_at_100_percent_and_rolls_back_below() {
        let full = answer_to_broken_limit(&flag(Phase::Complete, 100.0));
        assert_eq!(full, (Action::StepDown, Rollout::PROBE));
        for percent in [1.0, 50.0, 99.0] {
            let below = answer_to_broken_limit(&flag(Phase::Ramping, percent));
            assert_eq!(below, (Action::RollBack, Rollout::ZERO));
        }
    }

    #[test]
    fn a_complete_flag_is_watched_for_a_set_time() {
        let config = ShieldConfig { watch: Millis::from_secs(3_600), ..ShieldConfig::default() };
        let since = |age: u64, phase| {
            let phase_since = NOW.since(Millis::from_secs(age));
            watches(&context(&config), &FlagState { phase_since, ..flag(phase, 100.0) })
        };
        assert!(since(3_599, Phase::Complete) && !since(3_600, Phase::Complete));
        assert!(!since(0, Phase::Ramping));
    }

    /// A flag that the shield took to 50 % so many seconds ago.
    fn probed(seconds: u64) -> FlagState {
        let at = NOW.since(Millis::from_secs(seconds));
        FlagState { probed_at: Some(at), changed_at: at, ..flag(Phase::Ramping, 50.0) }
    }

    #[test]
    fn scarce_telemetry_at_50_percent_is_no_answer_after_three_intervals() {
        let config = ShieldConfig::default();
        let scarce = WindowReport { control_n: 99, ..report(Verdict::Insufficient) };
        let asked = |flag: &FlagState, report: &WindowReport| without_answer(&context(&config), flag, report);
        assert_eq!(asked(&probed(29), &scarce), None, "it may still come");
        let waited = Millis::from_secs(30);
        assert_eq!(asked(&probed(30), &scarce), Some(Reason::NoAnswer { waited }));
        assert_eq!(asked(&probed(30), &report(Verdict::Insufficient)), None, "both arms have enough");
        let warming = WindowReport { warming_up: true, ..scarce.clone() };
        assert_eq!(asked(&probed(30), &warming), None);
        let moved = FlagState { changed_at: NOW, ..probed(30) };
        assert_eq!(asked(&moved, &scarce), None, "somebody has moved it since");
    }

    #[test]
    fn a_new_controller_waits_again() {
        let config = ShieldConfig::default();
        let scarce = WindowReport { control_n: 0, ..report(Verdict::Insufficient) };
        let begun =
            |seconds: u64| Context { begun: NOW.since(Millis::from_secs(seconds)), ..context(&config) };
        assert_eq!(without_answer(&begun(20), &probed(40), &scarce), None);
        assert!(without_answer(&begun(30), &probed(40), &scarce).is_some());
        assert_eq!(without_answer(&begun(30), &probed(3_600), &scarce), None, "it was answered long ago");
    }
}
