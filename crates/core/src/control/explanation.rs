//! What a policy that explains itself says of its own move: what it saw, what it made of it, and what moved it most.
//!
//! It is journalled with the decision, so that it can be looked into long after. What the features mean is the
//! policy's business, not this layer's.

use serde::{Deserialize, Serialize};

/// Why a policy proposed a move.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// Probabilities of roll back, step down, hold, and a raise by 1, 2 and 3 rungs.
    pub probabilities: [f32; 6],
    /// Its estimate of what is still to come: minus the cost in points, harm weighed by its harm weight; 0 is best.
    pub value: f32,
    /// Which of the six the shield would have allowed.
    pub legal: [bool; 6],
    /// What it saw, in the order of its schema, before normalisation.
    pub features: Vec<f32>,
    /// Which weights it decided by: the first 16 hexadecimal digits of the SHA-256 of their file.
    pub weights: String,
    /// What moved it most towards this move, most first, at most two: `errors of late (3.2 standard errors)`.
    pub moved_by: Vec<String>,
}

impl Explanation {
    /// Whether every number in it is finite.
    #[must_use]
    pub fn is_finite(&self) -> bool {
        let mut all = self.probabilities.iter().chain(&self.features).chain([&self.value]);
        all.all(|x| x.is_finite())
    }

    /// What moved it most, as one clause; `None` where nothing did.
    #[must_use]
    pub fn moved_most(&self) -> Option<String> {
        (!self.moved_by.is_empty()).then(|| self.moved_by.join(" and "))
    }
}
