//! Everything that can go wrong in training, each as a sentence that says what, where, and what was expected. Knows
//! nothing of how the screen or the command line shows it.

use std::{
    io,
    path::{Path, PathBuf},
};

use thiserror::Error;

/// Why training did not go on.
#[derive(Debug, Error)]
pub enum LearnError {
    /// A setting is out of its range.
    #[error("{key}: {detail}")]
    Setting {
        /// Which.
        key: &'static str,
        /// What was expected and what was found.
        detail: String,
    },
    /// Settings from a file cannot be used.
    #[error("{place}: {detail}")]
    Settings {
        /// Where they are from.
        place: String,
        /// What is wrong, and what was expected.
        detail: String,
    },
    /// A rollout does not hold together; nothing was learnt from it.
    #[error("the rollout of iteration {iteration}: {detail}")]
    Rollout {
        /// Of which iteration, from 1.
        iteration: u64,
        /// What was expected and what was found.
        detail: String,
    },
    /// The optimisation ran off; parameters and moments are as they were before this iteration.
    #[error(
        "iteration {iteration}: {what} is not a finite number; nothing of this iteration was kept. A lower learning_rate \
         or max_gradient_norm, or scale_rewards = true, may help"
    )]
    NonFinite {
        /// Which iteration, from 1.
        iteration: u64,
        /// What was not finite.
        what: &'static str,
    },
    /// Weights from elsewhere do not fit.
    #[error("weights: {detail}")]
    Weights {
        /// What was expected and what was found.
        detail: String,
    },
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is no checkpoint, or not a whole one.
    #[error("{}: {detail}", .path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found.
        detail: String,
    },
    /// A checkpoint belongs to another training.
    #[error("{} belongs to another training: {detail}", .path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// What differs: there, and here.
        detail: String,
    },
}

impl LearnError {
    /// An operating system's refusal, with what was tried on what.
    pub(super) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }
}
