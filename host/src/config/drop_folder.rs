//! Table `[drop]`: when the drop folder takes a file.
//!
//! Knows nothing of where a value was written.

use std::time::Duration;

use super::layers::Section;

/// When the drop folder takes a file.
#[derive(Debug, Clone)]
pub(crate) struct DropConfig {
    /// How long a file that was not closed or renamed must stay as it is, in ms, range 1 to 60,000,
    /// default 500. Key `drop.stable_ms`, variable `MAYFLY_DROP_STABLE_MS`.
    pub(crate) stable: Duration,

    /// Between two looks at the whole folder, for what no notification told, in ms, range 10 to
    /// 3,600,000, default 2,000. Key `drop.rescan_ms`, variable `MAYFLY_DROP_RESCAN_MS`.
    pub(crate) rescan: Duration,
}

impl DropConfig {
    pub(super) fn from_section(drop: &Section<'_>) -> Self {
        Self {
            stable: drop.ms("stable_ms", 1..=60_000, 500),
            rescan: drop.ms("rescan_ms", 10..=3_600_000, 2_000),
        }
    }
}
