//! The roll-ups in the catalogue's database: rows for minutes, hours and days; months are made of days.
//!
//! Each function here runs in a transaction of [`super::catalogue`], which knows which segments are in
//! the rows. Knows nothing of segments.

use std::ops::RangeInclusive;

use domain::{FunctionName, Status, Trigger, VersionId};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, Rows, Transaction, params};

use super::sums::{Key, Minute, Period, StatusCounts, Sums, Totals};

/// Columns of totals, in the order of [`totals`].
const TOTALS: &str = "success, error, timeout, out_of_memory, cancelled, host_error, host_crash,
    billed_ms, mb_ms, charge_picousd";

/// Periods that have rows.
const STORED: [Period; 3] = [Period::Minute, Period::Hour, Period::Day];

/// Which roll-ups are asked for.
#[derive(Debug, Clone)]
pub(super) struct Wanted<'a> {
    pub(super) function: Option<&'a FunctionName>,
    pub(super) by: Period,
    /// Beginning and ending with a period.
    pub(super) minutes: RangeInclusive<Minute>,
}

impl Wanted<'_> {
    pub(super) fn has(&self, key: &Key) -> bool {
        self.function.is_none_or(|wanted| *wanted == key.function)
            && self.minutes.contains(&key.start)
    }
}

/// Which records the rows of minutes have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MinutesHave {
    /// Those from this sequence number on…
    pub(super) first_sequence: u64,
    /// … as far as they started in this minute or later.
    pub(super) first_minute: Minute,
}

/// Adds the sums of minutes to the rows of all periods.
pub(super) fn add(transaction: &Transaction<'_>, minutes: &Sums) -> rusqlite::Result<()> {
    let have = minutes_have(transaction)?;
    let mut kept = minutes.clone();
    kept.0.retain(|key, _| key.start >= have.first_minute);
    add_rows(transaction, Period::Minute, &kept)?;
    add_rows(transaction, Period::Hour, &minutes.by(Period::Hour))?;
    add_rows(transaction, Period::Day, &minutes.by(Period::Day))
}

/// Puts the sums of hours, of all records before `next_sequence`, in place of everything. Minutes
/// begin after them.
pub(super) fn replace(
    transaction: &Transaction<'_>,
    hours: &Sums,
    next_sequence: i64,
) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM rollups", [])?;
    transaction.execute("UPDATE minutes SET first_sequence = ?1", [next_sequence])?;
    add_rows(transaction, Period::Hour, hours)?;
    add_rows(transaction, Period::Day, &hours.by(Period::Day))
}

/// Removes the rows of minutes before `first_minute`; writes nothing when that was done before.
pub(super) fn forget_minutes(
    transaction: &Transaction<'_>,
    first_minute: Minute,
) -> rusqlite::Result<()> {
    if minutes_have(transaction)?.first_minute >= first_minute {
        return Ok(());
    }
    transaction.execute("UPDATE minutes SET first_minute = ?1", [first_minute])?;
    transaction.execute(
        "DELETE FROM rollups WHERE period = ?1 AND start < ?2",
        params![code(Period::Minute), first_minute],
    )?;
    Ok(())
}

pub(super) fn minutes_have(connection: &Connection) -> rusqlite::Result<MinutesHave> {
    let sql = "SELECT first_sequence, first_minute FROM minutes";
    connection.query_row(sql, [], |row| {
        Ok(MinutesHave {
            first_sequence: unsigned(row, 0)?,
            first_minute: row.get(1)?,
        })
    })
}

/// The rows of `wanted`, of the longest periods that its own are made of.
pub(super) fn read(connection: &Connection, wanted: &Wanted<'_>) -> rusqlite::Result<Sums> {
    let longest = STORED.into_iter().rfind(|stored| *stored <= wanted.by);
    let period = code(longest.unwrap_or_default());
    let (first, last) = (*wanted.minutes.start(), *wanted.minutes.end());
    let select = format!("SELECT function, start, version, trigger, {TOTALS} FROM rollups");
    match wanted.function {
        None => {
            let sql = format!("{select} WHERE period = ?1 AND start BETWEEN ?2 AND ?3");
            sums(
                connection
                    .prepare_cached(&sql)?
                    .query(params![period, first, last])?,
            )
        }
        Some(function) => {
            let sql =
                format!("{select} WHERE period = ?1 AND function = ?4 AND start BETWEEN ?2 AND ?3");
            let mut statement = connection.prepare_cached(&sql)?;
            sums(statement.query(params![period, first, last, function.as_str()])?)
        }
    }
}

fn add_rows(transaction: &Transaction<'_>, period: Period, added: &Sums) -> rusqlite::Result<()> {
    let mut select = transaction.prepare_cached(&format!(
        "SELECT {TOTALS} FROM rollups
         WHERE period = ?1 AND function = ?2 AND start = ?3 AND version = ?4 AND trigger = ?5"
    ))?;
    let mut replace = transaction.prepare_cached(&format!(
        "INSERT OR REPLACE INTO rollups (period, function, start, version, trigger, {TOTALS})
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)"
    ))?;
    for (key, added) in &added.0 {
        let (function, start) = (key.function.as_str(), key.start);
        let version = key
            .version
            .map_or_else(String::new, |version| version.to_string());
        let trigger = key.trigger.map_or("", Trigger::as_str);
        let place = params![code(period), function, start, version, trigger];
        let mut sum = select
            .query_row(place, |row| totals(row, 0))
            .optional()?
            .unwrap_or_default();
        sum += *added;
        let [
            success,
            error,
            timeout,
            out_of_memory,
            cancelled,
            host_error,
            host_crash,
        ] = sum.statuses.0.map(signed);
        replace.execute(params![
            code(period),
            function,
            start,
            version,
            trigger,
            success,
            error,
            timeout,
            out_of_memory,
            cancelled,
            host_error,
            host_crash,
            signed(sum.billed_ms),
            sum.mb_ms.to_be_bytes(),
            sum.charge_picousd.to_be_bytes(),
        ])?;
    }
    Ok(())
}

fn sums(mut rows: Rows<'_>) -> rusqlite::Result<Sums> {
    let mut sums = Sums::default();
    let mut latest: Option<FunctionName> = None;
    while let Some(row) = rows.next()? {
        let name = row.get_ref(0)?.as_str()?;
        // Most rows are of the same function as the one before.
        let function = match latest.take().filter(|latest| latest.as_str() == name) {
            Some(same) => same,
            None => FunctionName::parse(name).map_err(|error| unreadable(0, error))?,
        };
        latest = Some(function.clone());
        let key = Key {
            function,
            start: row.get(1)?,
            version: version(row.get_ref(2)?.as_str()?)?,
            trigger: trigger(row.get_ref(3)?.as_str()?)?,
        };
        sums.add_totals(key, totals(row, 4)?);
    }
    Ok(sums)
}

fn version(text: &str) -> rusqlite::Result<Option<VersionId>> {
    if text.is_empty() {
        return Ok(None);
    }
    let version = VersionId::try_from(text.to_owned());
    version.map(Some).map_err(|error| unreadable(2, error))
}

fn trigger(text: &str) -> rusqlite::Result<Option<Trigger>> {
    if text.is_empty() {
        return Ok(None);
    }
    let mut all = Trigger::ALL.into_iter();
    all.find(|trigger| trigger.as_str() == text)
        .map(Some)
        .ok_or_else(|| unreadable(3, format!("`{text}` is no trigger")))
}

fn unreadable(
    column: usize,
    error: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
}

/// The totals in the columns from `first` on.
fn totals(row: &Row<'_>, first: usize) -> rusqlite::Result<Totals> {
    let mut statuses = StatusCounts::default();
    for (column, count) in (first..).zip(&mut statuses.0) {
        *count = unsigned(row, column)?;
    }
    let after = first + Status::ALL.len();
    Ok(Totals {
        statuses,
        billed_ms: unsigned(row, after)?,
        mb_ms: u128::from_be_bytes(row.get(after + 1)?),
        charge_picousd: u128::from_be_bytes(row.get(after + 2)?),
    })
}

fn code(period: Period) -> i64 {
    match period {
        Period::Minute => 0,
        Period::Hour => 1,
        Period::Day | Period::Month => 2,
    }
}

pub(super) fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get(column)
        .and_then(|value: i64| in_range(column, value))
}

pub(super) fn in_range<T: TryFrom<i64>>(column: usize, value: i64) -> rusqlite::Result<T> {
    T::try_from(value).map_err(|_error| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

/// SQLite's integers are signed; ours stay far below their end.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
