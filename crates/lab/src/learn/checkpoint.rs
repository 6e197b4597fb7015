//! A training on disk: everything that going on exactly needs, in one file, replaced atomically. Knows nothing of what
//! the environment puts into its own bytes.
//!
//! ```text
//! knightwatch checkpoint 1\n
//! length of the body, 8 bytes, little endian | SHA-256 of the body, 32 bytes
//! body: length of the header, 8 bytes | header, JSON | parameters | mean | square | environment
//! ```
//! Numbers are f32, little endian. Generators have no state: they follow from seed and iteration.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    LearnError, PpoConfig, Shape,
    adam::Adam,
    net::Net,
    ppo::{Ppo, Progress},
};

/// The version of the format.
const VERSION: u32 = 1;

/// What the file begins with, before its version.
const HEADING: &str = "knightwatch checkpoint ";

/// Length and hash.
const PREFIX: usize = 8 + 32;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    config: serde_json::Value,
    observations: usize,
    privileged: usize,
    actions: usize,
    scope: String,
    seed: u64,
    state: Progress,
    optimiser_steps: i32,
    parameters: usize,
    environment: usize,
}

impl Ppo {
    /// Writes everything to `path`: beside it first, synced, then renamed over it. `scope` says what else has to be the
    /// same for going on (the features' hash, the environment's settings); `environment` is the environment's state, in its own
    /// words.
    ///
    /// # Errors
    /// What the operating system refused; an older checkpoint is still there then.
    pub fn save(&self, path: &Path, scope: &str, environment: &[u8]) -> Result<(), LearnError> {
        let parameters = self.parameters();
        let (mean, square, optimiser_steps) = self.adam.state();
        let Shape { observations, privileged, actions } = self.shape;
        let header = Header {
            config: settings(&self.config, path)?,
            observations,
            privileged,
            actions,
            scope: scope.to_owned(),
            seed: self.seed,
            state: self.state.clone(),
            optimiser_steps,
            parameters: parameters.len(),
            environment: environment.len(),
        };
        let header = serde_json::to_vec(&header).map_err(|error| broken(path, error.to_string()))?;
        let mut body = Vec::with_capacity(8 + header.len() + parameters.len() * 12 + environment.len());
        body.extend((header.len() as u64).to_le_bytes());
        body.extend(header);
        for number in parameters.iter().chain(&mean).chain(&square) {
            body.extend(number.to_le_bytes());
        }
        body.extend(environment);
        write(path, &body).map_err(|error| LearnError::io("write", path, error))
    }

    /// Goes on from the checkpoint at `path`, which has to be of the same settings, sizes and scope.
    ///
    /// # Errors
    /// A file that cannot be read, that is no whole checkpoint of this version, or one of another training.
    pub fn load(
        path: &Path,
        config: &PpoConfig,
        shape: Shape,
        scope: &str,
    ) -> Result<(Self, Vec<u8>), LearnError> {
        config.check()?;
        shape.check()?;
        let bytes = fs::read(path).map_err(|error| LearnError::io("read", path, error))?;
        let body = verified_body(&bytes).map_err(|detail| broken(path, detail))?;
        let (header, rest) = split(body).map_err(|detail| broken(path, detail))?;
        same(&header, &settings(config, path)?, shape, scope)
            .map_err(|detail| LearnError::Mismatch { path: path.to_owned(), detail })?;

        let count = Net::counts(shape, config.hidden).2;
        if header.parameters != count || rest.len() != count * 12 + header.environment {
            let detail = format!(
                "expected {count} parameters and {} bytes after the header, found {} and {}",
                count * 12 + header.environment,
                header.parameters,
                rest.len()
            );
            return Err(broken(path, detail));
        }
        let (numbers, environment) = rest.split_at(count * 12);
        let mut blocks = numbers.chunks_exact(count * 4).map(floats);
        let mut block = || blocks.next().unwrap_or_default();
        let net = Net::from_flat(shape, config.hidden, &block());
        let adam = Adam::resume(&block(), &block(), header.optimiser_steps, config.adam_epsilon);
        Ok((
            Self::assemble(config.clone(), shape, header.seed, net, adam, header.state),
            environment.to_vec(),
        ))
    }
}

fn broken(path: &Path, detail: String) -> LearnError {
    LearnError::Checkpoint { path: path.to_owned(), detail }
}

fn settings(config: &PpoConfig, path: &Path) -> Result<serde_json::Value, LearnError> {
    serde_json::to_value(config).map_err(|error| broken(path, error.to_string()))
}

/// The body, where the file is a whole checkpoint of this version.
fn verified_body(bytes: &[u8]) -> Result<&[u8], String> {
    let none = || format!("expected a file that begins with `{HEADING}{VERSION}`; this is no checkpoint");
    let rest = bytes.strip_prefix(HEADING.as_bytes()).ok_or_else(none)?;
    let end = rest.iter().take(12).position(|byte| *byte == b'\n').ok_or_else(none)?;
    let version: u32 =
        str::from_utf8(&rest[..end]).ok().and_then(|text| text.parse().ok()).ok_or_else(none)?;
    if version != VERSION {
        return Err(format!("a checkpoint of version {version}; this program reads version {VERSION}"));
    }
    let rest = &rest[end + 1..];
    let cut = |expected: u64, found: usize| format!("cut off: expected {expected} bytes, found {found}");
    if rest.len() < PREFIX {
        return Err(cut(PREFIX as u64, rest.len()));
    }
    let (prefix, body) = rest.split_at(PREFIX);
    let length = little(prefix);
    if body.len() as u64 != length {
        return Err(cut(length, body.len()));
    }
    if Sha256::digest(body).as_slice() != &prefix[8..] {
        return Err("damaged: its contents do not fit its SHA-256".to_owned());
    }
    Ok(body)
}

/// The header and what is behind it.
fn split(body: &[u8]) -> Result<(Header, &[u8]), String> {
    let short = || "the header is longer than the file".to_owned();
    if body.len() < 8 {
        return Err(short());
    }
    let (length, rest) = body.split_at(8);
    let length = usize::try_from(little(length)).ok().filter(|length| *length <= rest.len());
    let (header, rest) = rest.split_at(length.ok_or_else(short)?);
    let header = serde_json::from_slice(header).map_err(|error| format!("its header: {error}"))?;
    Ok((header, rest))
}

/// Whether the header's training is the one at hand.
fn same(header: &Header, config: &serde_json::Value, shape: Shape, scope: &str) -> Result<(), String> {
    let differs = |what: &str, there: &dyn std::fmt::Display, here: &dyn std::fmt::Display| {
        Err(format!("{what} is {there} there and {here} here"))
    };
    for (what, there, here) in [
        ("observations", header.observations, shape.observations),
        ("privileged", header.privileged, shape.privileged),
        ("actions", header.actions, shape.actions),
    ] {
        if there != here {
            return differs(what, &there, &here);
        }
    }
    if let Some(settings) = config.as_object() {
        for (key, here) in settings {
            let there = header.config.get(key).unwrap_or(&serde_json::Value::Null);
            if there != here {
                return differs(key, there, here);
            }
        }
    }
    if header.scope != scope {
        return differs("its scope", &format!("`{}`", header.scope), &format!("`{scope}`"));
    }
    Ok(())
}

/// The first eight bytes as a number; there are as many.
fn little(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    let (numbers, _) = bytes.as_chunks::<4>();
    numbers.iter().map(|number| f32::from_le_bytes(*number)).collect()
}

/// A new file, synced, renamed over the old one, the folder synced.
fn write(path: &Path, body: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let fresh = PathBuf::from(name);
    let replace = || {
        let mut file = File::create(&fresh)?;
        writeln!(file, "{HEADING}{VERSION}")?;
        file.write_all(&(body.len() as u64).to_le_bytes())?;
        file.write_all(&Sha256::digest(body))?;
        file.write_all(body)?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    };
    replace().inspect_err(|_| {
        // What could not be finished is worth nothing; the old checkpoint is still there.
        let _ = fs::remove_file(&fresh);
    })
}

#[cfg(test)]
mod tests;
