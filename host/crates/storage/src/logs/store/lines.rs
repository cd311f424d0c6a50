//! The lines of log files: made from events and streams, and read.
//!
//! Knows nothing of files.

use std::fmt::Write as _;
use std::sync::Arc;

use super::super::buffer::Lost;
use super::super::{LogEvent, LogSource, text};

/// How much may be written until the stream is named again, so that a reader who comes in the middle
/// finds it without reading a whole file.
pub(in crate::logs) const STREAM_EVERY_BYTES: usize = 64 << 10;

/// Lines to be written at once.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) text: String,
    /// When the first of them was said, in Unix milliseconds.
    pub(super) first_ms: u64,
    /// The streams of the first and of the last line.
    pub(super) first_stream: Option<Arc<str>>,
    pub(super) stream: Option<Arc<str>>,
    /// Since the stream was named.
    bytes_since_stream: usize,
}

impl Lines {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self {
            text: String::with_capacity(bytes),
            ..Self::default()
        }
    }

    /// What follows belongs to `stream`.
    pub(super) fn set_stream(&mut self, at_unix_ms: u64, stream: &Arc<str>) {
        if self.stream.as_ref() == Some(stream) {
            return;
        }
        if self.text.is_empty() {
            self.first_ms = at_unix_ms;
            self.first_stream = Some(Arc::clone(stream));
        } else {
            self.text.push_str(&stream_line(at_unix_ms, stream));
        }
        self.stream = Some(Arc::clone(stream));
        self.bytes_since_stream = 0;
    }

    /// Begins again in the same stream, with something said at `at_unix_ms`.
    pub(super) fn restart(&mut self, at_unix_ms: u64) {
        self.text.clear();
        self.first_ms = at_unix_ms;
        self.first_stream.clone_from(&self.stream);
        self.bytes_since_stream = 0;
    }

    pub(super) fn push_event(&mut self, event: &LogEvent) {
        if self.bytes_since_stream >= STREAM_EVERY_BYTES
            && let Some(stream) = &self.stream
        {
            self.text.push_str(&stream_line(event.at_unix_ms, stream));
            self.bytes_since_stream = 0;
        }
        let before = self.text.len();
        let source = match event.source {
            LogSource::Platform => " p ",
            LogSource::Function => " f ",
        };
        // Each line of each event goes through here: no format string, no text in between.
        let written = write!(self.text, "{}", event.at_unix_ms);
        debug_assert!(written.is_ok(), "writing to a String can't fail");
        self.text.push_str(source);
        self.text.push_str(&event.shown());
        self.text.push('\n');
        self.bytes_since_stream += self.text.len() - before;
    }

    pub(super) fn push_lost(&mut self, lost: Lost) {
        if lost.events > 0 {
            self.push_event(&LogEvent {
                at_unix_ms: lost.at_unix_ms,
                source: LogSource::Platform,
                text: format!("{} events dropped", lost.events),
            });
        }
    }
}

/// Says that what follows belongs to `stream`.
pub(super) fn stream_line(at_unix_ms: u64, stream: &str) -> String {
    format!("{at_unix_ms} s {}\n", text::escape(stream))
}

/// Reads a line without its newline; `None` when it is not one of ours.
pub(in crate::logs) fn parse_event(line: &[u8]) -> Option<LogEvent> {
    let line = std::str::from_utf8(line).ok()?;
    let (at_unix_ms, rest) = line.split_once(' ')?;
    let (source, text) = rest.split_once(' ')?;
    let source = match source {
        "p" => LogSource::Platform,
        "f" => LogSource::Function,
        _ => return None,
    };
    // A file that was changed by hand is no way to a terminal either.
    let text = text::escape(text).into_owned();
    Some(LogEvent {
        at_unix_ms: at_unix_ms.parse().ok()?,
        source,
        text,
    })
}
