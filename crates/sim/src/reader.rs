//! Reading TOML tables key by key: ranges are checked, every problem is noted with its place, keys that nobody asked for
//! are problems too, with the nearest key as a hint. Knows TOML and units, and nothing of what a scenario is.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::{Range, RangeInclusive},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::problem::{Problem, ScenarioError};
use knightwatch_core::{flag::clean, telemetry::Millis};

/// Most problems reported of one file; what is wrong beyond that is mostly the same mistake again.
const MAX_PROBLEMS: usize = 50;
/// Most characters of a found value that an error repeats.
const MAX_QUOTE: usize = 40;
/// A key is taken for a slip of another when no more letters than this differ.
const MAX_SLIP: usize = 3;

/// What is wrong so far.
pub(super) struct Problems<'t> {
    text: &'t str,
    list: Vec<(usize, String)>,
    /// Of each kind of table: the keys that there are, and whether the file gives them.
    keys: BTreeMap<(&'static str, &'static str), bool>,
}

impl<'t> Problems<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, list: Vec::new(), keys: BTreeMap::new() }
    }

    /// Notes one problem at a byte offset.
    pub(super) fn add(&mut self, at: usize, text: String) {
        self.list.push((at, text));
    }

    /// Keys that could have been given and were not, as `table.key`.
    #[cfg(test)]
    pub(super) fn absent(&self) -> Vec<String> {
        let absent = self.keys.iter().filter(|(_, given)| !**given);
        absent.map(|((table, key), _)| format!("{table}.{key}")).collect()
    }

    /// The error, where there are problems.
    pub(super) fn into_error(mut self, file: &str) -> Option<ScenarioError> {
        self.list.sort_by_key(|(at, _)| *at);
        let more = self.list.len().saturating_sub(MAX_PROBLEMS);
        self.list.truncate(MAX_PROBLEMS);
        let mut problems: Vec<_> = self.list.iter().map(|(at, text)| place(self.text, *at, text)).collect();
        if let (Some(last), 1..) = (problems.last_mut(), more) {
            last.text = format!("{} (and {more} more problems after this one)", last.text);
        }
        (!problems.is_empty()).then(|| ScenarioError { file: clean(file).into_owned(), problems })
    }
}

/// A problem at a byte offset of a text.
fn place(text: &str, at: usize, problem: &str) -> Problem {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    Problem {
        line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        text: problem.to_owned(),
    }
}

/// One TOML table being read.
pub(super) struct Section<'a, 't> {
    /// What kind of table it is: `flag`.
    kind: &'static str,
    /// What errors call it: `flag "new-checkout-ui"`.
    title: String,
    table: &'a DeTable<'t>,
    /// Where it begins in the text.
    pub(super) at: usize,
    known: BTreeSet<&'static str>,
}

/// A value and where it stands.
pub(super) struct Found<'a, 't> {
    pub(super) value: &'a DeValue<'t>,
    pub(super) at: usize,
}

impl<'a, 't> Section<'a, 't> {
    pub(super) fn new(kind: &'static str, table: &'a DeTable<'t>, at: usize) -> Self {
        Self { kind, title: kind.to_owned(), table, at, known: BTreeSet::new() }
    }

    /// Names the table in errors.
    pub(super) fn call(&mut self, name: &str) {
        self.title = format!("{} {:?}", self.kind, shorten(name));
    }

    /// The value of a key, where it is given.
    pub(super) fn get(&mut self, problems: &mut Problems<'_>, key: &'static str) -> Option<Found<'a, 't>> {
        self.known.insert(key);
        let found = self.table.iter().find(|(name, _)| name.get_ref() == key);
        *problems.keys.entry((self.kind, key)).or_default() |= found.is_some();
        found.map(|(_, value)| Found { value: value.get_ref(), at: value.span().start })
    }

    /// Notes that a key's value is not what was expected.
    pub(super) fn wrong(
        &self,
        problems: &mut Problems<'_>,
        key: &str,
        found: &Found<'_, '_>,
        expected: &str,
    ) {
        let text = format!("{}: {key}: found {}, expected {expected}", self.title, describe(found.value));
        problems.add(found.at, text);
    }

    /// Notes a problem of the table as a whole.
    pub(super) fn complain(&self, problems: &mut Problems<'_>, text: &str) {
        problems.add(self.at, format!("{}: {text}", self.title));
    }

    /// A number within a range; `unit` is its unit with a leading space, or nothing.
    pub(super) fn number(
        &mut self,
        problems: &mut Problems<'_>,
        key: &'static str,
        default: f64,
        range: RangeInclusive<f64>,
        unit: &str,
    ) -> f64 {
        let Some(found) = self.get(problems, key) else { return default };
        if let Some(number) = number(found.value).filter(|number| range.contains(number)) {
            return number;
        }
        let expected = format!("a number from {} to {}{unit}", range.start(), range.end());
        self.wrong(problems, key, &found, &expected);
        default
    }

    /// A share, written in percent up to `most` %, as a fraction. The default is in percent too.
    pub(super) fn percent(
        &mut self,
        problems: &mut Problems<'_>,
        key: &'static str,
        default: f64,
        most: f64,
    ) -> f64 {
        self.number(problems, key, default, 0.0..=most, " %") / 100.0
    }

    /// A whole number within a range.
    pub(super) fn whole(
        &mut self,
        problems: &mut Problems<'_>,
        key: &'static str,
        default: u32,
        range: RangeInclusive<u32>,
    ) -> u32 {
        let Some(found) = self.get(problems, key) else { return default };
        let whole = match found.value {
            DeValue::Integer(whole) => u32::from_str_radix(whole.as_str(), whole.radix()).ok(),
            _ => None,
        };
        whole.filter(|whole| range.contains(whole)).unwrap_or_else(|| {
            let expected = format!("a whole number from {} to {}", range.start(), range.end());
            self.wrong(problems, key, &found, &expected);
            default
        })
    }

    /// A time span such as `"1 h 30 min"`, within a range.
    pub(super) fn span(
        &mut self,
        problems: &mut Problems<'_>,
        key: &'static str,
        range: RangeInclusive<Millis>,
    ) -> Option<Millis> {
        let found = self.get(problems, key)?;
        let span =
            found.value.as_str().and_then(parse_span).and_then(|ms| u64::try_from(ms).ok()).map(Millis);
        let span = span.filter(|span| range.contains(span));
        if span.is_none() {
            let expected = format!(
                "a time span such as \"90 s\" or \"1 h 30 min\", from {} to {}",
                range.start(),
                range.end()
            );
            self.wrong(problems, key, &found, &expected);
        }
        span
    }

    /// A time span that may begin with a minus sign, in milliseconds, up to `most` either way.
    pub(super) fn signed_span(
        &mut self,
        problems: &mut Problems<'_>,
        key: &'static str,
        most: Millis,
    ) -> i64 {
        let Some(found) = self.get(problems, key) else { return 0 };
        let span = found.value.as_str().and_then(parse_span).filter(|ms| ms.unsigned_abs() <= most.0);
        span.unwrap_or_else(|| {
            let expected = format!("a time span such as \"45 s\" or \"-1 h\", up to {most} either way");
            self.wrong(problems, key, &found, &expected);
            0
        })
    }

    /// A text.
    pub(super) fn text(
        &mut self,
        problems: &mut Problems<'_>,
        key: &'static str,
    ) -> Option<(&'a str, usize)> {
        let found = self.get(problems, key)?;
        if found.value.as_str().is_none() {
            self.wrong(problems, key, &found, "a text in quotes");
        }
        found.value.as_str().map(|text| (text, found.at))
    }

    /// A text that has to be there.
    pub(super) fn needed_text(
        &mut self,
        problems: &mut Problems<'_>,
        key: &'static str,
    ) -> Option<(&'a str, usize)> {
        if !self.table.iter().any(|(name, _)| name.get_ref() == key) {
            self.complain(problems, &format!("{key} is missing"));
        }
        self.text(problems, key)
    }

    /// A list, empty where the key is not given.
    pub(super) fn list(&mut self, problems: &mut Problems<'_>, key: &'static str) -> Vec<Found<'a, 't>> {
        let Some(found) = self.get(problems, key) else { return Vec::new() };
        let Some(array) = found.value.as_array() else {
            self.wrong(problems, key, &found, "a list in square brackets");
            return Vec::new();
        };
        array.iter().map(|value| Found { value: value.get_ref(), at: value.span().start }).collect()
    }

    /// A table within this one.
    pub(super) fn table(
        &mut self,
        problems: &mut Problems<'_>,
        key: &'static str,
        kind: &'static str,
    ) -> Option<Section<'a, 't>> {
        let found = self.get(problems, key)?;
        let Some(table) = found.value.as_table() else {
            self.wrong(problems, key, &found, "a table");
            return None;
        };
        Some(Section { title: format!("{}: {key}", self.title), ..Section::new(kind, table, found.at) })
    }

    /// All tables of an array of tables.
    pub(super) fn tables(
        &mut self,
        problems: &mut Problems<'_>,
        key: &'static str,
        kind: &'static str,
    ) -> Vec<Section<'a, 't>> {
        let outer = if self.kind == "scenario" { String::new() } else { format!("{}: ", self.title) };
        let mut sections = Vec::new();
        for found in self.list(problems, key) {
            match found.value.as_table() {
                Some(table) => {
                    let mut section = Section::new(kind, table, found.at);
                    section.title = format!("{outer}{key}");
                    sections.push(section);
                }
                None => self.wrong(problems, key, &found, "a table"),
            }
        }
        sections
    }

    /// Notes every key that nothing asked for.
    pub(super) fn finish(self, problems: &mut Problems<'_>) {
        for (name, _) in self.table {
            if self.known.contains(name.get_ref().as_ref()) {
                continue;
            }
            let hint = match nearest(name.get_ref(), self.known.iter().copied()) {
                Some(key) => format!("did you mean {key:?}?"),
                None => {
                    format!("known keys are {}", self.known.iter().copied().collect::<Vec<_>>().join(", "))
                }
            };
            problems.add(
                name.span().start,
                format!("{}: unknown key {:?}; {hint}", self.title, shorten(name.get_ref())),
            );
        }
    }
}

/// A whole or broken number, not-a-number and infinities included.
pub(super) fn number(value: &DeValue<'_>) -> Option<f64> {
    match value {
        #[expect(clippy::cast_precision_loss, reason = "numbers beyond 2^53 are out of every range")]
        DeValue::Integer(whole) => {
            i64::from_str_radix(whole.as_str(), whole.radix()).ok().map(|whole| whole as f64)
        }
        DeValue::Float(number) => number.as_str().parse().ok(),
        _ => None,
    }
}

/// A value as an error quotes it: short, and harmless on a terminal.
pub(super) fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("{:?}", shorten(text)),
        DeValue::Integer(whole) => shorten(&whole.to_string()),
        DeValue::Float(number) => shorten(number.as_str()),
        DeValue::Boolean(answer) => answer.to_string(),
        DeValue::Datetime(when) => when.to_string(),
        DeValue::Array(list) => format!("a list of {}", list.len()),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// The beginning of a text, cleaned.
pub(super) fn shorten(text: &str) -> String {
    let text = clean(text);
    match text.char_indices().nth(MAX_QUOTE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into_owned(),
    }
}

/// The name nearest to a mistyped one, where one is near enough.
pub(super) fn nearest<'n>(wrong: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let near = names.map(|name| (edits(wrong, name), name)).min()?;
    (near.0 <= MAX_SLIP && near.0 * 2 <= near.1.len()).then_some(near.1)
}

/// How many letters have to be changed, put in or left out to get from one word to another (Levenshtein).
fn edits(from: &str, to: &str) -> usize {
    // A word this long is no slip of a key, and the table below would grow with it.
    if from.len() > 100 {
        return usize::MAX / 2;
    }
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, letter) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], line + 1);
        for (column, other) in to.iter().enumerate() {
            let changed = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

/// Milliseconds of a time span: numbers, each with a unit (ms, s, min, h, d), the whole perhaps with a minus sign.
fn parse_span(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.trim().strip_prefix('-') {
        Some(rest) => (-1.0, rest.trim_start()),
        None => (1.0, text.trim()),
    };
    let mut total = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (digits, after) = cut(rest, |c| c.is_ascii_digit() || c == '.');
        let (unit, after) = cut(after.trim_start(), |c| c.is_ascii_alphabetic());
        total += digits.parse::<f64>().ok()? * unit_ms(unit)?;
        rest = after.trim_start();
    }
    #[expect(clippy::cast_possible_truncation, reason = "the cast saturates; every range ends far below")]
    let ms = libm::round(sign * total) as i64;
    Some(ms)
}

/// Milliseconds to a unit of time.
fn unit_ms(unit: &str) -> Option<f64> {
    match unit {
        "ms" => Some(1.0),
        "s" => Some(1_000.0),
        "min" => Some(60_000.0),
        "h" => Some(3_600_000.0),
        "d" => Some(86_400_000.0),
        _ => None,
    }
}

/// A text cut where its characters stop to be of a kind.
fn cut(text: &str, is_inside: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !is_inside(c)).unwrap_or(text.len()))
}

/// Where a TOML error is.
pub(super) fn offset(span: Option<Range<usize>>) -> usize {
    span.map_or(0, |span| span.start)
}

/// The root table of a text, or what is wrong with its syntax.
pub(super) fn parse_table<'t>(text: &'t str, problems: &mut Problems<'_>) -> Option<Spanned<DeTable<'t>>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        problems.add(offset(error.span()), format!("not valid TOML: {}", clean(error.message())));
    }
    errors.is_empty().then_some(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_people_write_them() {
        assert_eq!(parse_span("90 s"), Some(90_000));
        assert_eq!(parse_span("1 h 30 min"), Some(5_400_000));
        assert_eq!(parse_span("1.5min"), Some(90_000));
        assert_eq!(parse_span("-1 h"), Some(-3_600_000));
        assert_eq!(parse_span("250 ms"), Some(250));
        for wrong in ["", "-", "5", "s", "5 m", "5 s 3", "1e9 s", "1..2 s", "five s", "5 s;"] {
            assert_eq!(parse_span(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_slip_finds_its_key_and_nonsense_does_not() {
        let keys = ["errors_percent", "latency", "from"];
        assert_eq!(nearest("error_percent", keys.into_iter()), Some("errors_percent"));
        assert_eq!(nearest("latncy", keys.into_iter()), Some("latency"));
        assert_eq!(nearest("banana", keys.into_iter()), None);
        assert_eq!(nearest(&"x".repeat(1_000_000), keys.into_iter()), None);
    }

    #[test]
    fn columns_count_characters() {
        assert_eq!(place("ab\nçé = 1", 8, "x").line, 2);
        assert_eq!(place("ab\nçé = 1", 8, "x").column, 4);
    }
}
