//! The README's key table comes from the command table. `KNIGHTWATCH_UPDATE=1 cargo test --test readme` writes it.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::{env, fs};

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
const BEGIN: &str = "<!-- keys: begin (generated; a test fails when it drifts) -->\n";
const END: &str = "<!-- keys: end -->";

#[test]
fn the_key_table_is_the_command_table() {
    let readme = fs::read_to_string(README).unwrap();
    let (before, rest) = readme.split_once(BEGIN).unwrap();
    let (table, after) = rest.split_once(END).unwrap();
    let expected = format!("\n{}\n", knightwatch::tui::key_table_markdown().trim());
    if env::var_os("KNIGHTWATCH_UPDATE").is_some() {
        fs::write(README, format!("{before}{BEGIN}{expected}\n{END}{after}")).unwrap();
        return;
    }
    assert_eq!(table.trim(), expected.trim(), "run KNIGHTWATCH_UPDATE=1 cargo test --test readme");
}

#[test]
fn what_the_readme_shows_is_there() {
    let readme = fs::read_to_string(README).unwrap();
    for link in ["assets/control-room.svg", "config/default.toml", "config/scenarios/README.md"] {
        assert!(readme.contains(link), "{link} is not in the README");
        assert!(fs::exists(format!("{}/{link}", env!("CARGO_MANIFEST_DIR"))).unwrap(), "{link} is missing");
    }
}
