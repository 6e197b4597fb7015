//! Every number that steers training, with its default, its range and where it comes from. TOML; unknown keys are errors.
//! Knows nothing of tensors or of where the steps come from.

use serde::{Deserialize, Serialize};

use super::LearnError;

/// Settings of PPO (Schulman et al. 2017, arXiv 1707.06347), with the defaults of `CleanRL`'s "37 implementation
/// details" where they do not depend on the task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PpoConfig {
    /// How many steps the whole training has: what every schedule runs over. 1 000 000.
    pub total_steps: u64,
    /// Adam's learning rate at the beginning. 3e-4.
    pub learning_rate: f64,
    /// How the learning rate goes on. Linear to 0.
    pub learning_rate_schedule: RateSchedule,
    /// What `adaptive` aims at: the mean KL divergence of an epoch, in nats. 0.01.
    pub desired_kl: f64,
    /// Discount a step. 0.99.
    pub gamma: f64,
    /// GAE's lambda (Schulman et al. 2015, arXiv 1506.02438). 0.95.
    pub lambda: f64,
    /// How far the probability ratio may leave 1. 0.2.
    pub clip: f64,
    /// How the clip goes on. Constant.
    pub clip_schedule: Schedule,
    /// How far a value may leave the one before the update; absent: as far as it likes. Absent: Andrychowicz et al. 2020
    /// (arXiv 2006.05990) found that it harms.
    pub value_clip: Option<f64>,
    /// The loss of the critic and of the readout. Mean square.
    pub value_loss: ValueLoss,
    /// Weight of the critic's loss. 0.5.
    pub value_coefficient: f64,
    /// Weight of the entropy at the beginning. 0.01.
    pub entropy: f64,
    /// Weight of the entropy at the end, reached linearly; absent: as at the beginning.
    pub entropy_end: Option<f64>,
    /// Passes over a rollout. 4.
    pub epochs: usize,
    /// Rows of a minibatch. A rollout is split into equal parts as near to this as they go. 2 048.
    pub minibatch: usize,
    /// Largest norm of the gradient. 0.5.
    pub max_gradient_norm: f64,
    /// Whether the actor's and the critic's gradients are clipped apart, so that a critic that has much to learn does not
    /// slow the actor down; otherwise as one, as the original code does. No.
    pub clip_apart: bool,
    /// Adam's epsilon. 1e-5, as in the original code, not Adam's own 1e-8.
    pub adam_epsilon: f64,
    /// Whether advantages are brought to mean 0 and deviation 1 in each minibatch. Yes.
    pub normalise_advantages: bool,
    /// How large an advantage may be, after they are normalised; absent: as large as it likes. Where single disasters that
    /// nobody could have seen coming outweigh thousands of steps, they drown what can be learnt. Absent.
    pub advantage_clip: Option<f64>,
    /// Mean KL divergence of an epoch, in nats, after which no more epochs follow; absent: all of them. Absent.
    pub target_kl: Option<f64>,
    /// Whether rewards are divided by the running deviation of discounted returns. No.
    pub scale_rewards: bool,
    /// Width of both hidden layers. 64.
    pub hidden: usize,
    /// Threads of libtorch, for the whole process. 1: same seed, same bits; and small matrices gain nothing from more.
    pub threads: usize,
}

/// How the learning rate goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RateSchedule {
    /// Stays.
    Constant,
    /// Falls to 0 at `total_steps`.
    Linear,
    /// After each epoch divided by 1.5 where its KL divergence was above twice `desired_kl`, multiplied by 1.5 where it
    /// was below half of it, within 1e-5 and 1e-2 (Rudin et al. 2022, `rsl_rl`; there after each minibatch, which would
    /// need a read-back in each).
    Adaptive,
}

/// How another setting goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// Stays.
    Constant,
    /// Falls to 0 at `total_steps`.
    Linear,
}

/// The loss of a value against its return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ValueLoss {
    /// Mean square, without a half.
    Mse,
    /// Huber with delta 1: half the square within 1, linear beyond. Single disasters pull less.
    Huber,
}

impl Default for PpoConfig {
    fn default() -> Self {
        Self {
            total_steps: 1_000_000,
            learning_rate: 3e-4,
            learning_rate_schedule: RateSchedule::Linear,
            desired_kl: 0.01,
            gamma: 0.99,
            lambda: 0.95,
            clip: 0.2,
            clip_schedule: Schedule::Constant,
            value_clip: None,
            value_loss: ValueLoss::Mse,
            value_coefficient: 0.5,
            entropy: 0.01,
            entropy_end: None,
            epochs: 4,
            minibatch: 2_048,
            max_gradient_norm: 0.5,
            clip_apart: false,
            adam_epsilon: 1e-5,
            normalise_advantages: true,
            advantage_clip: None,
            target_kl: None,
            scale_rewards: false,
            hidden: 64,
            threads: 1,
        }
    }
}

impl PpoConfig {
    /// Reads settings from TOML and checks them. `place` says where the text is from.
    ///
    /// # Errors
    /// What is wrong, where, and what was expected.
    pub fn parse(text: &str, place: &str) -> Result<Self, LearnError> {
        let config: Self = toml::from_str(text)
            .map_err(|error| LearnError::Settings { place: place.to_owned(), detail: error.to_string() })?;
        config.check().map_err(|error| match error {
            LearnError::Setting { key, detail } => {
                LearnError::Settings { place: place.to_owned(), detail: format!("{key}: {detail}") }
            }
            other => other,
        })?;
        Ok(config)
    }

    /// What types alone cannot say: ranges.
    ///
    /// # Errors
    /// The key that is wrong, with what was expected and what was found.
    pub fn check(&self) -> Result<(), LearnError> {
        let between = |key: &'static str, value: f64, low: f64, high: f64| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(LearnError::Setting { key, detail: format!("expected {low} to {high}, found {value}") })
            }
        };
        let whole = |key: &'static str, value: usize, low: usize, high: usize| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                Err(LearnError::Setting { key, detail: format!("expected {low} to {high}, found {value}") })
            }
        };
        if self.total_steps == 0 {
            let detail = "expected at least 1, found 0".to_owned();
            return Err(LearnError::Setting { key: "total_steps", detail });
        }
        between("learning_rate", self.learning_rate, 1e-8, 1.0)?;
        between("desired_kl", self.desired_kl, 1e-6, 1.0)?;
        between("gamma", self.gamma, 0.0, 1.0)?;
        between("lambda", self.lambda, 0.0, 1.0)?;
        between("clip", self.clip, 1e-3, 10.0)?;
        if let Some(clip) = self.value_clip {
            between("value_clip", clip, 1e-3, 1e6)?;
        }
        between("value_coefficient", self.value_coefficient, 0.0, 100.0)?;
        between("entropy", self.entropy, 0.0, 10.0)?;
        if let Some(entropy) = self.entropy_end {
            between("entropy_end", entropy, 0.0, 10.0)?;
        }
        whole("epochs", self.epochs, 1, 1_000)?;
        whole("minibatch", self.minibatch, 2, 1 << 24)?;
        between("max_gradient_norm", self.max_gradient_norm, 1e-6, 1e6)?;
        between("adam_epsilon", self.adam_epsilon, 1e-12, 1e-1)?;
        if let Some(most) = self.advantage_clip {
            between("advantage_clip", most, 0.1, 1e6)?;
        }
        if let Some(kl) = self.target_kl {
            between("target_kl", kl, 1e-6, 10.0)?;
        }
        whole("hidden", self.hidden, 1, 4_096)?;
        whole("threads", self.threads, 1, 256)
    }

    /// The clip, after the share `progress` (0 to 1) of the training.
    pub(super) fn clip_at(&self, progress: f64) -> f64 {
        match self.clip_schedule {
            Schedule::Constant => self.clip,
            // A clip of 0 would have no gradient but would still move the moments; it ends at a thousandth.
            Schedule::Linear => self.clip * (1.0 - progress).max(1e-3),
        }
    }

    /// The entropy's weight, after the share `progress` (0 to 1) of the training.
    pub(super) fn entropy_at(&self, progress: f64) -> f64 {
        self.entropy + (self.entropy_end.unwrap_or(self.entropy) - self.entropy) * progress
    }

    /// The learning rate, after the share `progress` (0 to 1) of the training; `adapted` is where KL has led it.
    pub(super) fn rate_at(&self, progress: f64, adapted: f64) -> f64 {
        match self.learning_rate_schedule {
            RateSchedule::Constant => self.learning_rate,
            RateSchedule::Linear => self.learning_rate * (1.0 - progress),
            RateSchedule::Adaptive => adapted,
        }
    }

    /// The next learning rate of `adaptive`, after an epoch with the mean divergence `kl`.
    pub(super) fn adapt(&self, rate: f64, kl: f64) -> f64 {
        /// How much at a time, and the ends: `rsl_rl`'s.
        const FACTOR: f64 = 1.5;
        const MIN: f64 = 1e-5;
        const MAX: f64 = 1e-2;
        if kl > 2.0 * self.desired_kl {
            (rate / FACTOR).max(MIN)
        } else if kl < 0.5 * self.desired_kl {
            (rate * FACTOR).min(MAX)
        } else {
            rate
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_setting_is_named_with_what_was_expected() {
        let fault = |text| PpoConfig::parse(text, "ppo.toml").unwrap_err().to_string();
        assert!(fault("gamma = 1.5").contains("ppo.toml: gamma: expected 0 to 1, found 1.5"));
        assert!(fault("gama = 0.9").contains("unknown field `gama`"));
        assert!(fault("learning_rate = nan").contains("learning_rate: expected 0.00000001 to 1, found NaN"));
        assert!(fault("minibatch = 1").contains("minibatch: expected 2"));
        assert!(fault("total_steps = 0").contains("total_steps: expected at least 1"));
    }

    #[test]
    fn every_setting_survives_toml() {
        let config = PpoConfig { target_kl: Some(0.02), value_clip: Some(0.2), ..PpoConfig::default() };
        let text = toml::to_string(&config).unwrap();
        assert_eq!(PpoConfig::parse(&text, "test").unwrap(), config);
    }

    #[test]
    fn schedules_run_from_the_setting_to_their_end() {
        let config = PpoConfig {
            clip_schedule: Schedule::Linear,
            entropy: 0.02,
            entropy_end: Some(0.0),
            ..PpoConfig::default()
        };
        assert!((config.rate_at(0.25, 1.0) - 0.75 * 3e-4).abs() < 1e-12);
        assert!((config.clip_at(0.5) - 0.1).abs() < 1e-12);
        assert!((config.entropy_at(0.75) - 0.005).abs() < 1e-12);
    }

    #[test]
    fn the_adaptive_rate_follows_the_divergence() {
        let config = PpoConfig::default();
        assert!(config.adapt(1e-3, 0.03) < 1e-3, "too far: slower");
        assert!(config.adapt(1e-3, 0.001) > 1e-3, "hardly anything: faster");
        assert!((config.adapt(1e-3, 0.01) - 1e-3).abs() < 1e-15, "as wanted");
        assert!(config.adapt(9e-3, 0.0) <= 1e-2);
    }
}
