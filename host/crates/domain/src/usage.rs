//! What was measured while a sandbox ran.
//!
//! Knows nothing of rounding or prices; see [`crate::billing`].

use std::time::Duration;

/// Measured use of one invocation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Loading compiled code, if this invocation had to; `None` when it was loaded already.
    pub init: Option<Duration>,
    /// From the start of instantiation to the end of the call.
    pub duration: Duration,
    /// Time the sandbox was being executed, waits left out.
    pub cpu: Duration,
    /// High-water mark over all memories and tables, in bytes.
    pub memory_peak_bytes: u64,
}
