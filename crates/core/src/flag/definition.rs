//! Definitions of flags as flagd writes them: variants, targeting, metadata; read strictly, evaluated without waiting.
//!
//! A file is read as a whole or not at all, and every mistake is named with its file, flag and place. Rules are compiled at
//! load; evaluation takes no lock and changes nothing, so that any number of threads can ask at once. Knows nothing of how
//! a rollout comes about: how a flag stands, and the time, are arguments.

mod document_path;
mod evaluate;
mod export;
mod json;
mod operator;
mod prerequisite;
mod read;
mod steering;
mod targeting;
mod version;

use std::{collections::HashMap, fmt};

use datalogic_rs::Engine;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use thiserror::Error;

pub use self::{
    document_path::DefinitionError,
    evaluate::{Context, Evaluation, EvaluationError, Reason, ServedFlag, Why},
    prerequisite::Prerequisite,
    steering::Steering,
};
use self::{document_path::Mistake, targeting::Targeting};
use super::{FlagKey, FlagSpec, Ladder};

/// Most flags in all files together.
pub const MAX_FLAGS: usize = 20_000;

/// Largest file, in bytes.
pub const MAX_FILE: usize = 16 * 1024 * 1024;

/// Most mistakes that are listed; more are counted.
const MAX_LISTED: usize = 50;

/// One file of definitions.
#[derive(Clone, Copy, Debug)]
pub struct SourceFile<'s> {
    /// What it is called, for errors.
    pub name: &'s str,
    /// What is in it.
    pub bytes: &'s [u8],
}

/// One flag as it is defined.
#[derive(Debug)]
pub struct Definition {
    key: FlagKey,
    enabled: bool,
    /// Names and values, in the order of their names.
    variants: Vec<(String, Value)>,
    /// The index of the default variant.
    default: Option<usize>,
    targeting: Option<Targeting>,
    /// The set's and, over it, the flag's own.
    metadata: Map<String, Value>,
    /// The flag's own alone.
    own_metadata: Map<String, Value>,
    steering: Option<Steering>,
    prerequisites: Vec<Prerequisite>,
}

impl Definition {
    /// The flag's key.
    #[must_use]
    pub fn key(&self) -> &FlagKey {
        &self.key
    }

    /// What knightwatch steers of it; `None` for a flag that is only evaluated.
    #[must_use]
    pub fn steering(&self) -> Option<&Steering> {
        self.steering.as_ref()
    }

    /// The flags it needs.
    #[must_use]
    pub fn prerequisites(&self) -> &[Prerequisite] {
        &self.prerequisites
    }

    /// What is declared of it where it is steered.
    #[must_use]
    pub fn spec(&self) -> Option<FlagSpec> {
        let steering = self.steering.as_ref()?;
        Some(FlagSpec {
            key: self.key.clone(),
            service: steering.service.clone(),
            kind: steering.kind,
            description: steering.description.clone(),
            ladder: Ladder::default(),
            deployment: None,
        })
    }

    /// A variant's name and value.
    fn variant(&self, name: &str) -> Option<(&str, &Value)> {
        self.variants.iter().find(|(known, _)| known == name).map(|(name, value)| (name.as_str(), value))
    }
}

/// All flags of some files.
pub struct Definitions {
    engine: Engine,
    flags: Vec<Definition>,
    index: HashMap<FlagKey, usize>,
    /// The metadata of each file.
    sets: Vec<Map<String, Value>>,
    notes: Vec<String>,
    uses_time: bool,
    digest: [u8; 32],
}

impl Default for Definitions {
    /// None.
    fn default() -> Self {
        Self {
            engine: operator::engine(),
            flags: Vec::new(),
            index: HashMap::new(),
            sets: Vec::new(),
            notes: Vec::new(),
            uses_time: false,
            digest: [0; 32],
        }
    }
}

impl fmt::Debug for Definitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Definitions").field("flags", &self.flags.len()).finish_non_exhaustive()
    }
}

/// Everything that is wrong with some files: at least one mistake.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct DefinitionErrors {
    /// The first fifty.
    pub listed: Vec<DefinitionError>,
    /// How many more there are.
    pub more: usize,
}

impl fmt::Display for DefinitionErrors {
    /// One a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.listed.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        if self.more > 0 {
            write!(f, "\nand {} more", self.more)?;
        }
        Ok(())
    }
}

impl Definitions {
    /// Reads files of definitions, all of them or none.
    ///
    /// # Errors
    /// Every mistake that was found, at most one a flag, with its file, flag and place.
    pub fn parse(files: &[SourceFile<'_>]) -> Result<Self, DefinitionErrors> {
        let mut all = Self::default();
        let mut digest = Sha256::new();
        let mut errors = Vec::new();
        // The file in which each flag stands.
        let mut homes: Vec<usize> = Vec::new();
        for (number, file) in files.iter().enumerate() {
            digest.update(u64::try_from(file.bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
            digest.update(file.bytes);
            let set = match read::file(file, &all.engine, &mut errors) {
                Ok(set) => set,
                Err(mistake) => {
                    errors.push(mistake.within(file.name, None));
                    continue;
                }
            };
            all.uses_time |= set.uses_time;
            all.notes.extend(set.notes);
            all.sets.push(set.metadata);
            for flag in set.flags {
                if let Some(&other) = all.index.get(&flag.key) {
                    let home =
                        homes.get(other).and_then(|home| files.get(*home)).map_or("", |file| file.name);
                    let twice = document_path::DocumentPath::top("flags")
                        .key(flag.key.as_str())
                        .wrong(format!("this flag is defined in {home} already; expected each flag once"));
                    errors.push(twice.within(file.name, Some(flag.key.as_str())));
                    continue;
                }
                all.index.insert(flag.key.clone(), all.flags.len());
                all.flags.push(flag);
                homes.push(number);
            }
        }
        if all.flags.len() > MAX_FLAGS {
            let found = all.flags.len();
            let many = Mistake::whole_document(format!(
                "expected at most {MAX_FLAGS} flags in all files, found {found}"
            ));
            errors.push(many.within(files.last().map_or("", |file| file.name), None));
        }
        // Where a file could not be read, what it defines would be missed at every turn.
        if errors.is_empty() {
            for (at, mistake) in prerequisite::check(&all.flags, &all.index) {
                errors.push(mistake.within(files[homes[at]].name, Some(all.flags[at].key.as_str())));
            }
        }
        if errors.is_empty() {
            all.digest = digest.finalize().into();
            return Ok(all);
        }
        let more = errors.len().saturating_sub(MAX_LISTED);
        errors.truncate(MAX_LISTED);
        Err(DefinitionErrors { listed: errors, more })
    }

    /// One flag.
    #[must_use]
    pub fn get(&self, key: &FlagKey) -> Option<&Definition> {
        self.index.get(key).and_then(|at| self.flags.get(*at))
    }

    /// All flags, in the order of their files, then of their keys.
    pub fn iter(&self) -> impl Iterator<Item = &Definition> {
        self.flags.iter()
    }

    /// How many flags there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.flags.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.flags.is_empty()
    }

    /// What a person should know of what was read, a sentence each.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Whether an answer may change with time alone.
    #[must_use]
    pub fn uses_time(&self) -> bool {
        self.uses_time
    }

    /// SHA-256 of what was read: other definitions, another digest.
    #[must_use]
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }
}
