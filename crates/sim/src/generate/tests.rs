//! What generated scenarios have to be as a population: the same for a number, apart between splits and alike in their
//! ranges, about as often good as not. Asked of the world they make, not of the generator.

mod families;

use std::collections::BTreeSet;

use super::*;
use crate::{Truth, World};
use knightwatch_agent::REFERENCE_RATE;
use knightwatch_core::{
    flag::{Ladder, Rollout},
    telemetry::Feed,
};

fn of(family: Family) -> Generator {
    Generator { families: vec![family], ..Generator::new(Split::Training) }
}

/// Which flags do harm with all others at 100 %.
fn harmful(scenario: &Scenario) -> Vec<bool> {
    let mut world = World::new(scenario, 1);
    world.step(&[Rollout::FULL, Rollout::FULL], &mut Feed::default());
    world.truths().iter().map(|truth| truth.harmful).collect()
}

/// A flag's requests in an interval of usual traffic.
fn typical_requests(scenario: &Scenario) -> f64 {
    surroundings::typical_requests(&scenario.services[0], &scenario.flags[0])
}

/// What is drawn of a scenario, as numbers.
fn numbers(scenario: &Scenario) -> Vec<f64> {
    let (service, flag) = (&scenario.services[0], &scenario.flags[0]);
    let latency = &service.latency;
    let harm = flag.effects.last().cloned().unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "times of a day, in milliseconds")]
    let scheduled = scenario.scheduled_starts()[0].at.0 as f64;
    let outage = scenario.outages.first().map_or(0.0, |outage| outage.errors);
    let about = [
        typical_requests(scenario),
        service.errors,
        service.utilisation,
        service.traffic_sd,
        scheduled,
        outage,
    ];
    let shape = [latency.sigma, latency.noise_sd, latency.noise_memory, latency.p50_ms, latency.cache_hits];
    let of_flag = [flag.warm_up, harm.errors, harm.latency, harm.above_rollout, harm.after_requests];
    [&about[..], &shape, &of_flag, &[flag.wire.gaps, flag.wire.lost_failures]].concat()
}

#[test]
fn a_number_gives_the_same_scenario_every_time_and_any_number_will_do() {
    let generator = Generator::new(Split::Training);
    for number in [0, 1, 7, 1 << 20, (1 << NUMBER_BITS) - 1, u64::MAX] {
        assert_eq!(generator.scenario(number), generator.scenario(number));
        harmful(&generator.scenario(number).1);
    }
    assert_ne!(generator.scenario(3).1.services, generator.scenario(3 + 15).1.services);
}

#[test]
fn families_take_turns_and_another_family_keeps_the_service() {
    let generator = Generator::new(Split::Validation);
    for number in 0..30 {
        let (family, scenario) = generator.scenario(number);
        assert_eq!(family, Family::TRAINING[usize::try_from(number).unwrap() % 15]);
        assert_eq!(scenario.name, format!("{family}/{number}"));
    }
    let (_, one) = of(Family::ErrorStep).scenario(5);
    let (_, other) = of(Family::PowerPeg).scenario(5);
    assert_eq!(one.services, other.services);
    let none = Generator { families: Vec::new(), ..generator };
    assert_eq!(none.scenario(4).0, Family::TRAINING[4]);
}

#[test]
fn half_of_the_flags_have_more_requests_than_the_reference_rate() {
    let rate = |number| typical_requests(&of(Family::Healthy).scenario(number).1) / INTERVAL.as_secs_f64();
    let more = (0..2_000).filter(|number| rate(*number) > REFERENCE_RATE).count();
    assert!((950..1_050).contains(&more), "{more} of 2000");
}

#[test]
fn no_scenario_and_no_seed_is_in_two_splits() {
    let (mut services, mut seeds) = (BTreeSet::new(), BTreeSet::new());
    for split in Split::ALL {
        let generator = Generator::new(split);
        for number in 0..6_000 {
            let (_, scenario) = generator.scenario(number);
            // 52 random bits of it: two different scenarios of 18 000 share them once in 28 million runs.
            services.insert(scenario.services[0].traffic_sd.to_bits());
            seeds.insert(generator.seed(number));
        }
    }
    assert_eq!((services.len(), seeds.len()), (18_000, 18_000));
    // Beyond those tried: the split is in the number itself.
    let places = Split::ALL.map(|split| [0, 77, u64::MAX].map(|number| split.place(number) >> NUMBER_BITS));
    assert_eq!(places, [[1; 3], [2; 3], [3; 3]]);
}

/// The two-sample Kolmogorov-Smirnov statistic.
fn furthest_apart(mut one: Vec<f64>, mut other: Vec<f64>) -> f64 {
    one.sort_by(f64::total_cmp);
    other.sort_by(f64::total_cmp);
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let below = |of: &[f64], x: f64| of.partition_point(|v| *v <= x) as f64 / of.len() as f64;
    one.iter().chain(&other).map(|x| (below(&one, *x) - below(&other, *x)).abs()).fold(0.0, f64::max)
}

#[test]
fn all_splits_draw_from_the_same_ranges() {
    const COUNT: u64 = 4_500;
    let drawn = Split::ALL.map(|split| {
        let generator = Generator::new(split);
        (0..COUNT).map(|number| numbers(&generator.scenario(number).1)).collect::<Vec<_>>()
    });
    let [training, others @ ..] = &drawn;
    for (other, which) in others.iter().flat_map(|other| (0..training[0].len()).map(move |i| (other, i))) {
        let column = |of: &[Vec<f64>]| of.iter().map(|row| row[which]).collect::<Vec<_>>();
        let apart = furthest_apart(column(training), column(other));
        // 1.95 sqrt(2 / 4 500): exceeded by chance once in a thousand.
        assert!(apart < 0.041, "number {which}: {apart}");
    }
}

#[test]
fn about_as_many_flags_are_good_as_not_in_every_family() {
    let generator = Generator::new(Split::Training);
    let mut flags = Vec::new();
    let mut first = std::collections::BTreeMap::<Family, (u32, u32)>::new();
    for number in 0..2_001 {
        let (family, scenario) = generator.scenario(number);
        let truths = harmful(&scenario);
        assert!(truths.len() == 1 || !truths[1], "the second flag of {} does harm", scenario.name);
        let (harm, all) = first.entry(family).or_default();
        *harm += u32::from(truths[0]);
        *all += 1;
        flags.extend(truths);
    }
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let good = flags.iter().filter(|harm| !**harm).count() as f64 / flags.len() as f64;
    assert!((0.40..0.46).contains(&good), "{good}");
    for (family, (harm, all)) in first {
        let share = f64::from(harm) / f64::from(all);
        let expected = if family == Family::Healthy { 0.0..0.001 } else { 0.55..0.85 };
        assert!(expected.contains(&share), "{family}: {share} of first flags do harm");
    }
}

#[test]
fn every_scenario_is_one_that_could_be_written_down() {
    for family in Family::ALL {
        for number in 0..300 {
            let (_, scenario) = of(family).scenario(number);
            let name = &scenario.name;
            let (service, flags) = (&scenario.services[0], &scenario.flags);
            assert!((1..=2).contains(&flags.len()) && scenario.services.len() == 1, "{name}");
            assert!(flags.iter().all(|flag| flag.spec.ladder == Ladder::default() && flag.service == 0));
            assert!(flags.len() == 1 || flags[0].spec.key != flags[1].spec.key, "{name}");
            assert_eq!(scenario.scheduled_starts().len(), flags.len(), "{name}: each flag is started");
            assert_eq!((scenario.duration, scenario.steps()), (HORIZON, 360));
            let first =
                scenario.scheduled_starts().iter().find(|scheduled| scheduled.flag == FlagId(0)).unwrap();
            assert!((30_000..=120_000).contains(&first.at.0) && first.operator == "generator", "{name}");
            assert!((0.0..=0.02).contains(&service.errors) && service.utilisation <= 0.75, "{name}");
            assert!((0.5..=1.2).contains(&service.latency.sigma), "{name}");
            assert!((0.05..=0.6).contains(&service.latency.noise_sd), "{name}");
            assert!((0.3..=0.65).contains(&service.latency.noise_memory), "{name}");
            let shares = flags.iter().flat_map(|flag| &flag.effects).flat_map(|effect| {
                let (from, to) = effect.segment.unwrap_or((0.0, 1.0));
                [effect.errors, effect.share, effect.above_rollout, from, to]
            });
            assert!(shares.into_iter().all(|share| (0.0..=1.0).contains(&share)), "{name}");
            assert!(scenario.outages.iter().all(|o| o.from < o.until && o.until <= HORIZON), "{name}");
            let range = if family == Family::LowTraffic { 0.99..100.1 } else { 29.9..100_100.0 };
            assert!(range.contains(&typical_requests(&scenario)), "{name}");
        }
    }
}

#[test]
fn most_flags_have_hundreds_to_thousands_of_requests_in_an_interval() {
    let generator = of(Family::Healthy);
    let usual = |number| typical_requests(&generator.scenario(number).1);
    let most = (0..2_000).filter(|number| (300.0..20_000.0).contains(&usual(*number))).count();
    assert!((1_400..1_650).contains(&most), "{most} of 2 000");
}

#[test]
fn an_easy_curriculum_has_much_traffic_little_noise_and_large_effects() {
    let at = |difficulty| Generator { curriculum: Curriculum::new(difficulty), ..of(Family::ErrorStep) };
    // How many effects fail fewer than 1 % of requests: the least are 5 % where it is easy, 0.1 % in full.
    let small = |difficulty| {
        let generator = at(difficulty);
        let scenarios = (0..500).map(|number| generator.scenario(number).1).filter(|s| harmful(s)[0]);
        let sizes = scenarios.map(|scenario| scenario.flags[0].effects.last().unwrap().errors);
        sizes.filter(|errors| *errors < 0.01).count()
    };
    assert_eq!(small(0.0), 0);
    assert!(small(0.5) > 10 && small(1.0) > 2 * small(0.5), "{} {}", small(0.5), small(1.0));
    for number in 0..500 {
        let (_, scenario) = at(0.0).scenario(number);
        assert!(typical_requests(&scenario) >= 4_999.0 && scenario.services[0].latency.noise_sd <= 0.1);
        assert!(
            harmful(&scenario) == harmful(&at(1.0).scenario(number).1),
            "{number}: difficulty is not kind"
        );
    }
    let reported = |difficulty| Generator { split: Split::Test, ..at(difficulty) }.scenario(9);
    assert_eq!(reported(0.0), reported(1.0), "results are reported on the full ranges alone");
    assert_eq!(Curriculum::new(f64::NAN), Curriculum::FULL);
    assert_eq!(Curriculum::new(-3.0), Curriculum::EASY);
}
