//! Functions and their versions: the one truth about what may be invoked.
//!
//! The durable side is in storage (records and artifacts); the maps here are derived from it and
//! rebuilt at start. The drop folder publishes with [`Registry::prepare`] and [`Registry::commit`], the
//! control API changes functions with what is in `uploads`, `aliases` and `change`.
//!
//! Knows nothing of folders, of HTTP, or of how a guest runs.

pub(crate) mod drop_folder;
pub(crate) mod refusals;
pub(crate) mod route_target;
pub(crate) mod version;
pub(crate) mod watcher;

mod aliases;
mod candidate;
mod change;
mod function;
mod loading;
mod publish;
pub(crate) mod read_file;
mod removal;
mod settings;
mod subscribers;
mod swap;
mod uploads;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use dashmap::{DashMap, DashSet};
use domain::routing::{Match, RequestPath, RouteMethod, RouteTable};
use domain::{Clock, FunctionName, Qualifier, VersionId};
use parking_lot::{Mutex, RwLock};
use sandbox::Sandboxes;
use serde::Serialize;
use storage::{ArtifactId, Artifacts, Origin, Records, StorageError};
use tokio::sync::Notify;

use crate::app::Random;
use crate::budgets::Budgets;
use crate::concurrency::Running;
use crate::invoke::{InvokeError, unknown, unknown_qualifier};
use crate::metrics::Metrics;
use crate::trigger::http::guard::Guard;
use crate::trigger::queue::destination::AllowList;

pub(crate) use aliases::AliasChange;
pub(crate) use change::ChangeError;
pub(crate) use function::{Additional, Alias, Function, Target};
pub(crate) use publish::{Draft, Effort, Prepared, PublishError, Published};
pub(crate) use refusals::Refusals;
pub(crate) use removal::Removed;
pub(crate) use route_target::RouteTarget;
pub(crate) use settings::{
    EventInvoke, InvokeMode, ResourcePolicy, Settings, UrlAuth, UrlConfig, settings_key,
};
pub(crate) use subscribers::{Subscriber, Subscribers};
pub(crate) use uploads::{CodeUpdate, NewCode, NewFunction, PublishVersion};
pub(crate) use version::{Code, Configuration, Declared, DeclaredLogging, Version};

/// Functions by name, by route and by URL.
#[derive(Debug)]
pub(crate) struct Registry {
    functions: DashMap<FunctionName, Arc<Function>>,
    /// Their names, in order.
    names: RwLock<BTreeSet<FunctionName>>,
    /// The functions by their names in lower case: no two may differ in case only.
    folded: DashMap<String, FunctionName>,
    /// Functions whose records can't be read. They are there until they are deleted.
    unreadable: DashSet<FunctionName>,
    /// Kept across versions, so that a swap does not forget what still runs.
    running: DashMap<FunctionName, Arc<Running>>,
    routes: RwLock<RouteTable<Arc<RouteTarget>>>,
    /// Function URLs by their ids.
    urls: DashMap<String, Arc<UrlTarget>>,
    /// Who gets events of topics.
    subscribers: Subscribers,
    /// Held while something is swapped in, removed or swept; readers never take it.
    publishing: Mutex<()>,
    /// Shared by what is being prepared: its artifacts are not in use yet, and must not be swept.
    preparing: Mutex<Arc<()>>,
    /// Held while an upload is compiled; the drop folder bounds its compilers itself.
    compiling: Mutex<()>,
    /// What the files of functions looked like when they were published; taken once.
    sources: Mutex<HashMap<FunctionName, String>>,
    /// Versions that were replaced; what runs of them needs their artifacts.
    retired: Mutex<Vec<Weak<Version>>>,
    /// Whether all that waited to be published at start was looked at.
    ready: AtomicBool,
    /// How many functions were deleted through the API: the drop folder may want what they had.
    given_up: AtomicU64,
    /// How often the API uploaded or replaced something since the drop folder heard of it last.
    unswept: AtomicUsize,
    /// Told when functions with schedules came, changed or went, and when the start is over.
    pub(crate) schedules_changed: Notify,
    random: Random,
    parts: Parts,
}

/// What a registry is built from.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) records: Records,
    pub(crate) artifacts: Artifacts,
    pub(crate) sandboxes: Sandboxes,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) budgets: Arc<Budgets>,
    pub(crate) clock: Clock,
    pub(crate) region: String,
    /// How many invocations may run at once in the process; reservations share it.
    pub(crate) concurrency_max: u32,
    /// Where records of events may go.
    pub(crate) destinations: AllowList,
    /// The part of log stream names that tells this process from others: 32 hexadecimal digits.
    pub(crate) log_stream_suffix: String,
}

/// Where a function URL leads.
#[derive(Debug)]
pub(crate) struct UrlTarget {
    pub(crate) function: FunctionName,
    /// The alias, if it is one's.
    pub(crate) qualifier: Option<Qualifier>,
    pub(crate) guard: Guard,
}

impl Registry {
    /// Reads what was published before. A record that can't be read any more is left out and logged.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the records can't be read.
    pub(crate) fn open(parts: Parts) -> Result<Self, StorageError> {
        let registry = Self {
            functions: DashMap::new(),
            names: RwLock::default(),
            folded: DashMap::new(),
            unreadable: DashSet::new(),
            running: DashMap::new(),
            routes: RwLock::default(),
            urls: DashMap::new(),
            subscribers: Subscribers::default(),
            publishing: Mutex::new(()),
            preparing: Mutex::default(),
            compiling: Mutex::new(()),
            sources: Mutex::default(),
            retired: Mutex::default(),
            ready: AtomicBool::new(false),
            given_up: AtomicU64::new(0),
            unswept: AtomicUsize::new(0),
            schedules_changed: Notify::new(),
            random: Random::default(),
            parts,
        };
        registry.load()?;
        Ok(registry)
    }

    /// Whether what lay in the drop folder at start was looked at. Until then functions may be
    /// missing, or older than their files.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Says that what lay in the drop folder at start was looked at.
    pub(super) fn set_ready(&self) {
        self.ready.store(true, Ordering::Release);
        self.schedules_changed.notify_one();
    }

    /// What the files of functions looked like when they were published, as far as that is known. To
    /// be asked once, after the start.
    pub(super) fn take_sources(&self) -> HashMap<FunctionName, String> {
        std::mem::take(&mut self.sources.lock())
    }

    /// Whether the files are there that a dropped function needs here: its artifact, and code for this
    /// engine. They are not read.
    pub(super) fn is_whole(&self, name: &FunctionName) -> bool {
        self.dropped(name).is_some_and(|function| {
            let latest = &function.latest;
            let size_bytes = latest.configuration.size_bytes;
            self.parts.artifacts.has(latest.artifact, size_bytes)
                && self.parts.sandboxes.has_code(latest.artifact)
        })
    }

    /// The version to run for `name`: `$LATEST`, or what the qualifier leads to. `random` bits choose
    /// between the two versions of an alias; without a qualifier they are not looked at.
    ///
    /// # Errors
    ///
    /// [`InvokeError::UnknownFunction`] and [`InvokeError::UnknownQualifier`].
    pub(crate) fn resolve(
        &self,
        name: &FunctionName,
        qualifier: Option<&Qualifier>,
        random: u64,
    ) -> Result<Arc<Version>, InvokeError> {
        let Some(function) = self.functions.get(name) else {
            return Err(unknown(name));
        };
        let Some(qualifier) = qualifier else {
            let latest = function.to_run(VersionId::Latest);
            return latest.map(Arc::clone).ok_or_else(|| unknown(name));
        };
        // Looking an alias up takes longer than others should wait for the map.
        let snapshot = Arc::clone(&function);
        drop(function);
        let found = snapshot.find(qualifier, random);
        found
            .map(Arc::clone)
            .ok_or_else(|| unknown_qualifier(name, qualifier))
    }

    /// What a request leads to; `found` gets the route, its target and its variables.
    pub(crate) fn route<T>(
        &self,
        method: Option<RouteMethod>,
        path: &RequestPath,
        found: impl FnOnce(Match<'_, Arc<RouteTarget>>) -> T,
    ) -> T {
        found(self.routes.read().find(method, path))
    }

    /// Who gets events of topics.
    pub(crate) fn subscribers(&self) -> &Subscribers {
        &self.subscribers
    }

    /// The bytes of an artifact.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when it is not there any more, or damaged.
    pub(crate) fn artifact(&self, id: ArtifactId) -> Result<Vec<u8>, StorageError> {
        self.parts.artifacts.read(id)
    }

    /// A function as it is now.
    pub(crate) fn function(&self, name: &FunctionName) -> Option<Arc<Function>> {
        self.functions
            .get(name)
            .map(|function| Arc::clone(&function))
    }

    /// A function that came from the drop folder, and whose file is there.
    pub(crate) fn dropped(&self, name: &FunctionName) -> Option<Arc<Function>> {
        self.function(name)
            .filter(|function| function.origin == Origin::Drop)
    }

    /// All functions, sorted by name.
    pub(crate) fn functions(&self) -> Vec<Arc<Function>> {
        self.functions_from(Bound::Unbounded, usize::MAX)
    }

    /// At most `max` functions from a name on, sorted by name.
    pub(crate) fn functions_from(
        &self,
        from: Bound<&FunctionName>,
        max: usize,
    ) -> Vec<Arc<Function>> {
        let names = self.names.read();
        let range = names.range::<FunctionName, _>((from, Bound::Unbounded));
        let found = range.filter_map(|name| self.function(name));
        found.take(max).collect()
    }

    /// How many functions there are.
    pub(crate) fn len(&self) -> usize {
        self.functions.len()
    }

    /// Deletes artifacts and compiled code that no function has any more; how many files. `None`, and
    /// nothing is deleted, while something is being prepared.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the artifacts can't be listed or deleted. Compiled code that can't be is
    /// only logged: it is made again when it is missing.
    pub(crate) fn sweep_artifacts(&self) -> Result<Option<usize>, StorageError> {
        let preparing = self.preparing.lock();
        if Arc::strong_count(&preparing) > 1 {
            return Ok(None);
        }
        let _publishing = self.publishing.lock();
        let keep = self.artifacts_in_use()?;
        let artifacts = self.parts.artifacts.sweep(&keep)?;
        let code = self
            .parts
            .sandboxes
            .sweep(&keep)
            .unwrap_or_else(|error: io::Error| {
                tracing::warn!(%error, "compiled code that nothing uses could not be deleted");
                0
            });
        Ok(Some(artifacts + code))
    }

    /// The artifacts of all records, those that can't be read among them, and of what still runs.
    fn artifacts_in_use(&self) -> Result<HashSet<ArtifactId>, StorageError> {
        let mut artifacts = self.parts.records.artifacts()?;
        let mut retired = self.retired.lock();
        retired.retain(|version| version.strong_count() > 0);
        let running = retired.iter().filter_map(Weak::upgrade);
        artifacts.extend(running.map(|version| version.artifact));
        Ok(artifacts)
    }
}

/// As it is stored.
///
/// # Errors
///
/// [`StorageError::Io`] for what can't be written as JSON.
fn to_json(value: &impl Serialize) -> Result<String, StorageError> {
    serde_json::to_string(value).map_err(|error| StorageError::Io {
        doing: "writing JSON for",
        path: "registry.db".into(),
        source: error.into(),
    })
}

fn folded(name: &FunctionName) -> String {
    name.as_str().to_ascii_lowercase()
}

#[cfg(test)]
mod test_site;
#[cfg(test)]
mod tests;
