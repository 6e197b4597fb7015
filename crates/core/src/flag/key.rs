//! Flag keys: short, printable ASCII names, checked once on entry.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest flag key, in bytes.
const MAX_KEY: usize = 100;

/// The name of a flag: 1 to 100 ASCII letters, digits, `-`, `_`, `.` or `/`, beginning with a letter or digit.
///
/// Nothing that can move a cursor, hide text or look like another key can be in it. Keys are never reused, not even
/// after a flag is archived: reusing one woke *Power Peg* at Knight Capital.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FlagKey(Arc<str>);

/// Why a text is not a flag key.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// Nothing at all.
    #[error("a flag key cannot be empty")]
    Empty,
    /// Longer than 100 bytes.
    #[error("a flag key has at most {MAX_KEY} characters, this one has {0}")]
    TooLong(usize),
    /// A character that is not allowed, and where.
    #[error(
        "a flag key has ASCII letters, digits, '-', '_', '.' and '/', and begins with a letter or digit; found {found:?} at character {at}"
    )]
    Character {
        /// The offending character.
        found: char,
        /// Its position, from 1.
        at: usize,
    },
}

impl FlagKey {
    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FlagKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        for (index, found) in text.chars().enumerate() {
            let inner = matches!(found, '-' | '_' | '.' | '/') && index > 0;
            if !found.is_ascii_alphanumeric() && !inner {
                return Err(KeyError::Character { found, at: index + 1 });
            }
        }
        if text.len() > MAX_KEY {
            return Err(KeyError::TooLong(text.len()));
        }
        Ok(Self(text.into()))
    }
}

impl TryFrom<String> for FlagKey {
    type Error = KeyError;

    fn try_from(text: String) -> Result<Self, KeyError> {
        text.parse()
    }
}

impl From<FlagKey> for String {
    fn from(key: FlagKey) -> Self {
        key.0.as_ref().to_owned()
    }
}

impl fmt::Display for FlagKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for FlagKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_keys_are_refused_with_the_place() {
        assert_eq!("".parse::<FlagKey>(), Err(KeyError::Empty));
        assert_eq!("a\u{1b}[2J".parse::<FlagKey>(), Err(KeyError::Character { found: '\u{1b}', at: 2 }));
        assert_eq!(
            "pay\u{202e}lla".parse::<FlagKey>(),
            Err(KeyError::Character { found: '\u{202e}', at: 4 })
        );
        assert_eq!("-rf".parse::<FlagKey>(), Err(KeyError::Character { found: '-', at: 1 }));
        assert_eq!("x".repeat(101).parse::<FlagKey>(), Err(KeyError::TooLong(101)));
        assert!("use-new-postgres-index".parse::<FlagKey>().is_ok());
    }
}
