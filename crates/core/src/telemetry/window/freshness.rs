//! Freshness: when each arm was heard last, and how old the telemetry of a flag is.
//!
//! Telemetry that is missing must never pass for a service without traffic, so silence is told apart from no requests
//! here. It must not know what the samples say beyond that.

use super::context::Context;
use crate::{
    flag::Rollout,
    telemetry::{Millis, Sample},
};

/// Treatment requests that there should be before none at all is no chance: once in e^20.
const MIN_TO_MISS: u32 = 20;

/// When the arms were heard last.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Freshness {
    /// End of the last interval heard, of control and treatment.
    seen: [Option<Millis>; 2],
    /// When this ramp began, or the last change before this window began to look.
    started_at: Millis,
}

impl Freshness {
    /// A new ramp: what was heard of treatment was another ramp's.
    pub(super) const fn begin_ramp(&mut self, started_at: Millis) {
        self.seen[1] = None;
        self.started_at = started_at;
    }

    /// Notes that a sample was heard.
    pub(super) fn hear(&mut self, sample: &Sample) {
        self.seen[sample.arm as usize] = Some(sample.end());
    }

    /// Age of the telemetry of the arms that have traffic at this rollout: the older of the two.
    pub(super) fn age(&self, context: &Context<'_>) -> Option<Millis> {
        let since = |slot: usize| {
            // A flag that has just started has had no treatment to report yet.
            let expected_from = if slot == 1 { context.changed_at.max(context.begun) } else { Millis::ZERO };
            // The same holds for control where the ramp began while this controller ran: never heard, it counts from
            // there. A flag that ran before the controller did is lost until it is heard.
            let silent_from = match slot {
                1 => Some(expected_from),
                _ => Some(self.started_at).filter(|started| *started >= context.begun),
            };
            let from = self.seen[slot].map(|seen| seen.max(expected_from)).or(silent_from)?;
            Some(context.now.since(from))
        };
        match (context.rollout.is_zero(), context.rollout.is_full()) {
            // Of a flag that is off nothing is expected.
            (true, _) => self.seen[0].and_then(|_| since(0)),
            (_, true) => since(1),
            _ => Some(since(0)?.max(since(1)?)),
        }
    }
}

/// Whether treatment reports no request at all where control's traffic says that there are many: then it is its telemetry
/// that is missing, not its traffic. What fails before it can report looks like this.
pub(super) fn is_silent(rollout: Rollout, control: Option<&Sample>, treatment: &Sample) -> bool {
    let share = rollout.share();
    let expected = |control: &Sample| f64::from(control.requests) * share / (1.0 - share);
    treatment.requests == 0
        && !rollout.is_full()
        && control.is_some_and(|control| expected(control) >= f64::from(MIN_TO_MISS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        flag::FlagId,
        telemetry::{Arm, EvidenceConfig, Histogram},
    };

    fn sample(arm: Arm, end_secs: u64, requests: u32) -> Sample {
        let span = Millis::from_secs(10);
        Sample {
            flag: FlagId(0),
            arm,
            start: Millis::from_secs(end_secs).since(span),
            span,
            requests,
            errors: 0,
            latency: Histogram::default(),
            assumed: false,
        }
    }

    fn context(config: &EvidenceConfig, now_secs: u64, rollout: Rollout) -> Context<'_> {
        Context {
            config,
            end: Millis::from_secs(now_secs),
            now: Millis::from_secs(now_secs),
            stale_after: Millis::from_secs(30),
            interval: Millis::from_secs(10),
            ramp: 1,
            changed_at: Millis::ZERO,
            begun: Millis::ZERO,
            rollout,
            next: Rollout::LAST_RUNG,
        }
    }

    fn half() -> Rollout {
        Rollout::from_percent(50.0).unwrap()
    }

    #[test]
    fn the_older_arm_with_traffic_counts() {
        let config = EvidenceConfig::default();
        let mut freshness = Freshness::default();
        freshness.hear(&sample(Arm::Control, 100, 10));
        freshness.hear(&sample(Arm::Treatment, 60, 10));
        let age = |rollout: Rollout| freshness.age(&context(&config, 130, rollout));
        assert_eq!(age(half()), Some(Millis::from_secs(70)), "treatment is the older");
        assert_eq!(age(Rollout::FULL), Some(Millis::from_secs(70)), "control has no traffic");
        assert_eq!(age(Rollout::ZERO), Some(Millis::from_secs(30)), "treatment has no traffic");
    }

    #[test]
    fn a_new_ramp_waits_for_treatment_from_its_start() {
        let config = EvidenceConfig::default();
        let mut freshness = Freshness::default();
        freshness.hear(&sample(Arm::Control, 200, 10));
        freshness.hear(&sample(Arm::Treatment, 100, 10));
        freshness.begin_ramp(Millis::from_secs(190));
        let context = Context { changed_at: Millis::from_secs(190), ..context(&config, 200, half()) };
        assert_eq!(freshness.age(&context), Some(Millis::from_secs(10)));
    }

    #[test]
    fn what_ran_before_the_controller_has_no_age_until_it_is_heard() {
        let config = EvidenceConfig::default();
        let later = Context { begun: Millis::from_secs(50), ..context(&config, 60, half()) };
        let mut freshness = Freshness::default();
        assert_eq!(freshness.age(&later), None);
        freshness.hear(&sample(Arm::Control, 60, 10));
        assert_eq!(freshness.age(&later), Some(Millis::from_secs(10)), "treatment counts from the beginning");
    }

    #[test]
    fn no_request_is_silence_only_where_many_are_expected() {
        let none = sample(Arm::Treatment, 10, 0);
        let silent = |rollout: Rollout, control: u32, treatment: &Sample| {
            is_silent(rollout, Some(&sample(Arm::Control, 10, control)), treatment)
        };
        assert!(silent(half(), MIN_TO_MISS, &none));
        assert!(!silent(half(), MIN_TO_MISS - 1, &none));
        assert!(!silent(half(), 10_000, &sample(Arm::Treatment, 10, 1)));
        assert!(!silent(Rollout::FULL, 10_000, &none), "control says nothing there");
        assert!(!is_silent(half(), None, &none));
    }
}
