//! How a draft becomes a version: prepared (checked, stored, compiled), which takes time and may happen
//! beside others, then swapped in, which is quick and happens one after the other.
//!
//! A reader sees the old version or the new one and nothing between, and what can't be published
//! leaves the old one as it was. Knows nothing of folders.

use std::sync::Arc;

use domain::names::VersionId;
use domain::routing::{Route, RouteMethod, RouteTable};
use domain::{Fault, FunctionName};
use sandbox::{CompileError, GuestKind, LoadError};
use storage::{ArtifactId, Origin, StorageError, Write};

use super::function::Function;
use super::settings::Settings;
use super::version::{Code, Content, Declared};
use super::{Configuration, Registry, Version, folded};
use crate::manifest::route_rules::HttpRoute;
use crate::manifest::{Manifest, is_reserved};
use crate::trigger::queue::destination::DestinationError;

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
    /// The records of its events may not go where the manifest wants them.
    #[error("`async.{key}`: {rule}")]
    Destination {
        /// `on_success` or `on_failure`.
        key: &'static str,
        /// Line and column in the manifest, from 1.
        place: Option<(usize, usize)>,
        /// Why not.
        rule: DestinationError,
    },
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
    /// A function that was made through the API has the name.
    #[error(
        "function `{name}` was made through the control API; delete it there, or give this file another name"
    )]
    NameTaken {
        /// The name.
        name: FunctionName,
    },
    /// What is stored of it can't be read, and is not overwritten.
    #[error("the record of function `{name}` can't be read; delete the function to make it anew")]
    Unreadable {
        /// The name.
        name: FunctionName,
    },
    /// The data directory did not take it.
    #[error("storing the function failed")]
    Storage(#[from] StorageError),
}

impl PublishError {
    fn taken(route: &Route, owner: &FunctionName) -> Self {
        Self::RouteTaken {
            route: route.to_string(),
            owner: owner.clone(),
        }
    }

    /// Whose failure this is. The host's may go away without a change of the draft.
    pub(crate) fn fault(&self) -> Fault {
        match self {
            Self::Refused(_)
            | Self::Destination { .. }
            | Self::RouteTaken { .. }
            | Self::CaseClash { .. }
            | Self::NameTaken { .. }
            | Self::Unreadable { .. } => Fault::Caller,
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
        matches!(
            self,
            Self::RouteTaken { .. }
                | Self::CaseClash { .. }
                | Self::NameTaken { .. }
                | Self::Unreadable { .. }
        )
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

/// How much compiling may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// What an ordinary module takes; several may be prepared at once.
    Short,
    /// As much as one module may take at all.
    Full,
}

/// A draft that is checked, stored and compiled: what is left is to swap it in.
#[derive(Debug)]
pub(crate) struct Prepared {
    name: FunctionName,
    /// `None` when it is live already.
    new: Option<Arc<Version>>,
    /// What the files looked like that it was read from, if they need not be read again.
    source: Option<String>,
    /// Keeps its artifact from being swept.
    _preparing: Arc<()>,
}

impl Prepared {
    pub(crate) fn name(&self) -> &FunctionName {
        &self.name
    }

    /// With what its files looked like.
    pub(crate) fn with_source(mut self, source: Option<String>) -> Self {
        self.source = source;
        self
    }
}

impl Registry {
    /// Prepares a draft and swaps it in. Blocking; seconds for a large artifact.
    ///
    /// # Errors
    ///
    /// [`PublishError`]; what was live before still is.
    #[cfg(test)]
    pub(crate) fn publish(&self, draft: &Draft) -> Result<Published, PublishError> {
        let prepared = self.prepare(draft, Effort::Full)?;
        self.commit(prepared.as_slice()).remove(0)
    }

    /// Checks, stores and compiles, without changing what is live. Blocking; several may be prepared
    /// beside each other. `None` when compiling takes more than a short effort.
    ///
    /// What is live already is only mended: its artifact, and code for this engine, are there
    /// afterwards.
    ///
    /// # Errors
    ///
    /// [`PublishError`].
    pub(crate) fn prepare(
        &self,
        draft: &Draft,
        effort: Effort,
    ) -> Result<Option<Prepared>, PublishError> {
        let mut prepared = Prepared {
            name: draft.name.clone(),
            new: None,
            source: None,
            _preparing: Arc::clone(&self.preparing.lock()),
        };
        let parts = &self.parts;
        if self.is_live(draft) {
            return Ok(self.store(draft, effort)?.map(|_artifact| prepared));
        }
        let kind = sandbox::inspect(&draft.wasm, &draft.manifest.limits)?;
        let configuration = Configuration::new(draft, kind);
        // What has no chance is not compiled.
        self.check_destinations(draft)?;
        self.check_names_and_routes(&draft.name, &configuration.routes)?;
        let Some(artifact) = self.store(draft, effort)? else {
            return Ok(None);
        };
        let content = Content {
            artifact,
            code: Code::of_module(artifact, configuration.size_bytes),
            configuration,
            revision: self.random.uuid(),
            published_from: None,
            updated_at_us: parts.clock.unix_us(),
        };
        let counters = self.counters(&draft.name);
        let version = Arc::new(self.version(&draft.name, VersionId::Latest, content, counters));
        parts.sandboxes.check_links(&version.guest)?;
        prepared.new = Some(version);
        Ok(Some(prepared))
    }

    /// Whether the records of its events may go where the manifest wants them. A function that is to get
    /// them may come later.
    fn check_destinations(&self, draft: &Draft) -> Result<(), PublishError> {
        for (key, target) in draft.manifest.events.destinations() {
            let checked = self.parts.destinations.check_for(&draft.name, target);
            checked.map_err(|rule| PublishError::Destination {
                key,
                place: draft.manifest.place_of(key),
                rule,
            })?;
        }
        Ok(())
    }

    /// Stores and compiles an artifact; `None` when that takes more than a short effort.
    fn store(&self, draft: &Draft, effort: Effort) -> Result<Option<ArtifactId>, PublishError> {
        let parts = &self.parts;
        let artifact = parts.artifacts.put(&draft.wasm)?;
        let compiled = match effort {
            Effort::Short => parts.sandboxes.compile_short(artifact, &draft.wasm)?,
            Effort::Full => Some(parts.sandboxes.compile(artifact, &draft.wasm)?),
        };
        Ok(compiled.map(|_compiled| artifact))
    }

    /// Swaps in what is prepared, one after the other: each of them whole or not at all, with one wait
    /// for the disk for all of them. The answers are in the same order.
    pub(crate) fn commit(&self, batch: &[Prepared]) -> Vec<Result<Published, PublishError>> {
        let _publishing = self.publishing.lock();
        let mut accepted: Vec<&Prepared> = Vec::with_capacity(batch.len());
        let mut claimed = RouteTable::default();
        let checked: Vec<Result<&Prepared, PublishError>> = batch
            .iter()
            .map(|prepared| {
                self.claim(prepared, &accepted, &mut claimed)?;
                accepted.push(prepared);
                Ok(prepared)
            })
            .collect();
        if self.record(&accepted).is_err() {
            // Each gets an answer of its own, and only who goes live has what it claimed.
            return batch.iter().map(|one| self.commit_alone(one)).collect();
        }
        let published = |prepared| self.publish_recorded(prepared);
        checked
            .into_iter()
            .map(|checked| checked.map(published))
            .collect()
    }

    fn commit_alone(&self, prepared: &Prepared) -> Result<Published, PublishError> {
        self.claim(prepared, &[], &mut RouteTable::default())?;
        self.record(&[prepared])?;
        Ok(self.publish_recorded(prepared))
    }

    fn publish_recorded(&self, prepared: &Prepared) -> Published {
        match &prepared.new {
            Some(version) => {
                self.swap_in(&Arc::new(self.with_latest(version)));
                Published::Live(Arc::clone(version))
            }
            None => Published::Unchanged,
        }
    }

    /// Makes what was prepared durable.
    fn record(&self, batch: &[&Prepared]) -> Result<(), StorageError> {
        let parts = &self.parts;
        let mut writes = Vec::new();
        for prepared in batch {
            if let Some(version) = &prepared.new {
                let old = self.function(&prepared.name);
                writes.extend(self.with_latest(version).writes(old.as_deref())?);
            }
            if prepared.new.is_some() || prepared.source.is_some() {
                let source = prepared.source.clone();
                writes.push(Write::Source(prepared.name.clone(), source));
            }
        }
        if writes.is_empty() {
            return Ok(());
        }
        // An artifact that was mended too: who is noted is not read again.
        parts.artifacts.sync()?;
        parts.records.write(&writes)
    }

    /// The function with a `$LATEST` that was dropped, and everything else as it is.
    fn with_latest(&self, version: &Arc<Version>) -> Function {
        let version = Arc::clone(version);
        match self.function(&version.name) {
            None => Function::new(Origin::Drop, version, Settings::default()),
            Some(function) => Function {
                origin: Origin::Drop,
                latest: version,
                ..Function::clone(&function)
            },
        }
    }

    /// Claims names and routes, unless somebody has them: what is live, or who comes `before`.
    fn claim(
        &self,
        prepared: &Prepared,
        before: &[&Prepared],
        claimed: &mut RouteTable<FunctionName>,
    ) -> Result<(), PublishError> {
        let Some(version) = &prepared.new else {
            return Ok(());
        };
        let (name, routes) = (&version.name, &version.configuration.routes);
        self.check_names_and_routes(name, routes)?;
        for other in before {
            check_name(name, &other.name)?;
        }
        check_routes(name, routes, |route| claimed.owner(route))?;
        for HttpRoute { route, .. } in routes {
            if let Err(owner) = claimed.insert(route.clone(), name.clone()) {
                return Err(PublishError::taken(route, owner));
            }
        }
        Ok(())
    }

    /// Whether this very draft was published last.
    fn is_live(&self, draft: &Draft) -> bool {
        let Some(function) = self.dropped(&draft.name) else {
            return false;
        };
        let live = &function.latest;
        live.artifact == ArtifactId::of(&draft.wasm)
            && live.configuration == Configuration::new(draft, live.configuration.kind)
    }

    fn check_names_and_routes(
        &self,
        name: &FunctionName,
        routes: &[HttpRoute],
    ) -> Result<(), PublishError> {
        if let Some(other) = self.folded.get(&folded(name)) {
            check_name(name, &other)?;
        }
        self.check_readable(name)?;
        let is_of_api = |function: Arc<Function>| function.origin == Origin::Api;
        if self.function(name).is_some_and(is_of_api) {
            return Err(PublishError::NameTaken { name: name.clone() });
        }
        let live = self.routes.read();
        check_routes(name, routes, |route| {
            live.owner(route).map(|target| &target.function)
        })
    }
}

fn check_routes<'t>(
    name: &FunctionName,
    routes: &[HttpRoute],
    owner: impl Fn(&Route) -> Option<&'t FunctionName>,
) -> Result<(), PublishError> {
    for HttpRoute { route, .. } in routes {
        if let Some(owner) = owner(route)
            && owner != name
        {
            return Err(PublishError::taken(route, owner));
        }
    }
    Ok(())
}

fn check_name(name: &FunctionName, other: &FunctionName) -> Result<(), PublishError> {
    if name != other && name.as_str().eq_ignore_ascii_case(other.as_str()) {
        let other = other.clone();
        return Err(PublishError::CaseClash { other });
    }
    Ok(())
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
            budget: manifest.budget,
            routes: manifest
                .routes
                .clone()
                .unwrap_or_else(|| default_routes(&draft.name, manifest)),
            subscriptions: manifest.subscriptions.clone(),
            events: manifest.events.clone(),
            schedules: manifest.schedules.clone(),
            size_bytes: draft.wasm.len() as u64,
            declared: Declared::default(),
        }
    }
}

/// What a function answers to that names no routes: `ANY /NAME` and all below it.
fn default_routes(name: &FunctionName, manifest: &Manifest) -> Vec<HttpRoute> {
    ["", "/{proxy+}"]
        .iter()
        .filter_map(|rest| Route::new(RouteMethod::Any, &format!("/{name}{rest}")).ok())
        .filter(|route| !is_reserved(route.path()))
        .map(|route| HttpRoute {
            route,
            rules: manifest.rules.clone(),
        })
        .collect()
}
