//! Shifts: the same scenario under conditions that training did not draw, to see what is left of a policy there.
//!
//! A shift changes one thing and leaves the faults, their sizes and their times where they were, so that what it costs can be
//! compared world by world. It is a pure function of the scenario and knows nothing of policies.

use std::{fmt, str::FromStr};

use thiserror::Error;

use super::Scenario;
use knightwatch_core::telemetry::Millis;

/// The largest sigma that a scenario may have.
const MAX_SIGMA: f64 = 2.0;
/// The largest share of the time in which telemetry may be lost.
const MAX_GAPS: f64 = 0.95;
/// How long a gap lasts that there was none before.
const GAP: Millis = Millis::from_secs(30);

/// What is otherwise than it was drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shift {
    /// Nothing.
    AsDrawn,
    /// A tenth of the traffic.
    TrafficTenth,
    /// Ten times the traffic.
    TrafficTenfold,
    /// Twice the standard deviation of ln latency, at most 2.
    SigmaDouble,
    /// Of what telemetry arrived, 30 % does not: in gaps of half a minute, or as long as the scenario's own.
    Missing30,
    /// A control interval of 5 seconds.
    Interval5,
    /// A control interval of 30 seconds.
    Interval30,
}

/// A name that no shift has.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("found the shift {found:?}, expected one of {}", Shift::ALL.map(Shift::as_str).join(", "))]
pub struct UnknownShift {
    /// What was given.
    pub found: String,
}

impl Shift {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::AsDrawn,
        Self::TrafficTenth,
        Self::TrafficTenfold,
        Self::SigmaDouble,
        Self::Missing30,
        Self::Interval5,
        Self::Interval30,
    ];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AsDrawn => "none",
            Self::TrafficTenth => "traffic/10",
            Self::TrafficTenfold => "traffic*10",
            Self::SigmaDouble => "sigma*2",
            Self::Missing30 => "missing-30",
            Self::Interval5 => "interval-5",
            Self::Interval30 => "interval-30",
        }
    }

    /// The scenario under this shift.
    #[must_use]
    pub fn of(self, mut scenario: Scenario) -> Scenario {
        match self {
            Self::AsDrawn => {}
            Self::TrafficTenth => traffic(&mut scenario, 0.1),
            Self::TrafficTenfold => traffic(&mut scenario, 10.0),
            Self::SigmaDouble => {
                for service in &mut scenario.services {
                    service.latency.sigma = (2.0 * service.latency.sigma).min(MAX_SIGMA);
                }
            }
            Self::Missing30 => {
                for flag in &mut scenario.flags {
                    let wire = &mut flag.wire;
                    if wire.gaps == 0.0 {
                        wire.gap_length = GAP;
                    }
                    wire.gaps = (1.0 - 0.7 * (1.0 - wire.gaps)).min(MAX_GAPS);
                }
            }
            Self::Interval5 => scenario.interval = Millis::from_secs(5),
            Self::Interval30 => scenario.interval = Millis::from_secs(30),
        }
        scenario
    }
}

/// More or less traffic. What waits for a number of requests waits as long as before.
fn traffic(scenario: &mut Scenario, times: f64) {
    for service in &mut scenario.services {
        service.requests_per_second *= times;
    }
    for effect in scenario.flags.iter_mut().flat_map(|flag| &mut flag.effects) {
        effect.after_requests *= times;
        effect.full_after_requests *= times;
    }
}

impl fmt::Display for Shift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Shift {
    type Err = UnknownShift;

    fn from_str(text: &str) -> Result<Self, UnknownShift> {
        Self::ALL
            .into_iter()
            .find(|shift| shift.as_str() == text)
            .ok_or_else(|| UnknownShift { found: text.chars().take(60).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Family, Generator, Split, World};
    use knightwatch_core::{flag::Rollout, telemetry::Feed};

    fn drawn(family: Family) -> Scenario {
        Generator { families: vec![family], ..Generator::new(Split::Validation) }.scenario(5).1
    }

    /// Requests in an hour at 100 %, the share of samples that arrived, and the expected bad requests.
    fn lived(scenario: &Scenario) -> (f64, f64, f64) {
        let (mut world, mut feed) = (World::new(scenario, 3), Feed::default());
        let (mut requests, mut arrived, mut steps) = (0.0, 0, 0);
        while !world.done() {
            world.step(&[Rollout::FULL; 2], &mut feed);
            requests += world.truths()[0].requests;
            arrived += usize::from(!feed.samples.is_empty());
            steps += 1;
        }
        let truth = &world.truths()[0];
        (requests, f64::from(u32::try_from(arrived).unwrap()) / f64::from(steps), truth.total_bad_requests)
    }

    #[test]
    fn a_shift_is_found_by_its_name_and_another_name_by_none() {
        for shift in Shift::ALL {
            assert_eq!(shift.as_str().parse(), Ok(shift));
        }
        let error = "traffic/9".parse::<Shift>().unwrap_err().to_string();
        assert!(error.contains("\"traffic/9\"") && error.contains("traffic/10, traffic*10"), "{error}");
    }

    #[test]
    fn nothing_changes_where_nothing_is_shifted() {
        let scenario = drawn(Family::SlowLeak);
        assert_eq!(Shift::AsDrawn.of(scenario.clone()), scenario);
    }

    #[test]
    fn ten_times_the_traffic_brings_ten_times_the_harm_at_the_same_time() {
        for family in [Family::SlowLeak, Family::ErrorStep] {
            let number = (0..50).map(|number| {
                Generator { families: vec![family], ..Generator::new(Split::Validation) }.scenario(number).1
            });
            let scenario = number
                .into_iter()
                .find(|scenario| scenario.flags[0].effects.iter().any(|effect| effect.errors > 0.01))
                .unwrap();
            let (requests, _, bad) = lived(&scenario);
            for (shift, times) in [(Shift::TrafficTenfold, 10.0), (Shift::TrafficTenth, 0.1)] {
                let (more, _, worse) = lived(&shift.of(scenario.clone()));
                assert!((more / requests / times - 1.0).abs() < 1e-9, "{more} {requests}");
                assert!((worse / bad / times - 1.0).abs() < 1e-6, "{worse} {bad}");
            }
        }
    }

    #[test]
    fn of_telemetry_three_tenths_are_missing() {
        let scenario = drawn(Family::Healthy);
        let (_, all, _) = lived(&scenario);
        let day = Scenario { duration: Millis::from_secs(86_400), ..Shift::Missing30.of(scenario) };
        let (_, some, _) = lived(&day);
        assert!((all - 1.0).abs() < 1e-9 && (some - 0.7).abs() < 0.03, "{all} {some}");
    }

    #[test]
    fn latencies_are_twice_as_wide_and_intervals_are_as_they_say() {
        let scenario = drawn(Family::LatencyStep);
        let wide = Shift::SigmaDouble.of(scenario.clone());
        let (before, after) = (scenario.services[0].latency.sigma, wide.services[0].latency.sigma);
        assert!((after - (2.0 * before).min(2.0)).abs() < 1e-12, "{before} {after}");
        assert_eq!(Shift::Interval5.of(scenario.clone()).steps(), 2 * scenario.steps());
        assert_eq!(3 * Shift::Interval30.of(scenario.clone()).steps(), scenario.steps());
    }
}
