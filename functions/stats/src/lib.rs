//! Sums up a CSV table: for each numeric column count, minimum, maximum, mean and deviation.
//!
//! Reads one row after the other and keeps only sums, so memory does not grow with the table. The
//! first row names the columns; the first value of a column decides whether it is numeric. A row
//! that does not fit is left out whole and named by its line.

mod column;

use column::Column;
use csv::{ByteRecord, ReaderBuilder};
use mayfly_sdk::http::Request;
use mayfly_sdk::{Error, RequestExt, handler};
use serde::Serialize;

/// Rows that are named with a reason; more are only counted.
const BAD_ROWS_NAMED_MAX: usize = 20;

/// What there is to say about a table.
#[derive(Debug, Serialize)]
struct Summary {
    /// Rows that were counted, without the header and without bad rows.
    rows: u64,
    columns: Vec<Column>,
    bad_row_count: u64,
    bad_rows: Vec<BadRow>,
}

/// A row that was left out.
#[derive(Debug, PartialEq, Serialize)]
struct BadRow {
    /// The line it starts on; the first is 1.
    line: u64,
    reason: String,
}

/// Answers with the summary of the table in the body.
#[handler]
fn stats(request: Request<Vec<u8>>) -> Result<Summary, Error> {
    let delimiter = match request.query("delimiter").as_deref().map(str::as_bytes) {
        None => b',',
        Some(&[delimiter]) if delimiter.is_ascii() => delimiter,
        Some(_) => {
            return Err(Error::new(
                "BadDelimiter",
                "`delimiter` is one ASCII character",
            ));
        }
    };
    summarise(request.body(), delimiter)
}

fn summarise(table: &[u8], delimiter: u8) -> Result<Summary, Error> {
    // Flexible: a row of the wrong length is ours to report, not the end of reading.
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter)
        .flexible(true)
        .from_reader(table);
    let names = reader.byte_headers()?.clone();
    if names.is_empty() {
        return Err(Error::new(
            "NoTable",
            "the body is empty; send CSV whose first row is a header",
        ));
    }
    let columns = names
        .iter()
        .map(|name| Column::new(String::from_utf8_lossy(name)))
        .collect();
    let mut summary = Summary {
        rows: 0,
        columns,
        bad_row_count: 0,
        bad_rows: Vec::new(),
    };
    let mut row = ByteRecord::new();
    while reader.read_byte_record(&mut row)? {
        match summary.add(&row) {
            Ok(()) => summary.rows += 1,
            Err(reason) => {
                let line = row.position().map_or(0, csv::Position::line);
                summary.leave_out(BadRow { line, reason });
            }
        }
    }
    Ok(summary)
}

impl Summary {
    /// Takes a row into every column, or into none with the reason.
    fn add(&mut self, row: &ByteRecord) -> Result<(), String> {
        if row.len() != self.columns.len() {
            return Err(format!(
                "{} fields, the header has {}",
                row.len(),
                self.columns.len()
            ));
        }
        let values = self
            .columns
            .iter()
            .zip(row)
            .map(|(column, field)| column.read(field))
            .collect::<Result<Vec<_>, _>>()?;
        for (column, value) in self.columns.iter_mut().zip(values) {
            column.add(value);
        }
        Ok(())
    }

    fn leave_out(&mut self, row: BadRow) {
        self.bad_row_count += 1;
        if self.bad_rows.len() < BAD_ROWS_NAMED_MAX {
            self.bad_rows.push(row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(table: &str) -> mayfly_sdk::serde_json::Value {
        let summary = summarise(table.as_bytes(), b',').unwrap();
        mayfly_sdk::serde_json::to_value(summary).unwrap()
    }

    #[test]
    fn numbers_are_summed_up_and_text_is_counted() {
        let summary = json("name,age\nAda,2\nGrace,4\nLin,\nJoan,6\n");
        assert_eq!(summary["rows"], 4);
        assert_eq!(summary["columns"][0]["name"], "name");
        assert_eq!(summary["columns"][0]["count"], 4);
        assert_eq!(
            summary["columns"][0]["numeric"],
            mayfly_sdk::serde_json::Value::Null
        );
        let age = &summary["columns"][1];
        assert_eq!(age["count"], 3);
        assert_eq!(age["numeric"]["min"], 2.0);
        assert_eq!(age["numeric"]["max"], 6.0);
        assert_eq!(age["numeric"]["mean"], 4.0);
        assert_eq!(age["numeric"]["stddev"], 2.0);
    }

    #[test]
    fn bad_rows_are_named_by_line_and_change_nothing() {
        let summary = summarise(b"a,b\n1,x\n\"2\n\",y\n3\nfour,z\n5,\xff\n", b',').unwrap();
        assert_eq!(summary.rows, 3);
        let named: Vec<_> = summary
            .bad_rows
            .iter()
            .map(|row| (row.line, &*row.reason))
            .collect();
        assert_eq!(
            named,
            [
                (5, "1 fields, the header has 2"),
                (6, "`four` in column `a` is not a number")
            ]
        );
    }

    #[test]
    fn only_the_first_bad_rows_are_named() {
        let summary = summarise(format!("a\n1\n{}", "x\n".repeat(50)).as_bytes(), b',').unwrap();
        assert_eq!(
            (summary.bad_row_count, summary.bad_rows.len()),
            (50, BAD_ROWS_NAMED_MAX)
        );
    }

    #[test]
    fn the_delimiter_can_be_chosen() {
        let ask = |target: &str| stats(Request::post(target).body(b"a;b\n1;2\n".to_vec()).unwrap());
        assert_eq!(ask("/stats?delimiter=%3B").unwrap().columns.len(), 2);
        assert_eq!(ask("/stats").unwrap().columns.len(), 1);
        assert_eq!(
            ask("/stats?delimiter=ab").unwrap_err().error_type(),
            "BadDelimiter"
        );
    }

    #[test]
    fn an_empty_body_is_an_error_that_says_what_to_send() {
        assert_eq!(summarise(b"", b',').unwrap_err().error_type(), "NoTable");
    }
}
