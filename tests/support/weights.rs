//! Weights for tests: drawn at random from a seed, leaning towards raising whatever may be raised.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "shared by several tests, each of which uses part of it"
)]

use std::collections::BTreeMap;

use knightwatch_agent::{CHOICES, FEATURE_COUNT, HIDDEN, Normaliser, Parameters, Weights};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

/// They hold where nothing may be raised, never lower anything, and every feature moves them a little.
pub(crate) fn eager(seed: u64) -> Weights {
    let mut random = Pcg64::seed_from_u64(seed);
    let mut layer = |inputs: usize, outputs: usize| {
        let most = (3.0 / inputs as f32).sqrt();
        let mut draw = |n: usize| (0..n).map(|_| random.random_range(-most..most)).collect::<Vec<f32>>();
        (draw(inputs * outputs), draw(outputs))
    };
    let mut parameters = Parameters {
        first: layer(FEATURE_COUNT, HIDDEN),
        second: layer(HIDDEN, HIDDEN),
        policy: layer(HIDDEN, CHOICES),
        value: layer(HIDDEN, 1),
    };
    for (bias, lean) in parameters.policy.1.iter_mut().zip([-40.0, -40.0, 0.0, 20.0, 5.0, 0.0]) {
        *bias += lean;
    }
    let training = BTreeMap::from([("seed".to_owned(), seed.to_string())]);
    Weights::new(parameters, Normaliser::default(), training)
}

/// Every way in which a weights file can be wrong, with a part of what is said of it.
pub(crate) fn broken() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let whole = eager(1);
    let bytes = whole.to_bytes().unwrap();
    let replaced = |from: &str, to: &str| {
        let at = bytes.windows(from.len()).position(|part| part == from.as_bytes()).unwrap();
        let mut bytes = bytes.clone();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        bytes
    };
    let schema = knightwatch_agent::schema_hash();
    let (shape, turned) = (format!("[{HIDDEN},{FEATURE_COUNT}]"), format!("[{FEATURE_COUNT},{HIDDEN}]"));
    let with = |change: &dyn Fn(&mut Parameters)| {
        let mut parameters = whole.parameters.clone();
        change(&mut parameters);
        Weights::new(parameters, Normaliser::default(), BTreeMap::new()).to_bytes().unwrap()
    };
    vec![
        ("empty", Vec::new(), "not a whole safetensors file"),
        ("text", b"these are no weights".to_vec(), "not a whole safetensors file"),
        ("cut", bytes[..bytes.len() - 1].to_vec(), "not a whole safetensors file"),
        ("schema", replaced(&schema, &"0".repeat(schema.len())), "trained on feature schema 0000"),
        ("shape", replaced(&shape, &turned), "tensor \"first.weight\": expected"),
        ("nan", with(&|all| all.value.0[7] = f32::NAN), "\"value.weight\" holds a number that is not finite"),
        (
            "elsewhere",
            include_bytes!("../../assets/small-world.safetensors").to_vec(),
            "it knows nothing of flags",
        ),
        ("huge", with(&|all| all.policy.0.fill(f32::MAX)), "their answer is not a finite number"),
    ]
}
