//! A training log made by formula, to look at and to test with: nothing was trained.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::cast_precision_loss,
    reason = "shared by several tests; counts are small"
)]

use knightwatch_agent::training::{
    EndReason, Opponent, TRAINING_FORMAT, TrainingBudget, TrainingEnd, TrainingHeader, TrainingLine,
    TrainingLog, TrainingPoint, Validation,
};

/// Iterations of the whole log.
pub const ITERATIONS: u64 = 240;

/// What has to be said wherever this log is shown.
pub const NOTE: &str = "an example of the format, made by formula: nothing was trained";

pub fn header() -> TrainingHeader {
    let opponent = |name: &str, harm, cost| Opponent { name: name.to_owned(), harm, cost };
    let settings = serde_json::json!({
        "environments": 128, "horizon": 64, "minibatch": 1024, "epochs": 4, "gamma": 0.995, "lambda": 0.95,
        "clip": 0.2, "learning_rate": 0.0003, "target_kl": 0.02
    });
    TrainingHeader {
        format: TRAINING_FORMAT,
        when: "2026-11-22 14:05 UTC".to_owned(),
        seed: 7,
        schema: "9f31c0aa".to_owned(),
        network: vec![24, 64, 64, 7],
        settings: settings.as_object().cloned().unwrap_or_default(),
        budget: TrainingBudget { seconds: Some(600.0), steps: Some(4_000_000) },
        families: ["healthy", "error-step", "slow-leak", "power-peg"].map(str::to_owned).to_vec(),
        opponents: vec![
            opponent("rule", 4.1, 9.8),
            opponent("flagger", 7.3, 12.5),
            opponent("schedule", 31.0, 36.0),
        ],
        harm_unit: "cost units a flag".to_owned(),
        note: None,
    }
}

fn point(iteration: u64) -> TrainingPoint {
    let t = iteration as f64 / ITERATIONS as f64;
    // Noise of the same kind every time: a multiplicative hash.
    let noise = |salt: u64| ((iteration * 48_271 + salt * 7_919) * 69_623 % 1_009) as f64 / 1_009.0 - 0.5;
    let learned = 1.0 - (-5.0 * t).exp();
    let harm = 12.0 - 9.0 * learned + noise(9) * 0.8;
    let best = [10, 20, 40, 60, 90, 120, 160, 200].contains(&iteration);
    TrainingPoint {
        iteration,
        steps: iteration * 8_192,
        seconds: iteration as f64 * 1.6,
        reward: (iteration > 2).then(|| -38.0 + 31.0 * learned + noise(1) * 3.0),
        episode_length: (iteration > 2).then(|| 90.0 + 40.0 * learned + noise(2) * 8.0),
        entropy: Some(1.94 - 1.2 * learned + noise(3) * 0.05),
        approx_kl: Some(0.012 + 0.006 * noise(4)),
        clip_fraction: Some(0.11 + 0.05 * noise(5) - 0.05 * t),
        explained_variance: Some(-0.2 + 1.1 * learned + noise(6) * 0.05),
        value_loss: Some(5.0 * (-4.0 * t).exp() + 0.4 + 0.2 * noise(7)),
        policy_loss: Some(-0.012 + 0.004 * noise(8)),
        learning_rate: Some(3e-4 * (1.0 - t).max(0.05)),
        steps_per_second: Some(5_120.0 + 200.0 * noise(10)),
        difficulty: Some((t * 1.6).min(1.0)),
        validation: iteration.is_multiple_of(10).then_some(Validation {
            harm: if best { harm - 0.4 } else { harm },
            cost: harm + 5.5,
            minutes_to_full: Some(26.0 - 4.0 * learned),
            false_rollbacks_percent: Some(6.0 - 5.2 * learned),
            best_opponent_harm: Some(4.1),
            best,
        }),
    }
}

/// The log as it was after so many iterations; with its end where it is whole.
pub fn log(iterations: u64) -> TrainingLog {
    let mut log = TrainingLog::new(header());
    log.points = (1..=iterations.min(ITERATIONS)).map(point).collect();
    log.end = (iterations >= ITERATIONS).then(end);
    log
}

pub fn end() -> TrainingEnd {
    TrainingEnd { best_iteration: Some(200), reason: EndReason::EarlyStop, seconds: 384.0 }
}

pub fn line(iteration: u64) -> TrainingLine {
    TrainingLine::Point(point(iteration))
}
