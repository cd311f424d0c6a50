//! Makes sandboxes, guests and requests for tests, and checks what must hold after every run.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::{
    Clock, FunctionError, FunctionName, Limits, MemoryMb, Outcome, RequestId, Timeout, Usage,
    VersionId,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::budget::{Budget, Totals};
use crate::execute::{Event, State};
use crate::{
    ArtifactId, Compile, EngineSettings, Guest, GuestKind, GuestLog, GuestSpec, Observed,
    PoolCounts, Profile, RunRequest, SandboxError, Sandboxes, inspect,
};

/// One line, enough for most guests: memory, and the imports they use.
pub(crate) const PRELUDE: &str = r#"
    (import "wasi_snapshot_preview1" "fd_read"
        (func $fd_read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write"
        (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
    (memory (export "memory") 4)
    ;; Writes `length` bytes at `from` to `fd`; uses the first 16 bytes of memory.
    (func $write (param $fd i32) (param $from i32) (param $length i32)
        (i32.store (i32.const 0) (local.get $from))
        (i32.store (i32.const 4) (local.get $length))
        (drop (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))
"#;

/// Sandboxes with directories and runtimes of their own.
pub(crate) struct Host {
    pub(crate) sandboxes: Sandboxes,
    pub(crate) dir: TempDir,
    pub(crate) clock: Clock,
    pub(crate) runtime: Runtime,
    /// Kept: its threads run what is handed over.
    _background: Runtime,
}

/// What came out of one run.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) outcome: Outcome,
    pub(crate) usage: Usage,
    pub(crate) log: GuestLog,
}

impl Ran {
    #[track_caller]
    pub(crate) fn payload(&self) -> &[u8] {
        match &self.outcome {
            Outcome::Payload(payload) => payload,
            Outcome::Failed(error) => panic!("failed: {error:?}; log: {:?}", self.log),
        }
    }

    #[track_caller]
    pub(crate) fn error(&self) -> &FunctionError {
        match &self.outcome {
            Outcome::Failed(error) => error,
            Outcome::Payload(payload) => {
                panic!("answered {}", String::from_utf8_lossy(payload))
            }
        }
    }

    #[track_caller]
    pub(crate) fn trap(&self) -> &str {
        match self.error() {
            FunctionError::Trapped { code, .. } => code,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn assert_timed_out(&self) {
        assert!(
            matches!(self.error(), FunctionError::TimedOut { .. }),
            "{:?}",
            self.outcome
        );
    }
}

pub(crate) fn limits(memory_mb: u32, timeout_ms: u32) -> Limits {
    Limits {
        memory: MemoryMb::new(memory_mb).unwrap(),
        timeout: Timeout::from_ms(timeout_ms).unwrap(),
    }
}

pub(crate) fn request_id() -> RequestId {
    RequestId::new(1_763_830_000_123, [7; 10])
}

pub(crate) fn multi_thread(workers: usize) -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .unwrap()
}

impl Host {
    pub(crate) fn new() -> Self {
        Self::with(Profile::Plain, Compile::InProcess)
    }

    pub(crate) fn with(profile: Profile, compile: Compile) -> Self {
        Self::in_dir(tempfile::tempdir().unwrap(), profile, compile)
    }

    /// One that has room for the code of `loaded_max` guests.
    pub(crate) fn with_room(loaded_max: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self::in_dir_with_room(dir, Profile::Plain, Compile::InProcess, (32, loaded_max))
    }

    pub(crate) fn in_dir(dir: TempDir, profile: Profile, compile: Compile) -> Self {
        Self::in_dir_with_room(dir, profile, compile, (32, 1_000))
    }

    /// One whose pool has room for `sandboxes_max` at once.
    pub(crate) fn with_slots(
        dir: TempDir,
        profile: Profile,
        compile: Compile,
        sandboxes_max: u32,
    ) -> Self {
        Self::in_dir_with_room(dir, profile, compile, (sandboxes_max, 1_000))
    }

    fn in_dir_with_room(
        dir: TempDir,
        profile: Profile,
        compile: Compile,
        (sandboxes_max, loaded_max): (u32, u32),
    ) -> Self {
        let background = multi_thread(1);
        let clock = Clock::system();
        let settings = EngineSettings {
            sandboxes_max,
            loaded_max,
            cache_dir: dir.path().join("code"),
            compile,
            background: background.handle().clone(),
            clock: clock.clone(),
        };
        let sandboxes = Sandboxes::with_profile(settings, profile, || false).unwrap();
        Self {
            sandboxes,
            dir,
            clock,
            runtime: multi_thread(1),
            _background: background,
        }
    }

    /// Restarts on the same directory.
    pub(crate) fn restart(self) -> Self {
        let Self {
            sandboxes,
            dir,
            runtime,
            _background,
            ..
        } = self;
        drop((sandboxes, runtime, _background));
        Self::in_dir(dir, Profile::Plain, Compile::InProcess)
    }

    pub(crate) fn artifact_path(&self, hash: ArtifactId) -> PathBuf {
        self.dir.path().join(format!("{hash}.wasm"))
    }

    pub(crate) fn spec(&self, wasm: &[u8], limits: Limits) -> GuestSpec {
        let kind = inspect(wasm, &limits).unwrap();
        let artifact = ArtifactId::of(wasm);
        std::fs::write(self.artifact_path(artifact), wasm).unwrap();
        let function = FunctionName::parse("hello").unwrap();
        GuestSpec {
            kind,
            artifact,
            artifact_path: self.artifact_path(artifact),
            limits,
            environment: Arc::from([("GREETING".to_owned(), "hi".to_owned())]),
            arn: function.arn("eu-central-1"),
            function,
            version: VersionId::Number(3),
            region: "eu-central-1".to_owned(),
            log_stream: "2026/11/22/[3]abc".into(),
        }
    }

    /// A guest whose code is compiled, as that of every published function is.
    #[track_caller]
    pub(crate) fn guest(&self, wat: &str, limits: Limits) -> Arc<Guest> {
        self.guest_of(&wat::parse_str(wat).unwrap(), limits)
    }

    #[track_caller]
    pub(crate) fn guest_of(&self, wasm: &[u8], limits: Limits) -> Arc<Guest> {
        let spec = self.spec(wasm, limits);
        self.sandboxes.compile(spec.artifact, wasm).unwrap();
        self.sandboxes.guest(spec)
    }

    /// A `command` with the usual imports; `body` is the body of `_start`.
    pub(crate) fn command(&self, body: &str, limits: Limits) -> Arc<Guest> {
        self.guest(&command(body), limits)
    }

    pub(crate) fn request(&self, event: impl Into<Bytes>, limits: Limits) -> RunRequest {
        RunRequest {
            id: request_id(),
            event: event.into(),
            arn: None,
            client_context: None,
            deadline: self.clock.now() + limits.timeout.duration(),
            deadline_unix_ms: 1_763_830_003_123,
            observed: Observed::new(),
        }
    }

    pub(crate) fn try_run(
        &self,
        guest: &Arc<Guest>,
        event: impl Into<Bytes>,
    ) -> Result<Ran, SandboxError> {
        self.try_request(guest, self.request(event, guest.spec().limits))
    }

    fn try_request(&self, guest: &Arc<Guest>, request: RunRequest) -> Result<Ran, SandboxError> {
        let observed = Arc::clone(&request.observed);
        let outcome = self
            .runtime
            .block_on(self.sandboxes.run(Arc::clone(guest), request))?;
        let usage = observed.usage(&self.clock);
        assert!(usage.memory_peak_bytes <= guest.spec().limits.memory.bytes());
        self.assert_idle();
        Ok(Ran {
            outcome,
            usage,
            log: observed.take_log(),
        })
    }

    #[track_caller]
    pub(crate) fn run(&self, guest: &Arc<Guest>, event: impl Into<Bytes>) -> Ran {
        self.try_run(guest, event).unwrap()
    }

    /// Runs a guest that was asked for as `arn`.
    #[track_caller]
    pub(crate) fn run_as(&self, arn: &str, guest: &Arc<Guest>, event: &'static str) -> Ran {
        let request = RunRequest {
            arn: Some(arn.to_owned()),
            ..self.request(event, guest.spec().limits)
        };
        self.try_request(guest, request).unwrap()
    }

    /// Runs a `command` once, with 16 MB and `timeout_ms`.
    #[track_caller]
    pub(crate) fn run_command(&self, body: &str, timeout_ms: u32) -> Ran {
        self.run(&self.command(body, limits(16, timeout_ms)), "{}")
    }

    /// No sandbox is left: neither in the counters nor in the pool. One that reached its deadline
    /// while it was executed may be there until the thread that executes it gets a core again.
    #[track_caller]
    pub(crate) fn assert_idle(&self) {
        let idle = PoolCounts {
            core_instances: 0,
            memories: 0,
            tables: 0,
            stacks: 0,
        };
        wait_until("no sandbox is left", || {
            self.sandboxes.live() == 0
                && self.sandboxes.memory_in_use_bytes() == 0
                && self.sandboxes.pool_counts() == idle
        });
    }
}

pub(crate) fn command(body: &str) -> String {
    format!(r#"(module {PRELUDE} (func (export "_start") {body}))"#)
}

/// Waits until `condition` holds; what it waits for happens within milliseconds.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "a test waits for a condition")]
pub(crate) fn wait_until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("{what} did not happen");
}

impl State {
    /// The state of a guest that is never run.
    pub(crate) fn for_test() -> Self {
        let function = FunctionName::parse("hello").unwrap();
        let clock = Clock::system();
        let observed = Observed::new();
        let spec = GuestSpec {
            kind: GuestKind::Command,
            artifact: ArtifactId::of(b""),
            artifact_path: PathBuf::new(),
            limits: Limits::default(),
            environment: Arc::from([]),
            arn: String::new(),
            function,
            version: VersionId::Latest,
            region: String::new(),
            log_stream: "".into(),
        };
        let event = Event {
            id: request_id(),
            payload: Bytes::new(),
            arn: None,
            client_context: None,
            deadline: clock.now(),
            deadline_unix_ms: 0,
        };
        let budget = Budget::new(1 << 20, Arc::clone(&observed), Arc::new(Totals::default()));
        Self::new(Arc::new(Guest::new(spec)), event, clock, budget, observed)
    }
}
