//! An axis: where a value lies, and which values are written beside it.

/// From a value to a place in pixels, straight or by the logarithm.
pub(super) struct Axis {
    ends: (f64, f64),
    places: (f64, f64),
    is_log: bool,
}

/// Ends of a logarithmic axis that are so many times apart have few powers of ten between them.
const NARROW: f64 = 20.0;

impl Axis {
    /// Straight, from 0 or the least value to a little more than the largest.
    pub(super) fn straight(values: impl Iterator<Item = f64>, places: (f64, f64)) -> Self {
        let (low, high) = ends(values);
        let high = if high > low.min(0.0) { high } else { low.min(0.0) + 1.0 };
        Self { ends: (low.min(0.0), high + 0.03 * (high - low.min(0.0))), places, is_log: false }
    }

    /// By the logarithm, between powers of ten or halves of them; what is less than `least` lies there.
    pub(super) fn log(values: impl Iterator<Item = f64>, least: f64, places: (f64, f64)) -> Self {
        let (low, high) = ends(values.map(|value| value.max(least)));
        let half = |value: f64| 2.0 * libm::log10(value.max(least));
        let (from, to) = (libm::floor(half(low)), libm::ceil(half(high)));
        let to = if to > from { to } else { from + 1.0 };
        Self { ends: (libm::pow(10.0, from / 2.0), libm::pow(10.0, to / 2.0)), places, is_log: true }
    }

    /// Between given values, by the logarithm.
    pub(super) fn between(ends: (f64, f64), places: (f64, f64)) -> Self {
        Self { ends, places, is_log: true }
    }

    /// Where a value lies; what is beyond an end lies at it.
    pub(super) fn at(&self, value: f64) -> f64 {
        let scaled = |value: f64| if self.is_log { libm::log(value.max(1e-12)) } else { value };
        let (low, high) = (scaled(self.ends.0), scaled(self.ends.1));
        let part = ((scaled(value) - low) / (high - low)).clamp(0.0, 1.0);
        self.places.0 + part * (self.places.1 - self.places.0)
    }

    /// Round values between its ends: 1, 2, 5 times a power of ten, or by the logarithm powers of ten and what is three times
    /// one; more of them where the ends are near each other.
    pub(super) fn ticks(&self) -> Vec<f64> {
        if self.is_log {
            let steps: &[f64] =
                if self.ends.1 > NARROW * self.ends.0 { &[1.0, 3.0] } else { &[1.0, 2.0, 3.0, 5.0, 7.0] };
            let powers = (-6_i32..=9).flat_map(|power| {
                let ten = libm::pow(10.0, f64::from(power));
                steps.iter().map(move |step| step * ten)
            });
            let (low, high) = (self.ends.0 * 0.999, self.ends.1 * 1.001);
            return powers.filter(|value| (low..=high).contains(value)).collect();
        }
        let span = self.ends.1 - self.ends.0;
        let rough = libm::pow(10.0, libm::floor(libm::log10(span / 4.0)));
        let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * rough);
        let step = step.into_iter().find(|step| span / step <= 5.0).unwrap_or(span);
        let first = libm::ceil(self.ends.0 / step) * step;
        (0..8).map(|index| first + f64::from(index) * step).take_while(|tick| *tick <= self.ends.1).collect()
    }
}

fn ends(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    if low <= high { (low, high) } else { (1.0, 1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lies_between_the_ends_and_a_power_of_ten_is_as_wide_as_the_next() {
        let straight = Axis::straight([2.0, 10.0].into_iter(), (100.0, 203.0));
        assert!((straight.at(0.0) - 100.0).abs() < 1e-9 && (straight.at(10.0) - 200.0).abs() < 1e-9);
        assert_eq!(straight.ticks(), [0.0, 5.0, 10.0]);
        let log = Axis::log([1.0, 1_000.0].into_iter(), 0.1, (0.0, 300.0));
        assert!((log.at(10.0) - 100.0).abs() < 1e-9 && (log.at(0.0)).abs() < 1e-9);
        assert_eq!(log.ticks(), [1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0]);
        // Of nothing, or of one value, there is an axis all the same.
        for axis in
            [Axis::straight([].into_iter(), (0.0, 9.0)), Axis::log([7.0].into_iter(), 0.1, (0.0, 9.0))]
        {
            assert!((0.0..=9.0).contains(&axis.at(7.0)) && !axis.ticks().is_empty());
        }
    }
}
