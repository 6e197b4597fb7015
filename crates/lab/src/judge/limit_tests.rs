//! What limits come to, beside policies.

use knightwatch_agent::PolicyName;
use knightwatch_core::{control::ControlConfig, telemetry::Millis};
use knightwatch_sim::{Cost, Episode, Family, Generator, Limit, Split};

use super::EpisodeRecord;

/// Worlds of one family under the oracle and under the fixed schedule.
fn records(family: Family) -> Vec<[EpisodeRecord; 2]> {
    let (cost, config) = (Cost::default(), ControlConfig::default());
    let generator = Generator { families: vec![family], ..Generator::new(Split::Training) };
    let both = |number| {
        let (seed, (_, scenario)) = (generator.seed(number), generator.scenario(number));
        let oracle = Episode::run_limit(Limit::Oracle, &cost, &scenario, seed, &config, |_| {});
        assert_eq!(oracle.fault(), None);
        let mut schedule = PolicyName::SCHEDULE.build(seed);
        let schedule = Episode::run_at(&cost, &scenario, seed, schedule.as_mut(), &config, |_| {});
        [EpisodeRecord::from(&oracle), EpisodeRecord::from(&schedule)]
    };
    (0..12).map(both).collect()
}

#[test]
fn it_rolls_back_what_is_bad_within_a_minute_and_never_what_is_good() {
    let records = records(Family::ErrorLater);
    let sum =
        |of: fn(&EpisodeRecord) -> f64, who: usize| records.iter().map(|both| of(&both[who])).sum::<f64>();
    assert!(records.iter().map(|both| both[0].bad_requests.len()).sum::<usize>() >= 4, "{records:?}");
    for [oracle, _] in &records {
        assert_eq!((oracle.missed, oracle.false_rollbacks), (0, 0), "{oracle:?}");
        assert!(oracle.to_rollback.iter().all(|minutes| *minutes <= 1.0), "{oracle:?}");
    }
    let cost = |who| sum(|record| record.cost, who);
    assert!(cost(0) < cost(1) / 2.0, "the oracle pays {}, the schedule {}", cost(0), cost(1));
}

#[test]
fn a_healthy_flag_is_out_sooner_than_by_the_schedule() {
    for [oracle, schedule] in records(Family::Healthy) {
        let minutes = |record: &EpisodeRecord| record.to_full.iter().copied().fold(0.0, f64::max);
        assert!(oracle.to_full.len() >= schedule.to_full.len());
        if oracle.to_full.len() == schedule.to_full.len() {
            assert!(minutes(&oracle) <= minutes(&schedule), "{oracle:?} {schedule:?}");
        }
    }
}

#[test]
fn hindsight_rolls_back_one_interval_after_the_harm_and_the_oracle_before_it() {
    let (cost, config) = (Cost::default(), ControlConfig::default());
    let families = vec![Family::ErrorStep, Family::ErrorAbove];
    let generator = Generator { families, ..Generator::new(Split::Training) };
    let (mut harmed, mut prompt) = (0, 0);
    for number in 0..48 {
        let (seed, (_, scenario)) = (generator.seed(number), generator.scenario(number));
        let mut pace = PolicyName::SHIELD_ALONE.build(seed);
        let [oracle, hindsight] = [Limit::Oracle, Limit::Hindsight(pace.as_mut())]
            .map(|limit| Episode::run_limit(limit, &cost, &scenario, seed, &config, |_| {}));
        let flags = oracle.flags.iter().zip(&hindsight.flags).filter(|(flag, _)| flag.harmful);
        for (told, saw) in flags {
            assert!(told.bad_requests <= saw.bad_requests, "{number}: {told:?} {saw:?}");
            // At 100 % no policy is asked.
            let below = |at: &Millis| saw.complete_at.is_none_or(|complete| *at < complete);
            let Some(at) = saw.harmed_at.filter(below) else { continue };
            harmed += 1;
            // At 1 % of little traffic the first request may be a while in coming, and without any nobody acts.
            let after = saw.rolled_back_at.unwrap().since(at + config.interval);
            assert!(after <= Millis::from_secs(60), "{number}: {saw:?}");
            prompt += u32::from(after.0 == 0);
        }
        for saw in hindsight.flags.iter().filter(|flag| !flag.harmful && flag.harmed_at.is_none()) {
            assert_eq!(saw.rolled_back_at, None, "{number}: {saw:?}");
        }
    }
    assert!(harmed >= 8 && 2 * prompt >= harmed, "{prompt} of {harmed}");
}
