//! A service as it runs: how much traffic it has, how slow it is and how often it fails, apart from any flag.
//!
//! Everything here hits both arms of every flag alike. It must not know what any flag's rollout is.

use super::{
    noise::{Autoregression, Purpose, Stream},
    scenario::{Outage, ServiceModel},
    shape::Shape,
};
use knightwatch_core::telemetry::Millis;

/// The highest utilisation the queueing formula is asked about: beyond it, it runs off to infinity.
const FULLEST: f64 = 0.98;
const MILLIS_A_MINUTE: f64 = 60_000.0;
const MILLIS_AN_HOUR: f64 = 3_600_000.0;

/// A service in one interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Condition {
    /// Its traffic as a multiple of the usual.
    pub(super) traffic: f64,
    /// Natural logarithm of how many times slower than usual it is.
    pub(super) ln_latency: f64,
    /// Share of requests that fail.
    pub(super) errors: f64,
}

/// What a service remembers from interval to interval.
#[derive(Clone, Debug)]
pub(super) struct Service {
    model: ServiceModel,
    pub(super) shape: Shape,
    stream: Stream,
    traffic: Autoregression,
    shock: Autoregression,
    bursting: bool,
}

/// When an interval is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// Its number, from 0.
    pub(super) step: u64,
    /// Its middle, since the scenario's start.
    pub(super) middle: Millis,
    /// The scenario's start, since the Unix epoch.
    pub(super) start: Millis,
    /// The control interval.
    pub(super) interval: Millis,
}

impl Service {
    /// A service at the scenario's start.
    pub(super) fn new(model: &ServiceModel, seed: u64, interval: Millis) -> Self {
        let stream = Stream::new(seed, model.name.as_str());
        let minutes = millis(interval) / MILLIS_A_MINUTE;
        // The step before the first: its draws are used by no interval.
        let series =
            |sd, memory, purpose| Autoregression::new(sd, memory, minutes, &mut stream.at(purpose, u64::MAX));
        Self {
            shape: Shape::new(&model.latency),
            stream,
            traffic: series(model.traffic_sd, model.traffic_memory, Purpose::Traffic),
            shock: series(model.latency.noise_sd, model.latency.noise_memory, Purpose::Shock),
            bursting: false,
            model: model.clone(),
        }
    }

    /// Requests in an interval of usual traffic.
    pub(super) fn typical_requests(&self, interval: Millis) -> f64 {
        self.model.requests_per_second * interval.as_secs_f64()
    }

    /// Goes on by one interval. `outages` are those of this service.
    pub(super) fn step<'a>(&mut self, at: Moment, outages: impl Iterator<Item = &'a Outage>) -> Condition {
        let mut traffic =
            self.daily(at) * libm::exp(self.traffic.step(&mut self.stream.at(Purpose::Traffic, at.step)));
        let mut ln_latency = self.shock.step(&mut self.stream.at(Purpose::Shock, at.step));
        let mut working = 1.0 - self.model.errors;
        self.burst(at);
        if self.bursting {
            ln_latency += ln_factor(self.model.bursts.latency);
            working *= 1.0 - self.model.bursts.errors;
        }
        for outage in outages.filter(|outage| outage.from <= at.middle && at.middle < outage.until) {
            ln_latency += ln_factor(outage.latency);
            working *= 1.0 - outage.errors;
            traffic *= outage.traffic;
        }
        ln_latency += self.queueing(traffic);
        Condition { traffic, ln_latency, errors: 1.0 - working }
    }

    /// The daily course of traffic, as a multiple of the usual: a sine that peaks at the named hour.
    fn daily(&self, at: Moment) -> f64 {
        if self.model.daily_swing == 0.0 {
            return 1.0;
        }
        let hours = millis(at.start + at.middle) / MILLIS_AN_HOUR - self.model.daily_peak_hour;
        1.0 + self.model.daily_swing * libm::cos(std::f64::consts::TAU * hours / 24.0)
    }

    /// What waiting in the queue adds, as ln of a factor relative to usual traffic.
    ///
    /// Pollaczek-Khinchine: `E[W] = rho (1 + C^2) E[S] / (2 (1 - rho))`; a request takes `E[S] + E[W]`.
    fn queueing(&self, traffic: f64) -> f64 {
        if self.model.utilisation == 0.0 {
            return 0.0;
        }
        let stay = |rho: f64| 1.0 + rho * (1.0 + self.model.variability) / (2.0 * (1.0 - rho));
        libm::log(
            stay((self.model.utilisation * traffic).min(FULLEST)) / stay(self.model.utilisation.min(FULLEST)),
        )
    }

    /// Begins or ends a burst, as a two-state Markov chain.
    fn burst(&mut self, at: Moment) {
        let bursts = &self.model.bursts;
        if bursts.per_hour == 0.0 {
            return;
        }
        let interval = millis(at.interval);
        let change = if self.bursting {
            interval / millis(bursts.length).max(interval)
        } else {
            bursts.per_hour * interval / MILLIS_AN_HOUR
        };
        if self.stream.at(Purpose::Burst, at.step).chance(change) {
            self.bursting = !self.bursting;
        }
    }
}

/// The natural logarithm of a factor; 0 for what is not a positive number.
pub(super) fn ln_factor(factor: f64) -> f64 {
    if factor > 0.0 { libm::log(factor) } else { 0.0 }
}

/// A time span as a number.
#[expect(clippy::cast_precision_loss, reason = "times here are far below 2^52 ms")]
pub(super) fn millis(span: Millis) -> f64 {
    span.0 as f64
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "the values are exact")]
mod tests {
    use super::*;
    use crate::Scenario;

    const INTERVAL: Millis = Millis::from_secs(10);

    fn service(lines: &str) -> (Service, Vec<Outage>) {
        let text = format!(
            "name = 't'\nduration = '1 h'\n[[service]]\nname = 's'\nrequests_per_second = 10\n{lines}"
        );
        let scenario = Scenario::parse(&text, "t.toml").unwrap();
        (Service::new(&scenario.services[0], 3, INTERVAL), scenario.outages)
    }

    fn at(step: u64) -> Moment {
        Moment { step, middle: Millis(step * 10_000 + 5_000), start: Millis::ZERO, interval: INTERVAL }
    }

    #[test]
    fn traffic_peaks_at_the_named_hour() {
        let (mut service, _) = service("traffic_sd = 0\ndaily_swing_percent = 40\ndaily_peak_hour = 14");
        let peak = service.step(at(14 * 360), std::iter::empty()).traffic;
        let low = service.step(at(2 * 360), std::iter::empty()).traffic;
        assert!((peak - 1.4).abs() < 1e-3 && (low - 0.6).abs() < 1e-3, "{peak} {low}");
    }

    #[test]
    fn latency_climbs_steeply_when_the_queue_fills() {
        let (service, _) = service("utilisation_percent = 60");
        assert_eq!(service.queueing(1.0), 0.0);
        // rho 0.9 against 0.6, with C^2 = 1: (1 + 9) / (1 + 1.5) = 4.
        assert!((libm::exp(service.queueing(1.5)) - 4.0).abs() < 1e-9);
        assert!(service.queueing(100.0).is_finite());
    }

    #[test]
    fn an_outage_adds_errors_and_latency_only_while_it_lasts() {
        let (mut service, outages) = service(
            "errors_percent = 1\nnoise_sd = 0\n[[outage]]\nservices = ['s']\nfrom = '1 min'\nuntil = '2 min'\nerrors_percent = 50\nlatency = 3",
        );
        let before = service.step(at(5), outages.iter());
        let during = service.step(at(6), outages.iter());
        let after = service.step(at(12), outages.iter());
        assert!(
            (before.errors - 0.01).abs() < 1e-12 && before == Condition { traffic: before.traffic, ..after }
        );
        assert!((during.errors - (1.0 - 0.99 * 0.5)).abs() < 1e-12);
        assert!((during.ln_latency - libm::log(3.0)).abs() < 1e-12);
    }

    #[test]
    fn bursts_come_as_often_and_last_as_long_as_they_say() {
        let (mut service, _) =
            service("[service.bursts]\nper_hour = 6\nlength = '1 min'\nerrors_percent = 100\nlatency = 1");
        let hit =
            (0..36_000).filter(|step| service.step(at(*step), std::iter::empty()).errors == 1.0).count();
        // 6 an hour of one minute each: off for 10 minutes, on for 1.
        assert!((2_400..4_300).contains(&hit), "{hit} of 36 000 steps");
    }
}
