//! Reading TOML tables into structures: serde reads, garde checks ranges, and every problem is reported with its place. An
//! unknown key is a problem, with the nearest known key as a hint. Knows TOML and units, but not what a scenario is.
//!
//! A field that does not have the expected type does not stop serde ([`Field::Invalid`]); its check reports it. So one wrong value
//! hides no other.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::{Range, RangeInclusive},
};

use garde::Validate;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error, Visitor, value},
    forward_to_deserialize_any,
};
use toml::{
    Spanned,
    de::{DeTable, DeValue, ValueDeserializer},
};

use super::problem::{Problem, ScenarioError};
use knightwatch_core::{
    flag::{FlagKey, clean},
    telemetry::{Millis, parse_duration},
};

/// Most problems reported of one file; what is wrong beyond that is mostly the same mistake again.
const MAX_PROBLEMS: usize = 50;
/// Most characters of a found value that an error repeats.
const MAX_QUOTE: usize = 40;
/// A key is taken for a slip of another when no more letters than this differ.
const MAX_SLIP: usize = 3;
/// Longest text that is taken for a slip.
const MAX_SLIP_LENGTH: usize = 100;

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

/// A value of a table.
#[derive(Clone, Debug, Default)]
pub(super) enum Field<T> {
    /// The key is not in the table.
    #[default]
    Missing,
    /// As expected, but for its range.
    Valid(T),
    /// Something else; the field's check reports it.
    Invalid,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    /// Does not fail: each value of a parsed TOML table has a deserializer of its own, so that the next one is not affected.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(T::deserialize(deserializer).map_or(Self::Invalid, Self::Valid))
    }
}

impl<T> Field<T> {
    /// The value, where there is a valid one.
    pub(super) fn valid(&self) -> Option<&T> {
        match self {
            Self::Valid(value) => Some(value),
            Self::Missing | Self::Invalid => None,
        }
    }

    /// Fails with what was expected, unless the key is missing or `is_right`.
    pub(super) fn check(
        &self,
        is_right: impl FnOnce(&T) -> bool,
        expected: impl FnOnce() -> String,
    ) -> garde::Result {
        match self {
            Self::Missing => Ok(()),
            Self::Valid(value) if is_right(value) => Ok(()),
            Self::Valid(_) | Self::Invalid => Err(garde::Error::new(expected())),
        }
    }
}

impl<T: Copy> Field<T> {
    /// The value, or this one where there is no valid one.
    pub(super) fn or(&self, default: T) -> T {
        self.valid().copied().unwrap_or(default)
    }
}

impl Field<f64> {
    /// A percentage as a fraction. The default is a percentage too.
    pub(super) fn fraction_or(&self, default: f64) -> f64 {
        self.or(default) / 100.0
    }
}

impl Field<TimeSpan> {
    /// The time, where there is a valid one.
    pub(super) fn millis(&self) -> Option<Millis> {
        self.valid().and_then(|span| u64::try_from(span.0).ok()).map(Millis)
    }
}

impl<T> Field<Vec<T>> {
    /// The elements; none where there is no valid list.
    pub(super) fn elements(&self) -> &[T] {
        self.valid().map_or(&[], Vec::as_slice)
    }
}

/// Milliseconds, written as a text such as `"1 h 30 min"`, perhaps with a minus sign.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct TimeSpan(pub(super) i64);

impl TryFrom<String> for TimeSpan {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        parse_duration(&text).map(Self).ok_or("not a time span")
    }
}

/// Checks that the key is there.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that garde calls")]
pub(super) fn required<T>(field: &Field<T>, (): &()) -> garde::Result {
    match field {
        Field::Missing => Err(garde::Error::new("is missing")),
        Field::Valid(_) | Field::Invalid => Ok(()),
    }
}

/// Checks a number; `unit` is its unit with a leading space, or nothing.
pub(super) fn number(
    range: RangeInclusive<f64>,
    unit: &'static str,
) -> impl FnOnce(&Field<f64>, &()) -> garde::Result {
    move |field, ()| {
        let expected = || format!("a number from {} to {}{unit}", range.start(), range.end());
        field.check(|number| range.contains(number), expected)
    }
}

/// Checks a percentage from 0 to `max`.
pub(super) fn percent(max: f64) -> impl FnOnce(&Field<f64>, &()) -> garde::Result {
    number(0.0..=max, " %")
}

/// Checks a whole number.
pub(super) fn integer(range: RangeInclusive<u32>) -> impl FnOnce(&Field<u32>, &()) -> garde::Result {
    move |field, ()| {
        let expected = || format!("a whole number from {} to {}", range.start(), range.end());
        field.check(|number| range.contains(number), expected)
    }
}

/// Checks a time span.
pub(super) fn span(range: RangeInclusive<Millis>) -> impl FnOnce(&Field<TimeSpan>, &()) -> garde::Result {
    move |field, ()| {
        let is_right = |span: &TimeSpan| u64::try_from(span.0).is_ok_and(|ms| range.contains(&Millis(ms)));
        let (min, max) = (range.start(), range.end());
        let expected = || format!("a time span such as \"90 s\" or \"1 h 30 min\", from {min} to {max}");
        field.check(is_right, expected)
    }
}

/// Checks a time span that may be negative.
pub(super) fn signed_span(max: Millis) -> impl FnOnce(&Field<TimeSpan>, &()) -> garde::Result {
    move |field, ()| {
        let expected = || format!("a time span such as \"45 s\" or \"-1 h\", up to {max} either way");
        field.check(|span| span.0.unsigned_abs() <= max.0, expected)
    }
}

/// Checks a text.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that garde calls")]
pub(super) fn text(field: &Field<String>, (): &()) -> garde::Result {
    field.check(|_| true, || "a text in quotes".to_owned())
}

/// Checks a list. Its elements are checked where they are used.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that garde calls")]
pub(super) fn list<T>(field: &Field<Vec<T>>, (): &()) -> garde::Result {
    field.check(|_| true, || "a list in square brackets".to_owned())
}

/// Checks one of several words.
pub(super) fn word<T>(words: &'static [&'static str]) -> impl FnOnce(&Field<T>, &()) -> garde::Result {
    move |field, ()| {
        let quoted = || words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(" or ");
        field.check(|_| true, quoted)
    }
}

/// The keys of one kind of table: a structure of [`Field`]s with their checks.
pub(super) trait Keys: DeserializeOwned + Default + Validate<Context = ()> {
    /// What problems call such a table: `flag`.
    const KIND: &'static str;
    /// Further keys, which hold tables of another kind.
    const TABLES: &'static [&'static str] = &[];
}

/// One TOML table.
pub(super) struct Section<'a, 't> {
    /// What problems call it: `flag "new-checkout-ui"`.
    title: String,
    table: &'a DeTable<'t>,
    /// Where it begins in the text.
    pub(super) at: usize,
}

impl<'a, 't> Section<'a, 't> {
    /// The root table of a file.
    pub(super) fn root(title: &str, table: &'a DeTable<'t>) -> Self {
        Self { title: title.to_owned(), table, at: 0 }
    }

    /// Adds the text of `key` to the title, where it is a name.
    pub(super) fn named(mut self, key: &str) -> Self {
        let name = self.value(key).and_then(|value| value.get_ref().as_str());
        if let Some(name) = name.filter(|name| name.parse::<FlagKey>().is_ok()) {
            self.title = format!("{} {:?}", self.title, shorten(name));
        }
        self
    }

    fn value(&self, key: &str) -> Option<&'a Spanned<DeValue<'t>>> {
        self.table.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
    }

    /// Where the value of a key is; the beginning of the table where the key is missing.
    pub(super) fn place(&self, key: &str) -> usize {
        self.value(key).map_or(self.at, |value| value.span().start)
    }

    /// Reads the table and reports unknown keys and wrong values. What is wrong is left out of the result.
    pub(super) fn read<T: Keys>(&self, problems: &mut Problems<'_>) -> T {
        let names = field_names::<T>();
        let known: BTreeSet<&'static str> = names.iter().chain(T::TABLES).copied().collect();
        self.report_unknown(problems, &known);
        for key in &known {
            *problems.keys.entry((T::KIND, *key)).or_default() |= self.value(key).is_some();
        }
        let keys: T = self.fields(problems, |key| names.contains(&key));
        let Err(report) = keys.validate() else { return keys };
        let mut wrong = BTreeSet::new();
        for (path, error) in report.iter() {
            let key = path.to_string();
            match self.value(&key) {
                Some(value) => self.wrong_value(problems, &key, value, error.message()),
                None => self.complain(problems, &format!("{key} {}", error.message())),
            }
            wrong.insert(key);
        }
        self.fields(problems, |key| names.contains(&key) && !wrong.contains(key))
    }

    /// The fields that are `wanted`.
    fn fields<T: Keys>(&self, problems: &mut Problems<'_>, wanted: impl Fn(&str) -> bool) -> T {
        let entries = self.table.iter().filter(|(key, _)| wanted(key.get_ref()));
        let table = entries.map(|(key, value)| (key.clone(), value.clone())).collect();
        let value = Spanned::new(self.at..self.at, DeValue::Table(table));
        T::deserialize(ValueDeserializer::from(value)).unwrap_or_else(|error| {
            // No field fails, so neither does the table.
            self.complain(problems, &clean(error.message()));
            T::default()
        })
    }

    fn report_unknown(&self, problems: &mut Problems<'_>, known: &BTreeSet<&'static str>) {
        for (name, _) in self.table {
            if known.contains(name.get_ref().as_ref()) {
                continue;
            }
            let hint = match nearest(name.get_ref(), known.iter().copied()) {
                Some(key) => format!("did you mean {key:?}?"),
                None => format!("known keys are {}", known.iter().copied().collect::<Vec<_>>().join(", ")),
            };
            let text = format!("{}: unknown key {:?}; {hint}", self.title, shorten(name.get_ref()));
            problems.add(name.span().start, text);
        }
    }

    fn wrong_value(
        &self,
        problems: &mut Problems<'_>,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        expected: &str,
    ) {
        let found = describe(value.get_ref());
        let text = format!("{}: {key}: found {found}, expected {expected}", self.title);
        problems.add(value.span().start, text);
    }

    /// Reports that an element of a list is not what was expected.
    pub(super) fn wrong_element(&self, problems: &mut Problems<'_>, key: &str, index: usize, expected: &str) {
        if let Some(element) = self.element(key, index) {
            self.wrong_value(problems, key, element, expected);
        }
    }

    fn element(&self, key: &str, index: usize) -> Option<&'a Spanned<DeValue<'t>>> {
        self.value(key)?.get_ref().get(index)
    }

    /// Where an element of a list is.
    pub(super) fn element_place(&self, key: &str, index: usize) -> usize {
        self.element(key, index).map_or(self.at, |element| element.span().start)
    }

    /// Reports a problem of the table as a whole.
    pub(super) fn complain(&self, problems: &mut Problems<'_>, text: &str) {
        problems.add(self.at, format!("{}: {text}", self.title));
    }

    /// A table within this one.
    pub(super) fn table(&self, problems: &mut Problems<'_>, key: &'static str) -> Option<Section<'a, 't>> {
        let value = self.value(key)?;
        let Some(table) = value.get_ref().as_table() else {
            self.wrong_value(problems, key, value, "a table");
            return None;
        };
        Some(Section { title: format!("{}: {key}", self.title), table, at: value.span().start })
    }

    /// All tables of an array of tables; `outer` is what their titles begin with.
    pub(super) fn tables(
        &self,
        problems: &mut Problems<'_>,
        key: &'static str,
        outer: Option<&str>,
    ) -> Vec<Section<'a, 't>> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let Some(array) = value.get_ref().as_array() else {
            self.wrong_value(problems, key, value, "a list in square brackets");
            return Vec::new();
        };
        let title = outer.map_or_else(|| key.to_owned(), |outer| format!("{outer}: {key}"));
        let mut sections = Vec::new();
        for value in array {
            match value.get_ref().as_table() {
                Some(table) => {
                    sections.push(Section { title: title.clone(), table, at: value.span().start });
                }
                None => self.wrong_value(problems, key, value, "a table"),
            }
        }
        sections
    }

    /// What problems call it.
    pub(super) fn title(&self) -> &str {
        &self.title
    }
}

/// The names of a structure's fields.
fn field_names<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    // It always fails: it takes the names and has no values.
    let _ = T::deserialize(FieldNames(&mut names));
    names
}

/// A deserializer that takes the names of the fields that a structure asks for.
struct FieldNames<'n>(&'n mut &'static [&'static str]);

impl<'de> Deserializer<'de> for FieldNames<'_> {
    type Error = value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, value::Error> {
        Err(value::Error::custom("not a structure"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, value::Error> {
        *self.0 = fields;
        Err(value::Error::custom("no values"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
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
    // A longer text is no slip of a name, and comparing takes time that grows with it.
    if wrong.len() > MAX_SLIP_LENGTH {
        return None;
    }
    let near = names.map(|name| (strsim::levenshtein(wrong, name), name)).min()?;
    (near.0 <= MAX_SLIP && near.0 * 2 <= near.1.len()).then_some(near.1)
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

    #[derive(Debug, Default, Deserialize, Validate)]
    #[serde(default)]
    struct Sample {
        #[garde(custom(required), custom(number(0.0..=9.0, " ms")))]
        size: Field<f64>,
        #[garde(custom(integer(1..=3)))]
        count: Field<u32>,
        #[garde(custom(span(Millis::ZERO..=Millis(1_000))))]
        time: Field<TimeSpan>,
        #[garde(custom(list))]
        rungs: Field<Vec<Field<f64>>>,
    }

    impl Keys for Sample {
        const KIND: &'static str = "sample";
        const TABLES: &'static [&'static str] = &["inner"];
    }

    fn read(text: &str) -> (Sample, Vec<String>) {
        let table = DeTable::parse(text).unwrap();
        let mut problems = Problems::new(text);
        let sample = Section::root("sample", table.get_ref()).read(&mut problems);
        let error = problems.into_error("x").map(|error| error.to_string()).unwrap_or_default();
        (sample, error.lines().map(str::to_owned).collect())
    }

    #[test]
    fn one_wrong_value_hides_no_other() {
        let (sample, problems) = read(
            "size = 99999999999999999999999999999999999999999999\ncount = 2.5\ntime = 60\nrungs = [1, 'x', 1e999]\nspeed = 3",
        );
        assert_eq!(
            problems,
            [
                "x:1:8: sample: size: found 9999999999999999999999999999999999999999…, expected a number from 0 to 9 ms",
                "x:2:9: sample: count: found 2.5, expected a whole number from 1 to 3",
                "x:3:8: sample: time: found 60, expected a time span such as \"90 s\" or \"1 h 30 min\", from 0 s to 1 s",
                "x:5:1: sample: unknown key \"speed\"; known keys are count, inner, rungs, size, time",
            ]
        );
        assert!(sample.size.valid().is_none() && sample.count.valid().is_none());
        let rungs: Vec<_> = sample.rungs.elements().iter().map(Field::valid).collect();
        assert_eq!(rungs, [Some(&1.0), None, None]);
    }

    #[test]
    fn what_is_out_of_range_is_not_used_and_what_is_right_is() {
        let (sample, problems) = read("size = 10\ncount = 0x2\ntime = '900 ms'");
        assert_eq!(problems, ["x:1:8: sample: size: found 10, expected a number from 0 to 9 ms"]);
        assert_eq!((sample.size.or(4.0), sample.count.or(1)), (4.0, 2));
        assert_eq!(sample.time.millis(), Some(Millis(900)));
        assert_eq!(read("count = 1").1, ["x:1:1: sample: size is missing"]);
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
