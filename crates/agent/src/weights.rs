//! The weights file: safetensors, with what is needed to trust it in its metadata.
//!
//! Metadata: `schema` (the hash of the feature table), `normaliser` (JSON: mean and standard deviation of each
//! feature, frozen), `training` (JSON: how it came to be). A file that does not fit is refused as a whole. The file's
//! own hash is its name: a decision says by which weights it was made.

use std::collections::BTreeMap;

use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{CHOICES, FEATURE_COUNT, Features, HIDDEN, Network, Parameters, schema_hash};

/// Under what weights say, in their `training`, which world it was, where it was not the simulator's.
pub const WORLD: &str = "world";

/// Normalised features are kept within so many standard deviations.
const MAX: f32 = 6.0;

/// The smallest standard deviation that is divided by.
const MIN_DEVIATION: f32 = 1e-3;

/// Frozen statistics of the features, from training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normaliser {
    /// Mean of each feature.
    pub mean: Vec<f32>,
    /// Standard deviation of each feature.
    pub deviation: Vec<f32>,
}

impl Default for Normaliser {
    fn default() -> Self {
        Self { mean: vec![0.0; FEATURE_COUNT], deviation: vec![1.0; FEATURE_COUNT] }
    }
}

impl Normaliser {
    /// The network's input.
    #[must_use]
    pub fn apply(&self, features: &Features) -> Features {
        let mut input = *features;
        for ((x, mean), deviation) in input.iter_mut().zip(&self.mean).zip(&self.deviation) {
            *x = ((*x - mean) / deviation.max(MIN_DEVIATION)).clamp(-MAX, MAX);
        }
        input
    }
}

/// A trained policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// The parameters, as libtorch has them.
    pub parameters: Parameters,
    /// The network of these parameters.
    pub network: Network,
    /// The frozen statistics.
    pub normaliser: Normaliser,
    /// How it came to be: seed, steps, seconds and so on, by name.
    pub training: BTreeMap<String, String>,
    /// The first 16 hexadecimal digits of the SHA-256 of the file: what `sha256sum` begins with.
    pub hash: String,
}

/// Why a weights file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WeightsError {
    /// There is no such file, or it cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// It is no safetensors file, or not all of one.
    #[error("not a whole safetensors file: {0}")]
    Broken(String),
    /// Something is missing from its metadata.
    #[error("its metadata has no usable {what:?}: {problem}")]
    Metadata {
        /// The key.
        what: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// It was trained for something else than flags.
    #[error("it was trained in {0}: it knows nothing of flags")]
    Elsewhere(String),
    /// It was trained on other features.
    #[error("it was trained on feature schema {found}, this program has {expected}: train again")]
    Schema {
        /// The file's.
        found: String,
        /// This program's.
        expected: String,
    },
    /// A tensor is missing or of another shape.
    #[error("tensor {name:?}: expected 32-bit floats of shape {expected:?}, found {found}")]
    Shape {
        /// Which.
        name: &'static str,
        /// The shape it should have.
        expected: Vec<usize>,
        /// What there is.
        found: String,
    },
    /// A number is not finite.
    #[error("{name:?} holds a number that is not finite, at position {position}")]
    NotFinite {
        /// Where.
        name: &'static str,
        /// The position in it.
        position: usize,
    },
    /// Its numbers are so large that an answer can come out as infinite, or as no number.
    #[error(
        "their answer is not a finite number wherever {name:?} comes to its largest: its numbers are too large"
    )]
    TooLarge {
        /// Which layer's weight.
        name: &'static str,
    },
}

/// The tensors of a weights file with their shapes; of each layer the weight, then the bias.
const TENSORS: [(&str, &[usize]); 8] = [
    ("first.weight", &[HIDDEN, FEATURE_COUNT]),
    ("first.bias", &[HIDDEN]),
    ("second.weight", &[HIDDEN, HIDDEN]),
    ("second.bias", &[HIDDEN]),
    ("policy.weight", &[CHOICES, HIDDEN]),
    ("policy.bias", &[CHOICES]),
    ("value.weight", &[1, HIDDEN]),
    ("value.bias", &[1]),
];

impl Weights {
    /// Puts them together.
    #[must_use]
    pub fn new(parameters: Parameters, normaliser: Normaliser, training: BTreeMap<String, String>) -> Self {
        let network = Network::new(&parameters);
        let mut weights = Self { parameters, network, normaliser, training, hash: String::new() };
        // Parameters that make no file have no name either.
        weights.hash = weights.to_bytes().map_or_else(|_| String::new(), |bytes| hash(&bytes));
        weights
    }

    /// Reads a weights file of flags.
    ///
    /// # Errors
    /// When it is cut, of another schema or shape, holds a number that is not finite, or says that it was trained in another
    /// world than the simulator's: its tensors have the same shapes, and what goes in means something else.
    pub fn parse(bytes: &[u8]) -> Result<Self, WeightsError> {
        let weights = Self::of_any_world(bytes)?;
        match weights.training.get(WORLD) {
            Some(world) => Err(WeightsError::Elsewhere(knightwatch_core::flag::clean_line(world))),
            None => Ok(weights),
        }
    }

    /// Reads a weights file, whatever it was trained in.
    ///
    /// # Errors
    /// When it is cut, of another schema or shape, or holds a number that is not finite.
    pub fn of_any_world(bytes: &[u8]) -> Result<Self, WeightsError> {
        let broken = |error: safetensors::SafeTensorError| WeightsError::Broken(error.to_string());
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(broken)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(broken)?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let text = |what: &'static str| {
            let problem = "it is missing".to_owned();
            metadata.get(what).ok_or(WeightsError::Metadata { what, problem })
        };
        let (found, expected) = (knightwatch_core::flag::clean_line(text("schema")?), schema_hash());
        if found != expected {
            return Err(WeightsError::Schema { found, expected });
        }
        let normaliser = normaliser(text("normaliser")?)?;
        let training = serde_json::from_str(text("training")?)
            .map_err(|error| WeightsError::Metadata { what: "training", problem: error.to_string() })?;
        let mut read = TENSORS.iter().map(|(name, shape)| tensor(&tensors, name, shape));
        let mut layer = || -> Result<(Vec<f32>, Vec<f32>), WeightsError> {
            let mut next = || read.next().unwrap_or_else(|| Ok(Vec::new()));
            Ok((next()?, next()?))
        };
        let parameters = Parameters { first: layer()?, second: layer()?, policy: layer()?, value: layer()? };
        bounded(&parameters)?;
        let network = Network::new(&parameters);
        Ok(Self { parameters, network, normaliser, training, hash: hash(bytes) })
    }

    /// The file of these weights. The same weights give the same bytes; the crate that reads it writes its metadata in
    /// another order each time.
    ///
    /// # Errors
    /// When a tensor's length does not fit its shape.
    pub fn to_bytes(&self) -> Result<Vec<u8>, WeightsError> {
        let text = |value: serde_json::Result<String>| {
            value.map_err(|error| WeightsError::Broken(error.to_string()))
        };
        let Parameters { first, second, policy, value } = &self.parameters;
        let all = [&first.0, &first.1, &second.0, &second.1, &policy.0, &policy.1, &value.0, &value.1];
        let mut header = Map::new();
        header.insert(
            "__metadata__".to_owned(),
            json!({
                "schema": schema_hash(),
                "normaliser": text(serde_json::to_string(&self.normaliser))?,
                "training": text(serde_json::to_string(&self.training))?,
            }),
        );
        let mut data = Vec::new();
        for ((name, shape), values) in TENSORS.into_iter().zip(all) {
            if values.len() != shape.iter().product::<usize>() {
                let found = format!("{} numbers", values.len());
                return Err(WeightsError::Shape { name, expected: shape.to_vec(), found });
            }
            let start = data.len();
            data.extend(values.iter().flat_map(|x| x.to_le_bytes()));
            let tensor = json!({ "dtype": "F32", "shape": shape, "data_offsets": [start, data.len()] });
            header.insert(name.to_owned(), tensor);
        }
        let mut header = text(serde_json::to_string(&Value::Object(header)))?;
        // The format wants the numbers aligned.
        header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
        let length = header.len() as u64;
        Ok([&length.to_le_bytes(), header.as_bytes(), &data].concat())
    }
}

/// Refuses parameters with which some input could give an infinite answer: inputs are within [`MAX`], and what `tanh`
/// hands on is within 1, so the largest sum of a layer is known beforehand.
fn bounded(parameters: &Parameters) -> Result<(), WeightsError> {
    let Parameters { first, second, policy, value } = parameters;
    let layers = [
        ("first.weight", first, FEATURE_COUNT, MAX),
        ("second.weight", second, HIDDEN, 1.0),
        ("policy.weight", policy, HIDDEN, 1.0),
        ("value.weight", value, HIDDEN, 1.0),
    ];
    for (name, (weight, bias), inputs, most) in layers {
        let largest = |(row, bias): (&[f32], &f32)| {
            row.iter().map(|x| f64::from(x.abs())).sum::<f64>() * f64::from(most) + f64::from(bias.abs())
        };
        // Twice as much, so that no rounding on the way gets there; a difference of two logits is finite too.
        if weight.chunks(inputs).zip(bias).map(largest).any(|sum| 2.0 * sum >= f64::from(f32::MAX)) {
            return Err(WeightsError::TooLarge { name });
        }
    }
    Ok(())
}

/// The first 16 hexadecimal digits of the SHA-256 of these bytes.
pub(super) fn hash(bytes: &[u8]) -> String {
    const_hex::encode(&Sha256::digest(bytes)[..8])
}

fn normaliser(text: &str) -> Result<Normaliser, WeightsError> {
    let what = "normaliser";
    let wrong = |problem: String| WeightsError::Metadata { what, problem };
    let normaliser: Normaliser = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
    for (name, values) in [("mean", &normaliser.mean), ("deviation", &normaliser.deviation)] {
        if values.len() != FEATURE_COUNT {
            return Err(wrong(format!("{name} has {} numbers, not {FEATURE_COUNT}", values.len())));
        }
        if let Some(position) = values.iter().position(|x| !x.is_finite()) {
            return Err(WeightsError::NotFinite { name: what, position });
        }
        let too_small = |x: &f32| name == "deviation" && *x < MIN_DEVIATION;
        if let Some(position) = values.iter().position(too_small) {
            return Err(wrong(format!(
                "deviation {position} is below {MIN_DEVIATION}: {}",
                values[position]
            )));
        }
    }
    Ok(normaliser)
}

fn tensor(tensors: &SafeTensors<'_>, name: &'static str, shape: &[usize]) -> Result<Vec<f32>, WeightsError> {
    let wrong = |found: String| WeightsError::Shape { name, expected: shape.to_vec(), found };
    let view = tensors.tensor(name).map_err(|_| wrong("none".to_owned()))?;
    if view.dtype() != Dtype::F32 || view.shape() != shape {
        return Err(wrong(format!("{:?} of shape {:?}", view.dtype(), view.shape())));
    }
    let values: Vec<f32> =
        view.data().as_chunks().0.iter().map(|bytes: &[u8; 4]| f32::from_le_bytes(*bytes)).collect();
    match values.iter().position(|x| !x.is_finite()) {
        Some(position) => Err(WeightsError::NotFinite { name, position }),
        None => Ok(values),
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::cast_precision_loss, reason = "a test")]

    use proptest::prelude::*;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;

    /// Weights drawn at random: each layer's about as large as trained ones are, times `scale`.
    pub(crate) fn drawn(seed: u64, scale: f32) -> Weights {
        let mut random = Pcg64::seed_from_u64(seed);
        let mut draw = |n: usize, most: f32| (0..n).map(|_| random.random_range(-most..most)).collect();
        let mut layer = |inputs: usize, outputs: usize| {
            let most = scale * (3.0 / inputs as f32).sqrt();
            (draw(inputs * outputs, most), draw(outputs, 0.1 * scale))
        };
        let parameters = Parameters {
            first: layer(FEATURE_COUNT, HIDDEN),
            second: layer(HIDDEN, HIDDEN),
            policy: layer(HIDDEN, CHOICES),
            value: layer(HIDDEN, 1),
        };
        let training = BTreeMap::from([("seed".to_owned(), seed.to_string())]);
        Weights::new(parameters, Normaliser::default(), training)
    }

    fn is_finite(weights: &Weights) -> bool {
        let Parameters { first, second, policy, value } = &weights.parameters;
        let layers =
            [first, second, policy, value].into_iter().flat_map(|(weight, bias)| weight.iter().chain(bias));
        let normaliser = weights.normaliser.mean.iter().chain(&weights.normaliser.deviation);
        layers.chain(normaliser).all(|x| x.is_finite())
    }

    #[test]
    fn a_file_gives_back_its_weights_and_the_same_weights_the_same_file() {
        let weights = drawn(1, 1.0);
        let bytes = weights.to_bytes().unwrap();
        assert_eq!(Weights::parse(&bytes).unwrap(), weights);
        for _ in 0..20 {
            assert!(drawn(1, 1.0).to_bytes().unwrap() == bytes);
        }
        assert_eq!(weights.hash.len(), 16);
        assert_ne!(weights.hash, drawn(2, 1.0).hash);
    }

    #[test]
    fn a_file_cut_at_any_byte_is_refused() {
        let bytes = drawn(1, 1.0).to_bytes().unwrap();
        for length in 0..bytes.len() {
            let cut = Weights::parse(&bytes[..length]);
            assert!(matches!(cut, Err(WeightsError::Broken(_))), "cut at {length}: {cut:?}");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert!(matches!(Weights::parse(&longer), Err(WeightsError::Broken(_))));
    }

    #[test]
    fn what_does_not_fit_is_told_by_its_name() {
        let whole = drawn(1, 1.0);
        let bytes = whole.to_bytes().unwrap();
        let refused = |bytes: &[u8]| Weights::parse(bytes).unwrap_err().to_string();
        let replaced = |from: &str, to: &str| {
            assert_eq!(from.len(), to.len(), "or the header would not fit");
            let at = bytes.windows(from.len()).position(|part| part == from.as_bytes()).unwrap();
            let mut bytes = bytes.clone();
            bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
            refused(&bytes)
        };
        let schema = schema_hash();
        let other = schema.replace(|c: char| c.is_ascii_hexdigit(), "0");
        assert!(replaced(&schema, &other).contains("feature schema 0000"), "{}", replaced(&schema, &other));
        let shape = format!("[{HIDDEN},{FEATURE_COUNT}]");
        let turned = format!("[{FEATURE_COUNT},{HIDDEN}]");
        assert!(replaced(&shape, &turned).starts_with("tensor \"first.weight\": expected"));
        assert!(replaced("value.bias", "value.bios").contains("tensor \"value.bias\""));
        assert!(replaced("\"normaliser\"", "\"normalizer\"").contains("\"normaliser\": it is missing"));
        let mut short = whole.clone();
        short.normaliser.mean.pop();
        let said = format!("mean has {} numbers, not {FEATURE_COUNT}", FEATURE_COUNT - 1);
        assert!(refused(&short.to_bytes().unwrap()).contains(&said));
        for worth in [f32::NAN, f32::INFINITY] {
            let mut broken = whole.clone();
            broken.parameters.second.0[3] = worth;
            let said = refused(&broken.to_bytes().unwrap());
            assert_eq!(said, "\"second.weight\" holds a number that is not finite, at position 3");
        }
        let mut few = whole.clone();
        few.parameters.first.0.pop();
        assert!(matches!(few.to_bytes(), Err(WeightsError::Shape { name: "first.weight", .. })));
    }

    proptest! {
        #[test]
        fn no_flipped_byte_makes_it_panic_or_lets_in_what_is_not_finite(
            flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            in_header in any::<bool>(),
        ) {
            let mut bytes = drawn(1, 1.0).to_bytes().unwrap();
            // The header is a thirtieth of the file and holds all that can go wrong.
            let room = if in_header { 1_500 } else { bytes.len() };
            for (at, byte) in flips {
                bytes[at.index(room)] = byte;
            }
            if let Ok(weights) = Weights::parse(&bytes) {
                prop_assert!(is_finite(&weights));
            }
        }
    }
}
