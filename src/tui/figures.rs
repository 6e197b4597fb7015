//! Numbers and times as people read them.
//!
//! A missing value is a dash, never 0. Two significant digits: a P99 read from a histogram is no more exact than
//! that, and a digit that only flickers costs bytes on a slow link.

pub(super) use knightwatch_core::control::grouped;
use knightwatch_core::telemetry::Millis;

/// What stands for a value that is not there.
pub(super) const NONE: &str = "–";

/// Milliseconds, two significant digits, without the unit.
pub(super) fn milliseconds(value: Option<f64>) -> String {
    value.filter(|value| value.is_finite()).map_or_else(|| NONE.to_owned(), two_digits)
}

/// The same in at most four columns: from ten seconds on in seconds, with their unit.
pub(super) fn milliseconds_short(value: Option<f64>) -> String {
    match value.filter(|value| value.is_finite()) {
        Some(value) if value >= 9_950.0 => format!("{:.0} s", value / 1_000.0),
        value => milliseconds(value),
    }
}

/// A share from 0 to 1 as percent, two significant digits, without the sign.
pub(super) fn percent(share: Option<f64>) -> String {
    match share.filter(|share| share.is_finite()) {
        None => NONE.to_owned(),
        Some(share) if share > 0.0 && share < 0.000_05 => "<.01".to_owned(),
        Some(share) => two_digits(share * 100.0),
    }
}

/// A share from 0 to 1 as percent for a row of the fleet: one decimal is what a few thousand requests can tell, two
/// only below 0.1 %.
pub(super) fn percent_short(share: Option<f64>) -> String {
    match share.filter(|share| share.is_finite()) {
        Some(share) if (0.000_95..0.099_5).contains(&share) => format!("{:.1}", share * 100.0),
        share => percent(share),
    }
}

/// Percentage points with their sign.
pub(super) fn points(share: f64) -> String {
    format!("{:+.2}", share * 100.0)
}

/// Two significant digits, at most two behind the point.
fn two_digits(value: f64) -> String {
    let size = value.abs();
    if size < 0.995 {
        if size < 0.005 { "0".to_owned() } else { format!("{value:.2}") }
    } else if size < 9.95 {
        format!("{value:.1}")
    } else if size < 99.5 {
        format!("{value:.0}")
    } else {
        let step = libm::pow(10.0, libm::floor(libm::log10(size)) - 1.0);
        format!("{:.0}", libm::round(value / step) * step)
    }
}

/// How long ago, in one unit.
pub(super) fn ago(now: Millis, at: Millis) -> String {
    coarse(now.since(at))
}

/// A span in one unit: it changes seldom, and the exact time is on the flag's screen.
pub(super) fn coarse(span: Millis) -> String {
    let minutes = span.0 / 60_000;
    match minutes {
        0 => "<1 min".to_owned(),
        1..60 => format!("{minutes} min"),
        60..1_440 => format!("{} h", minutes / 60),
        _ => format!("{} d", minutes / 1_440),
    }
}

/// A span in one unit and at most three columns, where there is room for no more.
pub(super) fn short(span: Millis) -> String {
    let minutes = span.0 / 60_000;
    match minutes {
        0 => "<1m".to_owned(),
        1..60 => format!("{minutes}m"),
        60..1_440 => format!("{}h", minutes / 60),
        _ => format!("{}d", minutes / 1_440),
    }
}

/// The time of day in UTC, `16:04:12`.
pub(super) fn clock(at: Millis) -> String {
    at.timestamp().map_or_else(|| NONE.to_owned(), |stamp| stamp.strftime("%H:%M:%S").to_string())
}

/// Day and time of day in UTC, `2026-03-06 16:04:12`.
pub(super) fn day_and_clock(at: Millis) -> String {
    at.timestamp().map_or_else(|| NONE.to_owned(), |stamp| stamp.strftime("%Y-%m-%d %H:%M:%S").to_string())
}
