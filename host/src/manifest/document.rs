//! A TOML text read key by key, with every problem placed at its line and column.
//!
//! [`read`] hands out the root [`Table`]; its typed getters note what is wrong and answer `None`, so
//! that one pass finds every problem. A table that is dropped reports the keys that nobody asked for.
//!
//! Knows nothing of which keys exist: function manifests and `mayfly.toml` both read through it.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use domain::billing::budget::parse_usd;
use domain::billing::{PicoUsd, usd_text};
use toml::de::{DeTable, DeValue};

/// Problems that are kept of one text; more of them help nobody.
const PROBLEMS_MAX: usize = 20;

/// Characters of a key or value that a problem repeats.
const QUOTED_CHARS_MAX: usize = 60;

/// One thing that is wrong with a text, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// From 1.
    pub(crate) line: usize,
    /// From 1, in characters.
    pub(crate) column: usize,
    /// Which key, which rule, which value. One line.
    pub(crate) message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

/// Reads `text` with `reader`, and answers what it made if nothing was wrong.
///
/// # Errors
///
/// Every [`Problem`] in the order of the text, at least one: what is not TOML, what `reader` noted,
/// and each key it did not ask for.
pub(crate) fn read<T>(text: &str, reader: impl FnOnce(&Table<'_>) -> T) -> Result<T, Vec<Problem>> {
    let notes = Notes {
        text,
        problems: RefCell::default(),
    };
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let message = error
            .message()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        notes.add(
            &error.span().unwrap_or_default(),
            format!("not TOML: {message}"),
        );
    }
    if !errors.is_empty() {
        return Err(notes.into_problems());
    }
    let made = {
        let table = Table::new(&notes, root.get_ref(), root.span(), String::new());
        reader(&table)
    };
    let problems = notes.into_problems();
    if problems.is_empty() {
        Ok(made)
    } else {
        Err(problems)
    }
}

/// What has been found wrong so far.
#[derive(Debug)]
struct Notes<'d> {
    text: &'d str,
    problems: RefCell<Vec<Problem>>,
}

impl Notes<'_> {
    fn add(&self, span: &Range<usize>, message: String) {
        let mut problems = self.problems.borrow_mut();
        if problems.len() < PROBLEMS_MAX {
            let (line, column) = position(self.text, span.start);
            problems.push(Problem {
                line,
                column,
                message,
            });
        }
    }

    fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|problem| (problem.line, problem.column));
        problems
    }
}

/// Line and column, both from 1, of a byte offset.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let end = (0..=offset.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at));
    let before = &text[..end.unwrap_or(0)];
    let line = before.matches('\n').count() + 1;
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (line, before[line_start..].chars().count() + 1)
}

/// One table of a document.
#[derive(Debug)]
pub(crate) struct Table<'d> {
    notes: &'d Notes<'d>,
    entries: &'d DeTable<'d>,
    span: Range<usize>,
    /// The keys that lead here, such as `sandbox` or `http[2]`.
    path: String,
    asked: RefCell<Vec<&'static str>>,
    open: Cell<bool>,
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct At<T> {
    /// The value.
    pub(crate) value: T,
    span: Range<usize>,
}

impl<'d> Table<'d> {
    fn new(
        notes: &'d Notes<'d>,
        entries: &'d DeTable<'d>,
        span: Range<usize>,
        path: String,
    ) -> Self {
        Self {
            notes,
            entries,
            span,
            path,
            asked: RefCell::default(),
            open: Cell::new(false),
        }
    }

    /// Notes a problem that is this whole table's.
    pub(crate) fn wrong(&self, message: String) {
        self.notes.add(&self.span, message);
    }

    /// Notes that the value of `key` breaks `rule`.
    pub(crate) fn wrong_at<T>(&self, at: &At<T>, key: &str, rule: &str) {
        self.notes
            .add(&at.span, format!("`{}` {rule}", self.full(key)));
    }

    /// Line and column of a value, from 1.
    pub(crate) fn place<T>(&self, at: &At<T>) -> (usize, usize) {
        position(self.notes.text, at.span.start)
    }

    /// Whether `key` is written, whatever its value.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries.keys().any(|name| name.get_ref() == key)
    }

    /// A text.
    pub(crate) fn text(&self, key: &'static str) -> Option<At<&'d str>> {
        let (value, span) = self.get(key)?;
        self.expect(key, value, "text in quotes", value.as_str())
            .map(|value| At { value, span })
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&self, key: &'static str) -> Option<bool> {
        let (value, _) = self.get(key)?;
        self.expect(key, value, "true or false", value.as_bool())
    }

    /// A list of texts.
    pub(crate) fn text_list(&self, key: &'static str) -> Option<Vec<At<&'d str>>> {
        let (value, _) = self.get(key)?;
        let array = self.expect(key, value, "a list of texts in quotes", {
            value
                .as_array()
                .filter(|array| array.iter().all(|value| value.get_ref().is_str()))
        })?;
        let texts = array.iter().filter_map(|value| {
            let span = value.span();
            let value = value.get_ref().as_str()?;
            Some(At { value, span })
        });
        Some(texts.collect())
    }

    /// A whole number in `range`.
    pub(crate) fn integer(&self, key: &'static str, range: &RangeInclusive<u64>) -> Option<u64> {
        let (value, _) = self.get(key)?;
        let number = value
            .as_integer()
            .and_then(|integer| u64::from_str_radix(integer.as_str(), integer.radix()).ok())
            .filter(|number| range.contains(number));
        self.expect(key, value, &integer_rule(range), number)
    }

    /// Seconds, whole or with decimals, rounded to whole milliseconds and in `range_ms`.
    pub(crate) fn seconds(&self, key: &'static str, range_ms: &RangeInclusive<u32>) -> Option<u32> {
        let (value, _) = self.get(key)?;
        let seconds = match value {
            DeValue::Integer(integer) if integer.radix() == 10 => integer.as_str().parse().ok(),
            DeValue::Float(float) => float.as_str().parse::<f64>().ok(),
            _ => None,
        };
        let ms = seconds
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .and_then(|time| u32::try_from((time.as_nanos() + 500_000) / 1_000_000).ok())
            .filter(|ms| range_ms.contains(ms));
        let rule = format!(
            "a number of seconds from {} to {}",
            seconds_text(*range_ms.start()),
            seconds_text(*range_ms.end()),
        );
        self.expect(key, value, &rule, ms)
    }

    /// Dollars as a number or as text, exact to twelve decimals, in `range` of pico-dollars.
    pub(crate) fn usd(
        &self,
        key: &'static str,
        range: &RangeInclusive<PicoUsd>,
    ) -> Option<PicoUsd> {
        let (value, _) = self.get(key)?;
        let text = match value {
            DeValue::Integer(integer) if integer.radix() == 10 => Some(integer.as_str()),
            DeValue::Float(float) => Some(float.as_str()),
            DeValue::String(text) => Some(text.as_ref()),
            _ => None,
        };
        let amount = text
            .and_then(parse_usd)
            .filter(|amount| range.contains(amount));
        self.expect(key, value, &usd_rule(range), amount)
    }

    /// A table inside this one.
    pub(crate) fn table(&self, key: &'static str) -> Option<Table<'d>> {
        let (value, span) = self.get(key)?;
        let entries = self.expect(key, value, "a table", value.as_table())?;
        Some(Table::new(self.notes, entries, span, self.full(key)))
    }

    /// An array of tables, as `[[key]]` writes it.
    pub(crate) fn tables(&self, key: &'static str) -> Option<Vec<Table<'d>>> {
        let (value, _) = self.get(key)?;
        let array = self.expect(key, value, &format!("tables, each under `[[{key}]]`"), {
            value
                .as_array()
                .filter(|array| array.iter().all(|value| value.get_ref().is_table()))
        })?;
        let tables = array.iter().enumerate().filter_map(|(at, value)| {
            let entries = value.get_ref().as_table()?;
            let path = format!("{}[{}]", self.full(key), at + 1);
            Some(Table::new(self.notes, entries, value.span(), path))
        });
        Some(tables.collect())
    }

    /// Every key with its text, for a table whose keys the author chooses.
    pub(crate) fn texts(&self) -> Vec<(At<&'d str>, &'d str)> {
        self.open.set(true);
        let texts = self.entries.iter().filter_map(|(key, value)| {
            let text = value.get_ref().as_str();
            let text = self.expect(key.get_ref(), value.get_ref(), "text in quotes", text)?;
            Some((
                At {
                    value: key.get_ref().as_ref(),
                    span: key.span(),
                },
                text,
            ))
        });
        texts.collect()
    }

    fn get(&self, key: &'static str) -> Option<(&'d DeValue<'d>, Range<usize>)> {
        self.asked.borrow_mut().push(key);
        let (_, value) = self
            .entries
            .iter()
            .find(|(name, _)| name.get_ref() == key)?;
        Some((value.get_ref(), value.span()))
    }

    /// `found`, or a note that `key` must be what `rule` says.
    fn expect<T>(&self, key: &str, value: &DeValue<'_>, rule: &str, found: Option<T>) -> Option<T> {
        if found.is_none() {
            let span = self.entries.iter().find(|(name, _)| name.get_ref() == key);
            let span = span.map_or_else(|| self.span.clone(), |(_, value)| value.span());
            let message = format!("`{}` must be {rule}, not {}", self.full(key), shown(value));
            self.notes.add(&span, message);
        }
        found
    }

    fn full(&self, key: &str) -> String {
        let key = quoted(key);
        if self.path.is_empty() {
            key
        } else {
            format!("{}.{key}", self.path)
        }
    }
}

impl Drop for Table<'_> {
    fn drop(&mut self) {
        if self.open.get() {
            return;
        }
        let mut asked = self.asked.take();
        asked.sort_unstable();
        asked.dedup();
        for key in self
            .entries
            .keys()
            .filter(|key| !asked.contains(&key.get_ref().as_ref()))
        {
            let message = format!(
                "`{}` is not a known key; {}",
                self.full(key.get_ref()),
                suggestion(key.get_ref(), &asked),
            );
            self.notes.add(&key.span(), message);
        }
    }
}

/// The rule that a number in `range` keeps.
pub(crate) fn integer_rule(range: &RangeInclusive<u64>) -> String {
    format!("a whole number from {} to {}", range.start(), range.end())
}

/// The rule that an amount of dollars in `range` keeps.
pub(crate) fn usd_rule(range: &RangeInclusive<PicoUsd>) -> String {
    let text = |amount: &PicoUsd| {
        let text = usd_text(u128::from(*amount));
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    format!(
        "dollars from {} to {}, with at most 12 decimals and no exponent",
        text(range.start()),
        text(range.end())
    )
}

/// ``did you mean `x`?``, or the words that are known.
pub(crate) fn suggestion(word: &str, known: &[&str]) -> String {
    const SIMILAR_MIN: f64 = 0.75;
    let lower = word.to_lowercase();
    let best = known
        .iter()
        .map(|known| (strsim::jaro_winkler(&lower, known), known))
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    match best {
        Some((similar, known)) if similar >= SIMILAR_MIN => format!("did you mean `{known}`?"),
        _ => format!("known are `{}`", known.join("`, `")),
    }
}

/// A text that came from outside: on one line, cut, with nothing that moves a terminal's cursor.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted: String = text
        .chars()
        .take(QUOTED_CHARS_MAX)
        .flat_map(char::escape_debug)
        .collect();
    // `escape_debug` also escapes quotes, which are harmless here.
    quoted = quoted.replace("\\\"", "\"").replace("\\'", "'");
    if text.chars().nth(QUOTED_CHARS_MAX).is_some() {
        quoted.push('…');
    }
    quoted
}

fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the text \"{}\"", quoted(text)),
        DeValue::Integer(integer) => quoted(&integer.to_string()),
        DeValue::Float(float) => quoted(float.as_str()),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "an array".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

fn seconds_text(ms: u32) -> String {
    let text = format!("{}.{:03}", ms / 1_000, ms % 1_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_counts_characters_and_lines_from_one() {
        assert_eq!(position("", 0), (1, 1));
        assert_eq!(position("a\nbü c", 6), (2, 4));
        assert_eq!(position("a\n", 99), (2, 1));
    }

    #[test]
    fn a_quoted_text_is_short_and_on_one_line() {
        assert_eq!(
            quoted("a\n\u{1b}[31m\"'\u{202e}"),
            "a\\n\\u{1b}[31m\"'\\u{202e}"
        );
        assert_eq!(
            quoted(&"x".repeat(100)).chars().count(),
            QUOTED_CHARS_MAX + 1
        );
    }

    #[test]
    fn every_problem_of_a_text_is_found_in_one_pass() {
        let problems = read("b = 9\nzzz = 1\na = 'x'\n[t]\nq = 1\n", |root| {
            root.integer("a", &(1..=5));
            root.integer("b", &(1..=5));
            root.table("t").map(|table| table.text("text").is_some());
        });
        let problems: Vec<_> = problems
            .unwrap_err()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            problems,
            [
                "1:5: `b` must be a whole number from 1 to 5, not 9",
                "2:1: `zzz` is not a known key; known are `a`, `b`, `t`",
                "3:5: `a` must be a whole number from 1 to 5, not the text \"x\"",
                "5:1: `t.q` is not a known key; known are `text`",
            ]
        );
    }
}
