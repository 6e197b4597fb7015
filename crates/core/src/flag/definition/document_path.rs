//! Where in a file of definitions something stands, and what is wrong there.
//!
//! A place is a JSON pointer (RFC 6901), built on the stack on the way down. Knows nothing of what definitions mean.

use std::fmt;

use thiserror::Error;

use crate::flag::{clean, clean_line};

/// What is wrong with a file of definitions, and where.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct DefinitionError {
    /// The file, as it was named.
    pub file: String,
    /// The flag whose definition is wrong; `None` where it is not one flag's.
    pub flag: Option<String>,
    /// The place as a JSON pointer; empty for the file as a whole.
    pub location: String,
    /// Line and column, from 1, where the text itself is not JSON or has a key twice.
    pub at: Option<(usize, usize)>,
    /// What was found and what was expected.
    pub detail: String,
}

impl fmt::Display for DefinitionError {
    /// `flags.json:12:5: flag f, at /flags/f/state: expected "ENABLED" or "DISABLED", found "ON"`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some((line, column)) = self.at {
            write!(f, ":{line}:{column}")?;
        }
        f.write_str(": ")?;
        if let Some(flag) = &self.flag {
            write!(f, "flag {flag}, ")?;
        }
        if !self.location.is_empty() {
            write!(f, "at {}: ", self.location)?;
        }
        f.write_str(&self.detail)
    }
}

/// One step of a place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

/// A place in a document, linked to the place above it.
#[derive(Clone, Copy, Debug)]
pub(super) struct DocumentPath<'a> {
    above: Option<&'a DocumentPath<'a>>,
    step: Step<'a>,
}

impl<'a> DocumentPath<'a> {
    /// A key of the document itself.
    pub(super) const fn top(key: &'a str) -> Self {
        Self { above: None, step: Step::Key(key) }
    }

    /// A key of the object at this place.
    pub(super) const fn key<'b>(&'b self, key: &'b str) -> DocumentPath<'b> {
        DocumentPath { above: Some(self), step: Step::Key(key) }
    }

    /// An element, from 0, of the array at this place.
    pub(super) const fn index(&self, index: usize) -> DocumentPath<'_> {
        DocumentPath { above: Some(self), step: Step::Index(index) }
    }

    /// What is wrong here.
    pub(super) fn wrong(&self, detail: impl Into<String>) -> Mistake {
        Mistake { location: self.to_string(), at: None, detail: detail.into() }
    }
}

impl fmt::Display for DocumentPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(above) = self.above {
            above.fmt(f)?;
        }
        match self.step {
            Step::Key(key) => write!(f, "/{}", pointer_token(key)),
            Step::Index(index) => write!(f, "/{index}"),
        }
    }
}

/// A key as it stands in a JSON pointer, made harmless.
pub(super) fn pointer_token(key: &str) -> String {
    clean(key).replace('~', "~0").replace('/', "~1")
}

/// A [`DefinitionError`] that does not know yet in which file it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) location: String,
    pub(super) at: Option<(usize, usize)>,
    pub(super) detail: String,
}

impl Mistake {
    /// A mistake of the document as a whole.
    pub(super) fn whole_document(detail: impl Into<String>) -> Self {
        Self { location: String::new(), at: None, detail: detail.into() }
    }

    /// The error, with all it needs to be found.
    pub(super) fn within(self, file: &str, flag: Option<&str>) -> DefinitionError {
        DefinitionError {
            file: clean_line(file),
            flag: flag.map(clean_line),
            location: self.location,
            at: self.at,
            detail: clean(&self.detail).into_owned(),
        }
    }
}
