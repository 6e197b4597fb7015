//! What the README and the pages in `docs/` promise: the key table is the command table, and no link is broken.
//! `KNIGHTWATCH_UPDATE=1 cargo test the_key_table_is_the_command_table` writes the key table.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::{env, fs, path::Path, process::Command};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const KEYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/keys.md");
const BEGIN: &str = "<!-- keys: begin (generated; a test fails when it drifts) -->\n";
const END: &str = "<!-- keys: end -->";

#[test]
fn the_key_table_is_the_command_table() {
    let page = fs::read_to_string(KEYS).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (table, after) = rest.split_once(END).unwrap();
    let expected = format!("\n{}\n", knightwatch::tui::key_table_markdown().trim());
    if env::var_os("KNIGHTWATCH_UPDATE").is_some() {
        fs::write(KEYS, format!("{before}{BEGIN}{expected}\n{END}{after}")).unwrap();
        return;
    }
    assert_eq!(
        table.trim(),
        expected.trim(),
        "run KNIGHTWATCH_UPDATE=1 cargo test the_key_table_is_the_command_table"
    );
}

/// Targets of `[text](target)` and `![text](target)`, without those on the web and within the page itself.
fn links(page: &str) -> Vec<&str> {
    let targets = page.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    let targets = targets.map(|(target, _)| target.split('#').next().unwrap_or_default());
    targets.filter(|target| !target.is_empty() && !target.contains("://")).collect()
}

#[test]
fn every_relative_link_leads_to_a_file() {
    let git = Command::new("git").args(["ls-files", "-z", "*.md"]).current_dir(ROOT).output().unwrap();
    assert!(git.status.success(), "expected a git checkout: {}", String::from_utf8_lossy(&git.stderr));
    let pages = String::from_utf8(git.stdout).unwrap();
    let (mut broken, mut count) = (Vec::new(), 0);
    for page in pages.split_terminator('\0') {
        let path = Path::new(ROOT).join(page);
        // One that was deleted and not yet committed is not there.
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for link in links(&text) {
            count += 1;
            if !path.parent().unwrap().join(link).exists() {
                broken.push(format!("{page}: {link}"));
            }
        }
    }
    assert!(count > 20, "found {count} links: are they still read?");
    assert!(broken.is_empty(), "these lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn the_readme_shows_the_control_room_and_leads_to_every_option() {
    let readme = fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    let links = links(&readme);
    for link in ["assets/control-room.svg", "config/default.toml", "docs/README.md", "docs/keys.md"] {
        assert!(links.contains(&link), "the README does not link to {link}");
    }
}
