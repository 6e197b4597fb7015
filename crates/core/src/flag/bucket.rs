//! Bucketing: where the hash puts a targeting key, and so who is in a rollout.
//!
//! Generation 2 of flagd's `fractional` hash, `(murmur3_x86_32(flagKey + targetingKey) * totalWeight) >> 32`, with a
//! total weight of 10 000 so that one bucket is one basis point. A targeting key's bucket never changes, and `on` is
//! given to the buckets below the rollout: raising a rollout therefore never moves anyone out.

use std::io::{Chain, Read};

use serde::{Deserialize, Serialize};

use super::{FlagKey, Rollout};

/// Number of buckets: one for each basis point.
pub const BUCKETS: u16 = 10_000;

/// What an application gets for a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Variant {
    /// The new code: treatment.
    On,
    /// The known-good code: control.
    Off,
}

/// The bucket, 0 to 9 999, in which `targeting_key` falls for flag `key`.
#[must_use]
pub fn bucket(key: &FlagKey, targeting_key: &str) -> u16 {
    let hash = hash(key.as_str().as_bytes(), targeting_key.as_bytes());
    // The product of a 32-bit hash and 10 000, shifted down by 32 bits, is below 10 000.
    #[expect(clippy::cast_possible_truncation, reason = "below 10 000 by construction")]
    let bucket = ((u64::from(hash) * u64::from(BUCKETS)) >> 32) as u16;
    bucket
}

/// The hash of two texts, one after the other: `murmur3_x86_32` with seed 0.
pub(super) fn hash(first: &[u8], second: &[u8]) -> u32 {
    let mut input: Chain<&[u8], &[u8]> = first.chain(second);
    // Reading from byte slices cannot fail; bucket 9 999 is the last to be switched on, so even then the answer is off.
    murmur3::murmur3_32(&mut input, 0).unwrap_or(u32::MAX)
}

/// The variant that `targeting_key` gets of a flag at `rollout`. A set kill latch means `off` for everybody.
#[must_use]
pub fn evaluate(key: &FlagKey, rollout: Rollout, latched: bool, targeting_key: &str) -> Variant {
    if !latched && bucket(key, targeting_key) < rollout.basis_points() { Variant::On } else { Variant::Off }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(text: &str) -> FlagKey {
        text.parse().unwrap()
    }

    #[test]
    fn the_hash_is_generation_two() {
        // (murmur3_x86_32("headerColor" + "user1") * 10000) >> 32, computed with Python's mmh3 5.2.
        for (flag, target, expected) in VECTORS {
            assert_eq!(bucket(&key(flag), target), *expected, "{flag} {target}");
        }
    }

    const VECTORS: &[(&str, &str, u16)] = &[
        ("headerColor", "user1", 8_454),
        ("new-checkout-ui", "u1", 5_536),
        ("new-checkout-ui", "42", 9_307),
        ("use-new-postgres-index", "job-7", 1_956),
        ("f", "", 1_695),
    ];

    #[test]
    fn buckets_are_uniform() {
        let mut tens = [0_u32; 10];
        let flag = key("new-checkout-ui");
        for user in 0..100_000 {
            tens[usize::from(bucket(&flag, &format!("user-{user}")) / 1_000)] += 1;
        }
        for share in tens {
            assert!((9_500..10_500).contains(&share), "{tens:?}");
        }
    }

    proptest! {
        #[test]
        fn raising_never_moves_anyone_out(user in ".{0,40}", low in 0_u16..=10_000, more in 0_u16..=10_000) {
            let flag = key("new-checkout-ui");
            let low = Rollout::from_basis_points(low).unwrap();
            let high = Rollout::from_basis_points(low.basis_points().saturating_add(more).min(10_000)).unwrap();
            if evaluate(&flag, low, false, &user) == Variant::On {
                prop_assert_eq!(evaluate(&flag, high, false, &user), Variant::On);
            }
            prop_assert_eq!(evaluate(&flag, high, true, &user), Variant::Off);
            prop_assert_eq!(evaluate(&flag, Rollout::ZERO, false, &user), Variant::Off);
            prop_assert_eq!(evaluate(&flag, Rollout::FULL, false, &user), Variant::On);
        }
    }
}
