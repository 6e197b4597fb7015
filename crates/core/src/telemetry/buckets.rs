//! Other systems' histograms: counts between edges of their own, made into latencies that our buckets can take.
//!
//! All requests of a bucket are put in its middle. Nothing is spread: a share beyond an edge is then exactly what was
//! counted, and what happens within a bucket is not made up.

/// Counts between ascending `edges` (milliseconds) as `(milliseconds, count)` pairs. There is one count more than edges: the
/// first is of what is below all of them, the last of what is above. `None` where they do not fit each other.
#[must_use]
pub fn at_middles(edges: &[f64], counts: &[f64]) -> Option<Vec<(f64, f64)>> {
    let ascending = edges.windows(2).all(|pair| pair[0] < pair[1]);
    let usable = edges.iter().all(|edge| edge.is_finite() && *edge >= 0.0);
    if counts.len() != edges.len() + 1 || edges.is_empty() || !ascending || !usable {
        return None;
    }
    let middle = |place: usize| match (place.checked_sub(1).map(|below| edges[below]), edges.get(place)) {
        (None, Some(first)) => first / 2.0,
        // From 0 on there is no geometric middle.
        (Some(below), Some(above)) if below > 0.0 => libm::sqrt(below * above),
        (Some(_), Some(above)) => above / 2.0,
        (Some(last), None) => last * std::f64::consts::SQRT_2,
        (None, None) => 0.0,
    };
    Some(counts.iter().enumerate().map(|(place, count)| (middle(place), *count)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::bucket_of;

    #[test]
    fn what_is_beyond_an_edge_stays_beyond_it() {
        let edges = [5.0, 10.0, 100.0, 1_000.0];
        let points = at_middles(&edges, &[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        for (place, edge) in edges.iter().enumerate() {
            let beyond: f64 =
                points.iter().filter(|(ms, _)| bucket_of(*ms) >= bucket_of(*edge)).map(|(_, n)| n).sum();
            let counted: f64 = [1.0, 2.0, 3.0, 4.0, 5.0][place + 1..].iter().sum();
            assert!((beyond - counted).abs() < 1e-9, "beyond {edge}: {beyond}, counted {counted}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert_eq!(at_middles(&[5.0], &[1.0]), None);
        assert_eq!(at_middles(&[], &[1.0]), None);
        assert_eq!(at_middles(&[5.0, 5.0], &[1.0; 3]), None);
        assert_eq!(at_middles(&[f64::NAN], &[1.0; 2]), None);
        assert_eq!(at_middles(&[-1.0], &[1.0; 2]), None);
        assert_eq!(at_middles(&[0.0, 8.0], &[0.0, 1.0, 0.0]).unwrap()[1], (4.0, 1.0));
    }
}
