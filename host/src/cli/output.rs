//! Writing to stdout and stderr, and surviving that nobody reads any more.
//!
//! Also the one place that makes foreign text fit for a terminal.

use std::fmt;
use std::io::{self, ErrorKind, Write as _};

/// Whoever read our output has left. Ends the command, quietly.
#[derive(Debug)]
struct Closed;

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody reads the output any more")
    }
}

impl std::error::Error for Closed {}

/// What was asked for can't be: exit code 2.
#[derive(Debug)]
struct Misuse(String);

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Misuse {}

/// An error of whoever wrote the command line, for which the exit code is 2.
pub(super) fn misuse(text: impl fmt::Display) -> anyhow::Error {
    anyhow::Error::new(Misuse(text.to_string()))
}

/// Whether an error is one of [`misuse`].
pub(super) fn is_misuse(error: &anyhow::Error) -> bool {
    error.is::<Misuse>()
}

/// Whether an error is only that the reader has left.
pub(super) fn is_closed(error: &anyhow::Error) -> bool {
    error.is::<Closed>()
}

/// Writes an answer to stdout, at once.
pub(super) fn answer(bytes: impl AsRef<[u8]>) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(bytes.as_ref())
        .and_then(|()| stdout.flush())
    {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Closed.into()),
        Err(error) => Err(anyhow::Error::new(error).context("writing to stdout failed")),
    }
}

/// Writes one line to stderr. That nobody reads it changes nothing.
pub(super) fn note(line: &str) {
    let _written = writeln!(io::stderr().lock(), "{line}");
}

/// A text with its line breaks and runs of blanks made one blank each.
pub(super) fn one_line(text: &str) -> String {
    printable(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// A text whose control characters, tabs apart, are escaped: what a function wrote must not move
/// the cursor of whoever reads it.
pub(super) fn printable(text: &str) -> String {
    let is_safe = |c: char| c == '\t' || !(c.is_control() || is_direction(c));
    if text.chars().all(is_safe) {
        return text.to_owned();
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_safe(c) {
            escaped.push(c);
        } else {
            escaped.extend(c.escape_debug());
        }
    }
    escaped
}

/// Characters that turn the direction of the text after them.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_and_not_sent() {
        assert_eq!(printable("a\tb é"), "a\tb é");
        assert_eq!(printable("\u{1b}[2J\r\u{202e}x"), "\\u{1b}[2J\\r\\u{202e}x");
        assert_eq!(one_line("a\n  b\n"), "a b");
    }

    #[test]
    fn a_reader_that_left_is_told_from_a_failure() {
        assert!(is_closed(&anyhow::Error::new(Closed)));
        assert!(!is_closed(&anyhow::anyhow!("x")));
        assert!(is_misuse(&misuse("x")) && is_misuse(&misuse("x").context("y")));
        assert!(!is_misuse(&anyhow::anyhow!("x")));
    }
}
