//! Bytes that a guest chose do not pass for records, wherever the process was killed.

use super::super::segment;
use super::frames::framed;
use super::recovery::{Damaged, frame_at};
use super::*;

/// The first 19 records, then a frame for the 20th that was not finished, whose error type holds
/// `forged`; with `after` behind the longest frame that there could be.
fn with_half_stored(damaged: &Damaged, forged: &[u8], after: &[u8]) -> Vec<u8> {
    let last = frame_at(&damaged.bytes, 19);
    let mut bytes = damaged.bytes.clone();
    bytes[..segment::HEADER_BYTES].copy_from_slice(&damaged.header(last, true));
    bytes[last..].fill(0);
    let guest = Report {
        error_type: Some("x".repeat(512)),
        ..report(19)
    };
    let mut half = framed(&guest, Damaged::RECORDS, 0);
    half[..8].fill(0);
    let text = half.iter().position(|byte| *byte == b'x').unwrap();
    let text = text.next_multiple_of(8);
    half[text..text + forged.len()].copy_from_slice(forged);
    bytes[last..last + half.len()].copy_from_slice(&half);
    let beyond = last + 1_024;
    bytes[beyond..beyond + after.len()].copy_from_slice(after);
    bytes
}

#[test]
fn a_frame_inside_a_half_stored_frame_is_no_record() {
    let mut damaged = Damaged::new();
    for sequence in [0, 19, 20, 21, 22, 50, u64::MAX] {
        let forged = framed(&report(7), sequence, 1);
        let bytes = with_half_stored(&damaged, &forged, &[]);
        assert_eq!(damaged.recover(&bytes), Some(19), "{sequence}");
    }
}

#[test]
fn behind_it_only_a_record_that_should_follow_is_one() {
    let mut damaged = Damaged::new();
    for (sequence, expected) in [
        (1, Some(19)),
        (20, Some(19)),
        (21, None),
        (30, None),
        (10_000, Some(19)),
        (u64::MAX, Some(19)),
    ] {
        let after = framed(&report(7), sequence, 1);
        let bytes = with_half_stored(&damaged, &[], &after);
        assert_eq!(damaged.recover(&bytes), expected, "{sequence}");
    }
}

#[test]
fn an_old_record_in_place_of_the_next_one_is_damage() {
    let mut damaged = Damaged::new();
    let (last, end) = (frame_at(&damaged.bytes, 19), damaged.end);
    let mut bytes = damaged.bytes.clone();
    bytes[..segment::HEADER_BYTES].copy_from_slice(&damaged.header(last, true));
    bytes[last..end].fill(0);
    let old = framed(&report(7), 8, 1);
    bytes[last..last + old.len()].copy_from_slice(&old);
    assert_eq!(damaged.recover(&bytes), None);
}
