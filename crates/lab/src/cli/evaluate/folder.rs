//! A folder of the user's own scenarios: every `*.toml` in it, in the order of their names.
//!
//! All of them are read before anything runs, and everything that is wrong with any of them is said at once.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use super::super::Failure;
use knightwatch_sim::{MAX_SCENARIO_BYTES, Scenario};

/// The scenarios of a folder.
///
/// # Errors
/// A folder that cannot be read or has no scenario in it; a file that is none, starts no flag, or has the name of another.
pub(super) fn read(folder: &Path) -> Result<Vec<Scenario>, Failure> {
    let failed = |error: std::io::Error| Failure::input(format!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension() == Some(OsStr::new("toml")) {
            files.push(path);
        }
    }
    files.sort();
    if files.is_empty() {
        let folder = folder.display();
        return Err(Failure::input(format!("{folder}: there is no scenario in it: no file ends in .toml")));
    }
    let (mut scenarios, mut wrong) = (Vec::new(), Vec::new());
    let mut names: BTreeMap<String, &Path> = BTreeMap::new();
    for file in &files {
        match one(file) {
            Err(error) => wrong.push(error),
            Ok(scenario) => match names.insert(scenario.name.clone(), file) {
                None => scenarios.push(scenario),
                Some(other) => wrong.push(format!(
                    "{}: found the name {:?}, which {} has too; expected a name of its own",
                    file.display(),
                    scenario.name,
                    other.display()
                )),
            },
        }
    }
    if wrong.is_empty() { Ok(scenarios) } else { Err(Failure::input(wrong.join("\n"))) }
}

fn one(file: &Path) -> Result<Scenario, String> {
    let text = knightwatch::config::read_text(file, MAX_SCENARIO_BYTES as u64, "scenario")
        .map_err(|error| error.to_string())?;
    let name = file.display().to_string();
    let scenario = Scenario::parse(&text, &name).map_err(|error| error.to_string())?;
    if scenario.scheduled_starts().is_empty() {
        return Err(format!(
            "{name}: none of its flags is ever started; expected a [[flag]] with start = ..."
        ));
    }
    Ok(scenario)
}
