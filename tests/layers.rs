//! Dependencies point one way: a layer uses only those above it in the list of ARCHITECTURE.md.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::{fs, path::Path};

/// The layers, from the purest down.
const LAYERS: [&str; 14] = [
    "flag",
    "telemetry",
    "control",
    "agent",
    "sim",
    "judge",
    "learn",
    "store",
    "integrations",
    "engine",
    "backend",
    "server",
    "tui",
    "cli",
];

/// What the pure layers must not touch.
const IMPURE: [&str; 9] = [
    "std::fs",
    "std::net",
    "std::env",
    "std::thread",
    "Instant",
    "SystemTime",
    "tokio",
    "rusqlite",
    "static mut",
];

/// How many layers are pure.
const PURE: usize = 6;

fn sources(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let name = path.strip_prefix(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).unwrap();
            found.push((name.to_string_lossy().into_owned(), fs::read_to_string(&path).unwrap()));
        }
    }
}

fn layer_of(name: &str) -> Option<usize> {
    let first = name.split(['/', '.']).next()?;
    LAYERS.iter().position(|layer| *layer == first)
}

/// Layers named by `crate::x` or in a `use crate::{x::..., y::...}` list.
fn used(text: &str) -> Vec<usize> {
    let mut used = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        let names: Vec<&str> = if let Some(list) = rest.strip_prefix('{') {
            top_level_names(list)
        } else {
            vec![rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or("")]
        };
        used.extend(names.into_iter().filter_map(|name| LAYERS.iter().position(|layer| *layer == name)));
    }
    used
}

fn top_level_names(list: &str) -> Vec<&str> {
    let (mut depth, mut start, mut names) = (0, 0, Vec::new());
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                names.push(&list[start..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    names.into_iter().map(|name| name.trim().split("::").next().unwrap_or("").trim()).collect()
}

fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

#[test]
fn a_layer_uses_only_those_above_it() {
    let mut found = Vec::new();
    sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut found);
    assert!(found.len() > 30, "the sources were not found");
    for (name, text) in &found {
        let Some(layer) = layer_of(name) else { continue };
        for below in used(without_tests(text)) {
            assert!(below <= layer, "src/{name} ({}) uses {}, a layer below it", LAYERS[layer], LAYERS[below]);
        }
    }
}

#[test]
fn the_core_is_pure() {
    let mut found = Vec::new();
    sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut found);
    for (name, text) in &found {
        if layer_of(name).is_some_and(|layer| layer < PURE) {
            for word in IMPURE {
                assert!(!without_tests(text).contains(word), "src/{name} is in a pure layer and uses {word}");
            }
        }
    }
}

#[test]
fn the_reader_of_use_lines_sees_what_it_should() {
    let control = LAYERS.iter().position(|layer| *layer == "control").unwrap();
    let flag = LAYERS.iter().position(|layer| *layer == "flag").unwrap();
    assert_eq!(used("use crate::{\n control::{Action, Phase},\n flag::Rollout,\n};"), [control, flag]);
    assert_eq!(used("let x = crate::flag::clean_line(text);"), [flag]);
}
