//! Scenarios: what ships, what is refused and where. What a world promises to those who judge by it is in
//! `scenarios/world.rs`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

mod world;

use std::path::Path;

use knightwatch_core::{
    flag::{FlagId, Rollout},
    telemetry::Millis,
};
use knightwatch_sim::Scenario;
use proptest::prelude::*;

fn builtin(name: &str) -> Scenario {
    Scenario::parse(Scenario::builtin(name).unwrap(), name).unwrap()
}

fn percent(percent: f64) -> Rollout {
    Rollout::from_percent(percent).unwrap()
}

fn index(scenario: &Scenario, key: &str) -> FlagId {
    let place = scenario.flags.iter().position(|flag| flag.spec.key.as_str() == key).unwrap();
    FlagId(u32::try_from(place).unwrap())
}

// ---- files ----------------------------------------------------------------------------------------------------------

#[test]
fn every_shipped_scenario_parses_and_is_built_in_under_its_own_name() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/scenarios");
    let mut shipped = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let file = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let text = std::fs::read_to_string(&path).unwrap();
            let scenario = Scenario::parse(&text, &file).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(scenario.name, file);
            assert!(!scenario.title.is_empty() && !scenario.story.is_empty(), "{file}");
            assert_eq!(Scenario::builtin(&file), Some(text.as_str()), "{file} is not built in");
            shipped.push(file);
        }
    }
    assert_eq!(shipped.len(), Scenario::builtins().len());
    let readme = include_str!("../../config/scenarios/README.md");
    for name in shipped {
        assert!(readme.contains(&format!("| `{name}` |")), "{name} is not in the README's table");
    }
}

#[test]
fn the_default_scene_begins_at_once_and_has_a_dozen_flags() {
    let scenario = builtin("default");
    assert!(scenario.flags.len() >= 12);
    assert_eq!(scenario.interval, Millis::from_secs(10));
    assert_eq!(scenario.scheduled_starts()[0].at, Millis::ZERO);
    assert!(scenario.scheduled_starts().windows(2).all(|pair| pair[0].at <= pair[1].at));
    assert_eq!(scenario.scheduled_starts().len(), scenario.flags.len(), "a person starts each of them");
    let jobs = &scenario.flags[index(&scenario, "use-new-postgres-index").index()].spec;
    assert_eq!(jobs.ladder.first(), percent(5.0));
}

#[test]
fn a_fleet_is_replicated_with_staggered_starts() {
    let scenario = builtin("fleet-1000");
    assert_eq!(scenario.flags.len(), 1_000);
    let keys: std::collections::BTreeSet<_> = scenario.specs().into_iter().map(|spec| spec.key).collect();
    assert_eq!(keys.len(), 1_000);
    let second = index(&scenario, "storefront-good-0002");
    let scheduled = scenario.scheduled_starts().iter().find(|scheduled| scheduled.flag == second).unwrap();
    assert_eq!(scheduled.at, Millis::from_secs(20));
}

// ---- bad files ------------------------------------------------------------------------------------------------------

const HEAD: &str = "name = 't'\nduration = '1 h'\n[[service]]\nname = 'checkout'\nrequests_per_second = 10\n";

/// The problems of a file that begins with [`HEAD`] (5 lines), as `line:column: text`.
fn problems(rest: &str) -> String {
    let error = Scenario::parse(&format!("{HEAD}{rest}"), "shop.toml").unwrap_err();
    error.to_string().replace("shop.toml:", "")
}

#[test]
fn an_unknown_key_is_named_with_its_place_and_the_nearest_key() {
    assert_eq!(
        problems("error_percent = 3\n"),
        "6:1: service \"checkout\": unknown key \"error_percent\"; did you mean \"errors_percent\"?"
    );
    let found = problems(
        "[[flag]]\nkey = 'a'\nservice = 'checkout'\n  [[flag.effect]]\n  errors_percent = 1\n  banana = 1\n",
    );
    assert!(
        found.starts_with(
            "11:3: flag \"a\": effect: unknown key \"banana\"; known keys are above_rollout_percent"
        ),
        "{found}"
    );
}

#[test]
fn a_rollout_of_140_percent_is_refused() {
    assert_eq!(
        problems("[[flag]]\nkey = 'a'\nservice = 'checkout'\nladder_percent = [1, 140, 99, 100]\n"),
        "9:22: flag \"a\": ladder_percent: found 140, expected a rollout from 0 to 100 %"
    );
    assert_eq!(
        problems("[[flag]]\nkey = 'a'\nservice = 'checkout'\ntraffic_percent = 140\n"),
        "9:19: flag \"a\": traffic_percent: found 140, expected a number from 0 to 100 %"
    );
}

#[test]
fn a_ladder_that_goes_down_or_ends_early_is_refused() {
    let flag = |ladder: &str| {
        problems(&format!("[[flag]]\nkey = 'a'\nservice = 'checkout'\nladder_percent = {ladder}\n"))
    };
    assert_eq!(flag("[50, 1, 99, 100]"), "9:19: ladder_percent: rungs ascend from above 0 %; 1 % does not");
    assert!(flag("[1, 50]").starts_with("9:19: ladder_percent: a ladder ends with 99 %"));
}

#[test]
fn not_a_number_and_infinity_are_refused() {
    assert_eq!(
        problems("p50_ms = nan\nsigma = -inf\n"),
        "6:10: service \"checkout\": p50_ms: found nan, expected a number from 1 to 10000 ms\n\
         7:9: service \"checkout\": sigma: found -inf, expected a number from 0.1 to 2"
    );
}

#[test]
fn a_file_cut_in_the_middle_is_refused_where_it_was_cut() {
    let found = problems("[[flag]]\nkey = 'new-chec");
    assert!(found.starts_with("7:") && found.contains("not valid TOML"), "{found}");
    let text = Scenario::builtin("default").unwrap();
    for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)).step_by(97) {
        // Cut anywhere, it is a smaller scenario or a clear error, never a panic.
        if let Err(error) = Scenario::parse(&text[..end], "cut.toml") {
            assert!(!error.problems.is_empty());
        }
    }
}

#[test]
fn a_key_used_twice_is_refused() {
    let flag = "[[flag]]\nkey = 'a'\nservice = 'checkout'\n";
    assert_eq!(
        problems(&format!("{flag}{flag}")),
        "9:1: flag \"a\": the key is used twice; keys are never reused"
    );
    let found = problems("p50_ms = 3\np50_ms = 4\n");
    assert!(found.starts_with("7:1: not valid TOML: duplicate key"), "{found}");
    assert!(
        problems("[[service]]\nname = 'checkout'\nrequests_per_second = 1\n")
            .starts_with("6:1: service \"checkout\": the name")
    );
}

#[test]
fn an_unknown_service_is_refused_with_the_nearest() {
    assert_eq!(
        problems("[[flag]]\nkey = 'a'\nservice = 'chekout'\n"),
        "8:11: flag \"a\": unknown service \"chekout\"; did you mean \"checkout\"?"
    );
    assert_eq!(
        problems("[[outage]]\nservices = ['moon']\nfrom = '1 min'\n"),
        "7:13: outage: unknown service \"moon\"; services are checkout"
    );
}

#[test]
fn time_spans_are_positive_and_have_units() {
    let text = HEAD.replace("'1 h'", "'-5 min'");
    let error = Scenario::parse(&text, "shop.toml").unwrap_err().to_string();
    assert_eq!(
        error,
        "shop.toml:2:12: scenario \"t\": duration: found \"-5 min\", expected a time span such as \"90 s\" or \"1 h 30 min\", from 1 min to 7 d 0 h"
    );
    let text = HEAD.replace("'1 h'", "60");
    assert!(
        Scenario::parse(&text, "shop.toml")
            .unwrap_err()
            .to_string()
            .contains("2:12: scenario \"t\": duration: found 60,")
    );
    let text = HEAD.replace("duration = '1 h'", "");
    assert!(Scenario::parse(&text, "shop.toml").unwrap_err().to_string().contains("duration is missing"));
}

#[test]
fn a_hostile_name_is_refused_and_cannot_reach_the_terminal() {
    let found = problems("[[flag]]\nkey = \"a\\u001b[2J\\u202e\"\nservice = 'checkout'\n");
    assert!(found.starts_with("7:7: key: found \"a[2J\": a flag key has"), "{found:?}");
    let error = Scenario::parse("\u{1b}]0;owned\u{7}", "a\u{1b}b.toml").unwrap_err().to_string();
    assert!(!error.chars().any(|c| c.is_control() && c != '\n'), "{error:?}");
}

#[test]
fn garbage_beyond_the_limit_is_refused_unread() {
    let garbage = "x = [".repeat(20_000_000);
    let error = Scenario::parse(&garbage, "huge.toml").unwrap_err();
    assert_eq!(
        error.to_string(),
        "huge.toml:1:1: found 100000000 bytes, expected a scenario of at most 1048576"
    );
    let error = Scenario::parse(&"[".repeat(500_000), "deep.toml").unwrap_err();
    assert!(!error.problems.is_empty());
    let error = Scenario::parse(&"a = \n".repeat(100_000), "long.toml").unwrap_err();
    assert_eq!(error.problems.len(), 50);
    assert!(error.to_string().contains("more problems"));
}

#[test]
fn everything_that_is_wrong_is_said_at_once_and_in_order() {
    let found = problems(
        "sigma = 9\n[[flag]]\nkey = 'a'\nservice = 'moon'\nwave = 1\n[[flag.effect]]\nfrom = '9 min'\nuntil = '1 min'\n[[interaction]]\nflags = ['a']\nlatency = 2\n",
    );
    let lines: Vec<_> = found.lines().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(lines, ["6", "9", "10", "11", "11", "14", "15"], "{found}");
}

#[test]
fn too_many_flags_are_refused() {
    let found = problems(
        "[[flag]]\nkey = 'a'\nservice = 'checkout'\nreplicate = 10_000\n[[flag]]\nkey = 'b'\nservice = 'checkout'\n",
    );
    assert!(found.starts_with("10:1: flag \"b\": found more than 10000 flags"), "{found}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn no_text_makes_the_parser_panic(text in "(\\[\\[?(service|flag|flag.effect|outage|interaction)\\]?\\]|[a-z_]{1,12} = ('[^']{0,9}'|-?[0-9.e]{1,9}|\\[.{0,9}\\]|\\{\\})|.{0,20}|\n){0,30}") {
        let _ = Scenario::parse(&text, "any.toml");
        let _ = Scenario::parse(&format!("{HEAD}{text}"), "any.toml");
    }
}
