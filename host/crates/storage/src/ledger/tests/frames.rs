//! A report is the same after a trip through a frame, and a damaged frame is not a report.

use domain::names::FUNCTION_NAME_CHARS_MAX;
use proptest::prelude::*;

use super::super::frame::{self, Encoded, Found};
use super::*;

pub(super) fn framed(report: &Report, sequence: u64, previous_crc: u32) -> Vec<u8> {
    let mut encoded = Encoded::new(report).unwrap();
    let placed = encoded.place(sequence, previous_crc);
    let mut bytes = placed.word.to_le_bytes().to_vec();
    bytes.extend_from_slice(encoded.after_word());
    bytes
}

prop_compose! {
    fn any_report()(
        id in any::<[u8; 16]>(), name in "[A-Za-z0-9_-]{1,64}", version in 0_u64..,
        numbers in any::<(u32, i64, Option<u64>, u64, u64, u64, u32, u64)>(),
        memory in 1_u32..=4_096, status in 0_usize..7, is_http in any::<bool>(),
        error_type in proptest::option::of(".{0,128}"),
    ) -> Report {
        let (attempt, started_at_us, init_ns, duration_ns, cpu_ns, billed_ms, used, charge) =
            numbers;
        Report {
            request_id: RequestId::from_bytes(id),
            attempt,
            function: FunctionName::parse(&name).unwrap(),
            version: if version == 0 { VersionId::Latest } else { VersionId::Number(version) },
            trigger: if is_http { Trigger::Http } else { Trigger::Invoke },
            started_at_us,
            status: Status::ALL[status],
            error_type,
            init_ns,
            duration_ns,
            cpu_ns,
            billed_ms,
            memory: MemoryMb::new(memory).unwrap(),
            memory_used_mb: used,
            charge_picousd: charge,
        }
    }
}

proptest! {
    #[test]
    fn a_report_comes_back_from_its_frame(
        report in any_report(), sequence in any::<u64>(), previous_crc in any::<u32>(),
    ) {
        let bytes = framed(&report, sequence, previous_crc);
        let Found::Frame(frame) = frame::at(&bytes, 0) else { panic!("{bytes:?}") };
        prop_assert_eq!(frame.sequence, sequence);
        prop_assert_eq!(frame.previous_crc, previous_crc);
        prop_assert_eq!(frame.end, bytes.len());
        prop_assert!(frame.is_of(&report.function));
        prop_assert_eq!(frame.report().unwrap(), report);
    }

    #[test]
    fn a_flipped_bit_or_a_cut_makes_a_frame_unreadable(
        report in any_report(), bit in any::<prop::sample::Index>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let bytes = framed(&report, 7, 9);
        let mut flipped = bytes.clone();
        let bit = bit.index(bytes.len() * 8);
        flipped[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(!matches!(frame::at(&flipped, 0), Found::Frame(_)), "bit {}", bit);
        let cut = &bytes[..cut.index(bytes.len())];
        prop_assert!(!matches!(frame::at(cut, 0), Found::Frame(_)));
    }

    #[test]
    fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        for offset in 0..bytes.len() + 2 {
            if let Found::Frame(frame) = frame::at(&bytes, offset) {
                drop(frame.report());
            }
        }
    }
}

#[test]
fn the_longest_report_fits_and_a_longer_error_type_is_cut_at_a_character() {
    let longest = Report {
        function: FunctionName::parse(&"x".repeat(FUNCTION_NAME_CHARS_MAX)).unwrap(),
        version: VersionId::Number(u64::MAX),
        error_type: Some("🦋".repeat(1_000)),
        attempt: u32::MAX,
        started_at_us: i64::MIN,
        init_ns: Some(u64::MAX),
        duration_ns: u64::MAX,
        cpu_ns: u64::MAX,
        billed_ms: u64::MAX,
        memory: MemoryMb::MAX,
        memory_used_mb: u32::MAX,
        charge_picousd: u64::MAX,
        ..report(1)
    };
    let bytes = framed(&longest, u64::MAX, u32::MAX);
    let Found::Frame(frame) = frame::at(&bytes, 0) else {
        panic!("{bytes:?}")
    };
    let expected = Report {
        error_type: Some("🦋".repeat(128)),
        ..longest
    };
    assert_eq!(frame.report().unwrap(), expected);
}

#[test]
fn a_frame_has_the_bytes_that_older_versions_wrote() {
    let bytes = framed(&report(1), 1, 0);
    let hex = crate::files::hex(&bytes);
    // A change here is a new format: old ledgers must stay readable.
    assert_eq!(
        hex,
        "3a000000b8663662010000000000000000000000010000000a66756e6374696f6e2d3180f9bacab58ca206\
         019aac75e981700080000000000000010201000101064572726f723100e907e707010201afd80c000000000000"
    );
    for (code, status) in (0_u8..).zip(Status::ALL) {
        assert_eq!(postcard::to_allocvec(&status).unwrap(), [code]);
    }
    assert_eq!(
        postcard::to_allocvec(&[Trigger::Http, Trigger::Invoke]).unwrap(),
        [0, 1]
    );
}
