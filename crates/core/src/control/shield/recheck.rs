//! The recheck: a regression below the hard limits, found at 100 % against the baseline, is verified at 50 % against a live
//! control.
//!
//! A baseline is of another time, so a breach of it proves nothing by itself. A recheck costs half the flag's exposure
//! for some minutes, so it has to be worth that: these rules say when. They must not roll anything back.

use std::collections::BTreeSet;

use super::{complete::watches, context::Context};
use crate::{
    control::{Actor, FlagState, Reason},
    flag::ServiceName,
    telemetry::{Metric, Millis, Window, WindowReport},
};

/// Services whose complete flags have moved together, and in what.
pub(in crate::control) type Drifting = BTreeSet<(ServiceName, Metric)>;

/// How long after a recheck a flag is not rechecked again. Each further recheck doubles it. The same in intervals, where the
/// intervals are long.
const PAUSE: Millis = Millis::from_secs(30 * 60);
const PAUSE_INTERVALS: u64 = 180;

/// The baseline breach that takes the flag from 100 % to 50 %, if any. `drifting` are the services whose complete flags have
/// moved together.
pub(super) fn wanted(
    context: &Context<'_>,
    drifting: Option<&Drifting>,
    flag: &FlagState,
    window: &Window,
    report: &WindowReport,
) -> Option<Reason> {
    let breach = window.baseline_breaches().find(|breach| {
        let moved = (flag.spec.service.clone(), breach.metric);
        is_due(context, flag, report, breach.metric)
            && drifting.is_none_or(|drifting| !drifting.contains(&moved))
    })?;
    Some(Reason::BaselineBreach {
        metric: breach.metric,
        found: breach.found * 100.0,
        baseline: breach.baseline * 100.0,
        n: breach.n,
        unit: flag.spec.kind,
    })
}

/// Whether the flag may leave 100 % for less than a broken limit. Not where half of its traffic could not give an answer,
/// where its changes of direction are used up, or where a person has just put it there or holds it. It may then have to
/// stay below 100 % for as long as the agent's raises have to wait, freeze windows included: where something is wrong,
/// that is where it belongs.
fn is_due(context: &Context<'_>, flag: &FlagState, report: &WindowReport, metric: Metric) -> bool {
    let answers = report.treatment.requests / 2 >= context.config.hard.min_samples;
    let again = flag.rechecks.get(&metric).is_none_or(|before| {
        let first = PAUSE.0.max(PAUSE_INTERVALS.saturating_mul(context.interval.0));
        let pause = first.saturating_mul(1 << before.times.saturating_sub(1).min(16));
        context.now.since(before.at) >= Millis(pause)
    });
    let by_person = flag.last.as_ref().is_some_and(|last| {
        matches!(last.by, Actor::Person(_)) && context.now.since(last.at) < context.config.human_hold
    });
    watches(context, flag)
        && answers
        && again
        && !by_person
        && flag.held(context.now).is_none()
        && context.reversals(flag) < context.config.max_reversals
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{
        super::fixture::{NOW, context, flag, report},
        *,
    };
    use crate::{
        control::{Hold, LastAction, Phase, Recheck, Seq, ShieldConfig},
        telemetry::Verdict,
    };

    /// A flag that has been complete for an hour.
    fn complete() -> FlagState {
        FlagState { phase_since: NOW.since(Millis::from_secs(3_600)), ..flag(Phase::Complete, 100.0) }
    }

    fn due(flag: &FlagState) -> bool {
        let config = ShieldConfig::default();
        is_due(&context(&config), flag, &report(Verdict::Insufficient), Metric::Errors)
    }

    /// Rechecked in errors so many times, the last time so many seconds ago.
    fn rechecked(times: u32, seconds: u64) -> FlagState {
        let before = Recheck { times, at: NOW.since(Millis::from_secs(seconds)) };
        FlagState { rechecks: BTreeMap::from([(Metric::Errors, before)]), ..complete() }
    }

    #[test]
    fn a_complete_flag_may_be_rechecked() {
        assert!(due(&complete()));
        assert!(!due(&FlagState { phase: Phase::Ramping, ..complete() }));
        let long_ago = FlagState { phase_since: Millis::ZERO, ..complete() };
        assert!(!due(&long_ago), "after a day it is no longer watched");
    }

    #[test]
    fn each_recheck_doubles_the_pause() {
        assert!(!due(&rechecked(1, 30 * 60 - 1)) && due(&rechecked(1, 30 * 60)));
        assert!(!due(&rechecked(2, 60 * 60 - 1)) && due(&rechecked(2, 60 * 60)));
        let errors = rechecked(1, 1);
        let config = ShieldConfig::default();
        let p99 = is_due(&context(&config), &errors, &report(Verdict::Insufficient), Metric::P99);
        assert!(p99, "a recheck of errors does not stand in the way of one of P99");
    }

    #[test]
    fn half_of_the_traffic_has_to_be_enough() {
        let config = ShieldConfig::default();
        let asked = |requests: u64| {
            let mut report = report(Verdict::Insufficient);
            report.treatment.requests = requests;
            is_due(&context(&config), &complete(), &report, Metric::Errors)
        };
        assert!(asked(200) && !asked(199));
    }

    #[test]
    fn what_a_person_has_just_done_is_not_undone() {
        let did = |by: Actor, seconds: u64| {
            let at = NOW.since(Millis::from_secs(seconds));
            let last = LastAction { at, by, what: String::new(), seq: Seq(1) };
            FlagState { last: Some(last), ..complete() }
        };
        let person = || Actor::Person("ada".to_owned());
        assert!(!due(&did(person(), 899)) && due(&did(person(), 900)));
        assert!(due(&did(Actor::Agent, 0)));
        let hold = Hold { by: "ada".to_owned(), until: NOW + Millis::from_secs(1) };
        assert!(!due(&FlagState { hold: Some(hold), ..complete() }));
    }

    #[test]
    fn a_flag_without_changes_of_direction_left_stays() {
        let reversals = |seconds: [u64; 2]| {
            let reversals = seconds.map(|ago| NOW.since(Millis::from_secs(ago))).into();
            FlagState { reversals, ..complete() }
        };
        assert!(!due(&reversals([600, 60])));
        assert!(due(&reversals([3_600, 60])), "the first is outside the window");
    }
}
