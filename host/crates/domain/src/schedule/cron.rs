//! The six fields of `cron(minute hour day-of-month month day-of-week year)`, as AWS writes them.
//!
//! Each field is read here, so that an error has its column; croner finds the days, by a pattern of its
//! own that is made of plain numbers, `L`, `W` and `#`.
//!
//! Knows nothing of time zones: it goes by what clocks show.

use std::collections::BTreeSet;

use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::DateTime;

use super::error::{CRON_EXAMPLE, ScheduleError, fail, found, shown};

const YEARS: (u16, u16) = (1970, 2199);

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// What one field may hold. Names stand for the numbers from 1 on.
#[derive(Debug, Clone, Copy)]
struct Field {
    name: &'static str,
    min: u16,
    max: u16,
    names: &'static [&'static str],
}

const FIELDS: [Field; 6] = [
    field("minute", 0, 59, &[]),
    field("hour", 0, 23, &[]),
    field("day of month", 1, 31, &[]),
    field("month", 1, 12, &MONTHS),
    field("day of week", 1, 7, &WEEKDAYS),
    field("year", YEARS.0, YEARS.1, &[]),
];

const fn field(name: &'static str, min: u16, max: u16, names: &'static [&'static str]) -> Field {
    Field {
        name,
        min,
        max,
        names,
    }
}

/// A piece of the text, and the column of its first character.
#[derive(Debug, Clone, Copy)]
struct Piece<'t> {
    text: &'t str,
    column: usize,
}

impl<'t> Piece<'t> {
    fn fail(self, problem: String) -> ScheduleError {
        fail(self.column, problem, CRON_EXAMPLE)
    }

    /// The pieces between `separator`.
    fn split(self, separator: char) -> impl Iterator<Item = Piece<'t>> {
        let mut column = self.column;
        self.text.split(separator).map(move |text| {
            let piece = Piece { text, column };
            column += text.len() + 1;
            piece
        })
    }

    fn split_once(self, separator: char) -> Option<(Self, Self)> {
        let (first, rest) = self.text.split_once(separator)?;
        let column = self.column + first.len() + 1;
        let first = Piece {
            text: first,
            column: self.column,
        };
        Some((first, Piece { text: rest, column }))
    }
}

/// Checked fields. Never empty: some day fits.
#[derive(Debug, Clone)]
pub(super) struct Cron(Box<croner::Cron>);

impl Cron {
    /// Reads the fields; `start` bytes of ASCII stand before them.
    pub(super) fn parse(body: &str, start: usize) -> Result<Self, ScheduleError> {
        let whole = Piece {
            text: body,
            column: start + 1,
        };
        let pieces: Vec<_> = whole
            .split(' ')
            .filter(|piece| !piece.text.is_empty())
            .collect();
        let Ok(pieces) = <[Piece<'_>; 6]>::try_from(pieces.as_slice()) else {
            let surplus = pieces.get(6).copied();
            let end = Piece {
                text: "",
                column: start + 1 + body.len(),
            };
            return Err(surplus.unwrap_or(end).fail(format!(
                "expected six fields (minute, hour, day of month, month, day of week, year), found {}",
                pieces.len()
            )));
        };
        let [minute, hour, day, month, weekday, year] = pieces;
        match (day.text == "?", weekday.text == "?") {
            (true, true) => {
                let problem = "only one of day of month and day of week may be `?`";
                return Err(weekday.fail(problem.to_owned()));
            }
            (false, false) => {
                let problem = format!(
                    "one of day of month and day of week must be `?`, found `{}` and `{}`",
                    shown(day.text),
                    shown(weekday.text)
                );
                return Err(day.fail(problem));
            }
            (true, false) | (false, true) => {}
        }
        let [minutes, hours, _, months, _, years] = FIELDS;
        let pattern = format!(
            "0 {} {} {} {} {} {}",
            list(minutes, &values(minutes, minute)?),
            list(hours, &values(hours, hour)?),
            day_of_month(day)?,
            list(months, &values(months, month)?),
            day_of_week(weekday)?,
            list(years, &values(years, year)?),
        );
        let parser = CronParser::builder()
            .seconds(Seconds::Required)
            .year(Year::Required)
            .build();
        let cron = parser.parse(&pattern);
        let cron = cron.map_err(|error| whole.fail(format!("not understood: {error}")))?;
        let cron = Self(Box::new(cron));
        let first = DateTime::new(1969, 12, 31, 23, 59, 59, 0);
        if first
            .ok()
            .and_then(|first| cron.next_after(first))
            .is_none()
        {
            let problem = format!("no day from {} to {} fits `{body}`", YEARS.0, YEARS.1);
            return Err(whole.fail(problem));
        }
        Ok(cron)
    }

    /// The first minute after `clock` that fits.
    pub(super) fn next_after(&self, clock: DateTime) -> Option<DateTime> {
        self.0.find_next_occurrence(&clock, false).ok()
    }

    /// The last minute before `clock` that fits.
    pub(super) fn last_before(&self, clock: DateTime) -> Option<DateTime> {
        self.0.find_previous_occurrence(&clock, false).ok()
    }
}

/// Numbers as croner reads them.
fn list(field: Field, values: &BTreeSet<u16>) -> String {
    if values.len() == usize::from(field.max - field.min) + 1 {
        // All years are those that we know.
        return if field.min == YEARS.0 {
            format!("{}-{}", YEARS.0, YEARS.1)
        } else {
            "*".to_owned()
        };
    }
    let values: Vec<_> = values.iter().map(u16::to_string).collect();
    values.join(",")
}

/// `?`, `L`, `15W`, or numbers.
fn day_of_month(piece: Piece<'_>) -> Result<String, ScheduleError> {
    let field = FIELDS[2];
    let text = piece.text;
    if matches!(text, "?" | "L") {
        return Ok(if text == "?" { "*" } else { "L" }.to_owned());
    }
    if let Some(day) = text.strip_suffix('W') {
        let day = Piece { text: day, ..piece };
        return Ok(format!("{}W", value(field, day)?));
    }
    check_alone(piece, &['L', 'W', '?'], "`L` and `15W`")?;
    Ok(list(field, &values(field, piece)?))
}

/// `?`, `L`, `6L`, `6#3`, or numbers and names. AWS counts from 1 for Sunday, croner from 0.
fn day_of_week(piece: Piece<'_>) -> Result<String, ScheduleError> {
    let field = FIELDS[4];
    match piece.text {
        "?" => return Ok("*".to_owned()),
        // The last day of the week.
        "L" => return Ok("6".to_owned()),
        _ => {}
    }
    if let Some((day, nth)) = piece.split_once('#') {
        let day = value(field, day)? - 1;
        if !matches!(nth.text, "1" | "2" | "3" | "4" | "5") {
            let problem = format!(
                "expected 1 to 5, which week of the month, found {}",
                found(nth.text)
            );
            return Err(nth.fail(problem));
        }
        return Ok(format!("{day}#{}", nth.text));
    }
    if let Some(day) = piece.text.strip_suffix('L') {
        let day = Piece { text: day, ..piece };
        return Ok(format!("{}L", value(field, day)? - 1));
    }
    check_alone(piece, &['?'], "`L`, `6L` and `6#3`")?;
    let days = values(field, piece)?;
    if days.len() == 7 {
        return Ok("*".to_owned());
    }
    let days: Vec<_> = days.iter().map(|day| (day - 1).to_string()).collect();
    Ok(days.join(","))
}

/// What means a day by itself stands alone.
fn check_alone(piece: Piece<'_>, special: &[char], what: &str) -> Result<(), ScheduleError> {
    match piece.text.find(special) {
        None => Ok(()),
        Some(at) => Err(Piece {
            text: &piece.text[at..],
            column: piece.column + at,
        }
        .fail(format!(
            "{what} stand alone in their field, found `{}`",
            shown(piece.text)
        ))),
    }
}

/// Items between commas: `*`, `5`, `1-5`, each with a step such as `/15` if wanted.
fn values(field: Field, piece: Piece<'_>) -> Result<BTreeSet<u16>, ScheduleError> {
    let mut all = BTreeSet::new();
    for item in piece.split(',') {
        let (span, step) = match item.split_once('/') {
            None => (item, None),
            Some((span, step)) => (span, Some(number(field, step, (1, field.max), "a step")?)),
        };
        let (first, last) = if span.text == "*" {
            (field.min, field.max)
        } else if let Some((first, last)) = span.split_once('-') {
            let range = (value(field, first)?, value(field, last)?);
            if range.0 > range.1 {
                let problem = format!(
                    "the range `{}` goes backwards; write it as two, separated by a comma",
                    shown(span.text)
                );
                return Err(first.fail(problem));
            }
            range
        } else {
            let first = value(field, span)?;
            // `5/15` goes on to the end.
            (first, if step.is_some() { field.max } else { first })
        };
        all.extend((first..=last).step_by(usize::from(step.unwrap_or(1))));
    }
    Ok(all)
}

/// A number or a name.
fn value(field: Field, piece: Piece<'_>) -> Result<u16, ScheduleError> {
    let named = (1..).zip(field.names);
    for (number, name) in named {
        if name.eq_ignore_ascii_case(piece.text) {
            return Ok(number);
        }
    }
    number(field, piece, (field.min, field.max), "")
}

fn number(
    field: Field,
    piece: Piece<'_>,
    (min, max): (u16, u16),
    what: &str,
) -> Result<u16, ScheduleError> {
    let is_number = !piece.text.is_empty() && piece.text.bytes().all(|b| b.is_ascii_digit());
    let parsed = piece
        .text
        .parse()
        .ok()
        .filter(|n| is_number && (min..=max).contains(n));
    parsed.ok_or_else(|| {
        let what = if what.is_empty() {
            let article = if field.name == "hour" { "an" } else { "a" };
            format!("{article} {}", field.name)
        } else {
            format!("{what} of the {}", field.name)
        };
        let names = match (field.names, min) {
            ([first, .., last], 1) => format!(" or {first} to {last}"),
            _ => String::new(),
        };
        piece.fail(format!(
            "expected {what} from {min} to {max}{names}, found {}",
            found(piece.text)
        ))
    })
}
