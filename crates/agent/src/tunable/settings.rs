//! Settings of policies as data: what tuning draws, writes to a file and reads back.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;

/// One setting that can be tuned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Knob {
    /// Its name in the settings.
    pub key: &'static str,
    /// Between which bounds.
    pub range: Range,
}

/// Where a setting lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Range {
    /// A number between two, all as likely.
    Even(f64, f64),
    /// A number between two above 0, its logarithm evenly.
    Log(f64, f64),
    /// A whole number from one to the other, all as likely.
    Whole(i64, i64),
    /// A whole number from one to the other, both above 0, its logarithm evenly.
    WholeLog(i64, i64),
    /// One of these words.
    OneOf(&'static [&'static str]),
}

/// Settings of one policy, by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Settings(pub toml::Table);

/// Settings that a policy cannot have.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("settings of {policy}: {text}")]
pub struct SettingsError {
    /// Whose.
    pub policy: String,
    /// What is wrong with them.
    pub text: String,
}

impl Range {
    /// The value at `u`, from 0 to below 1.
    #[must_use]
    pub fn at(&self, u: f64) -> toml::Value {
        let even = |low: f64, high: f64| low + (high - low) * u;
        let log = |low: f64, high: f64| libm::exp(even(libm::log(low), libm::log(high)));
        match *self {
            Self::Even(low, high) => rounded(even(low, high)).clamp(low, high).into(),
            Self::Log(low, high) => rounded(log(low, high)).clamp(low, high).into(),
            Self::Whole(low, high) => clamped_integer(even(real(low), real(high) + 1.0), low, high).into(),
            Self::WholeLog(low, high) => clamped_integer(log(real(low), real(high) + 1.0), low, high).into(),
            Self::OneOf(words) => {
                let count = i64::try_from(words.len()).unwrap_or(i64::MAX);
                let place = clamped_integer(even(0.0, real(count)), 0, count - 1);
                let word = usize::try_from(place).ok().and_then(|place| words.get(place)).copied();
                word.unwrap_or_default().into()
            }
        }
    }

    /// Whether a value lies in it.
    #[must_use]
    pub fn holds(&self, value: &toml::Value) -> bool {
        let number = value.as_float().or_else(|| value.as_integer().map(real));
        let within = |low: f64, high: f64| number.is_some_and(|number| (low..=high).contains(&number));
        match *self {
            Self::Even(low, high) | Self::Log(low, high) => within(low, high),
            Self::Whole(low, high) | Self::WholeLog(low, high) => {
                value.is_integer() && within(real(low), real(high))
            }
            Self::OneOf(words) => value.as_str().is_some_and(|word| words.contains(&word)),
        }
    }
}

/// To four digits, so that a file of settings can be read.
fn rounded(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}

/// Down to a whole number between two: logarithms there and back may miss an end.
#[expect(clippy::cast_possible_truncation, reason = "the bounds of settings are small")]
fn clamped_integer(value: f64, least: i64, most: i64) -> i64 {
    (libm::floor(value) as i64).clamp(least, most)
}

#[expect(clippy::cast_precision_loss, reason = "the bounds of settings are small")]
fn real(whole: i64) -> f64 {
    whole as f64
}

impl Settings {
    /// One draw of all these knobs: `uniform` gives numbers from 0 to below 1.
    pub fn draw(knobs: &[Knob], mut uniform: impl FnMut() -> f64) -> Self {
        Self(knobs.iter().map(|knob| (knob.key.to_owned(), knob.range.at(uniform()))).collect())
    }

    /// As a policy takes them. What is left out is as by default; what it does not know, and what is out of a knob's
    /// bounds, is refused.
    ///
    /// # Errors
    /// A setting that the policy does not have, or out of its bounds.
    pub fn read<M: DeserializeOwned>(&self, policy: &str, knobs: &[Knob]) -> Result<M, SettingsError> {
        let wrong = |text: String| SettingsError { policy: policy.to_owned(), text };
        for (key, value) in &self.0 {
            if let Some(knob) = knobs.iter().find(|knob| knob.key == key)
                && !knob.range.holds(value)
            {
                return Err(wrong(format!("{key} is {value}, expected {}", knob.range.in_words())));
            }
        }
        self.0
            .clone()
            .try_into()
            .map_err(|error: toml::de::Error| wrong(error.to_string().trim_end().to_owned()))
    }
}

impl Range {
    fn in_words(&self) -> String {
        match self {
            Self::Even(low, high) | Self::Log(low, high) => format!("{low} to {high}"),
            Self::Whole(low, high) | Self::WholeLog(low, high) => format!("a whole number, {low} to {high}"),
            Self::OneOf(words) => format!("one of {}", words.join(", ")),
        }
    }
}
