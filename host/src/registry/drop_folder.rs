//! The drop folder: what is dropped is published, what is deleted is removed.
//!
//! The folder publishes *into* the registry and is never read on behalf of a request. An entry is
//! published once its files are complete: when a writer closed one or moved one into place, or when
//! nothing has changed for a while. A bad entry keeps the last good version; its reason is kept for
//! people to read, and logged once.
//!
//! This file is the state machine, driven by [`super::watcher`]; it knows nothing of threads and
//! notifications.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::{Clock, FunctionName};
use storage::Origin;

use super::candidate::{CandidateError, Entry, Fingerprint};
use super::refusals::{Refusals, RefusedFile};
use super::{Published, Registry};
use crate::invoke::chain;

/// How long an entry must be gone before its function is removed; editors delete and create again.
const GONE_FOR: Duration = Duration::from_millis(200);

/// How soon an entry that was found half-written is looked at again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The drop folder and what was seen of it.
#[derive(Debug)]
pub(crate) struct DropFolder {
    root: PathBuf,
    /// Files that nobody closed are complete when they did not change for this long.
    stable: Duration,
    registry: Arc<Registry>,
    refusals: Arc<Refusals>,
    clock: Clock,
    seen: BTreeMap<Entry, Seen>,
    /// Which entry each function was published from.
    sources: HashMap<FunctionName, Entry>,
    first_pass: bool,
}

#[derive(Debug)]
struct Seen {
    fingerprint: Fingerprint,
    since: Instant,
    /// A writer closed a file of it, or moved one into place, since it changed last.
    closed: bool,
    /// The state that was published or refused.
    done: Option<Fingerprint>,
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
        let seen = BTreeMap::new();
        let sources = HashMap::new();
        Self {
            root,
            stable,
            registry,
            refusals,
            clock,
            seen,
            sources,
            first_pass: true,
        }
    }

    /// The folder.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Folders whose files matter, the root not among them.
    pub(super) fn folders(&self) -> BTreeSet<PathBuf> {
        let mut folders = BTreeSet::new();
        for entry in self.seen.keys() {
            if let Entry::Folder(name) = entry {
                folders.insert(self.root.join(name));
                let artifact = self.root.join(entry.artifact_path(&self.root));
                folders.extend(artifact.parent().map(Path::to_path_buf));
            }
        }
        folders
    }

    /// Looks at what changed and publishes what is complete; when to look again by itself, if at
    /// all.
    pub(super) fn pass(&mut self, changes: &Changes) -> Option<Duration> {
        let entries = if changes.everything {
            match self.scan() {
                Ok(mut entries) => {
                    entries.extend(self.seen.keys().cloned());
                    entries
                }
                Err(error) => {
                    tracing::error!(%error, "the drop folder {} can't be read", self.root.display());
                    return Some(self.stable);
                }
            }
        } else {
            let pending = self.seen.iter().filter(|(_, seen)| seen.is_pending());
            pending
                .map(|(entry, _)| entry.clone())
                .chain(changes.entries.keys().cloned())
                .collect()
        };
        let mut again: Option<Duration> = None;
        for entry in entries {
            let closed = changes.entries.get(&entry).copied().unwrap_or(false);
            if let Some(wait) = self.look(&entry, closed) {
                again = Some(again.map_or(wait, |known| known.min(wait)));
            }
        }
        if self.first_pass {
            self.first_pass = false;
            self.remove_unseen();
        }
        again
    }

    fn scan(&self) -> io::Result<BTreeSet<Entry>> {
        let listing = match std::fs::read_dir(&self.root) {
            Ok(listing) => listing,
            // A folder that is gone has nothing in it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
            Err(error) => return Err(error),
        };
        let mut entries = BTreeSet::new();
        for item in listing {
            let name = item?.file_name();
            match name.to_str() {
                Some(name) => entries.extend(Entry::recognise(&self.root, name)),
                None => self.refuse_name(&name.to_string_lossy()),
            }
        }
        Ok(entries)
    }

    fn refuse_name(&self, file: &str) {
        if file.ends_with(".wasm") && !file.starts_with('.') {
            self.refuse(file, None, "the file name is not UTF-8");
        }
    }

    /// Looks at one entry; how soon to look again, if it is not done.
    fn look(&mut self, entry: &Entry, closed: bool) -> Option<Duration> {
        let now = self.clock.now();
        if !entry.exists(&self.root) {
            return self.look_at_gone(entry, now);
        }
        let fingerprint = entry.fingerprint(&self.root);
        // What lies there when we start was not being written a moment ago, as far as we can tell.
        let seen = self.seen.entry(entry.clone()).or_insert(Seen {
            fingerprint,
            since: now,
            closed: self.first_pass,
            done: None,
            gone_since: None,
        });
        seen.gone_since = None;
        if seen.fingerprint != fingerprint {
            *seen = Seen {
                fingerprint,
                since: now,
                closed: false,
                ..*seen
            };
        }
        seen.closed |= closed;
        if seen.done == Some(fingerprint) {
            return None;
        }
        let age = now.saturating_duration_since(seen.since);
        if !seen.closed && age < self.stable {
            return Some(self.stable - age);
        }
        self.publish(entry, fingerprint)
    }

    fn look_at_gone(&mut self, entry: &Entry, now: Instant) -> Option<Duration> {
        let seen = self.seen.get_mut(entry)?;
        let gone_since = *seen.gone_since.get_or_insert(now);
        let gone_for = now.saturating_duration_since(gone_since);
        if gone_for < GONE_FOR {
            return Some(GONE_FOR - gone_for);
        }
        self.seen.remove(entry);
        self.refusals.remove(&entry.label());
        let owned = FunctionName::parse(entry.name_text()).ok();
        if let Some(name) = owned.filter(|name| self.sources.get(name) == Some(entry)) {
            self.remove(&name);
        }
        None
    }

    fn remove(&mut self, name: &FunctionName) {
        match self.registry.remove(name) {
            Ok(_) => {
                self.sources.remove(name);
                tracing::info!(function.name = %name, "removed function `{name}`");
                // What was refused because of it may be published now.
                self.reconsider();
            }
            Err(error) => {
                tracing::error!(error = %chain(&error), "function `{name}` could not be removed");
            }
        }
    }

    fn publish(&mut self, entry: &Entry, fingerprint: Fingerprint) -> Option<Duration> {
        let outcome = self.try_publish(entry);
        let mark = |folder: &mut Self| {
            if let Some(seen) = folder.seen.get_mut(entry) {
                seen.done = Some(fingerprint);
            }
        };
        match outcome {
            Ok(published) => {
                mark(self);
                self.refusals.remove(&entry.label());
                if let Published::Live(version) = published {
                    let limits = version.configuration.limits;
                    tracing::info!(
                        function.name = %version.name,
                        "function `{}` is live: {}, {} MB, {} ms",
                        version.name,
                        version.configuration.kind.as_str(),
                        limits.memory.get(),
                        limits.timeout.ms(),
                    );
                }
                None
            }
            Err(Refused::Changing) => Some(LOOK_AGAIN),
            Err(Refused::Because(reason)) => {
                mark(self);
                let name = FunctionName::parse(entry.name_text()).ok();
                self.refuse(&entry.label(), name.as_ref(), &reason);
                None
            }
        }
    }

    fn try_publish(&mut self, entry: &Entry) -> Result<Published, Refused> {
        let draft = entry.read(&self.root).map_err(|error| match error {
            CandidateError::Changing { .. } => Refused::Changing,
            other => Refused::Because(other.to_string()),
        })?;
        let name = draft.name.clone();
        if let Some(other) = self.sources.get(&name)
            && other != entry
        {
            let label = other.label();
            return Err(Refused::Because(format!(
                "function `{name}` is published from {label} already; remove one of the two"
            )));
        }
        let published = self
            .registry
            .publish(&draft)
            .map_err(|error| Refused::Because(chain(&error)))?;
        self.sources.insert(name, entry.clone());
        Ok(published)
    }

    fn refuse(&self, file: &str, name: Option<&FunctionName>, reason: &str) {
        let serving = name.is_some_and(|name| self.registry.resolve(name).is_ok());
        let refused = RefusedFile {
            file: file.to_owned(),
            function: name.map(|name| name.as_str().to_owned()),
            reason: reason.to_owned(),
            since_us: self.clock.unix_us(),
        };
        if self.refusals.insert(refused) {
            let kept = if serving {
                "; the last good version keeps serving"
            } else {
                ""
            };
            let file = file.escape_debug();
            tracing::warn!("refused {file}: {reason}{kept}");
        }
    }

    /// Forgets that refused entries are done, so that the next pass tries them again.
    fn reconsider(&mut self) {
        let refused: BTreeSet<String> = self
            .refusals
            .list()
            .into_iter()
            .map(|refused| refused.file)
            .collect();
        for (entry, seen) in &mut self.seen {
            if refused.contains(&entry.label()) {
                seen.done = None;
            }
        }
    }

    /// Removes functions that were dropped before the last stop and are gone now.
    fn remove_unseen(&mut self) {
        for version in self.registry.list() {
            let name = &version.name;
            let there = [
                Entry::File(name.to_string()),
                Entry::Folder(name.to_string()),
            ];
            if version.origin == Origin::Drop && !there.iter().any(|e| self.seen.contains_key(e)) {
                self.remove(name);
            }
        }
    }
}

enum Refused {
    Changing,
    Because(String),
}

impl Seen {
    fn is_pending(&self) -> bool {
        self.done != Some(self.fingerprint) || self.gone_since.is_some()
    }
}
