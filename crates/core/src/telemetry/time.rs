//! Controller time: milliseconds since the Unix epoch, as an argument, never read from a clock in the core.

use std::{
    fmt,
    ops::{Add, Sub},
};

use jiff::{SpanRelativeTo, Timestamp, Unit, fmt::friendly::SpanParser};
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

    /// As a moment of the calendar; `None` beyond the year 9999.
    #[must_use]
    pub fn timestamp(self) -> Option<Timestamp> {
        i64::try_from(self.0).ok().and_then(|milliseconds| Timestamp::from_millisecond(milliseconds).ok())
    }

    /// The time from `earlier` to here, zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }
}

/// The milliseconds of a duration in jiff's friendly format, such as `1 h 30 min`, `250 ms`, `3 d` or `-45 s`; `None` where the
/// text is none. A day has 24 hours.
#[must_use]
pub fn parse_duration(text: &str) -> Option<i64> {
    const PARSER: SpanParser = SpanParser::new();
    let text = text.trim();
    let days = || PARSER.parse_span(text)?.to_duration(SpanRelativeTo::days_are_24_hours());
    // A span knows days but has narrower limits than a duration.
    let duration = PARSER.parse_duration(text).or_else(|_| days()).ok()?;
    i64::try_from(duration.round(Unit::Millisecond).ok()?.as_millis()).ok()
}

/// From a number of milliseconds, or from a text such as `"10 s"`, `"5 min"`, `"1 h 30 min"` or `"250 ms"`.
impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = Millis;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a time such as \"10 s\", \"5 min\", \"1 h 30 min\" or \"250 ms\", or milliseconds",
                )
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
                let milliseconds =
                    parse_duration(text).and_then(|milliseconds| u64::try_from(milliseconds).ok());
                milliseconds.map(Millis).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
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

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, milliseconds) in [
            ("90 s", 90_000),
            ("90s", 90_000),
            ("15   min", 900_000),
            ("1 h 30 min", 5_400_000),
            ("1.5min", 90_000),
            ("5 m", 300_000),
            ("-1 h", -3_600_000),
            ("250 ms", 250),
            ("3 d", 259_200_000),
            ("7 d 0 h", 604_800_000),
            (" 2 h ", 7_200_000),
            ("999999999 h", 3_599_999_996_400_000),
        ] {
            assert_eq!(parse_duration(text), Some(milliseconds), "{text}");
        }
        for wrong in [
            "",
            "-",
            "5",
            "s",
            "5 s 3",
            "1e9 s",
            "1..2 s",
            "five s",
            "5 s;",
            "1 mo",
            "99999999999999999999 h",
        ] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_printed_is_read_back() {
        for ms in [0, 350, 40_000, 90_000, 720_000, 12_000_000, 187_200_000] {
            assert_eq!(parse_duration(&Millis(ms).to_string()), i64::try_from(ms).ok());
        }
    }

    #[test]
    fn a_time_is_a_text_or_milliseconds_and_not_negative() {
        let read = |json: &str| serde_json::from_str::<Millis>(json).map_err(|error| error.to_string());
        assert_eq!(read("250"), Ok(Millis(250)));
        assert_eq!(read("\"1 h 30 min\""), Ok(Millis(5_400_000)));
        assert!(read("-1").unwrap_err().contains("expected a time such as"));
        assert!(read("\"-1 s\"").unwrap_err().contains("expected a time such as"));
        assert!(read("1.5").unwrap_err().contains("expected a time such as"));
    }

    #[test]
    fn a_moment_is_a_timestamp_of_the_calendar() {
        assert_eq!(Millis(1_772_442_000_000).timestamp().unwrap().to_string(), "2026-03-02T09:00:00Z");
        assert_eq!(Millis(u64::MAX).timestamp(), None);
    }
}
