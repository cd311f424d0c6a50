//! Functions that are made through the control API: created, changed and published as versions.
//!
//! What is uploaded is checked, stored and compiled before the lock is taken, one upload at a time: a
//! compiler may need a gigabyte. Knows nothing of archives; it gets the module and what is to be said
//! about the upload.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use domain::{FunctionName, Limits, Qualifier, VersionId};
use storage::{ArtifactId, Origin};
use uuid::Uuid;

use super::change::{ChangeError, check_ours, check_revision};
use super::function::Function;
use super::publish::PublishError;
use super::settings::Settings;
use super::version::{Code, Configuration, Content, Declared, Version};
use super::{Registry, folded};
use crate::manifest::events::EventRules;

/// A module, and what it came in.
#[derive(Debug, Clone)]
pub(crate) struct NewCode {
    pub(crate) wasm: Vec<u8>,
    /// Of what was uploaded.
    pub(crate) uploaded: Code,
}

/// A function that someone wants to create.
#[derive(Debug, Clone)]
pub(crate) struct NewFunction {
    pub(crate) name: FunctionName,
    pub(crate) code: NewCode,
    pub(crate) description: Option<String>,
    pub(crate) limits: Limits,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) declared: Declared,
    pub(crate) tags: BTreeMap<String, String>,
    /// Publish it as version 1, too.
    pub(crate) publish: bool,
}

/// How code is to be replaced.
#[derive(Debug, Clone, Default)]
pub(crate) struct CodeUpdate {
    /// Only if `$LATEST` still has this revision.
    pub(crate) revision: Option<Uuid>,
    /// Check everything, change nothing.
    pub(crate) dry_run: bool,
    /// Publish it as a version, too.
    pub(crate) publish: bool,
    /// Declared with it; `None` leaves what was declared.
    pub(crate) architectures: Option<Vec<String>>,
}

/// What is to be published as a version.
#[derive(Debug, Clone, Default)]
pub(crate) struct PublishVersion {
    /// Instead of the description of `$LATEST`.
    pub(crate) description: Option<String>,
    /// Only if `$LATEST` has the code with this hash.
    pub(crate) code_sha256: Option<[u8; 32]>,
    /// Only if `$LATEST` still has this revision.
    pub(crate) revision: Option<Uuid>,
}

/// Code that was checked, stored and compiled.
struct Ready<'a> {
    artifact: ArtifactId,
    kind: sandbox::GuestKind,
    _upload: Upload<'a>,
}

/// An upload on its way: its artifact is not swept while this lives. Afterwards it may be one that
/// nothing uses, whatever became of the upload.
struct Upload<'a> {
    registry: &'a Registry,
    _preparing: Arc<()>,
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        self.registry.unswept.fetch_add(1, Ordering::Relaxed);
    }
}

impl Registry {
    /// Creates a function, with its first version if that is asked for. Seconds for a large module.
    ///
    /// # Errors
    ///
    /// [`ChangeError`].
    pub(crate) fn create(&self, new: NewFunction) -> Result<Arc<Function>, ChangeError> {
        self.check_is_new(&new.name)?;
        let ready = self.make_ready(&new.code, &new.limits)?;
        let content = Content {
            artifact: ready.artifact,
            code: new.code.uploaded,
            configuration: Configuration {
                kind: ready.kind,
                description: new.description,
                limits: new.limits,
                environment: new.environment,
                concurrency: None,
                budget: None,
                routes: Vec::new(),
                subscriptions: Vec::new(),
                events: EventRules::default(),
                schedules: Vec::new(),
                size_bytes: new.code.wasm.len() as u64,
                declared: new.declared,
            },
            revision: self.random.uuid(),
            published_from: None,
            updated_at_us: self.parts.clock.unix_us(),
        };
        let latest = self.linked(&new.name, content)?;
        let settings = Settings {
            tags: new.tags,
            ..Settings::default()
        };
        let mut function = Function::new(Origin::Api, latest, settings);
        if new.publish {
            self.publish_latest(&mut function, None);
        }

        let _publishing = self.publishing.lock();
        self.check_is_new(&new.name)?;
        self.parts.artifacts.sync()?;
        self.parts.records.write(&function.writes(None)?)?;
        let function = Arc::new(function);
        self.swap_in(&function);
        Ok(function)
    }

    /// Replaces the code of `$LATEST`; the function, and the version that was asked for: the published
    /// one or `$LATEST`. A dry run answers with what would be.
    ///
    /// # Errors
    ///
    /// [`ChangeError`].
    pub(crate) fn update_code(
        &self,
        name: &FunctionName,
        code: &NewCode,
        options: CodeUpdate,
    ) -> Result<(Arc<Function>, Arc<Version>), ChangeError> {
        // What has no chance is not compiled.
        let before = self.existing(name)?;
        check_ours(&before)?;
        check_revision(options.revision, before.latest.revision)?;
        let ready = self.make_ready(code, &before.latest.configuration.limits)?;
        let update = |function: &mut Function| {
            check_ours(function)?;
            check_revision(options.revision, function.latest.revision)?;
            let mut content = function.latest.content();
            let configuration = &mut content.configuration;
            if configuration.limits.memory < before.latest.configuration.limits.memory {
                sandbox::inspect(&code.wasm, &configuration.limits).map_err(PublishError::from)?;
            }
            configuration.kind = ready.kind;
            configuration.size_bytes = code.wasm.len() as u64;
            if let Some(architectures) = options.architectures {
                configuration.declared.architectures = architectures;
            }
            (content.artifact, content.code) = (ready.artifact, code.uploaded);
            self.renew(&mut content);
            function.latest = self.linked(name, content)?;
            if options.publish {
                return Ok(self.publish_latest(function, None));
            }
            Ok(Arc::clone(&function.latest))
        };
        if options.dry_run {
            let mut function = Function::clone(&*self.existing(name)?);
            let version = update(&mut function)?;
            return Ok((Arc::new(function), version));
        }
        self.parts.artifacts.sync()?;
        self.change(name, update)
    }

    /// Changes the configuration of `$LATEST`. `change` can't change what follows from the code, or
    /// routes and concurrency, which are settings here.
    ///
    /// # Errors
    ///
    /// [`ChangeError`].
    pub(crate) fn update_configuration(
        &self,
        name: &FunctionName,
        revision: Option<Uuid>,
        change: impl FnOnce(&mut Configuration),
    ) -> Result<Arc<Function>, ChangeError> {
        let changed = self.change(name, |function| {
            check_ours(function)?;
            check_revision(revision, function.latest.revision)?;
            let mut content = function.latest.content();
            let old = &function.latest.configuration;
            change(&mut content.configuration);
            let new = &mut content.configuration;
            (new.kind, new.size_bytes) = (old.kind, old.size_bytes);
            (new.concurrency, new.routes) = (old.concurrency, old.routes.clone());
            new.budget = old.budget;
            if new.limits.memory < old.limits.memory {
                let wasm = self.parts.artifacts.read(content.artifact)?;
                sandbox::inspect(&wasm, &new.limits).map_err(PublishError::from)?;
            }
            self.renew(&mut content);
            let counters = function.latest.counters();
            function.latest = Arc::new(self.version(name, VersionId::Latest, content, counters));
            Ok(())
        });
        changed.map(|(function, ())| function)
    }

    /// Publishes `$LATEST` as a numbered version; the last one again when nothing has changed since.
    ///
    /// # Errors
    ///
    /// [`ChangeError`].
    pub(crate) fn publish_version(
        &self,
        name: &FunctionName,
        publish: PublishVersion,
    ) -> Result<(Arc<Function>, Arc<Version>), ChangeError> {
        self.change(name, |function| {
            check_revision(publish.revision, function.latest.revision)?;
            let current = function.latest.code.sha256;
            if let Some(given) = publish.code_sha256.filter(|given| *given != current) {
                return Err(ChangeError::CodeSha { given, current });
            }
            Ok(self.publish_latest(function, publish.description))
        })
    }

    /// Removes a numbered version that no alias leads to. Its number is not used again.
    ///
    /// # Errors
    ///
    /// [`ChangeError`].
    pub(crate) fn delete_version(
        &self,
        name: &FunctionName,
        number: u64,
    ) -> Result<(), ChangeError> {
        let deleted = self.change(name, |function| {
            let aliases = function.aliases_of(number);
            let name = name.clone();
            if !aliases.is_empty() {
                return Err(ChangeError::InUse {
                    name,
                    number,
                    aliases,
                });
            }
            let qualifier = Qualifier::Version(VersionId::Number(number));
            let existed = function.versions.remove(&number).is_some();
            if !function.unreadable.remove(&qualifier) && !existed {
                return Err(ChangeError::UnknownVersion { name, number });
            }
            function.settings.forget(&number.to_string());
            Ok(())
        });
        deleted.map(|(_function, ())| ())
    }

    /// Adds `$LATEST` to the versions, unless the last of them is the same.
    fn publish_latest(&self, function: &mut Function, description: Option<String>) -> Arc<Version> {
        let latest = &function.latest;
        if let Some((_, last)) = function.versions.last_key_value()
            && last.is_publication_of(latest)
        {
            return Arc::clone(last);
        }
        let mut content = latest.content();
        content.published_from = Some(latest.revision);
        if description.is_some() {
            content.configuration.description = description;
        }
        self.renew(&mut content);
        let number = function.next_version;
        let counters = latest.counters();
        let id = VersionId::Number(number);
        let version = Arc::new(self.version(&function.name, id, content, counters));
        function.versions.insert(number, Arc::clone(&version));
        function.next_version += 1;
        version
    }

    /// Gives what was changed a revision and a time of its own.
    fn renew(&self, content: &mut Content) {
        content.revision = self.random.uuid();
        content.updated_at_us = self.parts.clock.unix_us();
    }

    /// A `$LATEST` that was found to fit what the host offers.
    fn linked(&self, name: &FunctionName, content: Content) -> Result<Arc<Version>, PublishError> {
        let counters = self.counters(name);
        let version = Arc::new(self.version(name, VersionId::Latest, content, counters));
        self.parts.sandboxes.check_links(&version.guest)?;
        Ok(version)
    }

    fn make_ready(&self, code: &NewCode, limits: &Limits) -> Result<Ready<'_>, PublishError> {
        let kind = sandbox::inspect(&code.wasm, limits)?;
        let upload = Upload {
            registry: self,
            _preparing: Arc::clone(&self.preparing.lock()),
        };
        let artifact = self.parts.artifacts.put(&code.wasm)?;
        let _one_at_a_time = self.compiling.lock();
        self.parts.sandboxes.compile(artifact, &code.wasm)?;
        Ok(Ready {
            artifact,
            kind,
            _upload: upload,
        })
    }

    fn check_is_new(&self, name: &FunctionName) -> Result<(), ChangeError> {
        self.check_readable(name)?;
        match self.folded.get(&folded(name)) {
            None => Ok(()),
            Some(other) if *other == *name => Err(ChangeError::Exists { name: name.clone() }),
            Some(other) => Err(PublishError::CaseClash {
                other: other.clone(),
            }
            .into()),
        }
    }
}
