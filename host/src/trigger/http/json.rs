//! Writes JSON whose shape is known beforehand, up to a bound.
//!
//! An event is written for each request, and most of it is names and punctuation that never change:
//! they are copied as they are. Texts from outside are looked at for what must be escaped, many bytes
//! at once, and only those that need it go through the library. Knows nothing of events, and does not
//! check that what it is told to write is one JSON value.

use std::io::{self, Write};

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

/// JSON on its way, at most `bytes_max` of it.
#[derive(Debug)]
pub(super) struct JsonWriter {
    json: Vec<u8>,
    bytes_max: usize,
    too_long: bool,
}

impl JsonWriter {
    pub(super) fn new(capacity: usize, bytes_max: usize) -> Self {
        Self {
            json: Vec::with_capacity(capacity.min(bytes_max)),
            bytes_max,
            too_long: false,
        }
    }

    /// JSON as it stands in the source: names, punctuation, constants.
    pub(super) fn raw(&mut self, json: &str) {
        self.push(json.as_bytes());
    }

    /// A text, quoted and escaped.
    pub(super) fn text(&mut self, text: &str) {
        if needs_escape(text.as_bytes()) {
            self.too_long |= serde_json::to_writer(&mut *self, text).is_err();
            return;
        }
        self.push(b"\"");
        self.push(text.as_bytes());
        self.push(b"\"");
    }

    /// A number, or anything else whose text needs no escape and no quotes.
    pub(super) fn display(&mut self, value: impl std::fmt::Display) {
        self.too_long |= write!(self, "{value}").is_err();
    }

    /// Bytes as a text of base64, without a copy of it all.
    pub(super) fn base64(&mut self, bytes: &[u8]) {
        self.push(b"\"");
        self.display(Base64Display::new(bytes, &STANDARD));
        self.push(b"\"");
    }

    /// An object of texts.
    pub(super) fn object<'a>(&mut self, members: impl IntoIterator<Item = (&'a str, &'a str)>) {
        let mut before = "{";
        for (name, value) in members {
            self.raw(before);
            self.text(name);
            self.raw(":");
            self.text(value);
            before = ",";
        }
        self.raw(if before == "{" { "{}" } else { "}" });
    }

    /// What was written; `None` when it would have been too long.
    pub(super) fn finish(self) -> Option<Bytes> {
        (!self.too_long).then(|| Bytes::from(self.json))
    }

    fn push(&mut self, bytes: &[u8]) {
        if self.json.len() + bytes.len() > self.bytes_max {
            self.too_long = true;
        } else {
            self.json.extend_from_slice(bytes);
        }
    }
}

impl Write for JsonWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push(bytes);
        if self.too_long {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether a byte of a text has to be escaped: a control character, `"` or `\`.
///
/// Looks at eight bytes at a time. A word has a zero byte when taking one from each byte borrows into
/// a high bit that was not set before; the same with 0x20 finds bytes below it.
fn needs_escape(text: &[u8]) -> bool {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH_BITS: u64 = ONES << 7;
    let below = |word: u64, bound: u64| word.wrapping_sub(ONES.wrapping_mul(bound)) & !word;
    let word_needs = |word: u64| {
        let quotes = word ^ (ONES * u64::from(b'"'));
        let backslashes = word ^ (ONES * u64::from(b'\\'));
        (below(word, 0x20) | below(quotes, 1) | below(backslashes, 1)) & HIGH_BITS != 0
    };
    let (words, rest) = text.as_chunks::<8>();
    words
        .iter()
        .any(|word| word_needs(u64::from_le_bytes(*word)))
        || rest
            .iter()
            .any(|byte| *byte < 0x20 || matches!(byte, b'"' | b'\\'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(text: &str, bytes_max: usize) -> Option<Bytes> {
        let mut json = JsonWriter::new(8, bytes_max);
        json.text(text);
        json.finish()
    }

    proptest! {
        #[test]
        fn a_text_is_written_as_the_library_writes_it(plain in ".{0,80}", any in any::<Vec<char>>()) {
            for written in [plain, any.into_iter().collect()] {
                let expected = serde_json::to_string(&written).unwrap();
                prop_assert_eq!(text(&written, 10_000).unwrap(), expected);
            }
        }
    }

    #[test]
    fn what_is_longer_than_the_bound_is_nothing() {
        assert_eq!(text("1234", 6).unwrap(), "\"1234\"");
        assert_eq!(text("1234", 5), None);
        assert_eq!(text("12\n", 6).unwrap(), "\"12\\n\"");
        assert_eq!(text("123\n", 6), None);
        let mut json = JsonWriter::new(0, 5);
        json.base64(b"abc");
        assert_eq!(json.finish(), None);
    }

    #[test]
    fn an_object_of_texts_has_its_commas_between() {
        let mut json = JsonWriter::new(0, 100);
        json.object([]);
        json.object([("a", "1"), ("b\"", "2")]);
        json.display(-7);
        assert_eq!(json.finish().unwrap(), r#"{}{"a":"1","b\"":"2"}-7"#);
    }
}
