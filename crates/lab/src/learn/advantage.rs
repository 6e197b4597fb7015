//! Generalised advantage estimation (Schulman et al. 2015, arXiv 1506.02438, equation 16), segment by segment, in plain
//! Rust: a loop over some thousand numbers that a tensor library would only slow down. Knows nothing of networks.

use super::{Rollout, Tail};

/// What the update needs to know of each step.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimates {
    /// M: how much better the action was than the critic thought.
    pub advantages: Vec<f32>,
    /// M: what the value should have been: advantage + value (TD(lambda)).
    pub returns: Vec<f32>,
}

/// Advantages and returns of a rollout.
///
/// `rewards` and `values` have one number a step, `bootstrap` one for each bootstrap row. With the temporal difference
/// `d_t = r_t + gamma V_{t+1} - V_t`, `A_t = d_t + gamma lambda A_{t+1}`, from the end of each segment backwards. After a
/// terminal step the value is 0; after a truncated or cut-off one it is the critic's.
#[must_use]
pub fn estimate(
    rollout: &Rollout,
    rewards: &[f32],
    values: &[f32],
    bootstrap: &[f32],
    gamma: f64,
    lambda: f64,
) -> Estimates {
    let mut advantages = vec![0.0; values.len()];
    let mut returns = vec![0.0; values.len()];
    for segment in &rollout.segments {
        let mut following = match segment.tail {
            Tail::Terminal => 0.0,
            Tail::Truncated(row) | Tail::CutOff(row) => f64::from(bootstrap[row]),
        };
        let mut advantage = 0.0;
        for step in (segment.start..segment.end).rev() {
            let value = f64::from(values[step]);
            let difference = f64::from(rewards[step]) + gamma * following - value;
            advantage = difference + gamma * lambda * advantage;
            advantages[step] = narrow(advantage);
            returns[step] = narrow(advantage + value);
            following = value;
        }
    }
    Estimates { advantages, returns }
}

/// How much of the returns' variance the values explain: 1 all, 0 none, below 0 worse than their mean. 0 where the
/// returns do not vary.
#[must_use]
pub fn explained_variance(values: &[f32], returns: &[f32]) -> f64 {
    let spread = variance(returns.iter().map(|v| f64::from(*v)));
    if spread <= 0.0 {
        return 0.0;
    }
    1.0 - variance(values.iter().zip(returns).map(|(v, r)| f64::from(*r) - f64::from(*v))) / spread
}

/// The variance of all that is given; 0 for nothing.
pub(super) fn variance(values: impl Iterator<Item = f64>) -> f64 {
    let (mut count, mut mean, mut square) = (0.0, 0.0, 0.0);
    for value in values {
        count += 1.0;
        let off = value - mean;
        mean += off / count;
        square += off * (value - mean);
    }
    if count > 0.0 { square / count } else { 0.0 }
}

#[expect(clippy::cast_possible_truncation, reason = "the network calculates in f32")]
fn narrow(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::Segment;

    fn rollout(segments: Vec<Segment>) -> Rollout {
        Rollout { segments, ..Rollout::default() }
    }

    fn close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < 1e-5, "{found:?} instead of {expected:?}");
        }
    }

    #[test]
    fn a_terminal_segment_bootstraps_from_nothing_and_others_from_the_critic() {
        let rollout = rollout(vec![
            Segment { start: 0, end: 2, lane: 0, tail: Tail::Terminal },
            Segment { start: 2, end: 3, lane: 0, tail: Tail::Truncated(1) },
            Segment { start: 3, end: 4, lane: 1, tail: Tail::CutOff(0) },
        ]);
        let found =
            estimate(&rollout, &[1.0, 2.0, 1.0, 1.0], &[0.5, 0.25, 3.0, 4.0], &[10.0, 20.0], 0.5, 0.5);
        // By hand: 2 - 0.25 = 1.75; 1 + 0.125 - 0.5 + 0.25 * 1.75 = 1.0625; 1 + 10 - 3; 1 + 5 - 4.
        close(&found.advantages, &[1.0625, 1.75, 8.0, 2.0]);
        close(&found.returns, &[1.5625, 2.0, 11.0, 6.0]);
    }

    #[test]
    fn with_lambda_1_the_return_is_the_discounted_sum_of_rewards() {
        let rollout = rollout(vec![Segment { start: 0, end: 3, lane: 0, tail: Tail::Terminal }]);
        let found = estimate(&rollout, &[1.0, 1.0, 1.0], &[7.0, -3.0, 2.0], &[], 0.9, 1.0);
        close(&found.returns, &[2.71, 1.9, 1.0]);
    }

    #[test]
    fn explained_variance_is_1_for_the_truth_and_0_for_a_constant() {
        let returns = [1.0, 2.0, 4.0];
        assert!((explained_variance(&returns, &returns) - 1.0).abs() < 1e-12);
        assert!(explained_variance(&[3.0; 3], &returns).abs() < 1e-12);
        assert!(explained_variance(&[1.0; 3], &[2.0; 3]).abs() < 1e-12);
    }
}
