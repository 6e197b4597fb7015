//! The hash chain: what an entry's hash covers, and what can be wrong with a chain. Pure; knows nothing of databases or
//! files, so that anyone can check it with `sha256sum`.

use std::{fmt, io, str::FromStr};

use serde::{Deserialize, Serialize, de};
use sha2::{Digest, Sha256};
use thiserror::Error;

use knightwatch_core::control::{Entry, Seq};

/// What the genesis hash covers before the session's description: a chain of another kind never matches.
const GENESIS: &str = "knightwatch journal 1\n";

/// A SHA-256 hash; as text 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash([u8; 32]);

impl Hash {
    /// The hash before the first entry: SHA-256 of `knightwatch journal 1`, a line feed, and the exact JSON text that
    /// describes the session.
    #[must_use]
    pub fn genesis(meta: &str) -> Self {
        Self(Sha256::new().chain_update(GENESIS).chain_update(meta).finalize().into())
    }

    /// The hash of an entry: SHA-256 of the hash before it *as 64 hexadecimal digits*, followed by the entry's exact JSON
    /// text. In a shell: `printf '%s%s' "$prev" "$json" | sha256sum`.
    #[must_use]
    pub fn link(prev: Self, json: &[u8]) -> Self {
        Self(Sha256::new().chain_update(prev.hex().as_bytes()).chain_update(json).finalize().into())
    }

    /// From 32 bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    const fn hex(&self) -> const_hex::Buffer<32> {
        const_hex::const_encode(&self.0)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.hex().as_str())
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not a hash or a head.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HeadError {
    /// Not a hash.
    #[error("a hash has 64 hexadecimal digits, found {0:?}")]
    Hash(String),
    /// Not a number and a hash.
    #[error("a head is SEQ:HASH, as in 42:9f86d0..., found {0:?}")]
    Head(String),
}

impl FromStr for Hash {
    type Err = HeadError;

    fn from_str(text: &str) -> Result<Self, HeadError> {
        // Exactly its digits: no prefix, which the decoder would take.
        let digits = Some(text).filter(|text| text.len() == 64);
        let bytes = digits.and_then(|text| const_hex::decode_to_array(text).ok());
        bytes.map(Self).ok_or_else(|| HeadError::Hash(text.chars().take(80).collect()))
    }
}

impl Serialize for Hash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The end of a chain: the last entry's number and hash; number 0 and the genesis hash while there is none.
/// As text `SEQ:HASH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The last entry's number.
    pub seq: Seq,
    /// Its hash.
    pub hash: Hash,
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.seq.0, self.hash)
    }
}

impl FromStr for Head {
    type Err = HeadError;

    fn from_str(text: &str) -> Result<Self, HeadError> {
        let wrong = || HeadError::Head(text.chars().take(100).collect());
        let (seq, hash) = text.trim().split_once(':').ok_or_else(wrong)?;
        let seq = seq.trim_start_matches('#').parse().map_err(|_| wrong())?;
        Ok(Self { seq: Seq(seq), hash: hash.parse()? })
    }
}

/// What is wrong with a journal, and at which entry first.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum ChainFault {
    /// The entry's text or hash is not what was written.
    #[error("entry {seq} was changed")]
    Changed {
        /// Which.
        seq: Seq,
    },
    /// A column beside the entry's text says something else than the text.
    #[error("entry {seq} was changed: its column {column} does not agree with its text")]
    Column {
        /// Which entry.
        seq: Seq,
        /// Which column.
        column: String,
    },
    /// The entry is gone, and later ones are there.
    #[error("entry {seq} is missing")]
    Missing {
        /// Which.
        seq: Seq,
    },
    /// The entry was not written by this journal.
    #[error("entry {seq} was inserted")]
    Inserted {
        /// Which.
        seq: Seq,
    },
    /// Entries are not in the order in which they were written.
    #[error("entry {seq} is not in its place: entries were reordered")]
    Reordered {
        /// The first place that holds another entry.
        seq: Seq,
    },
    /// The description of the session is not the one that the chain began with.
    #[error("the description of the session was changed, or entry #1 was replaced")]
    Genesis,
    /// The journal ends before the head that was recorded elsewhere.
    #[error(
        "the tail was cut: entry {first} is missing, the last one is {last}, the head recorded in {place} is {recorded}"
    )]
    Cut {
        /// The first entry that is missing.
        first: Seq,
        /// The last one that is there.
        last: Seq,
        /// The recorded head's number.
        recorded: Seq,
        /// Where it was recorded.
        place: String,
    },
    /// The chain is whole, but it is not the one whose head was recorded.
    #[error("the journal was rewritten: entry {seq} is not the one whose hash is recorded in {place}")]
    Rewritten {
        /// The recorded head's number.
        seq: Seq,
        /// Where it was recorded.
        place: String,
    },
    /// The file with the second head cannot be read.
    #[error("the recorded head in {place} is damaged: {detail}; move that file away to continue without it")]
    HeadFile {
        /// Which file.
        place: String,
        /// What was found.
        detail: String,
    },
}

/// The exact text of an entry that is hashed and stored: one line of JSON in pure ASCII. Whatever is in a reason or a
/// name, no byte of it can drive a terminal, also not when the file is read with other tools.
pub(super) fn canonical<T: Serialize>(value: &T) -> serde_json::Result<String> {
    let mut bytes = Vec::with_capacity(512);
    value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, Ascii))?;
    // Pure ASCII by construction; a lossy conversion of it changes nothing.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Writes JSON with every character outside printable ASCII as `\uXXXX`.
struct Ascii;

impl serde_json::ser::Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(|c: char| !matches!(c, ' '..='~')) {
            writer.write_all(&rest.as_bytes()[..at])?;
            let mut after = rest[at..].chars();
            if let Some(c) = after.next() {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
            rest = after.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

/// The entry's text, checked to be readable again: a number that is not finite would be written as `null`.
pub(super) fn entry_text(entry: &Entry) -> Result<String, String> {
    let text = canonical(entry).map_err(|error| error.to_string())?;
    match serde_json::from_str::<Entry>(&text) {
        Ok(_) => Ok(text),
        Err(error) => Err(format!("it could not be read again ({error}); is a number in it not finite?")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_hash_is_the_published_sha256_of_hex_and_text() {
        // printf 'knightwatch journal 1\n{}' | sha256sum
        let genesis = Hash::genesis("{}");
        assert_eq!(genesis.to_string(), "fad96590d2264c4517da0758ec102a171f51d4fd24add9c56962efcc23fb8bcf");
        // printf '%s%s' "$genesis" '{"seq":1}' | sha256sum
        assert_eq!(
            Hash::link(genesis, br#"{"seq":1}"#).to_string(),
            "84a74d2ccc41fbdd5190e0d25d272320fc3153b05d771d5bbd18539f94f3f515"
        );
    }

    #[test]
    fn heads_are_read_as_they_are_printed() {
        let head = Head { seq: Seq(42), hash: Hash::genesis("x") };
        assert_eq!(head.to_string().parse(), Ok(head));
        assert!(matches!("42".parse::<Head>(), Err(HeadError::Head(_))));
        assert!(matches!("42:zz".parse::<Head>(), Err(HeadError::Hash(_))));
        assert!(matches!("é".repeat(32).parse::<Hash>(), Err(HeadError::Hash(_))));
    }

    proptest! {
        #[test]
        fn canonical_text_is_printable_ascii_and_loses_nothing(text in "\\PC*|.*|[\u{0}-\u{a0}\u{202e}\u{1f600}]*") {
            let json = canonical(&text).unwrap();
            prop_assert!(json.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{json}");
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
