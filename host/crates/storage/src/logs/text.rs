//! Text that is safe to show: one line, nothing a terminal would act on, bounded.

use std::borrow::Cow;

/// Most bytes of an event's text; what is beyond is cut.
pub const TEXT_BYTES_MAX: usize = 256 << 10;

/// How lines of ours begin. A function's line that begins like this is moved by one space.
const OURS: [&str; 4] = [
    "START RequestId:",
    "END RequestId:",
    "REPORT RequestId:",
    "INIT_START",
];

/// Makes `text` safe to store and to show as one line.
///
/// Control characters, line separators and marks that change the direction of writing become escapes
/// such as `\n` or `\u{1b}`; a tab stays. At most [`TEXT_BYTES_MAX`] bytes are kept. The way back is
/// not meant to exist: a backslash stays a backslash.
#[must_use]
pub fn escape(text: &str) -> Cow<'_, str> {
    let bounded = &text[..text.floor_char_boundary(TEXT_BYTES_MAX)];
    if is_plain(bounded.as_bytes()) {
        return Cow::Borrowed(bounded);
    }
    let Some(first) = bounded.find(is_unsafe) else {
        return Cow::Borrowed(bounded);
    };
    let (clean, rest) = bounded.split_at(first);
    let mut escaped = String::with_capacity(bounded.len() + 16);
    escaped.push_str(clean);
    for character in rest.chars() {
        let before = escaped.len();
        match character {
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\0' => escaped.push_str("\\0"),
            character if is_unsafe(character) => {
                escaped.extend(character.escape_unicode());
            }
            character => escaped.push(character),
        }
        if escaped.len() > TEXT_BYTES_MAX {
            escaped.truncate(before);
            break;
        }
    }
    Cow::Owned(escaped)
}

/// Whether a text is all printable ASCII and tabs, as most are. Looks at 32 bytes at a time, without
/// a branch for each.
fn is_plain(text: &[u8]) -> bool {
    let is_odd = |byte: u8| ((byte < b' ') & (byte != b'\t')) | (byte > b'~');
    text.chunks(32).all(|chunk| {
        !chunk
            .iter()
            .fold(false, |found, byte| found | is_odd(*byte))
    })
}

fn is_unsafe(character: char) -> bool {
    match character {
        '\t' => false,
        // Line and paragraph separators; embeddings, overrides and isolates of direction.
        '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        // Not characters to be seen, and taken by some tools for the end of a text.
        '\u{feff}' | '\u{fff9}'..='\u{fffb}' => true,
        character => character.is_control(),
    }
}

/// Whether a function's line would pass for one of ours.
pub(super) fn looks_like_ours(text: &str) -> bool {
    OURS.iter().any(|prefix| text.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(escape(text), expected);
    }

    #[test]
    fn what_a_terminal_would_act_on_is_written_out() {
        check("plain \\n ä 🦋\ttab", "plain \\n ä 🦋\ttab");
        check("a\nb\r\0", "a\\nb\\r\\0");
        check("\u{1b}[2J", "\\u{1b}[2J");
        check("\u{9b}x\u{7f}", "\\u{9b}x\\u{7f}");
        check("gpj.\u{202e}exe\u{2028}", "gpj.\\u{202e}exe\\u{2028}");
        assert!(matches!(escape("plain"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_long_text_is_cut_at_a_character() {
        let long = "ä".repeat(TEXT_BYTES_MAX);
        assert_eq!(escape(&long).len(), TEXT_BYTES_MAX);
        let controls = "\u{1b}".repeat(TEXT_BYTES_MAX);
        let escaped = escape(&controls);
        assert!(escaped.len() <= TEXT_BYTES_MAX && escaped.ends_with("\\u{1b}"));
    }

    proptest! {
        #[test]
        fn an_escaped_text_is_one_bounded_line_and_escaping_it_again_changes_nothing(
            text in ".{0,300}", controls in proptest::collection::vec(any::<char>(), 0..300),
        ) {
            let text = text + &controls.into_iter().collect::<String>();
            let escaped = escape(&text);
            prop_assert!(escaped.chars().all(|c| c == '\t' || !c.is_control()));
            prop_assert_eq!(escaped.lines().count(), usize::from(!escaped.is_empty()));
            prop_assert!(escaped.len() <= TEXT_BYTES_MAX);
            prop_assert_eq!(escape(&escaped), escaped.as_ref());
        }
    }
}
