//! Instants as text, the three ways that clients read them.

use jiff::Timestamp;

/// RFC 3339 in UTC with milliseconds, such as `2026-11-22T16:28:17.840Z`.
pub(crate) fn rfc3339_ms(unix_us: i64) -> String {
    let at = Timestamp::from_microsecond(unix_us).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{at:.3}")
}

/// As in an access log, `22/Nov/2026:16:28:17 +0000`.
pub(crate) fn access_log(unix_us: i64) -> String {
    let at = Timestamp::from_microsecond(unix_us).unwrap_or(Timestamp::UNIX_EPOCH);
    at.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string()
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
        assert_eq!(access_log(at), "22/Nov/2026:16:28:17 +0000");
        assert_eq!(day(at), "2026-11-22");
        assert_eq!(rfc3339_ms(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339_ms(i64::MAX), "1970-01-01T00:00:00.000Z");
    }
}
