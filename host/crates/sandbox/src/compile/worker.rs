//! The body of the child process: wasm on stdin, compiled code on stdout.

use std::io::{self, Read, Write};

use rustix::process::{Resource, Rlimit};

use super::{COMPILED, CompileError, FAILED, PIPE_BYTES_MAX, REFUSED, in_process};
use crate::failure::short;

/// Open files of the child.
const OPEN_FILES_MAX: u64 = 16;

/// What the child adds to its nice value.
const NICENESS: i32 = 10;

/// What one compilation may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerLimits {
    /// CPU time, in seconds.
    pub cpu_seconds: u64,
    /// Address space, in bytes.
    pub address_space_bytes: u64,
}

impl Default for WorkerLimits {
    fn default() -> Self {
        Self {
            cpu_seconds: 30,
            address_space_bytes: 4 << 30,
        }
    }
}

impl WorkerLimits {
    /// For a compilation that may run beside others: 2 s, in which 1 MB of wasm is compiled, and 1 GiB.
    #[must_use]
    pub fn short() -> Self {
        Self {
            cpu_seconds: 2,
            address_space_bytes: 1 << 30,
        }
    }
}

/// Compiles the module on stdin within the usual limits.
///
/// Limits itself first, for good: call it in a process that does nothing else.
///
/// # Errors
///
/// [`CompileError`] when the worker itself failed; the parent was told. That a module was refused is
/// not an error here.
pub fn compile_worker() -> Result<(), CompileError> {
    compile_worker_within(WorkerLimits::default())
}

/// [`compile_worker`] within other limits.
///
/// # Errors
///
/// The same.
pub fn compile_worker_within(limits: WorkerLimits) -> Result<(), CompileError> {
    let answered = work(limits).and_then(|(tag, body)| {
        answer(tag, &body).map_err(|source| CompileError::Worker {
            doing: "writing the code",
            source,
        })
    });
    if let Err(error) = &answered {
        // If nobody listens, the exit status says enough.
        let _told = answer(FAILED, whole(error).as_bytes());
    }
    answered
}

fn work(limits: WorkerLimits) -> Result<(u8, Vec<u8>), CompileError> {
    limit_self(limits).map_err(|source| CompileError::Worker {
        doing: "limiting itself",
        source,
    })?;
    let mut wasm = Vec::new();
    io::stdin()
        .lock()
        .take(PIPE_BYTES_MAX)
        .read_to_end(&mut wasm)
        .map_err(|source| CompileError::Worker {
            doing: "reading the module",
            source,
        })?;
    let engine = crate::engine::compiler().map_err(|error| CompileError::Setup {
        message: short(&error),
    })?;
    match in_process(&engine, &wasm) {
        Ok(code) => Ok((COMPILED, code)),
        Err(CompileError::Refused { message }) => Ok((REFUSED, message.into_bytes())),
        Err(other) => Err(other),
    }
}

/// An error and what caused it.
fn whole(error: &CompileError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn answer(tag: u8, body: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(&[tag])?;
    stdout.write_all(body)?;
    stdout.flush()
}

fn limit_self(limits: WorkerLimits) -> io::Result<()> {
    let resources = [
        // The first is a signal that says which limit it was, the second kills.
        (Resource::Cpu, limits.cpu_seconds, limits.cpu_seconds + 1),
        (
            Resource::As,
            limits.address_space_bytes,
            limits.address_space_bytes,
        ),
        (Resource::Nofile, OPEN_FILES_MAX, OPEN_FILES_MAX),
        (Resource::Core, 0, 0),
    ];
    for (resource, current, maximum) in resources {
        let limit = Rlimit {
            current: Some(current),
            maximum: Some(maximum),
        };
        rustix::process::setrlimit(resource, limit)?;
    }
    rustix::process::nice(NICENESS)?;
    Ok(())
}
