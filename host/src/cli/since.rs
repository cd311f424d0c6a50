//! `--since`: a span before now, an instant, or a day.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// From when on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Since {
    /// So many seconds before now.
    Ago(i64),
    /// An instant.
    At(Timestamp),
}

/// Why a text is not a [`Since`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SinceError;

impl fmt::Display for SinceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "give a span such as 30s, 10m, 2h, 3d or 1w, a day such as 2026-11-22, or an instant such as 2026-11-22T16:28:17Z",
        )
    }
}

impl std::error::Error for SinceError {}

impl FromStr for Since {
    type Err = SinceError;

    fn from_str(text: &str) -> Result<Self, SinceError> {
        let text = text.trim();
        if let Some(seconds) = span_seconds(text) {
            return Ok(Self::Ago(seconds));
        }
        if let Ok(instant) = text.parse::<Timestamp>() {
            return Ok(Self::At(instant));
        }
        // Only `YYYY-MM-DD`: the parser also knows dates with a time, without saying in which zone.
        let is_date = text.len() == "2026-11-22".len();
        let date = text
            .parse::<Date>()
            .ok()
            .filter(|_| is_date)
            .ok_or(SinceError)?;
        let midnight = date.to_zoned(TimeZone::UTC).map_err(|_| SinceError)?;
        Ok(Self::At(midnight.timestamp()))
    }
}

impl Since {
    /// The instant, given what time it is.
    pub(super) fn instant(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ago(seconds) => now
                .checked_sub(jiff::SignedDuration::from_secs(seconds))
                .unwrap_or(Timestamp::UNIX_EPOCH)
                .max(Timestamp::UNIX_EPOCH),
            Self::At(instant) => instant,
        }
    }
}

/// What time it is.
pub(super) fn now() -> Timestamp {
    let unix_us = domain::Clock::system().unix_us();
    Timestamp::from_microsecond(unix_us).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn span_seconds(text: &str) -> Option<i64> {
    let unit = text.chars().last()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        'w' => 604_800,
        _ => return None,
    };
    let digits = &text[..text.len() - unit.len_utf8()];
    let number: u32 = digits
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then_some(digits)?
        .parse()
        .ok()?;
    Some(i64::from(number) * seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let now: Timestamp = "2026-11-22T16:28:17Z".parse().unwrap();
        let instant = text.parse::<Since>().unwrap().instant(now);
        assert_eq!(instant.to_string(), expected, "{text}");
    }

    #[test]
    fn a_span_counts_back_from_now() {
        check("0s", "2026-11-22T16:28:17Z");
        check("10m", "2026-11-22T16:18:17Z");
        check("2h", "2026-11-22T14:28:17Z");
        check("3d", "2026-11-19T16:28:17Z");
        check("1w", "2026-11-15T16:28:17Z");
        check("4294967295w", "1970-01-01T00:00:00Z");
    }

    #[test]
    fn an_instant_has_a_zone_and_a_day_starts_in_utc() {
        check("2026-11-22T16:28:17.5+01:00", "2026-11-22T15:28:17.5Z");
        check("2026-11-22", "2026-11-22T00:00:00Z");
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            "",
            "m",
            "10",
            "10 m",
            "-1m",
            "+1m",
            "1y",
            "2026-13-01",
            "2026-11-22T10:00",
            "é",
            "٣m",
        ] {
            assert_eq!(bad.parse::<Since>(), Err(SinceError), "{bad}");
        }
    }
}
