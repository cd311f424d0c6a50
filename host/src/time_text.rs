//! Instants as text, the four ways that clients read them.

use jiff::Timestamp;
use jiff::tz::Offset;

/// RFC 3339 in UTC with milliseconds, such as `2026-11-22T16:28:17.840Z`.
pub(crate) fn rfc3339_ms(unix_us: i64) -> String {
    let at = Timestamp::from_microsecond(unix_us).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{at:.3}")
}

/// RFC 3339 in UTC with whole seconds, such as `2026-11-22T16:28:17Z`.
pub(crate) fn rfc3339_s(unix_us: i64) -> String {
    let at = Timestamp::from_microsecond(unix_us).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{at:.0}")
}

/// As in an access log, `22/Nov/2026:16:28:17 +0000`.
///
/// Each event has it, so it is put together by hand: a tenth of what a format string costs.
pub(crate) fn access_log(unix_us: i64) -> String {
    const MONTHS: [&str; 12] = [
        "/Jan/", "/Feb/", "/Mar/", "/Apr/", "/May/", "/Jun/", "/Jul/", "/Aug/", "/Sep/", "/Oct/",
        "/Nov/", "/Dec/",
    ];
    let at = Timestamp::from_microsecond(unix_us).unwrap_or(Timestamp::UNIX_EPOCH);
    let at = Offset::UTC.to_datetime(at);
    let month = usize::from(at.month().unsigned_abs()).saturating_sub(1);
    let mut text = String::with_capacity(26);
    push_two_digits(&mut text, at.day().into());
    text.push_str(MONTHS.get(month).copied().unwrap_or("/-/"));
    push_two_digits(&mut text, at.year() / 100);
    push_two_digits(&mut text, at.year());
    for part in [at.hour(), at.minute(), at.second()] {
        text.push(':');
        push_two_digits(&mut text, part.into());
    }
    text.push_str(" +0000");
    text
}

/// The last two digits of a number.
fn push_two_digits(text: &mut String, number: i16) {
    let number = number.unsigned_abs() % 100;
    for digit in [number / 10, number % 10] {
        text.push(char::from_digit(digit.into(), 10).unwrap_or('0'));
    }
}

/// A day, `2026-11-22`, in UTC.
pub(crate) fn day(unix_us: i64) -> String {
    let at = Timestamp::from_microsecond(unix_us).unwrap_or(Timestamp::UNIX_EPOCH);
    at.strftime("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_written_as_each_client_reads_it() {
        let at = 1_795_364_897_840_000;
        assert_eq!(rfc3339_ms(at), "2026-11-22T16:28:17.840Z");
        assert_eq!(rfc3339_s(at), "2026-11-22T16:28:17Z");
        assert_eq!(access_log(at), "22/Nov/2026:16:28:17 +0000");
        assert_eq!(
            access_log(951_782_400_000_000),
            "29/Feb/2000:00:00:00 +0000"
        );
        assert_eq!(day(at), "2026-11-22");
        assert_eq!(rfc3339_ms(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339_ms(i64::MAX), "1970-01-01T00:00:00.000Z");
    }
}
