//! The learner on the problem that everybody knows: what solves `CartPole` as fast as this is PPO.
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, reason = "a test")]

use knightwatch_lab::learn::{
    LearnError, PpoConfig,
    cartpole::{Preset, Settings, solve},
};

/// In steps of all carts together.
const BOUND: u64 = 300_000;

#[test]
fn cartpole_is_solved_with_five_seeds_of_five() {
    let settings = Settings::preset(Preset::Fast);
    for seed in 0..5 {
        let report = solve(&settings, seed).unwrap();
        assert!(report.solved_at_step.is_some_and(|step| step <= BOUND), "{report:?}");
        assert!(report.average >= 475.0, "{report:?}");
    }
}

#[test]
fn a_learner_that_does_not_learn_does_not_solve_it() {
    let mut settings = Settings::preset(Preset::Fast);
    settings.ppo = PpoConfig { learning_rate: 1e-8, total_steps: 20_000, ..settings.ppo };
    let report = solve(&settings, 0).unwrap();
    assert_eq!(report.solved_at_step, None);
    assert!(report.average < 100.0, "{report:?}");
}

#[test]
fn the_same_seed_takes_the_same_steps() {
    let mut settings = Settings::preset(Preset::Fast);
    settings.ppo.total_steps = 20_000;
    let run = || {
        let report = solve(&settings, 4).unwrap();
        (report.steps, report.episodes, report.average.to_bits())
    };
    assert_eq!(run(), run());
}

#[test]
fn wrong_settings_are_refused_before_anything_is_learnt() {
    let mut settings = Settings::preset(Preset::Fast);
    settings.environments = 0;
    let fault = solve(&settings, 0).unwrap_err();
    assert!(matches!(fault, LearnError::Setting { key: "environments", .. }), "{fault}");
}
