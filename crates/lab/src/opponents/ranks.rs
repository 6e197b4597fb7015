//! The Mann-Whitney test's interval: by how much one sample lies above another, whatever the distribution.
//!
//! Hodges and Lehmann's estimate is the median of all differences between the two; the interval goes between two of them in
//! order, as many from each end as the test needs (Hollander and Wolfe, "Nonparametric Statistical Methods", 2nd
//! edition, section 4.3, with the large-sample approximation of the count).

use knightwatch_core::telemetry::normal_quantile;

/// Where a shift lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shift {
    /// Hodges and Lehmann's estimate.
    pub(super) estimate: f64,
    /// Lower end of the interval; minus infinity where there are too few values for one.
    pub(super) low: f64,
    /// Upper end of it.
    pub(super) high: f64,
}

/// By how much `of` lies above `than`, with an interval of this confidence; None where either is empty.
#[expect(clippy::cast_precision_loss, reason = "some dozens of values")]
pub(super) fn shift(of: &[f64], than: &[f64], confidence: f64) -> Option<Shift> {
    let mut differences: Vec<f64> =
        of.iter().flat_map(|one| than.iter().map(move |other| one - other)).collect();
    differences.sort_by(f64::total_cmp);
    let last = differences.len().checked_sub(1)?;
    let middle = |place: usize| differences[place.min(last)];
    let pairs = differences.len() as f64;
    let sd = libm::sqrt(pairs * (of.len() + than.len() + 1) as f64 / 12.0);
    let count = libm::round(pairs / 2.0 - normal_quantile(0.5 + confidence / 2.0) * sd);
    let (low, high) = if count < 1.0 {
        (f64::NEG_INFINITY, f64::INFINITY)
    } else {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to the length")]
        let count = count as usize;
        (middle(count - 1), middle(last + 1 - count))
    };
    Some(Shift { estimate: f64::midpoint(middle(last / 2), middle(last.div_ceil(2))), low, high })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_textbooks_example_comes_out() {
        // Hollander and Wolfe, table 4.1 and examples 4.3 and 4.4: permeability of the human chorioamnion.
        let at_term = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46];
        let earlier = [1.15, 0.88, 0.90, 0.74, 1.21];
        let shift = shift(&at_term, &earlier, 0.95).unwrap();
        assert!((shift.estimate - 0.305).abs() < 1e-9, "{shift:?}");
        assert!((shift.low + 0.15).abs() < 1e-9 && (shift.high - 0.76).abs() < 1e-9, "{shift:?}");
    }

    #[test]
    fn few_values_say_nothing_and_none_say_less() {
        let few = shift(&[1.0, 2.0], &[5.0], 0.98).unwrap();
        assert_eq!((few.low, few.estimate), (f64::NEG_INFINITY, -3.5));
        assert_eq!(shift(&[], &[1.0], 0.98), None);
    }
}
