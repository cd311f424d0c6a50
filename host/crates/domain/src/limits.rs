//! The bounds on one invocation, with their units and ranges.
//!
//! Holding a value means it is in range. Knows nothing of who enforces it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Bytes in a megabyte as functions are sized: 1,048,576.
pub const MB: u64 = 1 << 20;

/// Largest event and largest answer of a synchronous invocation, in bytes, as the guest sees them.
///
/// # Source
///
/// Lambda's own figure, from the text of its `Function.ResponseSizeTooLarge` error (6 MB + 100 bytes).
pub const PAYLOAD_BYTES_MAX: usize = 6_291_556;

/// Largest event of an Invoke, in bytes: 6 MiB.
///
/// # Source
///
/// Lambda's own figure, from the text of its `RequestEntityTooLargeException`.
pub const INVOKE_EVENT_BYTES_MAX: usize = 6 << 20;

/// Largest event that may wait in the queue, in bytes.
///
/// # Source
///
/// Lambda's limit for asynchronous invocation since October 2025.
pub const QUEUED_EVENT_BYTES_MAX: usize = 1 << 20;

/// Log bytes kept of one invocation; what is beyond is counted and dropped.
pub const LOG_BYTES_MAX: usize = 256 << 10;

/// What one log line costs of [`LOG_BYTES_MAX`] beyond its text, so that a million empty lines are
/// bounded too.
pub const LOG_LINE_OVERHEAD_BYTES: usize = 32;

/// Random bytes a guest may ask for in one call.
pub const RANDOM_BYTES_PER_CALL_MAX: u64 = 256 << 10;

/// Memory of one sandbox in MB, over all its memories and tables: 1 to 4,096.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MemoryMb(u32);

impl MemoryMb {
    /// Smallest.
    pub const MIN: Self = Self(1);
    /// Largest: what 32-bit wasm can address.
    pub const MAX: Self = Self(4_096);
    /// What a function gets that asks for nothing.
    pub const DEFAULT: Self = Self(128);

    /// `mb`, if it is in range.
    #[must_use]
    pub fn new(mb: u32) -> Option<Self> {
        (Self::MIN.0..=Self::MAX.0)
            .contains(&mb)
            .then_some(Self(mb))
    }

    /// As a number of MB.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }

    /// As a number of bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        u64::from(self.0) * MB
    }
}

/// How long one invocation may take: 1 ms to 900 s, in whole milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timeout(u32);

impl Timeout {
    /// Shortest, in milliseconds.
    pub const MIN_MS: u32 = 1;
    /// Longest, in milliseconds.
    pub const MAX_MS: u32 = 900_000;
    /// What a function gets that asks for nothing.
    pub const DEFAULT: Self = Self(3_000);

    /// `ms` milliseconds, if that is in range.
    #[must_use]
    pub fn from_ms(ms: u32) -> Option<Self> {
        (Self::MIN_MS..=Self::MAX_MS)
            .contains(&ms)
            .then_some(Self(ms))
    }

    /// In milliseconds.
    #[must_use]
    pub fn ms(self) -> u32 {
        self.0
    }

    /// As a duration.
    #[must_use]
    pub fn duration(self) -> Duration {
        Duration::from_millis(u64::from(self.0))
    }

    /// In seconds with two decimals, as in `Task timed out after 3.00 seconds`.
    #[must_use]
    pub fn seconds_text(self) -> String {
        let hundredths = (self.0 + 5) / 10;
        format!("{}.{:02}", hundredths / 100, hundredths % 100)
    }
}

/// The limits of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Memory over all memories and tables.
    pub memory: MemoryMb,
    /// From the start of instantiation to the answer.
    pub timeout: Timeout,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: MemoryMb::DEFAULT,
            timeout: Timeout::DEFAULT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_timeout_accept_their_range_and_nothing_else() {
        assert_eq!(MemoryMb::new(0), None);
        assert_eq!(MemoryMb::new(4_097), None);
        assert_eq!(MemoryMb::new(4_096).map(MemoryMb::bytes), Some(4 << 30));
        assert_eq!(Timeout::from_ms(0), None);
        assert_eq!(Timeout::from_ms(900_001), None);
        assert_eq!(
            Timeout::from_ms(1).map(Timeout::duration),
            Some(Duration::from_millis(1))
        );
    }

    #[test]
    fn a_timeout_is_written_in_seconds_with_two_decimals() {
        for (ms, text) in [
            (1, "0.00"),
            (5, "0.01"),
            (250, "0.25"),
            (3_000, "3.00"),
            (900_000, "900.00"),
        ] {
            assert_eq!(Timeout::from_ms(ms).unwrap().seconds_text(), text);
        }
    }
}
