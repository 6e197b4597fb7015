//! The fixed schedule: 1, 5, 10, 25, 50, 100 % with a fixed dwell, and no analysis at all. How most rollouts are still
//! done, and what every other policy has to beat.

use serde::{Deserialize, Serialize};

use super::{
    method::Method,
    ramp::{Climb, Ramp},
    settings::{Knob, Range},
};
use knightwatch_core::{
    control::{Action, Observation},
    telemetry::Millis,
};

/// The fixed schedule.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Schedule {
    /// Its stages.
    ramp: Ramp,
    /// Time at each stage, in seconds.
    dwell_secs: u64,
}

impl Default for Schedule {
    /// Five minutes a stage.
    fn default() -> Self {
        Self { ramp: Ramp::Standard, dwell_secs: 300 }
    }
}

impl Method for Schedule {
    const NAME: &'static str = "schedule";
    const KNOBS: &'static [Knob] = &[
        Knob { key: "ramp", range: Range::OneOf(Ramp::NAMES) },
        Knob { key: "dwell_secs", range: Range::WholeLog(60, 1_200) },
    ];
    type Memory = Climb;

    fn act(&self, climb: &mut Climb, seen: &Observation<'_>) -> Action {
        climb.on(self.ramp, Millis::from_secs(self.dwell_secs), seen)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::rehearsal::{Rehearsal, raise},
        *,
    };

    #[test]
    fn it_climbs_by_the_clock_whatever_it_sees() {
        let burning = (1_000, 1_000, 1_000, 9_999.0);
        let mut schedule = Rehearsal::of(Schedule::default());
        let climbed = schedule.minutes(30, Some([burning, burning]));
        let expected = [(30, 5.0), (60, 10.0), (90, 25.0), (120, 50.0), (150, 100.0)];
        assert_eq!(climbed, expected.map(|(interval, percent)| (interval, raise(percent))));
    }

    #[test]
    fn what_the_shield_clips_is_asked_for_again_at_once_and_the_dwell_counts_from_the_stage() {
        let mut schedule = Rehearsal::of(Schedule { ramp: Ramp::Even, dwell_secs: 60 });
        assert_eq!(schedule.see(None), raise(20.0), "from 1 %, which is no stage of this ramp");
        schedule.rollout = knightwatch_core::flag::Rollout::from_percent(10.0).unwrap();
        assert_eq!(schedule.see(None), raise(20.0), "clipped to 10 %");
        assert_eq!(schedule.minutes(1, None), [(6, raise(40.0))]);
    }
}
