//! Tables `[ledger]`, `[logs]` and `[audit]`: what is kept, and for how long.
//!
//! Knows nothing of where a value was written.

use super::layers::Section;

/// How long the ledger keeps what, and how it is kept; sums by the hour are kept for good.
#[derive(Debug, Clone)]
pub(crate) struct LedgerConfig {
    /// In days, range 1 to 36,500, default none: for good. Key `ledger.retention_days`, variable
    /// `MAYFLY_LEDGER_RETENTION_DAYS`.
    pub(crate) retention_days: Option<u32>,

    /// In MB on disk, range 16 to 16,777,216, default none: without bound. Key
    /// `ledger.retention_mb`, variable `MAYFLY_LEDGER_RETENTION_MB`.
    pub(crate) retention_mb: Option<u64>,

    /// Sums by the minute, in days, range 1 to 3,650, default 15. Key `ledger.minutes_days`, variable
    /// `MAYFLY_LEDGER_MINUTES_DAYS`.
    pub(crate) minutes_days: u32,

    /// `group`, the default: records are on disk 10 ms after they are answered; or `strict`: before
    /// that, and attempts before they run. Key `ledger.mode`, variable `MAYFLY_LEDGER_MODE`.
    pub(crate) is_strict: bool,
}

/// How much log is kept of each function: the product of the two.
#[derive(Debug, Clone)]
pub(crate) struct LogsConfig {
    /// Size of one segment in KB, range 16 to 1,048,576, default 1,024. Key `logs.segment_kb`,
    /// variable `MAYFLY_LOGS_SEGMENT_KB`.
    pub(crate) segment_kb: u32,

    /// Segments kept, range 2 to 1,000, default 8. Key `logs.segments_per_function`, variable
    /// `MAYFLY_LOGS_SEGMENTS_PER_FUNCTION`.
    pub(crate) segments_per_function: u32,
}

/// What is written about requests to the control API, and for how long it is kept.
#[derive(Debug, Clone)]
pub(crate) struct AuditConfig {
    /// In days, range 1 to 36,500, default 365. Key `audit.retention_days`, variable
    /// `MAYFLY_AUDIT_RETENTION_DAYS`.
    pub(crate) retention_days: u32,

    /// Whether allowed invocations through the control API are written too, default no: the ledger has
    /// them. Key `audit.invoke`, variable `MAYFLY_AUDIT_INVOKE`.
    pub(crate) invoke: bool,
}

impl LedgerConfig {
    pub(super) fn from_section(ledger: &Section<'_>) -> Self {
        Self {
            retention_days: ledger.optional_u32("retention_days", 1..=36_500),
            retention_mb: ledger.integer("retention_mb", 16..=16_777_216),
            minutes_days: ledger.u32("minutes_days", 1..=3_650, 15),
            is_strict: ledger.word("mode", &["group", "strict"]).as_deref() == Some("strict"),
        }
    }
}

impl LogsConfig {
    pub(super) fn from_section(logs: &Section<'_>) -> Self {
        Self {
            segment_kb: logs.u32("segment_kb", 16..=1_048_576, 1_024),
            segments_per_function: logs.u32("segments_per_function", 2..=1_000, 8),
        }
    }
}

impl AuditConfig {
    pub(super) fn from_section(audit: &Section<'_>) -> Self {
        Self {
            retention_days: audit.u32("retention_days", 1..=36_500, 365),
            invoke: audit.flag("invoke").unwrap_or(false),
        }
    }
}
