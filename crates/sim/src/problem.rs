//! What is wrong with a scenario file, and where.

use std::fmt;

use thiserror::Error;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What was found and what was expected, as one sentence without a full stop.
    pub text: String,
}

/// Everything that is wrong with a scenario file, in the order of the file. Nothing of it was used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct ScenarioError {
    /// The file, as it was named.
    pub file: String,
    /// What is wrong, at least one thing.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ScenarioError {
    /// One line for each problem: `file:line:column: text`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Problem { line, column, text }) in self.problems.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{}:{line}:{column}: {text}", self.file)?;
        }
        Ok(())
    }
}
