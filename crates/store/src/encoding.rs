//! The bytes in which the telemetry of one tick is kept: small, because most buckets are empty and most samples of a
//! tick share their interval. Pure; knows nothing of databases.
//!
//! Format 1: the byte 1; the number of samples; then each sample as
//! - a byte of marks: 1 treatment, 2 assumed, 4 interval as the sample before,
//! - the flag's number as the difference to the sample before (signed),
//! - unless mark 4: start as the difference to the sample before (signed), span,
//! - requests, errors,
//! - 8 bytes, least significant first, with a bit for each bucket that is not empty, and the counts of those.
//!
//! Numbers are LEB128 variable-length integers, signed ones folded (0, -1, 1, -2, ...) first.

use thiserror::Error;

use knightwatch_core::{
    flag::FlagId,
    telemetry::{Arm, BUCKET_COUNT, Histogram, Millis, Sample},
};

const FORMAT: u8 = 1;

const TREATMENT: u8 = 1;
const ASSUMED: u8 = 2;
const SAME_INTERVAL: u8 = 4;

/// The bucket bits fill these bytes exactly.
const BUCKET_BYTES: usize = BUCKET_COUNT / 8;

/// Bytes set aside per sample before writing; a usual sample takes less.
const TYPICAL_BYTES: usize = 64;

/// Why bytes are not the telemetry of a tick.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Another format.
    #[error("expected telemetry format {FORMAT}, found {0}")]
    Format(u8),
    /// The end came too early.
    #[error("cut off at byte {0}")]
    Cut(usize),
    /// Something that cannot be.
    #[error("at byte {at}: {found}")]
    Wrong {
        /// Where, from 0.
        at: usize,
        /// What was found and expected.
        found: &'static str,
    },
}

/// The samples as bytes, in the given order.
#[must_use]
pub fn encode(samples: &[Sample]) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 + samples.len() * TYPICAL_BYTES);
    out.push(FORMAT);
    unsigned(&mut out, samples.len() as u64);
    let (mut flag, mut start, mut span) = (0_i64, 0_u64, 0_u64);
    for sample in samples {
        let same = sample.start.0 == start && sample.span.0 == span;
        let mut marks = if sample.arm == Arm::Treatment { TREATMENT } else { 0 };
        marks |= if sample.assumed { ASSUMED } else { 0 };
        marks |= if same { SAME_INTERVAL } else { 0 };
        out.push(marks);
        signed(&mut out, i64::from(sample.flag.0) - flag);
        if !same {
            // Wrapping both ways loses nothing, whatever the times are.
            signed(&mut out, sample.start.0.wrapping_sub(start).cast_signed());
            unsigned(&mut out, sample.span.0);
        }
        unsigned(&mut out, u64::from(sample.requests));
        unsigned(&mut out, u64::from(sample.errors));
        buckets(&mut out, &sample.latency);
        (flag, start, span) = (i64::from(sample.flag.0), sample.start.0, sample.span.0);
    }
    out
}

fn buckets(out: &mut Vec<u8>, latency: &Histogram) {
    let at = out.len();
    out.extend([0; BUCKET_BYTES]);
    for (index, count) in latency.counts().iter().enumerate() {
        if *count > 0 {
            out[at + index / 8] |= 1 << (index % 8);
            unsigned(out, u64::from(*count));
        }
    }
}

fn unsigned(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

fn signed(out: &mut Vec<u8>, number: i64) {
    unsigned(out, ((number << 1) ^ (number >> 63)).cast_unsigned());
}

/// The samples in `bytes`.
///
/// # Errors
/// When they are cut off, of another format, or say what cannot be; with the place. Never panics, and never sets more
/// aside than the bytes can hold.
pub fn decode(bytes: &[u8]) -> Result<Vec<Sample>, DecodeError> {
    let mut input = Input { bytes, at: 0 };
    let format = input.byte()?;
    if format != FORMAT {
        return Err(DecodeError::Format(format));
    }
    let count = input.unsigned()?;
    let mut samples =
        Vec::with_capacity(usize::try_from(count).unwrap_or(usize::MAX).min(bytes.len() / BUCKET_BYTES));
    let (mut flag, mut start, mut span) = (0_i64, 0_u64, 0_u64);
    for _ in 0..count {
        let marks = input.byte()?;
        if marks > (TREATMENT | ASSUMED | SAME_INTERVAL) {
            return Err(input.wrong("unknown marks"));
        }
        flag = flag.wrapping_add(input.signed()?);
        let id = u32::try_from(flag).map_err(|_| input.wrong("a flag's number beyond 32 bits"))?;
        if marks & SAME_INTERVAL == 0 {
            start = start.wrapping_add(input.signed()?.cast_unsigned());
            span = input.unsigned()?;
        }
        let requests = input.count()?;
        let errors = input.count()?;
        if errors > requests {
            return Err(input.wrong("more errors than requests"));
        }
        samples.push(Sample {
            flag: FlagId(id),
            arm: if marks & TREATMENT == 0 { Arm::Control } else { Arm::Treatment },
            start: Millis(start),
            span: Millis(span),
            requests,
            errors,
            latency: input.buckets()?,
            assumed: marks & ASSUMED != 0,
        });
    }
    if input.at != bytes.len() {
        return Err(input.wrong("bytes after the last sample"));
    }
    Ok(samples)
}

/// What is read, and how far.
struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Input<'_> {
    fn byte(&mut self) -> Result<u8, DecodeError> {
        let byte = *self.bytes.get(self.at).ok_or(DecodeError::Cut(self.at))?;
        self.at += 1;
        Ok(byte)
    }

    fn unsigned(&mut self) -> Result<u64, DecodeError> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(self.wrong("a number beyond 64 bits"));
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(self.wrong("a number beyond 64 bits"))
    }

    fn signed(&mut self) -> Result<i64, DecodeError> {
        let folded = self.unsigned()?;
        Ok((folded >> 1).cast_signed() ^ -(folded & 1).cast_signed())
    }

    fn count(&mut self) -> Result<u32, DecodeError> {
        let number = self.unsigned()?;
        u32::try_from(number).map_err(|_| self.wrong("a count beyond 32 bits"))
    }

    fn buckets(&mut self) -> Result<Histogram, DecodeError> {
        let end = self.at + BUCKET_BYTES;
        let bits = self.bytes.get(self.at..end).ok_or(DecodeError::Cut(self.bytes.len()))?;
        self.at = end;
        let mut counts = [0; BUCKET_COUNT];
        for (index, count) in counts.iter_mut().enumerate() {
            if bits[index / 8] >> (index % 8) & 1 == 1 {
                *count = self.count()?;
            }
        }
        Ok(Histogram::from_counts(counts))
    }

    const fn wrong(&self, found: &'static str) -> DecodeError {
        DecodeError::Wrong { at: self.at, found }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn samples() -> impl Strategy<Value = Vec<Sample>> {
        let sample = (
            any::<u32>(),
            any::<bool>(),
            prop_oneof![any::<u64>(), Just(10_000)],
            prop_oneof![any::<u64>(), Just(10_000)],
            any::<u32>(),
            any::<u32>(),
            prop::collection::vec((0_usize..64, any::<u32>()), 0..64),
            any::<bool>(),
        );
        let sample = sample.prop_map(|(flag, treatment, start, span, a, b, counts, assumed)| {
            let mut latency = Histogram::default();
            for (index, count) in counts {
                latency.add_to_bucket(index, count);
            }
            Sample {
                flag: FlagId(flag),
                arm: if treatment { Arm::Treatment } else { Arm::Control },
                start: Millis(start),
                span: Millis(span),
                requests: a.max(b),
                errors: a.min(b),
                latency,
                assumed,
            }
        });
        prop::collection::vec(sample, 0..20)
    }

    #[test]
    fn wrong_bytes_are_told_with_their_place() {
        assert_eq!(decode(&[]), Err(DecodeError::Cut(0)));
        assert_eq!(decode(&[9]), Err(DecodeError::Format(9)));
        assert_eq!(
            decode(&[1, 0, 7]),
            Err(DecodeError::Wrong { at: 2, found: "bytes after the last sample" })
        );
        assert_eq!(decode(&[1, 1, 8]), Err(DecodeError::Wrong { at: 3, found: "unknown marks" }));
    }

    #[test]
    fn a_promised_million_samples_set_nothing_aside() {
        let mut bytes = vec![FORMAT];
        unsigned(&mut bytes, u64::MAX);
        assert_eq!(decode(&bytes), Err(DecodeError::Cut(bytes.len())));
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_decoded(samples in samples()) {
            prop_assert_eq!(decode(&encode(&samples)).unwrap(), samples);
        }

        #[test]
        fn any_cut_is_noticed(samples in samples(), cut in any::<prop::sample::Index>()) {
            let bytes = encode(&samples);
            prop_assert!(decode(&bytes[..cut.index(bytes.len())]).is_err());
        }

        #[test]
        fn no_bytes_make_it_panic(mut bytes in prop::collection::vec(any::<u8>(), 1..300)) {
            bytes[0] = FORMAT;
            let _ = decode(&bytes);
        }
    }
}
