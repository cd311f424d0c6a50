//! The drop folder: what is dropped is published, what is deleted is removed.
//!
//! The folder publishes *into* the registry and is never read on behalf of a request. An entry is
//! published once its files are complete: when a writer closed one or moved one into place, or when
//! nothing has changed for a while. A bad entry keeps the last good version; its reason is kept for
//! people to read, and logged once. It is tried again when its files change, when another function
//! gives up what it wants, or after a while if the failure was ours.
//!
//! A folder that can't be read, or was never there, says nothing: what was published stays. One that
//! was there and is deleted takes its functions along, but for what is more than a file: see
//! [`super::removal`].
//!
//! This file is the state machine, driven by [`super::watcher`]; it knows nothing of threads and
//! notifications.

mod attempt;
mod lanes;
mod root;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use domain::{Clock, FunctionName};

use super::candidate::{Entry, Fingerprint, Place, Presence, is_folder, this_program};
use super::refusals::Refusals;
use super::{Registry, Removed};
use crate::faults::chain;
use lanes::{Job, LONG_LOOK, LongLane};

/// How long an entry must be gone before its function is removed; editors delete and create again.
const GONE_FOR: Duration = Duration::from_millis(200);

/// How soon an entry that was found half-written is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How soon something is tried again that failed through no fault of the files.
pub(super) const TRY_AGAIN: Duration = Duration::from_secs(1);

/// How much may be published or removed before what nothing uses any more is deleted; with many
/// functions more, since all of their files are listed for it.
const CHANGES_UNSWEPT_MAX: usize = 20;
const UNSWEPT_PART: usize = 10;

/// The drop folder and what was seen of it.
#[derive(Debug)]
pub(crate) struct DropFolder {
    /// Absolute, as notifications are.
    root: PathBuf,
    /// Files that nobody closed are complete when they did not change for this long.
    stable: Duration,
    registry: Arc<Registry>,
    refusals: Arc<Refusals>,
    clock: Clock,
    /// Set when nothing more is to be published.
    stop: Arc<AtomicBool>,
    progress: Progress,
    /// The last look at everything failed, or there was none.
    owes_scan: bool,
    seen: BTreeMap<Entry, Seen>,
    /// The entry that is looked at now.
    at: Option<Entry>,
    /// After a panic, so that the next one is of a single entry.
    one_by_one: bool,
    /// Which entry each function was published from.
    sources: HashMap<FunctionName, Entry>,
    /// Entries that were refused for what belongs to another function.
    wanting: BTreeSet<Entry>,
    /// Labels of files that are refused for a name that is no text.
    odd_names: BTreeSet<String>,
    /// What the files of functions looked like when they were published before the start; empty when
    /// all that lay here was looked at.
    known: HashMap<FunctionName, String>,
    /// This program, among other things that the above depends on.
    program: String,
    long: LongLane,
    /// Refused entries are to be tried again at once.
    reconsidered: bool,
    /// How often something was given up that others may want.
    given_up: u64,
    /// How much of that the control API was heard to have given up.
    heard_given_up: u64,
    changes_unswept: usize,
}

/// How far we got since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// The first pass has not ended.
    First,
    /// The folder could not be read yet.
    Waiting,
    /// All that lay in the folder was seen, and what was not there was removed.
    Settled,
}

#[derive(Debug)]
struct Seen {
    fingerprint: Fingerprint,
    place: Option<Place>,
    since: Instant,
    /// A writer closed a file of it, or moved one into place, since it changed last.
    closed: bool,
    /// The state that was published or refused.
    done: Option<Fingerprint>,
    /// Not to be tried before.
    not_before: Option<Instant>,
    gone_since: Option<Instant>,
}

/// What to look at.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Everything; the entries below too.
    pub(super) everything: bool,
    /// Entries that something happened to; true when a writer finished with a file of it.
    pub(super) entries: BTreeMap<Entry, bool>,
}

impl DropFolder {
    /// The folder `root`, which need not exist yet.
    pub(crate) fn new(
        root: PathBuf,
        stable: Duration,
        (registry, refusals): (Arc<Registry>, Arc<Refusals>),
        clock: Clock,
    ) -> Self {
        Self {
            known: registry.take_sources(),
            program: this_program(),
            long: LongLane::new(),
            // An empty path has no absolute form, and is no folder either.
            root: std::path::absolute(&root).unwrap_or(root),
            stable,
            registry,
            refusals,
            clock,
            stop: Arc::default(),
            progress: Progress::First,
            owes_scan: true,
            seen: BTreeMap::new(),
            at: None,
            one_by_one: false,
            sources: HashMap::new(),
            wanting: BTreeSet::new(),
            odd_names: BTreeSet::new(),
            reconsidered: false,
            given_up: 0,
            heard_given_up: 0,
            changes_unswept: usize::MAX / 2,
        }
    }

    /// The folder, absolute.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Set it, and nothing more is published but what is being published now.
    pub(super) fn stop_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// Closes `ends` only when the lane for what takes long has ended too.
    pub(super) fn hold(&mut self, ends: SyncSender<()>) {
        self.long.hold(ends);
    }

    /// Whether nothing is on its way to be published.
    pub(super) fn is_idle(&self) -> bool {
        self.long.is_empty()
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Says that what lay here at start was looked at.
    pub(super) fn set_ready(&self) {
        self.registry.set_ready();
    }

    /// The folders whose files matter, the root among them; links are not.
    pub(super) fn folders(&self) -> BTreeSet<PathBuf> {
        let mut folders = BTreeSet::new();
        for (entry, seen) in &self.seen {
            if let Entry::Folder(name) = entry {
                folders.insert(self.root.join(name));
                let artifact = seen.place.as_ref().map(|place| &place.artifact);
                let parent = artifact.and_then(|path| path.parent());
                folders.extend(parent.map(|parent| self.root.join(parent)));
            }
        }
        folders.retain(|folder| is_folder(folder));
        folders.insert(self.root.clone());
        folders
    }

    /// Looks at what changed and publishes what is complete; when to look again by itself, if at
    /// all.
    pub(super) fn pass(&mut self, changes: &Changes) -> Option<Duration> {
        // What is done is done, also while the folder can't be read.
        let mut again = self.publish_long();
        self.hear_of_the_api();
        let everything = changes.everything || self.owes_scan;
        let entries = if everything {
            let Some(entries) = self.scan() else {
                if self.progress == Progress::First {
                    self.progress = Progress::Waiting;
                }
                return Some(TRY_AGAIN);
            };
            entries
        } else {
            self.pending(changes)
        };
        let mut jobs = Vec::new();
        for entry in entries {
            if self.is_stopped() {
                return None;
            }
            let closed = changes.entries.get(&entry).copied().unwrap_or(false);
            self.at = Some(entry.clone());
            let wait = self.look(&entry, closed, &mut jobs);
            self.at = None;
            again = sooner(again, wait);
        }
        again = sooner(again, self.publish(jobs));
        if self.is_stopped() {
            return None;
        }
        if everything && self.progress != Progress::Settled {
            again = sooner(again, self.settle());
        }
        if !self.long.is_empty() {
            again = sooner(again, Some(LONG_LOOK));
        }
        if std::mem::take(&mut self.reconsidered) {
            return Some(Duration::ZERO);
        }
        again
    }

    /// What the control API gave up may be wanted here, and what it replaced is swept from here.
    fn hear_of_the_api(&mut self) {
        let (given_up, unswept) = self.registry.news_for_folder();
        self.changes_unswept = self.changes_unswept.saturating_add(unswept);
        if given_up != self.heard_given_up {
            self.heard_given_up = given_up;
            self.reconsider();
        }
    }

    /// Deletes what nothing uses any more, now and then.
    pub(super) fn sweep(&mut self) {
        let most = CHANGES_UNSWEPT_MAX.max(self.registry.len() / UNSWEPT_PART);
        if self.changes_unswept < most || !self.is_idle() {
            return;
        }
        let swept = self.registry.sweep_artifacts();
        // While an upload is on its way it is not time yet.
        if !matches!(swept, Ok(None)) {
            self.changes_unswept = 0;
        }
        match swept {
            Ok(None | Some(0)) => {}
            Ok(Some(swept)) => {
                tracing::info!("deleted {swept} files of artifacts that nothing uses");
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), "artifacts that nothing uses stay");
            }
        }
    }

    /// What changed, and what is not done.
    fn pending(&self, changes: &Changes) -> BTreeSet<Entry> {
        let pending = self.seen.iter().filter(|(_, seen)| seen.is_pending());
        pending
            .map(|(entry, _)| entry.clone())
            .chain(changes.entries.keys().cloned())
            .collect()
    }

    /// Looks at one entry: it may be a job now; how soon to look again otherwise, if it is not done.
    fn look(&mut self, entry: &Entry, closed: bool, jobs: &mut Vec<Job>) -> Option<Duration> {
        let now = self.clock.now();
        if entry.presence(&self.root) == Presence::Gone {
            return self.look_at_gone(entry, now);
        }
        let place = self.seen.get(entry).and_then(|seen| seen.place.clone());
        let (fingerprint, place) = entry.state(&self.root, place);
        let seen = self.seen.entry(entry.clone()).or_insert(Seen {
            fingerprint,
            place: None,
            since: now,
            // What lies there when we start was not being written a moment ago, as far as we can
            // tell.
            closed: self.progress == Progress::First,
            done: None,
            not_before: None,
            gone_since: None,
        });
        seen.gone_since = None;
        seen.place = place;
        if seen.fingerprint != fingerprint {
            seen.fingerprint = fingerprint;
            seen.since = now;
            seen.closed = false;
        }
        seen.closed |= closed;
        if seen.done == Some(fingerprint) {
            return None;
        }
        if let Some(wait) = seen.wait(now, self.stable) {
            return Some(wait);
        }
        let job = Job {
            entry: entry.clone(),
            fingerprint,
            source: entry.source(&fingerprint, &self.program, self.clock.unix_us()),
            given_up: self.given_up,
        };
        if !self.long.has(entry) && !self.is_known(entry, &job) {
            jobs.push(job);
        }
        None
    }

    fn look_at_gone(&mut self, entry: &Entry, now: Instant) -> Option<Duration> {
        let seen = self.seen.get_mut(entry)?;
        let gone_since = *seen.gone_since.get_or_insert(now);
        let gone_for = now.saturating_duration_since(gone_since);
        if gone_for < GONE_FOR {
            return Some(GONE_FOR - gone_for);
        }
        if let Some(wait) = seen.held_back(now) {
            return Some(wait);
        }
        if let Some(name) = self.function_of_gone(entry)
            && !self.remove(&name)
        {
            return self.hold_back(entry, TRY_AGAIN);
        }
        self.seen.remove(entry);
        self.wanting.remove(entry);
        self.refusals.remove(&entry.label());
        None
    }

    /// The function that goes with an entry, if none takes it over.
    fn function_of_gone(&mut self, entry: &Entry) -> Option<FunctionName> {
        let name = entry.function()?;
        // After a restart nobody knows where a function came from until its entry is published.
        let is_owner = self.sources.get(&name).is_none_or(|source| source == entry);
        if !is_owner {
            return None;
        }
        if self.seen.contains_key(&entry.twin()) {
            self.sources.remove(&name);
            self.reconsider();
            return None;
        }
        Some(name)
    }

    /// Takes a function out of service; false when that failed, and the function is as it was.
    fn remove(&mut self, name: &FunctionName) -> bool {
        let removed = match self.registry.remove(name) {
            Ok(removed) => removed,
            Err(error) => {
                tracing::error!(error = %chain(&error), "function `{name}` could not be removed");
                return false;
            }
        };
        self.sources.remove(name);
        match removed {
            Removed::Nothing => return true,
            Removed::Whole => tracing::info!(function.name = %name, "removed function `{name}`"),
            Removed::Kept => tracing::warn!(
                function.name = %name,
                "function `{name}` is absent: its file is gone, its versions, aliases and settings are kept until the file is back or the function is deleted"
            ),
        }
        self.changes_unswept += 1;
        self.reconsider();
        true
    }
}

impl Seen {
    fn is_pending(&self) -> bool {
        self.done != Some(self.fingerprint) || self.gone_since.is_some()
    }

    /// How long it must be left alone to count as complete.
    fn wait(&self, now: Instant, stable: Duration) -> Option<Duration> {
        let age = now.saturating_duration_since(self.since);
        if !self.closed && age < stable {
            return Some(stable - age);
        }
        self.held_back(now)
    }

    fn held_back(&self, now: Instant) -> Option<Duration> {
        let wait = self.not_before?.saturating_duration_since(now);
        (!wait.is_zero()).then_some(wait)
    }
}

fn sooner(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests;
