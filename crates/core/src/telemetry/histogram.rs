//! Latency histograms: 64 fixed logarithmic buckets, four to every doubling, from 1 ms to 46 s.
//!
//! Fixed buckets merge by adding, cost 256 bytes, and need no configuration; a quantile read from one is exact to
//! within a factor of 2^(1/4) (19 %) and interpolated below that.

use serde::{Deserialize, Serialize, de};

/// Number of buckets. Bucket 0 is below 1 ms, bucket 63 from 2^15.5 ms (46 s) up.
pub const BUCKET_COUNT: usize = 64;

/// 2^(0/4), 2^(1/4), 2^(2/4), 2^(3/4), written out so that they are the same on every machine.
const QUARTER_POWERS: [f64; 4] =
    [1.0, 1.189_207_115_002_721, std::f64::consts::SQRT_2, 1.681_792_830_507_429];

/// The lower edge of bucket `index`, in milliseconds; 0 for bucket 0.
#[must_use]
pub fn lower_edge_ms(index: usize) -> f64 {
    match index.min(BUCKET_COUNT - 1) {
        0 => 0.0,
        // At most 2^15, which a u32 and an f64 hold exactly.
        index => QUARTER_POWERS[(index - 1) % 4] * f64::from(1_u32 << ((index - 1) / 4)),
    }
}

/// The bucket that a latency falls in. Negative and not-a-number fall in bucket 0; [`super::Reading`] refuses them.
#[must_use]
pub fn bucket_of(latency_ms: f64) -> usize {
    let (mut low, mut high) = (0, BUCKET_COUNT);
    while high - low > 1 {
        let middle = usize::midpoint(low, high);
        if latency_ms >= lower_edge_ms(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// Counts of requests by latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Histogram {
    counts: [u32; BUCKET_COUNT],
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [0; BUCKET_COUNT] }
    }
}

impl Histogram {
    /// From the counts of all 64 buckets.
    #[must_use]
    pub const fn from_counts(counts: [u32; BUCKET_COUNT]) -> Self {
        Self { counts }
    }

    /// The counts of all buckets.
    #[must_use]
    pub const fn counts(&self) -> &[u32; BUCKET_COUNT] {
        &self.counts
    }

    /// Counts `requests` more at `latency_ms`.
    pub fn record(&mut self, latency_ms: f64, requests: u32) {
        let count = &mut self.counts[bucket_of(latency_ms)];
        *count = count.saturating_add(requests);
    }

    /// Counts `requests` more in bucket `index` (clamped to the last bucket).
    pub fn add_to_bucket(&mut self, index: usize, requests: u32) {
        let count = &mut self.counts[index.min(BUCKET_COUNT - 1)];
        *count = count.saturating_add(requests);
    }

    /// Adds `other` bucket by bucket. A sample has at most half a billion requests, so that eight of them fit; the
    /// addition wraps rather than saturates because that is one instruction for four buckets, not a dozen.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine = mine.wrapping_add(*theirs);
        }
    }

    /// Takes away what was merged before.
    pub fn subtract(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine = mine.wrapping_sub(*theirs);
        }
    }

    /// All requests counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().map(|count| u64::from(*count)).sum()
    }

    /// Requests in bucket `edge` and above: those at least as slow as that bucket's lower edge.
    #[must_use]
    pub fn at_or_above(&self, edge: usize) -> u64 {
        self.counts[edge.min(BUCKET_COUNT)..].iter().map(|count| u64::from(*count)).sum()
    }

    /// The latency in milliseconds below which a share `p` (0 to 1) of the requests lies, interpolated on a logarithmic
    /// scale within its bucket; `None` when nothing was counted.
    #[must_use]
    pub fn quantile_ms(&self, p: f64) -> Option<f64> {
        self.quantile_of(self.total(), p)
    }

    /// [`Self::quantile_ms`], given the total. Counts down from the slowest: P99 is found after a few buckets.
    #[must_use]
    pub(super) fn quantile_of(&self, total: u64, p: f64) -> Option<f64> {
        if total == 0 {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        let beyond = (1.0 - p.clamp(0.0, 1.0)) * total as f64;
        let mut above = 0.0;
        let mut lowest = 0;
        for (index, count) in self.counts.iter().enumerate().rev() {
            let count = f64::from(*count);
            if count > 0.0 {
                if above + count >= beyond {
                    return Some(interpolate_ms(index, (1.0 - (beyond - above) / count).clamp(0.0, 1.0)));
                }
                above += count;
                lowest = index;
            }
        }
        // Only rounding can lead here: the very fastest.
        Some(interpolate_ms(lowest, 0.0))
    }
}

/// A latency within bucket `index`, a `fraction` (0 to 1) of the way up on a logarithmic scale.
fn interpolate_ms(index: usize, fraction: f64) -> f64 {
    if index == 0 {
        return fraction;
    }
    lower_edge_ms(index) * libm::exp2(fraction / 4.0)
}

/// As a list of `[bucket, count]` pairs without the empty ones: most are.
impl Serialize for Histogram {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.counts.iter().enumerate().filter(|(_, count)| **count > 0))
    }
}

impl<'de> Deserialize<'de> for Histogram {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut histogram = Self::default();
        for (index, count) in Vec::<(usize, u32)>::deserialize(deserializer)? {
            let slot = histogram.counts.get_mut(index).ok_or_else(|| {
                de::Error::custom(format!("a histogram has buckets 0 to {}, found {index}", BUCKET_COUNT - 1))
            })?;
            *slot = slot.saturating_add(count);
        }
        Ok(histogram)
    }
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::float_cmp,
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "exact powers of two, and small counts"
    )]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn edges_double_every_four_buckets() {
        assert_eq!(lower_edge_ms(1), 1.0);
        assert_eq!(lower_edge_ms(5), 2.0);
        assert_eq!(lower_edge_ms(61), 32_768.0);
        assert_eq!(bucket_of(0.3), 0);
        assert_eq!(bucket_of(1.0), 1);
        assert_eq!(bucket_of(1e9), BUCKET_COUNT - 1);
        assert_eq!(bucket_of(f64::NAN), 0);
    }

    #[test]
    fn an_empty_histogram_has_no_quantile() {
        assert_eq!(Histogram::default().quantile_ms(0.99), None);
    }

    proptest! {
        #[test]
        fn a_quantile_is_within_a_bucket_of_the_truth(mut values in prop::collection::vec(1.5_f64..40_000.0, 1..400)) {
            let mut histogram = Histogram::default();
            for value in &values {
                histogram.record(*value, 1);
            }
            values.sort_by(f64::total_cmp);
            let rank = (0.99 * values.len() as f64).ceil().max(1.0) as usize - 1;
            let found = histogram.quantile_ms(0.99).unwrap();
            prop_assert!(found / values[rank] < 1.2 && values[rank] / found < 1.2, "{found} for {}", values[rank]);
        }

        #[test]
        fn what_was_merged_can_be_taken_away(a in prop::array::uniform32(0_u32..1000), b in prop::array::uniform32(0_u32..1000)) {
            let spread = |half: [u32; 32]| { let mut all = [0; 64]; all[..32].copy_from_slice(&half); Histogram::from_counts(all) };
            let (a, b) = (spread(a), spread(b));
            let mut sum = a;
            sum.merge(&b);
            prop_assert_eq!(sum.total(), a.total() + b.total());
            sum.subtract(&b);
            prop_assert_eq!(sum, a);
        }

        #[test]
        fn json_keeps_every_count(counts in prop::collection::vec((0_usize..64, 1_u32..1000), 0..20)) {
            let mut histogram = Histogram::default();
            for (index, count) in counts { histogram.add_to_bucket(index, count); }
            let text = serde_json::to_string(&histogram).unwrap();
            prop_assert_eq!(serde_json::from_str::<Histogram>(&text).unwrap(), histogram);
        }
    }
}
