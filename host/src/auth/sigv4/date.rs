//! Dates as signatures write them: `YYYYMMDDTHHMMSSZ`.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// An instant in whole seconds, with its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Date {
    text: String,
    /// Unix seconds.
    pub(super) unix_s: i64,
}

impl Date {
    /// Reads exactly `YYYYMMDDTHHMMSSZ`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let digits = |range: std::ops::Range<usize>| -> Option<i16> {
            let digits = text.get(range)?;
            let all = digits.bytes().all(|byte| byte.is_ascii_digit());
            all.then(|| digits.parse().ok()).flatten()
        };
        let small = |range| digits(range).and_then(|number| i8::try_from(number).ok());
        let has_form = text.len() == 16 && text.get(8..9) == Some("T") && text.ends_with('Z');
        if !has_form {
            return None;
        }
        let civil = DateTime::new(
            digits(0..4)?,
            small(4..6)?,
            small(6..8)?,
            small(9..11)?,
            small(11..13)?,
            small(13..15)?,
            0,
        );
        let at = civil.ok()?.to_zoned(TimeZone::UTC).ok()?;
        Some(Self {
            text: text.to_owned(),
            unix_s: at.timestamp().as_second(),
        })
    }

    /// An instant in Unix seconds; what no calendar has is shown as the number.
    pub(super) fn at(unix_s: i64) -> Self {
        let text = Timestamp::from_second(unix_s).map_or_else(
            |_| unix_s.to_string(),
            |at| at.strftime("%Y%m%dT%H%M%SZ").to_string(),
        );
        Self { text, unix_s }
    }

    /// `YYYYMMDD`.
    pub(super) fn day(&self) -> &str {
        self.text.get(..8).unwrap_or(&self.text)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_read_and_written_in_one_form() {
        let date = Date::parse("20150830T123600Z").unwrap();
        assert_eq!(date.unix_s, 1_440_938_160);
        assert_eq!(Date::at(date.unix_s), date);
        assert_eq!(date.day(), "20150830");
        for bad in [
            "",
            "20150830",
            "20150830T123600",
            "20150830T123600.000Z",
            "20150830T123600+0000",
            "20150830t123600Z",
            "20150230T123600Z",
            "20150830T243600Z",
            "20150830T123661Z",
            "+2150830T123600Z",
            " 0150830T123600Z",
            "2015-08-30T12:36Z",
            "２0150830T1236Z",
        ] {
            assert_eq!(Date::parse(bad), None, "{bad}");
        }
    }
}
