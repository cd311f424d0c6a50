//! How a draft becomes a version: checked, compiled, stored, swapped in.
//!
//! A reader sees the old version or the new one and nothing between, and what can't be published
//! leaves the old one as it was. Knows nothing of folders.

use std::sync::Arc;

use domain::names::VersionId;
use domain::routing::{Route, RouteMethod};
use domain::{Fault, FunctionName};
use sandbox::{CompileError, GuestKind, LoadError};
use storage::{ArtifactId, FunctionRecord, Origin, StorageError};

use super::{Configuration, Registry, Version};
use crate::manifest::Manifest;

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
    Compile(#[from] CompileError),
    /// It does not fit what the host offers.
    #[error(transparent)]
    Link(#[from] LoadError),
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

impl PublishError {
    /// Whose failure this is. The host's may go away without a change of the draft.
    pub(crate) fn fault(&self) -> Fault {
        match self {
            Self::Refused(_) | Self::RouteTaken { .. } | Self::CaseClash { .. } => Fault::Caller,
            Self::Compile(error) => fault_of_compiling(error),
            Self::Link(error) => match error {
                LoadError::Link { .. } | LoadError::MissingExport { .. } => Fault::Caller,
                LoadError::Compile { source, .. } => fault_of_compiling(source),
                LoadError::NoRoom { .. }
                | LoadError::Artifact { .. }
                | LoadError::ArtifactChanged { .. }
                | LoadError::Preparing
                | LoadError::Stopped => Fault::Host,
            },
            Self::Storage(_) => Fault::Host,
        }
    }

    /// Whether it goes away when another function does, or gives up its routes.
    pub(crate) fn is_about_another(&self) -> bool {
        matches!(self, Self::RouteTaken { .. } | Self::CaseClash { .. })
    }
}

fn fault_of_compiling(error: &CompileError) -> Fault {
    match error {
        CompileError::Refused { .. } | CompileError::TooExpensive { .. } => Fault::Caller,
        CompileError::Setup { .. }
        | CompileError::Child { .. }
        | CompileError::Worker { .. }
        | CompileError::NoRoom { .. }
        | CompileError::Keep { .. } => Fault::Host,
    }
}

impl Registry {
    /// Checks, compiles, stores and swaps in. Blocking; seconds for a large artifact.
    ///
    /// What is live already is only mended: its artifact, and code for this engine, are there
    /// afterwards.
    ///
    /// # Errors
    ///
    /// [`PublishError`]; what was live before still is.
    pub(crate) fn publish(&self, draft: &Draft) -> Result<Published, PublishError> {
        let _publishing = self.publishing.lock();
        let parts = &self.parts;
        if self.is_live(draft) {
            let artifact = parts.artifacts.put(&draft.wasm)?;
            parts.sandboxes.compile(artifact, &draft.wasm)?;
            return Ok(Published::Unchanged);
        }
        let kind = sandbox::inspect(&draft.wasm, &draft.manifest.limits)?;
        let configuration = Configuration::new(draft, kind);
        self.check_names_and_routes(&draft.name, &configuration.routes)?;

        let artifact = parts.artifacts.put(&draft.wasm)?;
        parts.sandboxes.compile(artifact, &draft.wasm)?;
        let record = FunctionRecord {
            name: draft.name.clone(),
            version: VersionId::Latest,
            artifact,
            origin: Origin::Drop,
            configuration: configuration.to_json(),
            updated_at_us: parts.clock.unix_us(),
        };
        let version = Arc::new(self.version(record.clone(), configuration));
        parts.sandboxes.check_links(&version.guest)?;

        parts.records.put_function(&record)?;
        self.swap_in(&version);
        Ok(Published::Live(version))
    }

    /// Whether this very draft was published last.
    fn is_live(&self, draft: &Draft) -> bool {
        let Ok(live) = self.resolve(&draft.name) else {
            return false;
        };
        live.artifact == ArtifactId::of(&draft.wasm)
            && live.configuration == Configuration::new(draft, live.configuration.kind)
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

/// What a function answers to that names no routes: `ANY /NAME` and all below it.
fn default_routes(name: &FunctionName) -> Vec<Route> {
    ["", "/{proxy+}"]
        .iter()
        .filter_map(|rest| Route::new(RouteMethod::Any, &format!("/{name}{rest}")).ok())
        .collect()
}
