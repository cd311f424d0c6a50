//! What one guest wrote to its log: whole lines, within a budget.
//!
//! A guest that writes too much is cut, not stopped: it is told that every write succeeded, and what
//! was dropped is counted. Knows nothing of where lines are stored, and escapes nothing.

use domain::limits::{LOG_BYTES_MAX, LOG_LINE_OVERHEAD_BYTES};

/// The lines a guest wrote, in the order in which they were completed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GuestLog {
    /// Whole lines; the last one may have lacked its line end.
    pub lines: Vec<GuestLine>,
    /// Bytes that were written beyond the budget and dropped.
    pub dropped_bytes: u64,
}

/// One line, as the guest wrote it: it may hold control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestLine {
    /// When the line was completed, in Unix milliseconds.
    pub at_unix_ms: u64,
    /// The text without its line end; invalid UTF-8 is replaced.
    pub text: String,
}

/// Which of a guest's two streams was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogStream {
    Stdout,
    Stderr,
}

/// Collects bytes into lines. Costs nothing until something is written.
#[derive(Debug, Default)]
pub(crate) struct LogBuffer {
    log: GuestLog,
    /// Text and overhead of the lines so far.
    used_bytes: usize,
    /// Unfinished lines of stdout and stderr, whose bytes are not in `used_bytes` yet.
    partial: [Vec<u8>; 2],
    /// Nothing is kept after the first dropped byte, so that what is kept is a prefix.
    full: bool,
}

impl LogBuffer {
    /// Takes what a guest wrote at once; `now` is asked only when a line is completed.
    pub(crate) fn write(&mut self, stream: LogStream, mut bytes: &[u8], now: impl Fn() -> u64) {
        while !bytes.is_empty() {
            if self.full {
                self.drop_bytes(bytes.len());
                return;
            }
            match bytes.iter().position(|byte| *byte == b'\n') {
                Some(end) => {
                    self.keep(stream, &bytes[..end]);
                    self.finish(stream, now());
                    bytes = &bytes[end + 1..];
                }
                None => {
                    self.keep(stream, bytes);
                    return;
                }
            }
        }
    }

    /// Ends unfinished lines and hands over everything; the budget stays spent.
    pub(crate) fn take(&mut self, now_unix_ms: u64) -> GuestLog {
        for stream in [LogStream::Stdout, LogStream::Stderr] {
            if !self.partial[stream as usize].is_empty() {
                self.finish(stream, now_unix_ms);
            }
        }
        std::mem::take(&mut self.log)
    }

    /// Appends to the unfinished line, no further than the budget goes.
    fn keep(&mut self, stream: LogStream, bytes: &[u8]) {
        let held = self.partial.iter().map(Vec::len).sum::<usize>();
        let room = LOG_BYTES_MAX
            .saturating_sub(self.used_bytes)
            .saturating_sub(held)
            .saturating_sub(2 * LOG_LINE_OVERHEAD_BYTES);
        let kept = bytes.len().min(room);
        self.partial[stream as usize].extend_from_slice(&bytes[..kept]);
        if kept < bytes.len() {
            self.full = true;
            self.drop_bytes(bytes.len() - kept);
        }
    }

    fn finish(&mut self, stream: LogStream, at_unix_ms: u64) {
        let bytes = std::mem::take(&mut self.partial[stream as usize]);
        let mut text = match String::from_utf8(bytes) {
            Ok(text) => text,
            // Replacing makes the text longer: the budget is counted after it.
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        };
        let room = LOG_BYTES_MAX.saturating_sub(self.used_bytes + LOG_LINE_OVERHEAD_BYTES);
        if text.len() > room || self.used_bytes + LOG_LINE_OVERHEAD_BYTES > LOG_BYTES_MAX {
            let end = (0..=room)
                .rev()
                .find(|at| text.is_char_boundary(*at))
                .unwrap_or(0);
            self.full = true;
            self.drop_bytes(text.len() - end);
            text.truncate(end);
        }
        if self.used_bytes + LOG_LINE_OVERHEAD_BYTES <= LOG_BYTES_MAX {
            self.used_bytes += text.len() + LOG_LINE_OVERHEAD_BYTES;
            self.log.lines.push(GuestLine { at_unix_ms, text });
        }
    }

    fn drop_bytes(&mut self, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.log.dropped_bytes = self.log.dropped_bytes.saturating_add(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(log: &GuestLog) -> Vec<&str> {
        log.lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn writes_of_any_size_become_whole_lines() {
        let mut buffer = LogBuffer::default();
        for byte in b"one\ntwo\n\nthr" {
            buffer.write(LogStream::Stderr, &[*byte], || 7);
        }
        buffer.write(LogStream::Stdout, b"other stream", || 7);
        buffer.write(LogStream::Stderr, b"ee", || 7);
        let log = buffer.take(9);
        assert_eq!(texts(&log), ["one", "two", "", "other stream", "three"]);
        assert_eq!(log.lines[0].at_unix_ms, 7);
        assert_eq!(log.lines[4].at_unix_ms, 9);
        assert_eq!(log.dropped_bytes, 0);
    }

    #[test]
    fn what_is_beyond_the_budget_is_counted_and_dropped() {
        let mut buffer = LogBuffer::default();
        let line = [&[b'x'; 999][..], b"\n"].concat();
        for _ in 0..1_000 {
            buffer.write(LogStream::Stderr, &line, || 0);
        }
        let log = buffer.take(0);
        let kept: usize = log.lines.iter().map(|line| line.text.len()).sum();
        assert!(kept + log.lines.len() * LOG_LINE_OVERHEAD_BYTES <= LOG_BYTES_MAX);
        assert!(log.lines.len() > 200, "{}", log.lines.len());
        assert!(log.dropped_bytes > 700_000);
    }

    #[test]
    fn empty_lines_are_bounded_too() {
        let mut buffer = LogBuffer::default();
        for _ in 0..100 {
            buffer.write(LogStream::Stderr, &[b'\n'; 10_000], || 0);
        }
        assert!(buffer.take(0).lines.len() <= LOG_BYTES_MAX / LOG_LINE_OVERHEAD_BYTES);
    }

    #[test]
    fn one_endless_line_and_invalid_text_stay_within_the_budget() {
        let mut buffer = LogBuffer::default();
        for _ in 0..100 {
            buffer.write(LogStream::Stdout, &[0xff; 10_000], || 0);
            buffer.write(LogStream::Stderr, &[b'y'; 10_000], || 0);
        }
        let log = buffer.take(0);
        let kept: usize = log.lines.iter().map(|line| line.text.len()).sum();
        assert!(kept <= LOG_BYTES_MAX, "{kept}");
        assert!(log.dropped_bytes > 1_000_000);
    }
}
