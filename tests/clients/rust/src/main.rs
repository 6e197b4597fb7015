//! The unmodified OpenFeature client for Rust, against the real backend.

use std::{env, process::Command};

use open_feature::{EvaluationContext, EvaluationErrorCode, OpenFeature};
use open_feature_ofrep::{OfrepOptions, OfrepProvider};

fn steer(words: &[&str]) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../steer.mjs");
    assert!(Command::new("node").arg(script).args(words).status().expect("node").success(), "{words:?}");
}

fn about(key: &str) -> EvaluationContext {
    EvaluationContext::default().with_targeting_key(key)
}

fn dutch(key: &str) -> EvaluationContext {
    about(key).with_custom_field("country", "NL")
}

#[tokio::main]
async fn main() {
    let base_url = env::var("KNIGHTWATCH_TEST_URL").expect("KNIGHTWATCH_TEST_URL");
    let provider = OfrepProvider::new(OfrepOptions { base_url, ..OfrepOptions::default() }).await.expect("a provider");
    let mut api = OpenFeature::singleton_mut().await;
    api.set_provider(provider).await;
    drop(api);
    let client = OpenFeature::singleton().await.create_client();

    assert_eq!(client.get_int_value("number", Some(&about("u")), None).await, Ok(2));
    assert_eq!(client.get_float_value("float", Some(&about("u")), None).await, Ok(0.5));
    assert_eq!(client.get_string_value("colour", Some(&dutch("u")), None).await, Ok("#f00".to_owned()));
    let details = client.get_string_details("colour", Some(&about("u")), None).await.expect("an answer");
    assert_eq!((details.value.as_str(), details.variant.as_deref()), ("#00f", Some("blue")));
    let code = |error: open_feature::EvaluationError| error.code;
    let nobody = client.get_bool_value("nobody", Some(&about("u")), None).await.map_err(code);
    assert_eq!(nobody, Err(EvaluationErrorCode::FlagNotFound));
    // No value: the application takes its own.
    for flag in ["asleep", "open"] {
        assert!(client.get_bool_value(flag, Some(&about("u")), None).await.is_err(), "{flag}");
    }

    steer(&["set", "steered", "30"]);
    steer(&["set", "team/text", "100"]);
    let without = client.get_bool_value("steered", Some(&EvaluationContext::default()), None).await.map_err(code);
    // This client reads no error code of a 400.
    assert_eq!(without, Err(EvaluationErrorCode::InvalidContext));
    let mut on = 0;
    for n in 0..300 {
        on += usize::from(client.get_bool_value("steered", Some(&about(&format!("user-{n}"))), None).await.expect("an answer"));
    }
    assert!((50..130).contains(&on), "{on} of 300 at 30 %");
    assert_eq!(client.get_string_value("team/text", Some(&about("u")), None).await, Ok("new".to_owned()));
    assert_eq!(client.get_bool_value("steered", Some(&dutch("u")), None).await, Ok(true));

    steer(&["kill-all"]);
    for n in 0..50 {
        assert_eq!(client.get_bool_value("steered", Some(&dutch(&format!("user-{n}"))), None).await, Ok(false));
    }
    assert_eq!(client.get_string_value("team/text", Some(&about("u")), None).await, Ok("old".to_owned()));
    assert_eq!(client.get_int_value("number", Some(&about("u")), None).await, Ok(2));
    steer(&["rearm"]);
    assert_eq!(client.get_bool_value("steered", Some(&dutch("u")), None).await, Ok(false));
    println!("Rust: ok");
}
