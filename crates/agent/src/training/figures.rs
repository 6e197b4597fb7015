//! Numbers of a training as people read them: three significant digits, thousands and millions with a letter.
//!
//! Shared by the screen, the plain lines and the pictures, so that one value is written the same everywhere.

use super::as_f64;

/// Three significant digits; from ten thousand on with `k`, `M` or `G`; very small values with an exponent.
#[must_use]
pub fn compact(value: f64) -> String {
    const LARGE: [(f64, &str); 3] = [(1e9, " G"), (1e6, " M"), (1e4, " k")];
    if !value.is_finite() {
        return "–".to_owned();
    }
    let size = value.abs();
    if size != 0.0 && size < 0.001 {
        // 2.5e-4, without digits that say nothing.
        let text = format!("{value:.2e}");
        let Some((digits, exponent)) = text.split_once('e') else { return text };
        return format!("{}e{exponent}", digits.trim_end_matches('0').trim_end_matches('.'));
    }
    for (unit, letter) in LARGE {
        if size >= unit * 0.9995 {
            let unit = if letter == " k" { 1e3 } else { unit };
            return format!("{}{letter}", digits(value / unit));
        }
    }
    digits(value)
}

fn digits(value: f64) -> String {
    let size = value.abs();
    let text = match size {
        0.0 => return "0".to_owned(),
        size if size >= 99.95 => return format!("{value:.0}"),
        size if size >= 9.995 => format!("{value:.1}"),
        size if size >= 0.9995 => format!("{value:.2}"),
        size if size >= 0.099_95 => format!("{value:.3}"),
        _ => format!("{value:.4}"),
    };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A count, as [`compact`].
#[must_use]
pub fn count(count: u64) -> String {
    compact(as_f64(count))
}

/// A share from 0 to 1 in percent, with the sign.
#[must_use]
pub fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// A span with its unit: `42 s`, `12:04 min`, `1:02:03 h`.
#[must_use]
pub fn span(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "no training takes 10^11 years; what is negative or no number is 0"
    )]
    let seconds = seconds.max(0.0).round() as u64;
    let (hours, minutes, rest) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{rest} s"),
        (0, minutes) => format!("{minutes}:{rest:02} min"),
        (hours, minutes) => format!("{hours}:{minutes:02}:{rest:02} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_three_digits_and_no_more() {
        let expected = [
            (0.0, "0"),
            (-0.0, "0"),
            (-31.24, "-31.2"),
            (0.012_34, "0.0123"),
            (2.5e-4, "2.5e-4"),
            (3e-5, "3e-5"),
            (1.0, "1"),
            (1_234.0, "1234"),
            (51_234.0, "51.2 k"),
            (6_291_456.0, "6.29 M"),
            (f64::NAN, "–"),
        ];
        for (value, text) in expected {
            assert_eq!(compact(value), text);
        }
        assert_eq!(count(8_192), "8192");
    }

    #[test]
    fn spans_have_a_unit() {
        assert_eq!(
            [span(42.4), span(724.0), span(3_723.0), span(f64::NAN)].join(", "),
            "42 s, 12:04 min, 1:02:03 h, 0 s"
        );
    }
}
