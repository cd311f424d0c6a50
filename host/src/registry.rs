//! Functions and their versions: the one truth about what may be invoked.
//!
//! The durable side is in storage (records and artifacts); the maps here are derived from it and
//! rebuilt at start. Whatever publishes, the drop folder for now, calls
//! [`Registry::prepare`] and [`Registry::commit`].
//!
//! Knows nothing of folders, of HTTP, or of how a guest runs.

pub(crate) mod drop_folder;
pub(crate) mod refusals;
pub(crate) mod route_target;
pub(crate) mod version;
pub(crate) mod watcher;

mod candidate;
mod publish;
mod read_file;

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use dashmap::DashMap;
use domain::routing::{Match, RequestPath, RouteMethod, RouteTable};
use domain::{Clock, FunctionName};
use parking_lot::{Mutex, RwLock};
use sandbox::{GuestSpec, Sandboxes};
use storage::{ArtifactId, Artifacts, FunctionRecord, Records, StorageError};

use crate::concurrency::Running;
use crate::invoke::{InvokeError, unknown};
use crate::manifest::route_rules::HttpRoute;
use crate::metrics::Metrics;

pub(crate) use publish::{Draft, Effort, Prepared, PublishError, Published};
pub(crate) use refusals::Refusals;
pub(crate) use route_target::RouteTarget;
pub(crate) use version::{Configuration, Version};

/// Functions by name, and by route.
#[derive(Debug)]
pub(crate) struct Registry {
    functions: DashMap<FunctionName, Arc<Version>>,
    /// The functions by their names in lower case: no two may differ in case only.
    folded: DashMap<String, FunctionName>,
    /// Kept across versions, so that a swap does not forget what still runs.
    running: DashMap<FunctionName, Arc<Running>>,
    routes: RwLock<RouteTable<Arc<RouteTarget>>>,
    /// Held while something is swapped in, removed or swept; readers never take it.
    publishing: Mutex<()>,
    /// Shared by what is being prepared: its artifacts are not in use yet, and must not be swept.
    preparing: Mutex<Arc<()>>,
    /// What the files of functions looked like when they were published; taken once.
    sources: Mutex<HashMap<FunctionName, String>>,
    /// Versions that were replaced; what runs of them needs their artifacts.
    retired: Mutex<Vec<Weak<Version>>>,
    /// Whether all that waited to be published at start was looked at.
    ready: AtomicBool,
    parts: Parts,
}

/// What a registry is built from.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) records: Records,
    pub(crate) artifacts: Artifacts,
    pub(crate) sandboxes: Sandboxes,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Clock,
    pub(crate) region: String,
    /// The part of log stream names that tells this process from others: 32 hexadecimal digits.
    pub(crate) log_stream_suffix: String,
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
            folded: DashMap::new(),
            running: DashMap::new(),
            routes: RwLock::default(),
            publishing: Mutex::new(()),
            preparing: Mutex::default(),
            sources: Mutex::default(),
            retired: Mutex::default(),
            ready: AtomicBool::new(false),
            parts,
        };
        for mut record in registry.parts.records.functions()? {
            let source = record.source.take();
            match serde_json::from_str::<Configuration>(&record.configuration) {
                Ok(configuration) => {
                    let sources = source.map(|source| (record.name.clone(), source));
                    registry.sources.lock().extend(sources);
                    let version = registry.version(record, configuration);
                    registry.swap_in(&Arc::new(version));
                }
                Err(error) => {
                    tracing::error!(function.name = %record.name, %error,
                        "the stored configuration of function `{}` can't be read", record.name);
                }
            }
        }
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
    }

    /// What the files of functions looked like when they were published, as far as that is known. To
    /// be asked once, after the start.
    pub(super) fn take_sources(&self) -> HashMap<FunctionName, String> {
        std::mem::take(&mut self.sources.lock())
    }

    /// Whether the files are there that a function needs here: its artifact, and code for this engine.
    /// They are not read.
    pub(super) fn is_whole(&self, name: &FunctionName) -> bool {
        self.resolve(name).is_ok_and(|version| {
            let size_bytes = version.configuration.size_bytes;
            self.parts.artifacts.has(version.artifact, size_bytes)
                && self.parts.sandboxes.has_code(version.artifact)
        })
    }

    /// The version to run for `name`.
    ///
    /// # Errors
    ///
    /// [`InvokeError::UnknownFunction`].
    pub(crate) fn resolve(&self, name: &FunctionName) -> Result<Arc<Version>, InvokeError> {
        match self.functions.get(name) {
            Some(version) => Ok(Arc::clone(&version)),
            None => Err(unknown(name)),
        }
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

    /// All functions, sorted by name.
    pub(crate) fn list(&self) -> Vec<Arc<Version>> {
        let mut all: Vec<_> = self
            .functions
            .iter()
            .map(|entry| Arc::clone(&entry))
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all
    }

    /// How many functions there are.
    pub(crate) fn len(&self) -> usize {
        self.functions.len()
    }

    /// Forgets a function; what runs of it ends by itself. False when there was none.
    ///
    /// # Errors
    ///
    /// [`StorageError`]; the function is still there.
    pub(crate) fn remove(&self, name: &FunctionName) -> Result<bool, StorageError> {
        let _publishing = self.publishing.lock();
        let existed = self.parts.records.delete_function(name)?;
        if let Some((_, version)) = self.functions.remove(name) {
            self.folded.remove(&folded(name));
            self.retire(&version);
            let mut routes = self.routes.write();
            for HttpRoute { route, .. } in &version.configuration.routes {
                routes.remove(route);
            }
        }
        self.running
            .remove_if(name, |_, running| running.count() == 0);
        self.parts.metrics.forget(name);
        Ok(existed)
    }

    /// Deletes artifacts and compiled code that no function has any more; how many files. Nothing while
    /// something is being prepared.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the artifacts can't be listed or deleted. Compiled code that can't be is
    /// only logged: it is made again when it is missing.
    pub(crate) fn sweep_artifacts(&self) -> Result<usize, StorageError> {
        let preparing = self.preparing.lock();
        if Arc::strong_count(&preparing) > 1 {
            return Ok(0);
        }
        let _publishing = self.publishing.lock();
        let keep = self.artifacts_in_use();
        let artifacts = self.parts.artifacts.sweep(&keep)?;
        let code = self
            .parts
            .sandboxes
            .sweep(&keep)
            .unwrap_or_else(|error: io::Error| {
                tracing::warn!(%error, "compiled code that nothing uses could not be deleted");
                0
            });
        Ok(artifacts + code)
    }

    /// The artifacts of what is live, and of what still runs.
    fn artifacts_in_use(&self) -> HashSet<ArtifactId> {
        let mut retired = self.retired.lock();
        retired.retain(|version| version.strong_count() > 0);
        let running = retired.iter().filter_map(Weak::upgrade);
        let mut artifacts: HashSet<_> = running.map(|version| version.artifact).collect();
        artifacts.extend(self.functions.iter().map(|version| version.artifact));
        artifacts
    }

    fn retire(&self, version: &Arc<Version>) {
        self.retired.lock().push(Arc::downgrade(version));
    }

    /// Puts a version where readers find it.
    fn swap_in(&self, version: &Arc<Version>) {
        let old = self
            .functions
            .insert(version.name.clone(), Arc::clone(version));
        match &old {
            Some(old) => self.retire(old),
            None => {
                let name = version.name.clone();
                drop(self.folded.insert(folded(&name), name));
            }
        }
        let old_routes = old
            .as_ref()
            .map_or(&[][..], |old| &old.configuration.routes);
        if old_routes == version.configuration.routes {
            return;
        }
        let mut routes = self.routes.write();
        for HttpRoute { route, .. } in old_routes {
            routes.remove(route);
        }
        for HttpRoute { route, rules } in &version.configuration.routes {
            let target = RouteTarget::new(&version.name, rules, &self.parts.clock);
            if let Err(owner) = routes.insert(route.clone(), target) {
                tracing::error!(
                    "route `{route}` of function `{}` belongs to `{}`",
                    version.name,
                    owner.function
                );
            }
        }
    }

    fn version(&self, record: FunctionRecord, configuration: Configuration) -> Version {
        let parts = &self.parts;
        let running = Arc::clone(&self.running.entry(record.name.clone()).or_default());
        let day = crate::time_text::day(parts.clock.unix_us()).replace('-', "/");
        let guest = parts.sandboxes.guest(GuestSpec {
            kind: configuration.kind,
            artifact: record.artifact,
            artifact_path: parts.artifacts.path(record.artifact),
            limits: configuration.limits,
            environment: configuration.environment.as_slice().into(),
            function: record.name.clone(),
            version: record.version,
            arn: record.name.arn(&parts.region),
            region: parts.region.clone(),
            log_stream: format!("{day}/[{}]{}", record.version, parts.log_stream_suffix),
        });
        Version {
            metrics: parts.metrics.function(&record.name),
            id: record.version,
            artifact: record.artifact,
            origin: record.origin,
            updated_at_us: record.updated_at_us,
            name: record.name,
            configuration,
            guest,
            running,
        }
    }
}

fn folded(name: &FunctionName) -> String {
    name.as_str().to_ascii_lowercase()
}

#[cfg(test)]
mod test_site;
#[cfg(test)]
mod tests;
