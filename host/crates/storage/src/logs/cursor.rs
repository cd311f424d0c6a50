//! A place in a function's log, as text that clients keep.

use std::fmt;
use std::str::FromStr;

/// A place in a function's log. Opaque; as text it can be given to somebody and taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogCursor {
    pub(super) segment: u64,
    pub(super) offset: u64,
}

/// Why a text is not a place in a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a place in a log")]
pub struct CursorError;

impl LogCursor {
    /// The place at `offset` bytes of the file with the number `segment`.
    #[must_use]
    pub fn new(segment: u64, offset: u64) -> Self {
        Self { segment, offset }
    }

    /// The number of its file.
    #[must_use]
    pub fn segment(self) -> u64 {
        self.segment
    }

    /// How far into its file it is, in bytes.
    #[must_use]
    pub fn offset(self) -> u64 {
        self.offset
    }

    /// Before the first event.
    pub const START: Self = Self {
        segment: 0,
        offset: 0,
    };
}

impl fmt::Display for LogCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.segment, self.offset)
    }
}

impl FromStr for LogCursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let number = |digits: &str| {
            let is_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
            is_digits
                .then(|| digits.parse().ok())
                .flatten()
                .ok_or(CursorError)
        };
        let (segment, offset) = text.split_once(':').ok_or(CursorError)?;
        Ok(Self {
            segment: number(segment)?,
            offset: number(offset)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_the_same_after_a_trip_as_text() {
        let cursor = LogCursor {
            segment: 12,
            offset: 3_456,
        };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for bad in [
            "",
            "1",
            "1:",
            ":1",
            "+1:2",
            "1:-2",
            "1:2:3",
            "99999999999999999999:0",
        ] {
            assert_eq!(bad.parse::<LogCursor>(), Err(CursorError), "{bad}");
        }
    }
}
