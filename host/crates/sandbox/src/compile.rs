//! From wasm to machine code, in this process or in a child that has limits of its own.
//!
//! Some small files take the compiler minutes and gigabytes; that is known and not a bug of the
//! engine. A child is stopped by the system, and the server answers "too expensive". Knows nothing of
//! the cache.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit};
use wasmparser::{Parser, Payload};
use wasmtime::Engine;

use crate::failure::{printable, short};
use crate::settings::Compile;

/// CPU time of one compilation, in seconds.
const CPU_SECONDS_MAX: u64 = 30;

/// Wall time of one compilation.
const WALL_MAX: Duration = Duration::from_secs(60);

/// Address space of the child.
const ADDRESS_SPACE_BYTES_MAX: u64 = 4 << 30;

/// Open files of the child.
const OPEN_FILES_MAX: u64 = 16;

/// What the child adds to its nice value.
const NICENESS: i32 = 10;

/// Longest wasm and longest compiled code that are passed through a pipe.
const PIPE_BYTES_MAX: u64 = 1 << 30;

/// First byte of what the child writes: code follows, or the reason why there is none.
const COMPILED: u8 = 0;
const REFUSED: u8 = 1;

/// What compiling a file came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compiled {
    /// It was compiled now.
    Fresh,
    /// It was compiled before, and its code is still good.
    Cached,
}

/// Why a file was not compiled.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The compiler refused it.
    #[error("the module can't be compiled: {message}")]
    Refused {
        /// What the compiler said.
        message: String,
    },
    /// Compiling took more time or memory than allowed.
    #[error("the module is too expensive to compile ({limit})")]
    TooExpensive {
        /// How it ended.
        limit: String,
    },
    /// The compiler itself could not be set up.
    #[error("setting up the compiler failed: {message}")]
    Setup {
        /// What the engine said.
        message: String,
    },
    /// The child could not be started or spoken to.
    #[error("talking to the compiler `{}` failed", program.display())]
    Child {
        /// The program.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The worker could not read its input, write its output, or limit itself.
    #[error("the compile worker failed while {doing}")]
    Worker {
        /// What it was doing.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Compiled code could not be kept.
    #[error("keeping compiled code failed")]
    Keep {
        /// What the system said.
        source: io::Error,
    },
}

/// Compiles `wasm`, where the settings say. Blocks.
pub(crate) fn compile(
    engine: &Engine,
    settings: &Compile,
    wasm: &[u8],
) -> Result<Vec<u8>, CompileError> {
    let wasm = strip(wasm).map_err(|error| CompileError::Refused {
        message: printable(error.message(), 200),
    })?;
    match settings {
        Compile::InProcess => in_process(engine, &wasm),
        Compile::Child { program, args } => in_child(program, args, &wasm),
    }
}

/// Leaves out what a compiler need not see: custom sections other than the names of functions.
fn strip(wasm: &[u8]) -> Result<Vec<u8>, wasmparser::Error> {
    let mut stripped = Vec::with_capacity(wasm.len());
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        match &payload {
            Payload::Version { range, .. } => stripped.extend_from_slice(&wasm[range.clone()]),
            Payload::CustomSection(section) if section.name() != "name" => continue,
            _ => {}
        }
        if let Some((id, range)) = payload.as_section() {
            stripped.push(id);
            leb128(range.len(), &mut stripped);
            stripped.extend_from_slice(&wasm[range]);
        }
    }
    Ok(stripped)
}

fn leb128(mut value: usize, into: &mut Vec<u8>) {
    loop {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        if value == 0 {
            into.push(low & 0x7f);
            return;
        }
        into.push(low | 0x80);
    }
}

fn in_process(engine: &Engine, wasm: &[u8]) -> Result<Vec<u8>, CompileError> {
    engine
        .precompile_module(wasm)
        .map_err(|error| CompileError::Refused {
            message: short(&error),
        })
}

/// The body of the child process: wasm on stdin, compiled code on stdout.
///
/// Limits itself first, for good: call it in a process that does nothing else.
///
/// # Errors
///
/// [`CompileError`] when the worker itself failed. That a module was refused is not an error here; it
/// is told to the parent.
pub fn compile_worker() -> Result<(), CompileError> {
    limit_self().map_err(|source| CompileError::Worker {
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
    let (tag, body) = match in_process(&engine, &wasm) {
        Ok(code) => (COMPILED, code),
        Err(CompileError::Refused { message }) => (REFUSED, message.into_bytes()),
        Err(other) => return Err(other),
    };
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(&[tag])
        .and_then(|()| stdout.write_all(&body))
        .and_then(|()| stdout.flush())
        .map_err(|source| CompileError::Worker {
            doing: "writing the code",
            source,
        })
}

fn limit_self() -> io::Result<()> {
    let limits = [
        (Resource::Cpu, CPU_SECONDS_MAX),
        (Resource::As, ADDRESS_SPACE_BYTES_MAX),
        (Resource::Nofile, OPEN_FILES_MAX),
        (Resource::Core, 0),
    ];
    for (resource, most) in limits {
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        rustix::process::setrlimit(resource, limit)?;
    }
    rustix::process::nice(NICENESS)?;
    Ok(())
}

fn in_child(program: &Path, args: &[OsString], wasm: &[u8]) -> Result<Vec<u8>, CompileError> {
    let failed = |source| CompileError::Child {
        program: program.to_owned(),
        source,
    };
    let mut child = Command::new(program)
        .args(args)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let answer = converse(&mut child, wasm);
    if answer.is_none() {
        // It may have ended by itself in the meantime.
        let _killed = child.kill();
    }
    let status = child.wait().map_err(failed)?;
    match answer {
        None => Err(CompileError::TooExpensive {
            limit: format!("stopped after {} s", WALL_MAX.as_secs()),
        }),
        Some(Ok(answer)) if status.success() => unpack(answer).map_err(failed),
        Some(Err(source)) if status.success() => Err(failed(source)),
        Some(_) => Err(CompileError::TooExpensive {
            limit: ended_how(status),
        }),
    }
    .and_then(|answer| answer)
}

/// Gives the child its input and takes its output; `None` if that took too long.
fn converse(child: &mut Child, wasm: &[u8]) -> Option<io::Result<Vec<u8>>> {
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    thread::scope(|scope| {
        scope.spawn(move || {
            // A child that ends early closes the pipe; its exit status says why.
            let _written = stdin.map(|mut stdin| stdin.write_all(wasm));
        });
        let (sender, receiver) = mpsc::channel();
        scope.spawn(move || {
            let mut code = Vec::new();
            let read = stdout.map_or(Ok(0), |stdout| {
                stdout.take(PIPE_BYTES_MAX).read_to_end(&mut code)
            });
            // The receiver is gone when time is up.
            let _sent = sender.send(read.map(|_| code));
        });
        let answer = receiver.recv_timeout(WALL_MAX).ok();
        if answer.is_none() {
            // Ends both threads: the pipes close.
            let _killed = child.kill();
        }
        answer
    })
}

fn unpack(mut answer: Vec<u8>) -> io::Result<Result<Vec<u8>, CompileError>> {
    match answer.first() {
        Some(&COMPILED) => {
            answer.remove(0);
            Ok(Ok(answer))
        }
        Some(&REFUSED) => {
            let message = String::from_utf8_lossy(&answer[1..]).into_owned();
            Ok(Err(CompileError::Refused { message }))
        }
        _ => Err(io::Error::other(
            "it answered something else than the worker does",
        )),
    }
}

fn ended_how(status: ExitStatus) -> String {
    format!("the compiler ended with {status}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn custom_sections_but_the_names_are_left_out() {
        let wasm = wat::parse_str(
            r#"(module (@custom "secret" "xyz") (func $named (export "_start"))
                 (@custom ".debug_info" (after code) "dwarf"))"#,
        )
        .unwrap();
        let stripped = strip(&wasm).unwrap();
        let has = |part: &[u8]| stripped.windows(part.len()).any(|window| window == part);
        assert!(!has(b"secret") && !has(b"dwarf") && has(b"named") && has(b"_start"));
        wasmparser::validate(&stripped).unwrap();
        // What has none comes out as it went in.
        assert_eq!(strip(&stripped).unwrap(), stripped);
    }

    #[test]
    fn lengths_are_written_as_wasm_writes_them() {
        for (value, bytes) in [
            (0, &[0][..]),
            (127, &[0x7f]),
            (128, &[0x80, 1]),
            (624_485, &[0xe5, 0x8e, 0x26]),
        ] {
            let mut written = Vec::new();
            leb128(value, &mut written);
            assert_eq!(written, bytes);
        }
    }
}
