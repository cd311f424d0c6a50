//! Frames of `application/vnd.amazon.eventstream`, the form of streamed answers that AWS clients read.
//!
//! ```text
//! 0    length of the frame, u32, big-endian like all numbers here
//! 4    length of the headers, u32
//! 8    CRC-32 of bytes 0 to 8, u32
//! 12   headers: length of the name, u8; name; 7 (a string), u8; length of the value, u16; value
//! ..   payload
//! -4   CRC-32 of everything before, u32
//! ```
//!
//! Knows nothing of who sends what.

use bytes::Bytes;

/// The `Content-Type` of an answer made of frames.
pub(super) const CONTENT_TYPE: &str = "application/vnd.amazon.eventstream";

const PRELUDE_BYTES: usize = 12;
const CRC_BYTES: usize = 4;
/// The type of a header's value: a string.
const STRING: u8 = 7;

/// An event of type `event_type`, such as `PayloadChunk`.
pub(super) fn event(event_type: &str, content_type: &str, payload: &[u8]) -> Bytes {
    let headers = [
        (":event-type", event_type),
        (":content-type", content_type),
        (":message-type", "event"),
    ];
    frame(&headers, payload)
}

/// An event whose payload is JSON.
pub(super) fn json_event(event_type: &str, payload: &serde_json::Value) -> Bytes {
    event(
        event_type,
        "application/json",
        payload.to_string().as_bytes(),
    )
}

/// The end of a stream that failed: an error's code, such as `SessionTimeoutException`, and its text.
pub(super) fn exception(code: &str, message: &str) -> Bytes {
    let headers = [
        (":exception-type", code),
        (":content-type", "application/json"),
        (":message-type", "exception"),
    ];
    let payload = serde_json::json!({ "message": message }).to_string();
    frame(&headers, payload.as_bytes())
}

fn frame(headers: &[(&str, &str)], payload: &[u8]) -> Bytes {
    let mut head = Vec::with_capacity(128);
    for (name, value) in headers {
        // Names and values are ours and short.
        head.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        head.extend_from_slice(name.as_bytes());
        head.push(STRING);
        head.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
        head.extend_from_slice(value.as_bytes());
    }
    let total = PRELUDE_BYTES + head.len() + payload.len() + CRC_BYTES;
    let mut frame = Vec::with_capacity(total);
    frame.extend_from_slice(&length(total));
    frame.extend_from_slice(&length(head.len()));
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame.extend_from_slice(&head);
    frame.extend_from_slice(payload);
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame.into()
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CRC-32/IEEE, bit by bit, so that the frames are not checked with what made them.
    fn crc(bytes: &[u8]) -> [u8; 4] {
        let mut crc = u32::MAX;
        for byte in bytes {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                let mask = (crc & 1).wrapping_neg();
                crc = (crc >> 1) ^ (0xedb8_8320 & mask);
            }
        }
        (!crc).to_be_bytes()
    }

    #[test]
    fn the_check_of_these_tests_is_the_usual_one() {
        assert_eq!(crc(b"123456789"), 0xcbf4_3926_u32.to_be_bytes());
    }

    #[test]
    fn a_frame_without_headers_and_payload_is_the_one_of_the_documentation() {
        let expected = [
            0, 0, 0, 16, 0, 0, 0, 0, 0x05, 0xc2, 0x48, 0xeb, 0x7d, 0x98, 0xc8, 0xff,
        ];
        assert_eq!(frame(&[], b"").as_ref(), expected);
    }

    #[test]
    fn an_event_is_lengths_headers_payload_and_two_checksums() {
        let mut head = Vec::new();
        for (name, value) in [
            (&b"\x0b:event-type\x07"[..], &b"\x00\x0cPayloadChunk"[..]),
            (
                b"\x0d:content-type\x07",
                b"\x00\x18application/octet-stream",
            ),
            (b"\x0d:message-type\x07", b"\x00\x05event"),
        ] {
            head.extend_from_slice(name);
            head.extend_from_slice(value);
        }
        let payload = b"\x00\xffbytes";
        let total = u8::try_from(12 + head.len() + payload.len() + 4).unwrap();
        let mut expected = vec![0, 0, 0, total, 0, 0, 0, u8::try_from(head.len()).unwrap()];
        expected.extend_from_slice(&crc(&expected));
        expected.extend_from_slice(&head);
        expected.extend_from_slice(payload);
        expected.extend_from_slice(&crc(&expected));
        let frame = event("PayloadChunk", "application/octet-stream", payload);
        assert_eq!(frame.as_ref(), expected);
    }

    #[test]
    fn an_exception_names_its_code_in_a_header_and_says_why_in_json() {
        let frame = exception("SessionTimeoutException", "three hours");
        let text = String::from_utf8_lossy(&frame);
        assert!(text.contains("\u{f}:exception-type\u{7}\0\u{17}SessionTimeoutException"));
        assert!(text.contains(r#"{"message":"three hours"}"#));
        let (before, last) = frame.split_at(frame.len() - 4);
        assert_eq!(last, crc(before));
    }
}
