//! The audit log: who asked for what, and what came of it, one line of JSON each in
//! `audit/NUMBER.jsonl`.
//!
//! A line has left the process when [`Audit::append`] returns, and is on disk a moment later. Lines that
//! can't be written wait in memory and are tried again; [`Audit::problem`] says so meanwhile, and whoever
//! is about to change something asks it first. Files are only appended to; whole old ones are removed.
//!
//! A last line that a crash cut short is left where it is, and not read.
//!
//! Knows nothing of who may do what.

mod file;
mod read;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};

use self::file::Files;
use crate::{DataDir, StorageError, space};

pub use read::{AuditPage, AuditQuery, read};

const DIRECTORY: &str = "audit";

/// Lines that wait while they can't be written; beyond it they are lost, and counted.
const WAITING_MAX: usize = 10_000;

/// How the audit log is kept.
#[derive(Debug, Clone, Copy)]
pub struct AuditSettings {
    /// The log goes on in a new file when one reaches this size, in bytes. Default 8 MiB.
    pub file_bytes: u64,
    /// Files whose last line is older are removed. Default 365 days.
    pub keep: Duration,
    /// How long a line may wait until it is synced to disk. Default 50 ms.
    pub sync_every: Duration,
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self {
            file_bytes: 8 << 20,
            keep: Duration::from_secs(365 * 86_400),
            sync_every: Duration::from_millis(50),
        }
    }
}

/// One decision about one request, or that there was none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    /// When it was answered: RFC 3339 in UTC with milliseconds, so that texts sort as times do.
    pub time: String,
    /// The id in its answer.
    pub request_id: String,
    /// The ARN of who asked; none when nobody was recognised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<String>,
    /// The key that signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<String>,
    /// The address that it came from.
    pub source_ip: String,
    /// What was asked for, such as `lambda:CreateFunction`; none when that was not known yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// What it was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// What was decided.
    pub decision: AuditDecision,
    /// Why it was denied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The HTTP status of the answer.
    pub status: u16,
    /// The name of the error that was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Requests like this one that were left out before it, since there were too many.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: u64,
}

/// What was decided about a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuditDecision {
    /// The caller may.
    Allowed,
    /// The caller may not.
    Denied,
    /// It did not come to a decision: nobody was recognised, or the request had no meaning.
    #[default]
    None,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks like this")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The audit log, owned by this process. Cheap to clone; synced when the last clone goes.
#[derive(Debug, Clone)]
pub struct Audit(Arc<Owner>);

#[derive(Debug)]
struct Owner {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    directory: PathBuf,
    state: Mutex<State>,
    /// For tests: nothing can be written.
    fail_writes: AtomicBool,
    closing: Mutex<bool>,
    closed: Condvar,
}

#[derive(Debug)]
struct State {
    files: Files,
    /// Could not be written yet.
    waiting: VecDeque<String>,
    /// There was no room for, since the last line that was written.
    lost: u64,
    /// Why the last write or sync failed.
    problem: Option<String>,
}

impl Audit {
    /// Opens the audit log of a data directory.
    ///
    /// # Errors
    ///
    /// [`StorageError::ReadOnly`] when the directory is not ours, [`StorageError::Io`] when the log
    /// can't be opened.
    pub fn open(data_dir: &DataDir, settings: AuditSettings) -> Result<Self, StorageError> {
        data_dir.require_writable()?;
        let directory = data_dir.subdirectory(DIRECTORY)?;
        let files = Files::open(&directory, settings)?;
        let shared = Arc::new(Shared {
            directory,
            state: Mutex::new(State {
                files,
                waiting: VecDeque::new(),
                lost: 0,
                problem: None,
            }),
            fail_writes: AtomicBool::new(false),
            closing: Mutex::new(false),
            closed: Condvar::new(),
        });
        let syncing = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("audit-sync".to_owned())
            .spawn(move || {
                while syncing.wait_for_close(settings.sync_every) {
                    syncing.sync();
                }
            })
            .map_err(StorageError::io("starting a thread of", data_dir.path()))?;
        Ok(Self(Arc::new(Owner {
            shared,
            thread: Mutex::new(Some(thread)),
        })))
    }

    /// Appends an entry. It has left the process when this returns, unless [`Audit::problem`] says
    /// otherwise.
    pub fn append(&self, entry: &AuditEntry) {
        // Texts and numbers: this can't fail.
        let line = serde_json::to_string(entry).unwrap_or_default() + "\n";
        let mut state = self.0.shared.state.lock();
        if state.waiting.len() < WAITING_MAX {
            state.waiting.push_back(line);
        } else {
            state.lost += 1;
        }
        self.0.shared.write(&mut state);
    }

    /// Why entries can't be written, if they can't. Tries again what could not be written before.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let shared = &self.0.shared;
        let mut state = shared.state.lock();
        if state.problem.is_some() {
            shared.write(&mut state);
        }
        let directory = shared.directory.display();
        state.problem.clone().or_else(|| {
            let has_space = space::is_enough_for_ledger(&shared.directory);
            (!has_space).then(|| format!("little space is left in `{directory}`"))
        })
    }

    /// Waits until every entry appended before this call is on disk, or can't be.
    pub fn flush(&self) {
        self.0.shared.sync();
    }
}

impl Shared {
    /// Writes what waits.
    fn write(&self, state: &mut State) {
        let mut lines = state.waiting.iter().fold(String::new(), |mut lines, line| {
            lines.push_str(line);
            lines
        });
        if state.lost > 0 {
            let lost = AuditEntry {
                error: Some("EntriesLost".to_owned()),
                left_out: state.lost,
                ..AuditEntry::default()
            };
            lines.push_str(&serde_json::to_string(&lost).unwrap_or_default());
            lines.push('\n');
        }
        let written = match self.fail_writes.load(Ordering::Relaxed) {
            true => Err(StorageError::Full {
                path: self.directory.clone(),
            }),
            false => state.files.append(&lines),
        };
        match written {
            Ok(()) => {
                state.waiting.clear();
                state.lost = 0;
                if let Some(problem) = state.problem.take() {
                    tracing::info!("the audit log is written again; before: {problem}");
                }
            }
            Err(error) => state.fail(&error),
        }
    }

    fn sync(&self) {
        // A copy of the file, so that appending does not wait for the disk.
        let unsynced = self.state.lock().files.unsynced();
        for file in unsynced {
            if let Err(error) = file.sync_data() {
                let error = StorageError::io("syncing", &self.directory)(error);
                let mut state = self.state.lock();
                state.fail(&error);
                // What the disk has of this file is not known; later lines go to another one.
                state.files.begin_another();
            }
        }
    }

    /// Waits for `at_most`; `false` when the log is being closed.
    fn wait_for_close(&self, at_most: Duration) -> bool {
        let mut closing = self.closing.lock();
        if !*closing {
            self.closed.wait_for(&mut closing, at_most);
        }
        !*closing
    }
}

impl State {
    fn fail(&mut self, error: &StorageError) {
        let problem = error.to_string();
        if self.problem.is_none() {
            tracing::error!("the audit log can't be written: {problem}");
        }
        self.problem = Some(problem);
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        *self.shared.closing.lock() = true;
        self.shared.closed.notify_all();
        if let Some(thread) = self.thread.lock().take() {
            // A thread that panicked has left its trace; the sync below does what is left.
            drop(thread.join());
        }
        self.shared.sync();
    }
}

/// Where the audit log of a data directory is.
fn directory(data_dir: &Path) -> PathBuf {
    data_dir.join(DIRECTORY)
}
