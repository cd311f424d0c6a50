//! The audit log: who asked for what, and what came of it, one line of JSON each in
//! `audit/NUMBER.jsonl`.
//!
//! A line has left the process when [`Audit::append`] returns, and is on disk a moment later. It is held in
//! memory until then. When a write or a sync fails, what is held is tried again in a new file, until it is
//! written there and synced; [`Audit::problem`] says so meanwhile, and whoever is about to change something
//! asks it first. What a failed file has beyond its last sync is cut off then. A crash between the two
//! leaves a line in both. Otherwise files are only appended to; whole old ones are removed.
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
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use serde::{Deserialize, Serialize};

use self::file::{Files, Unsynced};
use crate::{DataDir, StorageError, space};

pub use read::{AuditPage, AuditQuery, read};

const DIRECTORY: &str = "audit";

/// Lines that wait while they can't be written; beyond it they are lost, and counted. As many may be
/// written and not synced; who appends one more waits for the disk.
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
    /// Held while files are synced. Taken before `state` by whoever needs both.
    syncing: Mutex<()>,
    closing: Mutex<bool>,
    closed: Condvar,
}

#[derive(Debug)]
struct State {
    files: Files,
    /// Written, and not known to be on disk.
    written: VecDeque<String>,
    /// To be written in a new file, after `problem`.
    waiting: VecDeque<String>,
    /// There was no room for.
    lost: Lost,
    /// Why the last write or sync failed. It goes only when everything that waits is in a new file and
    /// synced.
    problem: Option<String>,
    /// How often something failed.
    failures: u64,
}

/// Entries that are not in the log.
#[derive(Debug, Default)]
struct Lost {
    entries: u64,
    /// The time of the last of them.
    time: String,
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
                written: VecDeque::new(),
                waiting: VecDeque::new(),
                lost: Lost::default(),
                problem: None,
                failures: 0,
            }),
            syncing: Mutex::new(()),
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
        let shared = &self.0.shared;
        // Texts and numbers: this can't fail.
        let line = serde_json::to_string(entry).unwrap_or_default() + "\n";
        let mut state = shared.state.lock();
        if state.written.len() >= WAITING_MAX {
            drop(state);
            shared.sync();
            state = shared.state.lock();
        }
        if state.problem.is_none() {
            match state.files.append(&line) {
                Ok(()) => {
                    state.written.push_back(line);
                    return;
                }
                Err(error) => state.fail(&error),
            }
        }
        if state.waiting.len() < WAITING_MAX {
            state.waiting.push_back(line);
        } else {
            state.lost.entries += 1;
            state.lost.time.clone_from(&entry.time);
        }
    }

    /// Why entries can't be written, if they can't. Tries again what could not be written before.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let shared = &self.0.shared;
        let mut state = shared.state.lock();
        state.retry();
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
    fn sync(&self) {
        let _one = self.syncing.lock();
        let (unsynced, lines, failures) = {
            let mut state = self.state.lock();
            state.retry();
            let unsynced = state.files.unsynced();
            (unsynced, state.written.len(), state.failures)
        };
        // Appending does not wait for the disk.
        let synced = unsynced.iter().try_for_each(Unsynced::sync);
        let mut state = self.state.lock();
        if state.failures != failures {
            // What was synced here is given up, and its lines wait or are elsewhere.
            return;
        }
        match synced {
            Ok(()) => {
                state.written.drain(..lines);
                state.files.note_synced(&unsynced);
            }
            Err(error) => {
                state.fail(&error);
                state.retry();
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
        self.failures += 1;
        // What the disk has of these is not known.
        self.written.append(&mut self.waiting);
        std::mem::swap(&mut self.written, &mut self.waiting);
    }

    /// After a failure: writes what waits to a new file and syncs it.
    fn retry(&mut self) {
        if self.problem.is_none() {
            return;
        }
        let mut lines: String = self.waiting.iter().map(String::as_str).collect();
        if self.lost.entries > 0 {
            let lost = AuditEntry {
                time: self.lost.time.clone(),
                error: Some("EntriesLost".to_owned()),
                left_out: self.lost.entries,
                ..AuditEntry::default()
            };
            lines.push_str(&serde_json::to_string(&lost).unwrap_or_default());
            lines.push('\n');
        }
        match self.files.begin_again(&lines) {
            Ok(()) => {
                self.waiting.clear();
                self.lost = Lost::default();
                if let Some(problem) = self.problem.take() {
                    tracing::info!("the audit log is written again; before: {problem}");
                }
            }
            Err(error) => self.fail(&error),
        }
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
        let state = self.shared.state.lock();
        let lost = state.lost.entries + state.waiting.len() as u64;
        if lost > 0 {
            tracing::error!("{lost} entries of the audit log are lost");
        }
    }
}

/// Where the audit log of a data directory is.
fn directory(data_dir: &Path) -> PathBuf {
    data_dir.join(DIRECTORY)
}
