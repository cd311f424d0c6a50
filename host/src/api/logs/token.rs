//! Places in logs as texts that clients give back: `nextToken` and `eventId`.
//!
//! A place in a log is 56 decimal digits, as on AWS. A token carries a check over the request that it belongs to,
//! so that one which was made up or taken from another request is refused. It needs no key: what it can
//! name is a place in a log that its caller may read anyway, and any place is safe to read from. So
//! tokens stay valid across restarts.

use sha2::{Digest as _, Sha256};
use storage::{LogCursor, ScanEnd};

const SEGMENT_DIGITS: usize = 10;
const OFFSET_DIGITS: usize = 11;
const STAMP_DIGITS: usize = 15;
const CHECK_DIGITS: usize = 20;
const DIGITS: usize = SEGMENT_DIGITS + OFFSET_DIGITS + STAMP_DIGITS + CHECK_DIGITS;

/// What a token must be given back with: the parts of its request that say what is read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Purpose<'a>(pub(super) &'a [&'a str]);

/// A place as a token for `purpose`.
pub(super) fn encode(purpose: Purpose<'_>, end: ScanEnd) -> String {
    let place = format!(
        "{:0SEGMENT_DIGITS$}{:0OFFSET_DIGITS$}{:0STAMP_DIGITS$}",
        end.next.segment(),
        end.next.offset(),
        end.stamp_ms
    );
    let check = check(purpose, &place);
    format!("{place}{check:0CHECK_DIGITS$}")
}

/// The place of a token that was made for `purpose`.
pub(super) fn decode(purpose: Purpose<'_>, token: &str) -> Option<ScanEnd> {
    let is_one = token.len() == DIGITS && token.bytes().all(|byte| byte.is_ascii_digit());
    let (place, given) = is_one.then(|| token.split_at(DIGITS - CHECK_DIGITS))?;
    if given.parse() != Ok(check(purpose, place)) {
        return None;
    }
    let (segment, rest) = place.split_at(SEGMENT_DIGITS);
    let (offset, stamp) = rest.split_at(OFFSET_DIGITS);
    Some(ScanEnd {
        next: LogCursor::new(segment.parse().ok()?, offset.parse().ok()?),
        stamp_ms: stamp.parse().ok()?,
        is_complete: false,
    })
}

/// What tells an event from all others of its group, now and later.
pub(super) fn event_id(place: LogCursor, at_unix_ms: u64) -> String {
    format!(
        "{at_unix_ms:016}{:020}{:020}",
        place.segment(),
        place.offset()
    )
}

fn check(purpose: Purpose<'_>, place: &str) -> u64 {
    let mut hash = Sha256::new();
    for part in purpose.0.iter().chain([&place]) {
        // Lengths keep the parts apart.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let hash: [u8; 32] = hash.finalize().into();
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    u64::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PURPOSE: Purpose<'_> = Purpose(&["filter", "/aws/lambda/f"]);

    fn end() -> ScanEnd {
        ScanEnd {
            next: LogCursor::new(12, 1_048_000),
            stamp_ms: 1_795_305_600_000,
            is_complete: false,
        }
    }

    #[test]
    fn a_token_is_56_digits_and_leads_back() {
        let token = encode(PURPOSE, end());
        assert_eq!(token.len(), 56);
        assert_eq!(decode(PURPOSE, &token), Some(end()));
    }

    #[test]
    fn a_token_for_something_else_or_with_any_other_digit_is_none() {
        let token = encode(PURPOSE, end());
        for other in [&["filter", "/aws/lambda/g"][..], &["filter/aws/lambda/f"]] {
            assert_eq!(decode(Purpose(other), &token), None);
        }
        for at in 0..token.len() {
            let mut forged = token.clone().into_bytes();
            forged[at] = if forged[at] == b'9' {
                b'0'
            } else {
                forged[at] + 1
            };
            let forged = String::from_utf8(forged).unwrap();
            assert_eq!(decode(PURPOSE, &forged), None, "{forged}");
        }
        for nonsense in ["", "x", &"9".repeat(56), &"9".repeat(57), &"é".repeat(28)] {
            assert_eq!(decode(PURPOSE, nonsense), None);
        }
    }

    #[test]
    fn an_event_id_is_56_digits_and_orders_as_the_log() {
        let first = event_id(LogCursor::new(1, 900), 5);
        let second = event_id(LogCursor::new(2, 0), 5);
        assert!(first.len() == 56 && second.len() == 56 && first < second);
    }
}
