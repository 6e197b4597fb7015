//! Recordings as an environment for the judge: the truth of what is spliced in, and what policies cost on it.

use knightwatch_agent::PolicyName;
use knightwatch_core::{
    control::ControlConfig,
    flag::{FlagId, Rollout},
    telemetry::{Arm, Feed, Millis},
};
use knightwatch_lab::recording::Playback;
use knightwatch_sim::{Cost, Environment, Episode, Limit};

use super::{NAB, NEZHA, PETSHOP, recorded};

/// With every time stretched as the interval is.
fn stretched(interval: Millis) -> ControlConfig {
    let mut config = ControlConfig { interval, ..ControlConfig::default() };
    let usual = ControlConfig::default().interval.0;
    for time in [
        &mut config.evidence.warmup,
        &mut config.shield.dwell,
        &mut config.shield.cooldown,
        &mut config.shield.reversal_window,
        &mut config.shield.stale_after,
        &mut config.shield.lost_deadline,
        &mut config.shield.exposure.window,
    ] {
        *time = Millis(time.0 * interval.0 / usual);
    }
    config
}

#[test]
fn the_truth_is_what_samples_are_drawn_from() {
    for name in [NEZHA, PETSHOP] {
        let recording = recorded(name);
        let half = vec![Rollout::from_percent(50.0).unwrap(); recording.specs().len()];
        let (mut playback, mut feed) = (Playback::new(recording.clone(), 3), Feed::default());
        let (mut expected, mut counted) = (vec![0.0; half.len()], vec![[0.0; 2]; half.len()]);
        while !playback.done() {
            playback.step(&half, &mut feed);
            for (truth, sum) in playback.truths().iter().zip(&mut expected) {
                *sum += truth.requests * 0.5 * truth.error_rate_treatment;
            }
            for sample in &feed.samples {
                counted[sample.flag.index()][usize::from(sample.arm == Arm::Treatment)] +=
                    f64::from(sample.errors);
            }
        }
        for (index, (expected, [_, treatment])) in expected.into_iter().zip(counted).enumerate() {
            let noise = 6.0 * (expected + 1.0_f64).sqrt();
            assert!((expected - treatment).abs() <= noise, "{name} {index}: {expected} {treatment}");
            let (id, truth) = (FlagId(u32::try_from(index).unwrap()), playback.truths()[index]);
            assert_eq!(truth.harmful, recording.faulty(id));
            assert!(truth.harmful || truth.total_bad_requests.abs() < 1e-9, "{name} {index}: {truth:?}");
        }
    }
}

#[test]
fn the_oracle_costs_least_and_harms_least_on_every_recording() {
    let cost = Cost::default();
    for name in [NEZHA, PETSHOP, NAB] {
        let recording = recorded(name);
        let config = stretched(recording.interval);
        let env = || Box::new(Playback::new(recording.clone(), 5));
        let oracle = Episode::run_limit_on(Limit::Oracle, &cost, env(), &config, |_| {});
        let sum = |episode: &Episode| {
            assert_eq!(episode.fault(), None);
            let flags = episode.flags.iter();
            flags.fold([0.0; 2], |[all, harm], flag| [all + flag.total_points(), harm + flag.harm])
        };
        let best = sum(&oracle);
        for flag in &oracle.flags {
            assert!(!flag.harmful || flag.rolled_back_at.is_some(), "{name}: {flag:?}");
        }
        for policy in [PolicyName::PPO_MASTER, PolicyName::RULE, PolicyName::SCHEDULE] {
            let run = || {
                let mut built = policy.build(5);
                Episode::run_on(&cost, env(), built.as_mut(), &config, |_| {})
            };
            let (first, second) = (run(), run());
            assert_eq!(first.journal, second.journal, "the same seed, the same life");
            let [all, harm] = sum(&first);
            assert!(all > best[0] && harm >= best[1], "{name}: {policy} {all} {harm}, the oracle {best:?}");
        }
    }
}
