//! Dates from counts of days, for what is kept by the day or the month.
//!
//! Knows nothing of clocks or of what is kept.

/// A count of days since 1970-01-01, UTC, as `YYYY-MM-DD`.
pub(crate) fn day_text(day: i64) -> String {
    let (year, month, day) = civil(day);
    format!("{year:04}-{month:02}-{day:02}")
}

/// A count of days since 1970-01-01, UTC, as `YYYY-MM`.
pub(crate) fn month_text(day: i64) -> String {
    let (year, month, _) = civil(day);
    format!("{year:04}-{month:02}")
}

/// The first day of the month that `day` is in.
pub(crate) fn month_start(day: i64) -> i64 {
    let (_, _, day_of_month) = civil(day);
    day - (day_of_month - 1)
}

/// Year, month (1 to 12) and day of the month (1 to 31) of a count of days since 1970-01-01.
///
/// # Source
///
/// Howard Hinnant's `civil_from_days` (<https://howardhinnant.github.io/date_algorithms.html>).
fn civil(day: i64) -> (i64, i64, i64) {
    let days = day + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_written_as_people_write_it() {
        for (day, text) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (59, "1970-03-01"),
            (11_016, "2000-02-29"),
            (20_453, "2025-12-31"),
            (20_454, "2026-01-01"),
            (47_541, "2100-03-01"),
        ] {
            assert_eq!(day_text(day), text);
            assert_eq!(month_text(day), text[..7]);
        }
    }

    #[test]
    fn a_month_begins_on_its_first_day() {
        for day in -800..60_000 {
            let first = month_start(day);
            assert_eq!(day_text(first), format!("{}-01", month_text(day)));
            assert_eq!(month_text(first), month_text(day));
            assert!((0..31).contains(&(day - first)), "{day}");
        }
    }
}
