//! Running statistics: the deviation of discounted returns that rewards are divided by, and the mean and deviation of
//! each feature. Both are part of a checkpoint. Knows nothing of networks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{LearnError, Rollout, Tail};

/// Divides rewards by the running deviation of discounted returns, as `VecNormalize` of `OpenAI`'s baselines does
/// (Engstrom et al. 2020, arXiv 2005.12729, detail 2). The statistics take in a whole rollout first and then scale all of
/// it alike; there each step is scaled by what was known at that step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RewardScaler {
    count: f64,
    mean: f64,
    square: f64,
    /// The discounted return so far of each lane whose episode was cut off.
    carried: BTreeMap<u32, f64>,
}

impl Default for RewardScaler {
    fn default() -> Self {
        // Variance 1 with next to no weight, as there.
        Self { count: 1e-4, mean: 0.0, square: 1e-4, carried: BTreeMap::new() }
    }
}

/// No scaled reward is larger than this.
const MAX: f64 = 10.0;

impl RewardScaler {
    /// What rewards are divided by.
    #[must_use]
    pub fn deviation(&self) -> f64 {
        (self.square / self.count + 1e-8).sqrt()
    }

    /// Takes in the rewards of `rollout` and gives them back scaled, within -10 and 10.
    pub fn scale(&mut self, rollout: &Rollout, gamma: f64) -> Vec<f32> {
        for segment in &rollout.segments {
            let mut sum = self.carried.remove(&segment.lane).unwrap_or(0.0);
            for reward in &rollout.rewards[segment.start..segment.end] {
                sum = sum * gamma + f64::from(*reward);
                self.count += 1.0;
                let off = sum - self.mean;
                self.mean += off / self.count;
                self.square += off * (sum - self.mean);
            }
            match segment.tail {
                Tail::Terminal | Tail::Truncated(_) => {}
                Tail::CutOff(_) => {
                    self.carried.insert(segment.lane, sum);
                }
            }
        }
        let deviation = self.deviation();
        rollout
            .rewards
            .iter()
            .map(|reward| narrow((f64::from(*reward) / deviation).clamp(-MAX, MAX)))
            .collect()
    }
}

/// Running mean and variance of each feature (Welford 1962), for bringing observations to mean 0 and deviation 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normaliser {
    count: f64,
    mean: Vec<f64>,
    square: Vec<f64>,
}

impl Normaliser {
    /// For `features` features, of which nothing is known yet: mean 0, deviation 1.
    #[must_use]
    pub fn new(features: usize) -> Self {
        Self { count: 0.0, mean: vec![0.0; features], square: vec![0.0; features] }
    }

    /// Takes in `rows`, row-major with one number for each feature.
    ///
    /// # Errors
    /// Where the number of values is no multiple of the number of features, or one is not finite; nothing is taken in.
    pub fn take_in(&mut self, rows: &[f32]) -> Result<(), LearnError> {
        let features = self.mean.len();
        if features == 0
            || !rows.len().is_multiple_of(features)
            || rows.iter().any(|value| !value.is_finite())
        {
            let found = rows.len();
            return Err(LearnError::Setting {
                key: "normaliser",
                detail: format!("expected rows of {features} finite values, found {found} values"),
            });
        }
        for row in rows.chunks_exact(features) {
            self.count += 1.0;
            for ((mean, square), value) in self.mean.iter_mut().zip(&mut self.square).zip(row) {
                let off = f64::from(*value) - *mean;
                *mean += off / self.count;
                *square += off * (f64::from(*value) - *mean);
            }
        }
        Ok(())
    }

    /// How many rows were taken in.
    #[must_use]
    pub fn count(&self) -> f64 {
        self.count
    }

    /// The mean of each feature.
    #[must_use]
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// The deviation of each feature; 1 where it has not varied, so that dividing by it is harmless.
    #[must_use]
    pub fn deviation(&self) -> Vec<f64> {
        self.square
            .iter()
            .map(|square| {
                let variance = if self.count > 0.0 { square / self.count } else { 0.0 };
                if variance > 1e-12 { variance.sqrt() } else { 1.0 }
            })
            .collect()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the network calculates in f32")]
fn narrow(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::Segment;

    fn rollout(rewards: Vec<f32>, tail: Tail) -> Rollout {
        let segments = vec![Segment { start: 0, end: rewards.len(), lane: 4, tail }];
        Rollout { rewards, segments, ..Rollout::default() }
    }

    #[test]
    fn scaled_rewards_do_not_depend_on_their_unit() {
        let rewards: Vec<f32> = (0_u16..500).map(|i| f32::from(i % 7) - 2.0).collect();
        let large: Vec<f32> = rewards.iter().map(|reward| reward * 1_000.0).collect();
        let one = RewardScaler::default().scale(&rollout(rewards, Tail::Terminal), 0.9);
        let other = RewardScaler::default().scale(&rollout(large, Tail::Terminal), 0.9);
        assert!(one.iter().zip(&other).all(|(a, b)| (a - b).abs() < 1e-3));
    }

    #[test]
    fn a_cut_off_return_continues_in_the_next_rollout() {
        let (mut cut, mut whole, mut ended) =
            (RewardScaler::default(), RewardScaler::default(), RewardScaler::default());
        whole.scale(&rollout(vec![1.0; 20], Tail::Terminal), 0.9);
        cut.scale(&rollout(vec![1.0; 10], Tail::CutOff(0)), 0.9);
        cut.scale(&rollout(vec![1.0; 10], Tail::Terminal), 0.9);
        ended.scale(&rollout(vec![1.0; 10], Tail::Truncated(0)), 0.9);
        ended.scale(&rollout(vec![1.0; 10], Tail::Terminal), 0.9);
        assert!((cut.deviation() - whole.deviation()).abs() < 1e-12);
        assert!((ended.deviation() - whole.deviation()).abs() > 1e-3, "a truncated one does not");
    }

    #[test]
    fn no_scaled_reward_is_larger_than_10() {
        let mut rewards = vec![0.0; 10_000];
        rewards[5_000] = -1e6;
        let scaled = RewardScaler::default().scale(&rollout(rewards, Tail::Terminal), 0.0);
        assert!((scaled[5_000] + 10.0).abs() < 1e-6);
    }

    #[test]
    fn a_normaliser_knows_mean_and_deviation_of_each_feature() {
        let mut normaliser = Normaliser::new(2);
        normaliser.take_in(&[1.0, 5.0, 3.0, 5.0]).unwrap();
        assert_eq!(normaliser.mean(), [2.0, 5.0]);
        assert_eq!(normaliser.deviation(), [1.0, 1.0], "the second has not varied");
        let fault = normaliser.take_in(&[1.0]).unwrap_err().to_string();
        assert!(fault.contains("rows of 2 finite values, found 1"), "{fault}");
    }
}
