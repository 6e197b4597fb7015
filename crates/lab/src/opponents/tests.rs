use knightwatch_agent::{PolicyName, Settings};

use super::{ALL, ARGO, TUNED, named, tuned};

/// Those with settings.
fn tunable() -> impl Iterator<Item = PolicyName> {
    ALL.into_iter().filter(|name| !name.knobs().is_empty())
}

#[test]
fn whatever_tuning_draws_is_taken() {
    for name in tunable() {
        for u in [0.0, 0.3, 0.999_999_999] {
            let settings = Settings::draw(name.knobs(), || u);
            assert_eq!(settings.0.len(), name.knobs().len());
            let policy = name.with(&settings).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(policy.name(), name.as_str());
        }
    }
    assert_eq!(tunable().count(), 10);
}

#[test]
fn what_is_unknown_or_out_of_bounds_is_refused_with_its_name() {
    let refused = |text: &str| ARGO.with(&Settings(toml::from_str(text).unwrap())).err().unwrap().to_string();
    assert_eq!(
        refused("success_rate = 2.0"),
        "settings of argo: success_rate is 2.0, expected 0.95 to 0.9999"
    );
    assert!(
        refused("ramp = 'steep'").contains("expected one of standard, even"),
        "{}",
        refused("ramp = 'steep'")
    );
    assert!(refused("failure_limit = 1.5").contains("a whole number, 0 to 10"));
    assert!(refused("speed = 1").contains("unknown field `speed`"));
    assert!(PolicyName::RULE.with(&Settings::default()).is_err());
}

#[test]
fn the_committed_settings_are_taken_and_belong_to_somebody() {
    let file: toml::Table = toml::from_str(TUNED).unwrap();
    for (policy, _) in &file {
        let name = named(policy).unwrap();
        name.with(&tuned(policy).unwrap().unwrap()).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn every_policy_has_a_name_of_its_own_and_builds_the_policy_of_that_name() {
    let names: std::collections::BTreeSet<&str> = ALL.iter().map(|name| name.as_str()).collect();
    assert_eq!(names.len(), ALL.len());
    for name in ALL {
        assert_eq!(name.build(7).name(), name.as_str());
        assert_eq!(named(name.as_str()), Ok(name));
    }
    assert!(ALL.starts_with(&PolicyName::STEERING));
}
