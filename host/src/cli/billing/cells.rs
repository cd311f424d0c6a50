//! Rows of typed cells, for CSV and Parquet.
//!
//! Knows nothing of what the columns mean.

use std::fmt;

/// A column: its name and what is in it.
pub(super) type Column = (&'static str, Kind);

/// What is in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Integer,
    Real,
    /// RFC 3339 with milliseconds, UTC.
    Instant,
}

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell {
    Nothing,
    Text(String),
    Integer(i128),
    Real(f64),
    Instant(String),
}

impl Cell {
    pub(super) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    /// A whole number, of which there are some that do not fit.
    pub(super) fn whole(number: u128) -> Self {
        Self::Integer(i128::try_from(number).unwrap_or(i128::MAX))
    }
}

/// As CSV has it.
impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => Ok(()),
            Self::Text(text) | Self::Instant(text) => f.write_str(text),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Real(number) => write!(f, "{number}"),
        }
    }
}
