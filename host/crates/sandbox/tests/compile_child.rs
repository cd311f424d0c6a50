//! Compiling in a child process: the child is this very program, so there is no test harness here.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that can't set up must stop, and says itself that it passed"
)]

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use domain::{Clock, FunctionName, Limits, Outcome, RequestId, VersionId};
use sandbox::{
    ArtifactHash, Compile, CompileError, Compiled, EngineSettings, GuestSpec, Observed, RunRequest,
    Sandboxes,
};

const WORKER: &str = "compile-worker";
const GARBAGE: &str = "answer-garbage";
const CRASH: &str = "crash";

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some(WORKER) => match sandbox::compile_worker() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Some(GARBAGE) => {
            print!("not what a worker says");
            ExitCode::SUCCESS
        }
        Some(CRASH) => std::process::abort(),
        _ => {
            a_child_compiles_code_that_runs_here();
            a_child_says_why_a_module_is_refused();
            a_child_that_ends_otherwise_is_an_error();
            a_program_that_does_not_exist_is_the_hosts_failure();
            println!("compile_child: 4 passed");
            ExitCode::SUCCESS
        }
    }
}

struct Host {
    sandboxes: Sandboxes,
    dir: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
}

fn host(program: std::path::PathBuf, argument: &str) -> Host {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let sandboxes = Sandboxes::new(EngineSettings {
        sandboxes_max: 4,
        cache_dir: dir.path().join("code"),
        compile: Compile::Child {
            program,
            args: vec![OsString::from(argument)],
        },
        background: runtime.handle().clone(),
        clock: Clock::system(),
    })
    .unwrap();
    Host {
        sandboxes,
        dir,
        runtime,
    }
}

fn this_program() -> std::path::PathBuf {
    std::env::current_exe().unwrap()
}

fn answering() -> Vec<u8> {
    wat::parse_str(
        r#"(module
          (import "wasi_snapshot_preview1" "fd_write"
            (func $fd_write (param i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 1) (data (i32.const 64) "ok")
          (func (export "_start")
            (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 2))
            (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#,
    )
    .unwrap()
}

fn a_child_compiles_code_that_runs_here() {
    let host = host(this_program(), WORKER);
    let wasm = answering();
    let artifact = ArtifactHash::of(&wasm);
    assert_eq!(
        host.sandboxes.compile(artifact, &wasm).unwrap(),
        Compiled::Fresh
    );
    let function = FunctionName::parse("hello").unwrap();
    let limits = Limits::default();
    let guest = host.sandboxes.guest(GuestSpec {
        kind: sandbox::inspect(&wasm, &limits).unwrap(),
        artifact,
        // Not there: only the compiled code can be used.
        artifact_path: host.dir.path().join("gone.wasm"),
        limits,
        environment: Arc::from([]),
        arn: function.arn("eu-central-1"),
        function,
        version: VersionId::Latest,
        region: "eu-central-1".to_owned(),
        log_stream: "stream".to_owned(),
    });
    let clock = Clock::system();
    let request = RunRequest {
        id: RequestId::new(0, [0; 10]),
        event: bytes::Bytes::from_static(b"{}"),
        deadline: clock.now() + limits.timeout.duration(),
        deadline_unix_ms: clock.unix_ms(),
        observed: Observed::new(),
    };
    let outcome = host
        .runtime
        .block_on(host.sandboxes.run(guest, request))
        .unwrap();
    assert_eq!(outcome, Outcome::Payload(bytes::Bytes::from_static(b"ok")));
}

fn a_child_says_why_a_module_is_refused() {
    let host = host(this_program(), WORKER);
    let wasm = wat::parse_str(r#"(module (func (export "_start") i32.const 1))"#).unwrap();
    let error = host
        .sandboxes
        .compile(ArtifactHash::of(&wasm), &wasm)
        .unwrap_err();
    assert!(matches!(error, CompileError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("type mismatch"), "{error}");
}

fn a_child_that_ends_otherwise_is_an_error() {
    let wasm = answering();
    let garbage = host(this_program(), GARBAGE);
    let error = garbage
        .sandboxes
        .compile(ArtifactHash::of(&wasm), &wasm)
        .unwrap_err();
    assert!(matches!(error, CompileError::Child { .. }), "{error:?}");
    let crash = host(this_program(), CRASH);
    let error = crash
        .sandboxes
        .compile(ArtifactHash::of(&wasm), &wasm)
        .unwrap_err();
    assert!(
        matches!(error, CompileError::TooExpensive { .. }),
        "{error:?}"
    );
}

fn a_program_that_does_not_exist_is_the_hosts_failure() {
    let host = host("/nonexistent/compiler".into(), WORKER);
    let wasm = answering();
    let error = host
        .sandboxes
        .compile(ArtifactHash::of(&wasm), &wasm)
        .unwrap_err();
    assert!(matches!(error, CompileError::Child { .. }), "{error:?}");
}
