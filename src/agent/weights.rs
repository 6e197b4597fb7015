//! The weights file: safetensors, with what is needed to trust it in its metadata.
//!
//! Metadata: `schema` (the hash of the feature table), `normaliser` (JSON: mean and standard deviation of each
//! feature, frozen), `training` (JSON: how it came to be). A file that does not fit is refused as a whole.

use std::collections::{BTreeMap, HashMap};

use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{CHOICES, FEATURE_COUNT, Features, HIDDEN, Network, Parameters, schema_hash};

/// Normalised features are kept within so many standard deviations.
const MOST: f32 = 6.0;

/// The smallest standard deviation that is divided by.
const LEAST_DEVIATION: f32 = 1e-3;

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
            *x = ((*x - mean) / deviation.max(LEAST_DEVIATION)).clamp(-MOST, MOST);
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
}

/// Why a weights file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WeightsError {
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
        Self { network: Network::new(&parameters), parameters, normaliser, training }
    }

    /// Reads a weights file.
    ///
    /// # Errors
    /// When it is cut, of another schema or shape, or holds a number that is not finite.
    pub fn parse(bytes: &[u8]) -> Result<Self, WeightsError> {
        let broken = |error: safetensors::SafeTensorError| WeightsError::Broken(error.to_string());
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(broken)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(broken)?;
        let metadata = header.metadata().clone().unwrap_or_default();
        let text = |what: &'static str| {
            let problem = "it is missing".to_owned();
            metadata.get(what).ok_or(WeightsError::Metadata { what, problem })
        };
        let (found, expected) = (crate::flag::clean_line(text("schema")?), schema_hash());
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
        Ok(Self::new(parameters, normaliser, training))
    }

    /// The file of these weights. The same weights give the same bytes.
    ///
    /// # Errors
    /// When a tensor's length does not fit its shape.
    pub fn to_bytes(&self) -> Result<Vec<u8>, WeightsError> {
        let broken = |error: String| WeightsError::Broken(error);
        let Parameters { first, second, policy, value } = &self.parameters;
        let all = [&first.0, &first.1, &second.0, &second.1, &policy.0, &policy.1, &value.0, &value.1];
        let raw: Vec<Vec<u8>> =
            all.iter().map(|values| values.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
        let views = TENSORS
            .iter()
            .zip(&raw)
            .map(|((name, shape), raw)| Ok((*name, TensorView::new(Dtype::F32, shape.to_vec(), raw)?)))
            .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
            .map_err(|error| broken(error.to_string()))?;
        let json = |value: serde_json::Result<String>| value.map_err(|error| broken(error.to_string()));
        let metadata = HashMap::from([
            ("schema".to_owned(), schema_hash()),
            ("normaliser".to_owned(), json(serde_json::to_string(&self.normaliser))?),
            ("training".to_owned(), json(serde_json::to_string(&self.training))?),
        ]);
        safetensors::serialize(views, Some(metadata)).map_err(|error| broken(error.to_string()))
    }
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
