//! Semantic versions as flagd's `sem_ver` compares them.
//!
//! Strict SemVer 2.0, or one or two numbers alone (`1`, `1.2`), with or without a leading `v`. Build metadata does not
//! count. Numbers above 2^53 are refused, as the JavaScript and Go implementations do in their ways.

use std::cmp::Ordering;

/// Largest number in a version: what a double holds exactly.
const MAX_NUMBER: u64 = (1 << 53) - 1;

/// Longest version, in bytes.
const MAX_LENGTH: usize = 256;

/// A parsed version, borrowing its pre-release part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version<'t> {
    pub(super) major: u64,
    pub(super) minor: u64,
    pub(super) patch: u64,
    pre_release: Option<&'t str>,
}

impl<'t> Version<'t> {
    /// Reads a version; `None` where it is not one.
    pub(super) fn parse(text: &'t str) -> Option<Self> {
        if text.len() > MAX_LENGTH {
            return None;
        }
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let (rest, build) = cut(text, '+');
        let (numbers, pre_release) = cut(rest, '-');
        let mut parts = numbers.split('.');
        let major = number(parts.next()?)?;
        let (minor, patch) = (parts.next(), parts.next());
        if parts.next().is_some() {
            return None;
        }
        // Only a full version may have what follows the numbers.
        if patch.is_none() && (pre_release.is_some() || build.is_some()) {
            return None;
        }
        if !build.is_none_or(|build| build.split('.').all(is_identifier)) {
            return None;
        }
        let ordered = |part: &str| is_identifier(part) && (!is_numeric(part) || number(part).is_some());
        if !pre_release.is_none_or(|text| text.split('.').all(ordered)) {
            return None;
        }
        let or_zero = |part: Option<&str>| part.map_or(Some(0), number);
        Some(Self { major, minor: or_zero(minor)?, patch: or_zero(patch)?, pre_release })
    }

    /// SemVer 2.0, section 11.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        let numbers = |version: &Self| (version.major, version.minor, version.patch);
        numbers(self).cmp(&numbers(other)).then_with(|| match (self.pre_release, other.pre_release) {
            (None, None) => Ordering::Equal,
            // What is before a release is below it.
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(a), Some(b)) => order_pre_release(a, b),
        })
    }
}

fn cut(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(before, after)| (before, Some(after)))
}

fn is_numeric(part: &str) -> bool {
    part.bytes().all(|b| b.is_ascii_digit())
}

fn is_identifier(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// A number without leading zeros.
fn number(part: &str) -> Option<u64> {
    let plain = !part.is_empty() && is_numeric(part) && (part == "0" || !part.starts_with('0'));
    plain.then(|| part.parse().ok()).flatten().filter(|number| *number <= MAX_NUMBER)
}

fn order_pre_release(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.split('.'), b.split('.'));
    loop {
        let order = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) => match (number(a), number(b)) {
                (Some(a), Some(b)) => a.cmp(&b),
                // Numbers are below words.
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => a.cmp(b),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_semver_orders_them() {
        // The chain of SemVer 2.0, section 11.4.
        let chain = [
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.1",
            "v1.2",
            "2",
        ];
        for (i, a) in chain.iter().enumerate() {
            for (j, b) in chain.iter().enumerate() {
                let (a, b) = (Version::parse(a).unwrap(), Version::parse(b).unwrap());
                assert_eq!(a.order(&b), i.cmp(&j), "{a:?} {b:?}");
            }
        }
        let same = |a, b| Version::parse(a).unwrap().order(&Version::parse(b).unwrap()) == Ordering::Equal;
        assert!(same("1.2.3+a", "V1.2.3+b.7"));
    }

    #[test]
    fn what_is_no_version_is_none() {
        for text in [
            "",
            "v",
            "1.",
            ".1",
            "1.2.3.4",
            "01.0.0",
            "1.2.x",
            "1.2-rc",
            "1+b",
            "1.0.0-",
            "1.0.0-01",
            "1.0.0-a..b",
            "myVersion_1",
            "9007199254740992",
            "vv1",
            " 1.0.0",
        ] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
        assert_eq!(Version::parse(&"1".repeat(300)), None);
    }
}
