//! Searches every text file of the repository for phrases that have no right use. `language/phrases.toml` lists them, each with
//! what to write instead.
//!
//! Left out are files that record what was: the changelog, the table of renames, licences, lock files, recordings, snapshots, and the list itself.
#![allow(clippy::unwrap_used, reason = "a test")]

use std::{collections::BTreeSet, fmt::Write, fs, path::Path, process::Command};

use serde::Deserialize;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const LIST: &str = "tests/command_line/language/phrases.toml";
const SELF: &str = "tests/command_line/language.rs";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    phrases: Vec<Phrase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Phrase {
    #[serde(rename = "phrase")]
    text: String,
    replacement: String,
    why: String,
    /// Whether it is also searched inside longer words.
    #[serde(default)]
    part: bool,
}

/// A file as one line, in lower case, without comment marks and indentation, so that line breaks hide no phrase.
struct Flat {
    text: String,
    /// Where each line of the file begins in `text`.
    starts: Vec<usize>,
}

impl Flat {
    fn of(file: &str) -> Self {
        let (mut text, mut starts) = (String::with_capacity(file.len()), Vec::new());
        for line in file.lines() {
            starts.push(text.len());
            let line = line.trim();
            let marks = ["//!", "///", "//", "#", ">"];
            let line = marks.iter().find_map(|mark| line.strip_prefix(mark)).unwrap_or(line);
            // A string literal continues on the next line after a backslash.
            text.push_str(line.trim_end_matches('\\').trim());
            text.push(' ');
        }
        text.make_ascii_lowercase();
        Self { text, starts }
    }

    /// The numbers of the lines in which the phrase begins.
    fn lines_with(&self, phrase: &Phrase) -> Vec<usize> {
        let wanted = phrase.text.to_ascii_lowercase();
        let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let whole = |at: usize| {
            // A phrase that begins or ends with a mark has its boundary in itself.
            let before = is_word(wanted.chars().next()) && is_word(self.text[..at].chars().next_back());
            let after =
                is_word(wanted.chars().next_back()) && is_word(self.text[at + wanted.len()..].chars().next());
            !before && !after
        };
        let found = self.text.match_indices(&wanted).map(|(at, _)| at);
        let found = found.filter(|at| phrase.part || whole(*at));
        found.map(|at| self.starts.partition_point(|start| *start <= at)).collect()
    }
}

fn list() -> Vec<Phrase> {
    let text = fs::read_to_string(Path::new(ROOT).join(LIST)).unwrap();
    toml::from_str::<List>(&text).unwrap().phrases
}

/// Paths of the files that git tracks, without those that record what was.
fn searched() -> Vec<String> {
    let git = Command::new("git").args(["ls-files", "-z"]).current_dir(ROOT).output().unwrap();
    assert!(git.status.success(), "expected a git checkout: {}", String::from_utf8_lossy(&git.stderr));
    let paths = String::from_utf8(git.stdout).unwrap();
    let recorded = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or_default();
        [SELF, LIST, "CHANGELOG.md", "docs/renames.toml"].contains(&path)
            || name.starts_with("LICENSE")
            || Path::new(name).extension().is_some_and(|ending| ending == "lock" || ending == "snap")
            || path.starts_with("assets/recordings/") && name != "README.md"
    };
    paths.split_terminator('\0').filter(|path| !recorded(path)).map(str::to_owned).collect()
}

#[test]
fn no_file_uses_a_phrase_that_has_no_right_use() {
    let phrases = list();
    let (mut report, mut count) = (String::new(), 0);
    for path in searched() {
        // Weights are no text. A file that was deleted and not yet committed is not there.
        let Ok(text) = fs::read_to_string(Path::new(ROOT).join(&path)) else { continue };
        let flat = Flat::of(&text);
        for phrase in &phrases {
            for line in flat.lines_with(phrase) {
                count += 1;
                let Phrase { text, replacement, why, .. } = phrase;
                writeln!(report, "{path}:{line}: {text:?}: write {replacement:?} ({why})").unwrap();
            }
        }
    }
    assert!(count == 0, "{count} places use a phrase that {LIST} lists:\n{report}");
}

#[test]
fn the_list_is_sound() {
    let phrases = list();
    let mut seen = BTreeSet::new();
    for phrase in &phrases {
        assert!(seen.insert(phrase.text.to_ascii_lowercase()), "{:?} is listed twice", phrase.text);
        for text in [&phrase.text, &phrase.replacement, &phrase.why] {
            assert!(!text.trim().is_empty() && text.trim() == text, "{:?}: {text:?}", phrase.text);
        }
        for other in &phrases {
            let found = Flat::of(&phrase.replacement).lines_with(other);
            assert!(found.is_empty(), "{:?}: its replacement uses {:?}", phrase.text, other.text);
        }
    }
}

#[test]
fn a_phrase_is_found_in_any_case_over_line_breaks_and_as_whole_words_only() {
    let phrase = |text: &str, part| Phrase {
        text: text.to_owned(),
        replacement: "-".to_owned(),
        why: "-".to_owned(),
        part,
    };
    let file = Flat::of("//! Kill-all has a Lane of\n//! its own.\nlet cleans = \"hands \\\n    over\";\n");
    assert_eq!(file.lines_with(&phrase("lane of its own", false)), [1]);
    assert_eq!(file.lines_with(&phrase("hands over", false)), [3]);
    assert!(file.lines_with(&phrase("leans", false)).is_empty());
    assert_eq!(file.lines_with(&phrase("leans", true)), [3]);
    assert_eq!(Flat::of("insuff. data").lines_with(&phrase("insuff.", false)), [1]);
    assert_eq!(Flat::of("in 11 flags, 1 flags").lines_with(&phrase("1 flags", false)), [1]);
}
