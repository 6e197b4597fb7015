//! The log as text: JSON lines, one object a line, named by its only key.
//!
//! ```text
//! {"training":{"format":1,"when":"2026-11-22 14:05 UTC","seed":7,...}}
//! {"point":{"iteration":1,"steps":8192,"seconds":0.4,"reward":-31.2,...}}
//! {"end":{"best_iteration":412,"reason":"budget","seconds":3600.2}}
//! ```
//! What a newer program adds (keys, kinds of lines) is skipped. A last line that was cut off, as a trainer leaves it that
//! was killed while writing, is left out and said; anything else that is broken is an error with its place.

use serde::Deserialize;
use thiserror::Error;

use super::{TRAINING_FORMAT, TrainingEnd, TrainingHeader, TrainingLine, TrainingLog, TrainingPoint};

/// How a training log begins, however it was written: what tells it from other files.
const BEGINNING: &str = "{\"training\":";

/// Why a training log cannot be read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TrainingLogError {
    /// There is nothing in it.
    #[error("expected a training log, found an empty file")]
    Empty,
    /// A line is not what it should be.
    #[error("line {line}: {what}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong, and what was expected.
        what: String,
    },
    /// A newer program has written it.
    #[error(
        "line 1: format {found}: this program reads formats up to {TRAINING_FORMAT}; expected an older log"
    )]
    Newer {
        /// Its format.
        found: u32,
    },
}

/// What a text came to.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainingText {
    /// The log.
    pub log: TrainingLog,
    /// The number of the last line, where it was cut off and left out.
    pub cut: Option<usize>,
}

/// A line, whichever kind it is of; none of them where it is of a kind that came later.
#[derive(Deserialize)]
struct Raw {
    training: Option<TrainingHeader>,
    point: Option<TrainingPoint>,
    end: Option<TrainingEnd>,
}

impl Raw {
    fn line(self) -> Option<TrainingLine> {
        let Self { training, point, end } = self;
        training.map(TrainingLine::Training).or(point.map(TrainingLine::Point)).or(end.map(TrainingLine::End))
    }
}

/// What a line is read for first, so that a newer format is refused as such and not for what it lacks.
#[derive(Deserialize)]
struct Format {
    training: Version,
}

#[derive(Deserialize)]
struct Version {
    format: u32,
}

/// What the JSON reader says, with its column in front instead of its own count of lines behind.
fn describe(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
    if error.column() > 0 { format!("column {}: {what}", error.column()) } else { what.to_owned() }
}

impl TrainingLine {
    /// As one line of JSON, without its end.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Nothing in it can fail: keys are strings, and what is not finite is written as null.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl TrainingLog {
    /// Whether a file that begins with `head` is meant as a training log.
    #[must_use]
    pub fn is_one(head: &[u8]) -> bool {
        let shown = head.iter().copied().filter(|byte| !byte.is_ascii_whitespace());
        let mut wanted = BEGINNING.bytes();
        shown.zip(&mut wanted).all(|(found, wanted)| found == wanted) && wanted.next().is_none()
    }

    /// Reads a log.
    ///
    /// # Errors
    /// With the number of the line that is broken or out of place, and what was expected there.
    pub fn parse(text: &str) -> Result<TrainingText, TrainingLogError> {
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).peekable();
        let at = |place: usize, what: String| TrainingLogError::Line { line: place + 1, what };
        let Some((place, first)) = lines.next() else { return Err(TrainingLogError::Empty) };
        if let Ok(Format { training: Version { format } }) = serde_json::from_str(first)
            && format > TRAINING_FORMAT
        {
            return Err(TrainingLogError::Newer { found: format });
        }
        let expected = "expected the beginning of a training, {\"training\": {...}}";
        let header = match serde_json::from_str::<Raw>(first) {
            Ok(Raw { training: Some(header), .. }) => header,
            Ok(_) => return Err(at(place, format!("{expected}, found another line"))),
            Err(error) => return Err(at(place, format!("{}; {expected}", describe(&error)))),
        };
        let mut log = Self::new(header);
        let mut cut = None;
        while let Some((place, line)) = lines.next() {
            match serde_json::from_str::<Raw>(line) {
                Ok(raw) => {
                    if let Some(line) = raw.line() {
                        log.push(line).map_err(|what| at(place, what))?;
                    }
                }
                Err(error) if error.is_eof() && lines.peek().is_none() && !text.ends_with('\n') => {
                    cut = Some(place + 1);
                }
                Err(error) => {
                    let expected = "expected {\"point\": {...}} or {\"end\": {...}}";
                    return Err(at(place, format!("{}; {expected}", describe(&error))));
                }
            }
        }
        Ok(TrainingText { log, cut })
    }

    /// The whole log as text, each line with its end.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        let points = self.points.iter().cloned().map(TrainingLine::Point);
        let lines = std::iter::once(TrainingLine::Training(self.header.clone()))
            .chain(points)
            .chain(self.end.clone().map(TrainingLine::End));
        for line in lines {
            out.push_str(&line.to_json());
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::{EndReason, Validation};

    const HEADER: &str = r#"{"training":{"format":1,"when":"today","seed":7}}"#;

    fn refused(text: &str) -> String {
        TrainingLog::parse(text).unwrap_err().to_string()
    }

    fn log() -> TrainingLog {
        let mut log = TrainingLog::parse(HEADER).unwrap().log;
        for iteration in 1..=3 {
            let validation = Validation {
                harm: 3.5,
                cost: 4.5,
                minutes_to_full: None,
                false_rollbacks_percent: Some(0.5),
                best_opponent_harm: Some(4.0),
                best: true,
            };
            let point = TrainingPoint {
                iteration,
                steps: 100 * iteration,
                seconds: 0.5,
                reward: Some(-2.25),
                validation: (iteration == 3).then_some(validation),
                ..TrainingPoint::default()
            };
            log.push(TrainingLine::Point(point)).unwrap();
        }
        let end = TrainingEnd { best_iteration: Some(3), reason: EndReason::EarlyStop, seconds: 1.0 };
        log.push(TrainingLine::End(end)).unwrap();
        log
    }

    #[test]
    fn what_is_written_is_read_again() {
        let text = log().to_text();
        assert_eq!(TrainingLog::parse(&text).unwrap(), TrainingText { log: log(), cut: None });
        assert_eq!(text.lines().count(), 5);
        assert!(TrainingLog::is_one(text.as_bytes()));
    }

    #[test]
    fn what_is_not_finite_is_read_as_missing() {
        let mut log = log();
        log.points[1].entropy = Some(f64::NAN);
        log.points[1].approx_kl = Some(0.012_345_678_9);
        let read = TrainingLog::parse(&log.to_text()).unwrap().log;
        assert_eq!(read.points[1].entropy, None);
        assert_eq!(read.points[1].approx_kl, Some(0.012_345_7), "six digits");
    }

    #[test]
    fn what_a_newer_program_adds_is_skipped_but_a_newer_format_is_refused() {
        let text = format!(
            "{HEADER}\n{{\"point\":{{\"iteration\":1,\"steps\":1,\"seconds\":1,\"new\":[1]}}}}\n{{\"gradient\":{{}}}}\n{{\"end\":{{\"reason\":\"rain\",\"seconds\":2}}}}\n"
        );
        let log = TrainingLog::parse(&text).unwrap().log;
        assert_eq!((log.points.len(), log.end.unwrap().reason), (1, EndReason::Other));
        let newer = r#"{"training":{"format":2,"begun":"today"}}"#;
        assert_eq!(
            refused(newer),
            "line 1: format 2: this program reads formats up to 1; expected an older log"
        );
    }

    #[test]
    fn a_last_line_that_was_cut_off_is_left_out_and_said() {
        let text = log().to_text();
        let whole = &text[..text.rfind("{\"end\"").unwrap()];
        let read = TrainingLog::parse(&whole[..whole.len() - 9]).unwrap();
        assert_eq!((read.log.points.len(), read.cut), (2, Some(4)));
        assert_eq!(TrainingLog::parse(whole.trim_end()).unwrap().cut, None, "only its end is missing");
    }

    #[test]
    fn what_is_broken_is_refused_with_its_place() {
        assert_eq!(refused(" \n"), "expected a training log, found an empty file");
        assert!(refused("{\"point\":{\"iteration\":1}}").starts_with("line 1: "));
        assert!(refused("flag,at\n1,2\n").contains("expected the beginning of a training"));
        assert!(refused(&HEADER[..20]).starts_with("line 1: column 20: "), "{}", refused(&HEADER[..20]));
        let broken = format!("{HEADER}\n\n{{\"point\":{{\"iteration\":1,\"steps\":\n");
        assert!(refused(&broken).starts_with("line 3: column "), "{}", refused(&broken));
        let missing = format!("{HEADER}\n{{\"point\":{{\"iteration\":1,\"steps\":3}}}}\n");
        assert!(
            refused(&missing).contains("line 2: column 34: missing field `seconds`"),
            "{}",
            refused(&missing)
        );
        let wrong = format!("{HEADER}\n{{\"point\":{{\"iteration\":1,\"steps\":3,\"seconds\":\"x\"}}}}\n");
        assert!(refused(&wrong).contains("invalid type: string \"x\", expected f64"), "{}", refused(&wrong));
    }

    #[test]
    fn what_is_out_of_place_is_refused() {
        let point = |iteration: u64, steps: u64, seconds: f64| {
            format!("{{\"point\":{{\"iteration\":{iteration},\"steps\":{steps},\"seconds\":{seconds}}}}}")
        };
        let end = r#"{"end":{"reason":"budget","seconds":2}}"#;
        let two = |first: &str, second: &str| refused(&format!("{HEADER}\n{first}\n{second}\n"));
        assert_eq!(two(&point(2, 9, 1.0), &point(2, 9, 1.0)), "line 3: iteration 2: expected one after 2");
        assert!(two(&point(1, 9, 1.0), &point(2, 8, 1.0)).contains("8 steps: expected at least 9"));
        assert!(two(&point(1, 9, 1.0), &point(2, 9, 0.5)).contains("0.5 seconds: expected at least 1"));
        assert!(two(&point(1, 9, -1.0), end).contains("line 2: seconds: expected 0 or more, found -1"));
        assert!(two(end, &point(1, 9, 1.0)).contains("line 3: expected nothing after the end"));
        assert!(two(HEADER, end).contains("line 2: a second beginning"));
    }

    #[test]
    fn other_files_are_not_taken_for_one() {
        for head in ["", "{", "{\"train", "SQLite format 3\0", "timestamp,value\n", "{\"point\":{}}"] {
            assert!(!TrainingLog::is_one(head.as_bytes()), "{head}");
        }
        assert!(TrainingLog::is_one(b" { \"training\" : {"));
    }
}
