//! What Mayfly keeps on disk: functions, artifacts, identities, the ledger and the logs of functions.
//!
//! Everything lives in one [`DataDir`], which one process owns at a time. Reading order: the
//! directory, the bytes of functions, what is known about functions, who there is, the ledger, the
//! logs.
//!
//! Invariants: what is reported as written survives the death of the process, damage is an error
//! that names its place, and a failed sync is never tried again.
//!
//! Absent on purpose: HTTP, wasm, money and async. Handles are cheap to clone and calls block.

pub mod artifacts;
pub mod audit;
pub mod backup;
mod calendar;
pub mod data_dir;
mod database;
mod disk;
mod error;
mod files;
pub mod identity;
pub mod ledger;
pub mod logs;
pub mod queue;
pub mod records;
#[cfg(test)]
mod simulation;
mod space;

pub use domain::{ArtifactId, ArtifactIdError};

pub use artifacts::Artifacts;
pub use audit::{Audit, AuditDecision, AuditEntry, AuditPage, AuditQuery, AuditSettings};
pub use backup::{Backup, BackupFile, BackupManifest, RestoreError, WEBHOOK_SECRET, restore};
pub use data_dir::DataDir;
pub use error::StorageError;
pub use identity::{IdentityChange, IdentityRecords, IdentityStore};
pub use ledger::{
    EntryQuery, Ledger, LedgerHead, LedgerHeadError, LedgerHealth, LedgerProblem, LedgerReader,
    LedgerSettings, OpenStart, Period, StatusCounts, SummaryQuery, SummaryRow, Verification,
};
pub use logs::{
    CursorError, LogCursor, LogEvent, LogRange, LogSettings, LogSource, LogStream, Logs, ScanEnd,
    ScannedBack, ScannedEvent, escape,
};
pub use queue::{
    Claimed, Depth, Done, Due, Ending, Event, EventPage, EventQuery, Failure, Finish, FollowUp,
    Forgotten, NewEvent, Operation, Published, Queue, QueueError, QueueHealth, QueueSettings,
    QueueStatistics, Quota, ScheduleRecord, Selection,
};
pub use records::{
    AliasRecord, FunctionRecord, NumberedRecord, Origin, Records, Stored, VersionRecord, Write,
};
