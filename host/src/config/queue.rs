//! Tables `[queue]` and `[destinations]`: how events wait, and where records of them go.
//!
//! Knows nothing of where a value was written.

use std::time::Duration;

use domain::retry::Delays;
use storage::Quota;

use super::layers::Section;
use crate::manifest::document::quoted;
use crate::trigger::queue::destination::{AllowList, Allowed};

/// How events wait and are tried again.
#[derive(Debug, Clone)]
pub(crate) struct QueueConfig {
    /// Before the second attempt and before the third, in ms, range 0 to 3,600,000, default 60,000 and
    /// 120,000. Keys `queue.first_retry_ms` and `queue.second_retry_ms`, variables
    /// `MAYFLY_QUEUE_FIRST_RETRY_MS` and `MAYFLY_QUEUE_SECOND_RETRY_MS`. After a throttle or a failure of
    /// ours: at first, doubling up to a longest; ranges 1 to 3,600,000, defaults 1,000 and 300,000. Keys
    /// `queue.refused_ms` and `queue.refused_max_ms`, variables `MAYFLY_QUEUE_REFUSED_MS` and
    /// `MAYFLY_QUEUE_REFUSED_MAX_MS`.
    pub(crate) delays: Delays,

    /// How many events may wait in one queue, range 1 to 1,000,000,000, default 1,000,000, and how many
    /// MB they may have together, range 1 to 1,048,576, default 4,096; as much again may be kept of dead
    /// and expired ones. Keys `queue.events_max` and
    /// `queue.mb_max`, variables `MAYFLY_QUEUE_EVENTS_MAX` and `MAYFLY_QUEUE_MB_MAX`.
    pub(crate) quota: Quota,

    /// Attempts at events of the queue that may run at once, range 1 to 20,000, default 200. Key
    /// `queue.concurrency_max`, variable `MAYFLY_QUEUE_CONCURRENCY_MAX`.
    pub(crate) concurrency_max: u32,

    /// How long an event that succeeded can still be looked at, in hours, range 0 to 87,600, default 24.
    /// Key `queue.keep_hours`, variable `MAYFLY_QUEUE_KEEP_HOURS`.
    pub(crate) keep: Duration,

    /// How long dead and expired events are kept, in days, range 1 to 3,650, default 30. Key
    /// `queue.dead_days`, variable `MAYFLY_QUEUE_DEAD_DAYS`.
    pub(crate) keep_given_up: Duration,
}

impl QueueConfig {
    pub(super) fn from_section(queue: &Section<'_>) -> Self {
        const HOUR_MS: u64 = 3_600_000;
        let quota = Quota::default();
        Self {
            delays: Delays {
                retries: [
                    queue.ms("first_retry_ms", 0..=HOUR_MS, 60_000),
                    queue.ms("second_retry_ms", 0..=HOUR_MS, 120_000),
                ],
                refused: queue.ms("refused_ms", 1..=HOUR_MS, 1_000),
                refused_max: queue.ms("refused_max_ms", 1..=HOUR_MS, 300_000),
            },
            quota: Quota {
                events: queue
                    .integer("events_max", 1..=1_000_000_000)
                    .unwrap_or(quota.events),
                bytes: queue
                    .integer("mb_max", 1..=1_048_576)
                    .map_or(quota.bytes, |mb| mb << 20),
            },
            concurrency_max: queue.u32("concurrency_max", 1..=20_000, 200),
            keep: Duration::from_secs(u64::from(queue.u32("keep_hours", 0..=87_600, 24)) * 3_600),
            keep_given_up: Duration::from_secs(
                u64::from(queue.u32("dead_days", 1..=3_650, 30)) * 86_400,
            ),
        }
    }
}

/// Where records of events may be delivered, besides to functions.
#[derive(Debug, Clone)]
pub(crate) struct DestinationsConfig {
    /// Addresses such as `https://hooks.example.com/team`, with all that is below them, and files such as
    /// `file:failures`; default none. Key `destinations.allow`, a list; variable
    /// `MAYFLY_DESTINATIONS_ALLOW`, with commas between.
    pub(crate) allow: AllowList,

    /// Largest file, in MB, range 1 to 1,048,576, default 1,024; what does not fit waits. Key
    /// `destinations.file_mb_max`, variable `MAYFLY_DESTINATIONS_FILE_MB_MAX`.
    pub(crate) file_bytes_max: u64,
}

impl DestinationsConfig {
    pub(super) fn from_section(destinations: &Section<'_>) -> Self {
        let allowed = |text: &str| {
            Allowed::parse(text).map_err(|_| {
                let shown = quoted(text);
                format!("has \"{shown}\", which is neither the beginning of an address, such as https://hooks.example.com/team, nor a file, such as file:failures")
            })
        };
        let file_mb_max = destinations.integer("file_mb_max", 1..=1_048_576);
        Self {
            allow: AllowList::new(destinations.list("allow", allowed)),
            file_bytes_max: file_mb_max.unwrap_or(1_024) << 20,
        }
    }
}
