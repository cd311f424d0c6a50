//! A guest's code on its way from disk into the engine, compiled again if it has to be.
//!
//! Code that is kept is mapped within milliseconds, so a run waits for it however short its time
//! limit is. Compiling may take a minute: a run waits for that no longer than it could run, and the
//! compilation goes on for the next one.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use wasmtime::Module;

use super::Shared;
use crate::ArtifactId;
use crate::cache::{Found, Verified};
use crate::compile::{self, CompileError, Compiled, Effort};
use crate::failure::{link, short};
use crate::guest::{Entry, Guest, GuestSpec, LoadError, Loaded, Prepared};
use crate::load;
use crate::observed::Observed;

/// Compiled code up to this size is checked and mapped on the thread that asks for it, which takes
/// 0.7 ms; more of it would keep that thread's other events waiting.
const INLINE_LOAD_BYTES_MAX: u64 = 1 << 20;

/// The same for code that was checked before and only has to be mapped.
const INLINE_MAP_BYTES_MAX: u64 = 16 << 20;

/// Code that was compiled, or that someone else had compiled in the meantime.
pub(super) struct Made {
    module: Module,
    pub(super) compiled: Compiled,
    /// Whether it is on disk now.
    pub(super) kept: io::Result<()>,
}

impl Shared {
    /// Loads a guest's code, once for all runs that wait for it, and says how long this one waited.
    pub(super) async fn load_once(
        self: &Arc<Self>,
        guest: &Arc<Guest>,
        observed: &Observed,
    ) -> Result<(Arc<Loaded>, Duration), LoadError> {
        let started = self.clock.now();
        let give_up = Instant::now() + guest.spec.limits.timeout.duration();
        let mut preparing = guest.preparing.lock().await;
        let loaded = match guest.code.get() {
            Some(loaded) => loaded,
            None => {
                let (loaded, took) = self.load_until(guest, &mut preparing, give_up).await?;
                observed.loaded(took);
                self.residents.admit(guest, loaded)
            }
        };
        let waited = self.clock.now().saturating_duration_since(started);
        Ok((loaded, waited))
    }

    /// Loads code that is kept, or waits until `give_up` for code that is made. Says how long mapping
    /// and linking took.
    async fn load_until(
        self: &Arc<Self>,
        guest: &Guest,
        preparing: &mut Option<JoinHandle<Prepared>>,
        give_up: Instant,
    ) -> Result<(Loaded, Duration), LoadError> {
        let job = match preparing.take() {
            Some(job) => job,
            None => {
                let started = self.clock.now();
                if let Some(loaded) = self.load_kept(&guest.spec).await? {
                    let took = self.clock.now().saturating_duration_since(started);
                    return Ok((loaded, took));
                }
                let (shared, spec) = (Arc::clone(self), guest.spec.clone());
                self.background
                    .spawn_blocking(move || shared.prepare(&spec))
            }
        };
        // In its place while it is waited for, so that a run that is dropped here loses nothing.
        let job = preparing.insert(job);
        let Ok(joined) = timeout_at(give_up, &mut *job).await else {
            return Err(LoadError::Preparing);
        };
        *preparing = None;
        joined.unwrap_or(Err(LoadError::Stopped))
    }

    /// Loads code here that is small or was checked before, and other code on a thread that may block;
    /// `None` if there is none.
    async fn load_kept(self: &Arc<Self>, spec: &GuestSpec) -> Result<Option<Loaded>, LoadError> {
        let path = self.cache.path(spec.artifact);
        let bytes = std::fs::symlink_metadata(path).map_or(0, |metadata| metadata.len());
        let inline_max = match self.cache.was_checked(spec.artifact) {
            true => INLINE_MAP_BYTES_MAX,
            false => INLINE_LOAD_BYTES_MAX,
        };
        if bytes <= inline_max {
            return self.link_kept(spec);
        }
        let (shared, spec) = (Arc::clone(self), spec.clone());
        self.background
            .spawn_blocking(move || shared.link_kept(&spec))
            .await
            .unwrap_or(Err(LoadError::Stopped))
    }

    fn link_kept(&self, spec: &GuestSpec) -> Result<Option<Loaded>, LoadError> {
        let module = self
            .map_kept(spec.artifact)
            .map_err(|source| LoadError::NoRoom { source })?;
        module.map(|module| self.link(spec, &module)).transpose()
    }

    /// Loads code from the cache, or compiles the artifact again. Blocks.
    pub(super) fn load(&self, spec: &GuestSpec) -> Result<Loaded, LoadError> {
        match self.link_kept(spec)? {
            Some(loaded) => Ok(loaded),
            None => self.prepare(spec).map(|(loaded, _)| loaded),
        }
    }

    /// Compiles the artifact and links it; says how long it took without the compilation. Blocks.
    fn prepare(&self, spec: &GuestSpec) -> Result<(Loaded, Duration), LoadError> {
        let made = self.recompile(spec)?;
        let started = self.clock.now();
        // Mapped from its file it shares memory with the page cache.
        let module = match &made.kept {
            Ok(()) => self
                .map_kept(spec.artifact)
                .ok()
                .flatten()
                .unwrap_or(made.module),
            Err(error) => {
                tracing::warn!(
                    artifact = %spec.artifact,
                    %error,
                    "compiled code could not be kept; it is compiled again at the next start"
                );
                made.module
            }
        };
        let loaded = self.link(spec, &module)?;
        let took = self.clock.now().saturating_duration_since(started);
        Ok((loaded, took))
    }

    fn recompile(&self, spec: &GuestSpec) -> Result<Made, LoadError> {
        let path = &spec.artifact_path;
        let wasm = std::fs::read(path).map_err(|source| LoadError::Artifact {
            path: path.clone(),
            source,
        })?;
        if ArtifactId::of(&wasm) != spec.artifact {
            return Err(LoadError::ArtifactChanged {
                path: path.clone(),
                expected: spec.artifact,
            });
        }
        self.compile(spec.artifact, &wasm, Effort::Full)
            .map_err(|source| LoadError::Compile {
                artifact: spec.artifact,
                source,
            })
    }

    /// Compiles `wasm`, makes sure that the engine takes the code, and keeps it. With full effort, one
    /// at a time.
    pub(super) fn compile(
        &self,
        artifact: ArtifactId,
        wasm: &[u8],
        effort: Effort,
    ) -> Result<Made, CompileError> {
        let _turn = (effort == Effort::Full).then(|| self.compiling.lock());
        // Whoever had the turn before may have compiled the same.
        let kept = self.map_kept(artifact);
        if let Some(module) = kept.map_err(|source| CompileError::NoRoom { source })? {
            return Ok(Made {
                module,
                compiled: Compiled::Cached,
                kept: Ok(()),
            });
        }
        let code = compile::compile(&self.engine, &self.compile, wasm, effort)?;
        let code = Verified::just_compiled(code);
        let module =
            load::from_bytes(&self.engine, &code).map_err(|error| CompileError::Worker {
                doing: "making code for this engine",
                source: io::Error::other(short(&error)),
            })?;
        Ok(Made {
            module,
            compiled: Compiled::Fresh,
            kept: self.cache.keep(artifact, &code),
        })
    }

    /// Code from the cache, mapped. A warning if there is something that can't be used.
    ///
    /// An error says that the system has no room for it, also after others made some.
    pub(super) fn map_kept(&self, artifact: ArtifactId) -> io::Result<Option<Module>> {
        let evicted = self.residents.evicted();
        match self.try_map_kept(artifact) {
            Err(_) if self.residents.relieve(evicted) => self.try_map_kept(artifact),
            mapped => mapped,
        }
    }

    fn try_map_kept(&self, artifact: ArtifactId) -> io::Result<Option<Module>> {
        let rejected = match self.cache.find(artifact)? {
            Found::Nothing => return Ok(None),
            Found::Rejected(reason) => reason.to_owned(),
            Found::Code(code) => match load::from_file(&self.engine, code) {
                Ok(module) => return Ok(Some(module)),
                Err(error) => {
                    if let Some(shortage) = load::shortage(&error) {
                        return Err(shortage);
                    }
                    // Best effort: the code that is compiled now takes its place.
                    let _removed = self.cache.remove(artifact);
                    short(&error)
                }
            },
        };
        tracing::warn!(
            %artifact,
            path = %self.cache.path(artifact).display(),
            reason = rejected,
            "compiled code was not loaded, {rejected}; the artifact is compiled again"
        );
        Ok(None)
    }

    fn link(&self, spec: &GuestSpec, module: &Module) -> Result<Loaded, LoadError> {
        let entry = Entry::find(spec.kind, module)?;
        let linked = self
            .linker
            .instantiate_pre(module)
            .map_err(|error| LoadError::Link {
                message: link(&error),
            })?;
        Ok(Loaded { linked, entry })
    }
}
