//! The engine and what belongs to it: everything that lives as long as the process.

mod loading;
mod residents;

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::{Clock, Outcome};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use wasmtime::{Engine, Linker};

use crate::ArtifactId;
use crate::budget::Totals;
use crate::cache::CodeCache;
use crate::compile::{CompileError, Compiled, Effort};
use crate::engine::EngineError;
use crate::execute::{self, Event, State, Surroundings};
use crate::failure::short;
use crate::guest::{Guest, GuestSpec, LoadError};
use crate::run::{Bound, HandOver, RunRequest, Running, SandboxError};
use crate::settings::{Compile, EngineReport, EngineSettings, Profile};
use crate::ticker::Ticker;
use crate::{engine, wasi};
use residents::Residents;

/// Makes sandboxes. Cheap to clone; the engine ends with the last clone.
#[derive(Clone)]
pub struct Sandboxes(Arc<Shared>);

struct Shared {
    engine: Engine,
    linker: Linker<State>,
    cache: CodeCache,
    compile: Compile,
    /// One compilation at a time.
    compiling: Mutex<()>,
    background: Handle,
    clock: Clock,
    totals: Arc<Totals>,
    residents: Residents,
    ticker: Ticker,
    report: EngineReport,
}

impl fmt::Debug for Sandboxes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandboxes")
            .field("report", &self.0.report)
            .finish_non_exhaustive()
    }
}

/// Slots of the pool that are in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolCounts {
    /// Instances.
    pub core_instances: u64,
    /// Linear memories.
    pub memories: usize,
    /// Tables.
    pub tables: usize,
    /// Native stacks.
    pub stacks: usize,
}

impl Sandboxes {
    /// Makes the engine with the fastest settings that are right on this machine, and starts the
    /// thread that interrupts guests.
    ///
    /// # Errors
    ///
    /// [`EngineError`]: the engine, the cache's directory or the thread.
    pub fn new(settings: EngineSettings) -> Result<Self, EngineError> {
        Self::with_profile(settings, engine::best_profile(), engine::swap_seen)
    }

    pub(crate) fn with_profile(
        settings: EngineSettings,
        profile: Profile,
        swap_seen: fn() -> bool,
    ) -> Result<Self, EngineError> {
        let refused = |error: wasmtime::Error| EngineError::Engine {
            message: short(&error),
        };
        let engine = engine::pooled(profile, settings.sandboxes_max).map_err(refused)?;
        let linker = wasi::linker(&engine).map_err(refused)?;
        let cache = CodeCache::open(&settings.cache_dir, &engine, settings.clock.clone()).map_err(
            |source| EngineError::Cache {
                path: settings.cache_dir,
                source,
            },
        )?;
        let ticker = Ticker::start(&engine, profile, swap_seen)
            .map_err(|source| EngineError::Ticker { source })?;
        Ok(Self(Arc::new(Shared {
            report: engine::report(&engine, profile),
            engine,
            linker,
            cache,
            compile: settings.compile,
            compiling: Mutex::new(()),
            background: settings.background,
            clock: settings.clock,
            totals: Arc::default(),
            residents: Residents::new(settings.loaded_max),
            ticker,
        })))
    }

    /// What the engine says of itself.
    #[must_use]
    pub fn settings_report(&self) -> EngineReport {
        self.0.report.clone()
    }

    /// Compiles `wasm`, whose hash is `artifact`, unless its code is there already. Blocks, for up to
    /// a minute; one compilation of this kind runs at a time.
    ///
    /// # Errors
    ///
    /// [`CompileError`] says whether the module or the host is the reason.
    pub fn compile(&self, artifact: ArtifactId, wasm: &[u8]) -> Result<Compiled, CompileError> {
        self.compile_with(artifact, wasm, Effort::Full)
    }

    /// [`Sandboxes::compile`], given up after 2 s of CPU time, 10 s or 1 GiB of address space: `None`
    /// then, and when the compiler fails in any way, since what it does without memory is up to it: a
    /// full compilation tells. Several may run at once; how many is for the caller to bound.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn compile_short(
        &self,
        artifact: ArtifactId,
        wasm: &[u8],
    ) -> Result<Option<Compiled>, CompileError> {
        match self.compile_with(artifact, wasm, Effort::Short) {
            Err(CompileError::TooExpensive { .. } | CompileError::Worker { .. }) => Ok(None),
            compiled => compiled.map(Some),
        }
    }

    fn compile_with(
        &self,
        artifact: ArtifactId,
        wasm: &[u8],
        effort: Effort,
    ) -> Result<Compiled, CompileError> {
        let kept = self.0.map_kept(artifact);
        if kept
            .map_err(|source| CompileError::NoRoom { source })?
            .is_some()
        {
            return Ok(Compiled::Cached);
        }
        let made = self.0.compile(artifact, wasm, effort)?;
        made.kept.map_err(|source| CompileError::Keep { source })?;
        Ok(made.compiled)
    }

    /// Whether code of an artifact is kept for this engine; it is not read.
    #[must_use]
    pub fn has_code(&self, artifact: ArtifactId) -> bool {
        self.0.cache.has(artifact)
    }

    /// Deletes compiled code that is not of an artifact in `keep`, or not for this engine; how many
    /// files. What is loaded already runs on.
    ///
    /// Must not run beside a [`Sandboxes::compile`] whose artifact is not in `keep` yet.
    ///
    /// # Errors
    ///
    /// What the system said, when the cache can't be read or a file can't be deleted.
    pub fn sweep(&self, keep: &HashSet<ArtifactId>) -> std::io::Result<usize> {
        self.0.cache.sweep(keep)
    }

    /// Makes a guest. Nothing is loaded yet.
    #[must_use]
    pub fn guest(&self, spec: GuestSpec) -> Arc<Guest> {
        Arc::new(Guest::new(spec))
    }

    /// Loads a guest's code and checks that every import exists with the right type. Blocks. No
    /// instance is made.
    ///
    /// # Errors
    ///
    /// [`LoadError::Link`] and [`LoadError::MissingExport`] are the module's fault.
    pub fn check_links(&self, guest: &Arc<Guest>) -> Result<(), LoadError> {
        if !guest.is_loaded() {
            let loaded = self.0.load(&guest.spec)?;
            drop(self.0.residents.admit(guest, loaded));
        }
        Ok(())
    }

    /// Runs one event in a fresh sandbox. Nothing happens until the future is polled; dropping it
    /// ends the guest, and its slot and memory are given back at once, or after its slice if it is
    /// being executed by another thread just now.
    ///
    /// The polling runtime must drive timers.
    ///
    /// # Errors
    ///
    /// [`SandboxError`] when there is no outcome, which is never the guest's fault.
    pub fn run(
        &self,
        guest: Arc<Guest>,
        request: RunRequest,
    ) -> impl Future<Output = Result<Outcome, SandboxError>> + Send + 'static {
        let shared = Arc::clone(&self.0);
        async move { shared.run(guest, request).await }
    }

    /// Memory of all live sandboxes, in bytes.
    #[must_use]
    pub fn memory_in_use_bytes(&self) -> u64 {
        self.0.totals.memory_bytes.load(Ordering::Relaxed)
    }

    /// Sandboxes that are alive.
    #[must_use]
    pub fn live(&self) -> u32 {
        self.0.totals.live.load(Ordering::Relaxed)
    }

    /// Guests whose code is loaded.
    #[must_use]
    pub fn loaded(&self) -> usize {
        self.0.residents.count()
    }

    /// Guests whose code was given up for others since the start; it is loaded again when they run.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.0.residents.evicted()
    }

    /// Slots of the pool that are in use.
    #[must_use]
    pub fn pool_counts(&self) -> PoolCounts {
        let metrics = self.0.engine.pooling_allocator_metrics();
        let metrics = metrics.as_ref();
        PoolCounts {
            core_instances: metrics.map_or(0, wasmtime::PoolingAllocatorMetrics::core_instances),
            memories: metrics.map_or(0, wasmtime::PoolingAllocatorMetrics::memories),
            tables: metrics.map_or(0, wasmtime::PoolingAllocatorMetrics::tables),
            stacks: metrics.map_or(0, wasmtime::PoolingAllocatorMetrics::stacks),
        }
    }

    /// Ticks of the epoch since the start, about one each millisecond. One that stands still means
    /// that no guest can be interrupted.
    #[must_use]
    pub fn ticks(&self) -> u64 {
        self.0.ticker.ticks()
    }

    /// The engine and the counters, to take one event apart.
    #[cfg(test)]
    pub(crate) fn parts(&self) -> (&Engine, &Arc<Totals>) {
        (&self.0.engine, &self.0.totals)
    }

    #[cfg(test)]
    pub(crate) fn cache(&self) -> &CodeCache {
        &self.0.cache
    }

    /// Keeps everyone from compiling.
    #[cfg(test)]
    pub(crate) fn compiling(&self) -> parking_lot::MutexGuard<'_, ()> {
        self.0.compiling.lock()
    }
}

impl Shared {
    async fn run(
        self: Arc<Self>,
        guest: Arc<Guest>,
        request: RunRequest,
    ) -> Result<Outcome, SandboxError> {
        if self.ticker.swapped() {
            return Err(SandboxError::SwapActive);
        }
        let (loaded, init) = match guest.code.get() {
            Some(loaded) => (loaded, Duration::ZERO),
            None => self.load_once(&guest, &request.observed).await?,
        };
        let RunRequest {
            id,
            event,
            arn,
            client_context,
            deadline,
            deadline_unix_ms,
            observed,
        } = request;
        let deadline = deadline + init;
        let init_ms = u64::try_from(init.as_millis()).unwrap_or(u64::MAX);
        let event = Event {
            id,
            payload: event,
            arn,
            client_context,
            deadline,
            deadline_unix_ms: deadline_unix_ms.saturating_add(init_ms),
        };
        let timeout = guest.spec.limits.timeout;
        let surroundings = Surroundings {
            clock: self.clock.clone(),
            observed: Arc::clone(&observed),
            totals: Arc::clone(&self.totals),
        };
        let execution = execute::execute(self.engine.clone(), guest, loaded, event, surroundings);
        let running = Running::new(execution, observed, self.clock.clone());
        let bound = Bound { deadline, timeout };
        HandOver::new(running, bound, self.background.clone()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiler_that_fails_in_a_short_effort_may_do_with_more() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        for script in ["kill -SEGV $$", "exit 101"] {
            let sandboxes = Sandboxes::new(EngineSettings {
                sandboxes_max: 1,
                loaded_max: 1,
                cache_dir: dir.path().to_owned(),
                compile: Compile::Child {
                    program: "/bin/sh".into(),
                    args: vec!["-c".into(), script.into()],
                },
                background: runtime.handle().clone(),
                clock: Clock::system(),
            })
            .unwrap();
            let wasm = b"\0asm\x01\0\0\0";
            let artifact = ArtifactId::of(wasm);
            let short = sandboxes.compile_short(artifact, wasm);
            assert!(matches!(short, Ok(None)), "{script}: {short:?}");
            let full = sandboxes.compile(artifact, wasm);
            let failed = matches!(full, Err(CompileError::Worker { .. }));
            assert!(failed, "{script}: {full:?}");
        }
    }
}
