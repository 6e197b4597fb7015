use super::{super::PolicyName, Range, Settings};

/// Those with settings.
fn tunable() -> impl Iterator<Item = PolicyName> {
    PolicyName::STEERING.into_iter().filter(|name| !name.knobs().is_empty())
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
    assert_eq!(tunable().count(), 2);
}

#[test]
fn what_is_unknown_or_out_of_bounds_is_refused_with_its_name() {
    let refused = |text: &str| {
        PolicyName::FLAGGER.with(&Settings(toml::from_str(text).unwrap())).err().unwrap().to_string()
    };
    assert_eq!(
        refused("success_rate = 2.0"),
        "settings of flagger: success_rate is 2.0, expected 0.95 to 0.9999"
    );
    assert!(refused("threshold = 1.5").contains("a whole number, 1 to 20"));
    assert!(refused("speed = 1").contains("unknown field `speed`"));
    assert!(PolicyName::RULE.with(&Settings::default()).is_err());
}

#[test]
fn a_draw_is_spread_over_its_range() {
    assert_eq!(Range::Whole(0, 3).at(0.24), 0.into());
    assert_eq!(Range::Whole(0, 3).at(0.26), 1.into());
    assert_eq!(Range::WholeLog(1, 7).at(0.34), 2.into());
    assert_eq!(Range::Log(0.01, 1.0).at(0.5), 0.1.into());
    assert_eq!(Range::Even(1.0, 2.0).at(0.123_456), 1.123.into());
    assert_eq!(Range::OneOf(&["a", "b"]).at(0.999_9), "b".into());
}
