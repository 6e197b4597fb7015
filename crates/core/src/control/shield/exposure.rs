//! The exposure caps: how much rollout may be raised within a window, for each service and for the fleet.
//!
//! They limit how much can go wrong at once, and they bind people too. The caps count raises. They must not know why a
//! flag is raised, by whom, or what its telemetry says.

use std::collections::BTreeMap;

use crate::{
    control::{ExposureLimits, Reason, State},
    flag::ServiceName,
    telemetry::Millis,
};

/// Raises within the exposure window, in basis points, with those of this very tick.
pub(super) struct Exposure {
    per_service: BTreeMap<ServiceName, u64>,
    fleet: u64,
}

impl Exposure {
    pub(super) fn at(state: &State, limits: &ExposureLimits, now: Millis) -> Self {
        let mut per_service = BTreeMap::new();
        let mut fleet = 0;
        for (service, raises) in &state.raises {
            let moved: u64 = raises
                .iter()
                .rev()
                .take_while(|raise| now.since(raise.at) < limits.window)
                .map(|raise| u64::from(raise.basis_points))
                .sum();
            if moved > 0 {
                per_service.insert(service.clone(), moved);
                fleet += moved;
            }
        }
        Self { per_service, fleet }
    }

    /// The cap that a raise by `basis_points` would break, if any.
    pub(super) fn broken_by(
        &self,
        limits: &ExposureLimits,
        service: &ServiceName,
        basis_points: u16,
    ) -> Option<Reason> {
        let extra = u64::from(basis_points);
        let in_service = self.per_service.get(service).copied().unwrap_or(0) + extra;
        let caps =
            [(Some(service), in_service, limits.per_service), (None, self.fleet + extra, limits.fleet)];
        caps.into_iter().find_map(|(service, moved, limit)| {
            #[expect(clippy::cast_precision_loss, reason = "basis points are far below 2^52")]
            let would_be = moved as f64 / 100.0;
            (would_be > limit).then(|| Reason::Exposure {
                service: service.cloned(),
                would_be,
                limit,
                window: limits.window,
            })
        })
    }

    /// Counts a raise that was granted in this tick.
    pub(super) fn note(&mut self, service: &ServiceName, basis_points: u16) {
        *self.per_service.entry(service.clone()).or_default() += u64::from(basis_points);
        self.fleet += u64::from(basis_points);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::control::state::Raise;

    fn service(name: &str) -> ServiceName {
        ServiceName(name.into())
    }

    fn limits() -> ExposureLimits {
        ExposureLimits { window: Millis::from_secs(60), per_service: 150.0, fleet: 200.0 }
    }

    /// Raises of one service at these seconds, in percentage points.
    fn state(of: &str, raises: &[(u64, u16)]) -> State {
        let raises: VecDeque<Raise> = raises
            .iter()
            .map(|(at, points)| Raise { at: Millis::from_secs(*at), basis_points: points * 100 })
            .collect();
        State { raises: [(service(of), raises)].into(), ..State::default() }
    }

    #[test]
    fn raises_older_than_the_window_do_not_count() {
        let state = state("checkout", &[(0, 100), (30, 100)]);
        let raise = |now: u64| {
            let exposure = Exposure::at(&state, &limits(), Millis::from_secs(now));
            exposure.broken_by(&limits(), &service("checkout"), 5_100)
        };
        let broken = raise(59).unwrap();
        assert!(matches!(broken, Reason::Exposure { service: Some(_), would_be, .. } if would_be > 250.0));
        assert!(raise(60).is_some(), "100 points remain in the window, and 51 more break the cap of 150");
        assert_eq!(raise(90), None);
    }

    #[test]
    fn a_cap_may_be_reached_and_not_exceeded() {
        let exposure = Exposure::at(&State::default(), &limits(), Millis::ZERO);
        assert_eq!(exposure.broken_by(&limits(), &service("checkout"), 15_000), None);
        assert!(exposure.broken_by(&limits(), &service("checkout"), 15_001).is_some());
    }

    #[test]
    fn the_fleet_is_the_sum_of_its_services() {
        let mut exposure = Exposure::at(&State::default(), &limits(), Millis::ZERO);
        exposure.note(&service("checkout"), 12_000);
        assert_eq!(exposure.broken_by(&limits(), &service("search"), 8_000), None);
        let broken = exposure.broken_by(&limits(), &service("search"), 8_001).unwrap();
        assert!(matches!(broken, Reason::Exposure { service: None, .. }), "{broken:?}");
    }
}
