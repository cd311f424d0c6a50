//! Runs an SDK module's set-up once and writes the memory it left into a new module.
//!
//! Every sandbox of that module then starts where the set-up ended. What must differ between
//! sandboxes can't be part of that: asking for random bytes, the time or the environment during the
//! set-up is refused.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use domain::{Limits, MemoryMb, Timeout};
use wasmtime::{Caller, Engine, Linker, Module, Store, Trap};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wasmtime_wasi::p2::pipe::SinkOutputStream;
use wasmtime_wizer::Wizer;

use crate::failure::short;
use crate::inspect::inspect;
use crate::refusal::Refusal;
use crate::wasi::{Exit, MODULE};
use crate::{engine, sdk};

/// How long a module's set-up may take.
const WALL_MAX: Duration = Duration::from_secs(30);

/// Why no snapshot was taken.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// It is not a module that could run here at all.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It has no set-up to run.
    #[error("the module does not export `mayfly_v1_init`")]
    NoInit,
    /// Its set-up asked for something that each invocation must have of its own.
    #[error(
        "the set-up calls `{function}`: a snapshot would share {what} between all invocations; move this to the handler"
    )]
    Shared {
        /// The function of WASI.
        function: &'static str,
        /// What it would freeze.
        what: &'static str,
    },
    /// Its set-up trapped or exited.
    #[error("the set-up failed: {message}")]
    Failed {
        /// How.
        message: String,
    },
    /// Its set-up did not end in time.
    #[error("the set-up took more than {} s", WALL_MAX.as_secs())]
    TimedOut,
    /// The module can't be rewritten, or the engine could not be set up.
    #[error("the module can't be snapshotted: {message}")]
    Unsupported {
        /// Why; names the instruction if one is the reason.
        message: String,
    },
}

/// A call that would freeze what must stay fresh.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("`{function}` was called during the set-up")]
struct Frozen {
    function: &'static str,
    what: &'static str,
}

/// Runs `_initialize` and `mayfly_v1_init` of an SDK module and returns a module that starts where
/// they ended; it exports neither. Blocks, for up to 30 s.
///
/// # Errors
///
/// [`SnapshotError`]; most of them are for the author of the function.
pub fn snapshot(wasm: &[u8]) -> Result<Vec<u8>, SnapshotError> {
    let limits = Limits {
        memory: MemoryMb::MAX,
        timeout: Timeout::DEFAULT,
    };
    inspect(wasm, &limits)?;
    // A thread of its own: the caller may be inside a runtime, and the rewriter may panic.
    thread::scope(|scope| scope.spawn(|| run_bounded(wasm)).join()).unwrap_or_else(|_| {
        Err(SnapshotError::Unsupported {
            message: "the rewriter panicked".to_owned(),
        })
    })
}

/// Interrupts the set-up when its time is up.
fn run_bounded(wasm: &[u8]) -> Result<Vec<u8>, SnapshotError> {
    let engine = engine::compiler().map_err(|error| unsupported(&error))?;
    let (done, waiting) = mpsc::channel::<()>();
    let interrupted = engine.clone();
    thread::scope(|scope| {
        scope.spawn(move || {
            if waiting.recv_timeout(WALL_MAX) == Err(mpsc::RecvTimeoutError::Timeout) {
                interrupted.increment_epoch();
            }
        });
        let result = run(&engine, wasm);
        drop(done);
        result
    })
}

fn run(engine: &Engine, wasm: &[u8]) -> Result<Vec<u8>, SnapshotError> {
    let module = Module::from_binary(engine, wasm).map_err(|error| unsupported(&error))?;
    if module.get_export(sdk::INIT).is_none() {
        return Err(SnapshotError::NoInit);
    }
    let linker = linker(engine).map_err(|error| unsupported(&error))?;
    let wasi = WasiCtxBuilder::new()
        .stdout(SinkOutputStream)
        .stderr(SinkOutputStream)
        .build_p1();
    let mut store = Store::new(engine, wasi);
    store.set_epoch_deadline(1);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|error| SnapshotError::Unsupported {
            message: error.to_string(),
        })?;
    let mut wizer = Wizer::new();
    wizer.init_func(sdk::INIT);
    let instantiate = async |store: &mut Store<WasiP1Ctx>, module: &Module| {
        linker.instantiate_async(store, module).await
    };
    let snapshotted = runtime.block_on(wizer.run(&mut store, wasm, instantiate));
    snapshotted.map_err(|error| failed(&error))
}

fn unsupported(error: &wasmtime::Error) -> SnapshotError {
    SnapshotError::Unsupported {
        message: short(error),
    }
}

fn failed(error: &wasmtime::Error) -> SnapshotError {
    if let Some(Frozen { function, what }) = error.downcast_ref::<Frozen>() {
        return SnapshotError::Shared { function, what };
    }
    match (error.downcast_ref::<Trap>(), error.downcast_ref::<Exit>()) {
        (Some(Trap::Interrupt), _) => SnapshotError::TimedOut,
        (Some(trap), _) => SnapshotError::Failed {
            message: format!("{trap:?}"),
        },
        (_, Some(exit)) => SnapshotError::Failed {
            message: exit.to_string(),
        },
        (None, None) => SnapshotError::Unsupported {
            message: short(error),
        },
    }
}

/// WASI without what a snapshot would freeze.
fn linker(engine: &Engine) -> wasmtime::Result<Linker<WasiP1Ctx>> {
    const RANDOM: &str = "random bytes";
    const TIME: &str = "the time";
    const ENVIRONMENT: &str = "the environment";
    type Ctx<'a> = Caller<'a, WasiP1Ctx>;

    fn frozen(function: &'static str, what: &'static str) -> wasmtime::Result<i32> {
        Err(Frozen { function, what }.into())
    }

    let mut linker = Linker::new(engine);
    p1::add_to_linker_async(&mut linker, |wasi| wasi)?;
    linker.allow_shadowing(true);
    linker.func_wrap(MODULE, "random_get", |_: Ctx<'_>, _: i32, _: i32| {
        frozen("random_get", RANDOM)
    })?;
    linker.func_wrap(
        MODULE,
        "clock_time_get",
        |_: Ctx<'_>, _: i32, _: i64, _: i32| frozen("clock_time_get", TIME),
    )?;
    linker.func_wrap(
        MODULE,
        "poll_oneoff",
        |_: Ctx<'_>, _: i32, _: i32, _: i32, _: i32| frozen("poll_oneoff", TIME),
    )?;
    linker.func_wrap(MODULE, "environ_get", |_: Ctx<'_>, _: i32, _: i32| {
        frozen("environ_get", ENVIRONMENT)
    })?;
    linker.func_wrap(MODULE, "environ_sizes_get", |_: Ctx<'_>, _: i32, _: i32| {
        frozen("environ_sizes_get", ENVIRONMENT)
    })?;
    linker.func_wrap(
        MODULE,
        "proc_exit",
        |_: Ctx<'_>, code: i32| -> wasmtime::Result<()> { Err(Exit(code).into()) },
    )?;
    Ok(linker)
}
