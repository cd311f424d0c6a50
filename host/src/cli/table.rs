//! Rows of text as aligned columns, or as CSV.
//!
//! Knows nothing of what the rows mean.

use super::output::printable;

/// On which side of its column a text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// Columns, each with its heading, as wide as their widest text; two blanks between them and none
/// at the end of a line.
pub(super) fn aligned(columns: &[(&str, Align)], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|text| printable(text)).collect())
        .collect();
    let heading: Vec<String> = columns.iter().map(|(name, _)| (*name).to_owned()).collect();
    let width = |at: usize| {
        let texts = rows.iter().chain([&heading]).filter_map(|row| row.get(at));
        texts.map(|text| text.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut table = String::new();
    for row in [&heading].into_iter().chain(&rows) {
        let mut line = String::new();
        for ((text, (_, align)), width) in row.iter().zip(columns).zip(&widths) {
            match align {
                Align::Left => line.push_str(&format!("{text:<width$}  ")),
                Align::Right => line.push_str(&format!("{text:>width$}  ")),
            }
        }
        table.push_str(line.trim_end());
        table.push('\n');
    }
    table
}

/// RFC 4180: a header line, CRLF after each line, quotes where they are needed.
///
/// A text that a spreadsheet would take for a formula gets an apostrophe before it.
pub(super) fn csv(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut csv = String::new();
    push_csv_line(&mut csv, header.iter().copied());
    for row in rows {
        push_csv_line(&mut csv, row.iter().map(String::as_str));
    }
    csv
}

/// Adds one line of CSV.
pub(super) fn push_csv_line<'a>(csv: &mut String, fields: impl Iterator<Item = &'a str>) {
    for (at, field) in fields.enumerate() {
        if at > 0 {
            csv.push(',');
        }
        let is_formula = field.starts_with(['=', '+', '-', '@', '\t', '\r']) && !is_number(field);
        if field.contains(['"', ',', '\r', '\n']) || is_formula {
            csv.push('"');
            if is_formula {
                csv.push('\'');
            }
            csv.push_str(&field.replace('"', "\"\""));
            csv.push('"');
        } else {
            csv.push_str(field);
        }
    }
    csv.push_str("\r\n");
}

/// Whether a text is a plain number, which no spreadsheet takes for more.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    digits.starts_with(|c: char| c.is_ascii_digit())
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_text() {
        let columns = [
            ("NAME", Align::Left),
            ("MS", Align::Right),
            ("NOTE", Align::Left),
        ];
        let rows = [row(&["héllo", "1", ""]), row(&["b", "1000", "x\u{1b}"])];
        assert_eq!(
            aligned(&columns, &rows),
            "NAME     MS  NOTE\nhéllo     1\nb      1000  x\\u{1b}\n"
        );
        assert_eq!(aligned(&columns, &[]), "NAME  MS  NOTE\n");
    }

    #[test]
    fn csv_quotes_what_would_be_misread() {
        let rows = [
            row(&["plain", "a,b", "say \"x\""]),
            row(&["", "two\nlines", "=1+1"]),
        ];
        assert_eq!(
            csv(&["a", "b", "c"], &rows),
            "a,b,c\r\nplain,\"a,b\",\"say \"\"x\"\"\"\r\n,\"two\nlines\",\"'=1+1\"\r\n"
        );
    }

    #[test]
    fn what_a_spreadsheet_would_run_is_made_text_and_numbers_stay_numbers() {
        for (field, written) in [
            ("=1", "\"'=1\""),
            ("+cmd", "\"'+cmd\""),
            ("-cmd|' /C calc'!A0", "\"'-cmd|' /C calc'!A0\""),
            ("-2+3", "\"'-2+3\""),
            ("-", "\"'-\""),
            ("@x", "\"'@x\""),
            ("\tx", "\"'\tx\""),
            ("\r=1", "\"'\r=1\""),
            ("-0.25", "-0.25"),
            ("-7", "-7"),
            ("+7", "+7"),
            ("a-b", "a-b"),
        ] {
            let mut line = String::new();
            push_csv_line(&mut line, std::iter::once(field));
            assert_eq!(line, format!("{written}\r\n"));
        }
    }
}
