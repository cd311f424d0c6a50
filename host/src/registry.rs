//! Functions and their versions: the one truth about what may be invoked.
//!
//! The durable side is in storage (records and artifacts); the maps here are derived from it and
//! rebuilt at start. Whatever publishes, the drop folder for now, calls [`Registry::publish`], which
//! checks, stores and swaps in that order, so a reader sees the old version or the new one and
//! nothing between.
//!
//! Knows nothing of folders, of HTTP, or of how a guest runs.

pub(crate) mod drop_folder;
pub(crate) mod refusals;
pub(crate) mod version;
pub(crate) mod watcher;

mod candidate;

use std::sync::Arc;

use dashmap::DashMap;
use domain::names::VersionId;
use domain::routing::{Match, RequestPath, Route, RouteMethod, RouteTable};
use domain::{Clock, FunctionName};
use parking_lot::{Mutex, RwLock};
use sandbox::{GuestKind, GuestSpec, Sandboxes};
use storage::{ArtifactId, Artifacts, FunctionRecord, Origin, Records, StorageError};

use crate::concurrency::Running;
use crate::invoke::{InvokeError, unknown};
use crate::manifest::Manifest;
use crate::metrics::Metrics;

pub(crate) use refusals::Refusals;
pub(crate) use version::{Configuration, Version};

/// Functions by name, and by route.
#[derive(Debug)]
pub(crate) struct Registry {
    functions: DashMap<FunctionName, Arc<Version>>,
    /// Kept across versions, so that a swap does not forget what still runs.
    running: DashMap<FunctionName, Arc<Running>>,
    routes: RwLock<RouteTable<FunctionName>>,
    /// Held while something is published or removed; readers never take it.
    publishing: Mutex<()>,
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

/// A function as someone wants to publish it.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) name: FunctionName,
    pub(crate) wasm: Vec<u8>,
    pub(crate) manifest: Manifest,
}

/// What publishing did.
#[derive(Debug)]
pub(crate) enum Published {
    /// A new version is live.
    Live(Arc<Version>),
    /// Artifact and configuration are those that are live already.
    Unchanged,
}

/// Why something can't be published. Each text is for the author of the function.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PublishError {
    /// The artifact can never run.
    #[error(transparent)]
    Refused(#[from] sandbox::Refusal),
    /// It could not be compiled.
    #[error(transparent)]
    Compile(#[from] sandbox::CompileError),
    /// It does not fit what the host offers.
    #[error(transparent)]
    Link(#[from] sandbox::LoadError),
    /// Another function has the route.
    #[error("route `{route}` belongs to function `{owner}` already")]
    RouteTaken {
        /// The route.
        route: String,
        /// Its owner.
        owner: FunctionName,
    },
    /// Another function's name differs in upper and lower case only.
    #[error("function `{other}` has this name already, but for upper and lower case")]
    CaseClash {
        /// The other.
        other: FunctionName,
    },
    /// The data directory did not take it.
    #[error("storing the function failed")]
    Storage(#[from] StorageError),
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
            running: DashMap::new(),
            routes: RwLock::default(),
            publishing: Mutex::new(()),
            parts,
        };
        for record in registry.parts.records.functions()? {
            match serde_json::from_str::<Configuration>(&record.configuration) {
                Ok(configuration) => {
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

    /// What a request leads to; `found` gets the route, its function and its variables.
    pub(crate) fn route<T>(
        &self,
        method: Option<RouteMethod>,
        path: &RequestPath,
        found: impl FnOnce(Match<'_, FunctionName>) -> T,
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

    /// Checks, compiles, stores and swaps in. Blocking; seconds for a large artifact.
    ///
    /// # Errors
    ///
    /// [`PublishError`]; what was live before still is.
    pub(crate) fn publish(&self, draft: &Draft) -> Result<Published, PublishError> {
        let configuration = |kind| Configuration::new(draft, kind);
        if let Ok(live) = self.resolve(&draft.name)
            && live.artifact == ArtifactId::of(&draft.wasm)
            && live.configuration == configuration(live.configuration.kind)
        {
            return Ok(Published::Unchanged);
        }
        let kind = sandbox::inspect(&draft.wasm, &draft.manifest.limits)?;
        let configuration = configuration(kind);
        let publishing = self.publishing.lock();
        self.check_names_and_routes(&draft.name, &configuration.routes)?;
        drop(publishing);

        let artifact = self.parts.artifacts.put(&draft.wasm)?;
        self.parts
            .sandboxes
            .compile(sandbox_hash(artifact), &draft.wasm)?;
        let record = FunctionRecord {
            name: draft.name.clone(),
            version: VersionId::Latest,
            artifact,
            origin: Origin::Drop,
            configuration: configuration.to_json(),
            updated_at_us: self.parts.clock.unix_us(),
        };
        let version = Arc::new(self.version(record.clone(), configuration));
        self.parts.sandboxes.check_links(&version.guest)?;

        let publishing = self.publishing.lock();
        self.check_names_and_routes(&draft.name, &version.configuration.routes)?;
        self.parts.records.put_function(&record)?;
        self.swap_in(&version);
        drop(publishing);
        Ok(Published::Live(version))
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
            let mut routes = self.routes.write();
            for route in &version.configuration.routes {
                routes.remove(route);
            }
        }
        self.running
            .remove_if(name, |_, running| running.count() == 0);
        self.parts.metrics.forget(name);
        Ok(existed)
    }

    /// Deletes artifacts that no function has any more; how many.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the directory can't be read.
    pub(crate) fn sweep_artifacts(&self) -> Result<usize, StorageError> {
        let _publishing = self.publishing.lock();
        let keep = self
            .functions
            .iter()
            .map(|version| version.artifact)
            .collect();
        self.parts.artifacts.sweep(&keep)
    }

    /// Puts a version where readers find it.
    fn swap_in(&self, version: &Arc<Version>) {
        let old = self
            .functions
            .insert(version.name.clone(), Arc::clone(version));
        let old_routes = old
            .as_ref()
            .map_or(&[][..], |old| &old.configuration.routes);
        if old_routes == version.configuration.routes {
            return;
        }
        let mut routes = self.routes.write();
        for route in old_routes {
            routes.remove(route);
        }
        for route in &version.configuration.routes {
            if let Err(owner) = routes.insert(route.clone(), version.name.clone()) {
                tracing::error!(
                    "route `{route}` of function `{}` belongs to `{owner}`",
                    version.name
                );
            }
        }
    }

    fn check_names_and_routes(
        &self,
        name: &FunctionName,
        routes: &[Route],
    ) -> Result<(), PublishError> {
        let clash = self.functions.iter().find(|other| {
            other.name != *name && other.name.as_str().eq_ignore_ascii_case(name.as_str())
        });
        if let Some(other) = clash {
            return Err(PublishError::CaseClash {
                other: other.name.clone(),
            });
        }
        let table = self.routes.read();
        for route in routes {
            if let Some(owner) = table.owner(route)
                && owner != name
            {
                let route = route.to_string();
                return Err(PublishError::RouteTaken {
                    route,
                    owner: owner.clone(),
                });
            }
        }
        Ok(())
    }

    fn version(&self, record: FunctionRecord, configuration: Configuration) -> Version {
        let parts = &self.parts;
        let running = Arc::clone(&self.running.entry(record.name.clone()).or_default());
        let day = crate::time_text::day(parts.clock.unix_us()).replace('-', "/");
        let guest = parts.sandboxes.guest(GuestSpec {
            kind: configuration.kind,
            artifact: sandbox_hash(record.artifact),
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

fn sandbox_hash(artifact: ArtifactId) -> sandbox::ArtifactHash {
    sandbox::ArtifactHash::from_bytes(*artifact.as_bytes())
}

/// What a function answers to that names no routes: `ANY /NAME` and all below it.
fn default_routes(name: &FunctionName) -> Vec<Route> {
    ["", "/{proxy+}"]
        .iter()
        .filter_map(|rest| Route::new(RouteMethod::Any, &format!("/{name}{rest}")).ok())
        .collect()
}

impl Configuration {
    fn new(draft: &Draft, kind: GuestKind) -> Self {
        let manifest = &draft.manifest;
        Self {
            kind,
            description: manifest.description.clone(),
            limits: manifest.limits,
            environment: manifest.environment.clone(),
            concurrency: manifest.concurrency,
            routes: manifest
                .routes
                .clone()
                .unwrap_or_else(|| default_routes(&draft.name)),
            size_bytes: draft.wasm.len() as u64,
        }
    }
}
