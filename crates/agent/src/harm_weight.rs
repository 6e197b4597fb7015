//! How much harm weighs against waiting: for PPO-Master an input of the network, not another network.
//!
//! The judge counts harm relative to a service's usual traffic, so that big services do not drown small ones. Who is hurt
//! counts requests, and at one pace everywhere most of the requests that fail do so at the flags with much traffic.
//! In less of a hurry there, and only there, far fewer fail for the same hours of waiting. It knows nothing of worlds.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The factors that the network was trained on, its ends rounded: near them it has seen little.
const FACTORS: std::ops::RangeInclusive<f32> = 0.03..=32.0;

/// Requests a second, both arms together, up to which harm weighs by traffic as it does for the judge: the median of
/// generated flags.
pub const REFERENCE_RATE: f64 = 170.0;

/// How its weight grows with traffic above that: more slowly than in proportion, chosen on validation worlds.
const POWER: f64 = 0.85;

/// The most that it weighs by traffic, from 26 times the usual on.
const MAX: f64 = 16.0;

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum HarmWeight {
    /// As the judge's weights say up to [`REFERENCE_RATE`], and the more, the more requests a flag has: what ships.
    #[default]
    ByTraffic,
    /// So many times as much as the judge's weights say, for every flag alike; 0.03 to 32.
    Factor(f32),
}

impl HarmWeight {
    /// The judge's own balance.
    pub const JUDGES: Self = Self::Factor(1.0);

    /// Where the traffic decides, as text.
    const BY_TRAFFIC: &'static str = "by-traffic";

    /// How many times as much as the judge's weights say harm weighs where a flag has so many requests a second, both
    /// arms together.
    #[must_use]
    pub fn factor(self, rate: f64) -> f64 {
        match self {
            Self::ByTraffic => libm::pow((rate / REFERENCE_RATE).max(1.0), POWER).min(MAX),
            Self::Factor(factor) => factor.into(),
        }
    }
}

impl From<HarmWeight> for Option<f32> {
    fn from(harm_weight: HarmWeight) -> Self {
        match harm_weight {
            HarmWeight::ByTraffic => None,
            HarmWeight::Factor(factor) => Some(factor),
        }
    }
}

impl From<Option<f32>> for HarmWeight {
    fn from(factor: Option<f32>) -> Self {
        factor.map_or(Self::ByTraffic, Self::Factor)
    }
}

impl fmt::Display for HarmWeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByTraffic => f.write_str(Self::BY_TRAFFIC),
            Self::Factor(factor) => factor.fmt(f),
        }
    }
}

/// A text that is no harm weight.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {BY_TRAFFIC} or a factor from 0.03 to 32, found {0}", BY_TRAFFIC = HarmWeight::BY_TRAFFIC)]
pub struct InvalidHarmWeight(String);

impl FromStr for HarmWeight {
    type Err = InvalidHarmWeight;

    fn from_str(text: &str) -> Result<Self, InvalidHarmWeight> {
        let factor = || text.parse().ok().filter(|factor| FACTORS.contains(factor)).map(Self::Factor);
        let by_traffic = (text == Self::BY_TRAFFIC).then_some(Self::ByTraffic);
        by_traffic.or_else(factor).ok_or_else(|| InvalidHarmWeight(format!("{text:?}")))
    }
}

impl Serialize for HarmWeight {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::ByTraffic => to.serialize_str(Self::BY_TRAFFIC),
            Self::Factor(factor) => to.serialize_f32(*factor),
        }
    }
}

impl<'de> Deserialize<'de> for HarmWeight {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "expected by-traffic or a factor from 0.03 to 32")]
        enum Written {
            Factor(f32),
            Word(String),
        }
        let factor = |factor: f32| FACTORS.contains(&factor).then_some(Self::Factor(factor));
        match Written::deserialize(from)? {
            Written::Factor(found) => factor(found).ok_or_else(|| InvalidHarmWeight(found.to_string())),
            Written::Word(word) => word.parse(),
        }
        .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::cast_possible_truncation, reason = "of order one")]
    fn narrow(factor: f64) -> f32 {
        factor as f32
    }

    #[test]
    fn more_traffic_never_weighs_less_and_little_or_none_weighs_least() {
        let rates = [f64::NAN, 0.0, 1.0, 170.0, 340.0, 1_700.0, 20_000.0, f64::INFINITY];
        let all = rates.map(|rate| HarmWeight::ByTraffic.factor(rate));
        assert!(all.is_sorted(), "{all:?}");
        assert_eq!(all.partition_point(|factor| *factor <= 1.0), 4, "{all:?}");
        assert!(all[4] > 1.5 && all[5] < 0.5 * MAX, "{all:?}");
        assert_eq!(all.partition_point(|factor| *factor < MAX), 6, "{all:?}");
        assert!(all.iter().all(|factor| FACTORS.contains(&narrow(*factor))));
        assert!(rates.iter().all(|rate| (HarmWeight::JUDGES.factor(*rate) - 1.0).abs() < f64::EPSILON));
    }

    #[test]
    fn it_is_written_as_it_is_read_and_nothing_else_is() {
        for (harm_weight, text, json) in [
            (HarmWeight::ByTraffic, "by-traffic", "\"by-traffic\""),
            (HarmWeight::Factor(5.0), "5", "5.0"),
            (HarmWeight::Factor(0.25), "0.25", "0.25"),
        ] {
            assert_eq!((text.parse(), harm_weight.to_string()), (Ok(harm_weight), text.to_owned()));
            assert_eq!(serde_json::to_string(&harm_weight).unwrap(), json);
            assert_eq!(serde_json::from_str::<HarmWeight>(json).unwrap(), harm_weight);
        }
        for text in ["", "0", "-1", "33", "NaN", "inf", "traffic", "5 "] {
            let error = text.parse::<HarmWeight>().unwrap_err().to_string();
            assert_eq!(error, format!("expected by-traffic or a factor from 0.03 to 32, found {text:?}"));
        }
        for (json, found) in
            [("99", ", found 99"), ("\"often\"", ", found \"often\""), ("true", ""), ("[]", "")]
        {
            let error = serde_json::from_str::<HarmWeight>(json).unwrap_err().to_string();
            assert_eq!(error, format!("expected by-traffic or a factor from 0.03 to 32{found}"));
        }
    }
}
