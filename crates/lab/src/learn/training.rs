//! Settings of a training run: `config/training.toml` as shipped. Unknown keys and absurd values are errors with their
//! place. What PPO itself is set to is in its own table.

use serde::{Deserialize, Serialize};

use super::{LearnError, PpoConfig};

/// The settings as shipped, with comments.
pub const TRAINING: &str = include_str!("../../../../config/training.toml");

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainingConfig {
    /// Seed of the first weights, of the scenarios and of all chances in them.
    pub seed: u64,
    /// Longest training, in seconds.
    pub seconds: f64,
    /// Threads that run worlds; the same weights only with the same number of them.
    pub threads: usize,
    /// Worlds that each of them runs at a time.
    pub worlds: usize,
    /// Decisions between two updates, over all threads.
    pub steps_an_iteration: usize,
    /// Decisions by which the features' statistics are measured before training.
    pub survey: usize,
    /// Largest factor, and its inverse, by which harm is weighed otherwise than usual.
    pub harm_weights: f64,
    /// Share of the good flags that the agent itself may roll back in training: while it is more, a false rollback costs more
    /// than the judge says, up to 8 times; 1 for no such constraint.
    pub false_rollbacks: f64,
    /// What rewards are multiplied by, so that values are of order one.
    pub reward_scale: f64,
    /// Difficulty at the beginning, 0 to 1.
    pub easiest: f64,
    /// Part of the training over which difficulty rises to 1; 0 is full difficulty from the beginning.
    pub curriculum: f64,
    /// Scenarios of a validation.
    pub validation_worlds: u64,
    /// Decisions between two validations.
    pub validate_every: u64,
    /// Validations without a better one after which training ends.
    pub patience: u32,
    /// PPO's own settings.
    pub ppo: PpoConfig,
}

impl TrainingConfig {
    /// Reads settings and checks them. `place` says where the text is from.
    ///
    /// # Errors
    /// What is wrong, where, and what was expected.
    pub fn parse(text: &str, place: &str) -> Result<Self, LearnError> {
        let fault = |detail: String| LearnError::Settings { place: place.to_owned(), detail };
        let config: Self =
            toml::from_str(text).map_err(|error| fault(error.to_string().trim_end().to_owned()))?;
        config.check().map_err(|error| match error {
            LearnError::Setting { key, detail } => fault(format!("{key}: {detail}")),
            other => other,
        })?;
        Ok(config)
    }

    /// The settings as shipped.
    ///
    /// # Errors
    /// None, as a test shows.
    pub fn shipped() -> Result<Self, LearnError> {
        Self::parse(TRAINING, "config/training.toml")
    }

    /// What two trainings must have in common for the one to go on from the other's checkpoint, PPO's own settings apart:
    /// the features, and every setting but the budget.
    pub(super) fn scope(&self) -> String {
        let same = Self { seconds: 0.0, patience: 0, ppo: PpoConfig::default(), ..self.clone() };
        format!("features {}, settings {same:?}", knightwatch_agent::schema_hash())
    }

    /// What types alone cannot say: ranges.
    ///
    /// # Errors
    /// The key that is wrong, with what was expected and what was found.
    pub fn check(&self) -> Result<(), LearnError> {
        let between = |key: &'static str, value: f64, low: f64, high: f64| {
            let fine = (low..=high).contains(&value);
            let detail = || format!("expected {low} to {high}, found {value}");
            if fine { Ok(()) } else { Err(LearnError::Setting { key, detail: detail() }) }
        };
        #[expect(clippy::cast_precision_loss, reason = "only compared with small bounds")]
        let whole = |key: &'static str, value: u64, low: u64, high: u64| {
            between(key, value as f64, low as f64, high as f64)
        };
        // The seed stands above the scenario's number.
        whole("seed", self.seed, 0, (1 << 20) - 1)?;
        between("seconds", self.seconds, 1.0, 1e7)?;
        whole("threads", self.threads as u64, 1, 256)?;
        whole("worlds", self.worlds as u64, 1, 65_536)?;
        whole("steps_an_iteration", self.steps_an_iteration as u64, 64, 1 << 24)?;
        whole("survey", self.survey as u64, 1_000, 1 << 30)?;
        between("harm_weights", self.harm_weights, 1.0, 1_000.0)?;
        between("false_rollbacks", self.false_rollbacks, 1e-4, 1.0)?;
        between("reward_scale", self.reward_scale, 1e-6, 1e3)?;
        between("easiest", self.easiest, 0.0, 1.0)?;
        between("curriculum", self.curriculum, 0.0, 1.0)?;
        whole("validation_worlds", self.validation_worlds, 1, 100_000)?;
        whole("validate_every", self.validate_every, 1, u64::MAX >> 12)?;
        whole("patience", u64::from(self.patience), 1, 1 << 30)?;
        self.ppo.check()?;
        let wrong = |key: &'static str, detail: String| Err(LearnError::Setting { key, detail });
        if self.ppo.hidden != knightwatch_agent::HIDDEN {
            let (expected, found) = (knightwatch_agent::HIDDEN, self.ppo.hidden);
            return wrong(
                "hidden",
                format!("expected {expected}, as the product's network has, found {found}"),
            );
        }
        if self.ppo.gamma >= 1.0 {
            return wrong("gamma", format!("expected below 1, found {}", self.ppo.gamma));
        }
        if self.ppo.scale_rewards {
            return wrong(
                "scale_rewards",
                "expected false: reward_scale does it, and is known to the product".to_owned(),
            );
        }
        let least = 2 * self.threads * self.worlds;
        if self.steps_an_iteration < least {
            let found = self.steps_an_iteration;
            return wrong(
                "steps_an_iteration",
                format!("expected at least twice all worlds, {least}, found {found}"),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_settings_are_fit() {
        let shipped = TrainingConfig::shipped().unwrap();
        assert!(shipped.seconds <= 1_800.0, "half an hour is promised");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let fault = |from: &str, to: &str| {
            assert!(TRAINING.contains(from), "{from}");
            TrainingConfig::parse(&TRAINING.replacen(from, to, 1), "t.toml").unwrap_err().to_string()
        };
        assert!(fault("threads = 2", "threads = 0").contains("t.toml: threads: expected 1 to 256, found 0"));
        assert!(fault("worlds = ", "wurlds = ").contains("unknown field `wurlds`"));
        assert!(fault("gamma = 0.997", "gamma = 7").contains("gamma: expected 0 to 1, found 7"));
        assert!(fault("seed = 1", "seed = -1").contains("t.toml"));
    }
}
