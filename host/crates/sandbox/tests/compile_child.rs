//! Compiling in a child process: the child is this very program, so there is no test harness here.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that can't set up must stop, and says itself that it passed"
)]

use std::ffi::OsString;
use std::fs::File;
use std::process::{Command, ExitCode};
use std::sync::Arc;

use domain::{Clock, FunctionName, Limits, Outcome, RequestId, VersionId};
use sandbox::{
    ArtifactId, Compile, CompileError, Compiled, EngineSettings, GuestSpec, Observed, RunRequest,
    Sandboxes, WorkerLimits,
};

const WORKER: &str = "compile-worker";
const GARBAGE: &str = "answer-garbage";
const CRASH: &str = "crash";
const SHORT_OF_TIME: &str = "short-of-time";
const SHORT_OF_MEMORY: &str = "short-of-memory";
const UNREADABLE: &str = "unreadable";
const UPGRADED: &str = "upgraded";
const PANIC: &str = "panic";

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some(WORKER) => ended(&sandbox::compile_worker()),
        Some(SHORT_OF_TIME) => ended(&sandbox::compile_worker_within(WorkerLimits {
            cpu_seconds: 1,
            ..WorkerLimits::default()
        })),
        Some(SHORT_OF_MEMORY) => ended(&sandbox::compile_worker_within(WorkerLimits {
            address_space_bytes: 192 << 20,
            ..WorkerLimits::default()
        })),
        // A worker that can't read what it is given.
        Some(UNREADABLE) => {
            let mut worker = Command::new(this_program());
            worker.arg(WORKER).stdin(File::open("/").unwrap());
            let status = worker.status().unwrap();
            assert!(!status.success());
            ExitCode::FAILURE
        }
        Some(UPGRADED) => {
            compile_while_the_file_is_another();
            ExitCode::SUCCESS
        }
        Some(PANIC) => panic!("the worker has a bug"),
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
            a_module_that_takes_too_long_is_too_expensive();
            a_module_that_takes_too_much_memory_is_too_expensive();
            a_worker_that_fails_by_itself_is_the_hosts_failure();
            a_server_whose_file_was_replaced_compiles_with_its_own_code();
            println!("compile_child: 8 passed");
            ExitCode::SUCCESS
        }
    }
}

fn ended(worked: &Result<(), CompileError>) -> ExitCode {
    match worked {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
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
        loaded_max: 1_000,
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
    let artifact = ArtifactId::of(&wasm);
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
        log_stream: "stream".into(),
    });
    let clock = Clock::system();
    let request = RunRequest {
        id: RequestId::new(0, [0; 10]),
        event: bytes::Bytes::from_static(b"{}"),
        arn: None,
        client_context: None,
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
        .compile(ArtifactId::of(&wasm), &wasm)
        .unwrap_err();
    assert!(matches!(error, CompileError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("type mismatch"), "{error}");
}

fn a_child_that_ends_otherwise_is_an_error() {
    let wasm = answering();
    let garbage = host(this_program(), GARBAGE);
    let error = garbage
        .sandboxes
        .compile(ArtifactId::of(&wasm), &wasm)
        .unwrap_err();
    assert!(matches!(error, CompileError::Child { .. }), "{error:?}");
    let crash = host(this_program(), CRASH);
    let error = crash
        .sandboxes
        .compile(ArtifactId::of(&wasm), &wasm)
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
        .compile(ArtifactId::of(&wasm), &wasm)
        .unwrap_err();
    assert!(matches!(error, CompileError::Child { .. }), "{error:?}");
}

/// A module with `count` functions, each a line of `length` branches with calls; in the binary format,
/// because parsing it as text would take longer than compiling it.
fn bomb(count: usize, length: usize) -> Vec<u8> {
    fn leb(mut value: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while value > 0x7f {
            bytes.push(0x80 | u8::try_from(value & 0x7f).unwrap());
            value >>= 7;
        }
        bytes.push(u8::try_from(value).unwrap());
        bytes
    }
    let section = |id: u8, body: &[u8]| [&[id][..], &leb(body.len()), body].concat();
    // If local 0 is zero, add 3 to it and call function 0.
    let step = [
        0x20, 0, 0x45, 0x04, 0x40, 0x20, 0, 0x41, 3, 0x6a, 0x21, 0, 0x10, 0, 0x0b,
    ];
    // One group of locals: one i32.
    let body = [&[1, 1, 0x7f][..], &step.repeat(length), &[0x0b]].concat();
    let body = [leb(body.len()), body].concat();
    [
        b"\0asm\x01\0\0\0".to_vec(),
        section(1, &[1, 0x60, 0, 0]),
        section(3, &[leb(count), vec![0; count]].concat()),
        section(7, b"\x01\x06_start\0\0"),
        section(10, &[leb(count), body.repeat(count)].concat()),
    ]
    .concat()
}

/// Compiles `wasm` in a worker of the kind `argument`, which must not succeed.
fn failure(argument: &str, wasm: &[u8]) -> CompileError {
    let host = host(this_program(), argument);
    host.sandboxes
        .compile(ArtifactId::of(wasm), wasm)
        .unwrap_err()
}

fn a_module_that_takes_too_long_is_too_expensive() {
    let wasm = bomb(1_000, 1_000);
    sandbox::inspect(&wasm, &Limits::default()).unwrap();
    let error = failure(SHORT_OF_TIME, &wasm);
    assert!(
        matches!(&error, CompileError::TooExpensive { limit } if limit.contains("CPU time")),
        "{error:?}"
    );
    // The same worker is good enough for others.
    let host = host(this_program(), SHORT_OF_TIME);
    let wasm = answering();
    host.sandboxes
        .compile(ArtifactId::of(&wasm), &wasm)
        .unwrap();
}

fn a_module_that_takes_too_much_memory_is_too_expensive() {
    let error = failure(SHORT_OF_MEMORY, &bomb(1, 120_000));
    assert!(
        matches!(&error, CompileError::TooExpensive { limit } if limit.contains("memory")),
        "{error:?}"
    );
}

fn a_worker_that_fails_by_itself_is_the_hosts_failure() {
    for (argument, said) in [
        (UNREADABLE, "reading the module"),
        (PANIC, "the worker has a bug"),
    ] {
        let error = failure(argument, &answering());
        let CompileError::Worker { source, .. } = &error else {
            panic!("{argument}: {error:?}");
        };
        assert!(source.to_string().contains(said), "{argument}: {source}");
    }
}

fn a_server_whose_file_was_replaced_compiles_with_its_own_code() {
    let dir = tempfile::tempdir().unwrap();
    let server = dir.path().join("server");
    std::fs::copy(this_program(), &server).unwrap();
    let status = Command::new(&server).arg(UPGRADED).status().unwrap();
    assert!(status.success());
}

/// Runs in a copy of this program, which it removes and then replaces.
fn compile_while_the_file_is_another() {
    let program = this_program();
    let host = host(program.clone(), WORKER);
    std::fs::remove_file(&program).unwrap();
    let wasm = answering();
    host.sandboxes
        .compile(ArtifactId::of(&wasm), &wasm)
        .unwrap();
    std::fs::write(&program, "another version").unwrap();
    let wasm = bomb(1, 1);
    host.sandboxes
        .compile(ArtifactId::of(&wasm), &wasm)
        .unwrap();
}
