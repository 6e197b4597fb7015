//! The survey: how the features lie, measured once before training and frozen. Knows nothing of what is learnt from them.

use super::{LearnError, Normaliser as Statistics, TrainingConfig, run::workers};
use knightwatch_agent::{FEATURE_COUNT, Normaliser};

/// The features' statistics, from worlds of full difficulty that are climbed at random; frozen from then on.
pub(super) fn survey(config: &TrainingConfig) -> Result<Normaliser, LearnError> {
    let mut statistics = Statistics::new(FEATURE_COUNT);
    let mut fault = None;
    let one = TrainingConfig { threads: 1, curriculum: 0.0, ..config.clone() };
    for worlds in &mut workers(&one) {
        worlds.survey(config.survey, |features| {
            if let Err(error) = statistics.take_in(features) {
                fault = Some(error);
            }
        });
    }
    if let Some(fault) = fault {
        return Err(fault);
    }
    let narrow = |values: &[f64]| {
        #[expect(clippy::cast_possible_truncation, reason = "statistics of single-precision features")]
        let narrowed: Vec<f32> = values.iter().map(|value| *value as f32).collect();
        narrowed
    };
    // Those that never vary stay as they are.
    let mut deviation = narrow(&statistics.deviation());
    for value in &mut deviation {
        if *value < 1e-3 {
            *value = 1.0;
        }
    }
    Ok(Normaliser { mean: narrow(statistics.mean()), deviation })
}
