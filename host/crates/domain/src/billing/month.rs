//! A calendar month in UTC, the period of invoices and budgets.
//!
//! Knows nothing of what is summed over it.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::{Offset, TimeZone};

/// A month in UTC, from 1970-01 to 9998-12.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month {
    year: i16,
    /// 1 to 12.
    month: i8,
}

/// Why a text is not a [`Month`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a month is written YYYY-MM, such as 2026-11, from 1970-01 to 9998-12")]
pub struct MonthError;

impl Month {
    /// The first month there is.
    pub const FIRST: Self = Self {
        year: 1970,
        month: 1,
    };
    /// The last month there is.
    pub const LAST: Self = Self {
        year: 9998,
        month: 12,
    };

    /// The month of an instant in Unix microseconds; the first or last one for what lies beyond them.
    #[must_use]
    pub fn of(unix_us: i64) -> Self {
        let Ok(at) = Timestamp::from_microsecond(unix_us) else {
            return if unix_us < 0 { Self::FIRST } else { Self::LAST };
        };
        let date = Offset::UTC.to_datetime(at).date();
        let month = Self {
            year: date.year(),
            month: date.month(),
        };
        month.clamp(Self::FIRST, Self::LAST)
    }

    /// Its first instant, in Unix microseconds.
    #[must_use]
    pub fn start_us(self) -> i64 {
        let first = Date::new(self.year, self.month, 1).unwrap_or(Date::ZERO);
        let start = first.to_zoned(TimeZone::UTC);
        start.map_or(0, |start| start.timestamp().as_microsecond())
    }

    /// The first instant after it, in Unix microseconds.
    #[must_use]
    pub fn end_us(self) -> i64 {
        let (year, month) = match self.month {
            12 => (self.year.saturating_add(1), 1),
            month => (self.year, month.saturating_add(1)),
        };
        Self { year, month }.start_us()
    }

    /// Its last day, from 28 to 31.
    #[must_use]
    pub fn days(self) -> i8 {
        Date::new(self.year, self.month, 1).map_or(31, Date::days_in_month)
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

impl FromStr for Month {
    type Err = MonthError;

    fn from_str(text: &str) -> Result<Self, MonthError> {
        let (year, month) = text.split_once('-').ok_or(MonthError)?;
        let is_number = |text: &str, length: usize| {
            text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        if !is_number(year, 4) || !is_number(month, 2) {
            return Err(MonthError);
        }
        let month = Self {
            year: year.parse().map_err(|_| MonthError)?,
            month: month.parse().map_err(|_| MonthError)?,
        };
        let is_known =
            (1..=12).contains(&month.month) && (Self::FIRST..=Self::LAST).contains(&month);
        is_known.then_some(month).ok_or(MonthError)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_month_starts_at_midnight_in_utc_and_ends_where_the_next_one_starts() {
        let november: Month = "2026-11".parse().unwrap();
        assert_eq!(november.start_us(), 1_793_491_200_000_000);
        assert_eq!(november.end_us(), 1_796_083_200_000_000);
        assert_eq!(Month::of(november.start_us()), november);
        assert_eq!(Month::of(november.end_us() - 1), november);
        assert_eq!(Month::of(november.end_us()), "2026-12".parse().unwrap());
        assert_eq!(
            Month::of(november.start_us() - 1),
            "2026-10".parse().unwrap()
        );
        let december: Month = "2026-12".parse().unwrap();
        assert_eq!(Month::of(december.end_us()), "2027-01".parse().unwrap());
        assert_eq!(november.days(), 30);
        assert_eq!("2028-02".parse::<Month>().unwrap().days(), 29);
    }

    #[test]
    fn what_lies_beyond_all_months_counts_to_the_nearest() {
        assert_eq!(Month::of(i64::MIN), Month::FIRST);
        assert_eq!(Month::of(-1), Month::FIRST);
        assert_eq!(Month::of(i64::MAX), Month::LAST);
        assert_eq!(Month::FIRST.start_us(), 0);
        assert!(Month::LAST.end_us() > Month::LAST.start_us());
    }

    #[test]
    fn other_texts_are_no_months() {
        for bad in [
            "",
            "-",
            "2026",
            "2026-00",
            "2026-13",
            "2026-1",
            "26-11",
            "2026-11-01",
            "+026-11",
            "1969-12",
            "9999-01",
            "2026-١١",
            " 2026-11",
        ] {
            assert_eq!(bad.parse::<Month>(), Err(MonthError), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn every_instant_is_in_its_month_and_a_month_is_read_as_it_is_written(
            unix_us in 0_i64..250_000_000_000_000_000,
        ) {
            let month = Month::of(unix_us);
            prop_assert!((month.start_us()..month.end_us()).contains(&unix_us));
            prop_assert_eq!(month.to_string().parse(), Ok(month));
        }
    }
}
