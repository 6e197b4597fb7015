//! Controller time: milliseconds since the Unix epoch, as an argument, never read from a clock in the core.

use std::{
    fmt,
    ops::{Add, Sub},
};

use serde::{Deserialize, Deserializer, Serialize, de};

/// A moment or a span of controller time, in milliseconds. Moments count from the Unix epoch, also in the simulator,
/// where they begin at the scenario's start. Subtraction saturates at zero: controller time never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Millis(pub u64);

impl Millis {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// So many seconds.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds * 1_000)
    }

    /// In seconds.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "spans here are far below 2^52 ms")]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1_000.0
    }

    /// As a moment of the day, for sentences: `10:02 UTC`.
    #[must_use]
    pub fn stamp(self) -> String {
        let minutes = self.0 / 60_000;
        format!("{:02}:{:02} UTC", minutes / 60 % 24, minutes % 60)
    }

    /// The time from `earlier` to here, zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }
}

/// From a number of milliseconds, or from a text such as `"10 s"`, `"5 min"`, `"2 h"` or `"250 ms"`.
impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Millis;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time such as \"10 s\", \"5 min\", \"2 h\" or \"250 ms\", or milliseconds")
            }

            fn visit_u64<E: de::Error>(self, milliseconds: u64) -> Result<Millis, E> {
                Ok(Millis(milliseconds))
            }

            fn visit_i64<E: de::Error>(self, milliseconds: i64) -> Result<Millis, E> {
                u64::try_from(milliseconds)
                    .map(Millis)
                    .map_err(|_| E::invalid_value(de::Unexpected::Signed(milliseconds), &self))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Millis, E> {
                let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
                let (number, unit) = text.split_at(split);
                let scale = match unit.trim() {
                    "ms" => 1,
                    "s" => 1_000,
                    "min" => 60_000,
                    "h" => 3_600_000,
                    _ => return Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                };
                let number: u64 =
                    number.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))?;
                number
                    .checked_mul(scale)
                    .map(Millis)
                    .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl Add for Millis {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Millis {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.since(other)
    }
}

impl fmt::Display for Millis {
    /// As a span, two units at most: `40 s`, `12 min`, `3 h 20 min`, `2 d 4 h`; below a second `350 ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1_000;
        let text = match seconds {
            0 if self.0 > 0 => format!("{} ms", self.0),
            0..60 => format!("{seconds} s"),
            60..3_600 if seconds.is_multiple_of(60) || seconds >= 600 => format!("{} min", seconds / 60),
            60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
            3_600..86_400 if seconds % 3_600 < 60 => format!("{} h", seconds / 3_600),
            3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
            _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_like_people_say_them() {
        let said = |ms| Millis(ms).to_string();
        assert_eq!(said(0), "0 s");
        assert_eq!(said(350), "350 ms");
        assert_eq!(said(40_000), "40 s");
        assert_eq!(said(90_000), "1 min 30 s");
        assert_eq!(said(720_000), "12 min");
        assert_eq!(said(12_000_000), "3 h 20 min");
        assert_eq!(said(187_200_000), "2 d 4 h");
        assert_eq!(Millis(187_200_000 + 125_000).stamp(), "04:02 UTC");
    }
}
